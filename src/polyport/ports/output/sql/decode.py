"""Parameters of statements, as clients send them in text or binary, as Python's values."""

from __future__ import annotations

import json
import math
import re
import struct
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from polyport.ports.output.sql import types
from polyport.ports.output.sql.messages import ProtocolError, decoded

if TYPE_CHECKING:
    from collections.abc import Callable

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_DATE: Final = re.compile(
    r"\s*(\d{4,})-(\d\d?)-(\d\d?)(?:[ T].*|\s*[+-]\d\d(?::?\d\d)?)?\s*\Z", re.ASCII
)
_ZONE: Final = re.compile(
    r"\s*(?:(Z|UTC|GMT)|([+-])(\d\d?)(?::?(\d\d))?(?::?(\d\d))?)\s*\Z", re.ASCII | re.IGNORECASE
)
_CLOCK: Final = re.compile(r"(\d\d?):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?", re.ASCII)
_INTERVAL: Final = re.compile(
    r"([+-]?\d+(?:\.\d+)?)\s*([a-z]+)|([+-]?)(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?", re.IGNORECASE
)
_UNITS: Final = {
    "year": 365.25, "yr": 365.25, "y": 365.25, "month": 30, "mon": 30, "week": 7, "w": 7, "day": 1, "d": 1,
    "hour": 1 / 24, "h": 1 / 24, "hr": 1 / 24, "minute": 1 / 1440, "min": 1 / 1440, "m": 1 / 1440,
    "second": 1 / 86400, "sec": 1 / 86400, "s": 1 / 86400,
}  # fmt: skip
_TRUE: Final = ("t", "tr", "tru", "true", "y", "ye", "yes", "on", "1")
_FALSE: Final = ("f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0")


def value(raw: bytes | None, oid: int, form: int) -> Any:
    """The value of one parameter of the type `oid`. `form`: 0 text, 1 binary.

    Raises:
        ProtocolError: It is not one of that type.
    """
    if raw is None:
        return None
    if form not in (0, 1):
        raise ProtocolError(f"unsupported format code: {form}", state="22023")
    try:
        return _binary(raw, oid) if form else from_text(decoded(raw), oid)
    except (ValueError, OverflowError, InvalidOperation, struct.error, IndexError):
        if form:
            raise ProtocolError(
                "incorrect binary data format in a parameter", state="22P03"
            ) from None
        shown = raw[:60].decode("utf-8", "replace")
        raise ProtocolError(
            f'invalid input syntax for type {_name(oid)}: "{shown}"',
            state=_STATES.get(oid, "22P02"),
        ) from None


_STATES: Final = dict.fromkeys(
    (types.DATE, types.TIME, types.TIMETZ, types.TIMESTAMP, types.TIMESTAMPTZ, types.INTERVAL),
    "22007",
)


def _name(oid: int) -> str:
    if oid == types.NUMERIC:
        return "numeric"
    return types.sql_name(oid).lower() or "text"


def from_text(shown: str, oid: int) -> Any:
    """The value that `shown` means as the type `oid`; of a type that is not known, the text."""
    if oid in types.ELEMENTS:
        return _array_text(shown, types.ELEMENTS[oid])
    read = _TEXTS.get(oid)
    return read(shown) if read else shown


def _bool_text(shown: str) -> bool:
    word = shown.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(shown)


def _date_text(shown: str) -> date:
    found = _DATE.match(shown)
    if not found:
        raise ValueError(shown)
    return date(int(found[1]), int(found[2]), int(found[3]))


def _zone(shown: str) -> timezone | None:
    if not shown.strip():
        return None
    found = _ZONE.match(shown)
    if not found:
        raise ValueError(shown)
    if found[1]:
        return UTC
    ahead = timedelta(hours=int(found[3]), minutes=int(found[4] or 0), seconds=int(found[5] or 0))
    return timezone(-ahead if found[2] == "-" else ahead)


def _moment(shown: str) -> datetime:
    day, _, rest = shown.strip().replace("T", " ", 1).partition(" ")
    at = datetime.combine(_date_text(day), time())
    clock = _CLOCK.match(rest)
    zone = _zone(rest[clock.end() :] if clock else rest)
    return (at + (_since_midnight(clock) if clock else timedelta())).replace(tzinfo=zone)


def _since_midnight(clock: re.Match[str]) -> timedelta:
    fraction = (clock[4] or "").ljust(6, "0")[:6]
    return timedelta(
        hours=int(clock[1]),
        minutes=int(clock[2]),
        seconds=int(clock[3] or 0),
        microseconds=int(fraction),
    )


def _timestamp_text(shown: str) -> datetime:
    return _moment(shown).replace(tzinfo=None)


def _timestamptz_text(shown: str) -> datetime:
    found = _moment(shown)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _time_text(shown: str) -> time:
    clock = _CLOCK.match(shown.strip())
    if not clock:
        raise ValueError(shown)
    _zone(shown.strip()[clock.end() :])
    return (_EPOCH + _since_midnight(clock)).time()


def _interval_text(shown: str) -> timedelta:
    found, at = timedelta(), 0
    for part in _INTERVAL.finditer(shown.strip()):
        at += len(part[0])
        if part[2]:
            unit = part[2].lower()
            unit = unit if unit in _UNITS else unit.removesuffix("s")
            if unit not in _UNITS:
                raise ValueError(shown)
            found += timedelta(days=float(part[1]) * _UNITS[unit])
        else:
            clock = timedelta(hours=int(part[4]), minutes=int(part[5]), seconds=float(part[6] or 0))
            found += -clock if part[3] == "-" else clock
    if not at:
        raise ValueError(shown)
    return found


def _bytea_text(shown: str) -> bytes:
    if shown.startswith("\\x"):
        return bytes.fromhex(shown[2:])
    return re.sub(
        rb"\\(\d{3}|\\)",
        lambda m: b"\\" if m[1] == b"\\" else bytes([int(m[1], 8)]),
        shown.encode(),
    )


def _integer_text(shown: str) -> int:
    if not re.fullmatch(r"\s*[+-]?\d+\s*", shown, re.ASCII):
        raise ValueError(shown)
    return int(shown)


def _float_text(shown: str) -> float:
    if "_" in shown:
        raise ValueError(shown)
    return float(shown)


def _float4_text(shown: str) -> float:
    found = _float_text(shown)  # its shortest form is not its value
    return found if math.isinf(found) else float(struct.unpack("!f", struct.pack("!f", found))[0])


def _numeric_text(shown: str) -> Decimal | float:
    if "_" in shown:
        raise ValueError(shown)
    found = Decimal(shown.strip())
    return found if found.is_finite() else float(found)


_TEXTS: Final[dict[int, Callable[[str], Any]]] = {
    types.BOOL: _bool_text,
    types.BYTEA: _bytea_text,
    types.INT2: _integer_text,
    types.INT4: _integer_text,
    types.INT8: _integer_text,
    types.OID: _integer_text,
    types.FLOAT4: _float4_text,
    types.FLOAT8: _float_text,
    types.NUMERIC: _numeric_text,
    types.DATE: _date_text,
    types.TIME: _time_text,
    types.TIMETZ: _time_text,
    types.TIMESTAMP: _timestamp_text,
    types.TIMESTAMPTZ: _timestamptz_text,
    types.INTERVAL: _interval_text,
    types.UUID: UUID,
}


def _array_text(shown: str, element: int) -> list[Any]:
    """`{1,NULL,"a b"}`, and arrays within: as PostgreSQL writes them, with or without bounds in front."""
    at = shown.index("{")
    found, end = _items(shown, at, element)
    if shown[end:].strip():
        raise ValueError(shown)
    return found


def _items(shown: str, at: int, element: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    at = _space(shown, at + 1)
    while shown[at] != "}":
        item, at = _item(shown, at, element)
        found.append(item)
        at = _space(shown, at)
        if shown[at] == ",":
            at = _space(shown, at + 1)
        elif shown[at] != "}":
            raise ValueError(shown)
    return found, at + 1


def _item(shown: str, at: int, element: int) -> tuple[Any, int]:
    if shown[at] == "{":
        return _items(shown, at, element)
    if shown[at] == '"':
        quoted = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL).match(shown, at)
        if not quoted:
            raise ValueError(shown)
        text = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL)
        return from_text(text, element), quoted.end()
    bare = re.compile(r'[^,{}"]+').match(shown, at)
    if not bare:
        raise ValueError(shown)
    text = bare[0].strip()
    return (None if text.upper() == "NULL" else from_text(text, element)), bare.end()


def _space(shown: str, at: int) -> int:
    while shown[at].isspace():
        at += 1
    return at


def _binary(raw: bytes, oid: int) -> Any:
    if oid in types.ELEMENTS:
        return _array_binary(raw, types.ELEMENTS[oid])
    size = types.SIZES.get(oid)
    if size is not None and len(raw) != size:
        raise ValueError("length")
    read = _BINARIES.get(oid)
    return read(raw) if read else decoded(raw)


def _integer(raw: bytes) -> int:
    return int.from_bytes(raw, "big", signed=True)


def _timestamp(raw: bytes) -> datetime:
    return (_EPOCH + timedelta(microseconds=_integer(raw))).replace(tzinfo=None)


def _interval(raw: bytes) -> timedelta:
    microseconds, days, months = struct.unpack("!qii", raw)
    years, months = (
        divmod(abs(months), 12) if months >= 0 else tuple(-x for x in divmod(-months, 12))
    )
    return timedelta(days=days + years * 365.25 + months * 30, microseconds=microseconds)


def _numeric(raw: bytes) -> Decimal | float:
    count, weight, sign, scale = struct.unpack_from("!hhHH", raw)
    if sign in _SPECIAL:
        return _SPECIAL[sign]
    if sign not in (0, 0x4000) or count < 0 or len(raw) != 8 + 2 * count:
        raise ValueError("numeric")
    digits = struct.unpack_from(f"!{count}H", raw, 8)
    if any(digit >= _BASE for digit in digits):
        raise ValueError("numeric")
    unscaled = 0
    for digit in digits:
        unscaled = unscaled * _BASE + digit
    text = str(unscaled)
    found = Decimal(text).scaleb(4 * (weight - count + 1)) if unscaled else Decimal(0)
    shown = found.quantize(Decimal(1).scaleb(-scale)) if len(text) + scale < _PRECISION else found
    return -shown if sign else shown


_BASE: Final = 10_000
_PRECISION: Final = 28
"""Digits that the decimal module keeps."""
_MOST_DIMENSIONS: Final = 6
_SPECIAL: Final = {0xC000: float("nan"), 0xD000: float("inf"), 0xF000: float("-inf")}


def _varbit(raw: bytes) -> str:
    size = _integer(raw[:4])
    return "".join(f"{byte:08b}" for byte in raw[4:])[:size]


_BINARIES: Final[dict[int, Callable[[bytes], Any]]] = {
    types.BOOL: lambda raw: raw != b"\0",
    types.BYTEA: lambda raw: raw,
    types.INT2: _integer,
    types.INT4: _integer,
    types.INT8: _integer,
    types.OID: lambda raw: int.from_bytes(raw, "big"),
    types.FLOAT4: lambda raw: struct.unpack("!f", raw)[0],
    types.FLOAT8: lambda raw: struct.unpack("!d", raw)[0],
    types.NUMERIC: _numeric,
    types.DATE: lambda raw: _EPOCH.date() + timedelta(days=_integer(raw)),
    types.TIME: lambda raw: (_EPOCH + timedelta(microseconds=_integer(raw))).time(),
    types.TIMETZ: lambda raw: (_EPOCH + timedelta(microseconds=_integer(raw[:8]))).time(),
    types.TIMESTAMP: _timestamp,
    types.TIMESTAMPTZ: lambda raw: _EPOCH + timedelta(microseconds=_integer(raw)),
    types.INTERVAL: _interval,
    types.UUID: lambda raw: UUID(bytes=raw),
    types.VARBIT: _varbit,
    types.JSONB: lambda raw: json.dumps(json.loads(raw[1:])),
}


def _array_binary(raw: bytes, element: int) -> list[Any]:
    dimensions, _, said = struct.unpack_from("!iiI", raw)
    if not 0 <= dimensions <= _MOST_DIMENSIONS:
        raise ValueError("dimensions")
    sizes = [struct.unpack_from("!ii", raw, 12 + 8 * d)[0] for d in range(dimensions)]
    at, found = 12 + 8 * dimensions, []
    while at < len(raw):
        (size,) = struct.unpack_from("!i", raw, at)
        at += 4
        if size < -1 or at + max(size, 0) > len(raw):
            raise ValueError("element")
        found.append(None if size < 0 else _binary(raw[at : at + size], said or element))
        at += max(size, 0)
    for size in sizes[:0:-1]:
        found = [found[start : start + size] for start in range(0, len(found), size)]
    return found
