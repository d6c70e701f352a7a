"""Every Arrow value as text, column by column: exact, and the same in each format that holds text."""

from __future__ import annotations

import base64
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TEXT = pa.large_string()


def text(array: pa.Array) -> pa.Array:
    """`array` as `large_string`; null stays null.

    Decimals have all their digits and no exponent; dates are ISO 8601; timestamps RFC 3339, in UTC with `Z` where they
    have a time zone; durations and intervals ISO 8601; bytes base64; floats that are not finite `NaN`, `Infinity` and
    `-Infinity`.
    For lists, structs and maps see `polyport.ports.formats.nested`.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        return text(array.dictionary_decode())
    if isinstance(kind, pa.BaseExtensionType):
        return text(array.storage)
    for applies, write in _KINDS:
        if applies(kind):
            return write(array)
    return pc.cast(array, TEXT)


def join(pieces: Sequence[str | pa.Array], separator: str = "") -> pa.Array:
    """The pieces of each row joined (`large_string`); null where one of them is null.

    Without a separator, fixed texts that stand side by side are joined once, not once a row.
    """
    merged: list[str | pa.Array] = []
    for piece in pieces:
        if not separator and isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        else:
            merged.append(piece)
    values = [pa.scalar(p, TEXT) if isinstance(p, str) else p for p in (*merged, separator)]
    return pc.binary_join_element_wise(*values)


def _iso_duration(value: timedelta) -> str:
    sign, value = ("-", -value) if value < timedelta() else ("", value)
    seconds = Decimal(value // timedelta(microseconds=1)).scaleb(-6)
    return f"{sign}PT{seconds.normalize():f}S"


def _iso_interval(value: pa.MonthDayNano) -> str:
    """Months, days and seconds are told apart, each with its sign: `P14M`, `P1M-2DT3.5S`."""
    seconds = Decimal(value.nanoseconds).scaleb(-9).normalize()
    parts = [f"{n}{mark}" for n, mark in ((value.months, "M"), (value.days, "D")) if n]
    time = [f"T{seconds:f}S"] if seconds or not parts else []
    return "P" + "".join(parts + time)


def _each(write: Callable[[Any], str]) -> Callable[[pa.Array], pa.Array]:
    """A kernel for kinds that are rare: value by value in Python."""

    def kernel(array: pa.Array) -> pa.Array:
        return pa.array([None if v is None else write(v) for v in array.to_pylist()], TEXT)

    return kernel


def _decimal(array: pa.Array) -> pa.Array:
    found = pc.cast(array, TEXT)
    small = pc.match_substring(found, "E")
    if not pc.any(small).as_py():
        return found
    return pc.if_else(small, _each(lambda v: format(v, "f"))(array), found)


def _float(array: pa.Array) -> pa.Array:
    found = pc.cast(array, TEXT)
    if _all(pc.is_finite(array)):
        return found
    for short, name in (("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity")):
        found = pc.if_else(pc.equal(found, short), name, found)
    return found


def _timestamp(array: pa.Array) -> pa.Array:
    local = pc.cast(array, pa.timestamp(array.type.unit, "UTC" if array.type.tz else None))
    # a cast from UTC to no zone keeps the time and is free
    found = _trimmed(pc.cast(local, pa.timestamp(array.type.unit)), pa.timestamp("s"))
    found = pc.replace_substring(found, " ", "T")
    return join([found, "Z"]) if array.type.tz else found


def _time(array: pa.Array) -> pa.Array:
    return _trimmed(array, pa.time32("s"))


def _trimmed(array: pa.Array, seconds: pa.DataType) -> pa.Array:
    """The text of times without the zeros at the end of a fraction of seconds; without fraction where there is none."""
    whole = pc.cast(array, seconds, safe=False)
    if _all(pc.equal(pc.cast(whole, array.type), array)):
        return pc.cast(whole, TEXT)
    return pc.ascii_rtrim(pc.ascii_rtrim(pc.cast(array, TEXT), "0"), ".")


def _all(mask: pa.Array) -> bool:
    return pc.all(mask).as_py() is not False


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


_KINDS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]], ...] = (
    (pa.types.is_decimal, _decimal),
    (pa.types.is_floating, _float),
    (pa.types.is_timestamp, _timestamp),
    (pa.types.is_time, _time),
    (pa.types.is_duration, _each(_iso_duration)),
    (pa.types.is_interval, _each(_iso_interval)),
    (_is_binary, _each(lambda v: base64.b64encode(v).decode())),
)
