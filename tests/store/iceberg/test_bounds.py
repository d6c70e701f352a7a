from __future__ import annotations

import decimal
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyiceberg.conversions import from_bytes, to_bytes
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    TimestampType,
    TimestamptzType,
    TimeType,
)

from polyport.store.iceberg.bounds import lower, upper

EDGES = "\x00\x7fz\ud7ff\ue000\uffff\U00010000\U0010ffff"
TEXTS = st.text(st.sampled_from(EDGES) | st.characters(exclude_categories=["Cs"]), max_size=40)
BYTES = st.binary(max_size=40) | st.lists(st.sampled_from([0, 254, 255]), max_size=40).map(bytes)
KINDS = {
    "boolean": (BooleanType(), st.booleans()),
    "int": (IntegerType(), st.integers(-(2**31), 2**31 - 1)),
    "date": (DateType(), st.integers(-(2**31), 2**31 - 1)),
    "long": (LongType(), st.integers(-(2**63), 2**63 - 1)),
    "time": (TimeType(), st.integers(0, 86_400_000_000)),
    "timestamp": (TimestampType(), st.integers(-(2**63), 2**63 - 1)),
    "timestamptz": (TimestamptzType(), st.integers(-(2**63), 2**63 - 1)),
    "float": (FloatType(), st.floats(width=32, allow_nan=False)),
    "double": (DoubleType(), st.floats(allow_nan=False)),
}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_value_of_fixed_size_is_its_own_bound(kind, data):
    known, values = KINDS[kind]
    value = data.draw(values)
    for bound in (lower(kind, value), upper(kind, value)):
        assert from_bytes(known, bound) == value
        if value != 0:
            assert bound == to_bytes(known, value)


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("value", [0.0, -0.0])
def test_zeros_are_between_both_zeros(kind, value):
    known = KINDS[kind][0]
    assert math.copysign(1, from_bytes(known, lower(kind, value))) == -1
    assert math.copysign(1, from_bytes(known, upper(kind, value))) == 1


@given(st.integers(-(10**38) + 1, 10**38 - 1))
@example(0)
@example(127)
@example(128)
@example(-128)
@example(-129)
def test_a_decimal_has_as_few_bytes_as_hold_it(number):
    bound = lower("decimal(38, 10)", number)
    exact = decimal.Decimal((int(number < 0), tuple(map(int, str(abs(number)))), -10))
    assert bound == upper("decimal(38, 10)", number) == to_bytes(DecimalType(38, 10), exact)
    assert int.from_bytes(bound, "big", signed=True) == number


@given(TEXTS)
@example("x" * 15 + "\ud7ff" + "x")
@example("\U0010ffff" * 17)
@example("a" + "\U0010ffff" * 17)
@example("x" * 16)
@example("x" * 17)
def test_texts_are_between_their_bounds(text):
    value = text.encode()
    low, high = lower("string", value), upper("string", value)
    assert low.decode() == text[:16]
    if high is None:
        assert text[:16] == "\U0010ffff" * 16
    else:
        assert low <= value <= high
        assert len(high.decode()) <= 16
        assert (high == value) == (len(text) <= 16)


@given(BYTES)
@example(b"\xff" * 17)
@example(b"a" + b"\xff" * 17)
def test_bytes_are_between_their_bounds(value):
    low, high = lower("binary", value), upper("binary", value)
    assert low == value[:16]
    if high is None:
        assert value[:16] == b"\xff" * 16
    else:
        assert low <= value <= high
        assert len(high) <= 16


@pytest.mark.parametrize("kind", ["fixed[20]", "uuid"])
def test_what_has_one_size_is_not_cut(kind):
    value = b"\xff" * 20
    assert lower(kind, value) == upper(kind, value) == value


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_no_bound_for_a_time_that_no_long_holds(value):
    assert lower("timestamp", value) is None
    assert upper("timestamp", value) is None
