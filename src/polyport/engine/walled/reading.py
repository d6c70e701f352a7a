"""Which texts PostgreSQL's `to_number` reads by a pattern as anybody would.

PostgreSQL goes through a text and a pattern side by side and leaves out what does not fit: by `999,999` it reads
`1,234,567` as 1234. Here only texts are read that are written as the pattern says, if with fewer digits.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from polyport.engine.walled.figures import PatternError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polyport.engine.walled.figures import Node, Picture

_DIGITS = {"9", "0"}
_MEANT = re.compile(r"[0-9.,+<>-]")


def form(picture: Picture) -> tuple[str, int, int, int]:
    """A regular expression of the texts; digits and separators before the point, and characters in front of them.

    Raises:
        PatternError: There is none.
    """
    does = [node.does for node in picture.nodes]
    odd = next((d for d in does if d in ("V", "EEEE", "th", "TH", "PL")), "")
    if odd or not _DIGITS & {*does}:
        raise PatternError(f"{odd} is not for reading" if odd else "it has no digits")
    places = [at for at, d in enumerate(does) if d in _DIGITS or d == "."]
    first, last = places[0], places[-1]
    head, tail = picture.nodes[:first], picture.nodes[last + 1 :]
    groups = _groups(does[first : last + 1], filled=picture.fill)
    whole = _whole(groups)
    behind = (
        f"\\.[0-9]{{0,{picture.behind}}}"
        if picture.point and picture.behind
        else "\\.?"
        if picture.point
        else ""
    )
    digits = (
        f"(?:{whole}(?:{behind})?"
        + (f"|\\.[0-9]{{1,{picture.behind}}}" if picture.behind else "")
        + ")"
    )
    before, after = _signs(picture, head, tail)
    room = sum(1 if node.does == "L" else len(node.text) for node in head)
    texts = f"{_texts(head)} *{before}{digits}{after}"
    return texts, sum(groups), len(groups) - 1, room


def _groups(does: Sequence[str], *, filled: bool) -> list[int]:
    """How many digits there are between separators, up to the point."""
    point = does.index(".") if "." in does else len(does)
    found = [0]
    for d in does[:point]:
        if d in _DIGITS:
            found[-1] += 1
        elif d in (",", "G") and not filled:
            found.append(0)
        else:
            raise PatternError("something between the digits, or separators together with FM")
    if not all(found[1:]) or {*does[point + 1 :]} - _DIGITS:
        raise PatternError("separators beside each other, or something behind the point")
    return found


def _whole(groups: Sequence[int]) -> str:
    """Digits, with all separators or none; fewer in front."""
    ways = [f"[0-9]{{1,{sum(groups)}}}"] if sum(groups) else [""]
    for at, size in enumerate(groups[:-1]):
        rest = "".join(f",[0-9]{{{more}}}" for more in groups[at + 1 :])
        ways += [f"[0-9]{{1,{size}}}{rest}"] if size else []
    return f"(?:{'|'.join(ways)})"


def _signs(picture: Picture, head: Sequence[Node], tail: Sequence[Node]) -> tuple[str, str]:
    """What may stand before and behind the digits."""
    front = any(node.does in ("S", "MI", "SG") for node in head)
    back = any(node.does in ("S", "MI", "SG") for node in tail)
    if front and back:
        raise PatternError("two signs")
    if picture.sign == "P" and any(node.does == "L" for node in head):
        raise PatternError("L together with PR")  # L takes the bracket
    if picture.sign == "P":
        return "<?", ">?"
    if back:
        return "", "[+-]?"
    return "[+-]?", ""


def _texts(head: Sequence[Node]) -> str:
    """What stands in front of the sign and the digits."""
    found = ""
    for node in head:
        if node.does == "L":
            found += "[^0-9.,+<>-]?"
        elif not node.does and _MEANT.search(node.text):
            raise PatternError("signs or digits in words")
        else:
            found += re.escape(node.text)
    return found
