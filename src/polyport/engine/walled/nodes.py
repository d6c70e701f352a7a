"""Reads nodes of the engine's syntax tree, as it gives them in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Name: TypeAlias = tuple[str, ...]
"""A table as it was written: its parts, `("films",)` or `("movie-popularity", "movies")`."""
MOST_CHARACTERS = 1_000_000
"""Of a statement."""


class RefusedError(Exception):
    """The statement says what no consumer may; `fix` tells what it can say instead."""

    def __init__(self, message: str, fix: str = "", position: int = -1) -> None:
        super().__init__(message)
        self.message, self.fix, self.position = message, fix, position


def path(node: Mapping[str, Any]) -> Name:
    """The parts of the name that a node has; none where it has none."""
    return tuple(map(str, (node.get("qualified_name") or {}).get("path") or ()))


def place(node: Mapping[str, Any]) -> int:
    """Where a node begins in the statement, in bytes; -1: not known."""
    at = node.get("query_location", -1)
    return at if isinstance(at, int) and 0 <= at < MOST_CHARACTERS * 4 else -1


def constant(node: Mapping[str, Any]) -> str | None:
    """The text of a literal; None where a node is no literal."""
    if node.get("class") == "CAST":  # TIMESTAMP '2026-01-01'
        return constant(node.get("child") or {})
    literal = node.get("literal") or {}
    text = literal.get("text")
    return str(text) if node.get("class") == "CONSTANT" and text is not None else None


def hints(node: Mapping[str, Any]) -> dict[int, str]:
    """What the place of a parameter says of its type."""
    match node.get("class") or node.get("type"):
        case "CAST":
            child, kind = node.get("child") or {}, node.get("type_expr") or {}
            return dict.fromkeys(_numbers([child]), _kind(kind))
        case "LIMIT_MODIFIER":
            return dict.fromkeys(_numbers([node.get("limit"), node.get("offset")]), "BIGINT")
        case _:
            sides = [
                *(node.get(k) for k in ("left", "right", "input", "lower", "upper")),
                *(node.get("children") or ()),
                *(a.get("expression") for a in node.get("arguments") or ()),
            ]
            columns = [s["column_names"][-1] for s in sides if s and s.get("class") == "COLUMN_REF"]
            return dict.fromkeys(_numbers(sides), f".{columns[0]}") if columns else {}


def _kind(node: Mapping[str, Any]) -> str:
    """The name of a type."""
    said = str(node.get("type_name", ""))
    items = node.get("children") or ()
    return f"{_kind(items[0])}[]" if said == "list" and items else said.upper()


def _numbers(nodes: Sequence[Mapping[str, Any] | None]) -> Iterator[int]:
    for node in nodes:
        if node and node.get("class") == "PARAMETER" and str(node.get("identifier")).isdecimal():
            yield int(node["identifier"])
