"""What PostgreSQL calls columns that a SELECT does not name (its documentation of SELECT: "SELECT List")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyport.engine.walled import dialect

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

UNNAMED = "?column?"
_CALLED = {
    "count_star": "count",
    "list_value": "array",
    "struct_pack": "row",
    "array_value": "array",
    "array_extract": "array",
    "array_slice": "array",
    "quantile_cont": "percentile_cont",
    "quantile_disc": "percentile_disc",
}
_OPERATORS = {
    "OPERATOR_COALESCE": "coalesce",
    "GROUPING_FUNCTION": "grouping",
    "ARRAY_EXTRACT": "array",
    "ARRAY_SLICE": "array",
}


def names(tree: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the columns of a statement's tree; empty where `*` leaves open how many there are."""
    listed = _listed(tree["statements"][0]["node"])
    if any(node.get("class") == "STAR" for node in listed):
        return ()
    return tuple(_name(node) or UNNAMED for node in listed)


def unnamed(tree: Mapping[str, Any]) -> Sequence[tuple[dict[str, Any], str]]:
    """The columns of subqueries that are not named, and what PostgreSQL calls them."""
    below = [node for listed in _below(tree["statements"][0]["node"]) for node in listed]
    bare = [n for n in below if not n.get("alias") and n.get("class") != "COLUMN_REF"]
    return [(node, _name(node)) for node in bare]


def named(columns: Sequence[tuple[dict[str, Any], str]], used: Collection[str]) -> bool:
    """Give columns the names by which they are `used`; whether there were any."""
    found = False
    for node, name in columns:
        if name.lower() in used and not node.get("alias"):
            node["alias"], found = name, True
    return found


def _below(node: Any) -> Iterator[list[dict[str, Any]]]:
    """The SELECT lists within `node`, but for its own."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        if isinstance(child, dict) and isinstance(child.get("select_list"), list):
            yield child["select_list"]
        yield from _below(child)


def _listed(node: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The SELECT list; of a set operation that of its first part."""
    while "select_list" not in node:
        node = (
            node.get("children") or [node.get("left") or node.get("child") or {"select_list": ()}]
        )[0]
    found: Sequence[Mapping[str, Any]] = node["select_list"]
    return found


def _name(node: Mapping[str, Any]) -> str:
    """A column's name; empty where there is none to find."""
    found = node.get("alias") or ""
    match node.get("class"):
        case _ if found:
            pass
        case "COLUMN_REF":
            found = node["column_names"][-1]
        case "FUNCTION" | "WINDOW" if not node.get("is_operator"):
            found = _called(node)
        case "CAST":
            kind = (node.get("type_expr") or {}).get("type_name", "")
            found = _name(node.get("child") or {}) or str(kind).lower()
        case "CASE":
            found = _name(node.get("else_expr") or {}) or "case"
        case "SUBQUERY" if node.get("subquery_type") == "SCALAR":
            first = _listed((node.get("subquery") or {}).get("node") or {"select_list": ()})
            found = _name(first[0]) if first else ""
        case "OPERATOR":
            found = _OPERATORS.get(str(node.get("type")), "")
    return str(found)


def _called(node: Mapping[str, Any]) -> str:
    """The name of a function's column."""
    called = str(node.get("function_name", ""))
    if called == "date_part" and dialect.extracts(node):
        return "extract"
    if called.startswith("regexp_") and dialect.infix(node):  # ~, SIMILAR TO
        return ""
    return _CALLED.get(called, called)
