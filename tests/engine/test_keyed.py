from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyport.access import Order, Policy, View
from polyport.descriptor.types import Role, RoleSettings
from polyport.engine import keyed
from polyport.engine.duckdb import DuckDBEngine
from polyport.engine.keyed import KeyedIndex, KeyedIndexes, build, can_index
from polyport.expression import And, Compare, In, IsNull, Like, Not, Or, parse
from polyport.model import OWNER, Dataset, Principal, Snapshot

SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "n": pa.int32(),
        "t": pa.string(),
        "m": pa.decimal128(12, 2),
        "f": pa.float64(),
        "b": pa.bool_(),
        "d": pa.date32(),
        "at": pa.timestamp("us", "UTC"),
        "l": pa.list_(pa.int32()),
    }
)
VALUES = {
    "n": st.integers(-3, 3),
    "t": st.sampled_from(["", "a", "B", "ä", "a%", "it's"]),
    "m": st.sampled_from([Decimal("0.00"), Decimal("-1.50"), Decimal("9999999999.99")]),
    "f": st.sampled_from([0.0, -1.5, math.inf, 1e300]),
    "b": st.booleans(),
    "d": st.sampled_from([dt.date(1969, 12, 31), dt.date(2020, 2, 29)]),
    "at": st.sampled_from(
        [dt.datetime(1969, 1, 1, 0, 0, 0, 7, dt.UTC), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)]
    ),
    "l": st.just([1, 2]),
}
ROWS = st.lists(st.fixed_dictionaries({k: v | st.none() for k, v in VALUES.items()}), max_size=15)


def compare(column):
    return st.builds(
        Compare, st.just(column), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), VALUES[column]
    )


LEAVES = st.sampled_from([c for c in VALUES if c != "l"]).flatmap(
    lambda c: (
        compare(c)
        | st.builds(IsNull, st.just(c))
        | st.builds(In, st.just(c), st.tuples(VALUES[c], VALUES[c]))
    )
) | st.builds(Like, st.just("t"), st.sampled_from(["a%", "A%"]))
FILTERS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(And, st.tuples(inner, inner))
        | st.builds(Or, st.tuples(inner, inner))
    ),
    max_leaves=4,
)
ORDERS = st.lists(
    st.tuples(st.sampled_from([c for c in VALUES if c != "l"]), st.booleans()),
    max_size=2,
    unique_by=lambda t: t[0],
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with DuckDBEngine(scratch=tmp_path_factory.mktemp("spill")) as made:
        yield made


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ROWS, FILTERS | st.none(), ORDERS, st.integers(1, 14), st.integers(0, 14) | st.none())
def test_the_index_answers_as_the_engine_does(
    engine, tmp_path_factory, rows, where, order, limit, after
):
    folder = tmp_path_factory.mktemp("k")
    table = pa.Table.from_pylist([{"id": i, **row} for i, row in enumerate(rows)], SCHEMA)
    pq.write_table(table, folder / "t.parquet")
    dataset = Dataset("t", SCHEMA, ("id",), len(rows))
    snapshot = Snapshot("p", "1-a", 1, None, dt.datetime.now(dt.UTC), {"t": dataset})
    path = folder / "t.sqlite"
    assert build(path, dataset, [str(folder / "t.parquet")], engine, [["n"], ["t", "m"]])
    index = KeyedIndex(path, dataset)
    view = View(
        snapshot,
        OWNER,
        "x",
        "",
        Policy("p", {}, ""),
        engine,
        lambda *_: [str(folder / "t.parquet")],
        lambda _: None,
    )
    terms = [*(Order(c, d) for c, d in order), Order("id")]
    columns = [c for c in SCHEMA.names if c != "l"]
    past = (
        [({"id": after, **rows[after]})[t.column] for t in terms]
        if after is not None and after < len(rows)
        else None
    )
    found = index.scan(columns, where=where, order=terms, limit=limit, after=past)
    with view:
        expected = view.scan(
            "t", columns=columns, where=where, order=terms, limit=limit, after=past
        ).read_all()
    index.close()
    if found is None:
        assert "Like" in repr(where)
    else:
        assert found.schema == expected.schema
        assert found.to_pylist() == expected.to_pylist()


@pytest.fixture
def made(engine, tmp_path):
    table = pa.table(
        {"id": range(20000), "v": [i % 7 for i in range(20000)], "l": [[i] for i in range(20000)]}
    )
    pq.write_table(table, tmp_path / "t.parquet")
    dataset = Dataset("t", table.schema, ("id",), 20000)
    assert build(tmp_path / "t.sqlite", dataset, [str(tmp_path / "t.parquet")], engine, [])
    index = KeyedIndex(tmp_path / "t.sqlite", dataset)
    yield index
    index.close()


def test_what_it_cannot_answer_exactly_it_declines(made):

    def scan(where, columns=("id",)):
        return made.scan(columns, where=where and parse(where), order=[], limit=1)

    assert scan("id = 7").to_pylist() == [{"id": 7}]
    assert scan("id = '7'") is None
    assert scan("id = 7.5") is None
    assert scan("l is null") is None
    assert scan(None, ("id", "l")) is None


def test_a_read_of_too_many_steps_is_declined_and_remembered(made, monkeypatch):
    where = Compare("v", "=", 99)
    assert made.scan(["id"], where=where, order=[Order("v"), Order("id")], limit=1) is None
    monkeypatch.setattr(made, "_connection", lambda: pytest.fail("asked again"))
    assert (
        made.scan(["id"], where=Compare("v", "=", 98), order=[Order("v"), Order("id")], limit=1)
        is None
    )


def test_many_small_reads_are_not_one_large_read(made):
    for n in range(3000):
        assert (
            made.scan(["id"], where=Compare("id", "=", n), order=[Order("id")], limit=1).num_rows
            == 1
        )


def test_not_a_number_is_not_null(engine, tmp_path):
    table = pa.table({"id": [1], "f": [math.nan]})
    pq.write_table(table, tmp_path / "t.parquet")
    dataset = Dataset("t", table.schema, ("id",), 1)
    assert not build(tmp_path / "t.sqlite", dataset, [str(tmp_path / "t.parquet")], engine, [])
    assert list(tmp_path.iterdir()) == [tmp_path / "t.parquet"]
    assert not can_index(Dataset("t", table.schema, (), 1))
    assert not can_index(Dataset("t", table.schema, ("id",), keyed.MOST_ROWS + 1))


def test_a_view_uses_it_within_the_policy(engine, tmp_path):
    table = pa.table({"id": [1, 2, 3], "s": ["a", "b", "a"]})
    pq.write_table(table, tmp_path / "t.parquet")
    dataset = Dataset("t", table.schema, ("id",), 3)
    snapshot = Snapshot("p", "1-a", 1, None, dt.datetime.now(dt.UTC), {"t": dataset})

    def files(*_):
        return [str(tmp_path / "t.parquet")]

    indexes = KeyedIndexes(tmp_path / "keyed", engine, files)
    assert indexes.get(snapshot, "t") is None
    indexes.wait()
    roles = {
        "own": Role("own", RoleSettings(rows=parse("s = principal.s"))),
        "hidden": Role("hidden", RoleSettings(mask={"s": "hash"})),
    }
    reads, asked = [], []

    def get(*name):
        asked.append(name)
        return indexes.get(*name)

    def ids(principal):
        with View(
            snapshot,
            principal,
            "x",
            "",
            Policy("p", roles, "salt"),
            engine,
            files,
            reads.append,
            keyed=get,
        ) as view:
            return (
                view.scan("t", columns=["id", "s"], order=[Order("id")], limit=10)
                .read_all()
                .to_pylist()
            )

    assert [r["id"] for r in ids(Principal("x", frozenset({"own"}), {"s": "a"}))] == [1, 3]
    assert ids(Principal("x", frozenset({"own"}))) == []
    assert all(len(r["s"]) == 16 for r in ids(Principal("x", frozenset({"hidden"}))))
    assert len(asked) == 3
    assert [r.rows for r in reads] == [2, 0, 3]
    indexes.close()


def test_codecs_cover_what_they_say():
    assert keyed.codec(pa.decimal128(38, 2)) is None
    assert keyed.codec(pa.timestamp("ns")) is None
    assert keyed.codec(pa.float32()) is None
