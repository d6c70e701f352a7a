"""The query string's grammar: what it means, and what it refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.access import Measure, Order
from polyport.errors import QueryError
from polyport.expression import And, Compare, In, IsNull, Like, Not
from polyport.ports.query import items, measures, parameters, parse

SCHEMA = pa.schema(
    [
        ("id", pa.int32()),
        ("name", pa.string()),
        ("amount", pa.decimal128(6, 2)),
        ("ratio", pa.float64()),
        ("paid", pa.bool_()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", "UTC")),
        ("local", pa.timestamp("us")),
        ("clock", pa.time64("us")),
        ("small", pa.uint8()),
        ("tags", pa.list_(pa.string())),
        ("raw", pa.binary()),
        ("kind", pa.dictionary(pa.int8(), pa.string())),
        ("limit", pa.int64()),
        ("having.x", pa.int64()),
        ("-odd,", pa.int64()),
    ]
)


def read(*pairs, paging=True, key=("id",)):
    return parse(pairs, SCHEMA, key, paging=paging)


@pytest.mark.parametrize(
    ("name", "value", "where"),
    [
        ("id", "-3", Compare("id", "=", -3)),
        ("id.ne", "0", Compare("id", "!=", 0)),
        ("id.gt", "1", Compare("id", ">", 1)),
        ("id.ge", "1", Compare("id", ">=", 1)),
        ("id.lt", "1", Compare("id", "<", 1)),
        ("id.le", "2147483647", Compare("id", "<=", 2147483647)),
        ("id.in", "1,2", In("id", (1, 2))),
        ("id.null", "true", IsNull("id")),
        ("id.null", "false", Not(IsNull("id"))),
        ("name", " a=b&c ", Compare("name", "=", " a=b&c ")),
        ("name", "'; DROP TABLE x --", Compare("name", "=", "'; DROP TABLE x --")),
        ("name.like", "A%_", Like("name", "A%_")),
        ("name.in", 'a,"b,""c",', In("name", ("a", 'b,"c', ""))),
        ("kind", "x", Compare("kind", "=", "x")),
        ("amount", "1.50", Compare("amount", "=", Decimal("1.50"))),
        ("amount.gt", "1.5000001", Compare("amount", ">", Decimal("1.501"))),
        ("amount.gt", "1e-999999", Compare("amount", ">", Decimal("0.001"))),
        ("ratio", "0.1", Compare("ratio", "=", Decimal("0.1"))),
        ("ratio", "1e300", Compare("ratio", "=", Decimal("1e300"))),
        ("paid", "false", Compare("paid", "=", False)),
        ("day", "2024-02-29", Compare("day", "=", date(2024, 2, 29))),
        (
            "at",
            "2024-01-01T00:00:00+02:00",
            Compare("at", "=", datetime(2023, 12, 31, 22, tzinfo=UTC)),
        ),
        (
            "at",
            "2024-01-01 00:00:00 02:00",
            Compare("at", "=", datetime(2023, 12, 31, 22, tzinfo=UTC)),
        ),
        ("at", "2024-01-01", Compare("at", "=", datetime(2024, 1, 1, tzinfo=UTC))),
        ("at", "0001-01-01T00:00:00+14:00", Compare("at", "=", datetime(1, 1, 1, tzinfo=UTC))),
        ("local", "2024-01-01T01:02", Compare("local", "=", datetime(2024, 1, 1, 1, 2))),
        ("clock", "01:02", Compare("clock", "=", "01:02:00")),
        ("tags.null", "true", IsNull("tags")),
        ("f.limit", "5", Compare("limit", "=", 5)),
        ("f.having.x", "5", Compare("having.x", "=", 5)),
    ],
)
def test_filters(name, value, where):
    assert read((name, value)).where == where
    assert type(read((name, value)).where) is type(where)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("id", "", "'id' is empty"),
        ("id", "x", "parameter 'id': 'x' is not an integer"),
        ("id", "1.0", "not an integer"),
        ("id", "+1", "not an integer"),
        ("id", "01", "not an integer"),
        ("id", "1_000", "not an integer"),
        ("id", " 1", "not an integer"),
        ("id", "\uff11", "not an integer"),
        ("id", "2147483648", "from -2147483648 to 2147483647"),
        ("id", "9" * 5000, "not an integer"),
        ("small", "-1", "from 0 to 255"),
        ("small", "256", "from 0 to 255"),
        ("id.in", "1,,2", "'' is not an integer"),
        ("amount", "NaN", "not a number"),
        ("amount", "1,5", "not a number"),
        ("amount", "10001", "from -10000 to 10000"),
        ("amount", "1e999999999", "not a number"),
        ("ratio", "Infinity", "not a number"),
        ("ratio", "1e309", "not a number"),
        ("paid", "TRUE", "not a boolean"),
        ("paid", "1", "not a boolean"),
        ("day", "2023-02-29", "not a date"),
        ("day", "20240101", "not a date"),
        ("day", "2024-W01-1", "not a date"),
        ("at", "2024-01-01T25:00:00Z", "not a timestamp"),
        ("at", "yesterday", "not a timestamp"),
        ("local", "2024-01-01T00:00:00Z", "not a timestamp"),
        ("clock", "24:00", "not a time"),
        ("id.null", "maybe", "not a boolean"),
        ("id.like", "1", "unknown parameter 'id.like'"),
        ("paid.gt", "true", "unknown parameter 'paid.gt'"),
        ("tags", "a", "unknown parameter 'tags'"),
        ("raw", "a", "unknown parameter 'raw'"),
        ("id.foo", "1", "unknown parameter 'id.foo'"),
        ("", "1", "unknown parameter ''"),
        ("limit", "0", "0 is not from 1 to 1000"),
        ("limit", "1001", "1001 is not from 1 to 1000"),
        ("limit", "-1", "not from 1 to 1000"),
        ("limit", "ten", "not an integer"),
        ("sort", "nix", "there is no 'nix'"),
        ("sort", "--id", "there is no '--id'"),
        ("sort", "id desc", "there is no 'id desc'"),
        ("sort", "id,", "there is no ''"),
        ("sort", "id,id", "named twice"),
        ("sort", "tags", "there is no 'tags'"),
        ("fields", "id,nix", "there is no 'nix'"),
        ("fields", "*", "there is no '*'"),
        ("group", "id,id", "named twice"),
        ("agg", "sum:name", "there is no 'sum:name'"),
        ("agg", "avg:paid", "there is no"),
        ("agg", "count,count", "named twice"),
        ("having", "1", "unknown parameter 'having'"),
        ("having.", "1", "unknown parameter 'having.'"),
        ("having.sum_name", "1", "unknown parameter 'having.sum_name'"),
        ("having.count.like", "1", "unknown parameter"),
    ],
)
def test_refusals_name_the_parameter(name, value, said):
    with pytest.raises(QueryError) as caught:
        read((name, value))
    assert said in caught.value.message
    assert caught.value.fix


def test_repeated():
    with pytest.raises(QueryError, match=r"given twice.*id\.in=a,b"):
        read(("id", "1"), ("id", "1"))


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(QueryError) as caught:
        read(("id", "x" * 9000))
    assert len(caught.value.message) < 250


def test_several_filters_add_up():
    assert read(("id", "1"), ("paid", "true")).where == And(
        (Compare("id", "=", 1), Compare("paid", "=", True))
    )
    assert read().where is None


def test_order_ends_in_the_key_or_in_all_columns():
    asked = (Order("name", descending=True),)
    found = read(("sort", "-name"))
    assert (found.sort, found.order) == (asked, (*asked, Order("id")))
    keyless = read(("sort", "-name"), key=())
    assert keyless.order[0] == asked[0]
    able = [n for n in SCHEMA.names if n != "tags"]
    assert sorted(o.column for o in keyless.order) == sorted(able)
    assert read(key=("id", "hidden")).order == read(key=()).order
    assert read(("sort", "id,-id")).order == (Order("id"),)
    assert read(("sort", '"-odd,","--odd,",id')).sort == (Order("-odd,"), Order("id"))


def test_columns():
    assert read().columns == tuple(SCHEMA.names)
    assert read(("fields", "name,id")).columns == ("name", "id")


def test_without_paging_only_rows_are_offered():
    for name, value in (
        ("limit", "1"),
        ("cursor", "x"),
        ("group", "id"),
        ("agg", "count"),
        ("having.count", "1"),
    ):
        with pytest.raises(QueryError, match="unknown parameter"):
            read((name, value), paging=False)
    assert read(
        ("id", "1"), ("fields", "id"), ("sort", "id"), ("snapshot", "1"), paging=False
    ).where


def test_identity_is_of_the_rows_and_their_order():
    base = read(("id.gt", "1"), ("sort", "name")).identity
    same = read(
        ("sort", "name"), ("id.gt", "1"), ("fields", "id"), ("limit", "3"), ("snapshot", "1")
    )
    assert same.identity == base
    for other in (
        (("id.gt", "2"), ("sort", "name")),
        (("id.gt", "1"), ("sort", "-name")),
        (("id.gt", "1"),),
    ):
        assert read(*other).identity != base


def test_groups():
    found = read(("group", "name,paid"), ("agg", "sum:amount,count"), ("sort", "-sum_amount"))
    assert found.grouping.group == ("name", "paid")
    assert found.grouping.measures == (Measure("sum", "amount"), Measure("count"))
    assert found.columns == ("name", "paid", "sum_amount", "count")
    assert found.order == (Order("sum_amount", descending=True), Order("name"), Order("paid"))


def test_group_alone_counts_and_having_brings_its_measure():
    assert read(("group", "name")).grouping.measures == (Measure("count"),)
    found = read(
        ("group", "name"), ("having.sum_amount.ge", "1.5"), ("having.max_day", "2024-01-01")
    )
    assert found.grouping.measures == (Measure("sum", "amount"), Measure("max", "day"))
    assert found.grouping.having == And(
        (Compare("sum_amount", ">=", Decimal("1.5")), Compare("max_day", "=", date(2024, 1, 1)))
    )


def test_a_group_and_a_measure_of_one_name():
    schema = pa.schema([("count", pa.int64())])
    with pytest.raises(QueryError, match="would both be called 'count'"):
        parse([("group", "count")], schema, paging=True)
    assert parse([("group", "count"), ("agg", "max:count")], schema, paging=True).columns


def test_agg_offers_what_suits_the_type():
    offered = set(measures(SCHEMA))
    assert {"count", "sum:amount", "stddev:ratio", "min:name", "max:day", "count:tags"} <= offered
    assert not {"sum:name", "sum:day", "min:paid", "min:tags", "count_distinct:tags"} & offered


NAMES = st.text("ab.fgtn", min_size=1, max_size=6) | st.sampled_from(
    [
        "limit",
        "sort",
        "f",
        "f.a",
        "f.limit",
        "having",
        "having.count",
        "a",
        "a.gt",
        "a.gt.gt",
        "f.a.gt",
        "snapshot.ne",
    ]
)


@given(st.lists(NAMES, min_size=1, max_size=7, unique=True))
def test_every_column_is_reached_by_one_name(names):
    schema = pa.schema([(name, pa.int64()) for name in names])
    offered = parameters(schema)
    assert len({p.name for p in offered}) == len(offered)
    for name in names:
        equal = [p for p in offered if p.column == name and p.operator == ""]
        assert len(equal) == 1
        found = parse([(equal[0].name, "5")], schema, paging=True)
        assert (found.where, found.grouping, found.limit) == (Compare(name, "=", 5), None, None)


@given(st.lists(st.text(), min_size=1))
def test_quoted_items_come_back(texts):
    quoted = ",".join('"' + text.replace('"', '""') + '"' for text in texts)
    assert items(quoted) == texts


@given(st.text())
def test_items_never_fail_and_lose_nothing_plain(text):
    found = items(text)
    if '"' not in text:
        assert found == text.split(",")


@given(st.lists(st.tuples(st.text(max_size=8) | NAMES, st.text(max_size=12)), max_size=4))
def test_any_query_string_is_read_or_refused(pairs):
    try:
        parse(pairs, SCHEMA, ["id"], paging=True)
    except QueryError as error:
        assert error.message
