"""Shape: the contract's columns, in its order, of its types."""

from __future__ import annotations

import pyarrow as pa
import pytest

from polyport.descriptor.physical import parsed, unkept
from polyport.descriptor.types import Property
from polyport.engine.duckdb import DuckDBEngine
from polyport.errors import TransformError
from polyport.model import Relation
from polyport.pipeline.shape import shape
from polyport.store.columns import iceberg_type, paths


def build(films, *columns):
    films.objects.clear()
    films.promise("costs", *columns)
    return films.build().snapshot.datasets["costs"].schema


def failed(films, *columns):
    with pytest.raises(TransformError) as caught:
        build(films, *columns)
    return caught.value


def test_order_and_types_are_the_contracts(films):
    schema = build(films, "budget DECIMAL(18,2)", "id INTEGER", "title")
    assert schema.names == ["budget", "id", "title"]
    assert [str(t) for t in schema.types] == ["decimal128(18, 2)", "int32", "string"]


@pytest.mark.parametrize(
    ("physical", "arrow"),
    [
        ("varchar(20)", "string"),
        ("TEXT", "string"),
        ("BIGINT", "int64"),
        ("int", "int32"),
        ("DOUBLE", "double"),
        ("DECIMAL(9,3)", "decimal128(9, 3)"),
    ],
)
def test_physical_types(films, physical, arrow):
    assert str(build(films, Property("id", physical_type=physical)).field("id").type) == arrow


@pytest.mark.parametrize(
    "physical", ["NUMBR", "INT; DROP", "nothing(1)", "INT) FROM x --", "INT -- x"]
)
def test_a_type_that_is_none(films, physical):
    films.objects.clear()
    films.promise("costs", Property("id", physical_type=physical))
    with pytest.raises(TransformError, match="is not a type of the engine") as caught:
        films.build()
    assert caught.value.where == "costs.id"


def test_a_column_gone_is_named_with_what_is_near(films):
    error = failed(films, "id", "bugdet", "title")
    assert "lacks the column 'bugdet'" in error.message
    assert error.where == "transform/costs.sql"
    assert error.fix == "did you mean `budget`?"


def test_all_missing_columns_at_once(films):
    error = failed(films, "id", "xxxxx", "yyyyy")
    assert "lacks columns 'xxxxx', 'yyyyy'" in error.message
    assert "title" in error.fix


def test_more_columns_are_not_published_and_told(films):
    assert build(films, "id").names == ["id"]
    step = next(s for s in films.steps if s.name == "costs" and s.stage == "transform")
    assert step.status == "warn"
    assert step.detail == "3 rows, 1 column; not promised, not published: title, budget"


def test_case_does_not_matter_and_the_contracts_is_published(films):
    assert build(films, "ID", "Title").names == ["ID", "Title"]


def test_a_failing_cast_names_column_type_and_an_example(films):
    error = failed(films, "id", "title INTEGER")
    assert error.message == "'Alien' in column 'title' of costs is not a INT"
    assert error.where == "transform/costs.sql"


def test_a_failing_cast_after_many_good_ones(films):
    rows = "".join(f"{i},{i},1\n" for i in range(5_000))
    films.input("films", f"id,title,budget\n{rows}9,oops,1\n")
    assert "'oops' in column 'title'" in failed(films, "id", "title INTEGER").message


def test_a_contract_without_properties_takes_all(films):
    assert build(films).names == ["id", "title", "budget"]


def test_nested_types(films):
    films.file("transform/costs.sql", "SELECT id, [1, 2] AS xs, {'a': 1, 'b': 'x'} AS s FROM films")
    schema = build(films, "id", "xs BIGINT[]", "s STRUCT(a BIGINT, b VARCHAR)")
    assert str(schema.field("xs").type.value_type) == "int64"
    assert films.rows("costs")[0]["s"] == {"a": 1, "b": "x"}


def test_a_wide_table_asks_the_engine_as_often_as_a_narrow_one(films, monkeypatch):
    asked = []
    schema = DuckDBEngine.schema

    def counting(self, sql, relations):
        asked.append(sql)
        return schema(self, sql, relations)

    monkeypatch.setattr(DuckDBEngine, "schema", counting)
    build(films, "id BIGINT")
    narrow = len(asked)
    asked.clear()
    wide = ", ".join(f"1 AS c{n}" for n in range(60))
    films.file("transform/costs.sql", f"SELECT {wide} FROM films")
    build(films, *(f"c{n} {'BIGINT' if n % 2 else 'INTEGER'}" for n in range(60)))
    assert len(asked) < narrow + 10


@pytest.mark.parametrize(
    "physical",
    ["UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "TIMESTAMP_NS", "TIME_NS", "INTERVAL",
     "TINYINT", "INTEGER", "BIGINT", "HUGEINT", "DECIMAL(38,2)", "TIMESTAMP", "TIMESTAMPTZ", "TIME", "UUID", "BLOB",
     "STRUCT(a UINTEGER)", "STRUCT(a INTEGER)", "UBIGINT[]", "BIGINT[]", "MAP(VARCHAR, UBIGINT)", "JSON",
     "UNION(a INTEGER, b VARCHAR)"],
)  # fmt: skip
def test_check_refuses_the_types_that_no_snapshot_holds_and_no_other(physical):
    """What `polyport check` says of a type is what the store says of what the engine makes of it."""
    kind = parsed(physical, "duckdb")
    with DuckDBEngine(threads=1) as engine:
        made = engine.schema(f"SELECT CAST(NULL AS {kind.sql('duckdb')}) AS c", {})
    held = all(iceberg_type(each) for _, each in paths(made))
    odd = [instead for _, instead in unkept(kind, "duckdb")]
    assert held == (not odd) or physical == "UHUGEINT"  # Arrow takes it for 38 digits


def test_what_is_right_as_it_is_is_not_touched(films):
    films.file("transform/costs.sql", "SELECT id, [{'sku': 'x', 'n': 1}] AS lines FROM films")
    films.objects.clear()
    inside = (Property("sku", "string"), Property("n", "integer"))
    items = Property("[]", "object", properties=inside)
    films.promise("costs", "id", Property("lines", "array", items=items))
    films.build()
    (promised,) = films.objects
    data = pa.table({"id": [1], "lines": [[{"sku": "x", "n": 1}]]})
    with DuckDBEngine(threads=1) as engine:
        made = shape(promised, Relation(data), engine=engine, where="here")
    assert made.sql == 'SELECT "id" AS "id", "lines" AS "lines" FROM source'
    assert made.same
