"""Arrays that are written as PostgreSQL writes them in texts (its documentation: "Array Input and Output Syntax")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from polyport.engine.walled import making, nodes
from polyport.engine.walled.nodes import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = 100
_BLANKS = " \t\n\r\v\f"
_ITEM = re.compile(
    rf'[{_BLANKS}]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"[{_BLANKS}]*|(?P<bare>(?:[^"\\{{}},]|\\.)*))(?P<end>[,}}])',
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def items(said: str) -> list[str | None] | None:
    """What an array of one dimension holds; None where a text is none."""
    said = said.strip(_BLANKS)
    if not said.startswith("{"):
        return None
    if said[1:].lstrip(_BLANKS) == "}":
        return []
    found: list[str | None] = []
    at, end = 1, ","
    while end == ",":
        item = _ITEM.match(said, at)
        if item is None or (item["quoted"] is None and not _trimmed(item["bare"])):
            return None
        found.append(_item(item))
        at, end = item.end(), item["end"]
    return found if at == len(said) else None


def constant(node: Mapping[str, Any]) -> list[str | None] | None:
    """What a constant holds as an array; None where it is none, or one as the engine writes it (`[1, 2]`).

    Raises:
        RefusedError: It holds something else.
    """
    literal = node.get("literal") or {}
    said = str(literal.get("text"))
    if literal.get("kind") != "STRING" or said.lstrip(_BLANKS).startswith("["):
        return None
    found = items(said)
    if found is None:
        nested = re.match(rf"[{_BLANKS}]*\{{[{_BLANKS}]*\{{", said)
        raise RefusedError(
            f'malformed array literal: "{said[:_SHOWN]}"',
            "ARRAY[[1, 2], [3, 4]]" if nested else '{1,2}, or {"a b",c}',
            nodes.place(node),
        )
    return found


def cast(node: dict[str, Any]) -> bool:
    """`'{"a b",c}'::text[]`: the list of its items is cast instead.

    Raises:
        RefusedError: It is malformed.
    """
    listed = (node.get("type_expr") or {}).get("type_name") == "list"
    if not listed or node.get("try_cast"):
        return False
    found = constant(node.get("child") or {})
    if found is None:
        return False
    node["child"] = making.texts(found)
    return True


def _item(found: re.Match[str]) -> str | None:
    if found["quoted"] is not None:
        return _ESCAPED.sub(r"\1", found["quoted"])
    bare = _trimmed(found["bare"])
    return None if bare.upper() == "NULL" else _ESCAPED.sub(r"\1", bare)


def _trimmed(bare: str) -> str:
    """Without the blanks at its end, but for one that is escaped."""
    kept = bare.rstrip(_BLANKS)
    escapes = len(kept) - len(kept.rstrip("\\"))
    return bare[: len(kept) + escapes % 2]
