"""`polyport build` of several products: one that fails stops those that read it, and no other."""

from __future__ import annotations

import shutil

import pytest

READS = "inputs:\n  sheet: {type: product, product: %s, dataset: films}\naccess: {agreements: optional, roles: {consumer: {}}}\n"


def add(mesh, films, name, *, reads=""):
    """A product like `films` called `name`; `reads` another."""
    home = mesh / name
    shutil.copytree(films, home, ignore=shutil.ignore_patterns(".polyport"))
    odps = home / "dataproduct.odps.yaml"
    odps.write_text(odps.read_text().replace("id: films", f"id: {name}", 1))
    settings = home / "polyport.yaml"
    if reads:
        settings.write_text(READS % reads)
    else:
        settings.write_text(settings.read_text().replace("roles:", "roles:\n    consumer: {}", 1))
    return home


@pytest.fixture
def mesh(tmp_path, films):
    """`a` is read by `b`, which is read by `c`; `z` stands alone."""
    root = tmp_path / "mesh"
    root.mkdir()
    (root / "mesh.yaml").write_text("name: testing\n")
    for name, reads in {"a": "", "b": "a", "c": "b", "z": ""}.items():
        add(root, films, name, reads=reads)
    return root


def broken(home):
    (home / "inputs/films.csv").write_text("id,title,released,studio,cost\n1,A,not a day,Fox,1\n")


def outcomes(runs):
    return {run["product"]: run["outcome"] for run in runs}


def test_all_are_built_in_order(mesh, polyport):
    ended = polyport("build", mesh, "--json")
    assert ended.code == 0, ended.out
    assert outcomes(ended.json()) == dict.fromkeys("abcz", "published")
    ended = polyport("build", mesh)
    assert ended.code == 0
    assert "data products built" not in ended.err


def test_one_that_fails_stops_only_those_that_read_it(mesh, polyport):
    broken(mesh / "a")
    ended = polyport("build", mesh)
    assert ended.code == 3, ended.err
    assert ended.err.count("error[PP3") == 1
    assert "Published snapshot 1" in ended.err
    assert ended.err.splitlines()[-4:] == [
        "1 of 4 data products built",
        "  ✗ a failed",
        "  ! b was skipped: it reads a",
        "  ! c was skipped: it reads b",
    ]
    assert polyport("history", mesh / "z", "--json").json()[0]["sequence"] == 1
    assert polyport("history", mesh / "b", "--json").json() == []


def misspelt(home):
    """Two mistakes in the contract."""
    contract = home / "contracts/films.odcs.yaml"
    text = contract.read_text()
    contract.write_text(text.replace("logicalType: integer", "logicalType: number of", 2))


def test_one_with_wrong_files_stops_only_those_that_read_it(mesh, polyport):
    misspelt(mesh / "a")
    ended = polyport("build", mesh)
    assert ended.code == 2, ended.err
    assert ended.err.count("error[PP103]") == 2
    assert "a/contracts/films.odcs.yaml:" in ended.err
    assert ended.err.index("error[PP103]") < ended.err.index("Published snapshot 1")
    assert ended.err.splitlines()[-4:] == [
        "1 of 4 data products built",
        "  ✗ a failed",
        "  ! b was skipped: it reads a",
        "  ! c was skipped: it reads b",
    ]
    assert polyport("history", mesh / "z", "--json").json()[0]["sequence"] == 1
    runs = {run["product"]: run for run in polyport("build", mesh, "--json").json()}
    assert outcomes(runs.values()) == {
        "a": "failed",
        "b": "skipped",
        "c": "skipped",
        "z": "unchanged",
    }
    assert len(runs["a"]["error"]["diagnostics"]) == 2


def test_yaml_that_cannot_be_read_at_all_stops_no_other(mesh, polyport):
    (mesh / "a/dataproduct.odps.yaml").write_text("id: [a\n")
    ended = polyport("build", mesh, "--json")
    assert ended.code == 2
    assert outcomes(ended.json())["z"] == "published"
    assert outcomes(ended.json())["a"] == "failed"


def test_where_all_are_wrong_nothing_is_built(mesh, polyport):
    for name in "abcz":
        misspelt(mesh / name)
    ended = polyport("build", mesh)
    assert ended.code == 2
    assert "0 of 4 data products built" in ended.err
    served = polyport("serve", mesh)
    assert served.code == 2
    assert "Traceback" not in served.err


def test_keys_agreements_and_the_doctor_work_beside_wrong_files(mesh, polyport):
    assert polyport("build", mesh).code == 0
    misspelt(mesh / "a")
    assert polyport("access", "key", "create", "carl", mesh).code == 0
    assert polyport("agreement", "list", mesh).code == 0
    found = {f["what"]: f["state"] for f in polyport("doctor", mesh, "--json").json()}
    assert (found["a"], found["z"]) == ("bad", "ok")


def test_as_json_each_product_has_its_outcome(mesh, polyport):
    (mesh / "b/transform/films.sql").write_text(
        "SELECT * REPLACE (error('no') AS title) FROM sheet"
    )
    ended = polyport("build", mesh, "--json")
    assert (ended.code, ended.err) == (3, "")
    runs = {run["product"]: run for run in ended.json()}
    assert outcomes(runs.values()) == {
        "a": "published",
        "b": "failed",
        "c": "skipped",
        "z": "published",
    }
    assert runs["b"]["error"]["code"] == "PP320"
    assert runs["c"]["reads"] == ["b"]


@pytest.mark.parametrize(("first", "second", "status"), [("a", "z", 3), ("z", "a", 8)])
def test_the_first_failure_gives_the_exit_status(mesh, polyport, first, second, status):
    broken(mesh / first)
    in_the_way = mesh / ".polyport/store" / second
    in_the_way.parent.mkdir(parents=True)
    in_the_way.touch()
    ended = polyport("build", mesh)
    assert ended.code == status
    assert "0 of 4 data products built" in ended.err
    assert "✗ a failed" in ended.err
    assert "✗ z failed" in ended.err
