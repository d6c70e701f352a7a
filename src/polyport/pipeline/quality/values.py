"""Columns and the contract's values for them: families of types, and values that fit a column."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport.errors import QualityError

if TYPE_CHECKING:
    from collections.abc import Callable

_FAMILIES: tuple[tuple[str, tuple[Callable[[pa.DataType], bool], ...]], ...] = (
    ("text", (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)),
    ("integer", (pa.types.is_integer,)),
    ("float", (pa.types.is_floating,)),
    ("decimal", (pa.types.is_decimal,)),
    ("boolean", (pa.types.is_boolean,)),
    ("date", (pa.types.is_date,)),
    ("timestamp", (pa.types.is_timestamp,)),
    ("time", (pa.types.is_time,)),
    ("struct", (pa.types.is_struct,)),
    ("map", (pa.types.is_map,)),
    ("list", (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)),
    ("binary", (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)),
)
NUMBERS = frozenset({"integer", "float", "decimal"})
NESTED = frozenset({"struct", "map", "list"})
_DIGITS = 38
"""Of the widest decimal that SQL engines share."""


def family(kind: pa.DataType) -> str:
    """The kind of values a column of this type holds: text, integer, float, decimal, date, list ..."""
    if pa.types.is_dictionary(kind):
        return family(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return (
            "text"
            if kind.extension_name in ("arrow.uuid", "arrow.json")
            else family(kind.storage_type)
        )
    return next((name for name, tests in _FAMILIES if any(test(kind) for test in tests)), "other")


def text(sql: str, kind: pa.DataType) -> str:
    """SQL for the values of the expression `sql` as text."""
    plain = family(kind) == "text" and not isinstance(kind, pa.BaseExtensionType)
    return sql if plain else f"CAST({sql} AS VARCHAR)"


def fit(given: Any, column: str, kind: pa.DataType) -> Any:
    """`given`, from a contract, as a value that compares with the column's.

    Raises:
        QualityError: It does not fit the column's type.
    """
    found = family(kind)
    convert = _FIT.get(found)
    try:
        if convert is not None:
            return convert(given, kind)
    except (ValueError, TypeError, LookupError, InvalidOperation, OverflowError):
        pass  # said below, in the contract's words
    raise QualityError(f"{given!r} does not fit {column}, which holds {name(kind)}")


def name(kind: pa.DataType) -> str:
    """The type in a person's words."""
    found = family(kind)
    return _NAMES.get(found, str(kind) if found == "other" else found)


_NAMES = {
    "integer": "whole numbers",
    "float": "numbers",
    "decimal": "decimal numbers",
    "date": "dates",
    "timestamp": "timestamps",
    "time": "times",
    "boolean": "true or false",
    "list": "lists",
    "struct": "objects",
    "map": "maps",
    "binary": "bytes",
}


def _as_text(given: Any, _: pa.DataType) -> str:
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, list | dict):
        raise TypeError
    return given.isoformat() if isinstance(given, date | time) else str(given)


def _as_number(given: Any, _: pa.DataType) -> int | Decimal:
    if isinstance(given, bool):
        raise TypeError
    exact = Decimal(given.strip() if isinstance(given, str) else str(given))
    if (
        not exact.is_finite()
        or abs(exact.adjusted()) >= _DIGITS
        or len(exact.as_tuple().digits) > _DIGITS
    ):
        raise ValueError
    return int(exact) if exact == exact.to_integral_value() else exact


def _as_boolean(given: Any, _: pa.DataType) -> bool:
    return {"true": True, "false": False}[str(given).lower()]


def _as_date(given: Any, _: pa.DataType) -> date:
    if isinstance(given, datetime):
        return _naive(given)
    if isinstance(given, date):
        return given
    return (
        _naive(datetime.fromisoformat(given))
        if len(given) > len("2026-01-01")
        else date.fromisoformat(given)
    )


def _as_timestamp(given: Any, kind: pa.DataType) -> datetime:
    if isinstance(given, date) and not isinstance(given, datetime):
        given = datetime(given.year, given.month, given.day)  # noqa: DTZ001 - made aware below
    moment = given if isinstance(given, datetime) else datetime.fromisoformat(given)
    if kind.tz:
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return _naive(moment)


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _as_time(given: Any, _: pa.DataType) -> time:
    return given if isinstance(given, time) else time.fromisoformat(given)


_FIT: dict[str, Callable[[Any, pa.DataType], Any]] = {
    "text": _as_text,
    "integer": _as_number,
    "float": _as_number,
    "decimal": _as_number,
    "boolean": _as_boolean,
    "date": _as_date,
    "timestamp": _as_timestamp,
    "time": _as_time,
}
