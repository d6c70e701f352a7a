"""Rows as JSON: read back by Python's own reader, they are what they were."""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyport.ports.formats.json import ndjson, objects, rows, values


def reader(table, size=None):
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=size))


def load(table, size=None):
    """Both forms, which must say the same."""
    whole = json.loads(
        b"".join(rows(reader(table, size))), parse_float=Decimal, parse_constant=pytest.fail
    )
    lines = b"".join(ndjson(reader(table, size))).splitlines()
    assert [json.loads(line, parse_float=Decimal) for line in lines] == whole
    return whole


def column(values_, data_type):
    return [row["c"] for row in load(pa.table({"c": pa.array(values_, data_type)}))]


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
FINITE = st.floats(allow_nan=False, allow_infinity=False)
CASES = [
    (pa.int64(), st.integers(-(2**63), 2**63 - 1), lambda v: v),
    (pa.uint64(), st.integers(0, 2**64 - 1), lambda v: v),
    (pa.int8(), st.integers(-128, 127), lambda v: v),
    (pa.bool_(), st.booleans(), lambda v: v),
    (pa.string(), TEXT, lambda v: v),
    (pa.large_string(), TEXT, lambda v: v),
    (pa.date32(), st.dates(), date.isoformat),
    (pa.binary(), st.binary(), lambda v: base64.b64encode(v).decode()),
    (pa.list_(pa.string()), st.lists(TEXT, max_size=3), lambda v: v),
    (pa.large_list(pa.int8()), st.lists(st.none() | st.integers(-3, 3), max_size=3), lambda v: v),
    (pa.list_(pa.list_(pa.bool_())), st.lists(st.none() | st.lists(st.booleans(), max_size=2), max_size=2), lambda v: v),
    (pa.struct([("a", pa.int8()), ('"b"', pa.string())]),
     st.fixed_dictionaries({"a": st.none() | st.integers(-3, 3), '"b"': st.none() | TEXT}), lambda v: v),
    (pa.map_(pa.string(), pa.int8()), st.dictionaries(TEXT, st.none() | st.integers(-3, 3), max_size=3), lambda v: v),
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize(("data_type", "made", "shown"), CASES, ids=lambda v: str(v)[:20])
@given(data=st.data())
def test_values_come_back(data_type, made, shown, data):
    given_ = data.draw(st.lists(st.none() | made, max_size=8))
    held = [
        list(v.items()) if isinstance(v, dict) and pa.types.is_map(data_type) else v for v in given_
    ]
    start = data.draw(st.integers(0, len(given_)))
    table = pa.table({"c": pa.array(held, data_type)}).slice(start)
    found = [row["c"] for row in load(table, data.draw(st.none() | st.integers(1, 3)))]
    assert found == [None if v is None else shown(v) for v in given_[start:]]


@given(
    st.lists(
        st.none()
        | st.decimals(
            allow_nan=False, allow_infinity=False, places=7, min_value=-(10**20), max_value=10**20
        )
    )
)
def test_decimals_keep_every_digit(numbers):  # fmt: skip
    found = column(numbers, pa.decimal128(38, 7))
    assert [None if v is None else Decimal(v) for v in found] == numbers


@given(st.lists(FINITE))
def test_floats_come_back_exactly(numbers):
    assert [float(v) for v in column(numbers, pa.float64())] == numbers


def test_floats_that_are_no_json_are_null():
    assert column([math.nan, math.inf, -math.inf, None, 1.5], pa.float64()) == [None] * 4 + [
        Decimal("1.5")
    ]
    assert column([math.nan, 0.5], pa.float16()) == [None, Decimal("0.5")]
    assert column([[math.nan]], pa.list_(pa.float64())) == [[None]]


def test_numbers_are_numbers():
    table = pa.table(
        {"d": pa.array([Decimal("1.10")], pa.decimal128(9, 2)), "i": pa.array([2**63 - 1])}
    )
    assert b"".join(ndjson(reader(table))) == b'{"d":1.10,"i":9223372036854775807}\n'


def test_moments():
    at = datetime(2024, 1, 2, 3, 4, 5)
    assert column([at], pa.timestamp("us")) == ["2024-01-02T03:04:05"]
    assert column([at.replace(tzinfo=UTC)], pa.timestamp("us", "UTC")) == ["2024-01-02T03:04:05Z"]
    assert column([at.replace(tzinfo=UTC)], pa.timestamp("us", "Europe/Paris")) == [
        "2024-01-02T03:04:05Z"
    ]
    assert column([at.replace(microsecond=1500)], pa.timestamp("us")) == [
        "2024-01-02T03:04:05.0015"
    ]
    assert column([time(1, 2, 3)], pa.time64("us")) == ["01:02:03"]


def test_dictionaries_and_nulls():
    assert column(["a", None, "a"], pa.dictionary(pa.int8(), pa.string())) == ["a", None, "a"]
    assert column([None, None], pa.null()) == [None, None]
    assert column([[1, 2], None], pa.list_(pa.int8(), 2)) == [[1, 2], None]
    assert column([{}, None], pa.struct([])) == [{}, None]


def test_maps_have_text_keys():
    assert column([[(1, True), (2, None)], None, []], pa.map_(pa.int8(), pa.bool_())) == [
        {"1": True, "2": None}, None, {},
    ]  # fmt: skip


def test_names_are_escaped():
    table = pa.table({'a"\\\n': [1], "é": [2]})
    assert load(table) == [{'a"\\\n': 1, "é": 2}]


def test_no_rows():
    empty = pa.table({"a": pa.array([], pa.int8())})
    assert load(empty) == []
    assert b"".join(ndjson(reader(empty))) == b""


def test_a_reader_is_read_as_it_goes():
    asked = []

    def batches():
        for n in range(3):
            asked.append(n)
            yield pa.record_batch({"a": [n]})

    pieces = ndjson(pa.RecordBatchReader.from_batches(pa.schema([("a", pa.int64())]), batches()))
    assert (next(pieces), asked) == (b'{"a":0}\n', [0])


def test_objects_and_values():
    batch = pa.record_batch({"a": ["x\ny", None]})
    assert objects(batch) == [b'{"a":"x\\ny"}', b'{"a":null}']
    assert objects(batch.slice(1)) == [b'{"a":null}']
    assert objects(batch.slice(2)) == []
    assert values(batch.column(0)).to_pylist() == ['"x\\ny"', "null"]


def test_large_batches_are_cut():
    table = pa.table({"a": range(40_000)})
    pieces = list(rows(reader(table)))
    assert len(pieces) > 2
    assert len(json.loads(b"".join(pieces))) == 40_000


@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize(("data_type", "made", "shown"), CASES, ids=lambda v: str(v)[:20])
@given(data=st.data())
def test_a_few_rows_read_as_many_do(data_type, made, shown, data):
    given_ = data.draw(st.lists(st.none() | made, max_size=8))
    held = [
        list(v.items()) if isinstance(v, dict) and pa.types.is_map(data_type) else v for v in given_
    ]
    batch = pa.record_batch({"%s": pa.array(range(len(held))), 'c"': pa.array(held, data_type)})
    many = b"".join(ndjson(reader(pa.Table.from_batches([batch] * 2)))).splitlines()
    assert objects(batch) == many[: len(held)]


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=3), max_size=8))
def test_a_few_decimals_read_as_many_do(numbers):
    fitting = [n for n in numbers if abs(n) < 10**30]
    batch = pa.record_batch({"d": pa.array(fitting, pa.decimal128(38, 3))})
    many = b"".join(ndjson(reader(pa.Table.from_batches([batch])))).splitlines()
    assert objects(batch) == many


def test_a_value_of_a_union_is_that_of_its_member():
    """Arrow's own functions do not know unions, and some end the process where a struct around one is null."""
    codes, members = (
        pa.array([0, 1, 0, 1], pa.int8()),
        [pa.array([1, 2, None, 4]), pa.array(list('ab"d'))],
    )
    sparse = pa.UnionArray.from_sparse(codes, members)
    dense = pa.UnionArray.from_dense(codes, pa.array([0, 1, 2, 3], pa.int32()), members)
    for union in (sparse, dense):
        for start in range(4):
            found = [json.loads(v.as_py()) for v in values(union.slice(start))]
            assert found == [1, "b", None, "d"][start:]
    missing = pa.array([True, False, True, False])
    struct = pa.StructArray.from_arrays([sparse], ["u"], mask=missing)
    assert [json.loads(v.as_py()) for v in values(struct)] == [None, {"u": "b"}, None, {"u": "d"}]


def test_keys_of_maps_may_be_nested():
    kind = pa.map_(pa.struct({"a": pa.int8()}), pa.list_(pa.int8()))
    assert column([[({"a": 1}, [2])], None], kind) == [{'{"a":1}': [2]}, None]
