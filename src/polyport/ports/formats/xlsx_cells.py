"""Cells of a spreadsheet, a column at a time: Arrow values to SpreadsheetML by string kernels, no Python loop a row.

What a spreadsheet cannot hold as a number without changing it is written as text: whole numbers beyond 2^53, decimals
of more than 15 digits, dates that spreadsheet programs disagree on (before 1900-03-01) or do not know (after
9999-12-31), negative durations.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from polyport.ports.formats.nested import plain
from polyport.ports.formats.text import TEXT, join, text

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER, INTEGER, DATE, SECONDS, MILLISECONDS, CLOCK, ELAPSED, BOOLEAN, DECIMALS = range(1, 10)
"""Cell styles; that of a decimal of scale `n` is `DECIMALS + n`."""
MAX_SCALE = 15

_TEXT_LIMIT = 32_767
"""UTF-16 units in a cell; a program calls a file with more damaged."""
_EXACT_INTEGER = 2**53
_EXACT_DIGITS = 15
_EPOCH = (date(1970, 1, 1) - date(1899, 12, 30)).days
_FIRST = (date(1900, 3, 1) - date(1970, 1, 1)).days
_LAST = (date(9999, 12, 31) - date(1970, 1, 1)).days
_DAY = 86_400 * 10**6

_ILLEGAL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x{FFFE}\x{FFFF}]"
_ESCAPE = r"_(x[0-9A-Fa-f]{4}_)"
_SPECIAL = rf"[&<>\r]|{_ILLEGAL}|{_ESCAPE}"
_SPACES = r"^[ \t\n]|[ \t\n]$|[\n\t]|  "


class Cells(NamedTuple):
    """The cells of one column: `<c r="A2"` + `head` + a value + `tail`. A null value is no cell at all."""

    head: str
    values: pa.Array
    tail: str


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Numbers, and where they cannot be trusted to be one."""

    style: int
    values: pa.Array
    exact: pa.Array | None = None
    """Where the value may be a number; None: everywhere."""


def cells(array: pa.Array) -> Cells:
    """The cells for the values of `array`."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return cells(array.dictionary_decode())
    if isinstance(kind, pa.BaseExtensionType):
        return cells(array.storage)
    if pa.types.is_boolean(kind):
        head = f' s="{BOOLEAN}" t="b"><v>'
        return Cells(head, pc.cast(pc.cast(array, pa.int8()), TEXT), "</v></c>")
    for applies, numbers in _NUMBERS:
        if applies(kind):
            return _number_cells(numbers(array), array)
    return text_cells(plain(array))


def text_cells(array: pa.Array) -> Cells:
    """The cells for texts. They are never formulas, whatever they begin with."""
    array = _short(array)
    keep = ' xml:space="preserve"' if _any(pc.match_substring_regex(array, _SPACES)) else ""
    return Cells(f' t="inlineStr"><is><t{keep}>', escaped(array), "</t></is></c>")


def escaped(array: pa.Array) -> pa.Array:
    """Texts as XML content, without the characters that XML has no way to say."""
    if not _any(pc.match_substring_regex(array, _SPECIAL)):
        return array
    array = pc.replace_substring_regex(array, _ILLEGAL, "")
    array = pc.replace_substring_regex(array, _ESCAPE, r"_x005F_\1")
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;")):
        array = pc.replace_substring(array, char, entity)
    return array


def _any(mask: pa.Array) -> bool:
    return bool(pc.any(mask).as_py())


def _all(mask: pa.Array) -> bool:
    return pc.all(mask).as_py() is not False


def _short(array: pa.Array) -> pa.Array:
    longest = pc.max(pc.utf8_length(array)).as_py() or 0
    if longest * 2 <= _TEXT_LIMIT:
        return array
    return pa.array([None if v is None else _cut(v) for v in array.to_pylist()], TEXT)


def _cut(value: str) -> str:
    units = value.encode("utf-16-le")
    if len(units) <= 2 * _TEXT_LIMIT:
        return value
    return units[: 2 * (_TEXT_LIMIT - 1)].decode("utf-16-le", "ignore") + "…"


def _number_cells(numbers: _Numbers, array: pa.Array) -> Cells:
    head = f' s="{numbers.style}"><v>' if numbers.style else "><v>"
    if numbers.exact is None or _all(numbers.exact):
        return Cells(head, numbers.values, "</v></c>")
    as_text = text_cells(text(array))
    number = join([head, numbers.values, "</v></c>"])
    other = join(as_text)
    return Cells("", pc.if_else(numbers.exact, number, other), "")


def _integers(array: pa.Array) -> _Numbers:
    exact = None
    if array.type.bit_width == 64:  # noqa: PLR2004
        exact = pc.less_equal(array, pa.scalar(_EXACT_INTEGER, array.type))
        if pa.types.is_signed_integer(array.type):
            exact = pc.and_(exact, pc.greater_equal(array, pa.scalar(-_EXACT_INTEGER, array.type)))
    return _Numbers(INTEGER, text(array), exact)


def _floats(array: pa.Array) -> _Numbers:
    return _Numbers(0, text(array), pc.is_finite(array))


def _decimals(array: pa.Array) -> _Numbers:
    kind, exact = array.type, None
    if kind.precision > _EXACT_DIGITS:
        # a double is near enough: the limit itself is text, and conversion keeps order
        near = pc.abs(pc.cast(array, pa.float64()))
        exact = pc.less(near, float(Decimal(1).scaleb(_EXACT_DIGITS - kind.scale)))
    return _Numbers(DECIMALS + min(max(kind.scale, 0), MAX_SCALE), text(array), exact)


def _serials(days: pa.Array) -> pa.Array:
    """Spreadsheet serials of days since 1970, whole or not."""
    return text(pc.add(days, _EPOCH))


def _known(days: pa.Array) -> pa.Array:
    return pc.and_(pc.greater_equal(days, _FIRST), pc.less(days, _LAST + 1))


def _dates(array: pa.Array) -> _Numbers:
    days = pc.cast(pc.cast(array, pa.date32()), pa.int32())
    return _Numbers(DATE, _serials(pc.cast(days, pa.int64())), _known(days))


def _timestamps(array: pa.Array) -> _Numbers:
    micros = _micros(array, pa.timestamp("us", array.type.tz))
    shifted = pc.cast(pc.add(micros, _EPOCH * _DAY), pa.float64(), safe=False)
    days = pc.divide(pc.cast(micros, pa.float64(), safe=False), float(_DAY))
    serial = text(pc.divide(shifted, float(_DAY)))
    return _Numbers(_moment_style(micros), serial, _known(days))


def _moment_style(micros: pa.Array) -> int:
    second = 10**6
    whole = pc.multiply(pc.divide(micros, second), second)
    return SECONDS if _all(pc.equal(whole, micros)) else MILLISECONDS


def _clock(array: pa.Array) -> _Numbers:
    micros = pc.cast(_micros(array, pa.time64("us")), pa.float64())
    return _Numbers(CLOCK, text(pc.divide(micros, float(_DAY))))


def _elapsed(array: pa.Array) -> _Numbers:
    micros = pc.cast(_micros(array, pa.duration("us")), pa.float64(), safe=False)
    days = pc.divide(micros, float(_DAY))
    return _Numbers(ELAPSED, text(days), pc.greater_equal(days, 0.0))


def _micros(array: pa.Array, kind: pa.DataType) -> pa.Array:
    return pc.cast(pc.cast(array, kind, safe=False), pa.int64())


_NUMBERS: tuple[tuple[Callable[[pa.DataType], Any], Callable[[pa.Array], _Numbers]], ...] = (
    (pa.types.is_integer, _integers),
    (pa.types.is_floating, _floats),
    (pa.types.is_decimal, _decimals),
    (pa.types.is_date, _dates),
    (pa.types.is_timestamp, _timestamps),
    (pa.types.is_time, _clock),
    (pa.types.is_duration, _elapsed),
)
