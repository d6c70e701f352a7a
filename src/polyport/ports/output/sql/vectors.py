"""Each type of `binaries` by NumPy: the same bytes, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyport.ports.output.sql import binaries, blocks, texts, types
from polyport.ports.output.sql.blocks import LENGTH, NULL, Fixed, cut, fixed, numbers, valid
from polyport.ports.output.sql.calendar import (
    DATE_INFINITY,
    EPOCH_DAY,
    EPOCH_MICROSECOND,
    TIME_INFINITY,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from polyport.ports.output.sql.blocks import Flags, Numbers, Piece
    from polyport.ports.output.sql.types import PgType

_BASE: Final = 10_000
_DIGITS: Final = 18
"""The most digits of a fraction whose power of ten fits into 63 bits."""
_NEGATIVE: Final = 0x4000
_SHORT: Final = np.dtype(">u2")
_TIME: Final = pa.time64("us")
_UUID: Final = 36
"""Characters of one."""
_HEXADECIMAL: Final = np.array([at for at in range(_UUID) if at not in (8, 13, 18, 23)])
_NIBBLES: Final = np.zeros(256, np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_INTERVAL: Final = np.dtype([("months", "i4"), ("days", "i4"), ("nanoseconds", "i8")])
_SENT_INTERVAL: Final = np.dtype([("microseconds", ">i8"), ("days", ">i4"), ("months", ">i4")])
_KINDS: Final = {
    pa.int8(): "i1", pa.int16(): "i2", pa.int32(): "i4", pa.int64(): "i8",
    pa.uint8(): "u1", pa.uint16(): "u2", pa.uint32(): "u4",
    pa.float32(): "i4", pa.float64(): "i8",
}  # fmt: skip
"""How numbers lie in memory; of floats only the bits count."""


def field(array: pa.Array, kind: PgType) -> list[Piece]:
    """Each value of `array` after its length, as the type `kind`; null is the length -1."""
    if kind.element is None and pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    write = None if pa.types.is_null(array.type) else _WRITERS.get(kind.oid)
    found = write(array) if write is not None else []
    if found:
        return found
    if write is not None:
        return [blocks.varying(part) for part in binaries.field(array, kind)]
    return blocks.field(binaries.varying(array, kind))


def _bool(array: pa.Array) -> list[Piece]:
    values = blocks.bits(array.buffers()[1], array.offset, len(array))
    return fixed(values, "u1", valid(array))


def _number(kind: str) -> Callable[[pa.Array], list[Piece]]:
    return lambda array: fixed(numbers(array, _KINDS[array.type]), kind, valid(array))


def _date(array: pa.Array) -> list[Piece]:
    days, there = numbers(array, "i4"), valid(array)
    return fixed(_since(days, EPOCH_DAY, DATE_INFINITY, there), ">i4", there)


def _timestamp(array: pa.Array) -> list[Piece]:
    there = valid(array)
    moments = numbers(array if array.type.unit == "us" else texts.microseconds(array), "i8")
    return fixed(_since(moments, EPOCH_MICROSECOND, TIME_INFINITY, there), ">i8", there)


def _since(values: Numbers, epoch: int, infinity: int, there: Flags | None) -> Numbers:
    """Days or microseconds since PostgreSQL's epoch; the infinite ones are the ends of the type."""
    if there is not None:
        values = np.where(there, values, 0)
    if values.max() < infinity and values.min() > -infinity:
        found: Numbers = values - epoch
        return found
    finite = (values < infinity) & (values > -infinity)
    ends = np.where(values > 0, infinity, -infinity - 1)
    return np.where(finite, np.where(finite, values, 0) - epoch, ends)


def _time(array: pa.Array) -> list[Piece]:
    there = valid(array)
    if array.type != _TIME:
        array = pc.cast(array, _TIME, safe=False)
    return fixed(numbers(array, "i8"), ">i8", there)


def _uuid(array: pa.Array) -> list[Piece]:
    if array.type != pa.string():
        return []
    found, there = blocks.varying(array), valid(array)
    sizes = found.sizes if there is None else found.sizes[there]
    if not np.all(sizes == _UUID) or len(sizes) * _UUID != found.sizes.sum():
        return []
    start = int(numbers(array, "i4")[0])
    shown = np.frombuffer(array.buffers()[2], np.uint8)[start : start + len(sizes) * _UUID]
    nibbles = _NIBBLES[shown.reshape(-1, _UUID)[:, _HEXADECIMAL]]
    values = np.zeros((len(array), 16), np.uint8)
    values[slice(None) if there is None else there] = nibbles[:, 0::2] << 4 | nibbles[:, 1::2]
    return fixed(values.view("V16").reshape(-1), "V16", there)


def _interval(array: pa.Array) -> list[Piece]:
    read = np.frombuffer(array.buffers()[1], _INTERVAL)[array.offset : array.offset + len(array)]
    sent = np.empty(len(array), _SENT_INTERVAL)
    sent["microseconds"] = read["nanoseconds"] // 1000
    sent["days"], sent["months"] = read["days"], read["months"]
    return fixed(sent.view("V16"), "V16", valid(array))


def _numeric(array: pa.Array) -> list[Piece]:
    """Decimals whose unscaled values fit into 64 bits; nothing where others are."""
    there = valid(array)
    if pa.types.is_uint64(array.type):
        return _decimal(_known(numbers(array, "u8"), there), None, 0, there)
    if not pa.types.is_decimal128(array.type) or array.type.scale > _DIGITS:
        return []
    halves = np.frombuffer(array.buffers()[1], "i8").reshape(-1, 2)
    halves = halves[array.offset : array.offset + len(array)]
    values = _known(halves[:, 0], there)
    if array.type.precision > _DIGITS and np.any(values >> 63 != _known(halves[:, 1], there)):
        return []
    return _decimal(np.abs(values).view("u8"), values < 0, array.type.scale, there)


def _known(values: Numbers, there: Flags | None) -> Numbers:
    return values if there is None else np.where(there, values, values.dtype.type(0))


def _decimal(size: Numbers, negative: Flags | None, scale: int, there: Flags | None) -> list[Piece]:
    """How many digits to the base 10,000, weight of the first, sign, scale; the digits without zeros at the ends."""
    whole, fraction = size, []
    if scale:
        whole = size // 10**scale
        fraction = _fraction(size - whole * 10**scale, scale)
    groups = [*_whole(whole), *fraction]
    first, last = _ends(groups)
    kept = last - first
    weights = np.where(kept, len(groups) - len(fraction) - 1 - first, 0)
    sizes = 2 * kept.astype(np.int32) + 8
    head = (
        Fixed(kept, _SHORT),
        Fixed(weights, np.dtype(">i2")),
        Fixed(0 if negative is None else negative * np.uint16(_NEGATIVE), _SHORT),
        Fixed(scale, _SHORT),
    )
    digits = np.empty((len(size), len(groups)), _SHORT)
    for place, group in enumerate(groups):
        digits[:, place] = group
    body = cut(digits, 2 * first.astype(np.int32), 2 * last.astype(np.int32))
    if there is None:
        return [Fixed(sizes, LENGTH), *head, body]
    return [
        Fixed(np.where(there, sizes, NULL), LENGTH),
        cut(blocks.block(head, len(size)), 0, there * 8),
        body,
    ]


def _whole(whole: Numbers) -> list[Numbers]:
    """The digits of whole numbers, as many as the largest has."""
    found: list[Numbers] = []
    while not found or whole.any():
        rest = whole // _BASE
        found.insert(0, whole - rest * _BASE)
        whole = rest
    return found


def _fraction(fraction: Numbers, scale: int) -> list[Numbers]:
    """The digits of what is below one; the last is filled up with zeros."""
    found: list[Numbers] = []
    for below in range(scale - 4, 0, -4):
        group = fraction // 10**below
        fraction = fraction - group * 10**below
        found.append(group)
    return [*found, fraction * 10 ** (-scale % 4)]


def _ends(groups: list[Numbers]) -> tuple[Numbers, Numbers]:
    """The place of the first digit that is not zero, and that after the last one; zero has none."""
    empty = [group == 0 for group in groups]
    first, after = _run(empty), _run(empty[::-1])
    last = len(groups) - after
    return np.minimum(first, last), last


def _run(empty: list[Flags]) -> NDArray[np.int16]:
    """How many are empty before the first that is not."""
    so_far = empty[0]
    found = so_far.astype(np.int16)
    for each in empty[1:]:
        so_far = so_far & each
        found += so_far
    return found


_WRITERS: Final[dict[int, Callable[[pa.Array], list[Piece]]]] = {
    types.BOOL: _bool,
    types.INT2: _number(">i2"),
    types.INT4: _number(">i4"),
    types.INT8: _number(">i8"),
    types.FLOAT4: _number(">i4"),
    types.FLOAT8: _number(">i8"),
    types.DATE: _date,
    types.TIME: _time,
    types.TIMESTAMP: _timestamp,
    types.TIMESTAMPTZ: _timestamp,
    types.UUID: _uuid,
    types.INTERVAL: _interval,
    types.NUMERIC: _numeric,
}
