"""`regexp_match` by constant patterns: what it gives depends on how many groups a pattern has."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from polyport.engine.walled import making, nodes
from polyport.engine.walled.nodes import RefusedError

MOST_GROUPS = 9
_FLAGS = set("ics")
_PIECE = re.compile(r"\\.|\[\^?\]?(?:\[:\w+:\]|\\.|[^\]\\])*\]|\((?:\?i\)|\?:)?|\)|\||.", re.DOTALL)
_ODD = re.compile(r"\\Q|(?!\A\(\?i\))\(\?(?!:)|\A\*\*\*")
"""What means something else to PostgreSQL, or nothing."""
_LEFT_OUT = re.compile(r"[?*]|\{0")


@dataclass(slots=True)
class _Level:
    """What is within one pair of brackets."""

    own: int = 0
    """The number of the group that it is; 0: it is none."""
    groups: list[int] = field(default_factory=list)
    branches: bool = False


def groups(pattern: str) -> tuple[int, bool]:
    """How many groups a pattern has, and whether some of them may be left out of a match."""
    levels, count, optional = [_Level()], 0, set[int]()
    for piece in _PIECE.finditer(pattern):
        said = piece[0]
        if said in ("(", "(?:"):
            count += said == "("
            levels.append(_Level(count if said == "(" else 0))
        elif said == "|":
            levels[-1].branches = True
        elif said == ")" and len(levels) > 1:
            level = levels.pop()
            optional.update(level.groups if level.branches else ())
            inside = [*level.groups, *([level.own] if level.own else [])]
            optional.update(inside if _LEFT_OUT.match(pattern, piece.end()) else ())
            levels[-1].groups += inside
    optional.update(levels[0].groups if levels[0].branches else ())
    return count, bool(optional)


def match(node: dict[str, Any]) -> bool:
    """Have `regexp_match(text, pattern, flags)` be said by our macros.

    Raises:
        RefusedError: It cannot be said.
    """
    given = making.arguments(node)
    said = [nodes.constant(each) for each in given[1:]]
    pattern, flags = [*said, "", ""][:2] if said else (None, "")
    if len(given) not in (2, 3) or pattern is None or flags is None:
        raise RefusedError(
            "regexp_match needs a text, a constant pattern, and flags if any", "", nodes.place(node)
        )
    if not set(flags) <= _FLAGS:
        raise RefusedError(
            f"regexp_match knows the flags i, c and s here, not {flags!r}", "", nodes.place(node)
        )
    if _ODD.search(pattern):
        raise RefusedError(
            "regexp_match knows (?:...), and (?i) in front, here", "", nodes.place(node)
        )
    count, optional = groups(pattern)
    if optional or count > MOST_GROUPS:
        raise RefusedError(
            "regexp_match knows up to 9 groups here, and none that a match may leave out",
            "(?:...) where nothing is taken; ((?:x)?) for (x)?",
            nodes.place(node),
        )
    case = "i" if flags.rfind("i") > flags.rfind("c") else "c"
    more = [making.text(pattern), making.text(f"{case}s")]
    making.become(node, making.call(node, f"polyport_match_{count}", [given[0], *more]))
    return True
