"""What a worker is told to define: values as literals, and rows that stay hidden."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from polyport.engine.walled.relations import defined, filled, literal
from polyport.model import Files, Query, Relation

TEXTS = st.text() | st.text("'\"$\\\0;-/*\n$x")
ZONES = st.sampled_from((None, dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=30))))
YEARS = {"min_value": dt.datetime(1, 1, 2), "max_value": dt.datetime(9999, 12, 30)}
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.decimals(-(10**20), 10**20, places=4)
    | TEXTS
    | st.binary()
    | st.dates()
    | st.times()
    | st.datetimes(**YEARS, timezones=ZONES)
    | st.timedeltas(dt.timedelta(days=-9999), dt.timedelta(days=9999))
    | st.lists(st.integers(-9, 9), min_size=1)
    | st.lists(TEXTS, min_size=1)
)


@pytest.fixture(scope="module")
def con():
    with duckdb.connect() as made:
        made.execute("SET TimeZone = 'UTC'")
        yield made


def same(one, other):
    if isinstance(one, float) and one != one:  # noqa: PLR0124 - not a number
        return other != other  # noqa: PLR0124
    return one == other


@settings(max_examples=300, deadline=None, derandomize=True)
@example("a\0b'c")
@example("\0")
@example(float("-inf"))
@example(-0.0)
@example(-(2**63))
@example(Decimal("-0.0001"))
@example(b"")
@given(VALUES)
def test_a_literal_is_the_value(con, value):
    (found,) = con.execute(f"SELECT {literal(value)}").fetchone()
    assert same(value, found)
    (bound,) = con.execute("SELECT $1", [value]).fetchone()
    assert same(value, bound)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.integers(-(2**31), 2**31 - 1) | st.booleans() | TEXTS | st.dates() | st.datetimes(**YEARS)
)
def test_and_of_its_type(con, value):
    """The policy means the same here as where its values are bound."""
    one = con.execute(f"SELECT typeof({literal(value)})").fetchone()
    assert one == con.execute("SELECT typeof($1)", [value]).fetchone()


def test_what_has_no_literal_is_an_error():
    with pytest.raises(TypeError, match="no SQL literal of a object"):
        literal(object())


@settings(max_examples=100, deadline=None, derandomize=True)
@given(TEXTS, TEXTS, TEXTS)
def test_what_stands_in_quotes_is_no_parameter(con, value, name, text):
    name, text = name.replace("\0", ""), text.replace("\0", "")
    quoted = '"' + (name or "x").replace('"', '""') + '"'
    literally = "'" + text.replace("'", "''") + "'"
    sql = filled(f"SELECT $f0 AS {quoted}, {literally}, $f0, $f1", {"f0": value, "f1": 7})
    assert con.execute(sql).fetchone() == (value, text, value, 7)


def test_names_of_parameters_are_whole_words(con):
    sql = filled("SELECT $f1, $f10, $f1::VARCHAR", {"f1": 1, "f10": "$f1"})
    assert con.execute(sql).fetchone() == (1, "$f1", "1")


@pytest.fixture
def files(tmp_path):
    path = tmp_path / 'it\'s ${f0} a "file".parquet'
    pq.write_table(pa.table({"id": [1, 2, 3], "who": ["ann", "bob", None]}), path)
    return Files((f"file://{path}",), schema=pa.schema({"id": pa.int64(), "who": pa.string()}))


def test_only_what_hides_rows_is_secure(files):
    assert not defined(Relation(files)).secure
    assert not defined(Relation(files, {"who": "upper(who)"})).secure
    assert defined(Relation(files, where="id > 1")).secure
    hidden = Relation(files, where="id > 1")
    assert defined(Relation(Query("SELECT * FROM a", {"a": hidden}))).secure
    nested = Relation(Query("SELECT * FROM b", {"b": Relation(Query("FROM a", {"a": hidden}))}))
    assert defined(nested).secure
    assert not defined(Relation(Query("SELECT * FROM a", {"a": Relation(files)}))).secure


def test_no_condition_runs_below_what_hides_rows(con, files):
    """The engine keeps what is asked of a secure view above it; of any other it puts it first where it likes."""
    for where, kept in (("id > 1", True), ("", False)):
        made = defined(Relation(files, where=where))
        kind = "SECURE VIEW" if made.secure else "VIEW"
        con.execute(f"CREATE OR REPLACE {kind} below AS {made.sql}")
        ((_, plan),) = con.execute("EXPLAIN SELECT id FROM below WHERE who LIKE '%n%'").fetchall()
        assert ("Secure View" in plan) is kept
        head = plan[: plan.index("READ_PARQUET")] if "READ_PARQUET" in plan else plan
        assert ("contains(who" in head) is kept


def test_its_rows(con, files):
    relation = Relation(
        files,
        {"who": "CASE WHEN who = $f1 THEN '$f0' ELSE who END", "$f0": "$f0"},
        "id >= $f2",
        {"f0": "it's $f1", "f1": "bob", "f2": 2},
    )
    made = defined(relation)
    assert con.execute(made.sql).fetchall() == [("$f0", "it's $f1"), (None, "it's $f1")]
    assert made.files == (files.uris[0].removeprefix("file://"),)


def test_a_condition_sees_what_is_below_the_mask(con, files):
    made = defined(Relation(files, {"id": "NULL", "who": "who"}, "id = 2"))
    assert con.execute(made.sql).fetchall() == [(None, "bob")]


def test_rows_that_are_brought_along():
    table = pa.table({"a": [1]})
    assert defined(Relation(table)).table is table
    empty = defined(Relation(Files((), schema=table.schema)))
    assert empty.table.num_rows == 0
    assert empty.table.schema == table.schema


def test_a_query_over_relations(con, files):
    one, two = Relation(files, where="id < $f0", params={"f0": 3}), Relation(files, where="id > 1")
    made = defined(
        Relation(Query('SELECT id FROM a JOIN "b c" USING (id);', {"a": one, "b c": two}))
    )
    assert con.execute(made.sql).fetchall() == [(2,)]
    assert len(made.files) == 2
