from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.errors import StoreError
from polyport.store.columns import (
    Columns,
    assign,
    check_names,
    flat,
    iceberg_type,
    own_id,
    paths,
    written_ids,
)
from polyport.testing.store import with_field_ids

SIMPLE = [
    pa.int32(),
    pa.int64(),
    pa.string(),
    pa.float32(),
    pa.float64(),
    pa.decimal128(5, 2),
    pa.decimal128(9, 2),
]


def nested(inner):
    fields = st.dictionaries(st.sampled_from("xyz"), inner, min_size=1, max_size=3)
    return st.one_of(
        inner.map(pa.list_),
        st.tuples(inner, inner).map(lambda pair: pa.map_(*pair)),
        fields.map(lambda types: pa.struct(list(types.items()))),
    )


types = st.recursive(st.sampled_from(SIMPLE), nested, max_leaves=4)
schemas = st.dictionaries(st.sampled_from("abcd"), types, max_size=4).map(
    lambda d: pa.schema(list(d.items()))
)


def ids_of(columns):
    return flat(columns.field_ids)


@given(st.lists(schemas, min_size=1, max_size=6))
def test_ids_through_any_history(history):
    columns = Columns()
    ever: dict[int, str] = {}
    for schema in history:
        before, columns = columns, assign(schema, columns)
        ids = ids_of(columns)
        assert list(ids) == [path for path, _ in paths(schema)]
        assert len(set(ids.values())) == len(ids)
        assert columns.last_id == max([before.last_id, *ids.values()])
        for path, number in ids.items():
            assert ever.setdefault(number, path) == path, "an id means one column for ever"
            assert number > before.last_id or ids_of(before).get(path) == number
        assert assign(schema, columns) == columns


@given(schemas)
def test_parquet_carries_them(schema):
    columns = assign(schema, Columns())
    assert written_ids(with_field_ids(schema, columns.field_ids)) == ids_of(columns)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (pa.int8(), pa.int32(), True),
        (pa.int32(), pa.int64(), True),
        (pa.float32(), pa.float64(), True),
        (pa.decimal128(5, 2), pa.decimal128(9, 2), True),
        (pa.string(), pa.large_string(), True),
        (pa.dictionary(pa.int8(), pa.string()), pa.string(), True),
        (pa.list_(pa.int32()), pa.large_list(pa.int64()), True),
        (pa.timestamp("ms"), pa.timestamp("us"), True),
        (pa.uint8(), pa.uint8(), True),
        (pa.uint8(), pa.uint16(), False),
        (pa.uint8(), pa.duration("s"), False),
        (pa.int64(), pa.int32(), False),
        (pa.int64(), pa.float64(), False),
        (pa.int64(), pa.string(), False),
        (pa.decimal128(9, 2), pa.decimal128(5, 2), False),
        (pa.decimal128(5, 2), pa.decimal128(9, 3), False),
        (pa.timestamp("us"), pa.timestamp("us", tz="UTC"), False),
        (pa.list_(pa.int32()), pa.struct([("element", pa.int32())]), False),
        (pa.binary(2), pa.binary(3), False),
    ],
)
def test_a_change_of_type(old, new, same):
    before = assign(pa.schema([("a", old)]), Columns())
    after = assign(pa.schema([("a", new)]), before)
    assert (own_id(after.field_ids["a"]) == own_id(before.field_ids["a"])) == same


def test_a_column_that_comes_back_is_a_new_one():
    both = pa.schema([("a", pa.int64()), ("b", pa.int64())])
    first = assign(both, Columns())
    without = assign(pa.schema([("b", pa.int64())]), first)
    assert (dict(first.field_ids), dict(without.field_ids)) == ({"a": 1, "b": 2}, {"b": 2})
    assert dict(assign(both, without).field_ids) == {"a": 3, "b": 2}


def test_the_shape_of_nested_ids():
    schema = pa.schema([("m", pa.map_(pa.string(), pa.list_(pa.struct([("x", pa.int64())]))))])
    ids = assign(schema, Columns()).field_ids
    assert ids == {"m": {"": 1, "key": 2, "value": {"": 3, "element": {"": 4, "x": 5}}}}


@pytest.mark.parametrize(
    "schema",
    [
        pa.schema([("a", pa.int64()), ("a", pa.string())]),
        pa.schema([("", pa.int64())]),
        pa.schema([("a", pa.struct([("", pa.int64())]))]),
        pa.schema([("a", pa.list_(pa.struct([("x", pa.int64()), ("x", pa.int64())])))]),
        pa.schema([("a.x", pa.int64()), ("a", pa.struct([("x", pa.int64())]))]),
    ],
)
def test_columns_that_cannot_be_told_apart(schema):
    with pytest.raises(StoreError, match="same name or of none"):
        check_names("d", schema, ())


def test_a_key_that_is_not_there():
    with pytest.raises(StoreError, match="'c', which is not a column") as caught:
        check_names("d", pa.schema([("a", pa.int64()), ("b.", pa.int64())]), ("a", "c"))
    assert "a, b." in caught.value.fix


def test_extensions_are_what_they_are_stored_as():
    assert iceberg_type(pa.json_()) == "string"
    assert iceberg_type(pa.uuid()) == "uuid"
