"""Errors of ours in PostgreSQL's words: SQLSTATE, message, hint, position."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from polyport.access.sql import CancelledError
from polyport.errors import (
    AccessError,
    AuthenticationError,
    LimitError,
    MissingExtraError,
    NotFoundError,
    PolyportError,
    QueryError,
    RetiredError,
    SizeError,
)
from polyport.ports.output.sql.messages import ProtocolError, Said
from polyport.ports.output.sql.scanner import tokens
from polyport.ports.output.sql.wording import worded

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMES: Final = ("word", "name")
_CLASSES: Final[Sequence[tuple[type[PolyportError], str]]] = (
    (CancelledError, "57014"),
    (AuthenticationError, "28000"),
    (AccessError, "42501"),
    (NotFoundError, "42P01"),
    (RetiredError, "57P04"),
    (LimitError, "53400"),
    (SizeError, "54000"),
    (MissingExtraError, "0A000"),
)
_WRITES: Final = r"^(insert|update|delete|merge|truncate|create|alter|drop|copy|attach|call|pragma|set|load|install)"
_MESSAGES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), state)
    for pattern, state in (
        (_WRITES + r"\b.* is not for consumers", "25006"),
        (r"there is no (table )?function", "42883"),
        (r"is not for consumers", "42501"),
        (r"syntax error|parser error|unterminated|no statement", "42601"),
        (r"division by zero|divide by zero", "22012"),
        (r"out of range|overflow", "22003"),
        (r"could not convert|conversion error|invalid input|cannot be cast|malformed", "22P02"),
        (
            r"column .*(not found|does not exist)|referenced column|unknown column|column .* cannot be referenced",
            "42703",
        ),
        (r"ambiguous", "42702"),
        (r"must appear in the group by|group by clause", "42803"),
        (r"function .*(does not exist|not found|not let in|may not)|no function matches", "42883"),
        (r"only SELECT|one SELECT|not a SELECT|cannot change|read-only", "25006"),
        (r"table .*(does not exist|not found)|no dataset|no table", "42P01"),
        (r"more than one row|scalar subquery", "21000"),
        (r"sub-arrays with matching dimensions", "2202E"),
        (r"parameter|\$\d+", "42P02"),
    )
)


def said(error: PolyportError | ProtocolError, sql: str = "", *, moved: int = 0) -> Said:
    """`error` for a client that sent `sql`; `moved`: where the statement begins in what was sent."""
    if isinstance(error, ProtocolError):
        return Said(error.state, error.message)
    position = 0
    if isinstance(error, QueryError) and error.line and sql:
        position = moved + _position(sql, error.line, error.column)
    elif isinstance(error, NotFoundError | AccessError) and sql:
        position = moved + _named(sql, error) if _named(sql, error) else 0
    message, detail, hint = worded(error.message, error.where, error.remote_fix)
    return Said(state(error), message, hint=hint, detail=detail, position=position)


def _named(sql: str, error: PolyportError) -> int:
    """Where the statement names what the error is of, from 1; 0: nowhere."""
    quoted = re.findall(r"'([^']+)'", error.message)
    meant = {name.lower() for name in quoted}
    return next(
        (t.start + 1 for t in tokens(sql) if t.kind in _NAMES and t.value.lower() in meant), 0
    )


def state(error: PolyportError) -> str:
    """The SQLSTATE of `error`."""
    if isinstance(error, StateError):
        return error.state
    if isinstance(error, SizeError) and "memory" in error.where:
        return "53200"
    for kind, found in _CLASSES:
        if isinstance(error, kind):
            return found
    if isinstance(error, QueryError):
        return next((s for pattern, s in _MESSAGES if pattern.search(error.message)), "42000")
    return "XX000"


class StateError(QueryError):
    """An error whose SQLSTATE is known where it is raised."""

    def __init__(self, state: str, message: str, *, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.state = state


def _position(sql: str, line: int, column: int) -> int:
    """A line and column as a place in the text, from 1."""
    lines = sql.split("\n")
    before = sum(len(each) + 1 for each in lines[: line - 1])
    return min(before + max(column, 1), len(sql) + 1)
