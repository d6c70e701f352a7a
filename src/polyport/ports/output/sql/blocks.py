"""Rows put together by NumPy: what has one width lies side by side in blocks, the rest is gathered between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyport.ports.output.sql import bytewise
from polyport.ports.output.sql.bytewise import BINARY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[Any]
    Flags: TypeAlias = NDArray[np.bool_]

NULL: Final = -1
"""The length of what is null."""
BYTE: Final = np.dtype("u1")
LENGTH: Final = np.dtype(">i4")
_LAID_OUT_ALIKE: Final = (pa.string(), BINARY)


@dataclass(frozen=True, slots=True)
class Fixed:
    """As many bytes in each row."""

    values: Numbers | int | np.void
    """One for each row, or one for all."""
    kind: np.dtype[Any]
    """How they are written."""


@dataclass(frozen=True, slots=True)
class Varying:
    """Bytes whose number varies from row to row."""

    values: pa.Array
    """Binary, without nulls; the first of each `step` is a row's."""
    sizes: Numbers
    step: int = 1


Piece: TypeAlias = Fixed | Varying
"""What a column adds to each row, or a part of it."""


def numbers(array: pa.Array, kind: str) -> Numbers:
    """The values of a primitive array as they lie in memory; of nulls, anything."""
    return np.frombuffer(array.buffers()[1], kind)[array.offset : array.offset + len(array)]


def bits(raw: pa.Buffer, start: int, count: int) -> Flags:
    """`count` bits of Arrow's from `start` on."""
    before = start // 8
    packed = np.frombuffer(raw, np.uint8)[before : (start + count + 7) // 8]
    found = np.unpackbits(packed, bitorder="little")[start - 8 * before :]
    return found[:count].view(np.bool_)


def valid(array: pa.Array) -> Flags | None:
    """Which values are not null; None: all."""
    return bits(array.buffers()[0], array.offset, len(array)) if array.null_count else None


def fixed(values: Numbers, kind: str, there: Flags | None) -> list[Piece]:
    """Each of `values` after its length, written as `kind`; null where it is not `there`."""
    to = np.dtype(kind)
    if there is None:
        return [Fixed(to.itemsize, LENGTH), Fixed(values, to)]
    lengths = np.where(there, to.itemsize, NULL)
    return [Fixed(lengths, LENGTH), cut(values.astype(to), 0, there * to.itemsize)]


def cut(raw: Numbers | pa.Buffer, first: Numbers | int, last: Numbers) -> Varying:
    """Of each row of `raw`, which are all of one size, the bytes from `first` on and before `last`."""
    data, count = pa.py_buffer(raw), len(last)
    width = data.size // count
    starts = np.arange(0, count * width, width, dtype=np.int32)
    ends = np.empty(2 * count + 1, np.int32)
    np.add(starts, first, out=ends[0:-1:2])
    np.add(starts, last, out=ends[1::2])
    ends[-1] = count * width
    found = pa.Array.from_buffers(BINARY, 2 * count, [None, pa.py_buffer(ends), data])
    return Varying(found, np.subtract(last, first, dtype=np.int32), 2)


def field(array: pa.Array) -> list[Piece]:
    """Each text or binary value after its length; null is the length -1."""
    if array.type not in _LAID_OUT_ALIKE:
        array = array.cast(BINARY)
    there = valid(array)
    found = varying(array)
    if there is None:
        return _alike(found) or [Fixed(found.sizes, LENGTH), found]
    if np.any((found.sizes > 0) & ~there):  # something lies under a null
        found = varying(pc.fill_null(array, pa.scalar(b"", BINARY).cast(array.type)))
    return [Fixed(np.where(there, found.sizes, NULL), LENGTH), found]


def varying(array: pa.Array) -> Varying:
    """The binary values as they lie, those under nulls too."""
    _, ends, data = array.buffers()
    bare = pa.Array.from_buffers(BINARY, len(array), [None, ends, data], 0, array.offset)
    return Varying(bare, np.diff(_ends(bare)))


def _ends(array: pa.Array) -> Numbers:
    found = np.frombuffer(array.buffers()[1], np.int32)
    return found[array.offset : array.offset + len(array) + 1]


def _alike(found: Varying) -> list[Piece]:
    """Values that are all of one size; nothing where they are not."""
    size = int(found.sizes[0])
    if not np.all(found.sizes == size):
        return []
    if not size:
        return [Fixed(0, LENGTH)]
    ends = _ends(found.values)
    raw = np.frombuffer(found.values.buffers()[2], np.uint8)[ends[0] : ends[-1]]
    kind = np.dtype(("V", size))
    return [Fixed(size, LENGTH), Fixed(raw.view(kind), kind)]


def framed(tag: bytes, pieces: Iterable[Piece], count: int, opening: bytes = b"") -> memoryview:
    """One message a row: `tag`, its length, `opening`, and the pieces."""
    body = list(pieces)
    size: Numbers | int = 4 + len(opening)
    size += sum(piece.kind.itemsize for piece in body if isinstance(piece, Fixed))
    for piece in body:
        if isinstance(piece, Varying):
            size = size + piece.sizes
    head: list[Piece] = [Fixed(tag[0], BYTE), Fixed(size, LENGTH)]
    if opening:
        head.append(Fixed(np.void(opening), np.dtype(("V", len(opening)))))
    return gathered(head + body, count)


def gathered(pieces: Sequence[Piece], count: int) -> memoryview:
    """The pieces of the first row, of the second, and so on, as they lie side by side."""
    parts: list[tuple[pa.Array, int]] = []
    for alike, run in groupby(pieces, lambda piece: isinstance(piece, Fixed)):
        if alike:
            same = [piece for piece in run if isinstance(piece, Fixed)]
            width = sum(piece.kind.itemsize for piece in same)
            parts.append((bytewise.fixed_binary(block(same, count), width, count), 1))
        else:
            parts += [(p.values, p.step) for p in run if isinstance(p, Varying)]
    if len(parts) == 1 and parts[0][1] == 1:
        return bytewise.inside(parts[0][0])
    whole = pa.concat_arrays([values for values, _ in parts])
    order = _order(tuple(step for _, step in parts), count)
    return bytewise.inside(pc.take(whole, order, boundscheck=False))


def block(run: Sequence[Fixed], count: int) -> pa.Buffer:
    """The pieces of each row side by side."""
    width = sum(piece.kind.itemsize for piece in run)
    raw = pa.allocate_buffer(width * count)
    at = 0
    for piece in run:
        np.ndarray((count,), piece.kind, raw, at, (width,))[...] = piece.values
        at += piece.kind.itemsize
    return raw


@lru_cache(maxsize=8)
def _order(steps: tuple[int, ...], count: int) -> pa.Array:
    """Where the parts of each row lie, row by row, when they follow each other part by part."""
    found = np.empty((count, len(steps)), np.int32)
    before = 0
    for part, step in enumerate(steps):
        found[:, part] = np.arange(before, before + step * count, step)
        before += step * count
    return pa.Array.from_buffers(pa.int32(), found.size, [None, pa.py_buffer(found)])
