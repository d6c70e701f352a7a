"""How values lie in SQLite: exactly, and in their own order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


MOST_DIGITS = 18


EPOCH = date(1970, 1, 1)


MICRO_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Codec:
    """How one column lies in SQLite: exactly, and in the same order as its values."""

    read: str
    """The engine's SQL that gives the stored value; `{}` is the column."""
    encode: Callable[[Any], Any | None]
    """A value to compare with as it is stored; None where it is not of the column's own type."""
    decode: Callable[[Sequence[Any]], Sequence[Any]]
    """Stored values as Arrow takes them for the column's own type."""


def codec(kind: pa.DataType) -> Codec | None:
    """How a column of the type `kind` is stored; None where SQLite cannot hold it without loss."""
    if pa.types.is_decimal(kind):
        read = f"({{}} * 1{'0' * kind.scale})::BIGINT"
        return (
            Codec(read, _scaled(kind.scale), _decimals(kind.scale))
            if kind.precision <= MOST_DIGITS
            else None
        )
    if pa.types.is_timestamp(kind):
        return (
            Codec("epoch_us({})", _moment if kind.tz else _nothing, _as_stored)
            if kind.unit == "us"
            else None
        )
    return _CODECS.get(kind)


def _decimals(scale: int) -> Callable[[Sequence[Any]], Sequence[Any]]:
    return lambda values: [None if v is None else Decimal(v).scaleb(-scale) for v in values]


def _truths(values: Sequence[Any]) -> Sequence[Any]:
    return [None if v is None else bool(v) for v in values]


def _as_stored(values: Sequence[Any]) -> Sequence[Any]:
    return values


def _nothing(_: Any) -> None:
    return None


def _integer(value: Any) -> int | None:
    return value if type(value) is int and abs(value) < 2**63 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and "\0" not in value else None


def _truth(value: Any) -> int | None:
    return int(value) if isinstance(value, bool) else None


def _day(value: Any) -> int | None:
    return (value - EPOCH).days if type(value) is date else None


def _float(value: Any) -> float | None:
    if type(value) is int:
        return float(value) if abs(value) <= 2**53 else None
    found = float(value) if type(value) in (float, Decimal) else math.nan
    return None if math.isnan(found) else found


def _moment(value: Any) -> int | None:
    if type(value) is not datetime or value.tzinfo is None:
        return None
    since = value - MICRO_EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _scaled(scale: int) -> Callable[[Any], int | None]:
    def encode(value: Any) -> int | None:
        if type(value) not in (int, Decimal):
            return None
        scaled = Decimal(value).scaleb(scale)
        return (
            int(scaled)
            if scaled == scaled.to_integral_value() and abs(scaled) < 10**MOST_DIGITS
            else None
        )

    return encode


_WHOLE = Codec("{}", _integer, _as_stored)


_CODECS = {
    **dict.fromkeys(
        (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()),
        _WHOLE,
    ),
    pa.string(): Codec("{}", _text, _as_stored),
    pa.bool_(): Codec("{}::INT", _truth, _truths),
    pa.date32(): Codec("({} - DATE '1970-01-01')::BIGINT", _day, _as_stored),
    pa.float64(): Codec("{}", _float, _as_stored),
}
