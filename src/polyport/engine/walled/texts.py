"""Casts to text: of floats, PostgreSQL writes `1` and not `1.0`. What is a float, only the engine's binder knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyport.engine.walled import making, nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEXTS = {"varchar", "text", "string", "bpchar"}
_FLOATS = {"float8", "double", "float4", "real", "float"}
_ALONE = {"STAR", "CONSTANT", "PARAMETER", "POSITIONAL_REFERENCE"}
"""What is no float, or cannot be said twice."""
_ROWS = {"unnest", "generate_series", "generate_subscripts", "columns"}


def cast(node: dict[str, Any], *, once: bool) -> bool:
    """Whether a cast to text had to be said otherwise; it is now. `once`: what is cast is large."""
    child, kind = node.get("child") or {}, node.get("type_expr") or {}
    if str(kind.get("type_name")).lower() not in _TEXTS or kind.get("children"):
        return False
    if child.get("class") in _ALONE or (child.get("class") == "CAST" and not _float(child)):
        return False
    twice = child.get("class") == "COLUMN_REF"
    if not twice:
        below = list(_below(child))
        if any(each.get("class") == "STAR" or _rows(each) for each in below):
            return False
        twice = not once and not any(each.get("class") == "SUBQUERY" for each in below)
    name = "polyport_text" if twice else "polyport_text_once"
    making.become(node, making.call(node, name, [child]))
    return True


def _float(node: dict[str, Any]) -> bool:
    return str((node.get("type_expr") or {}).get("type_name")).lower() in _FLOATS


def _rows(node: dict[str, Any]) -> bool:
    """Whether a call gives rows."""
    return (
        node.get("class") == "FUNCTION"
        and nodes.path(node)[-1:] != ()
        and nodes.path(node)[-1].lower() in _ROWS
    )


def _below(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    ):
        yield from _below(child)
