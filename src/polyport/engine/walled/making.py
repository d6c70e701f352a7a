"""Makes nodes of the engine's syntax tree, as it takes them in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyport.engine.walled import nodes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def arguments(node: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    """What a function is called with."""
    return [a.get("expression") or {} for a in node.get("arguments") or ()]


def rename(node: dict[str, Any], name: str) -> None:
    """Have a call be of the function `name`."""
    node["function_name"], node["qualified_name"] = name, {"path": [name]}


def become(node: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Have a node be another one, which keeps its alias."""
    alias = node.get("alias", "")
    node.clear()
    node.update({**other, "alias": alias})


def call(like: Mapping[str, Any], name: str, given: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A call of a function, at the place of the node `like`; where that is not known, neither is this."""
    made: dict[str, Any] = {
        "class": "FUNCTION",
        "type": "FUNCTION",
        "alias": "",
        "query_location": nodes.place(like) % (1 << 64),
        "distinct": False,
        "is_operator": False,
        "export_state": False,
        "filter": None,
        "order_bys": {"type": "ORDER_MODIFIER", "orders": []},
        "arguments": [{"name": "", "expression": argument} for argument in given],
    }
    rename(made, name)
    return made


def text(value: str | None) -> dict[str, Any]:
    """A constant: a text, or null."""
    literal = {"kind": "NULL_LITERAL"} if value is None else {"kind": "STRING", "text": value}
    return {"class": "CONSTANT", "type": "VALUE_CONSTANT", "alias": "", "literal": literal}


def number(value: int) -> dict[str, Any]:
    """A whole number."""
    literal = {"kind": "INTEGER", "text": str(value)}
    return {"class": "CONSTANT", "type": "VALUE_CONSTANT", "alias": "", "literal": literal}


def texts(values: Sequence[str | None]) -> dict[str, Any]:
    """A list of constants."""
    made = [text(value) for value in values]
    return {"class": "OPERATOR", "type": "ARRAY_CONSTRUCTOR", "alias": "", "children": made}


def cast(child: Mapping[str, Any], *kinds: str) -> dict[str, Any]:
    """A cast to a type, such as `VARCHAR`; to a list of such where `list` stands before it."""
    first, *more = kinds
    kind: dict[str, Any] = {
        "class": "TYPE",
        "type": "TYPE",
        "alias": "",
        "type_name": first,
        "qualified_name": {"path": [first]},
    }
    if more:
        kind["children"] = [cast(child, *more)["type_expr"]]
    return {
        "class": "CAST",
        "type": "OPERATOR_CAST",
        "alias": "",
        "child": dict(child),
        "type_expr": kind,
        "try_cast": False,
    }


def decimal(child: Mapping[str, Any], digits: int, behind: int) -> dict[str, Any]:
    """A cast to a decimal number."""
    made = cast(child, "DECIMAL")
    made["type_expr"]["children"] = [number(digits), number(behind)]
    return made
