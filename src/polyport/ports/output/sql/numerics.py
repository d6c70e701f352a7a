"""Decimals in PostgreSQL's binary format: digits to the base 10,000, without zeros at either end."""

from __future__ import annotations

import struct
from array import array
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from polyport.ports.output.sql import bytewise, texts
from polyport.ports.output.sql.bytewise import BINARY

if TYPE_CHECKING:
    from collections.abc import Sequence

_BASE: Final = 10_000
_DIGITS: Final = 18
"""Of decimals whose unscaled values fit into 64 bits."""
_NEGATIVE: Final = 0x4000


def field(values: pa.Array) -> bytewise.Field:
    """Each number after its length; null is the length -1."""
    kind = values.type
    if pa.types.is_decimal128(kind) and kind.precision <= _DIGITS:
        return _narrow(values)
    shown = texts.numeric(values)
    found = [None if v is None else number(v) for v in shown.to_pylist()]
    return bytewise.field(pa.array(found, BINARY))


def number(shown: str) -> bytes:
    """One number, from its text."""
    sign = _NEGATIVE if shown.startswith("-") else 0
    whole, _, fraction = shown.lstrip("-").partition(".")
    whole = whole.lstrip("0")
    whole = whole.rjust((len(whole) + 3) // 4 * 4, "0")
    filled = whole + fraction.ljust((len(fraction) + 3) // 4 * 4, "0")
    digits = [int(filled[at : at + 4]) for at in range(0, len(filled), 4)]
    weight = len(whole) // 4 - 1
    while digits and not digits[0]:
        digits.pop(0)
        weight -= 1
    while digits and not digits[-1]:
        digits.pop()
    if not digits:
        weight = sign = 0
    return struct.pack(f"!hhHH{len(digits)}H", len(digits), weight, sign, len(fraction), *digits)


def _narrow(values: pa.Array) -> bytewise.Field:
    """The same for all rows at once."""
    scale, count = values.type.scale, len(values)
    unscaled = array("q", _low_halves(values))
    raw = pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(unscaled)])
    if values.null_count:
        raw = pc.if_else(values.is_valid(), raw, 0)
    size = pc.abs(raw)
    groups = _groups(size, values.type.precision, scale)
    wholes = len(groups) - (scale + 3) // 4
    kept, first, number_of = _kept(groups)
    body = _packed(groups, kept, number_of)
    head = _heads(number_of, first, wholes, pc.less(raw, 0), scale)
    if values.null_count:
        valid = values.is_valid()
        head = pc.if_else(valid, head, pa.scalar(bytewise.NULL, BINARY))
    return head, body


def _low_halves(values: pa.Array) -> bytes:
    raw = values.buffers()[1]
    words = memoryview(raw)[values.offset * 16 : (values.offset + len(values)) * 16]
    return array("q", bytes(words))[0::2].tobytes()


def _groups(size: pa.Array, precision: int, scale: int) -> list[pa.Array]:
    """The digits to the base 10,000, most significant first: those of the whole number, then those of the fraction."""
    power = 10**scale
    whole = pc.divide(size, power) if scale else size
    found: list[pa.Array] = []
    for _ in range((precision - scale + 3) // 4):
        rest = pc.divide(whole, _BASE)
        found.insert(0, pc.subtract(whole, pc.multiply(rest, _BASE)))
        whole = rest
    if scale:
        whole = pc.divide(size, power)
        fraction = pc.subtract(size, pc.multiply(whole, power))
        digits = (scale + 3) // 4
        high = scale - 4 * (digits - 1)
        for place in range(digits):
            # all but the last group are whole; that one is filled with zeros
            below = scale - 4 * (place + 1)
            if below >= 0:
                group = pc.divide(fraction, 10**below)
                fraction = pc.subtract(fraction, pc.multiply(group, 10**below))
            else:
                group = pc.multiply(fraction, 10 ** (4 - high))
            found.append(group)
    return found


def _kept(groups: Sequence[pa.Array]) -> tuple[list[pa.Array], pa.Array, pa.Array]:
    """Which groups lie between zeros at the ends; the place of the first; how many they are."""
    there = [pc.not_equal(group, 0) for group in groups]
    before, found = there[0], [there[0]]
    for each in there[1:]:
        before = pc.or_(before, each)
        found.append(before)
    after = there[-1]
    for place in range(len(groups) - 2, -1, -1):
        found[place + 1] = pc.and_(found[place + 1], after)
        after = pc.or_(after, there[place])
    found[0] = pc.and_(found[0], after)
    counts = found[0].cast(pa.int16())
    for each in found[1:]:
        counts = pc.add(counts, each.cast(pa.int16()))
    first = pc.case_when(
        pc.make_struct(*there), *(pa.scalar(place, pa.int16()) for place in range(len(there)))
    )
    return found, first, counts


def _packed(groups: Sequence[pa.Array], kept: Sequence[pa.Array], counts: pa.Array) -> pa.Array:
    """The bytes of the kept groups of each row."""
    count, width = len(counts), len(groups)
    whole, mask = array("h", bytes(2 * width * count)), bytearray(width * count)
    for place, (group, keep) in enumerate(zip(groups, kept, strict=True)):
        whole[place::width] = array("h", bytewise.native(group.cast(pa.int16())))
        mask[place::width] = bytewise.native(keep.cast(pa.uint8()))
    digits = pa.Array.from_buffers(
        pa.binary(2), width * count, [None, pa.py_buffer(bytewise.swapped(whole))]
    )
    chosen = pa.Array.from_buffers(pa.uint8(), width * count, [None, pa.py_buffer(bytes(mask))])
    data = pc.filter(digits, pc.not_equal(chosen, 0))
    sizes = pc.multiply(counts, 2).cast(pa.int32())
    ends = pc.cumulative_sum(pa.concat_arrays([pa.array([0], pa.int32()), sizes]))
    raw = memoryview(data.buffers()[1])[2 * data.offset :]
    return pa.Array.from_buffers(BINARY, count, [None, ends.buffers()[1], pa.py_buffer(raw)])


def _heads(
    counts: pa.Array, first: pa.Array, wholes: int, negative: pa.Array, scale: int
) -> pa.Array:
    """Length, number of digits, weight of the first, sign and scale of each row: 12 bytes."""
    count = len(counts)
    weights = pc.subtract(wholes - 1, pc.fill_null(first, wholes - 1)).cast(pa.int16())
    signs = pc.if_else(negative, pa.scalar(_NEGATIVE, pa.int16()), pa.scalar(0, pa.int16()))
    sizes = pc.add(pc.multiply(counts, pa.scalar(2, pa.int16())), pa.scalar(8, pa.int16()))
    whole = array("h", bytes(12 * count))
    columns = (sizes, counts, weights, signs)
    for place, each in enumerate(columns, 1):
        whole[place::6] = array("h", bytewise.native(each))
    whole[5::6] = array("h", [scale]) * count
    return bytewise.fixed_binary(bytewise.swapped(whole), 12, count)
