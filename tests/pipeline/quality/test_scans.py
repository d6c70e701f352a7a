"""How often rows are looked at."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from polyport.descriptor.types import Property, Relationship, SchemaObject
from polyport.pipeline.quality import Before

from .conftest import NOW, rule, table

ROWS = 50


def data(**more):
    return pa.table(
        {
            "k": list(range(ROWS)),
            "x": [f"v{i}" for i in range(ROWS)],
            "n": [float(i) for i in range(ROWS)],
            **more,
        }
    )


def row_rules():
    yield rule("nullValues", column="x", mustBe=0)
    yield rule("nullValues", column="n", mustBeLessThan=5, unit="percent")
    yield rule("missingValues", column="x", mustBe=0)
    yield rule("invalidValues", column="x", arguments={"pattern": "^v", "maxLength": 9}, mustBe=0)
    yield rule("invalidValues", column="n", arguments={"minimum": 0}, mustBe=0)
    yield rule("rowCount", column="", mustBe=ROWS)


COLUMNS = (
    Property("k", required=True, tags=("time",)),
    Property("x", options={"minLength": 1, "pattern": "v"}, required=True),
    Property("n", options={"minimum": 0, "maximum": ROWS, "multipleOf": 1}),
)


def test_all_row_rules_of_a_table_take_one_scan(bench):
    rules = [replace(r, id=f"r{i}") for i, r in enumerate(row_rules())]
    bench.add(table(*rules, columns=COLUMNS), data())
    found = bench.gate()
    assert {r.status for r in found.report.results if r.kind != "built-in"} == {"pass"}
    assert len([r for r in found.report.results if r.kind != "built-in"]) == 13
    assert len(bench.engine.scans) == 1


def test_each_set_of_unique_columns_takes_one_query_however_many_ask(bench):
    columns = (
        Property("k", primary_key=True, primary_key_position=1, unique=True),
        Property("x", primary_key=True, primary_key_position=2),
        Property("n"),
    )
    rules = [
        replace(
            rule("duplicateValues", column="", arguments={"properties": ["x", "k"]}, mustBe=0),
            id="a",
        ),
        replace(rule("duplicateValues", column="k", mustBeLessThan=1, unit="percent"), id="b"),
    ]
    bench.add(table(*rules, columns=columns), data())
    bench.gate()
    bounds, marks = bench.engine.scans[-2:]
    assert len(bench.engine.scans) == 4  # rows; k and x; the bounds of k, from the footers; k
    assert ("min(" in bounds, "bitstring_agg(" in marks) == (True, True)


def test_each_relationship_and_sql_rule_takes_one_query(bench):
    rules = [
        replace(rule(type="sql", query="SELECT count(*) FROM t", mustBe=ROWS), id=f"s{i}")
        for i in range(2)
    ]
    bench.add(table(*rules, columns=COLUMNS), data())
    other = SchemaObject("o", (Property("k"),), relationships=(Relationship(("k",), "t", ("k",)),))
    bench.add(other, pa.table({"k": [1]}))
    bench.gate()
    assert len(bench.engine.scans) == 2 + 2 + 1


def test_only_rules_that_fail_take_a_query_for_examples(bench):
    rules = [
        replace(
            rule("invalidValues", column="x", arguments={"pattern": "^v[0-4]"}, mustBe=0), id="a"
        ),
        replace(rule("invalidValues", column="n", arguments={"maximum": 5}, mustBe=0), id="b"),
        replace(rule("nullValues", column="n", mustBe=0), id="c"),
    ]
    bench.add(table(*rules, columns=COLUMNS), data())
    bench.gate()
    assert len(bench.engine.scans) == 1 + 2


def test_quarantine_takes_one_scan_more(bench):
    made = rule(
        "invalidValues", column="n", arguments={"maximum": 5}, mustBe=0, on_failure="quarantine"
    )
    bench.add(table(made, *(replace(r, id=f"r{i}") for i, r in enumerate(row_rules()))), data())
    bench.gate()
    aggregates = [sql for sql in bench.engine.scans if "FILTER" in sql]
    assert len(aggregates) == 2
    assert len(bench.engine.scans) == 2 + 1  # and the examples of what was set aside


def test_facts_against_the_snapshot_before(bench):
    columns = (Property("k", primary_key=True), *COLUMNS[1:])
    bench.add(table(columns=columns), data())
    before = Before({"t": bench.relation("t", data())}, {"t": [ROWS] * 9}, {"t": NOW})
    bench.gate(before=before)
    assert (
        len(bench.engine.scans) == 6
    )  # rows; the key and its bounds; rows before; the same rows; keys gone
    bench.gate(before=replace(before, tables={"t": bench.relation("t", data().slice(1))}))
    assert len(bench.engine.scans) == 5  # another number of rows: not the same
