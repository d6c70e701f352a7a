"""Each library metric, unit and operator: one case that holds, one that does not."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest

from polyport.descriptor.types import Property

from .conftest import rule, table

# Ten rows: two null, one empty text, three "bad", and "a" twice.
TEXTS = pa.table({"x": [None, None, "", "bad", "bad", "bad", "a", "a", "b", "c"]})
COUNTS = {
    "nullValues": (2, {}),
    "missingValues": (6, {"missingValues": [None, "", "bad"]}),
    "invalidValues": (4, {"validValues": ["a", "b", "c"]}),
    "duplicateValues": (3, {}),
}
OPERATORS = {
    "mustBe": (lambda n: n, lambda n: n + 1),
    "mustNotBe": (lambda n: n + 1, lambda n: n),
    "mustBeGreaterThan": (lambda n: n - 1, lambda n: n),
    "mustBeGreaterOrEqualTo": (lambda n: n, lambda n: n + 1),
    "mustBeLessThan": (lambda n: n + 1, lambda n: n),
    "mustBeLessOrEqualTo": (lambda n: n, lambda n: n - 1),
    "mustBeBetween": (lambda n: [n, n + 1], lambda n: [n + 1, n + 2]),
    "mustNotBeBetween": (lambda n: [n + 1, n + 2], lambda n: [n - 1, n]),
}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("metric", COUNTS)
def test_every_metric_with_every_operator_in_both_units(bench, metric, operator):
    count, arguments = COUNTS[metric]
    rules, wanted = [], {}
    for unit, measured in (("rows", count), ("percent", count * 10)):
        for kind, threshold in zip(("pass", "fail"), OPERATORS[operator], strict=True):
            made = rule(metric, arguments=arguments, unit=unit, **{operator: threshold(measured)})
            rules.append(replace(made, id=f"{unit}-{kind}"))
            wanted[f"{unit}-{kind}"] = (kind, measured)
    bench.add(table(*rules), TEXTS)
    found = {r.rule: r for r in bench.gate().report.results if r.kind == "library"}
    assert {n: (r.status, r.measured) for n, r in found.items()} == wanted
    assert {r.rows_failing for r in found.values()} == {count}
    assert {r.rows_checked for r in found.values()} == {10}


@pytest.mark.parametrize("operator", OPERATORS)
def test_row_count(bench, operator):
    holds, breaks = (f(10) for f in OPERATORS[operator])
    good = replace(rule("rowCount", column="", **{operator: holds}), id="good")
    bad = replace(rule("rowCount", column="", **{operator: breaks}), id="bad")
    bench.add(table(good, bad), TEXTS)
    found = {r.rule: r for r in bench.gate().report.results if r.kind == "library"}
    assert (found["good"].status, found["good"].measured) == ("pass", 10)
    assert (found["bad"].status, found["bad"].reason) == ("fail", "it is 10 rows")


@pytest.mark.parametrize(
    ("metric", "given", "sentence", "expected", "reason"),
    [
        ("nullValues", {}, "x is filled", "= 0 rows", "2 rows (20 %)"),
        ("missingValues", {}, "x is filled (not '')", "= 0 rows", "3 rows (30 %)"),
        (
            "invalidValues",
            {"arguments": {"validValues": ["a", "b", "c", "d", "e", "f"]}},
            "x is one of a, b, c, d, e, ...",
            "= 0 rows",
            "4 rows (40 %): '', bad",
        ),
        ("duplicateValues", {}, "x is unique", "= 0 rows", "3 rows (30 %): a, bad"),
    ],
)
def test_sentences(bench, metric, given, sentence, expected, reason):
    bench.add(table(rule(metric, mustBe=0, **given)), TEXTS)
    found = bench.one("r")
    assert (found.sentence, found.expected, found.reason) == (sentence, expected, reason)
    assert found.status == "fail"


def test_reasons_name_the_keys_of_rows_without_a_value(bench):
    columns = (Property("k", primary_key=True), Property("x"))
    data = pa.table({"k": list(range(9)), "x": [None] * 7 + ["a", "b"]})
    bench.add(table(rule("nullValues", mustBeLessThan=5, unit="percent"), columns=columns), data)
    found = bench.one("r")
    assert found.reason == "7 rows (78 %): 0, 1, 2, 3, 4, ..."
    assert found.expected == "< 5 percent"
    assert found.measured == pytest.approx(100 * 7 / 9)


@pytest.mark.parametrize("classification", ["confidential", "restricted", "Personal", "4"])
def test_classified_values_are_not_shown(bench, classification):
    columns = (Property("x", classification=classification),)
    made = rule("invalidValues", arguments={"pattern": "^z"}, mustBe=0)
    bench.add(table(made, columns=columns), pa.table({"x": ["secret"]}))
    found = bench.one("r")
    assert found.reason == "1 row (100 %); x is classified, so none is shown"


@pytest.mark.parametrize(
    ("severity", "status"),
    [
        ("error", "fail"),
        ("critical", "fail"),
        ("Blocker", "fail"),
        ("", "fail"),
        ("warning", "warn"),
        ("info", "warn"),
        ("high", "warn"),
    ],
)
def test_severity_decides(bench, severity, status):
    bench.add(table(rule("nullValues", mustBe=0, severity=severity)), TEXTS)
    found = bench.gate()
    assert [r.status for r in found.report.results if r.rule == "r"] == [status]
    assert [r.rule for r in found.report.stops] == (["r"] if status == "fail" else [])


@pytest.mark.parametrize(
    ("threshold", "status"),
    [(Decimal("33.3"), "pass"), (Decimal("33.4"), "fail"), ("33.3", "pass")],
)
def test_percent_is_exact(bench, threshold, status):
    made = rule("nullValues", mustBeGreaterThan=threshold, unit="percent")
    bench.add(table(made), pa.table({"x": [None, "a", "b"]}))
    assert bench.one("r").status == status


def test_percent_of_a_tenth_is_not_a_float_rounding(bench):
    made = rule("nullValues", mustBe=0.1, unit="percent")
    bench.add(table(made), "SELECT CASE WHEN i > 0 THEN i END AS x FROM range(1000) AS r(i)")
    assert bench.one("r").status == "pass"


@pytest.mark.parametrize("metric", COUNTS)
def test_of_no_rows_nothing_fails_and_percent_is_0(bench, metric):
    arguments = COUNTS[metric][1]
    bench.add(table(rule(metric, arguments=arguments, mustBe=0, unit="percent")), TEXTS.slice(0, 0))
    found = bench.one("r")
    assert (found.status, found.measured, found.rows_checked) == ("pass", 0, 0)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"metric": "nullValues"}, "has no operator"),
        ({"metric": "nullValue", "mustBe": 0}, "'nullValue' is not one of ODCS"),
        ({"metric": "nullValues", "mustBe": "none"}, "mustBe needs a number, not 'none'"),
        ({"metric": "nullValues", "mustBe": None}, "mustBe needs a number, not None"),
        ({"metric": "nullValues", "mustBe": True}, "mustBe needs a number, not True"),
        ({"metric": "nullValues", "mustBe": float("nan")}, "mustBe needs a number, not nan"),
        ({"metric": "nullValues", "mustBeBetween": [1]}, "needs two numbers"),
        ({"metric": "nullValues", "mustBeBetween": [2, 1]}, "the wrong way round"),
        ({"metric": "nullValues", "mustBeBetween": "12"}, "needs two numbers"),
        ({"metric": "nullValues", "mustBe": 0, "unit": "pounds"}, "'pounds'"),
        ({"metric": "rowCount", "mustBe": 0, "unit": "percent"}, "not in percent"),
        ({"metric": "nullValues", "mustBe": 0, "column": "X y"}, "t has no column 'X y'"),
        ({"metric": "nullValues", "mustBe": 0, "column": "xx"}, "did you mean 'x'?"),
        ({"metric": "nullValues", "mustBe": 0, "column": ""}, "names no column"),
        ({"metric": "duplicateValues", "mustBe": 0, "column": ""}, "names no column"),
        ({"metric": "invalidValues", "mustBe": 0}, "nothing says which values are valid"),
        (
            {"metric": "invalidValues", "mustBe": 0, "arguments": {"patern": "a"}},
            "did you mean 'pattern'?",
        ),
        ({"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": "a"}}, "is a list"),
        ({"metric": "invalidValues", "mustBe": 0, "arguments": {"minLength": "1"}}, "not '1'"),
        (
            {"metric": "invalidValues", "mustBe": 0, "arguments": {"minItems": 1}},
            "for lists, and x holds text",
        ),
        (
            {"metric": "invalidValues", "mustBe": 0, "arguments": {"pattern": 5}},
            "pattern is a text",
        ),
        (
            {"metric": "missingValues", "mustBe": 0, "arguments": {"missingValues": "n/a"}},
            "is a list",
        ),
        (
            {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": [1]}},
            "list of columns",
        ),
        (
            {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": ["y"]}},
            "no column 'y'",
        ),
    ],
)
def test_a_rule_that_cannot_be_run_is_an_error_and_says_why(bench, given, reason):
    bench.add(table(rule(**given)), TEXTS)
    found = bench.gate()
    (error,) = [r for r in found.report.results if r.rule == "r"]
    assert error.status == "error"
    assert error.reason.startswith("could not be run: ")
    assert reason in error.reason
    assert error.rows_checked == 0
    assert [r.rule for r in found.report.stops] == ["r"]


@pytest.mark.parametrize(
    ("old", "arguments", "count"),
    [
        ("nullCheck", {}, 2),
        ("duplicateCount", {}, 3),
        ("validValues", {"validValues": ["a", "bad"]}, 3),
    ],
)
def test_the_names_of_odcs_3_0(bench, old, arguments, count):
    bench.add(table(rule(old, arguments=arguments, mustBe=count)), TEXTS)
    assert bench.one("r").status == "pass"


def test_duplicates_over_several_columns_of_an_object(bench):
    data = pa.table({"x": [1, 1, 1, 2, None, None], "y": ["a", "a", "b", "a", "a", "a"]})
    made = rule("duplicateValues", column="", arguments={"properties": ["x", "y"]}, mustBe=0)
    bench.add(table(made, columns=(Property("x"), Property("y"))), data)
    found = bench.one("r")
    assert (found.rows_failing, found.sentence) == (1, "x and y are unique")
    assert found.reason == "1 row (17 %): 1 / a"


def test_a_row_counts_once_however_many_columns_of_a_rule_it_breaks(bench):
    data = pa.table({"x": [None, None, "a"], "y": [None, "b", "c"]})
    made = rule("nullValues", column="", arguments={"properties": ["x", "y"]}, mustBe=0)
    bench.add(table(made, columns=(Property("x"), Property("y"))), data)
    found = bench.one("r")
    assert (found.rows_failing, found.sentence) == (2, "x is filled and y is filled")


def test_invalid_values_take_what_the_property_says(bench):
    columns = (Property("x", options={"maxLength": 1}, valid_values=("a", "b", "bad")),)
    bench.add(table(rule("invalidValues", mustBe=0), columns=columns), TEXTS)
    found = bench.one("r")
    assert found.rows_failing == 5
    assert found.sentence == "x is at most 1 character long and is one of a, b, bad"


def test_text_and_custom_rules(bench):
    rules = [
        replace(rule(type="text", description="checked by hand"), id="text"),
        replace(rule(type="custom"), id="custom"),
        replace(rule(type="custom", not_run_ok=True), id="accepted"),
    ]
    bench.add(table(*rules), TEXTS)
    found = {r.rule: r for r in bench.gate().report.results}
    assert (found["text"].status, found["text"].sentence) == ("listed", "checked by hand")
    assert found["custom"].status == "error"
    assert "polyport.notRun: accept" in found["custom"].reason
    assert found["accepted"].status == "listed"
    assert "accepted as not run" in found["accepted"].reason
