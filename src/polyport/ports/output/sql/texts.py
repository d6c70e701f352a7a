"""Each Arrow value as PostgreSQL writes it as text, column by column; the rare ones value by value."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from polyport.ports.formats import json
from polyport.ports.output.sql import types
from polyport.ports.output.sql.calendar import (
    FIRST_DAY,
    FIRST_MICROSECOND,
    LAST_DAY,
    LAST_MICROSECOND,
    TIME_INFINITY,
    date_text,
    timestamp_text,
)
from polyport.ports.output.sql.nested import as_list, dimensions, is_list, relisted

if TYPE_CHECKING:
    from collections.abc import Callable

    from polyport.ports.output.sql.types import PgType

TEXT: Final = pa.string()
_SCIENTIFIC: Final = {pa.float64(): 1e15, pa.float32(): 1e6}
"""From where on floats are written with an exponent."""
_SMALLEST: Final = -4
"""The power of ten from which down they are, too."""
_QUOTED: Final = r'["{}\\,\s]|^$|^(?i:null)$'
"""Elements of an array that need quotes."""


def text(array: pa.Array, kind: PgType, zone: str = "UTC") -> pa.Array:
    """`array` as PostgreSQL writes the type `kind` (`pa.string()`); null stays null.

    `zone`: the time zone that instants are told in.
    """
    if kind.element is not None:
        return _array(array, kind, zone)
    array = _plain(array)
    if kind.oid == types.TIMESTAMPTZ:
        return _instant(array, zone)
    write = _WRITERS.get(kind.oid)
    return write(array) if write else _other(array)


def _plain(array: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        return array.dictionary_decode()
    return array


def _other(array: pa.Array) -> pa.Array:
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), TEXT)
    return array if array.type == TEXT else pc.cast(array, TEXT)


def _each(array: pa.Array, write: Callable[[Any], str]) -> pa.Array:
    return pa.array([None if v is None else write(v) for v in array.to_pylist()], TEXT)


def _bool(array: pa.Array) -> pa.Array:
    return pc.if_else(array, pa.scalar("t", TEXT), pa.scalar("f", TEXT))


def _float(array: pa.Array) -> pa.Array:
    found = pc.cast(array, TEXT)
    size = pc.abs(array)
    plain = pc.and_(pc.less(size, _SCIENTIFIC[array.type]), pc.greater_equal(size, 1e-4))
    plain = pc.or_(plain, pc.equal(array, 0.0))
    # Between 1e-4 and the limit Arrow writes no exponent, but for large round numbers.
    plain = pc.and_(plain, pc.less(size, min(1e7, _SCIENTIFIC[array.type])))
    return _mended(found, pc.fill_null(plain, True), _float_text(_SCIENTIFIC[array.type]))


def _mended(found: pa.Array, right: pa.Array, mend: Callable[[str], str]) -> pa.Array:
    """`found`, but each text that is not `right` as `mend` makes it."""
    if pc.all(right).as_py() is not False:
        return found
    wrong = pc.invert(right)
    return pc.replace_with_mask(found, wrong, _each(pc.filter(found, wrong), mend))


def _float_text(limit: float) -> Callable[[str], str]:
    """PostgreSQL's form of a float's shortest digits."""
    largest = len(f"{limit:.0f}") - 1

    def mended(found: str) -> str:
        if "n" in found:
            return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[found]
        sign, digits, exponent = Decimal(found).as_tuple()
        shown = "".join(map(str, digits)).rstrip("0") or "0"
        power = len(digits) - 1 + int(exponent)
        minus = "-" if sign else ""
        if shown == "0":
            return f"{minus}0"
        if _SMALLEST <= power < largest:
            return f"{Decimal(found):f}"
        mantissa = f"{shown[0]}.{shown[1:]}" if shown[1:] else shown
        return f"{minus}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02}"

    return mended


def numeric(array: pa.Array) -> pa.Array:
    """Whole numbers and decimals, with all their digits and no exponent."""
    if isinstance(array.type, pa.BaseExtensionType):
        return _each(array.storage, lambda raw: str(big_integer(raw)))
    found = pc.cast(array, TEXT)
    small = pc.match_substring(found, "E")
    return _mended(found, pc.fill_null(pc.invert(small), True), lambda v: f"{Decimal(v):f}")


def big_integer(raw: bytes) -> int:
    """The value of the engine's BIGNUM: three bytes of sign and size, then its digits; negative ones are inverted."""
    negative = not raw[0] & 0x80
    digits = bytes(b ^ 0xFF for b in raw[3:]) if negative else raw[3:]
    size = int.from_bytes(digits, "big")
    return -size if negative else size


def _bytea(array: pa.Array) -> pa.Array:
    return _each(array, lambda value: "\\x" + value.hex())


def _json(array: pa.Array) -> pa.Array:
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return pc.cast(array, TEXT)
    return pc.cast(pc.if_else(array.is_valid(), json.values(array), None), TEXT)


def _date(array: pa.Array) -> pa.Array:
    days = pc.cast(array, pa.int32())
    right = _within(days, FIRST_DAY, LAST_DAY)
    if pc.all(right).as_py() is not False:
        return pc.cast(array, TEXT)
    usual = pc.cast(pc.if_else(right, days, pa.scalar(0, pa.int32())).cast(pa.date32()), TEXT)
    return _replaced(usual, right, days, date_text)


def _timestamp(array: pa.Array) -> pa.Array:
    return _moment(microseconds(array), timestamp_text)


def _moment(values: pa.Array, rare: Callable[[int], str]) -> pa.Array:
    """Microseconds since 1970 as text; those outside of years 1 to 9999 by `rare`."""
    right = _within(values, FIRST_MICROSECOND, LAST_MICROSECOND)
    if pc.all(right).as_py() is not False:
        return _trimmed(values.cast(pa.timestamp("us")), pa.timestamp("s"))
    usual = _trimmed(pc.if_else(right, values, 0).cast(pa.timestamp("us")), pa.timestamp("s"))
    return _replaced(usual, right, values, rare)


def microseconds(array: pa.Array) -> pa.Array:
    """Timestamps of any unit as microseconds since 1970."""
    unit = pa.timestamp("us", array.type.tz)
    if array.type != unit:
        array = pc.cast(array, unit, safe=False)
    return array.cast(pa.int64())


def _instant(array: pa.Array, zone: str) -> pa.Array:
    values = microseconds(array)
    if zone in ("UTC", "GMT", "Etc/UTC", "Z"):
        return _offset(_moment(values, timestamp_text), values, pa.scalar("+00", TEXT))
    right = _within(values, FIRST_MICROSECOND, LAST_MICROSECOND)
    stamps = pc.if_else(right, values, 0).cast(pa.timestamp("us", zone))
    local = pc.local_timestamp(stamps).cast(pa.int64())
    seconds = pc.divide(pc.subtract(local, pc.fill_null(stamps.cast(pa.int64()), 0)), 1_000_000)
    codes = pc.dictionary_encode(seconds)
    names = pa.array(
        [None if s is None else offset_text(s) for s in codes.dictionary.to_pylist()], TEXT
    )
    offsets = pa.DictionaryArray.from_arrays(codes.indices, names).dictionary_decode()
    shown = _offset(_moment(local, timestamp_text), local, offsets)
    return _replaced(shown, right, values, _rare_instant)


def _rare_instant(value: int) -> str:
    if abs(value) >= TIME_INFINITY:
        return timestamp_text(value)
    return timestamp_text(value, "+00")


def _offset(texts: pa.Array, values: pa.Array, offsets: pa.Array | pa.Scalar) -> pa.Array:
    """`texts` with the offset of each; infinity has none, and the era comes last."""
    whole = pc.binary_join_element_wise(texts, offsets, pa.scalar("", TEXT))
    right = _within(values, FIRST_MICROSECOND, LAST_MICROSECOND)
    if pc.all(right).as_py() is not False:
        return whole
    return _replaced(whole, right, values, _rare_instant)


def offset_text(seconds: int) -> str:
    """`+01`, `-03:30`, `+01:24`: how far a zone is ahead of UTC."""
    sign, left = ("-", -seconds) if seconds < 0 else ("+", seconds)
    hours, rest = divmod(left, 3600)
    minutes, rest = divmod(rest, 60)
    shown = f"{sign}{hours:02}"
    if minutes or rest:
        shown += f":{minutes:02}"
    return shown + (f":{rest:02}" if rest else "")


def known_zone(name: str) -> bool:
    """Whether instants can be told in the zone `name`."""
    try:
        ZoneInfo(name)
        pc.local_timestamp(pa.array([0], pa.timestamp("us", name)))
    except (OSError, ValueError, pa.ArrowException, LookupError):
        return False
    return True


def _within(values: pa.Array, first: int, last: int) -> pa.Array:
    inside = pc.and_(pc.greater_equal(values, first), pc.less_equal(values, last))
    return pc.fill_null(inside, True)


def _replaced(
    usual: pa.Array, right: pa.Array, values: pa.Array, rare: Callable[[int], str]
) -> pa.Array:
    if pc.all(right).as_py() is not False:
        return usual
    wrong = pc.invert(right)
    return pc.replace_with_mask(usual, wrong, _each(pc.filter(values, wrong), rare))


def _time(array: pa.Array) -> pa.Array:
    if array.type == pa.time64("ns"):
        array = pc.cast(array, pa.time64("us"), safe=False)
    return _trimmed(array, pa.time32("s"))


def _trimmed(array: pa.Array, seconds: pa.DataType) -> pa.Array:
    """Times without the zeros at the end of a fraction of seconds."""
    whole = pc.cast(array, seconds, safe=False)
    if pc.all(pc.equal(pc.cast(whole, array.type), array)).as_py() is not False:
        return pc.cast(whole, TEXT)
    return pc.ascii_rtrim(pc.ascii_rtrim(pc.cast(array, TEXT), "0"), ".")


def _interval(array: pa.Array) -> pa.Array:
    return _each(array, lambda v: interval_text(v.months, v.days, v.nanoseconds // 1000))


def interval_text(months: int, days: int, microseconds: int) -> str:
    """An interval as PostgreSQL's style `postgres` writes it: `1 year 2 mons -3 days +04:05:06.5`."""
    years, months = _towards_zero(months, 12)
    parts: list[str] = []
    before_negative = False
    for count, unit in ((years, "year"), (months, "mon"), (days, "day")):
        if count:
            plus = "+" if before_negative and count > 0 else ""
            parts.append(f"{plus}{count} {unit}{'' if count == 1 else 's'}")
            before_negative = count < 0
    if microseconds or not parts:
        sign = "-" if microseconds < 0 else "+" if before_negative else ""
        parts.append(sign + _clock(abs(microseconds)))
    return " ".join(parts)


def _towards_zero(value: int, by: int) -> tuple[int, int]:
    whole, rest = divmod(abs(value), by)
    return (-whole, -rest) if value < 0 else (whole, rest)


def _clock(microseconds: int) -> str:
    seconds, fraction = divmod(microseconds, 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    shown = f"{hours:02}:{minutes:02}:{seconds:02}"
    return shown + (f".{fraction:06}".rstrip("0") if fraction else "")


def bits(raw: bytes) -> str:
    """The engine's bits: a byte that tells how many bits to leave out, then these."""
    return "".join(f"{byte:08b}" for byte in raw[1:])[raw[0] :]


def _varbit(array: pa.Array) -> pa.Array:
    return _each(array, bits)


def _array(array: pa.Array, kind: PgType, zone: str) -> pa.Array:
    """Lists as `{1,NULL,"a b"}`, lists of lists within each other."""
    if not is_list(array.type) or kind.element is None:
        return pa.nulls(len(array), TEXT)
    array = as_list(array)
    if is_list(array.type.value_type):
        return _nested(array, kind.element, zone)
    shown = pc.fill_null(_element(text(array.values, kind.element, zone)), "NULL")
    joined = pc.binary_join(pa.ListArray.from_arrays(array.offsets, shown), pa.scalar(",", TEXT))
    whole = pc.binary_join_element_wise(
        pa.scalar("{", TEXT), joined, pa.scalar("}", TEXT), pa.scalar("", TEXT)
    )
    return pc.if_else(array.is_valid(), whole, pa.scalar(None, TEXT))


def _nested(array: pa.Array, element: PgType, zone: str) -> pa.Array:
    shown = relisted(array, lambda leaves: _element(text(leaves, element, zone)))
    return _each(shown, _braces)


def _braces(value: list[Any]) -> str:
    if not dimensions(value)[1]:
        return "{}"
    return _inner(value)


def _inner(value: list[Any] | str | None) -> str:
    if isinstance(value, list):
        return "{" + ",".join(map(_inner, value)) + "}"
    return "NULL" if value is None else value


def _element(texts: pa.Array) -> pa.Array:
    """Each text as an element of an array: with quotes where it needs them."""
    special = pc.match_substring_regex(texts, _QUOTED)
    if not pc.any(special).as_py():
        return texts
    escaped = pc.replace_substring(pc.replace_substring(texts, "\\", "\\\\"), '"', '\\"')
    mark = pa.scalar('"', TEXT)
    quoted = pc.binary_join_element_wise(mark, escaped, mark, pa.scalar("", TEXT))
    return pc.if_else(special, quoted, texts)


_WRITERS: Final[dict[int, Callable[[pa.Array], pa.Array]]] = {
    types.BOOL: _bool,
    types.FLOAT4: _float,
    types.FLOAT8: _float,
    types.NUMERIC: numeric,
    types.BYTEA: _bytea,
    types.JSON: _json,
    types.DATE: _date,
    types.TIMESTAMP: _timestamp,
    types.TIME: _time,
    types.INTERVAL: _interval,
    types.VARBIT: _varbit,
}
