"""Values out and in again: what is written is what is read, in text and in binary."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.ports.output.sql import binaries, bytewise, calendar, decode, numerics, texts, types
from polyport.ports.output.sql.messages import Body, ProtocolError
from polyport.ports.output.sql.types import pg_type


@given(
    st.integers(1, bytewise.FEW).flatmap(
        lambda count: st.lists(
            st.lists(st.none() | st.binary(max_size=9), min_size=count, max_size=count), max_size=4
        )
    )
)
def test_few_rows_are_framed_as_many_are(columns):
    count = len(columns[0]) if columns else 3
    fields = [bytewise.field(pa.array(column, pa.binary())) for column in columns]
    few = bytewise.framed(b"D", fields, count, b"xy")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bytewise, "FEW", 0)
        assert bytes(few) == bytes(bytewise.framed(b"D", fields, count, b"xy"))


KINDS = {
    "BOOLEAN": (pa.bool_(), st.booleans()),
    "SMALLINT": (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "INTEGER": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "BIGINT": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "DOUBLE": (pa.float64(), st.floats(allow_nan=False)),
    "FLOAT": (pa.float32(), st.floats(width=32, allow_nan=False)),
    "VARCHAR": (pa.string(), st.text().filter(lambda s: "\0" not in s)),
    "BLOB": (pa.binary(), st.binary()),
    "DATE": (pa.date32(), st.dates()),
    "TIME": (pa.time64("us"), st.times()),
    "TIMESTAMP": (pa.timestamp("us"), st.datetimes()),
    "TIMESTAMP WITH TIME ZONE": (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(UTC))),
    "DECIMAL(18,4)": (pa.decimal128(18, 4), st.decimals(-(10**13), 10**13, places=4)),
    "DECIMAL(38,10)": (pa.decimal128(38, 10), st.decimals(-(10**17), 10**17, places=10)),
}
NAMES = sorted(KINDS)


def values(data, name):
    arrow, strategy = KINDS[name]
    return pa.array(data.draw(st.lists(st.none() | strategy, min_size=1, max_size=6)), arrow)


def split(parts, count):
    """The bytes of each value; None for null."""
    whole, found, at = bytes(bytewise.gathered(list(parts), count)), [], 0
    while at < len(whole):
        (size,) = struct.unpack_from("!i", whole, at)
        at += 4
        found.append(None if size < 0 else whole[at : at + size])
        at += max(size, 0)
    return found


@given(st.data(), st.sampled_from(NAMES), st.integers(0, 2))
def test_binary_is_read_as_it_was_written(data, name, cut):
    array = values(data, name)[cut:]
    kind = pg_type(name)
    found = [
        decode.value(raw, kind.oid, 1) for raw in split(binaries.field(array, kind), len(array))
    ]
    assert found == array.to_pylist()


@given(st.data(), st.sampled_from(NAMES), st.integers(0, 2))
def test_text_is_read_as_it_was_written(data, name, cut):
    array = values(data, name)[cut:]
    kind = pg_type(name)
    found = [
        None if t is None else decode.from_text(t, kind.oid)
        for t in texts.text(array, kind).to_pylist()
    ]
    assert found == array.to_pylist()


@given(st.data(), st.sampled_from(NAMES), st.integers(0, 1))
def test_arrays_are_read_as_they_were_written(data, name, form):
    arrow, strategy = KINDS[name]
    lists = data.draw(
        st.lists(st.none() | st.lists(st.none() | strategy, max_size=4), min_size=1, max_size=4)
    )
    array, kind = pa.array(lists, pa.list_(arrow)), pg_type(f"{name}[]")
    if form:
        found = [
            decode.value(raw, kind.oid, 1) for raw in split(binaries.field(array, kind), len(array))
        ]
    else:
        shown = texts.text(array, kind).to_pylist()
        found = [None if t is None else decode.from_text(t, kind.oid) for t in shown]
    assert found == array.to_pylist()


@given(st.lists(st.decimals(-(10**9), 10**9, places=2), min_size=1), st.integers(2, 18))
def test_all_rows_at_once_are_as_one_by_one(numbers, scale):
    scale = min(scale, 8)
    array = pa.array(
        [Decimal(n).quantize(Decimal(1).scaleb(-scale)) for n in numbers], pa.decimal128(18, scale)
    )
    at_once = split(numerics.field(array), len(array))
    assert at_once == [numerics.number(f"{value:f}") for value in array.to_pylist()]


@given(st.integers(-(2**31) + 2, 2**31 - 2))
def test_days_of_all_years(day):
    year, month, of_month = calendar.civil(day)
    assert 1 <= month <= 12
    assert 1 <= of_month <= 31
    after = calendar.civil(day + 1)
    assert after > (year, month, of_month)
    if calendar.FIRST_DAY <= day <= calendar.LAST_DAY:
        assert date(year, month, of_month).toordinal() - date(1970, 1, 1).toordinal() == day


@pytest.mark.parametrize(
    ("day", "shown"),
    [
        (-719_163, "0001-12-31 BC"),
        (2_932_897, "10000-01-01"),
        (2**31 - 1, "infinity"),
        (-(2**31) + 1, "-infinity"),
    ],
)
def test_days_out_of_the_ordinary(day, shown):
    array = pa.array([0, day], pa.int32()).cast(pa.date32())
    assert texts.text(array, pg_type("DATE")).to_pylist() == ["1970-01-01", shown]


@pytest.mark.parametrize(
    ("oid", "shown", "expected"),
    [
        (types.DATE, "2020-01-03 +00", date(2020, 1, 3)),
        (types.TIMESTAMP, "2020-01-03 04:05:06.7+02", datetime(2020, 1, 3, 4, 5, 6, 700_000)),
        (types.TIMESTAMPTZ, "2020-01-03T04:05Z", datetime(2020, 1, 3, 4, 5, tzinfo=UTC)),
        (types.TIME, "04:05:06", time(4, 5, 6)),
        (types.FLOAT4, "4.928935e+07", 49289352.0),
        (types.FLOAT4, "-Infinity", float("-inf")),
        (types.BOOL, " TRUE ", True),
        (types.NUMERIC, "1e3", Decimal("1e3")),
        (1007, "[0:1]={1,2}", [1, 2]),
        (1009, '{a,"b,\\"c",NULL,"NULL"}', ["a", 'b,"c', None, "NULL"]),
        (1007, "{{1,2},{3,4}}", [[1, 2], [3, 4]]),
    ],
)
def test_text_as_people_write_it(oid, shown, expected):
    assert decode.from_text(shown, oid) == expected


@given(st.binary(), st.sampled_from([*types.SIZES, *types.ELEMENTS, types.NUMERIC, types.JSONB, types.VARBIT, types.TEXT]), st.integers(0, 1))  # fmt: skip
def test_hostile_values_are_refused_or_read(raw, oid, form):
    try:
        decode.value(raw, oid, form)
    except ProtocolError as error:
        assert error.state.startswith("22")


@given(st.binary(max_size=60))
def test_hostile_bodies_are_refused_or_read(raw):
    for read in (Body.text, Body.int16s, Body.oids, Body.values, Body.int32):
        try:
            read(Body(raw))
        except ProtocolError as error:
            assert error.message
