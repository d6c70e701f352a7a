"""Rows written by NumPy are, byte for byte, those written without it."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyport.ports.output.sql import rows
from polyport.ports.output.sql.types import pg_type

pytest.importorskip("numpy", reason="the extra sql brings it")

DAYS = st.integers(-(2**31) + 1, 2**31 - 1)
MOMENTS = st.integers(-(2**63) + 1, 2**63 - 1)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
INTERVALS = st.builds(
    lambda *parts: pa.MonthDayNano(parts),
    st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1),
)  # fmt: skip


def decimals(precision, scale):
    largest = 10**precision - 1
    near = st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), 2**63, largest, -largest, 10**4, 10**8])
    whole = st.integers(-largest, largest) | near.filter(lambda n: abs(n) <= largest)
    return whole.map(lambda n: Decimal(f"{n}E-{scale}"))


KINDS = {
    "BOOLEAN": (pa.bool_(), st.booleans()),
    "TINYINT": (pa.int8(), st.integers(-(2**7), 2**7 - 1)),
    "UTINYINT": (pa.uint8(), st.integers(0, 2**8 - 1)),
    "SMALLINT": (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "USMALLINT": (pa.uint16(), st.integers(0, 2**16 - 1)),
    "INTEGER": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "UINTEGER": (pa.uint32(), st.integers(0, 2**32 - 1)),
    "BIGINT": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "UBIGINT": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "HUGEINT": (pa.decimal128(38, 0), decimals(38, 0)),
    "DECIMAL(4,4)": (pa.decimal128(4, 4), decimals(4, 4)),
    "DECIMAL(9,0)": (pa.decimal128(9, 0), decimals(9, 0)),
    "DECIMAL(12,2)": (pa.decimal128(12, 2), decimals(12, 2)),
    "DECIMAL(18,18)": (pa.decimal128(18, 18), decimals(18, 18)),
    "DECIMAL(19,5)": (pa.decimal128(19, 5), decimals(19, 5)),
    "DECIMAL(38,2)": (pa.decimal128(38, 2), decimals(20, 2)),
    "DECIMAL(38,30)": (pa.decimal128(38, 30), decimals(38, 30)),
    "FLOAT": (pa.float32(), st.floats(width=32)),
    "DOUBLE": (pa.float64(), st.floats()),
    "VARCHAR": (pa.string(), TEXT),
    "ENUM('a', 'bc')": (pa.dictionary(pa.int32(), pa.string()), st.sampled_from(["a", "bc"])),
    "BLOB": (pa.binary(), st.binary(max_size=9)),
    "BIT": (pa.binary(), st.sampled_from([b"\x03\xfd", b"\x00\xa5", b"\x07\xff\x01"])),
    "DATE": (pa.date32(), DAYS),
    "TIME": (pa.time64("us"), st.integers(0, 86_399_999_999)),
    "TIME_NS": (pa.time64("ns"), st.integers(0, 86_399_999_999_999)),
    "TIMESTAMP": (pa.timestamp("us"), MOMENTS),
    "TIMESTAMP_S": (pa.timestamp("s"), st.integers(-(2**40), 2**40)),
    "TIMESTAMP_NS": (pa.timestamp("ns"), MOMENTS),
    "TIMESTAMP WITH TIME ZONE": (pa.timestamp("us", "UTC"), MOMENTS),
    "INTERVAL": (pa.month_day_nano_interval(), INTERVALS),
    "UUID": (pa.string(), st.uuids().map(str)),
    "JSON": (pa.string(), st.sampled_from(["{}", "[1, 2]", '{"a": null}'])),
    "STRUCT(a INTEGER)": (pa.struct({"a": pa.int32()}), st.fixed_dictionaries({"a": st.none() | st.integers(0, 9)})),
    '"NULL"': (pa.null(), st.none()),
}  # fmt: skip

SECONDS = st.integers(-2_208_988_800, 4_133_980_799)
USUAL = {
    "DATE": st.integers(-25_567, 47_846),
    "TIMESTAMP": SECONDS.map(lambda n: n * 1_000_000),
    "TIMESTAMP WITH TIME ZONE": SECONDS.map(lambda n: n * 1_000_000),
}
"""What is looked up: the years 1900 to 2100, without fractions of seconds."""


def made(values, arrow):
    """The array; days and moments beyond Python's are given as numbers."""
    if pa.types.is_timestamp(arrow) or arrow == pa.time64("us") or arrow == pa.time64("ns"):
        return pa.array(values, pa.int64()).cast(arrow)
    if pa.types.is_date32(arrow):
        return pa.array(values, pa.int32()).cast(arrow)
    if pa.types.is_dictionary(arrow):
        return pa.array(values, arrow.value_type).dictionary_encode()
    return pa.array(values, arrow)


@st.composite
def columns(draw, count):
    """A column of `count` rows that lies within a longer one, its SQL type and a format."""
    name = draw(st.sampled_from(sorted(KINDS)))
    arrow, strategy = KINDS[name]
    strategy = draw(st.sampled_from([strategy, USUAL.get(name, strategy)]))
    value = draw(st.sampled_from([strategy, st.none() | strategy]))
    before, after = draw(st.integers(0, 9)), draw(st.integers(0, 2))
    size = before + count + after
    listed = draw(st.integers(0, 5)) == 0 and name not in ("STRUCT(a INTEGER)", '"NULL"')
    if listed:
        inner = draw(
            st.lists(st.none() | st.lists(value, max_size=3), min_size=size, max_size=size)
        )
        flat = made([v for each in inner if each is not None for v in each], arrow)
        ends = [0]
        for each in inner:
            ends.append(ends[-1] + len(each or ()))
        mask = pa.array([each is None for each in inner], pa.bool_())
        array, name = (
            pa.ListArray.from_arrays(pa.array(ends, pa.int32()), flat, mask=mask),
            f"{name}[]",
        )
    else:
        array = made(draw(st.lists(value, min_size=size, max_size=size)), arrow)
    return array.slice(before, count), pg_type(name), draw(st.integers(0, 1))


@st.composite
def batches(draw):
    count = draw(st.integers(0, 20))
    found = draw(st.lists(columns(count), max_size=6))
    if not found:
        schema = pa.schema([])
        return pa.RecordBatch.from_struct_array(pa.array([{}] * count, pa.struct(schema))), (), ()
    arrays, kinds, formats = zip(*found, strict=True)
    names = [str(number) for number in range(len(arrays))]
    return pa.RecordBatch.from_arrays(list(arrays), names), kinds, formats


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batches(), st.sampled_from([b"D", b"d"]))
def test_rows_are_the_same_with_and_without_numpy(case, tag):
    expected = bytes(rows.plain(tag, *case, "UTC"))
    assert bytes(rows.written(tag, *case, "UTC")) == expected
    if case[0].num_rows:  # few rows are quicker without it, where there is a choice
        assert bytes(rows.by_numpy(tag, *case, "UTC")) == expected


def test_what_lies_under_a_null_is_not_sent():
    ends = pa.py_buffer(b"".join(n.to_bytes(4, "little") for n in (0, 2, 4, 6)))
    array = pa.Array.from_buffers(
        pa.string(), 3, [pa.py_buffer(b"\x05"), ends, pa.py_buffer(b"hosemi")]
    )
    batch = pa.RecordBatch.from_arrays([array], ["a"])
    row = b"D\0\0\0\x0c\0\1\0\0\0\2"
    for write in (rows.plain, rows.by_numpy):
        found = write(b"D", batch, [pg_type("VARCHAR")], [1], "UTC")
        assert bytes(found) == row + b"ho" + b"D\0\0\0\x0a\0\1\xff\xff\xff\xff" + row + b"mi"


def text(values, arrow, kind, zone="UTC"):
    batch = pa.RecordBatch.from_arrays([made(values, arrow)], ["a"])
    found = bytes(rows.by_numpy(b"D", batch, [pg_type(kind)], [0], zone))
    assert found == bytes(rows.plain(b"D", batch, [pg_type(kind)], [0], zone))
    return found


@pytest.mark.parametrize(
    ("values", "arrow", "kind", "said"),
    [
        ([-25_567, 47_846], pa.date32(), "DATE", [b"1900-01-01", b"2100-12-31"]),
        ([-25_568, 47_847], pa.date32(), "DATE", [b"1899-12-31", b"2101-01-01"]),
        ([0, None], pa.date32(), "DATE", [b"1970-01-01"]),
        ([-1_000_000, 86_399_000_000], pa.timestamp("us"), "TIMESTAMP", [b"1969-12-31 23:59:59", b"1970-01-01 23:59:59"]),
        ([1_500_000], pa.timestamp("us"), "TIMESTAMP", [b"1970-01-01 00:00:01.5"]),
        ([0], pa.timestamp("us", "UTC"), "TIMESTAMP WITH TIME ZONE", [b"1970-01-01 00:00:00+00"]),
        ([Decimal("-0.50"), Decimal("1.05")], pa.decimal128(12, 2), "DECIMAL(12,2)", [b"-0.50", b"1.05"]),
        ([Decimal("-12.05"), None], pa.decimal128(12, 2), "DECIMAL(12,2)", [b"-12.05"]),
    ],
)  # fmt: skip
def test_what_is_looked_up_and_what_is_not(values, arrow, kind, said):
    found = text(values, arrow, kind)
    for each in said:
        assert len(each).to_bytes(4, "big") + each in found


def test_of_another_zone_instants_are_not_looked_up():
    kind = "TIMESTAMP WITH TIME ZONE"
    assert b"1970-01-01 05:30:00+05:30" in text(
        [0], pa.timestamp("us", "UTC"), kind, "Asia/Kolkata"
    )
