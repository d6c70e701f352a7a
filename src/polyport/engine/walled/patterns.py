"""PostgreSQL's patterns of `to_char` for moments (its documentation: "Data Type Formatting Functions")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from polyport.engine.walled import figures

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = re.compile(
    r'"[^"]*"|(?:FM)?(?:YYYY|IYYY|YY|MONTH|Month|month|MON|Mon|mon|DAY|Day|day|DDD|DD|DY|Dy|dy|HH24|HH12|HH|MI|MM'
    r"|SSSSS?|SS|MS|US|IW|ID|AM|PM|am|pm|TZ|OF|CC|WW|W|Q|D)|.",
    re.DOTALL,
)
_SPELT = {
    "YYYY": "%Y", "IYYY": "%G", "YY": "%y", "MM": "%m", "DD": "%d", "DDD": "%j", "HH24": "%H", "HH12": "%I", "HH": "%I",
    "MI": "%M", "SS": "%S", "MS": "%g", "US": "%f", "IW": "%V", "ID": "%u", "AM": "%p", "PM": "%p", "Mon": "%b",
    "Dy": "%a", "TZ": "UTC", "OF": "+00",
    "FMMonth": "%B", "FMDay": "%A", "FMMon": "%b", "FMDy": "%a", "FMYYYY": "%Y", "FMMM": "%-m", "FMDD": "%-d",
    "FMDDD": "%-j", "FMHH24": "%-H", "FMHH12": "%-I", "FMHH": "%-I", "FMMI": "%-M", "FMSS": "%-S", "FMID": "%u",
}  # fmt: skip
"""As strftime spells them."""
_CASED = {
    "MONTH": ("%B", "upper"), "month": ("%B", "lower"), "MON": ("%b", "upper"), "mon": ("%b", "lower"),
    "DAY": ("%A", "upper"), "day": ("%A", "lower"), "DY": ("%a", "upper"), "dy": ("%a", "lower"),
    "am": ("%p", "lower"), "pm": ("%p", "lower"),
}  # fmt: skip
_PADDED = {
    "Month": ("%B", ""),
    "Day": ("%A", ""),
    **{n: _CASED[n] for n in ("MONTH", "month", "DAY", "day")},
}
_COMPUTED = {
    "Q": "quarter", "FMQ": "quarter", "D": "weekday", "FMD": "weekday", "W": "month_week", "FMW": "month_week",
    "WW": "year_week", "CC": "century", "SSSS": "day_seconds", "SSSSS": "day_seconds",
}  # fmt: skip


class Part(NamedTuple):
    """A text that is made of a moment: by strftime, if there is a format, and then by functions."""

    format: str
    functions: tuple[str, ...] = ()


class UnknownPatternError(Exception):
    """There is something in a pattern that is not known."""


def parts(pattern: str) -> list[Part]:
    """What `pattern` is made of, one after the other.

    Raises:
        UnknownPatternError: Of something that is not known here.
    """
    found: list[Part] = []
    for part in map(_part, _pieces(pattern)):
        joined = found and not part.functions and not found[-1].functions
        found.append(Part(found.pop().format + part.format) if joined else part)
    return found or [Part("")]


def of_number(pattern: str) -> bool:
    """Whether it has digits or is one of Roman numerals, and has nothing of moments."""
    moment = {*_SPELT, *_PADDED, *_CASED, *_COMPUTED} - {"D", "FMD", "MI", "FMMI", "CC"}
    digits = set("09") & set(pattern) or figures.roman(pattern)
    pieces = _pieces(pattern.replace("FM", ""))
    return bool(digits) and not any(piece in moment for piece in pieces)


def _pieces(pattern: str) -> Iterator[str]:
    return (match[0] for match in _PIECE.finditer(pattern))


def _part(piece: str) -> Part:
    bare = piece.removeprefix("FM")
    if piece in _SPELT:
        return Part(_SPELT[piece])
    if piece in _PADDED:
        spelt, case = _PADDED[piece]
        return Part(spelt, (case, "polyport_padded") if case else ("polyport_padded",))
    if bare in _CASED:
        spelt, case = _CASED[bare]
        return Part(spelt, (case,))
    if piece in _COMPUTED:
        return Part("", (f"polyport_{_COMPUTED[piece]}",))
    literal = piece.strip('"') if piece.startswith('"') else piece
    if piece != literal or piece == "T" or not (piece.isascii() and piece.isalpha()):
        return Part(literal.replace("%", "%%"))
    raise UnknownPatternError(piece)
