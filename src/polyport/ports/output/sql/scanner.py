"""SQL as PostgreSQL's scanner sees it, as far as is needed to tell statements, their words and their strings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind: TypeAlias = Literal["word", "name", "text", "number", "parameter", "symbol"]
_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+|--[^\n\r]*)
    | (?P<comment>/\*)
    | (?P<text>(?P<prefix>[eEbBxXnN]|[uU]&)?')
    | (?P<name>(?:[uU]&)?")
    | (?P<dollar>\$(?:[^\W\d][^\W]*)?\$)
    | (?P<parameter>\$\d+)
    | (?P<number>(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<symbol>::|:=|=>|.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of SQL that is no space and no comment."""

    kind: Kind
    text: str
    """As written; a `word` in small letters."""
    value: str
    """Of a `name` or a `text`: what it means."""
    start: int
    end: int

    def says(self, *words: str) -> bool:
        """Whether it is one of these words or symbols."""
        return self.kind in ("word", "symbol") and self.text in words


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a text."""

    sql: str
    start: int
    """Where it begins in the whole text."""
    tokens: tuple[Token, ...]
    """Their places count from its beginning."""


def split(sql: str) -> list[Statement]:
    """The statements of `sql`, without the empty ones."""
    found: list[Statement] = []
    held: list[Token] = []
    for token in tokens(sql):
        if token.text == ";" and token.kind == "symbol":
            found += _statement(sql, held)
            held = []
        else:
            held.append(token)
    return found + _statement(sql, held)


def _statement(sql: str, held: list[Token]) -> list[Statement]:
    if not held:
        return []
    start, end = held[0].start, held[-1].end
    shifted = (Token(t.kind, t.text, t.value, t.start - start, t.end - start) for t in held)
    return [Statement(sql[start:end], start, tuple(shifted))]


def tokens(sql: str) -> Iterator[Token]:
    """The tokens of `sql`. What is not closed goes to the end of the text: the engine refuses it."""
    at = 0
    while at < len(sql):
        found = _TOKEN.match(sql, at)
        if found is None:
            return
        start, kind = at, found.lastgroup or "symbol"
        if kind == "prefix":
            kind = "text"
        at = found.end()
        if kind == "comment":
            at = _comment_end(sql, at)
        elif kind in ("text", "name", "dollar"):
            token, at = _quoted(sql, found, kind)
            yield token
        elif kind != "space":
            shown = found[0].lower() if kind == "word" else found[0]
            yield Token(kind, shown, shown, start, at)  # type: ignore[arg-type]


def _comment_end(sql: str, at: int) -> int:
    depth = 1
    for mark in re.finditer(r"/\*|\*/", sql[at:]):
        depth += 1 if mark[0] == "/*" else -1
        if not depth:
            return at + mark.end()
    return len(sql)


def _quoted(sql: str, opening: re.Match[str], kind: str) -> tuple[Token, int]:
    start, at = opening.start(), opening.end()
    if kind == "dollar":
        end = sql.find(opening[0], at)
        inside, at = (sql[at:], len(sql)) if end < 0 else (sql[at:end], end + len(opening[0]))
        return Token("text", sql[start:at], inside, start, at), at
    mark = opening[0][-1]
    escapes = kind == "text" and opening[0][0] in "eE"
    end = _closing(sql, at, mark, escapes=escapes)
    inside = sql[at:end].replace(mark * 2, mark)
    at = min(end + 1, len(sql))
    if escapes:
        inside = _unescaped(inside)
    return Token("text" if kind == "text" else "name", sql[start:at], inside, start, at), at


def _closing(sql: str, at: int, mark: str, *, escapes: bool) -> int:
    while at < len(sql):
        if escapes and sql[at] == "\\":
            at += 2
        elif sql[at] != mark:
            at += 1
        elif sql[at + 1 : at + 2] == mark:
            at += 2
        else:
            return at
    return len(sql)


_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def _unescaped(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        code = found[1]
        if code[0] in "xuU" and len(code) > 1:
            return chr(int(code[1:], 16))
        return chr(int(code, 8)) if code[0] in "01234567" else _ESCAPES.get(code, code)

    return re.sub(r"\\(x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|[0-7]{1,3}|.)", one, text, flags=re.DOTALL)
