"""Arrays of bytes, made and joined without a loop over rows."""

from __future__ import annotations

import sys
from array import array
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

BINARY: Final = pa.binary()
FEW: Final = 8
"""Rows for which a loop is faster."""
NULL: Final = b"\xff\xff\xff\xff"
"""The length -1."""
_CODES: Final = {1: "b", 2: "h", 4: "i", 8: "q"}
Field: TypeAlias = "tuple[pa.Array, ...]"
"""What one column adds to each row: binary arrays without nulls."""


def native(values: pa.Array) -> bytes:
    """The bytes of an array of numbers as the machine has them; of nulls, anything."""
    width = values.type.bit_width // 8
    raw = values.buffers()[1]
    start = values.offset * width
    return bytes(memoryview(raw)[start : start + len(values) * width]) if len(values) else b""


def swapped(numbers: array[int]) -> bytes:
    """Numbers in the network's order."""
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers.tobytes()


def big_endian(values: pa.Array) -> bytes:
    """The bytes of an array of numbers in the network's order; of nulls, anything."""
    return swapped(array(_CODES[values.type.bit_width // 8], native(values)))


def field(values: pa.Array) -> Field:
    """Each value after its length; null is the length -1."""
    if len(values) <= FEW:
        return (pa.array(map(_sized, values.cast(BINARY).to_pylist()), BINARY),)
    lengths = pc.fill_null(pc.binary_length(values), -1).cast(pa.int32())
    prefix = fixed_binary(big_endian(lengths), 4, len(values))
    plain = values.cast(BINARY)
    return prefix, pc.fill_null(plain, b"") if plain.null_count else plain


def _sized(value: bytes | None) -> bytes:
    return NULL if value is None else len(value).to_bytes(4, "big") + value


def fixed_field(raw: bytes, width: int, of: pa.Array) -> Field:
    """The same of values of `width` bytes each, that are null where `of` is."""
    count = len(of)
    whole = interleaved(width.to_bytes(4, "big"), raw, width, count)
    found = fixed_binary(whole, width + 4, count)
    if of.null_count:
        found = pc.if_else(of.is_valid(), found, pa.scalar(NULL, BINARY))
    return (found,)


def interleaved(head: bytes, raw: bytes, width: int, count: int) -> bytes:
    """`head` and `width` bytes of `raw`, `count` times; in the widest steps that fit."""
    unit = next(u for u in (4, 2, 1) if width % u == 0 and len(head) % u == 0)
    code, step, first = _CODES[unit], (width + len(head)) // unit, len(head) // unit
    whole, source = array(code, (head + bytes(width)) * count), array(code, raw)
    for place in range(width // unit):
        whole[first + place :: step] = source[place :: width // unit]
    return whole.tobytes()


def joined(parts: Field) -> pa.Array:
    """The parts of each row as one value."""
    if len(parts) == 1:
        return parts[0]
    return pc.binary_join_element_wise(*parts, pa.scalar(b"", BINARY))


def framed(tag: bytes, fields: Sequence[Field], count: int, opening: bytes = b"") -> memoryview:
    """One message a row: `tag`, its length, `opening`, and the bytes of each field."""
    parts = [part for each in fields for part in each]
    if count <= FEW:
        rows = zip(*(part.to_pylist() for part in parts), strict=True) if parts else [()] * count
        bodies = [opening + b"".join(row) for row in rows]
        return memoryview(b"".join(tag + (len(b) + 4).to_bytes(4, "big") + b for b in bodies))
    size: pa.Array | pa.Scalar = pa.scalar(4 + len(opening), pa.int32())
    for part in parts:
        size = pc.add(size, pc.binary_length(part))
    lengths = pa.repeat(size, count) if isinstance(size, pa.Scalar) else size
    raw = big_endian(lengths)
    width = 5 + len(opening)
    whole = bytearray((tag + bytes(4) + opening) * count)
    for place in range(4):
        whole[1 + place :: width] = raw[place::4]
    return gathered([fixed_binary(whole, width, count), *parts], count)


def gathered(parts: Sequence[pa.Array], count: int) -> memoryview:
    """The parts of the first row, of the second, and so on, as they lie side by side."""
    if not count:
        return memoryview(b"")
    return inside(pc.take(pa.concat_arrays(parts), _order(len(parts), count), boundscheck=False))


def inside(values: pa.Array) -> memoryview:
    """The bytes of all values, one after the other."""
    _, offsets, data = values.buffers()
    ends = memoryview(offsets).cast("i")
    return memoryview(data)[ends[values.offset] : ends[values.offset + len(values)]]


@lru_cache(maxsize=8)
def _order(parts: int, count: int) -> pa.Array:
    """Where the parts of each row lie, row by row, when they follow each other part by part."""
    found = array("i", bytes(4 * parts * count))
    for part in range(parts):
        found[part::parts] = array("i", range(part * count, (part + 1) * count))
    return pa.Array.from_buffers(pa.int32(), parts * count, [None, pa.py_buffer(found)])


@lru_cache(maxsize=64)
def _offsets(width: int, count: int) -> pa.Buffer:
    return pa.py_buffer(array("i", range(0, (count + 1) * width, width)))


def fixed_binary(raw: bytes | bytearray | pa.Buffer, width: int, count: int) -> pa.Array:
    """`count` values of `width` bytes each."""
    return pa.Array.from_buffers(BINARY, count, [None, _offsets(width, count), pa.py_buffer(raw)])
