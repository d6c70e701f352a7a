"""Thresholds: the eight ODCS operators over exact numbers."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING, Any, get_args

from polyport.descriptor.types import Operator
from polyport.errors import QualityError
from polyport.pipeline.quality import sentences

if TYPE_CHECKING:
    from collections.abc import Callable

    from polyport.descriptor.types import QualityRule

_COMPARE: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "mustBe": ("=", operator.eq),
    "mustNotBe": ("!=", operator.ne),
    "mustBeGreaterThan": (">", operator.gt),
    "mustBeGreaterOrEqualTo": (">=", operator.ge),
    "mustBeLessThan": ("<", operator.lt),
    "mustBeLessOrEqualTo": ("<=", operator.le),
}
_WORDS = {
    "mustBe": "exactly",
    "mustNotBe": "any number but",
    "mustBeGreaterThan": "more than",
    "mustBeGreaterOrEqualTo": "at least",
    "mustBeLessThan": "fewer than",
    "mustBeLessOrEqualTo": "at most",
}
_UNITS = {"": "rows", "row": "rows", "rows": "rows", "percent": "percent", "percentage": "percent"}
_UNITS["%"] = "percent"
_PAIR = 2


@dataclass(frozen=True, slots=True)
class Limit:
    """What a measured value must be."""

    operator: Operator
    threshold: Any
    """A number, a pair of numbers, or for the value of an `sql` rule anything."""
    unit: str = "rows"
    """rows, percent; empty: the bare value."""

    @property
    def text(self) -> str:
        """`= 0 rows`, `< 5 percent`, `between 1 and 10 rows`."""
        if self.operator in _COMPARE:
            wanted = f"{_COMPARE[self.operator][0]} {sentences.value(self.threshold)}"
        else:
            low, high = map(sentences.value, self.threshold)
            wanted = f"{'not ' * (self.operator == 'mustNotBeBetween')}between {low} and {high}"
        return f"{wanted} {self.unit}".rstrip()

    @property
    def words(self) -> str:
        """`more than 0 rows`, `between 1 and 10 rows`."""
        if self.operator not in _COMPARE:
            return self.text
        return f"{_WORDS[self.operator]} {sentences.value(self.threshold)} {self.unit}".rstrip()

    def holds(self, measured: Any) -> bool:
        """Whether `measured` is what it must be; a pair's ends are within it.

        Raises:
            QualityError: `measured` is no number, and the operator needs one.
        """
        if self.operator in ("mustBeBetween", "mustNotBeBetween"):
            low, high = map(_exact, self.threshold)
            return (low <= _exact(measured) <= high) is (self.operator == "mustBeBetween")
        compare = _COMPARE[self.operator][1]
        if self.operator in ("mustBe", "mustNotBe"):
            numbers = number(measured), number(self.threshold)
            if None in numbers:
                return compare(_text(measured), _text(self.threshold))
            return compare(*numbers)
        return compare(_exact(measured), _exact(self.threshold))


NONE = Limit("mustBe", 0)
"""No row at all."""


def limit(rule: QualityRule) -> Limit:
    """The threshold of `rule`.

    Raises:
        QualityError: It has no operator, or its threshold or unit cannot be used.
    """
    if rule.operator is None:
        raise QualityError(
            "the rule has no operator",
            fix=f"add `mustBe: 0`, or one of {', '.join(get_args(Operator))}",
        )
    if rule.operator in ("mustBeBetween", "mustNotBeBetween"):
        _check_pair(rule.operator, rule.threshold)
    elif rule.type != "sql" or rule.operator not in ("mustBe", "mustNotBe"):
        _check_number(rule.operator, rule.threshold)
    return Limit(rule.operator, rule.threshold, _unit(rule))


def number(found: Any) -> Fraction | None:
    """`found` as an exact number; None where it is none. True and false are none."""
    if isinstance(found, Fraction):
        return found
    if isinstance(found, bool) or not isinstance(found, int | float | Decimal | str):
        return None
    try:
        exact = Decimal(str(found).strip())
    except InvalidOperation:
        return None
    return Fraction(exact) if exact.is_finite() else None


def percent(part: int, whole: int) -> Fraction:
    """`part` of `whole` in percent; of nothing it is 0."""
    return Fraction(part * 100, whole) if whole else Fraction(0)


def shown(measured: Any) -> float | str | None:
    """`measured` as a report gives it."""
    if measured is None or isinstance(measured, str):
        return measured
    exact = measured if isinstance(measured, Fraction) else number(measured)
    if exact is None or isinstance(measured, bool):
        return _text(measured)
    return float(exact) if abs(exact) < 10**300 else str(measured)


def plain(threshold: Any) -> Any:
    """A threshold as a document gives it: numbers as they were written, dates as text."""
    if isinstance(threshold, list | tuple):
        return [plain(each) for each in threshold]
    if threshold is None or isinstance(threshold, bool | int | float | str):
        return threshold
    return _text(threshold)


def settle(found: Any) -> Any:
    """The value of an `sql` rule, if it is one that can be compared.

    Raises:
        QualityError: It is null, or not a finite number.
    """
    if found is None:
        raise QualityError("the query gave null", fix="write coalesce(..., 0) if nothing means 0")
    if isinstance(found, float | Decimal) and not math.isfinite(found):
        raise QualityError(f"the query gave {found}, which nothing can be compared with")
    return found


def _exact(found: Any) -> Fraction:
    exact = number(found)
    if exact is None:
        raise QualityError(f"{sentences.value(found)} is not a number, and the operator needs one")
    return exact


def _text(found: Any) -> str:
    if isinstance(found, bool):
        return str(found).lower()
    return found.isoformat() if isinstance(found, date | time) else str(found)


def _check_number(name: str, threshold: Any) -> None:
    if number(threshold) is None:
        raise QualityError(f"{name} needs a number, not {threshold!r}")


def _check_pair(name: str, threshold: Any) -> None:
    pair = list(threshold) if isinstance(threshold, list | tuple) else []
    numbers = [n for n in map(number, pair) if n is not None]
    if len(pair) != _PAIR or len(numbers) != _PAIR:
        raise QualityError(f"{name} needs two numbers, not {threshold!r}", fix=f"{name}: [1, 10]")
    if numbers[0] > numbers[1]:
        raise QualityError(
            f"{name} has its numbers the wrong way round: {threshold!r}",
            fix="smallest number first",
        )


def _unit(rule: QualityRule) -> str:
    unit = _UNITS.get(rule.unit.strip().lower())
    if rule.type == "sql":
        return "percent" if unit == "percent" else ""
    if unit is None:
        raise QualityError(
            f"unit {rule.unit!r} is not one that rows are counted in", fix="rows or percent"
        )
    if unit == "percent" and rule.metric == "rowCount":
        raise QualityError("rowCount is counted in rows, not in percent", fix="unit: rows")
    return unit
