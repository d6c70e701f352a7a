"""Values as text in an address: read by the Arrow type of their column, strictly, and refused in words."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, date, datetime, time
from decimal import ROUND_05UP, Context, Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID

import pyarrow as pa
import pyarrow.types as pt

from polyport.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable

Kind: TypeAlias = Literal[
    "integer", "number", "boolean", "date", "timestamp", "time", "uuid", "string", "other"
]
FLOAT_LIMITS = {
    16: Decimal(65504),
    32: Decimal("3.4028235E+38"),
    64: Decimal("1.7976931348623157E+308"),
}
CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
_DAY = (
    r"(?!0000)([0-9]{4}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)"
    r"|(0[13578]|1[02])-31)|([0-9]{2}(0[48]|[2468][048]|[13579][26])"
    r"|(0[48]|[2468][048]|[13579][26])00)-02-29)"
)
NAIVE = rf"^{_DAY}([T ]{CLOCK})?$"
"""Timestamps without an offset, for which JSON Schema has no format: the days that there are, leap years included."""
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)([Zz]|[+ -][0-9]{2}:[0-9]{2})?)?"
)
_EXACT_DIGITS = 38
"""What a DECIMAL holds; a float column is compared with more digits only as a float."""


def kind(data_type: pa.DataType) -> Kind:
    """How values of `data_type` are written in an address; `other`: not at all."""
    for name, test in _KINDS.items():
        if test(data_type):
            return name
    return "other"


def _text(data_type: pa.DataType) -> bool:
    return bool(
        pt.is_string(data_type)
        or pt.is_large_string(data_type)
        or pt.is_string_view(data_type)
        or (pt.is_dictionary(data_type) and _text(data_type.value_type))
    )


def _uuid(data_type: pa.DataType) -> bool:
    return isinstance(data_type, pa.UuidType)


def _number(data_type: pa.DataType) -> bool:
    return bool(pt.is_floating(data_type) or pt.is_decimal(data_type))


_KINDS: dict[Kind, Callable[[pa.DataType], bool]] = {
    "boolean": pt.is_boolean,
    "integer": pt.is_integer,
    "number": _number,
    "date": pt.is_date,
    "timestamp": pt.is_timestamp,
    "time": pt.is_time,
    "uuid": _uuid,
    "string": _text,
}


def sortable(data_type: pa.DataType) -> bool:
    """Whether rows can be paged in the order of such a column: its values go into a cursor and come back."""
    if pt.is_timestamp(data_type) or pt.is_time(data_type):
        return str(data_type.unit) != "ns"
    return kind(data_type) != "other" or bool(
        pt.is_binary(data_type) or pt.is_large_binary(data_type)
    )


def limits(data_type: pa.DataType) -> tuple[int | Decimal, int | Decimal]:
    """The smallest and the largest number that may be asked of a column of `data_type`."""
    if pt.is_integer(data_type):
        bits = data_type.bit_width
        low = 0 if pt.is_unsigned_integer(data_type) else -(2 ** (bits - 1))
        return low, low + 2**bits - 1
    if pt.is_decimal(data_type):
        most = 10 ** max(data_type.precision - data_type.scale, 0)
        return -most, most
    most_float = FLOAT_LIMITS[data_type.bit_width]
    return -most_float, most_float


def read(text: str, data_type: pa.DataType, what: str) -> Any:
    """The value that `text` says, to be compared with a column of `data_type`.

    Numbers that are not whole are Decimals; times of day are text in ISO form.

    Raises:
        QueryError: It does not say one, or one out of range. `what` is whose value it is (`parameter 'amount.gt'`).
    """
    name = kind(data_type)
    try:
        return _READERS[name](text, data_type)
    except (ValueError, ArithmeticError):  # also decimal's: an exponent beyond any limit
        shown = text if len(text) <= 60 else text[:60] + "..."  # noqa: PLR2004
        raise QueryError(
            f"{what}: {shown!r} is not {_describe(data_type)}", fix=_EXAMPLES[name]
        ) from None


def _describe(data_type: pa.DataType) -> str:
    words = {"integer": "an integer", "other": "a value that can be asked for"}
    name = kind(data_type)
    shown = words.get(name, f"a {name}")
    if name not in ("integer", "number"):
        return shown
    low, high = limits(data_type)
    return f"{shown} from {low} to {high}"


_EXAMPLES: dict[Kind, str] = {
    "integer": "such as 42",
    "number": "such as 12.5",
    "boolean": "true or false",
    "date": "such as 2024-12-31",
    "timestamp": "such as 2024-12-31T23:59:59Z (without Z or offset where the column has none)",
    "time": "such as 23:59:59",
    "uuid": "such as 3f333df6-90a4-4fda-8dd3-9485d27cee36",
    "string": "any text",
    "other": "only .null can be asked of this column",
}


def _matched(pattern: re.Pattern[str], text: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError(text)
    return text


def _read_integer(text: str, data_type: pa.DataType) -> int:
    # Longer than any limit: refused unread, as int() refuses more than 4,300 digits in other words.
    found = int(_matched(_INTEGER, text[:60]))
    low, high = limits(data_type)
    if len(text) > 60 or not low <= found <= high:  # noqa: PLR2004
        raise ValueError(text)
    return found


def _read_number(text: str, data_type: pa.DataType) -> Decimal:
    found = Decimal(_matched(_NUMBER, text))
    low, high = limits(data_type)
    if not low <= found <= high:
        raise ValueError(text)
    if pt.is_decimal(data_type):
        return _shorten(found, data_type.scale)
    exact = len(found.as_tuple().digits) <= _EXACT_DIGITS and abs(found.adjusted()) < _EXACT_DIGITS
    return found if exact else Decimal(repr(float(found)))


def _shorten(number: Decimal, scale: int) -> Decimal:
    """`number` with one digit more than the column has, rounded so that it compares with the column as it did."""
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -scale:
        return number
    return number.quantize(
        Decimal(1).scaleb(-scale - 1), context=Context(prec=100, rounding=ROUND_05UP)
    )


def _read_boolean(text: str, _: pa.DataType) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _read_date(text: str, _: pa.DataType) -> date:
    return date.fromisoformat(_matched(_DATE, text))


def _read_time(text: str, _: pa.DataType) -> str:
    return time.fromisoformat(_matched(_CLOCK, text)).isoformat()


def _read_timestamp(text: str, data_type: pa.DataType) -> datetime:
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    day, clock, offset = match.groups()
    # A plus sign that was not percent-encoded arrives as a space.
    zone = (offset or "").upper().replace(" ", "+")
    found = datetime.fromisoformat(f"{day}T{clock or '00:00'}{zone}")
    if data_type.tz is None:
        if zone:
            raise ValueError(text)
        return found
    return _utc(found if zone else found.replace(tzinfo=UTC))


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        edge = datetime.min if moment.year == 1 else datetime.max  # noqa: DTZ901
        return edge.replace(tzinfo=UTC)


def _read_uuid(text: str, _: pa.DataType) -> str:
    return str(UUID(_matched(_UUID, text)))


def _read_string(text: str, _: pa.DataType) -> str:
    return text


def _read_other(text: str, _: pa.DataType) -> Any:
    raise ValueError(text)


_READERS: dict[Kind, Callable[[str, pa.DataType], Any]] = {
    "integer": _read_integer,
    "number": _read_number,
    "boolean": _read_boolean,
    "date": _read_date,
    "timestamp": _read_timestamp,
    "time": _read_time,
    "uuid": _read_uuid,
    "string": _read_string,
    "other": _read_other,
}


_FAR = re.compile(r"(?:\d{5,}|-\d{4,})-\d\d-\d\d(?:[T ][\d:.]+Z?)?", re.ASCII)


def pack(value: Any) -> str | None:
    """A column's value as text that `unpack` reads back exactly."""
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case bytes():
            return base64.b64encode(value).decode()
        case date() | time():
            return value.isoformat()
        case float():
            return repr(value + 0.0)  # -0.0 and 0.0 are one value
        case _:
            return str(value)


def unpack(text: str | None, data_type: pa.DataType) -> Any:
    """The value of a column of `data_type` that `pack` wrote.

    Raises:
        ValueError: `text` is not one.
    """
    if text is None or _text(data_type):
        return text
    for test, reader in _UNPACK:
        if test(data_type):
            return reader(text)
    raise ValueError(text)


def _unpack_bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error


def _unpack_time(text: str, reader: Callable[[str], Any]) -> Any:
    """A date or time; the text where Python has none (`polyport.ports.formats.listed`)."""
    return text if _FAR.fullmatch(text) else reader(text)


def _unpack_decimal(text: str) -> Decimal:
    try:
        found = Decimal(_matched(_NUMBER, text))
    except ArithmeticError as error:
        raise ValueError(text) from error
    if abs(found.adjusted()) > 2 * _EXACT_DIGITS:
        raise ValueError(text)
    return found


_UNPACK: tuple[tuple[Callable[[pa.DataType], bool], Callable[[str], Any]], ...] = (
    (pt.is_boolean, lambda text: _read_boolean(text, None)),
    (pt.is_integer, int),
    (pt.is_floating, float),
    (pt.is_decimal, _unpack_decimal),
    (pt.is_date, lambda text: _unpack_time(text, date.fromisoformat)),
    (pt.is_timestamp, lambda text: _unpack_time(text, datetime.fromisoformat)),
    (pt.is_time, time.fromisoformat),
    (_uuid, lambda text: _read_uuid(text, None)),
    (lambda t: bool(pt.is_binary(t) or pt.is_large_binary(t)), _unpack_bytes),
)
