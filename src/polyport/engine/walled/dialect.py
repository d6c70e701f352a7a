"""What PostgreSQL means by functions of other names in the engine: a tree is changed before it is checked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from polyport.engine.walled import arrays, likes, making, matching, nodes, numbers, patterns, texts
from polyport.engine.walled.nodes import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    return any(found) | (isinstance(node, dict) and _changed(node, inside=any(found)))


def extracts(node: Mapping[str, Any]) -> bool:
    """Whether a call of `date_part` is written as EXTRACT: its field has no quotes."""
    field = making.arguments(node)[:1]
    said = nodes.constant(field[0]) if field else None
    return said is not None and field[0].get("query_location_length") == len(said)


def infix(node: Mapping[str, Any]) -> bool:
    """Whether a call is written as an operator, after its first argument: `a SIMILAR TO b`."""
    first = making.arguments(node)[:1]
    return bool(first) and 0 <= nodes.place(first[0]) < nodes.place(node)


def _changed(node: dict[str, Any], *, inside: bool) -> bool:
    """`inside`: whether something within it was."""
    if node.get("class") == "CAST":
        return arrays.cast(node) or texts.cast(node, once=inside)
    path = nodes.path(node)
    if node.get("class") not in ("FUNCTION", "WINDOW") or path[:-1] not in ((), ("pg_catalog",)):
        return False
    name = path[-1].lower() if path else ""
    if name.startswith(OWN):
        raise RefusedError(f"there is no function {name} for consumers", "", nodes.place(node))
    if name in _RENAMED:
        making.rename(node, _RENAMED[name])
        return True
    change = _CHANGES.get(name)
    return change is not None and change(node)


def _extract(node: dict[str, Any]) -> bool:
    arguments = making.arguments(node)
    said = nodes.constant(arguments[0]) if len(arguments) == 2 else None  # noqa: PLR2004 - field, value
    if said is None:
        return False
    way = "extract" if extracts(node) else "date_part"
    field = _FIELDS.get(said.lower())
    if field:
        node["arguments"] = node["arguments"][1:]
    making.rename(node, f"polyport_{way}_{field}" if field else f"polyport_{way}")
    return True


def _to_char(node: dict[str, Any]) -> bool:
    """By a constant pattern; by others the macro of that name does what it can."""
    arguments = making.arguments(node)
    said = nodes.constant(arguments[1]) if len(arguments) == 2 else None  # noqa: PLR2004 - moment, pattern
    if said is None:
        return False
    if patterns.of_number(said):
        return numbers.to_char(node, arguments[0], said)
    try:
        parts = patterns.parts(said)
    except patterns.UnknownPatternError as unknown:
        raise RefusedError(
            f"to_char does not know the pattern {unknown} here",
            "a pattern of PostgreSQL's for moments; words in double quotes",
            nodes.place(node),
        ) from None
    moment = making.call(node, "polyport_moment", [arguments[0]])
    first, *more = [_shown(node, moment, part) for part in parts]
    for part in more:
        first = making.call(node, "polyport_joined", [first, part])
    making.become(node, first)
    return True


def _shown(node: dict[str, Any], moment: dict[str, Any], part: patterns.Part) -> dict[str, Any]:
    made = moment
    if part.format or not part.functions:
        made = making.call(node, "strftime", [moment, making.text(part.format)])
    for name in part.functions:
        made = making.call(node, name, [made])
    return made


def _json_agg(node: dict[str, Any]) -> bool:
    """Of a list, which can be ordered and filtered as any aggregate."""
    listed = {**node, "alias": ""}
    making.rename(listed, "list")
    making.become(node, making.call(listed, "polyport_json", [listed]))
    return True


def _similar(node: dict[str, Any]) -> bool:
    if not infix(node):
        return False
    pattern = node["arguments"][1]
    pattern["expression"] = making.call(node, "polyport_similar", [pattern["expression"]])
    return True


_FORMAT = re.compile(r"%%|%s|%(.?)|[^%]+", re.DOTALL)


def _format(node: dict[str, Any]) -> bool:
    """`format('%s is %s', a, b)` joins texts; with braces and without `%` it is the engine's own."""
    arguments = making.arguments(node)
    said = nodes.constant(arguments[0]) if arguments else None
    if said is not None and "%" not in said and "{" in said:
        return False
    if said is None:
        raise RefusedError("format needs a constant pattern", "concat or ||", nodes.place(node))
    values, parts = list(arguments[1:]), [making.text("")]
    for piece in _FORMAT.finditer(said):
        if piece[1] is not None or (piece[0] == "%s" and not values):
            raise RefusedError(
                f"format does not know {piece[0]!r} here, or has no value for it",
                "%s and %%; concat or ||",
                nodes.place(node),
            )
        parts.append(
            values.pop(0) if piece[0] == "%s" else making.text(piece[0].replace("%%", "%"))
        )
    making.rename(node, "concat")
    node["arguments"] = [{"name": "", "expression": part} for part in parts]
    return True


_CHANGES: Mapping[str, Callable[[dict[str, Any]], bool]] = {
    "date_part": _extract,
    "format": _format,
    "json_agg": _json_agg,
    "jsonb_agg": _json_agg,
    "to_char": _to_char,
    "to_number": numbers.to_number,
    "regexp_full_match": _similar,
    "regexp_match": matching.match,
    **dict.fromkeys(likes.OPERATORS, likes.changed),
}
