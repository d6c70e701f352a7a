"""Lower and upper bounds of a column, in Iceberg's binary form of single values (Iceberg v2, Appendix D).

Values are numbers (days, microseconds, unscaled decimals) or bytes, as in the footers of Parquet files.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Value = bool | int | float | bytes

_KEPT = 16
"""Characters of a text, or bytes."""
_LONGEST = 2**63
_LAST = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)
"""Code points that no text has."""
_PACKED = {
    "boolean": "<?",
    "int": "<i",
    "date": "<i",
    "long": "<q",
    "time": "<q",
    "timestamp": "<q",
    "timestamptz": "<q",
    "float": "<f",
    "double": "<d",
}


def lower(kind: str, value: Value) -> bytes | None:
    """A bound that is at most `value`, for the Iceberg type `kind`; None where there is none."""
    if isinstance(value, bytes) and kind in {"string", "binary"}:
        return value.decode()[:_KEPT].encode() if kind == "string" else value[:_KEPT]
    return _exact(kind, -0.0 if isinstance(value, float) and value == 0 else value)


def upper(kind: str, value: Value) -> bytes | None:
    """A bound that is at least `value`; None where there is none."""
    if isinstance(value, bytes) and kind in {"string", "binary"}:
        return _text(value.decode()) if kind == "string" else _above(value)
    return _exact(kind, 0.0 if isinstance(value, float) and value == 0 else value)


def _exact(kind: str, value: Value) -> bytes | None:
    if kind.startswith("decimal"):
        return _unscaled(int(value))
    if isinstance(value, bytes):  # fixed, uuid
        return value
    if kind not in {"float", "double"} and not -_LONGEST <= value < _LONGEST:
        return None  # a time whose microseconds no long holds
    return struct.pack(_PACKED[kind], value)


def _unscaled(number: int) -> bytes:
    """Two's complement, big end first, in as few bytes as hold it."""
    bits = (number if number >= 0 else ~number).bit_length()
    return number.to_bytes(bits // 8 + 1, "big", signed=True)


def _text(value: str) -> bytes | None:
    points = _truncated([ord(c) for c in value], _LAST, _next_point)
    return None if points is None else "".join(map(chr, points)).encode()


def _next_point(point: int) -> int:
    return _SURROGATES.stop if point + 1 in _SURROGATES else point + 1


def _above(value: bytes) -> bytes | None:
    found = _truncated(list(value), 0xFF, lambda byte: byte + 1)
    return None if found is None else bytes(found)


def _truncated(units: list[int], last: int, after: Callable[[int], int]) -> list[int] | None:
    """The shortest list of at most 16 that is not below `units`: cut, and one more in the place that has room."""
    if len(units) <= _KEPT:
        return units
    head = units[:_KEPT]
    while head and head[-1] == last:
        head.pop()
    return [*head[:-1], after(head[-1])] if head else None
