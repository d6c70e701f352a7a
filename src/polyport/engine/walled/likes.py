"""`LIKE` as PostgreSQL means it: a backslash escapes, and `ANY` and `ALL` of an array's patterns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import duckdb

from polyport.engine.walled import arrays, making, nodes
from polyport.engine.walled.nodes import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OPERATORS = {"~~": "like", "~~*": "ilike", "!~~": "not_like", "!~~*": "not_ilike"}
MADE = {(f"polyport_{name}{end}",) for name in OPERATORS.values() for end in ("", "_escaped")}
"""What compares a text to a pattern instead."""
_SPELT = {"LIKE": "~~", "ILIKE": "~~*"}
_QUANTIFIERS = {"ANY": "any", "SOME": "any", "ALL": "all"}
_PERHAPS = re.compile(r"\b(?:ANY|SOME|ALL)\s*(?:\(|--|/\*)", re.IGNORECASE)
_WORD = re.compile(rb"[\w\x80-\xff]+|.", re.DOTALL)
_LONGEST = 8
"""How much of a word is looked at: all of each that counts, and more."""
_QUERIES = {"SELECT", "VALUES", "WITH", "FROM", "TABLE"}


def spelt(sql: str) -> str:
    """A statement in which `LIKE ANY (...)`, which the engine cannot read, is `~~ "any"(...)`; nothing moves.

    Raises:
        RefusedError: Of a query's patterns.
    """
    if "like" not in sql.lower() or not _PERHAPS.search(sql):
        return sql
    text = bytearray(sql.encode())
    words = list(_words(bytes(text)))
    for at in range(1, len(words) - 1):
        (before, start), (word, place), (bracket, _) = words[at - 1 : at + 2]
        if word in _QUANTIFIERS and before in _SPELT and bracket == "(":
            if at + 2 < len(words) and words[at + 2][0] in _QUERIES:
                raise RefusedError(
                    f"{before} {word} takes an array here, no query", "ARRAY(SELECT ...)", place
                )
            operator, called = _SPELT[before], f'"{_QUANTIFIERS[word]}"'
            if at > 1 and words[at - 2][0] == "NOT":
                operator, start = f"!{operator}", words[at - 2][1]
            end = place + len(word)
            text[start:end] = f"{operator}{called:>{end - start - len(operator)}}".encode()
    return text.decode()


def changed(node: dict[str, Any]) -> bool:
    """Whether a call of one of `OPERATORS` had to be said otherwise; it is now.

    Raises:
        RefusedError: It cannot be said.
    """
    given = making.arguments(node)
    name = OPERATORS[nodes.path(node)[-1]]
    if len(given) != 2:  # noqa: PLR2004 - a text, a pattern
        return False
    value, pattern = given
    quantifier = _quantifier(pattern)
    if quantifier:
        found = making.call(node, f"polyport_{name}_each", [value, _patterns(pattern)])
        making.become(node, making.call(node, f"polyport_{quantifier}", [found]))
        return True
    said = nodes.constant(pattern)
    if said is not None and "\\" not in said:
        return False
    plain = value.get("class") in ("COLUMN_REF", "CONSTANT")  # it is said twice
    whole = "" if said is None and plain else "_escaped"
    making.become(node, making.call(node, f"polyport_{name}{whole}", given))
    return True


def _words(text: bytes) -> Iterator[tuple[str, int]]:
    """The words of a statement in upper case, its signs, and where they begin."""
    for start, kind in duckdb.tokenize(text.decode()):
        if kind != duckdb.token_type.comment:
            word = _WORD.match(text, start, start + _LONGEST)
            yield word[0].decode(errors="replace").upper() if word else "", start


def _quantifier(pattern: Mapping[str, Any]) -> str:
    """`any` or `all`, where a pattern is such a call as `spelt` writes."""
    path = nodes.path(pattern)
    called = pattern.get("class") == "FUNCTION" and len(path) == 1 and path[0] in ("any", "all")
    more = (
        pattern.get("distinct") or pattern.get("filter") or pattern["order_bys"]["orders"]
        if called
        else ()
    )
    return path[0] if called and not more and len(making.arguments(pattern)) == 1 else ""


def _patterns(pattern: Mapping[str, Any]) -> Mapping[str, Any]:
    """The array of patterns: that of a text or a parameter is one of texts."""
    array = making.arguments(pattern)[0]
    said = arrays.constant(array)
    if said is not None:
        array = making.texts(said)
    untyped = (
        said is not None or array.get("class") == "PARAMETER" or not array.get("children", [0])
    )
    return making.cast(array, "list", "VARCHAR") if untyped else array
