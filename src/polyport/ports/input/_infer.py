"""From Python values to Arrow columns: the type that holds all of them, then the columns, batch by batch."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

BATCH_ROWS = 65_536
_EXACT = 2**53
_INT64 = 2**63


@dataclass(slots=True)
class Shape:
    """What kinds of values a column (or a part of one) holds; grows as values are added."""

    kinds: set[str] = field(default_factory=set)
    fields: dict[str, Shape] = field(default_factory=dict)
    item: Shape | None = None
    seen: int = 0
    """How many values that are not null were added."""
    first_null: int = -1
    """The index of the first row without a value."""
    scale: int = 0
    """Of the decimals, the most digits behind the point."""

    def add(self, value: Any, row: int = 0, *, dates: bool = False) -> None:
        """Take `value` into account. `dates`: texts that are ISO 8601 dates and times count as such."""
        if value is None:
            if self.first_null < 0:
                self.first_null = row
            return
        self.seen += 1
        kind = _kind(value, dates=dates)
        self.kinds.add(kind)
        if kind == "decimal":
            self.scale = max(self.scale, -int(value.as_tuple().exponent))
        elif kind == "object":
            for name, part in value.items():
                self.fields.setdefault(name, Shape()).add(part, row, dates=dates)
        elif kind == "list":
            self.item = self.item or Shape()
            for part in value:
                self.item.add(part, row, dates=dates)

    def type(self) -> pa.DataType:
        """The Arrow type that holds all of it; text where kinds do not go together, or where there are none."""
        kinds = self.kinds
        if kinds == {"object"} and self.fields:
            return pa.struct([pa.field(n, s.type()) for n, s in self.fields.items()])
        if kinds == {"list"} and self.item is not None:
            return pa.list_(self.item.type())
        if "decimal" in kinds and kinds <= {"decimal", "int", "big"}:
            return pa.decimal128(MOST_DIGITS, self.scale)
        for allowed, found in _TYPES:
            if kinds and kinds <= allowed:
                return found
        return pa.string()


MOST_DIGITS = 38
_TYPES: list[tuple[set[str], pa.DataType]] = [
    ({"bool"}, pa.bool_()),
    ({"int", "big"}, pa.int64()),
    ({"int", "float"}, pa.float64()),
    ({"date"}, pa.date32()),
    ({"date", "timestamp"}, pa.timestamp("us")),
    ({"moment"}, pa.timestamp("us", "UTC")),
    ({"time"}, pa.time64("us")),
    ({"bytes"}, pa.binary()),
]

_PYTHON: dict[type, str] = {
    str: "text", bool: "bool", date: "date", time: "time", dict: "object", list: "list",
    bytes: "bytes",
    int: "int",
    float: "float",
    datetime: "timestamp", timedelta: "span", Decimal: "decimal",
}  # fmt: skip


def _kind(value: Any, *, dates: bool) -> str:
    found = _PYTHON.get(type(value), "text")
    if found == "text":
        return _text_kind(value) if dates and isinstance(value, str) else found
    if found == "int" and not -_EXACT <= value <= _EXACT:
        return "big" if -_INT64 <= value < _INT64 else "huge"
    if found == "timestamp" and value.tzinfo:
        return "moment"
    if found == "decimal" and not value.is_finite():
        return "text"
    return found


_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?")


def _text_kind(text: str) -> str:
    if len(text) < 10 or text[4] != "-":  # noqa: PLR2004 - the length of a date
        return "text"
    try:
        if _DATE.fullmatch(text) and date.fromisoformat(text):
            return "date"
        if _TIME.fullmatch(text):
            return "moment" if datetime.fromisoformat(text).tzinfo else "timestamp"
    except ValueError:
        pass  # 2026-02-30 is a text
    return "text"


def person_text(value: Any) -> str:
    """`value` as a person sees it: 300, not 300.0."""
    return _TEXTS.get(type(value), str)(value)


def _number_text(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < _EXACT else str(value)


def _span_text(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


_TEXTS: dict[type, Callable[[Any], str]] = {
    bool: lambda value: "TRUE" if value else "FALSE",
    float: _number_text,
    datetime: lambda value: value.isoformat(" "),
    timedelta: _span_text,
    dict: _json_text,
    list: _json_text,
}


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """`values` as an array of `kind`.

    Raises:
        ValueError: With a pair: the index of the first value that does not fit, and the value.
    """
    if {*map(type, values)} <= _native(kind):
        try:
            return pa.array(values, kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            pass  # one is too large: which one is found below
    made = []
    for index, value in enumerate(values):
        try:
            made.append(None if value is None else fit(value, kind))
        except (ValueError, TypeError, InvalidOperation, OverflowError) as error:
            raise ValueError(index, value) from error
    try:
        return pa.array(made, kind)
    except (pa.ArrowInvalid, OverflowError) as error:  # more digits than the type has
        raise ValueError(*_first_unfit(made, values, kind)) from error


def _first_unfit(made: Sequence[Any], values: Sequence[Any], kind: pa.DataType) -> tuple[int, Any]:
    for index, value in enumerate(made):
        try:
            pa.scalar(value, kind)
        except (pa.ArrowInvalid, OverflowError):
            return index, values[index]
    return 0, values[0]


_NONE = type(None)
_NATIVE: list[tuple[Callable[[pa.DataType], bool], set[type]]] = [
    (pa.types.is_string, {str, _NONE}),
    (pa.types.is_integer, {int, _NONE}),
    (pa.types.is_floating, {int, float, _NONE}),
    (pa.types.is_boolean, {bool, _NONE}),
    (pa.types.is_binary, {bytes, _NONE}),
    (pa.types.is_date, {date, _NONE}),
    (pa.types.is_time, {time, _NONE}),
    (pa.types.is_decimal, {Decimal, _NONE}),
    (pa.types.is_timestamp, {datetime, _NONE}),
]


def _native(kind: pa.DataType) -> set[type]:
    """The Python types that Arrow takes for `kind` as they are: of others it would cut off or reinterpret some."""
    return next((native for holds, native in _NATIVE if holds(kind)), set())


def fit(value: Any, kind: pa.DataType) -> Any:
    """`value`, not None, as Arrow takes it for `kind`; loses nothing.

    Raises:
        ValueError: It does not fit.
    """
    for holds, convert in _FITS:
        if holds(kind):
            return convert(value, kind)
    return value


def _fit_text(value: Any, _: pa.DataType) -> str:
    if isinstance(value, bytes):
        raise TypeError(value)
    return person_text(value)


def _fit_integer(value: Any, _: pa.DataType) -> int:
    if isinstance(value, str | Decimal | float) and not isinstance(value, bool):
        number = Decimal(value)
        if number != number.to_integral_value():
            raise ValueError(value)
        return int(number)
    if not isinstance(value, int):
        raise TypeError(value)
    return int(value)


def _fit_float(value: Any, _: pa.DataType) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise TypeError(value)
    return float(value)


def _fit_decimal(value: Any, _: pa.DataType) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise TypeError(value)
    return Decimal(str(value))


_TRUTH = {"true": True, "false": False, "t": True, "f": False, "1": True, "0": False}


def _fit_bool(value: Any, _: pa.DataType) -> bool:
    found = _TRUTH.get(str(value).casefold())
    if found is None:
        raise ValueError(value)
    return found


def _fit_date(value: Any, _: pa.DataType) -> date:
    if isinstance(value, str):
        value = datetime.fromisoformat(value) if len(value) > 10 else date.fromisoformat(value)  # noqa: PLR2004
    if isinstance(value, datetime):
        if value.time() != time():
            raise ValueError(value)
        return value.date()
    if not isinstance(value, date):
        raise TypeError(value)
    return value


def _fit_timestamp(value: Any, kind: pa.DataType) -> datetime:
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(found, date):
        raise TypeError(value)
    if not isinstance(found, datetime):
        found = datetime(found.year, found.month, found.day)  # noqa: DTZ001 - a day has no zone
    if kind.tz:
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def _fit_time(value: Any, _: pa.DataType) -> time:
    if isinstance(value, str):
        value = time.fromisoformat(value)
    if not isinstance(value, time):
        raise TypeError(value)
    return value


def _fit_binary(value: Any, _: pa.DataType) -> bytes:
    if not isinstance(value, bytes | str):
        raise TypeError(value)
    return value.encode() if isinstance(value, str) else value


def _fit_list(value: Any, kind: pa.DataType) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError(value)
    return [None if part is None else fit(part, kind.value_type) for part in value]


def _fit_struct(value: Any, kind: pa.DataType) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(value)
    return {f.name: None if (v := value.get(f.name)) is None else fit(v, f.type) for f in kind}


_FITS: list[tuple[Callable[[pa.DataType], bool], Callable[[Any, pa.DataType], Any]]] = [
    (pa.types.is_string, _fit_text),
    (pa.types.is_boolean, _fit_bool),
    (pa.types.is_integer, _fit_integer),
    (pa.types.is_floating, _fit_float),
    (pa.types.is_decimal, _fit_decimal),
    (pa.types.is_date, _fit_date),
    (pa.types.is_timestamp, _fit_timestamp),
    (pa.types.is_time, _fit_time),
    (pa.types.is_binary, _fit_binary),
    (pa.types.is_list, _fit_list),
    (pa.types.is_struct, _fit_struct),
]

_SQL = {
    "BOOLEAN": pa.bool_(), "BOOL": pa.bool_(), "BIGINT": pa.int64(), "INTEGER": pa.int32(),
    "INT": pa.int32(), "SMALLINT": pa.int16(), "DOUBLE": pa.float64(), "FLOAT": pa.float32(),
    "REAL": pa.float32(), "VARCHAR": pa.string(), "TEXT": pa.string(), "STRING": pa.string(),
    "DATE": pa.date32(), "TIMESTAMP": pa.timestamp("us"), "TIME": pa.time64("us"),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"), "BLOB": pa.binary(), "DECIMAL": pa.decimal128(18, 3),
}  # fmt: skip


def sql_type(text: str, where: str) -> pa.DataType:
    """The Arrow type of a SQL type's name.

    Raises:
        ConfigurationError: It is none that columns may have.
    """
    name = text.strip().upper()
    found = re.fullmatch(r"(?:DECIMAL|NUMERIC)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", name)
    if found and int(found[1]) <= MOST_DIGITS:
        return pa.decimal128(int(found[1]), int(found[2] or 0))
    if name not in _SQL:
        raise ConfigurationError(
            f"{text!r} is not a type that a column can have", where=where, fix=", ".join(_SQL)
        )
    return _SQL[name]


def unique(names: Iterable[str]) -> list[str]:
    """`names`, the second of two that differ in nothing but case being called `<name>_2`."""
    taken: set[str] = set()
    made = []
    for name in names:
        chosen, number = name, 1
        while chosen.casefold() in taken:
            number += 1
            chosen = f"{name}_{number}"
        taken.add(chosen.casefold())
        made.append(chosen)
    return made
