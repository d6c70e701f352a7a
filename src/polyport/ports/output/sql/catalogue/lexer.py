"""The tokens of a statement, as PostgreSQL's lexer finds them (its manual, section 4.1)."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["word", "name", "string", "other"]

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|--[^\n\r]*)
    | (?P<comment>/\*)
    | (?P<escaped>[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z))
    | (?P<unicode>[uU]&'(?:[^']|'')*(?:'|\Z))
    | (?P<string>[bBxXnN]?'(?:[^']|'')*(?:'|\Z))
    | (?P<uname>[uU]&"(?:[^"]|"")*(?:"|\Z))
    | (?P<name>"(?:[^"]|"")*(?:"|\Z))
    | (?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$)
    | (?P<word>[^\W\d](?:\w|\$)*)
    | (?P<parameter>\$\d+)
    | (?P<number>\d[\w.]*|\.\d\w*)
    | (?P<cast>::)
    | (?P<symbol>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"""\s*uescape\s*'([^'])'""", re.IGNORECASE)
_NESTED = re.compile(r"/\*|\*/")
_UPPER = {ord(c): c.lower() for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


@dataclass(frozen=True, slots=True)
class Token:
    """One token; comments and white space are none."""

    kind: Kind
    """word: a keyword or an unquoted identifier; name: a quoted identifier; other: numbers, operators, parameters."""
    text: str
    """word: in lower case, as PostgreSQL folds it; name and string: what stands between the quotes, unescaped."""
    plain: bool = True
    """False for a string whose value depends on escapes."""

    @property
    def identifies(self) -> bool:
        """Whether it can be a part of a name."""
        return self.kind in {"word", "name"}


def tokens(sql: str) -> tuple[Token, ...]:
    """The tokens of `sql`. What is not closed runs to the end."""
    return tuple(_tokens(sql))


def _tokens(sql: str) -> Iterator[Token]:
    at = 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if match is None:  # cannot be: `symbol` matches any character
            return
        at = match.end()
        kind = match.lastgroup or ""
        text = match.group()
        if kind == "space":
            continue
        if kind == "comment":
            at = _after_comment(sql, at)
        elif kind == "dollar":
            end = sql.find(text, at)
            end = len(sql) if end < 0 else end
            yield Token("string", sql[at:end])
            at = end + len(text)
        elif kind in {"unicode", "uname"}:
            said = _ESCAPE.match(sql, at)
            at = said.end() if said else at
            yield _unicode(kind, text[2:], said[1] if said else "\\")
        else:
            yield _token(kind, text)


def _token(kind: str, text: str) -> Token:
    if kind == "word":
        return Token("word", text.translate(_UPPER))
    if kind == "name":
        return Token("name", text[1:].removesuffix('"').replace('""', '"'))
    if kind == "string":
        bare = text[text.index("'") + 1 :].removesuffix("'").replace("''", "'")
        return Token("string", bare, plain=text[0] in "'nN")
    if kind == "escaped":
        return Token("string", text[2:].removesuffix("'"), plain="\\" not in text)
    return Token("other", text)


def _unicode(kind: str, text: str, escape: str) -> Token:
    quote = text[0]
    bare = text[1:].removesuffix(quote).replace(quote * 2, quote)
    e = re.escape(escape)
    codes = re.compile(f"{e}(?:({e})|\\+([0-9a-fA-F]{{6}})|([0-9a-fA-F]{{4}}))")
    value = codes.sub(lambda m: m[1] or _character(m[2] or m[3]), bare)
    return Token("name", value) if kind == "uname" else Token("string", value, plain=False)


def _character(code: str) -> str:
    number = int(code, 16)
    return chr(number) if number <= sys.maxunicode else "\ufffd"


def _after_comment(sql: str, at: int) -> int:
    depth = 1
    while depth:
        match = _NESTED.search(sql, at)
        if match is None:
            return len(sql)
        depth += 1 if match.group() == "/*" else -1
        at = match.end()
    return at
