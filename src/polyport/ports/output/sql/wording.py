"""The engine's commonest errors in PostgreSQL's words, which people and tools know."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_TYPES: Final = {
    "BOOL": "boolean", "INT8": "smallint", "INT16": "smallint", "INT32": "integer", "INT64": "bigint",
    "TINYINT": "smallint", "FLOAT": "real", "DOUBLE": "double precision", "VARCHAR": "text",
    "STRING_LITERAL": "unknown", "INTEGER_LITERAL": "integer", "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "BLOB": "bytea",
}  # fmt: skip
Words = tuple[str, str, str]
"""Message, detail, hint."""


def worded(message: str, detail: str, hint: str) -> Words:
    """An error as PostgreSQL would say it, where it has words for it; with what we know more of it."""
    for pattern, say in _SAYINGS:
        found = pattern.search(message)
        if found:
            return say(found, detail, hint)
    return message, detail, hint


def _no_column(found: re.Match[str], detail: str, hint: str) -> Words:
    name = found[1] or found[2]
    candidates = re.findall(r'"((?:[^"]|"")+)"', hint) if hint.startswith("Candidate") else []
    near = get_close_matches(name, candidates, 1)
    if near:
        hint = f'did you mean "{near[0]}"?'
    elif candidates:
        hint = "there are " + ", ".join(f'"{each}"' for each in candidates)
    return f'column "{name}" does not exist', detail, hint


def _no_column_of(found: re.Match[str], detail: str, hint: str) -> Words:
    return f"column {found[1]}.{found[2]} does not exist", detail, hint


def _no_relation(found: re.Match[str], detail: str, hint: str) -> Words:
    name = detail if found[0].startswith("no product") else found[1]
    return f'relation "{name}" does not exist', found[0], hint


def _ambiguous(found: re.Match[str], detail: str, hint: str) -> Words:
    either = found[2].replace("'", "") if found[2] else ""
    return (
        f'column reference "{found[1]}" is ambiguous',
        detail,
        f"say {either}" if either else hint,
    )


def _by_zero(_: re.Match[str], detail: str, __: str) -> Words:
    return "division by zero", detail, "TRY(a / b) or a / nullif(b, 0) gives NULL instead"


def _no_value(found: re.Match[str], detail: str, hint: str) -> Words:
    return f'invalid input syntax for type {_type(found[2])}: "{found[1]}"', detail, hint


def _no_function(found: re.Match[str], detail: str, _: str) -> Words:
    types = [_type(each) for each in re.split(r",\s*(?![^()]*\))", found[2]) if each]
    if not re.match(r"\w", found[1]):
        what, said = (
            "operator",
            f" {found[1]} ".join(types) if len(types) > 1 else f"{found[1]} {types[0]}",
        )
    else:
        what, said = "function", f"{found[1]}({', '.join(types)})"
    return (
        f"{what} does not exist: {said}"
        if what == "operator"
        else f"function {said} does not exist",
        detail,
        f"no {what} matches the given name and argument types: you might need to add explicit type casts",
    )


def _type(engine: str) -> str:
    return _TYPES.get(engine.strip(), engine.strip().lower())


_SAYINGS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str, str], Words]], ...]] = (
    tuple(
        (re.compile(pattern, re.DOTALL), say)
        for pattern, say in (
            (
                r'^Referenced column "(.+?)" not found in FROM clause|^Referenced column "(.+?)" was not found',
                _no_column,
            ),
            (r'^(?:Values list|Table) "(.+?)" does not have a column named "(.+?)"', _no_column_of),
            (r"^no dataset '(.+?)'(?: in snapshot .*)?$", _no_relation),
            (r"^no product '(.+?)' that can be asked here$", _no_relation),
            (r'^Ambiguous reference to column name "(.+?)"(?: \(use: (.+)\))?', _ambiguous),
            (r"^Division by zero", _by_zero),
            (r"^Could not convert string '(.*)' to ([A-Z0-9_ ]+?)$", _no_value),
            (
                r"^No function matches the given name and argument types '(.+?)\((.*)\)'",
                _no_function,
            ),
        )
    )
)
