"""What the schema implies: columns, types, required, keys, unique, relationships."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from polyport.descriptor.types import Property, Relationship, SchemaObject

from .conftest import product, result, rule, table

ONE = pa.table({"x": ["a"]})


def of(bench, kind="schema"):
    return {r.rule: r for r in bench.gate().report.results if r.kind == kind}


def test_columns_are_there(bench):
    bench.add(table(columns=(Property("x"), Property("y"))), pa.table({"x": [1], "y": [2]}))
    found = bench.one("t.columns")
    assert (found.status, found.sentence, found.reason) == ("pass", "t has its 2 columns", "")


def test_a_column_gone_is_a_failure_and_what_needs_it_an_error(bench):
    columns = (Property("x"), Property("year", logical_type="integer", required=True, unique=True))
    bench.add(table(columns=columns), pa.table({"x": [1], "yaer": [2]}))
    found = of(bench)
    assert found["t.columns"].status == "fail"
    assert found["t.columns"].reason == "not there: year; it has yaer instead"
    for name in ("type", "required", "unique"):
        assert found[f"t.year.{name}"].status == "error"
        assert "did you mean 'yaer'?" in found[f"t.year.{name}"].reason


def test_a_column_more_is_said(bench):
    bench.add(table(), pa.table({"x": [1], "y": [2]}))
    found = bench.one("t.columns")
    assert (found.status, found.reason) == ("pass", "also there, and not in the contract: y")


def test_a_dataset_promised_and_not_built_is_a_failure(bench):
    bench.add(table(), ONE)
    contract = bench.contract()
    contract = replace(
        contract, objects=(*contract.objects, SchemaObject("gone", (Property("x"),)))
    )
    found = bench.one("gone.columns", contract=contract)
    assert (found.status, found.dataset) == ("fail", "gone")
    assert product(contract).objects.keys() == {"t", "gone"}


BUILT = {
    "string": "'a'::VARCHAR",
    "integer": "1::BIGINT",
    "number": "1.5::DOUBLE",
    "boolean": "true",
    "date": "DATE '2020-01-01'",
    "timestamp": "TIMESTAMP '2020-01-01'",
    "time": "TIME '10:00'",
    "object": "{'a': 1}",
    "map": "MAP {'a': 1}",
    "array": "['a']",
    "vector": "[1.0::FLOAT, 2.0::FLOAT]",
}
ALSO = {
    ("number", "integer"),
    ("object", "map"),
    ("array", "vector"),
    ("vector", "array"),
}


@pytest.mark.parametrize("built", BUILT)
@pytest.mark.parametrize("logical", BUILT)
def test_logical_types(bench, logical, built):
    bench.add(table(columns=(Property("x", logical_type=logical),)), f"SELECT {BUILT[built]} AS x")
    found = bench.one("t.x.type")
    assert found.status == ("pass" if logical == built or (logical, built) in ALSO else "fail")
    article = "an" if logical[0] in "aio" else "a"
    assert found.sentence == f"x is {article} {logical}"
    if found.status == "fail":
        assert found.reason.startswith("built as ")


@pytest.mark.parametrize(
    ("given", "built", "status", "reason"),
    [
        ({"logical_type": "integer"}, "1::DECIMAL(20,0)", "pass", ""),
        ({"logical_type": "integer"}, "1::DECIMAL(20,2)", "fail", "decimal128(20, 2)"),
        ({"logical_type": "timestamp"}, "TIMESTAMPTZ '2020-01-01 00:00:00+00'", "pass", ""),
        ({"logical_type": "string"}, "uuid()", "pass", ""),
        ({"logical_type": "string"}, "'a'::ENUM('a', 'b')", "pass", ""),
        ({"logical_type": "object", "physical_type": "JSON"}, "'{}'::JSON", "pass", ""),
        ({"logical_type": "object"}, "'{}'::JSON", "fail", "does not hold object"),
        ({"logical_type": "string", "physical_type": "BLOB"}, "'a'::BLOB", "pass", ""),
        ({"logical_type": "string"}, "'a'::BLOB", "fail", "does not hold string"),
        (
            {"logical_type": "number", "physical_type": "DECIMAL(18,2)"},
            "1::DECIMAL(18,2)",
            "pass",
            "",
        ),
        (
            {"logical_type": "number", "physical_type": "DECIMAL(18,2)"},
            "1.5::DOUBLE",
            "fail",
            "DECIMAL(18,2)",
        ),
        ({"physical_type": "INTEGER"}, "1::BIGINT", "pass", ""),
        ({"physical_type": "VARCHAR(2)"}, "1::BIGINT", "fail", "VARCHAR(2)"),
        ({"physical_type": "VARCHAR2"}, "'a'", "error", "'VARCHAR2' is no type of the engine"),
        ({"physical_type": "INT) FROM x; --"}, "1", "error", "is no type of the engine"),
        ({"logical_type": "text"}, "'a'", "error", "'text' is not one of ODCS"),
    ],
)
def test_types(bench, given, built, status, reason):
    bench.add(table(columns=(Property("x", **given),)), f"SELECT {built} AS x")
    found = bench.one("t.x.type")
    assert found.status == status
    assert reason in found.reason


def test_one_bad_type_does_not_take_the_others_along(bench):
    columns = tuple(
        Property(n, physical_type=t) for n, t in (("x", "INT"), ("y", "NOPE"), ("z", "INT"))
    )
    bench.add(table(columns=columns), pa.table({"x": [1], "y": [1], "z": ["a"]}))
    found = of(bench)
    assert [found[f"t.{n}.type"].status for n in "xyz"] == ["pass", "error", "fail"]


def test_a_column_without_a_type_is_not_judged(bench):
    bench.add(table(), ONE)
    assert "t.x.type" not in of(bench)


def test_required_unique_and_the_key(bench):
    columns = (
        Property("b", primary_key=True, primary_key_position=2),
        Property("a", primary_key=True, primary_key_position=1),
        Property("r", required=True),
        Property("u", unique=True),
    )
    data = pa.table(
        {
            "a": [1, 1, 1, None],
            "b": ["x", "x", "y", "z"],
            "r": [1, None, None, 2],
            "u": ["", "", None, None],
        }
    )
    bench.add(table(columns=columns), data)
    found = of(bench)
    assert {r: (f.status, f.rows_failing) for r, f in found.items() if r != "t.columns"} == {
        "t.b.required": ("pass", 0),
        "t.a.required": ("fail", 1),
        "t.r.required": ("fail", 2),
        "t.primary-key": ("fail", 1),
        "t.u.unique": ("fail", 1),
    }
    assert found["t.primary-key"].sentence == "a and b are unique"
    assert found["t.primary-key"].reason == "1 row (25 %): 1 / x"
    assert found["t.r.required"].sentence == "r is filled"
    assert found["t.r.required"].reason == "2 rows (50 %): 1 / x, 1 / y"


def test_a_one_column_key_that_is_unique_too_is_judged_once(bench):
    bench.add(table(columns=(Property("x", primary_key=True, unique=True),)), ONE)
    assert {r for r in of(bench) if "unique" in r or "key" in r} == {"t.primary-key"}


@pytest.mark.parametrize(
    "data",
    [
        "SELECT 'nan'::DOUBLE AS x FROM range(3)",
        "SELECT [1, NULL] AS x FROM range(3)",
        "SELECT {'a': 1} AS x FROM range(3)",
    ],
)
def test_unique_over_any_type(bench, data):
    bench.add(table(columns=(Property("x", unique=True),)), data)
    assert bench.one("t.x.unique").rows_failing == 2


def films(**more):
    return SchemaObject("films", (Property("id"), Property("year")), **more)


def costs(*relationships):
    return SchemaObject("costs", (Property("film"), Property("year")), relationships=relationships)


def test_relationships_count_orphans_and_nulls_are_none(bench):
    bench.add(films(), pa.table({"id": ["a", "b"], "year": [1, 2]}))
    data = pa.table({"film": ["a", "c", None, "d", "c"], "year": [1, 1, 1, 1, 1]})
    bench.add(costs(Relationship(("film",), "films", ("id",))), data)
    found = bench.one("costs.film.refers-to.films.id")
    assert (found.status, found.rows_failing, found.sentence) == ("fail", 3, "film is in films.id")
    assert found.reason == "3 rows (60 %): c, d"
    assert found.dimension == "consistency"


def test_composite_relationships(bench):
    bench.add(films(), pa.table({"id": ["a", "b"], "year": [1, 2]}))
    data = pa.table({"film": ["a", "a", "b", None], "year": [1, 2, None, 9]})
    bench.add(costs(Relationship(("film", "year"), "films", ("id", "year"))), data)
    found = bench.one("costs.film-year.refers-to.films.id-year")
    assert (found.rows_failing, found.reason) == (1, "1 row (25 %): a / 2")
    assert found.column == ""


def test_a_dataset_may_refer_to_itself(bench):
    thing = SchemaObject(
        "t", (Property("x"), Property("up")), relationships=(Relationship(("up",), "t", ("x",)),)
    )
    bench.add(thing, pa.table({"x": [1, 2], "up": [None, 3]}))
    assert bench.one("t.up.refers-to.t.x").rows_failing == 1


@pytest.mark.parametrize(
    ("relationship", "reason"),
    [
        (
            Relationship(("film",), "film", ("id",)),
            "there is no dataset 'film' to refer to (one of films, costs)",
        ),
        (Relationship(("film",), "films", ("key",)), "films has no column 'key'"),
        (Relationship(("fim",), "films", ("id",)), "did you mean 'film'?"),
        (Relationship(("film",), "films", ("id", "year")), "as many columns"),
        (Relationship((), "films", ()), "at least one"),
        (Relationship(("year",), "films", ("id",)), "Could not convert string"),
    ],
)
def test_relationships_that_cannot_be_checked(bench, relationship, reason):
    bench.add(films(), pa.table({"id": ["a"], "year": [1]}))
    bench.add(costs(relationship), pa.table({"film": ["a"], "year": [1]}))
    (found,) = [r for r in bench.gate().report.results if ".refers-to." in r.rule]
    assert found.status == "error"
    assert reason in found.reason


HOSTILE = [
    'a"b',
    "select",
    "a b",
    "$x",
    "x; DROP TABLE t",
    "ünïcode",
    "a.b",
    "{table}",
    "'",
    "_rule",
    "rows",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(bench, name):
    columns = (
        Property(
            name, logical_type="string", primary_key=True, options={"pattern": "a", "maxLength": 1}
        ),
    )
    rules = (
        replace(
            rule("nullValues", column=name, mustBe=0, on_failure="quarantine"),
            id="null",
            dataset=name,
        ),
        replace(rule("duplicateValues", column=name, mustBe=0), id="twice", dataset=name),
        replace(
            rule(
                type="sql",
                column=name,
                mustBe=1,
                query="SELECT count(*) FROM {table} WHERE ${column} = 'a'",
            ),
            id="sql",
            dataset=name,
        ),
    )
    thing = SchemaObject(
        name, columns, quality=rules, relationships=(Relationship((name,), name, (name,)),)
    )
    bench.add(thing, pa.table({name: ["a", "b", None]}))
    gate = bench.gate()
    found = {r.rule: r.status for r in gate.report.results if r.kind != "built-in"}
    assert found.pop(f"{name}.{name}.pattern") == "fail"
    assert set(found.values()) == {"pass"}
    assert gate.candidates[name].table.rows == 2
    assert result(gate, "null").rows_refused == 1
