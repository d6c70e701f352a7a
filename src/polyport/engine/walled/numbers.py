"""`to_char` and `to_number`, as calls of our macros."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyport.engine.walled import figures, making, nodes, reading
from polyport.engine.walled.nodes import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping


def to_char(node: dict[str, Any], value: Mapping[str, Any], pattern: str) -> bool:
    """Have `to_char(value, pattern)` be said by our macros.

    Raises:
        RefusedError: The pattern is none, or it cannot be done.
    """
    try:
        made = _call(node, value, pattern)
    except figures.PatternError as unknown:
        raise RefusedError(
            f"to_char cannot write numbers by the pattern {pattern!r} here: {unknown}",
            "9 0 . , D G L S MI PL SG PR FM TH V RN EEEE; words in double quotes",
            nodes.place(node),
        ) from None
    making.become(node, made)
    return True


def to_number(node: dict[str, Any]) -> bool:
    """Have `to_number(text, pattern)` be said by our macros.

    Raises:
        RefusedError: The pattern is no constant, or none that can be read by.
    """
    given = making.arguments(node)
    pattern = nodes.constant(given[1]) if len(given) == 2 else None  # noqa: PLR2004 - text, pattern
    try:
        picture = figures.picture(pattern or "")
        form, *room = reading.form(picture)
    except figures.PatternError as unknown:
        raise RefusedError(
            f"to_number cannot read by the pattern {pattern!r} here: {unknown}"
            if pattern is not None
            else "to_number needs a constant pattern",
            "a constant of 9 0 . , D G L S MI SG PR FM, and words in front",
            nodes.place(node),
        ) from None
    more = [making.text(form), *map(making.number, room), making.text(pattern or "")]
    read = making.call(node, "polyport_read_number", [given[0], *more])
    making.become(node, making.decimal(read, figures.MOST_DIGITS, picture.behind))
    return True


def _call(node: dict[str, Any], value: Mapping[str, Any], pattern: str) -> dict[str, Any]:
    roman = figures.roman(pattern)
    if roman:
        flags = [making.number(int(flag)) for flag in roman]
        return making.call(node, "polyport_roman", [value, *flags])
    picture = figures.picture(pattern)
    if picture.science:
        given = [making.number(n) for n in (picture.before, picture.behind)]
        return making.call(node, "polyport_science", [value, *given])
    table = figures.templates(pattern)
    if picture.shift:
        value = making.call(node, "polyport_shifted", [value, making.number(10**picture.shift)])
    ordinal = any(figures.ENDING in t or figures.ENDING_LARGE in t for t in table)
    return making.call(
        node,
        "polyport_ordinal" if ordinal else "polyport_number",
        [
            value,
            making.text(figures.SEPARATOR.join(table)),
            making.text(figures.placeholders(picture)),
            *map(making.number, figures.places(picture)),
        ],
    )
