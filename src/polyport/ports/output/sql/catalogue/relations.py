"""What a query names where PostgreSQL expects a relation, and what it calls: found in its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from polyport.ports.output.sql.catalogue.lexer import Token

_SPECIAL = frozenset({"extract", "substring", "trim", "overlay", "position", "normalize"})
"""Functions with FROM between their arguments."""
_ENDS = frozenset(
    [
        "select",
        "where",
        "group",
        "order",
        "having",
        "limit",
        "offset",
        "fetch",
        "union",
        "intersect",
        "except",
        "window",
        "for",
        "returning",
        "set",
        "values",
        "qualify",
    ]
)
"""Words that end a FROM clause."""
_MODIFIERS = frozenset({"only", "lateral"})
_TABLE_AFTER = frozenset({"", "(", "union", "all", "except", "intersect", "distinct"})
_WORDS = frozenset(
    [
        "select",
        "from",
        "where",
        "and",
        "or",
        "not",
        "in",
        "as",
        "on",
        "using",
        "join",
        "inner",
        "left",
        "right",
        "full",
        "cross",
        "natural",
        "lateral",
        "only",
        "when",
        "then",
        "else",
        "case",
        "end",
        "is",
        "like",
        "ilike",
        "similar",
        "between",
        "any",
        "some",
        "all",
        "exists",
        "distinct",
        "values",
        "order",
        "by",
        "group",
        "having",
        "limit",
        "offset",
        "union",
        "intersect",
        "except",
        "with",
        "recursive",
        "materialized",
        "over",
        "filter",
        "within",
        "array",
        "row",
        "cast",
        "into",
        "returning",
        "partition",
        "table",
        "fetch",
        "window",
    ]
)
"""Words before a parenthesis that do not make it a call."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments' tokens."""

    parts: tuple[str, ...]
    arguments: tuple[Token, ...]


@dataclass(slots=True)
class _Level:
    """What is known between two parentheses."""

    call: str = ""
    query: bool = False
    listing: bool = False
    """In a FROM clause, where a comma is followed by a relation."""


def relations(said: Sequence[Token]) -> Iterator[tuple[str, ...]]:
    """The dotted names in relation position, without those of common table expressions."""
    local = set(_common(said))
    for parts in _named(said):
        if len(parts) > 1 or parts[0] not in local:
            yield parts


def calls(said: Sequence[Token]) -> Iterator[Call]:
    """Everything that has the form of a function call."""
    for at, token in enumerate(said):
        if token.text == "(" and token.kind == "other" and at and said[at - 1].identifies:
            start = _name_start(said, at - 1)
            if said[at - 1].kind == "name" or said[at - 1].text not in _WORDS:
                parts = tuple(t.text for t in said[start:at:2])
                yield Call(parts, tuple(said[at + 1 : _closing(said, at)]))


def _named(said: Sequence[Token]) -> Iterator[tuple[str, ...]]:
    levels = [_Level()]
    expected = False
    at = 0
    while at < len(said):
        token = said[at]
        if expected and token.identifies and not _is(token, _MODIFIERS):
            expected = False
            if not _is(token, _ENDS | {"rows", "with", "unnest"}):
                end = _name_end(said, at)
                if not _opens(said, end):
                    yield tuple(t.text for t in said[at:end:2])
                    at = end
                    continue
        expected = _step(said, at, levels, expected=expected)
        at += 1


def _step(said: Sequence[Token], at: int, levels: list[_Level], *, expected: bool) -> bool:
    """Take one token; whether a relation is expected after it."""
    token, level = said[at], levels[-1]
    if token.kind == "other":
        return _symbol(said, at, levels, expected=expected)
    if token.kind != "word":
        return False
    if token.text == "from" and _is_clause(said, at, level):
        level.listing = True
        return True
    if token.text == "join" or (token.text == "table" and _before(said, at) in _TABLE_AFTER):
        level.listing |= token.text == "join"
        return True
    if token.text in _ENDS:
        level.listing = False
        level.query |= token.text == "select"
        return False
    return expected and token.text in _MODIFIERS


def _symbol(said: Sequence[Token], at: int, levels: list[_Level], *, expected: bool) -> bool:
    text = said[at].text
    if text == "(":
        before = said[at - 1] if at else None
        called = before.text if before is not None and before.kind == "word" else ""
        levels.append(_Level(call=called, listing=expected))
        return expected
    if text == ")" and len(levels) > 1:
        levels.pop()
    return text == "," and levels[-1].listing


def _is_clause(said: Sequence[Token], at: int, level: _Level) -> bool:
    """Whether this FROM begins a list of relations."""
    if level.call in _SPECIAL and not level.query:
        return False
    return not (_before(said, at) == "distinct" and _before(said, at - 1) in {"is", "not"})


def _common(said: Sequence[Token]) -> Iterator[str]:
    """The names of common table expressions: `name [(columns)] AS [[NOT] MATERIALIZED] (`."""
    for at, token in enumerate(said):
        if not token.identifies or _before(said, at) == "window":
            continue
        end = at + 1
        if _opens(said, end):
            end = _closing(said, end) + 1
        if end < len(said) and _is(said[end], {"as"}):
            end += 1
            while end < len(said) and _is(said[end], {"not", "materialized"}):
                end += 1
            if _opens(said, end):
                yield token.text


def _is(token: Token, words: frozenset[str] | set[str]) -> bool:
    return token.kind == "word" and token.text in words


def _before(said: Sequence[Token], at: int) -> str:
    return said[at - 1].text if at > 0 and said[at - 1].kind in {"word", "other"} else ""


def _opens(said: Sequence[Token], at: int) -> bool:
    return at < len(said) and said[at].kind == "other" and said[at].text == "("


def _closing(said: Sequence[Token], at: int) -> int:
    """The index of the parenthesis that closes the one at `at`; the end where there is none."""
    depth = 0
    for i in range(at, len(said)):
        if said[i].kind == "other":
            depth += {"(": 1, ")": -1}.get(said[i].text, 0)
        if not depth:
            return i
    return len(said)


def _name_end(said: Sequence[Token], at: int) -> int:
    """The index after the dotted name that begins at `at`."""
    at += 1
    while at + 1 < len(said) and said[at].text == "." and said[at + 1].identifies:
        at += 2
    return at


def _name_start(said: Sequence[Token], at: int) -> int:
    """The index where the dotted name begins that ends at `at`."""
    while at > 1 and said[at - 1].text == "." and said[at - 2].identifies:
        at -= 2
    return at
