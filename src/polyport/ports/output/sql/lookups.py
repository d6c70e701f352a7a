"""Days, moments and decimals as text by NumPy: looked up instead of written, where those of a column are usual ones."""

from __future__ import annotations

from datetime import date
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyport.ports.output.sql import blocks, texts, types
from polyport.ports.output.sql.blocks import (
    LENGTH,
    NULL,
    Fixed,
    Varying,
    cut,
    fixed,
    numbers,
    valid,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from polyport.ports.output.sql.blocks import Flags, Numbers, Piece
    from polyport.ports.output.sql.types import PgType

_EPOCH: Final = date(1970, 1, 1).toordinal()
FIRST: Final = date(1900, 1, 1).toordinal() - _EPOCH
LAST: Final = date(2100, 12, 31).toordinal() - _EPOCH
"""Days since 1970 that are looked up."""
PLACES: Final = 4
"""The most digits behind the point that are looked up."""
_DAY: Final = 86_400
_MICROSECONDS: Final = 1_000_000
_DIGITS: Final = 18
_UTC: Final = ("UTC", "GMT", "Etc/UTC", "Z")
_MOMENT: Final = np.dtype([("day", "V10"), ("blank", "u1"), ("clock", "V8")])
_INSTANT: Final = np.dtype([("moment", "V19"), ("zone", "V3")])


def field(array: pa.Array, kind: PgType, zone: str) -> list[Piece]:
    """Each value of `array` after its length, as `texts.text` writes it; null is the length -1."""
    write = _WRITERS.get(kind.oid) if kind.element is None else None
    found = write(array, zone) if write else []
    return found or blocks.field(texts.text(array, kind, zone))


def _date(array: pa.Array, _: str) -> list[Piece]:
    if array.type != pa.date32():
        return []
    there = valid(array)
    days = _known(numbers(array, "i4"), there)
    return fixed(_days()[days - FIRST], "V10", there) if _usual(days) else []


def _timestamp(array: pa.Array, _: str) -> list[Piece]:
    if array.type != pa.timestamp("us"):
        return []
    there = valid(array)
    found = _moments(_known(numbers(array, "i8"), there))
    return [] if found is None else fixed(found, "V19", there)


def _instant(array: pa.Array, zone: str) -> list[Piece]:
    if zone not in _UTC or not pa.types.is_timestamp(array.type) or array.type.unit != "us":
        return []
    there = valid(array)
    moments = _moments(_known(numbers(array, "i8"), there))
    if moments is None:
        return []
    found = np.empty(len(array), _INSTANT)
    found["moment"], found["zone"] = moments, np.void(b"+00")
    return fixed(found.view("V22"), "V22", there)


def _moments(values: Numbers) -> Numbers | None:
    """Microseconds since 1970 as text; None where one has a fraction of a second, or lies too far."""
    seconds = values // _MICROSECONDS
    days = seconds // _DAY
    if not _usual(days) or np.any(seconds * _MICROSECONDS != values):
        return None
    found = np.empty(len(values), _MOMENT)
    found["day"] = _days()[days - FIRST]
    found["blank"] = ord(" ")
    found["clock"] = _clocks()[seconds - days * _DAY]
    return found.view("V19")


def _numeric(array: pa.Array, _: str) -> list[Piece]:
    kind = array.type
    if (
        not pa.types.is_decimal128(kind)
        or kind.precision > _DIGITS
        or not 1 <= kind.scale <= PLACES
    ):
        return []
    there = valid(array)
    halves = np.frombuffer(array.buffers()[1], "i8").reshape(-1, 2)
    values = halves[array.offset : array.offset + len(array), 0]
    if there is not None:
        values = np.where(there, values, 0)
    size = np.abs(values)
    whole = size // 10**kind.scale
    negative = values < 0
    if np.any(negative & (whole == 0)):  # -0.5: the sign is not one of the whole number
        return []
    before = _texts(np.where(negative, -whole, whole), there)
    after = _fractions(kind.scale)[size - whole * 10**kind.scale]
    width = kind.scale + 1
    if there is None:
        return [Fixed(before.sizes + width, LENGTH), before, Fixed(after, after.dtype)]
    lengths = np.where(there, before.sizes + width, NULL)
    return [Fixed(lengths, LENGTH), before, cut(after, 0, there * width)]


def _texts(whole: Numbers, there: Flags | None) -> Varying:
    """Whole numbers as text; nothing where they are not `there`."""
    found = pc.cast(pa.array(whole), pa.string())
    if there is not None:
        found = pc.if_else(pa.array(there), found, pa.scalar("", pa.string()))
    return blocks.varying(found)


def _known(values: Numbers, there: Flags | None) -> Numbers:
    return values if there is None else np.where(there, values, values.dtype.type(0))


def _usual(days: Numbers) -> bool:
    return bool(len(days)) and bool(days.min() >= FIRST) and bool(days.max() <= LAST)


@cache
def _days() -> Numbers:
    """`1900-01-01` and so on."""
    return _table(pa.array(range(FIRST, LAST + 1), pa.int32()).cast(pa.date32()), 10)


@cache
def _clocks() -> Numbers:
    """`00:00:00` and so on."""
    return _table(pa.array(range(_DAY), pa.int32()).cast(pa.time32("s")), 8)


@lru_cache(maxsize=PLACES)
def _fractions(places: int) -> Numbers:
    """`.00` and so on."""
    shown = "".join(f".{number:0{places}}" for number in range(10**places))
    return np.frombuffer(shown.encode(), f"V{places + 1}")


def _table(values: pa.Array, width: int) -> Numbers:
    shown = pc.cast(values, pa.string())
    return np.frombuffer(shown.buffers()[2], f"V{width}", len(values))


_WRITERS: Final[dict[int, Callable[[pa.Array, str], list[Piece]]]] = {
    types.DATE: _date,
    types.TIMESTAMP: _timestamp,
    types.TIMESTAMPTZ: _instant,
    types.NUMERIC: _numeric,
}
