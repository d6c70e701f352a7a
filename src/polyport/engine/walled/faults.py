"""Errors of a worker, as it tells them."""

from __future__ import annotations

import json
import re
from typing import Any

import duckdb
import pyarrow as pa

_PREFIX = re.compile(r"^(?:[A-Z]\w+ )+Error: ")


def place(sql: str, position: int) -> tuple[int, int]:
    """Line and column (1-based) of a byte of `sql`; (0, 0): not known."""
    if position < 0 or not sql:
        return 0, 0
    head = sql.encode(errors="replace")[:position].decode(errors="ignore")
    return head.count("\n") + 1, len(head) - (head.rfind("\n") + 1) + 1


_EXPLAINED = ("binder", "catalog")
"""The kinds whose places are counted in `EXPLAIN <statement>`."""


def told(error: BaseException, sql: str = "") -> dict[str, Any]:
    """An error as it is told the keeper."""
    if isinstance(error, MemoryError | duckdb.OutOfMemoryException | pa.ArrowMemoryError):
        return {"kind": "memory", "message": "the statement needs more memory than it may take"}
    if isinstance(error, RecursionError):
        return {
            "kind": "refused",
            "message": "the statement is nested too deeply",
            "fix": "fewer levels",
        }
    text, position = said(error)
    kind = _kind(error)
    lines = _PREFIX.sub("", text.strip()).splitlines() or [kind]
    hint = " ".join(x.strip() for x in lines[1:] if x.startswith(("Candidate", "Did you mean")))
    line, column = place(sql, position)
    return {"kind": kind, "message": lines[0], "fix": hint, "line": line, "column": column}


def said(error: BaseException) -> tuple[str, int]:
    """What the engine says, and of which byte of the statement; -1: of none."""
    text, position = str(error), -1
    _, _, body = text.partition(": ")
    if body.startswith("{"):
        try:
            details = json.loads(body)
            text, position = details["exception_message"], int(details.get("position") or -1)
        except (ValueError, KeyError):  # the engine appends to its JSON where a stream broke off
            text = body.splitlines()[0]
    if _kind(error) in _EXPLAINED and position >= len("EXPLAIN "):
        position -= len("EXPLAIN ")
    return text, position


def _kind(error: BaseException) -> str:
    return type(error).__name__.removesuffix("Exception").removesuffix("Error").lower()
