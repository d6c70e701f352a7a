"""Rows that hold a build back: kept for its owner, with the rule that they break, and up to a limit."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from polyport.descriptor.types import Property, Relationship, SchemaObject
from polyport.pipeline.quality import held

from .conftest import RUN, rule, table

COLUMNS = (Property("k", primary_key=True), Property("x"), Property("y"))


def kept(bench, name="t"):
    file = bench.folder / "quarantine" / held.file_name(name, RUN)
    return pq.read_table(file).to_pylist() if file.exists() else None


def test_each_rule_that_stopped_the_build_keeps_its_rows(bench):
    small = replace(
        rule("invalidValues", column="y", arguments={"maximum": 10}, mustBe=0), id="small"
    )
    soft = replace(rule("nullValues", column="x", mustBe=0, severity="warning"), id="soft")
    bench.add(
        table(small, soft, columns=COLUMNS),
        pa.table({"k": [1, 1, 2, None], "x": ["a", "b", None, "c"], "y": [1, 2, 30, 4]}),
    )
    assert bench.gate().report.stops
    found = {(r["_rule"], r["k"], r["y"]) for r in kept(bench)}
    assert found == {
        ("small", 2, 30), ("t.primary-key", 1, 1), ("t.primary-key", 1, 2), ("t.k.required", None, 4),
    }  # fmt: skip
    assert {r["_reason"] for r in kept(bench) if r["_rule"] == "small"} == {"y is at most 10"}
    assert {r["_run"] for r in kept(bench)} == {RUN}


def test_rows_that_refer_to_nothing(bench):
    link = Relationship(("y",), "other", ("k",))
    bench.add(
        replace(table(columns=COLUMNS), relationships=(link,)),
        pa.table({"k": [1, 2], "x": ["a", "b"], "y": [1, 7]}),
    )
    bench.add(SchemaObject("other", (Property("k"),)), pa.table({"k": [1]}))
    assert bench.gate().report.stops
    assert [(r["k"], r["_rule"]) for r in kept(bench)] == [(2, "t.y.refers-to.other.k")]


def test_a_build_that_goes_on_keeps_none_nor_does_one_that_no_row_stopped(bench):
    soft = rule("nullValues", mustBe=0, severity="warning")
    bench.add(table(soft, columns=COLUMNS), pa.table({"k": [1], "x": [None], "y": [1]}))
    assert not bench.gate().report.stops
    assert kept(bench) is None
    bench.add(
        table(rule("rowCount", column="", mustBe=9), columns=COLUMNS),
        pa.table({"k": [1], "x": ["a"], "y": [1]}),
    )
    assert bench.gate().report.stops
    assert kept(bench) is None


def test_no_more_than_the_limit_of_each_rule(bench):
    many = held.MOST + 5
    bench.add(
        table(rule("nullValues", mustBe=0), columns=COLUMNS),
        pa.table({"k": range(many), "x": pa.nulls(many, pa.string()), "y": [1] * many}),
    )
    assert bench.gate().report.stops
    assert len(kept(bench)) == held.MOST


def test_columns_that_are_called_alike_stay(bench):
    columns = (Property("k", required=True), Property("_rule"))
    bench.add(table(columns=columns), pa.table({"k": [None], "_rule": ["mine"]}))
    assert bench.gate().report.stops
    assert [(r["_rule_"], r["_rule"]) for r in kept(bench)] == [("mine", "t.k.required")]


def test_values_in_conditions_are_bound(bench):
    odd = "it's $q1_0 \"; --"
    bench.add(
        table(rule("invalidValues", arguments={"validValues": [odd]}, mustBe=0), columns=COLUMNS),
        pa.table({"k": [1, 2], "x": [odd, "other"], "y": [1, 1]}),
    )
    assert bench.gate().report.stops
    assert [r["k"] for r in kept(bench)] == [2]
