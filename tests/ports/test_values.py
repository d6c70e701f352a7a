"""Values in addresses: as exact as the columns they are compared with."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.errors import QueryError
from polyport.ports.values import kind, limits, pack, read, sortable, unpack

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-9999, max_value=9999)


@given(DECIMALS, st.integers(-999_900, 999_900).map(lambda n: Decimal(n).scaleb(-2)))
def test_a_shortened_number_compares_as_the_whole(asked, held):
    found = read(f"{asked:f}", pa.decimal128(6, 2), "x")
    assert len(str(abs(found)).partition(".")[2]) <= 3
    assert (held < found, held == found, held > found) == (
        held < asked,
        held == asked,
        held > asked,
    )


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_can_be_asked_for(number):
    assert float(read(repr(number).replace("e+", "e"), pa.float64(), "x")) == number


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_integer_can_be_asked_for(number):
    assert read(str(number), pa.int64(), "x") == number


@pytest.mark.parametrize("data_type", [pa.int8(), pa.uint8(), pa.int64(), pa.uint64()])
def test_limits_of_integers(data_type):
    low, high = limits(data_type)
    assert [read(str(n), data_type, "x") for n in (low, high)] == [low, high]
    for beyond in (low - 1, high + 1):
        with pytest.raises(QueryError):
            read(str(beyond), data_type, "x")


VALUES = [
    (pa.string(), st.text()),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.decimal128(38, 20), st.decimals(allow_nan=False, allow_infinity=False)),
    (pa.bool_(), st.booleans()),
    (pa.date32(), st.dates()),
    (pa.timestamp("us"), st.datetimes()),
    (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(UTC))),
    (pa.time64("us"), st.times()),
    (pa.binary(), st.binary()),
]


@given(st.sampled_from(VALUES).flatmap(lambda of: st.tuples(st.just(of[0]), st.none() | of[1])))
def test_what_is_packed_comes_back(case):
    data_type, value = case
    assert unpack(pack(value), data_type) == value


def test_nan_and_zeros():
    assert math.isnan(unpack(pack(math.nan), pa.float64()))
    assert pack(-0.0) == pack(0.0)


@pytest.mark.parametrize(
    ("text", "data_type"),
    [("x", pa.int64()), ("x", pa.bool_()), ("!", pa.binary()), ("NaN", pa.decimal128(3, 1)), ("x", pa.date32()), ("x", pa.list_(pa.int8()))],
)  # fmt: skip
def test_what_is_not_packed_is_refused(text, data_type):
    with pytest.raises(ValueError):
        unpack(text, data_type)


def test_kinds():
    assert kind(pa.large_string()) == "string"
    assert kind(pa.dictionary(pa.int8(), pa.int8())) == "other"
    assert kind(pa.struct([("a", pa.int8())])) == "other"
    assert sortable(pa.binary())
    assert not sortable(pa.timestamp("ns"))
    assert not sortable(pa.list_(pa.int8()))


def test_moments():
    assert read("2024-01-01", pa.timestamp("us"), "x") == datetime(2024, 1, 1)
    assert read("9999-12-31T23:59:59-14:00", pa.timestamp("us", "UTC"), "x").year == 9999
    assert read("23:59:59.5", pa.time64("us"), "x") == time(23, 59, 59, 500_000).isoformat()
    assert read("2024-12-31", pa.date32(), "x") == date(2024, 12, 31)
