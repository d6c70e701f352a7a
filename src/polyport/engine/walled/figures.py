"""PostgreSQL's patterns of `to_char` for numbers (its documentation: "Data Type Formatting Functions").

A pattern becomes a table of templates: one for each sign, count of digits before the point, of those behind it, and of
zeros at the end. In a template, a placeholder stands for each character of the number; so the engine only has to write
the number with as many decimals, to choose, and to translate. What a template is, is what PostgreSQL does (from its
observed behaviour, in the C locale), digit by digit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_DIGITS, MOST_SHIFT, MOST_TEMPLATES = 38, 9, 5_000
FIRST, ENDING, ENDING_LARGE, SEPARATOR = 0xE000, "\uf8f0", "\uf8f1", "\uf8f2"
"""The placeholders: of the first character of a number, of `th` and `TH`; and what stands between templates."""
_OURS = re.compile("[\ue000-\uf8ff]")
PRECISIONS = {"DOUBLE": 15, "FLOAT": 6}
"""How many digits PostgreSQL writes of each."""
_PIECE = re.compile(
    r'"((?:[^"\\]|\\.)*)"?|\\(")|(FM|fm|EEEE|eeee|MI|mi|PL|pl|PR|pr|SG|sg|SP|sp|TH|th|RN|rn|[.,09]|[BbCcDdGgLlSsVv])|(.)',
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ROMAN = re.compile("(FM|fm)?(RN|rn)")


class PatternError(Exception):
    """A pattern cannot be done; `str` tells why."""


@dataclass(frozen=True, slots=True)
class Node:
    """One part of a pattern: what it does, in upper case, or a text."""

    does: str
    text: str = ""


@dataclass(slots=True)
class Picture:
    """What a pattern asks for."""

    nodes: list[Node] = field(default_factory=list)
    before: int = 0
    """Digits before the point."""
    behind: int = 0
    shift: int = 0
    """Digits that `V` moves before the point."""
    zero: int = -1
    """Where the first `0` is, if there is one before the point."""
    zeros: int = 0
    """Where the last `0` is."""
    fill: bool = False
    """Whether blanks and zeros at the end are left out."""
    point: bool = False
    moves: bool = False
    science: bool = False
    sign: str = ""
    """`S` before or `s` behind the digits, `M` (MI, PL, SG), or `P` (PR)."""
    signed_at: int = 0
    """Digits before an `S`."""
    plus: bool = False
    minus: bool = False

    @property
    def digits(self) -> int:
        """All digits before the point."""
        return self.before + self.shift


@dataclass(frozen=True, slots=True)
class Number:
    """The text of a number without its sign; in a template, placeholders stand for its digits."""

    text: str
    negative: bool
    behind: int
    """Digits behind the point that PostgreSQL thinks it has."""
    blanks: int
    """How many digits fewer it has than there is room before the point."""
    nought: bool
    """Whether its first digit is a zero."""
    last: int = -1
    """Where the last digit is that is no zero behind the point, or the point; -1: there is none, or no matter."""


def picture(pattern: str) -> Picture:
    """What `pattern` asks for.

    Raises:
        PatternError: PostgreSQL refuses it, or it cannot be done here.
    """
    made = Picture()
    if _OURS.search(pattern):
        raise PatternError("characters for private use")
    for node in _nodes(pattern):
        made.nodes.append(node)
        if node.does:
            _noted(made, node)
    if made.digits + made.behind > MOST_DIGITS or made.shift > MOST_SHIFT:
        raise PatternError(f"more than {MOST_DIGITS} digits, or {MOST_SHIFT} behind V")
    return made


def roman(pattern: str) -> tuple[bool, bool] | None:
    """Of a pattern of Roman numerals, whether they are filled with blanks, and whether they are small letters."""
    found = _ROMAN.fullmatch(pattern)
    return (not found[1], found[2] == "rn") if found else None


def _nodes(pattern: str) -> Iterator[Node]:
    for found in _PIECE.finditer(pattern):
        quoted, escaped, word, other = found.groups()
        if word:
            yield Node("th" if word == "th" else "." if word in "Dd" else word.upper())
        else:
            yield Node("", _ESCAPED.sub(r"\1", quoted) if quoted is not None else escaped or other)


def _noted(made: Picture, node: Node) -> None:
    does = node.does
    if made.science:
        raise PatternError("something behind EEEE")
    if does in ("9", "0"):
        _digit(made, does)
    elif does in ("S", "MI", "PL", "SG", "PR"):
        _signed(made, does)
    elif does in (".", "V"):
        if made.point or (made.moves and does == "."):
            raise PatternError("two points, or a point and V")
        made.point, made.moves = does == ".", made.moves or does == "V"
    elif does not in (",", "G", "L", "th", "TH"):
        _whole(made, does)


def _whole(made: Picture, does: str) -> None:
    """What is said of all that is written."""
    if does not in ("EEEE", "FM"):
        raise PatternError(does)
    if does == "EEEE" and (made.sign or made.fill or made.moves):
        raise PatternError("EEEE together with FM, V or a sign")
    made.science, made.fill = does == "EEEE", made.fill or does == "FM"


def _digit(made: Picture, does: str) -> None:
    if made.sign == "P":
        raise PatternError(f"{does} behind PR")
    if does == "9" and made.moves:
        made.shift += 1
        return
    if does == "0" and not made.point and made.zero < 0:
        made.zero = made.before
    if made.point:
        made.behind += 1
    else:
        made.before += 1
    if does == "0":
        made.zeros = made.before + made.behind


def _signed(made: Picture, does: str) -> None:
    if made.sign and (does in ("S", "PR") or made.sign != "M"):
        raise PatternError(f"{does} together with another sign")
    if does == "S":
        made.sign, made.signed_at = ("s" if made.point else "S"), made.before
    else:
        made.sign = "P" if does == "PR" else "M"
        made.minus |= does in ("MI", "SG")
        made.plus |= does in ("PL", "SG")


class _Writer:
    """Writes one number by a picture, as PostgreSQL does."""

    def __init__(self, made: Picture, number: Number) -> None:
        self.made, self.number = made, number
        self.out: list[str] = []
        self.at = self.place = 0
        self.inside = self.ended = False
        self.sign = made.sign if made.sign in ("S", "s", "P") else ""
        if self.sign == "S" and made.signed_at == made.digits:
            self.sign = "s"
        if made.plus or made.minus:
            self.signed = made.minus or not made.plus
        else:
            self.signed = not number.negative and made.fill and self.sign not in ("S", "s")
        if made.fill and self.sign == "P" and not number.negative:
            self.sign = ""
        self.last = number.last if made.fill and made.point else -1
        if self.last >= 0 and made.zeros > number.blanks:
            kept = min(len(number.text) - 1, made.zeros - number.blanks)
            self.last = max(self.last, kept)
        self.count = number.behind + made.digits - 1
        if not self.signed and not number.blanks:
            self.count += 1

    def written(self) -> str:
        for node in self.made.nodes:
            if node.does in ("9", "0", "."):
                self._numeric(node.does)
            elif not node.does:
                self.out.append(node.text)
            elif not self._other(node.does):
                continue
            if self.ended:
                break
        return "".join(self.out)

    def _other(self, does: str) -> bool:
        number, fill = self.number, self.made.fill
        if does in (",", "G"):
            said = "," if self.inside else "" if fill else " "
        elif does == "L":
            said = " "
        elif does in ("th", "TH"):
            shown = number.text[0] != "#" and not number.negative and not self.made.point
            said = (ENDING if does == "th" else ENDING_LARGE) if shown else ""
        elif does == "SG":
            said = "-" if number.negative else "+"
        elif does in ("MI", "PL"):
            shown = number.negative == (does == "MI")
            said = ("-" if does == "MI" else "+") if shown else "" if fill else " "
        else:  # S, PR, FM, V
            said = ""
        self.out.append(said)
        return bool(said)

    @property
    def _bare(self) -> bool:
        """Whether the zero before a point is left out: ` .5`."""
        return self.made.zero < 0 and self.at == 0 and self.number.nought and self.number.behind > 0

    def _point_last(self) -> bool:
        return self.last >= 0 and self.number.text[self.last] == "."

    def _numeric(self, does: str) -> None:
        made, number = self.made, self.number
        self.inside = False
        due = self.place >= number.blanks or made.zero == self.place
        if not self.signed and due and (not self._bare or self._point_last()):
            self._sign()
        if self.place >= number.blanks:
            self._next(does)
        elif made.zero < 0 or made.zero > self.place:
            self.out.append("" if made.fill else " ")
        else:
            self.out.append("0")
            self.inside = True
        if not self.ended:
            self._behind()
        self.place += 1

    def _behind(self) -> None:
        """A sign behind the last digit."""
        made, number = self.made, self.number
        end = self.count + bool(number.blanks) + made.point
        if self.last >= 0 and self.last == self.at:
            end = self.place
        if self.place + 1 != end:
            return
        if self.signed and self.sign == "P":
            self.out.append(">" if number.negative else " ")
        elif self.sign == "s":
            self.out.append("-" if number.negative else "+")

    def _sign(self) -> None:
        negative = self.number.negative
        if self.sign == "s":
            return
        if self.sign == "S":
            self.out.append("-" if negative else "+")
        elif self.sign == "P":
            self.out.append("<" if negative else " ")
        else:
            self.out.append("-" if negative else "" if self.made.fill else " ")
        self.signed = True

    def _next(self, does: str) -> None:
        """The next character of the number."""
        text = self.number.text
        here = text[self.at] if self.at < len(text) else ""
        if here == ".":
            self.out.append(".")
        elif 0 <= self.last < self.at and does != "0":
            pass
        elif not here:  # PostgreSQL ends the text here
            self.ended = True
            return
        elif self._bare:
            if not self.made.fill:
                self.out.append(" ")
            elif self._point_last():
                self.out.append("0")
        else:
            self.out.append(here)
            self.inside = True
        self.at += bool(here)


@lru_cache(maxsize=64)
def templates(pattern: str) -> tuple[str, ...]:
    """Each template of a pattern, in the order in which `polyport_number` chooses, and those of what is no number."""
    made = picture(pattern)
    ends = made.behind + 1 if made.fill and made.point else 1
    if 2 * (made.digits + 2) * (made.behind + 1) * ends > MOST_TEMPLATES:
        raise PatternError("so many digits together with FM")
    found = [
        _Writer(made, _number(made, before, behind, end, negative=negative)).written()
        if behind in _reachable(made, before)
        else ""
        for negative in (False, True)
        for before in range(made.digits + 2)
        for behind in range(made.behind + 1)
        for end in range(ends)
    ]
    return (*found, *_odd(made))


def _number(made: Picture, before: int, behind: int, end: int, *, negative: bool) -> Number:
    """Of so many digits; `before`: 0 is a zero, and one more than there is room for is too large."""
    if before > made.digits:
        text = "#" * made.digits + "." + "#" * behind
        last = len(text) - 1 if made.point else -1
        return Number(text, negative, behind, 0, nought=False, last=last)
    whole = max(before, 1)
    length = whole + (1 + behind if behind else 0)
    text = "".join("." if i == whole else chr(FIRST + i) for i in range(length))
    last = whole + behind - min(end, behind) if behind else -1
    blanks = made.digits - whole
    if blanks < 0:
        return _number(made, made.digits + 1, behind, end, negative=negative)
    return Number(text, negative, behind, blanks, nought=before == 0, last=last)


def _reachable(made: Picture, before: int) -> set[int]:
    """How many digits behind the point a number may have: those of floats are fewer, where it has many before."""
    if before > made.digits:
        return set(range(made.behind + 1))
    found = {made.behind}
    for precision in PRECISIONS.values():
        for whole in (max(before, 1), before + 1):
            found.add(max(0, min(made.behind, precision - whole)))
    return found


def _odd(made: Picture) -> Iterator[str]:
    """NaN, and infinities, of each precision."""
    for precision in PRECISIONS.values():
        for text, negative in (("NaN", False), ("Infinity", False), ("Infinity", True)):
            behind = max(0, min(made.behind, precision - len(text)))
            blanks = made.digits - len(text)
            if blanks < 0:
                yield _Writer(
                    made, _number(made, made.digits + 1, behind, 0, negative=negative)
                ).written()
            else:
                yield _Writer(made, Number(text, negative, behind, blanks, nought=False)).written()


def places(made: Picture) -> Sequence[int]:
    """What a template is chosen by: digits before and behind the point, and 1 where zeros at the end count."""
    return made.digits, made.behind, int(made.fill and made.point)


def placeholders(made: Picture) -> str:
    """Those of the characters of a number."""
    return "".join(chr(FIRST + at) for at in range(made.digits + made.behind + 2))
