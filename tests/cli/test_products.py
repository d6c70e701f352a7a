"""Commands on one product: build, history, rows, diff, quality, doctor."""

from __future__ import annotations

import shutil

import pytest

from polyport.testing.output_port import ROWS, write_rows


def errors(ended, code, status):
    assert ended.code == status, ended.err
    assert f"error[{code}]: " in ended.err
    assert "Traceback" not in ended.err
    return ended.err


# build


def test_a_build_says_each_step_what_it_found_and_what_to_do_next(polyport, films):
    write_rows(films, ROWS)
    ended = polyport("build", films)
    assert (ended.code, ended.out) == (0, "")
    for words in ("✓ read      sheet", "✓ transform films", " check     quality ", "✓ publish "):
        assert words in ended.err
    assert "Published snapshot 4" in ended.err
    assert "since 3" in ended.err
    assert f"polyport serve {films}" in ended.err
    assert f"polyport diff {films}" in ended.err


def test_a_build_that_changes_nothing_says_so(polyport, films):
    ended = polyport("build", films)
    assert ended.code == 0
    assert "Nothing changed: snapshot 3 stays" in ended.err
    assert "Published" not in ended.err
    (run,) = polyport("build", films, "--json").json()
    assert (run["outcome"], run["product"]) == ("unchanged", "films")
    assert len(polyport("history", films, "--json").json()) == 3


def test_a_build_as_json_is_its_run_and_nothing_else(polyport, films):
    write_rows(films, ROWS)
    ended = polyport("build", films, "--json")
    assert (ended.code, ended.err) == (0, "")
    (run,) = ended.json()
    assert run["outcome"] == "published"
    assert run["snapshot"].startswith("00000004-")
    assert [step["stage"] for step in run["steps"]] == [
        "raw",
        "read",
        "transform",
        "transform",
        "check",
        "publish",
    ]


def test_the_default_folder_is_the_current_one(polyport, films):
    assert polyport("build", folder=films).code == 0
    assert polyport("history", folder=films).out.count("\n") == 4


def test_a_bad_row_is_status_3_and_changes_nothing(polyport, films):
    before = polyport("rows", "films", films, "--json").json()
    write_rows(films, [*ROWS, ROWS[0]])
    said = errors(polyport("build", films), "PP330", 3)
    assert "id is unique" in said
    assert "snapshot 3 is still served" in said
    assert polyport("rows", "films", films, "--json").json() == before
    told = polyport("build", films, "--json")
    assert (told.code, told.json()["error"]["code"]) == (3, "PP330")
    asked = polyport("quality", films)
    assert asked.code == 3
    assert "✗ id is unique" in asked.out
    assert "nothing was published" in asked.out
    assert polyport("quality", films, "--snapshot", "3").code == 0
    (held, *_), runs = polyport("history", films, "--runs", "--json").json(), 5
    assert held["outcome"] == "refused"
    assert "id is unique" in held["error"]
    assert len(polyport("history", films, "--runs", "--json").json()) == runs + 1


def test_a_run_is_built_again_from_what_it_received_when_the_source_is_gone(polyport, films):
    runs = polyport("history", films, "--runs", "--json").json()
    first = runs[-1]
    assert first["outcome"] == "published"
    shutil.rmtree(films / "inputs")
    errors(polyport("build", films), "PP310", 3)
    (run,) = polyport("build", films, "--from-run", first["id"], "--json").json()
    assert run["outcome"] == "published"
    now = polyport("rows", "films", films, "--json").json()
    assert now == polyport("rows", "films", films, "--snapshot", "1", "--json").json()
    assert len(now) == 4


def test_a_run_that_is_not_kept(polyport, films):
    said = errors(polyport("build", films, "--from-run", "nope"), "PP410", 5)
    assert "'nope'" in said
    assert "kept: " in said


def test_no_product_here(polyport, tmp_path):
    for command in ("build", "history", "rows", "diff", "quality", "serve"):
        arguments = ("x", tmp_path) if command == "rows" else (tmp_path,)
        said = errors(polyport(command, *arguments), "PP200", 2)
        assert "no data product in" in said
        assert "polyport init" in said


def test_a_wrong_descriptor_shows_all_problems(polyport, films):
    path = films / "polyport.yaml"
    path.write_text(
        path.read_text().replace("type: files", "type: flies").replace("mask:", "maks:")
    )
    said = errors(polyport("build", films), "PP100", 2)
    assert said.count("polyport.yaml:") >= 2
    assert "did you mean" in said
    told = polyport("build", films, "--json")
    assert (told.code, told.err) == (2, "")
    assert {d["places"][0]["line"] for d in told.json()["error"]["diagnostics"]} == {2, 7, 15}


@pytest.mark.parametrize(
    "name", ["dataproduct.odps.yaml", "contracts/films.odcs.yaml", "polyport.yaml"]
)
def test_one_file_is_checked_alone(polyport, films, name):
    ended = polyport("check", films / name)
    assert (ended.code, ended.err) == (0, "")
    assert f"✓ {films / name} is well formed" in ended.out
    (films / name).write_text("a: [1\n")
    bad = polyport("check", films / name, "--json")
    assert bad.code == 2
    assert [d["code"] for d in bad.json()] == ["PP002"]


# history


def test_history_is_newest_first(polyport, built):
    lines = polyport("history", built).out.splitlines()
    assert lines[0].split() == ["snapshot", "committed", "rows", "tag", "id"]
    assert [line.split()[0] for line in lines[1:]] == ["3", "2", "1"]
    assert ["spring" in line for line in lines[1:]] == [False, False, True]
    assert "films 4, studios 2" in lines[1]
    told = polyport("history", built, "--json").json()
    assert [s["sequence"] for s in told] == [3, 2, 1]
    assert told[0]["rows"] == {"films": 4, "studios": 2}
    assert told[0]["inputs"].keys() == {"sheet"}


def test_runs_are_told_with_what_came_of_them(polyport, built):
    lines = polyport("history", built, "--runs").out.splitlines()
    assert [line.split()[1] for line in lines] == ["outcome", "unchanged", *["published"] * 3]


def test_history_before_the_first_build(polyport, films):
    shutil.rmtree(films / ".polyport")
    ended = polyport("history", films)
    assert (ended.code, ended.out) == (0, "")
    assert "polyport build" in ended.err
    assert polyport("history", films, "--json").json() == []
    errors(polyport("rows", "films", films), "PP410", 5)
    errors(polyport("diff", films), "PP410", 5)
    errors(polyport("quality", films), "PP410", 5)
    assert "no snapshot yet" in polyport("doctor", films).out


# rows


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ([], [2, 3, 4, 9]),
        (["--limit", "2"], [2, 3]),
        (["--limit", "0"], [2, 3, 4, 9]),
        (["--sort", "-id"], [9, 4, 3, 2]),
        (["--sort", "studio,-id"], [9, 4, 3, 2]),
        (["--where", "studio = 'Fox' and cost is not null"], [4, 9]),
        (["--where", "released between date '1984-01-01' and date '1999-12-31'"], [2, 3]),
        (["--where", "title like '%\"Heat%'"], [3]),
        (["--where", "id > 1000"], []),
        (["--snapshot", "1"], [1, 2, 3, 4]),
        (["--snapshot", "spring"], [1, 2, 3, 4]),
        (["--snapshot", "2"], [2, 3, 4, 9]),
    ],
)
def test_rows(polyport, built, options, ids):
    ended = polyport("rows", "films", built, *options, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert [row["id"] for row in ended.json()] == ids
    shown = polyport("rows", "films", built, *options)
    assert len(shown.out.splitlines()) == 1 + len(ids)
    assert f"{len(ids)} of 4 rows, snapshot" in shown.err


def test_rows_as_of_ids_and_times(polyport, built):
    _, second, first = polyport("history", built, "--json").json()
    for snapshot in (second, first):
        expected = polyport("rows", "films", built, "--snapshot", snapshot["sequence"]).out
        for ref in (snapshot["id"], snapshot["committed_at"]):
            assert polyport("rows", "films", built, "--snapshot", ref).out == expected


def test_columns_in_the_order_asked_for_and_values_whole(polyport, built):
    ended = polyport("rows", "films", built, "--columns", "cost, id", "--json")
    assert [list(row) for row in ended.json()] == [["cost", "id"]] * 4
    assert [row["cost"] for row in ended.json()] == ["41.00", None, "0.10", "1.00"]
    shown = polyport("rows", "films", built, "--columns", "cost,id").out.splitlines()
    assert shown == [" cost  id", "41.00   2", "        3", " 0.10   4", " 1.00   9"]


def test_the_first_dataset_is_the_default(polyport, built):
    assert polyport("rows", folder=built).out == polyport("rows", "films", folder=built).out


@pytest.mark.parametrize(
    ("options", "code", "status", "says"),
    [
        (["--columns", "idd"], "PP420", 6, "did you mean 'id'?"),
        (["--sort", "-nope"], "PP420", 6, "no column 'nope'"),
        (["--where", "stduio = 'x'"], "PP420", 6, "did you mean 'studio'?"),
        (["--where", "id >"], "PP420", 6, "--where 'id >', column 5"),
        (["--where", "id = 'a'; drop table films"], "PP420", 6, "';'"),
        (["--where", "id = 'abc'"], "PP420", 6, "abc"),
        (["--where", "released = date '2026-13-01'"], "PP420", 6, "2026-13-01"),
        (["--snapshot", "99"], "PP410", 5, "no snapshot '99'"),
        (["--snapshot", "sprong"], "PP410", 5, "sprong"),
        (["--snapshot", "2001-01-01"], "PP410", 5, "2001-01-01"),
        (["--snapshot", ""], "PP410", 5, "latest"),
    ],
)
def test_rows_that_cannot_be_shown(polyport, built, options, code, status, says):
    assert says in errors(polyport("rows", "films", built, *options), code, status)
    told = polyport("rows", "films", built, *options, "--json")
    assert (told.code, told.err, told.json()["error"]["code"]) == (status, "", code)


def test_an_unknown_dataset(polyport, built):
    assert "films" in errors(polyport("rows", "flims", built), "PP410", 5)


def test_reads_by_the_command_line_are_metered(polyport, films):
    from polyport.product import Product

    polyport("rows", "films", films, "--limit", "3", "--columns", "id")
    with Product.load(films) as product:
        (read,) = product.ledger.reads("films", limit=1)
    assert (read["port"], read["rows"], read["columns"]) == ("cli", 3, ("id",))


# diff


def test_diff_by_key(polyport, built):
    ended = polyport("diff", built, "--from", "1", "--to", "2")
    assert ended.code == 0
    title, *rows = ended.out.splitlines()
    assert title == "films  +1 added  ~1 changed  -1 removed  from snapshot 1 to 2"
    assert rows == [
        "  - 1  title=Alien, released=1979-05-25, studio=Fox, cost=11.50",
        "  ~ 2  cost: 40.25 → 41.00",
        "  + 9  title=New, released=2026-01-01, studio=Fox, cost=1.00",
    ]
    told = polyport("diff", built, "--from", "1", "--to", "2", "--json").json()
    assert (told["from"], told["to"]) == (1, 2)
    assert told["datasets"]["films"]["counts"] == {"added": 1, "removed": 1, "changed": 1}
    assert told["datasets"]["films"]["key"] == ["id"]
    assert len(told["datasets"]["films"]["rows"]) == 3


def test_diff_without_a_key(polyport, films):
    write_rows(films, ROWS[:3])
    polyport("build", films)
    ended = polyport("diff", films, "--dataset", "studios")
    lines = ended.out.splitlines()
    assert lines[0].startswith("studios  +")
    assert "changed" not in lines[0]
    assert {line.split()[0] for line in lines[1:]} == {"+", "-"}
    assert any("studio=Fox, films=2" in line for line in lines)
    assert not any("  films  " in line for line in lines)


def test_diff_of_equal_snapshots_and_of_new_datasets(polyport, built):
    assert polyport("diff", built, "--from", "2", "--to", "2").out == (
        "No rows differ between snapshots 2 and 2.\n"
    )
    told = polyport("diff", built, "--json").json()
    assert (told["from"], told["to"], told["datasets"]) == (2, 3, {})


def test_diff_shows_no_more_than_asked(polyport, built):
    two = ("--from", "1", "--to", "2")
    one = polyport("diff", built, *two, "--limit", "1")
    assert len(one.out.splitlines()) == 2
    assert "2 more; --limit 3 shows all" in one.err
    none = polyport("diff", built, *two, "--limit", "0")
    assert len(none.out.splitlines()) == 1
    assert polyport("diff", built, *two, "--limit", "3").err == ""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--from", "99"], "99"),
        (["--to", "99"], "99"),
        (["--to", "1"], "snapshot 1 is the first"),
        (["--dataset", "flims", "--from", "1"], "flims"),
        (["--dataset", "studios", "--from", "1"], "studios"),
    ],
)
def test_diff_of_what_is_not_there(polyport, built, options, says):
    assert says in errors(polyport("diff", built, *options), "PP410", 5)


# quality


def test_quality_tells_each_rule_of_the_last_build(polyport, built):
    ended = polyport("quality", built)
    assert ended.code == 0
    assert "nothing had changed" in ended.out
    assert "films  4 rows, 4 before" in ended.out
    assert "  ✓ id is unique\n" in ended.out
    told = polyport("quality", built, "--json").json()
    assert {r["dataset"] for r in told["results"]} == {"films", "studios"}
    first = polyport("quality", built, "--snapshot", "1", "--json").json()
    assert first["snapshot"].startswith("00000001-")
    assert {r["dataset"] for r in first["results"]} == {"films"}
    assert f"snapshot {first['snapshot']}" in polyport("quality", built, "--snapshot", "1").out


def test_quality_of_an_unknown_snapshot(polyport, built):
    errors(polyport("quality", built, "--snapshot", "9"), "PP410", 5)


# doctor


def test_doctor_finds_all_well(polyport, built):
    ended = polyport("doctor", built)
    assert (ended.code, ended.err) == (0, "")
    assert "✗" not in ended.out
    assert "3 snapshots, newest 3; every file is there and whole" in ended.out
    told = polyport("doctor", built, "--json").json()
    assert {f["state"] for f in told} <= {"ok", "note"}
    assert {"Python", "disk", "duckdb", "films"} <= {f["what"] for f in told}
    walls = {"wall: files", "wall: calls", "wall: rights", "wall: network"}
    assert walls <= {f["what"] for f in told}


def parquet(home):
    return max(home.glob(".polyport/store/**/films*.parquet"))


def truncate(home):
    path = parquet(home)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-9])


def swap(home):
    """Whole Parquet, but not these rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = parquet(home)
    path.unlink()
    pq.write_table(pa.table({"id": [1]}), path)


def garble(home):
    path = max(home.glob(".polyport/store/**/snapshots/*.json"))
    path.chmod(0o644)
    path.write_text("{")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda home: parquet(home).unlink(), "is missing"),
        (truncate, "is damaged"),
        (swap, "the files hold 1 rows instead of 4"),
        (garble, "the manifest is damaged"),
    ],
    ids=["missing", "truncated", "swapped", "manifest"],
)
def test_doctor_finds_a_damaged_store(polyport, films, harm, says):
    harm(films)
    ended = polyport("doctor", films)
    assert ended.code == 1
    (line,) = [x for x in ended.out.splitlines() if x.startswith("✗") and x.split()[1] == "films"][
        :1
    ]
    assert says in line
    told = polyport("doctor", films, "--json")
    assert told.code == 1
    assert "bad" in {f["state"] for f in told.json() if f["what"] == "films"}


def test_doctor_where_there_is_no_product(polyport, tmp_path):
    ended = polyport("doctor", tmp_path)
    assert ended.code == 0
    assert "no data product in" in ended.out


def test_doctor_with_little_space(polyport, built, monkeypatch):
    monkeypatch.setattr("polyport.cli.doctor.LITTLE_SPACE", 1 << 62)
    ended = polyport("doctor", built)
    assert ended.code == 1
    assert "✗ disk" in ended.out
