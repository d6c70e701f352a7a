"""What a promise lets through: bounds, patterns, formats, thresholds; and whether it lets more through than before."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from polyport.descriptor.compare.changes import breaking, minor, risky
from polyport.descriptor.violations import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from polyport.descriptor.compare.changes import Judged

_LOW = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_HIGH = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_WRITTEN = ("format", "timezone", "defaultTimezone", "dimensions")
"""Options that say how a value is to be read: not more or less of them, but others."""
_LARGEST = 1e300
Spans = tuple[tuple[float, float], ...]


def option(name: str, old: Any, new: Any, what: str) -> Judged:
    """What it means that the logical type option `name` of `what` is `new` instead of `old` (None: absent)."""
    if name in _WRITTEN:
        return _written(name, old, new, what)
    if new is None:
        return risky(f"`{name}: {old}` of {what} is dropped: any value may come")
    if old is None:
        return minor(f"`{name}: {new}` of {what} is added: less can come than before")
    change = f"`{name}` of {what} changes from `{old}` to `{new}`"
    if _tighter(name, old, new):
        return minor(f"{change}: less can come than before")
    return risky(f"{change}: values may come that did not")


def _written(name: str, old: Any, new: Any, what: str) -> Judged:
    if old is None:
        return risky(f"`{name}: {new}` of {what} is added: values may have been written otherwise")
    if new is None:
        return risky(f"`{name}: {old}` of {what} is dropped: values may be written otherwise")
    return breaking(
        f"`{name}` of {what} changes from `{old}` to `{new}`: values mean something else, or cannot be read"
    )


def _tighter(name: str, old: Any, new: Any) -> bool:
    if isinstance(old, bool) or isinstance(new, bool):
        return new is True
    if isinstance(old, str) or isinstance(new, str):
        ordered = isinstance(old, str) and isinstance(new, str) and (name in (*_LOW, *_HIGH))
        return ordered and (
            new >= old if name in _LOW else new <= old
        )  # dates: ISO 8601 sorts as text
    if not isinstance(old, int | float) or not isinstance(new, int | float):
        return False
    if name in _LOW:
        return new >= old
    if name in _HIGH:
        return new <= old
    return (
        name == "multipleOf"
        and old != 0
        and math.isclose(new / old, round(new / old), rel_tol=1e-12)
    )


def operator(rule: Mapping[str, Any]) -> str:
    """The operator of a quality rule; empty where it has none."""
    return next((name for name in OPERATORS if name in rule), "")


def looser(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool | None:
    """Whether the threshold of the rule `new` admits what `old` does not; None: it cannot be told."""
    mine, theirs = spans(old), spans(new)
    if mine is None or theirs is None:
        return None
    return not all(any(a <= low and high <= b for a, b in mine) for low, high in theirs)


def spans(rule: Mapping[str, Any]) -> Spans | None:
    """What a rule's threshold admits, as closed intervals; None where it is no number."""
    name = operator(rule)
    value = rule.get(name)
    if name.endswith("Between"):
        if not isinstance(value, list) or len(value) != 2 or not all(map(_number, value)):  # noqa: PLR2004
            return None
        low, high = float(value[0]), float(value[1])
        inside = name == "mustBeBetween"
        return ((low, high),) if inside else ((-math.inf, _below(low)), (_above(high), math.inf))
    if value is None or not _number(value):
        return None
    limit = float(value)
    ways: dict[str, Spans] = {
        "mustBe": ((limit, limit),),
        "mustNotBe": ((-math.inf, _below(limit)), (_above(limit), math.inf)),
        "mustBeGreaterThan": ((_above(limit), math.inf),),
        "mustBeGreaterOrEqualTo": ((limit, math.inf),),
        "mustBeLessThan": ((-math.inf, _below(limit)),),
        "mustBeLessOrEqualTo": ((-math.inf, limit),),
    }
    return ways.get(name)


def _number(value: Any) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return (
        plain and abs(value) <= _LARGEST
    )  # false for what is not a number, and for what no float can hold


def _below(value: float) -> float:
    return math.nextafter(value, -math.inf)


def _above(value: float) -> float:
    return math.nextafter(value, math.inf)
