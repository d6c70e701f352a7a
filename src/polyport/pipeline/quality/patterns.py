"""Regular expressions and formats: what ODCS writes, as the engine's RE2 takes it.

ODCS patterns are ECMA-262 and, as in JSON Schema, may match anywhere in the text unless they are anchored.
RE2 knows no look-around and no back-reference; a pattern with one cannot be run, and says so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from polyport.errors import QualityError, QueryError

if TYPE_CHECKING:
    from polyport.engine import Engine

_ESCAPES = re.compile(
    r"\\u\{([0-9A-Fa-f]+)\}|\\u([0-9A-Fa-f]{4})|\\c([A-Za-z])|\\.|\(\?<(?=[^=!])", re.DOTALL
)

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_BYTE = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_HEX = r"[0-9A-Fa-f]"


def _ipv6() -> str:
    group = f"{_HEX}{{1,4}}"
    tails = [f"({group}:){{1,{8 - n}}}(:{group}){{1,{n}}}" for n in range(1, 8)]
    return f"^({'|'.join([f'({group}:){{7}}{group}', *tails, f'({group}:){{1,7}}:', f':(:{group}){{1,7}}', '::'])})$"


FORMATS = {
    "email": ("an e-mail address", r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$"),
    "uuid": ("a UUID", f"^{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}$"),
    "uri": ("a URI", r"^[A-Za-z][A-Za-z0-9+.-]*:[^\s]+$"),
    "hostname": ("a host name", f"^{_LABEL}(\\.{_LABEL})*$"),
    "ipv4": ("an IPv4 address", f"^({_BYTE}\\.){{3}}{_BYTE}$"),
    "ipv6": ("an IPv6 address", _ipv6()),
}
"""Text formats that can be checked: in words, and as a pattern."""

BITS = {
    f"{sign}{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if sign == "i" else (0, 2**bits - 1)
    for sign in "iu"
    for bits in (8, 16, 32, 64)
}
"""Integer formats: the smallest and the largest value."""

_MOMENTS = {
    "yyyy": "%Y", "uuuu": "%Y", "yy": "%y", "MMMM": "%B", "MMM": "%b", "MM": "%m", "M": "%-m", "dd": "%d",
    "d": "%-d", "HH": "%H", "H": "%-H", "hh": "%I", "mm": "%M", "ss": "%S", "SSSSSS": "%f", "SSS": "%g",
    "a": "%p", "EEEE": "%A", "EEE": "%a", "DDD": "%j", "XXX": "%z", "XX": "%z", "X": "%z", "Z": "%z",
}  # fmt: skip
_MOMENT = re.compile(r"'([^']*)'|([A-Za-z])\2*|[^A-Za-z']")


def re2(pattern: str) -> str:
    """An ECMA-262 pattern in RE2's writing; what RE2 does not know is left for it to refuse."""
    return _ESCAPES.sub(_escape, pattern)


def _escape(found: re.Match[str]) -> str:
    braced, four, control = found.groups()
    if braced or four:
        return f"\\x{{{braced or four}}}"
    if control:
        return f"\\x{{{ord(control.upper()) - 64:02x}}}"
    return "(?P<" if found[0] == "(?<" else found[0]


def check(pattern: str, engine: Engine) -> str:
    """The pattern as the engine takes it.

    Raises:
        QualityError: It is no regular expression, or not one that can be run; names the place where it is known.
    """
    ours = re2(pattern)
    try:
        with engine.query("SELECT regexp_matches('', $pattern)", {}, {"pattern": ours}) as reader:
            reader.read_all()
    except QueryError as error:
        raise _bad(pattern, error) from error
    return ours


def _bad(pattern: str, error: QueryError) -> QualityError:
    said, _, part = error.message.partition(": ")
    at = pattern.find(part) + 1 if part else 0
    place = f" at character {at}" if at else ""
    fix = (
        "look-around and back-references cannot be run; write an `sql` rule"
        if "perl" in said
        else ""
    )
    return QualityError(f"the pattern {pattern!r} cannot be run: {error.message}{place}", fix=fix)


def moment(text: str) -> str:
    """The strptime format of a JDK date pattern such as `yyyy-MM-dd`; empty where it has no counterpart."""
    parts = []
    at = 0
    while at < len(text):
        found = _MOMENT.match(text, at)
        if found is None:
            return ""
        at = found.end()
        part = _part(found)
        if not part:
            return ""
        parts.append(part)
    return "".join(parts)


def _part(found: re.Match[str]) -> str:
    if found[1] is not None:
        return (found[1] or "'").replace("%", "%%")
    return _MOMENTS.get(found[0], "") if found[2] else found[0].replace("%", "%%")
