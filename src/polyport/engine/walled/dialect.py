"""What PostgreSQL means by functions of other names in the engine: a tree is changed before it is checked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from polyport.engine.walled import nodes, patterns
from polyport.engine.walled.nodes import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

OWN = "polyport_"
"""What macros are called that only we call."""
_RENAMED = {
    "json_object_agg": "json_group_object",
    "jsonb_object_agg": "json_group_object",
    "json_build_object": "json_object",
    "jsonb_build_object": "json_object",
    "json_build_array": "json_array",
    "jsonb_build_array": "json_array",
    "to_jsonb": "to_json",
}
_FIELDS = {
    **dict.fromkeys(("second", "seconds", "sec", "secs", "s"), "seconds"),
    **dict.fromkeys(("millisecond", "milliseconds", "msec", "msecs", "ms"), "milliseconds"),
    "epoch": "epoch",
}
"""Of EXTRACT, those that have fractions."""


def translated(node: Any) -> bool:
    """Whether there was anything in a tree to be said otherwise; it is now.

    Raises:
        RefusedError: It cannot be said as PostgreSQL means it.
    """
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    found = [translated(child) for child in list(children)]
    return any(found) | (isinstance(node, dict) and _changed(node))


def extracts(node: Mapping[str, Any]) -> bool:
    """Whether a call of `date_part` is written as EXTRACT: its field has no quotes."""
    field = _arguments(node)[:1]
    said = nodes.constant(field[0]) if field else None
    return said is not None and field[0].get("query_location_length") == len(said)


def infix(node: Mapping[str, Any]) -> bool:
    """Whether a call is written as an operator, after its first argument: `a SIMILAR TO b`."""
    first = _arguments(node)[:1]
    return bool(first) and 0 <= nodes.place(first[0]) < nodes.place(node)


def _changed(node: dict[str, Any]) -> bool:
    if node.get("class") == "CAST":
        return _array(node)
    path = nodes.path(node)
    if node.get("class") not in ("FUNCTION", "WINDOW") or path[:-1] not in ((), ("pg_catalog",)):
        return False
    name = path[-1].lower() if path else ""
    if name.startswith(OWN):
        raise RefusedError(f"there is no function {name} for consumers", "", nodes.place(node))
    if name in _RENAMED:
        _call(node, _RENAMED[name])
        return True
    change = _CHANGES.get(name)
    return change is not None and change(node)


_PLAIN = re.compile(r"\{ *(?:[\w.+-]+(?: *, *[\w.+-]+)*)? *\}", re.ASCII)


def _array(node: Mapping[str, Any]) -> bool:
    """`'{1,2}'::int[]`: a constant of one dimension without quotes, as the engine writes lists."""
    child = node.get("child") or {}
    literal = child.get("literal") or {}
    text = str(literal.get("text"))
    listed = (node.get("type_expr") or {}).get("type_name") == "list"
    if not listed or literal.get("kind") != "STRING" or not _PLAIN.fullmatch(text):
        return False
    items = [item.strip() for item in text[1:-1].split(",")]
    items = ["NULL" if item.upper() == "NULL" else item for item in items]
    child["literal"] = {**literal, "text": f"[{', '.join(items)}]"}
    return True


def _extract(node: dict[str, Any]) -> bool:
    arguments = _arguments(node)
    said = nodes.constant(arguments[0]) if len(arguments) == 2 else None  # noqa: PLR2004 - field, value
    if said is None:
        return False
    way = "extract" if extracts(node) else "date_part"
    field = _FIELDS.get(said.lower())
    if field:
        node["arguments"] = node["arguments"][1:]
    _call(node, f"polyport_{way}_{field}" if field else f"polyport_{way}")
    return True


def _to_char(node: dict[str, Any]) -> bool:
    """By a constant pattern; by others the macro of that name does what it can."""
    arguments = _arguments(node)
    said = nodes.constant(arguments[1]) if len(arguments) == 2 else None  # noqa: PLR2004 - moment, pattern
    if said is None:
        return False
    if patterns.of_number(said):
        raise RefusedError(
            f"to_char does not know patterns of numbers, such as {said!r}, here",
            "round(x, 2)::text, or printf('%.2f', x)",
            nodes.place(node),
        )
    try:
        parts = patterns.parts(said)
    except patterns.UnknownPatternError as unknown:
        raise RefusedError(
            f"to_char does not know the pattern {unknown} here",
            "a pattern of PostgreSQL's for moments; words in double quotes",
            nodes.place(node),
        ) from None
    moment = _new(node, "polyport_moment", [arguments[0]])
    first, *more = [_shown(node, moment, part) for part in parts]
    for part in more:
        first = _new(node, "polyport_joined", [first, part])
    node.update({**first, "alias": node.get("alias", "")})
    return True


def _shown(node: dict[str, Any], moment: dict[str, Any], part: patterns.Part) -> dict[str, Any]:
    made = moment
    if part.format or not part.functions:
        made = _new(node, "strftime", [moment, _text(part.format)])
    for name in part.functions:
        made = _new(node, name, [made])
    return made


def _json_agg(node: dict[str, Any]) -> bool:
    """Of a list, which can be ordered and filtered as any aggregate."""
    listed = {**node, "alias": ""}
    _call(listed, "list")
    alias = node.get("alias", "")
    node.clear()
    node.update(_new(listed, "polyport_json", [listed]))
    node["alias"] = alias
    return True


def _similar(node: dict[str, Any]) -> bool:
    if not infix(node):
        return False
    pattern = node["arguments"][1]
    pattern["expression"] = _new(node, "polyport_similar", [pattern["expression"]])
    return True


_FORMAT = re.compile(r"%%|%s|%(.?)|[^%]+", re.DOTALL)


def _format(node: dict[str, Any]) -> bool:
    """`format('%s is %s', a, b)` joins texts; with braces and without `%` it is the engine's own."""
    arguments = _arguments(node)
    said = nodes.constant(arguments[0]) if arguments else None
    if said is not None and "%" not in said and "{" in said:
        return False
    if said is None:
        raise RefusedError("format needs a constant pattern", "concat or ||", nodes.place(node))
    values, parts = list(arguments[1:]), [_text("")]
    for piece in _FORMAT.finditer(said):
        if piece[1] is not None or (piece[0] == "%s" and not values):
            raise RefusedError(
                f"format does not know {piece[0]!r} here, or has no value for it",
                "%s and %%; concat or ||",
                nodes.place(node),
            )
        parts.append(values.pop(0) if piece[0] == "%s" else _text(piece[0].replace("%%", "%")))
    _call(node, "concat")
    node["arguments"] = [{"name": "", "expression": part} for part in parts]
    return True


_CHANGES: Mapping[str, Callable[[dict[str, Any]], bool]] = {
    "date_part": _extract,
    "format": _format,
    "json_agg": _json_agg,
    "jsonb_agg": _json_agg,
    "to_char": _to_char,
    "regexp_full_match": _similar,
}


def _arguments(node: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    return [a.get("expression") or {} for a in node.get("arguments") or ()]


def _call(node: dict[str, Any], name: str) -> None:
    node["function_name"], node["qualified_name"] = name, {"path": [name]}


def _new(like: Mapping[str, Any], name: str, arguments: Sequence[dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "class": "FUNCTION",
        "type": "FUNCTION",
        "alias": "",
        "query_location": nodes.place(like),
        "distinct": False,
        "is_operator": False,
        "export_state": False,
        "filter": None,
        "order_bys": {"type": "ORDER_MODIFIER", "orders": []},
        "arguments": [{"name": "", "expression": argument} for argument in arguments],
    }
    _call(made, name)
    return made


def _text(value: str) -> dict[str, Any]:
    literal = {"kind": "STRING", "text": value}
    return {"class": "CONSTANT", "type": "VALUE_CONSTANT", "alias": "", "literal": literal}
