"""Rows that a rule refuses: set aside once, with the rule and the reason; the rest goes on."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyport.descriptor.types import Property, Relationship, SchemaObject
from polyport.errors import StoreError
from polyport.pipeline.quality import held
from polyport.pipeline.quality.aside import field_ids

from .conftest import RUN, result, rule, table

COLUMNS = (Property("k", primary_key=True), Property("x"), Property("y"))
DATA = pa.table({"k": [1, 2, 3, 4], "x": ["a", None, "bad", None], "y": [1, 2, 30, 40]})


def strict(metric, column, **given):
    return rule(metric, column=column, on_failure="quarantine", **{"mustBe": 0, **given})


FILLED = replace(strict("nullValues", "x"), id="filled")
SMALL = replace(strict("invalidValues", "y", arguments={"maximum": 10}), id="small")


def rows(path):
    return sorted(pq.read_table(path).to_pylist(), key=lambda r: r["k"])


def test_rows_go_to_quarantine_with_rules_and_reasons(bench):
    before = bench.add(table(FILLED, SMALL, columns=COLUMNS), DATA)
    gate = bench.gate()
    assert rows(gate.quarantined["t"]) == [
        {
            "k": 2,
            "x": None,
            "y": 2,
            "_rule": "filled",
            "_reason": "x is filled; found: null",
            "_run": RUN,
        },
        {
            "k": 3,
            "x": "bad",
            "y": 30,
            "_rule": "small",
            "_reason": "y is at most 10; found: 30",
            "_run": RUN,
        },
        {
            "k": 4,
            "x": None,
            "y": 40,
            "_rule": "filled; small",
            "_reason": "x is filled; found: null; y is at most 10; found: 40",
            "_run": RUN,
        },
    ]
    after = gate.candidates["t"]
    assert rows(after.table.files[0]) == [{"k": 1, "x": "a", "y": 1}]
    assert (after.table.rows, after.table.schema) == (1, before.table.schema)
    assert not before.table.files[0].exists()
    assert after.table.files[0].parent == before.table.files[0].parent
    assert gate.report.tables["t"].rows == 1
    assert not gate.report.stops


def test_the_rule_passes_and_says_how_many(bench):
    bench.add(table(FILLED, SMALL, columns=COLUMNS), DATA)
    gate = bench.gate()
    filled, small = result(gate, "filled"), result(gate, "small")
    assert (filled.status, filled.rows_refused, filled.rows_failing) == ("pass", 2, 0)
    assert (filled.rows_checked, filled.measured) == (1, 0)
    assert filled.reason == "set aside 2 rows (50 %): 2, 4"
    assert (small.rows_refused, small.reason) == (2, "set aside 2 rows (50 %): 30, 40")


def test_all_other_rules_see_what_remains(bench):
    rules = (
        FILLED,
        replace(rule("nullValues", mustBe=0), id="also"),
        replace(rule("rowCount", column="", mustBe=2), id="count"),
        replace(rule(type="sql", query="SELECT count(*) FROM t", mustBe=2), id="sql"),
        replace(rule("duplicateValues", column="y", mustBe=0), id="twice"),
    )
    bench.add(table(*rules, columns=COLUMNS), DATA.set_column(2, "y", pa.array([1, 1, 3, 4])))
    other = SchemaObject(
        "other", (Property("of"),), relationships=(Relationship(("of",), "t", ("k",)),)
    )
    bench.add(other, pa.table({"of": [1, 2]}))
    gate = bench.gate()
    assert {result(gate, n).status for n in ("filled", "also", "count", "sql", "twice")} == {"pass"}
    assert result(gate, "other.of.refers-to.t.k").rows_failing == 1


def test_invalid_values_by_the_schema_are_set_aside_before_the_schema_is_judged(bench):
    columns = (
        Property("k", primary_key=True),
        Property("x"),
        Property("y", options={"maximum": 10}),
    )
    bench.add(table(strict("invalidValues", "y"), columns=columns), DATA)
    gate = bench.gate()
    assert result(gate, "t.y.range").status == "pass"
    assert result(gate, "r").rows_refused == 2


def test_nothing_is_set_aside_while_the_rule_holds(bench):
    made = strict("nullValues", "x", mustBe=None)
    made = replace(made, operator="mustBeLessOrEqualTo", threshold=50, unit="percent")
    given = bench.add(table(made, columns=COLUMNS), DATA)
    gate = bench.gate()
    assert gate.candidates["t"] == given
    assert not gate.quarantined
    assert not (bench.folder / "quarantine").exists()
    assert (result(gate, "r").status, result(gate, "r").rows_refused) == ("pass", 0)


def test_a_rule_that_would_refuse_every_row_fails_instead(bench):
    made = strict("invalidValues", "y", arguments={"maximum": 0})
    given = bench.add(table(made, columns=COLUMNS), DATA)
    gate = bench.gate()
    found = result(gate, "r")
    assert (found.status, found.rows_failing, found.rows_refused) == ("fail", 4, 0)
    assert found.reason == "4 rows (100 %): 1, 2, 30, 40; not set aside, for no row would remain"
    assert gate.candidates["t"] == given
    assert given.table.files[0].exists()
    assert not gate.quarantined
    (left,) = (bench.folder / "quarantine").iterdir()
    assert left.name == held.file_name("t", RUN), "what held the build back, for its owner"


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (rule("duplicateValues", mustBe=0), "only a rule that single rows break"),
        (rule("rowCount", mustBe=4), "only a rule that single rows break"),
        (rule(type="sql", query="SELECT 1", mustBe=1), "only a rule that single rows break"),
        (rule("nullValues", mustBeGreaterThan=5), "it wants > 5 rows"),
        (rule("nullValues", mustBe=1), "it wants = 1 rows"),
    ],
)
def test_other_rules_cannot_set_rows_aside(bench, made, reason):
    bench.add(table(replace(made, on_failure="quarantine"), columns=COLUMNS), DATA)
    found = bench.one("r")
    assert found.status == "error"
    assert reason in found.reason


def test_a_warning_can_set_rows_aside_too(bench):
    bench.add(table(replace(FILLED, severity="warning"), columns=COLUMNS), DATA)
    assert bench.one("filled").rows_refused == 2


def test_columns_that_have_our_names(bench):
    columns = (Property("k"), Property("_rule"), Property("_run"))
    data = pa.table({"k": [1, 2], "_rule": ["mine", None], "_run": [5, 6]})
    bench.add(table(strict("nullValues", "_rule"), columns=columns), data)
    (row,) = rows(bench.gate().quarantined["t"])
    assert row == {
        "k": 2,
        "_rule_": None,
        "_run_": 6,
        "_rule": "r",
        "_reason": "_rule is filled; found: null",
        "_run": RUN,
    }


@pytest.mark.parametrize("name", ["../up", "a/b", "C:\\x", "sp ace"])
def test_the_file_stays_in_its_folder(bench, name):
    thing = replace(table(replace(FILLED, dataset=name), columns=COLUMNS), name=name)
    bench.add(thing, DATA)
    file = bench.gate().quarantined[name]
    assert file.parent == bench.folder / "quarantine"
    assert file.exists()


def test_values_of_every_type_come_through(bench):
    data = (
        "SELECT i AS k, CASE WHEN i = 0 THEN 'a' END AS x, {'a': [i], 'b': MAP {'m': i}} AS y, DATE '2020-01-01' AS d, "
        "1.5::DECIMAL(10,2) AS n, 'raw'::BLOB AS b, TIMESTAMPTZ '2020-01-01 00:00:00+00' AS z FROM range(3) AS r(i)"
    )
    given = bench.add(table(FILLED, columns=COLUMNS), data)
    whole = pq.read_table(given.table.files[0])
    gate = bench.gate()
    aside = pq.read_table(gate.quarantined["t"])
    kept = pq.read_table(gate.candidates["t"].table.files[0])
    assert aside.num_rows == 2
    assert aside.select(whole.column_names).schema.types == whole.schema.types
    assert kept.schema.types == whole.schema.types


IDS = {
    "k": 1,
    "x": 2,
    "y": {"": 3, "a": {"": 4, "element": 5}, "b": {"": 6, "key": 7, "value": 8}},
}


def test_iceberg_field_ids_are_kept(bench):
    data = "SELECT i AS k, CASE WHEN i = 0 THEN 'a' END AS x, {'a': [i], 'b': MAP {'m': i}} AS y FROM range(3) AS r(i)"
    given = bench.add(table(FILLED, columns=COLUMNS), data, field_ids=IDS)
    assert field_ids(pq.read_schema(given.table.files[0])) == IDS
    kept = bench.gate().candidates["t"]
    assert field_ids(pq.read_schema(kept.table.files[0])) == IDS


def test_no_field_ids_where_there_were_none(bench):
    given = bench.add(table(FILLED, columns=COLUMNS), DATA)
    assert field_ids(pq.read_schema(given.table.files[0])) == {}


def test_no_room_is_an_error_and_the_candidate_is_left(bench, monkeypatch):
    def full(*_args, **_more):
        raise StoreError("no space left")

    given = bench.add(table(FILLED, columns=COLUMNS), DATA)
    monkeypatch.setattr(bench.engine, "write", full)
    with pytest.raises(StoreError, match="no space left"):
        bench.gate()
    assert given.table.files[0].exists()


def test_hostile_reasons_are_only_text(bench):
    made = strict("invalidValues", "x", arguments={"pattern": "'; DROP TABLE t; -- $_run0 {x}"})
    bench.add(table(replace(made, id="it's $1"), columns=COLUMNS), DATA)
    bench.add(
        table(replace(made, id="it's $1"), columns=COLUMNS),
        DATA.set_column(1, "x", pa.array(["'; DROP TABLE t; -- _run0 {x}", "b", None, None])),
    )
    row = rows(bench.gate().quarantined["t"])[0]
    assert row["_rule"] == "it's $1"
    assert row["_reason"].startswith("x matches '; DROP TABLE t; -- $_run0 {x}; found: ")
