"""Rules with a query of their own."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from polyport.descriptor.types import Property, SchemaObject
from polyport.errors import QualityError
from polyport.pipeline.quality.compile import substitute

from .conftest import rule, table

DATA = pa.table({"x": [1, 2, 3]})


def sql(query, **given):
    return rule(type="sql", query=query, **given)


@pytest.mark.parametrize(
    ("query", "given", "status", "reason"),
    [
        ("SELECT count(*) FROM ${table}", {"mustBe": 3}, "pass", ""),
        ("SELECT count(*) FROM {table}", {"mustBe": 2}, "fail", "it is 3"),
        ("SELECT count(*) FROM t;", {"mustBeGreaterThan": 3}, "fail", "it is 3"),
        ("SELECT max({column}) FROM ${object}", {"mustBeBetween": [1, 3]}, "pass", ""),
        ("SELECT avg(${property}) FROM t", {"mustBeLessThan": 2.5}, "pass", ""),
        ("SELECT 0.1::DECIMAL(5,2)", {"mustBe": 0.1}, "pass", ""),
        ("SELECT 100.0 * count(*) FILTER (WHERE x > 2) / count(*) FROM t", {"mustBeLessThan": 33.4, "unit": "percent"}, "pass", ""),
        ("SELECT 'USD'", {"mustBe": "USD"}, "pass", ""),
        ("SELECT ';' ; -- done;", {"mustBe": ";"}, "pass", ""),
        ("SELECT 'USD'", {"mustBe": "EUR"}, "fail", "it is USD"),
        ("SELECT 'USD'", {"mustNotBe": "USD"}, "fail", "it is USD"),
        ("SELECT max(x) > 2 FROM t", {"mustBe": True}, "pass", ""),
        ("SELECT max(x) > 3 FROM t", {"mustBe": True}, "fail", "it is false"),
        ("SELECT DATE '2020-01-01'", {"mustBe": "2020-01-01"}, "pass", ""),
        ("SELECT 1", {"mustBe": "1"}, "pass", ""),
        ("WITH a AS (SELECT * FROM t) SELECT count(*) FROM a", {"mustBe": 3}, "pass", ""),
        ("SELECT count(*) FROM t JOIN other USING (x)", {"mustBe": 1}, "pass", ""),
        ('SELECT count(*) FROM "${table}" WHERE "{column}" > 1', {"mustBe": 2}, "pass", ""),
        ("SELECT count(*) FROM {other}", {"mustBe": 1}, "pass", ""),
        ("SELECT 'a {b} ' || count(*) FROM {table}", {"mustBe": "a {b} 3"}, "pass", ""),
        ("SELECT count(*) FROM {table} WHERE x = 9", {"mustBe": 0, "severity": "warning"}, "pass", ""),
        ("SELECT 5", {"mustBe": 0, "severity": "warning"}, "warn", "it is 5"),
    ],
)  # fmt: skip
def test_one_value_is_compared(bench, query, given, status, reason):
    bench.add(table(sql(query, **given)), DATA)
    bench.add(SchemaObject("other", (Property("x"),)), pa.table({"x": [1]}))
    found = bench.one("r")
    assert (found.status, found.reason) == (status, reason)
    assert found.kind == "sql"


@pytest.mark.parametrize(
    ("query", "given", "reason"),
    [
        ("", {"mustBe": 0}, "has no query"),
        ("SELECT 1", {}, "has no operator"),
        ("SELECT x FROM t WHERE x > 9", {"mustBe": 0}, "gave no row, and one value is expected"),
        ("SELECT x FROM t", {"mustBe": 0}, "gave more than one row, and one value is expected"),
        ("SELECT x, x FROM t LIMIT 1", {"mustBe": 0}, "gave 2 columns, and one value is expected"),
        ("SELECT sum(x) FROM t WHERE x > 9", {"mustBe": 0}, "gave null"),
        ("SELECT 'nan'::DOUBLE", {"mustBe": 0}, "gave nan"),
        ("SELECT '-inf'::DOUBLE", {"mustBeLessThan": 0}, "gave -inf"),
        ("SELECT 'USD'", {"mustBeLessThan": 5}, "USD is not a number"),
        ("SELECT true", {"mustBeBetween": [0, 1]}, "true is not a number"),
        ("SELECT [1]", {"mustBeLessThan": 5}, "is not a number"),
        ("SELECT 1", {"mustBeLessThan": "five"}, "needs a number"),
        ("SELECT count(*) FROM nowhere", {"mustBe": 0}, "nowhere"),
        ("SELECT y FROM t", {"mustBe": 0}, '"y"'),
        ("SELECT error('boom') FROM t", {"mustBe": 0}, "boom"),
        ("SELECT 'open", {"mustBe": 0}, "unterminated"),
        ("SELEC 1", {"mustBe": 0}, "syntax error"),
        ("SELECT ${nothing} FROM t", {"mustBe": 0}, "${nothing} stands for nothing here"),
        ("SELECT 1; SELECT 2", {"mustBe": 0}, "more than one statement"),
        ("SELECT 1", {"mustBe": 1, "on_failure": "quarantine"}, "only a rule that single rows break"),
        ("SELECT 1", {"mustBe": 1, "column": "y"}, "t has no column 'y'"),
    ],
)  # fmt: skip
def test_anything_else_is_an_error(bench, query, given, reason):
    bench.add(table(sql(query, **given)), DATA)
    found = bench.one("r")
    assert found.status == "error"
    assert reason in found.reason


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE t",
        "CREATE TABLE u AS SELECT 1 AS x",
        "INSERT INTO t VALUES (1)",
        "COPY t TO '{folder}/out.csv'",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "SELECT 1; COPY (SELECT 1) TO '{folder}/out.csv'",
        "ATTACH '{folder}/out.csv'",
        "SET memory_limit = '1GB'",
        "WITH d AS (DELETE FROM t RETURNING *) SELECT count(*) FROM d",
    ],
)
def test_a_rule_cannot_write(bench, query, tmp_path):
    bench.add(table(sql(query.replace("{folder}", str(tmp_path)), mustBe=0)), DATA)
    assert bench.one("r").status == "error"
    assert not (tmp_path / "out.csv").exists()


def test_an_object_rule_has_no_column_to_stand_for():
    of_object = replace(sql("SELECT 1", column=""), dataset="t")
    with pytest.raises(QualityError, match=r"\$\{column\} stands for nothing here"):
        substitute("SELECT ${column} FROM t", of_object, {})
    assert (
        substitute("SELECT {column} FROM ${ table }", of_object, {}) == 'SELECT {column} FROM "t"'
    )


def test_the_description_is_its_sentence(bench):
    bench.add(table(sql("SELECT 1", mustBe=1, description="costs add up")), DATA)
    found = bench.one("r")
    assert (found.sentence, found.expected, found.measured) == ("costs add up", "= 1", 1)


def test_a_large_answer_is_not_read_to_its_end(bench):
    bench.add(table(sql("SELECT i FROM range(100000000000) AS r(i)", mustBe=0)), DATA)
    assert "more than one row" in bench.one("r").reason
