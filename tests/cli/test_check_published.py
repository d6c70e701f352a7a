"""`polyport check` and `polyport build` against what was published: breaking changes take a new major version."""

from __future__ import annotations

import pytest

from polyport.model import Principal
from polyport.product import Product

TITLE = "{name: title, logicalType: string, physicalType: VARCHAR}"


@pytest.fixture
def contract(films):
    return films / "contracts/films.odcs.yaml"


def without_title(films, contract):
    contract.write_text(contract.read_text().replace(f"      - {TITLE}\n", ""))
    assert TITLE not in contract.read_text()
    sql = films / "transform/films.sql"
    sql.write_text(sql.read_text().replace(" title,", ""))
    settings = films / "polyport.yaml"
    settings.write_text(settings.read_text().replace("[id, title, cost]", "[id, cost]"))


def test_a_breaking_change_is_refused_by_check_with_its_places(polyport, films, contract):
    without_title(films, contract)
    found = polyport("check", films, "--json")
    assert found.code == 2
    (problem,) = [d for d in found.json() if d["severity"] == "error"]
    assert problem["code"] == "PP239"
    version, change = problem["places"]
    assert (version["line"], version["column"]) == (5, 10)
    assert "films.title" in change["label"]
    assert change["line"] > version["line"]
    assert "2.0.0" in problem["fix"]


def test_it_is_refused_by_build_before_anything_is_read(polyport, films, contract):
    without_title(films, contract)
    (films / "inputs/films.csv").unlink()  # would be the error otherwise
    before = polyport("history", films, "--runs", "--json").out
    found = polyport("build", films)
    assert found.code == 2
    assert "PP239" in found.err
    assert "what is published is unchanged" in found.err
    assert polyport("history", films, "--runs", "--json").out == before


def test_a_new_major_version_lets_it_through_once(polyport, films, contract):
    without_title(films, contract)
    contract.write_text(contract.read_text().replace("version: 1.0.0", "version: 2.0.0"))
    assert polyport("check", films).code == 0
    assert polyport("build", films).code == 0
    contract.write_text(contract.read_text().replace("physicalType: DATE", "physicalType: VARCHAR"))
    assert "PP239" in polyport("check", films).out


def test_a_risky_change_under_the_same_version_is_a_warning(polyport, films, contract):
    text = contract.read_text()
    contract.write_text(
        text.replace("{name: studio,", "{name: studio, classification: restricted,", 1)
    )
    found = polyport("check", films, "--json")
    (problem,) = [d for d in found.json() if d["code"] == "PP229"]
    assert (found.code, problem["severity"]) == (0, "warning")
    assert polyport("check", films, "--strict").code == 2
    contract.write_text(contract.read_text().replace("version: 1.0.0", "version: 1.1.0"))
    assert not [d for d in polyport("check", films, "--json").json() if d["code"] == "PP229"]


def renamed(films, contract, name="movies"):
    """The contract with another id, and the product's ports with it."""
    contract.write_text(contract.read_text().replace("id: films\n", f"id: {name}\n", 1))
    odps = films / "dataproduct.odps.yaml"
    odps.write_text(odps.read_text().replace("contractId: films", f"contractId: {name}"))
    assert f"id: {name}\n" in contract.read_text()
    assert f"contractId: {name}" in odps.read_text()


def test_a_contract_that_changes_its_id_is_compared_with_what_was_behind_its_port(
    polyport, films, contract
):
    without_title(films, contract)
    renamed(films, contract)
    found = polyport("check", films, "--json")
    assert found.code == 2
    (problem,) = [d for d in found.json() if d["code"] == "PP239"]
    assert (
        "`movies` 1.0.0 has 2 breaking changes since `films` 1.0.0 was published"
        in (problem["message"])
    )
    labels = " ".join(place["label"] for place in problem["places"])
    assert "films.title" in labels
    assert "id" in labels
    assert "PP239" in polyport("build", films).err
    contract.write_text(contract.read_text().replace("version: 1.0.0", "version: 2.0.0"))
    assert polyport("check", films).code == 0
    assert polyport("build", films).code == 0
    assert polyport("check", films).code == 0


def test_another_id_alone_takes_a_new_major_version_too(polyport, films, contract):
    renamed(films, contract)
    (problem,) = [d for d in polyport("check", films, "--json").json() if d["code"] == "PP239"]
    assert "1 breaking change since `films`" in problem["message"]


def test_an_older_major_of_a_port_takes_its_contract_along_under_another_id(
    polyport, films, contract
):
    """As docs/contracts.md has it: `films-v1` for the first major, `films` for the second."""
    older = contract.with_name("films-v1.odcs.yaml")
    text = contract.read_text()
    older.write_text(text.replace("id: films\n", "id: films-v1\n", 1))
    contract.write_text(text.replace("version: 1.0.0", "version: 2.0.0"))
    odps = films / "dataproduct.odps.yaml"
    port = "{name: rest, type: rest, version: 1.0.0, contractId: films}"
    both = f"{port.replace('films', 'films-v1')}, {port.replace('1.0.0', '2.0.0')}"
    assert port in odps.read_text()
    odps.write_text(odps.read_text().replace(port, both))
    columns = {
        "films": "{id: id, title: title, released: released, studio: studio, cost: cost}",
        "studios": "{studio: studio, films: films}",
    }
    mapping = ", ".join(f"{n}: {{from: {n}, columns: {c}}}" for n, c in columns.items())
    settings = films / "polyport.yaml"
    settings.write_text(
        f'{settings.read_text()}\nports: {{"rest@1": {{mapping: {{{mapping}}}}}}}\n'
    )
    told = polyport("check", films, "--json")
    assert not [d for d in told.json() if d["code"] in ("PP239", "PP229")], told.out
    older.write_text(older.read_text().replace(f"      - {TITLE}\n", ""))
    without = settings.read_text().replace(" title: title,", "")
    settings.write_text(without)
    told = polyport("check", films, "--json")
    problems = [d for d in told.json() if d["code"] == "PP239"]
    assert len(problems) == 1, told.out
    assert "`films-v1` 1.0.0 has 1 breaking change since `films`" in problems[0]["message"]


def test_check_makes_no_ledger(polyport, films, tmp_path):
    import shutil

    copy = shutil.copytree(films, tmp_path / "plain", ignore=shutil.ignore_patterns(".polyport"))
    assert polyport("check", copy).code == 0
    assert not (copy / ".polyport").exists()
    before = sorted(path.name for path in (films / ".polyport").iterdir())
    assert polyport("check", films).code == 0
    assert sorted(path.name for path in (films / ".polyport").iterdir()) == before


def test_a_damaged_ledger_is_told(polyport, films, contract):
    for each in (films / ".polyport").glob("ledger.sqlite*"):
        each.write_bytes(b"this is no database" * 100)
    found = polyport("check", films)
    assert (found.code, "the ledger cannot be read" in found.err) == (8, True)


def test_diff_by_id_tells_who_breaks(polyport, films, contract):
    reader = Principal("ann", frozenset({"accountant"}))
    with Product.load(films) as product, product.open(reader, port="rest") as view:
        view.scan("films", columns=["title"]).read_all()
    without_title(films, contract)
    found = polyport("diff", "--contract", "films", films)
    assert found.code == 1
    assert "breaking: column `films.title` is removed" in found.out
    assert "breaks ann: 1 read, last 20" in found.out
    document = polyport("diff", "--contract", "films", films, "--json").json()
    custom = {p["property"]: p["value"] for p in document["customProperties"]}
    (title,) = custom["polyport.affected"]
    assert [
        (c["principal"], c["reads"]) for c in title["consumers"] if c["principal"] == "ann"
    ] == [("ann", 1)]


def test_diff_takes_what_was_kept_by_snapshot_or_version(polyport, films, contract):
    before = contract.read_text()
    without_title(films, contract)
    contract.write_text(contract.read_text().replace("version: 1.0.0", "version: 2.0.0"))
    assert polyport("build", films).code == 0
    assert polyport("diff", "--contract", "films", films, "--from", "latest").code == 0
    for ref in ("1.0.0", "1", "spring"):
        assert polyport("diff", "--contract", "films", films, "--from", ref).code == 1
    found = polyport(
        "diff", "--contract", "films", films, "--from", "latest", "--to", "1.0.0", "--json"
    )
    assert found.json()["source2"]["version"] == "1.0.0"
    old = films.parent / "old.odcs.yaml"
    old.write_text(before)
    assert polyport("diff", "--contract", old, films).code == 1
    assert polyport("diff", "--contract", "films", old, films, "--from", "latest").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--contract", "nope"], 5, "contracts: films"),
        (["--contract", "films", "--from", "9.9.9"], 5, "9.9.9"),
        (["--contract", "gone.odcs.yaml"], 5, "no file gone.odcs.yaml"),
        (["--contract", "contracts/films.odcs.yaml", "--from", "1"], 2, "--from 1"),
        (["contracts/films.odcs.yaml"], 2, "--contract OLD"),
        ([".", "contracts"], 2, "one folder"),
    ],
)
def test_what_cannot_be_compared_is_told(polyport, films, arguments, code, said):
    found = polyport("diff", *arguments, folder=films)
    assert (found.code, said in found.err) == (code, True), found.err
