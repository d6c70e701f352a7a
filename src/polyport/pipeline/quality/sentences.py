"""The words of a quality report: numbers, shares and lists as a person would write them."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from polyport.descriptor.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from polyport.errors import PolyportError

EXAMPLES = 5
"""How many offending values or keys a reason names."""
_WIDTH = 40
_PLAIN = 10**15
_SMALL = Fraction(1, 10)
_LARGE = 10


def share(part: int, whole: int) -> str:
    """`34 %`, `2.5 %`, `<0.1 %`; never `100 %` of what is not all, nor `0 %` of what is not none."""
    percent = Fraction(part * 100, whole) if whole else Fraction(0)
    if percent in (0, 100):
        return f"{int(percent)} %"
    if percent < _SMALL:
        return "<0.1 %"
    if percent >= _LARGE:
        return f"{min(max(round(percent), _LARGE), 99)} %"
    return f"{min(float(percent), 9.9):.1f}".removesuffix(".0") + " %"


def value(found: Any) -> str:
    """One value as text: short, on one line, and visible where it is empty."""
    if found is None:
        return "null"
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, float | Decimal | Fraction):
        return _number(found)
    text = found if isinstance(found, str) else str(found)
    text = text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
    return text if text.strip() and text.isprintable() else repr(text)


def _number(found: float | Decimal | Fraction) -> str:
    if not isinstance(found, Fraction) and not math.isfinite(found):
        return str(found)
    if abs(float(found)) < _PLAIN and int(found) == found:
        return str(int(found))
    return f"{float(found):g}" if isinstance(found, Fraction) else str(found)


def listed(values: Iterable[Any], *, limit: int = EXAMPLES) -> str:
    """The first values, then `...` where there are more."""
    found = list(values)
    return ", ".join([*map(value, found[:limit]), *(["..."] if len(found) > limit else [])])


def both(names: Sequence[str]) -> str:
    """`title`, `title and year`, `title, year and studio`."""
    if len(names) < 2:  # noqa: PLR2004 - two need an `and`
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def unique(names: Sequence[str]) -> str:
    """`title is unique`, `title and year are unique`."""
    return f"{both(names)} {'is' if len(names) == 1 else 'are'} unique"


def failing(count: int, whole: int, examples: Sequence[Any] = ()) -> str:
    """`1,102 rows (34 %): 1950-01-01, 1951-03-02, ...`."""
    head = f"{plural(count, 'row')} ({share(count, whole)})"
    if not examples:
        return head
    more = count > len(examples) >= EXAMPLES
    return f"{head}: {listed(examples)}{', ...' if more else ''}"


def joined(*parts: str) -> str:
    """The parts that say something, with `; ` between them."""
    return "; ".join(part for part in parts if part)


def cannot(error: PolyportError) -> str:
    """Why a rule could not be run, with what to do about it."""
    return f"could not be run: {error.message}" + (f" ({error.fix})" if error.fix else "")
