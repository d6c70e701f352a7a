"""What lies inside of a column: types, presence, allowed values and rules, as for columns."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from polyport.descriptor.types import Property, SchemaObject

from .conftest import result, rule

ADDRESS = Property(
    "address",
    "object",
    properties=(
        Property("street", "string", required=True, options={"maxLength": 4}),
        Property("it's", "object", properties=(Property("lat", "number", options={"minimum": 0}),)),
    ),
)
LINES = Property(
    "lines",
    "array",
    items=Property(
        "[]",
        "object",
        required=True,
        properties=(Property("sku", "string", valid_values=("a", "b")), Property("qty", "integer")),
    ),
)
KINDS = pa.schema(
    [
        ("k", pa.int64()),
        (
            "address",
            pa.struct([("street", pa.string()), ("it's", pa.struct([("lat", pa.float64())]))]),
        ),
        ("lines", pa.list_(pa.struct([("sku", pa.string()), ("qty", pa.int64())]))),
    ]
)


def gate(bench, *rows, **more):
    columns = (Property("k", primary_key=True), ADDRESS, LINES)
    table = pa.Table.from_pylist([{"k": at, **row} for at, row in enumerate(rows)], schema=KINDS)
    bench.add(SchemaObject("t", columns, **more), table)
    return bench.gate()


def broken(found):
    return {r.rule for r in found.report.results if r.status in ("fail", "error", "warn")}


def test_all_is_well_and_what_is_not_there_breaks_nothing(bench):
    good = {"street": "road", "it's": {"lat": 1.5}}
    found = gate(
        bench,
        {"address": good, "lines": [{"sku": "a", "qty": 1}]},
        {"address": {"street": "x", "it's": None}, "lines": []},
        {"address": None, "lines": None},
    )
    assert broken(found) == set()
    assert result(found, "t.lines.[].sku.type").sentence == "lines[].sku is a string"
    assert result(found, "t.address.street.required").column == "address"


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ({"address": {"street": None, "it's": None}}, "t.address.street.required"),
        ({"address": {"street": "too long", "it's": None}}, "t.address.street.length"),
        ({"address": {"street": "x", "it's": {"lat": -1.0}}}, "t.address.it's.lat.range"),
        ({"lines": [{"sku": "a"}, None]}, "t.lines.[].required"),
        ({"lines": [{"sku": "a"}, {"sku": "c"}]}, "t.lines.[].sku.enum"),
    ],
)
def test_a_row_breaks_a_rule_if_a_value_inside_of_it_does(bench, row, rule):
    found = gate(bench, row, {"address": {"street": "y"}, "lines": [{"sku": "b"}]})
    assert broken(found) == {rule}
    assert result(found, rule).rows_failing == 1
    assert result(found, rule).reason.endswith(": 0")  # the row is named by its key


def test_types_inside(bench):
    kind = pa.struct([("street", pa.int64()), ("it's", pa.null())])
    table = pa.table({"address": pa.array([{"street": 1, "it's": None}], kind)})
    bench.add(SchemaObject("t", (ADDRESS,)), table)
    found = bench.gate()
    assert result(found, "t.address.street.type").status == "fail"
    assert "int64" in result(found, "t.address.street.type").reason
    assert result(found, "t.address.it's.type").status == "fail"
    assert "holds no 'lat'" in result(found, "t.address.it's.lat.type").reason


def test_a_field_that_is_not_there_is_named(bench):
    bench.add(SchemaObject("t", (ADDRESS,)), pa.table({"address": [{"stret": "x"}]}))
    reason = result(bench.gate(), "t.address.street.type").reason
    assert "address has no 'street'" in reason
    assert "stret" in reason


def test_nested_values_that_are_published_as_text_are_listed(bench):
    bench.add(SchemaObject("t", (ADDRESS,)), pa.table({"address": ['{"street": null}']}))
    found = bench.gate()
    assert result(found, "t.address.inside").status == "listed"
    assert not [r for r in found.report.results if r.rule.startswith("t.address.street")]


def test_rules_inside_count_rows_and_set_them_aside(bench):
    missing = replace(
        rule("missingValues", column="lines", mustBe=0, on_failure="quarantine"),
        id="skus",
        arguments={"missingValues": ["-"]},
        inside=("[]", "sku"),
    )
    invalid = replace(rule("invalidValues", column="lines", mustBe=0), id="v", inside=("[]", "sku"))
    found = gate(
        bench,
        {"lines": [{"sku": "a"}, {"sku": "-"}]},
        {"lines": [{"sku": "b"}]},
        quality=(missing, invalid),
    )
    assert result(found, "skus").rows_refused == 1
    assert result(found, "v").status == "pass"  # by the property's own enum, over what remains
    assert result(found, "v").sentence == "lines[].sku is one of a, b"
    assert found.candidates["t"].table.rows == 1


@pytest.mark.parametrize("metric", ["duplicateValues", "rowCount"])
def test_what_compares_rows_cannot_be_run_inside(bench, metric):
    one = replace(rule(metric, column="address", mustBe=0), inside=("street",))
    found = gate(bench, {"address": {"street": "x"}}, quality=(one,))
    assert result(found, "r").status == "error"
    assert "only values are checked" in result(found, "r").reason


def test_unique_inside_cannot_be_run_and_is_no_pass(bench):
    thing = Property("address", properties=(Property("street", unique=True),))
    bench.add(SchemaObject("t", (thing,)), pa.table({"address": [{"street": "x"}]}))
    assert result(bench.gate(), "t.address.street.unique").status == "error"


def test_one_scan_for_columns_and_what_lies_inside(bench):
    gate(bench, {"address": {"street": "x"}, "lines": [{"sku": "a"}]})
    scans = [sql for sql in bench.engine.scans if "FILTER" in sql]
    assert len(scans) == 1
    assert "lambda item0" in scans[0]
