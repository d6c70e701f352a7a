"""Gaps: the hours, days, weeks, months or years that a time column leaves out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from polyport.descriptor.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from polyport.descriptor.spans import Span

_EPOCH = date(1970, 1, 1)
_ENOUGH = 3
"""Values from which a rhythm can be told."""
_WORKING = 10
_FRIDAY = 4


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A period that ought to have data, again and again."""

    unit: str
    """hour, day, `working day`, week, month or year."""
    step: int = 1

    def __str__(self) -> str:
        return self.unit if self.step == 1 else f"{self.step} {self.unit}s"

    def index(self, at: int) -> int:
        """The number of the period of `at`: a day since 1970, or for hours an hour since 1970."""
        match self.unit:
            case "month" | "year":
                day = _day(at)
                return day.year if self.unit == "year" else day.year * 12 + day.month - 1
            case "week":
                return (at + 3) // 7
            case "working day":
                return (at + 3) // 7 * 5 + min(_day(at).weekday(), _FRIDAY)
        return at

    def text(self, period: int, after: int) -> str:
        """The period as it is written, the last one with data being that of `after`."""
        match self.unit:
            case "year":
                return f"{period:04d}"
            case "month":
                return f"{period // 12:04d}-{period % 12 + 1:02d}"
            case "week":
                return str(_day(after + 7 * (period - self.index(after))))
            case "working day":
                return str(_day(period // 5 * 7 - 3 + period % 5))
            case "hour":
                return f"{_day(period // 24)}T{period % 24:02d}:00"
        return str(_day(period))


def _day(number: int) -> date:
    return _EPOCH + timedelta(days=number)


def promised(span: Span) -> Rhythm | None:
    """The rhythm of an SLA's frequency; None where it is too fast to look for gaps."""
    if span.unit == "minute" or span.count != int(span.count):
        return None
    count = int(span.count)
    if span.unit == "day" and count % 7 == 0:
        return Rhythm("week", count // 7)
    return Rhythm(span.unit, count)


def detected(days: Sequence[int]) -> Rhythm | None:
    """The rhythm that most steps between the days have; None where there is none."""
    if len(days) < _ENOUGH:
        return None
    steps = Counter(_length(later - earlier) for earlier, later in pairwise(days))
    rhythm, count = steps.most_common(1)[0]
    if rhythm is None or count * 2 < len(days) - 1:
        return None
    weekends = any(_day(d).weekday() > _FRIDAY for d in days)
    return (
        Rhythm("working day")
        if rhythm.unit == "day" and len(days) >= _WORKING and not weekends
        else rhythm
    )


_LENGTHS = (
    (range(1, 2), Rhythm("day")),
    (range(7, 8), Rhythm("week")),
    (range(28, 32), Rhythm("month")),
    (range(89, 93), Rhythm("month", 3)),
    (range(365, 367), Rhythm("year")),
)


def _length(days: int) -> Rhythm | None:
    return next((rhythm for lengths, rhythm in _LENGTHS if days in lengths), None)


def ranges(moments: Sequence[int], rhythm: Rhythm) -> Iterator[str]:
    """The periods between the first and the last moment that have no data: `2026-01-03 ... 2026-01-05 (3 days)`."""
    for before, after in pairwise(moments):
        first, last = rhythm.index(before), rhythm.index(after)
        count = (last - first - 1) // rhythm.step
        if count > 0:
            yield _range(before, count, rhythm)


def _range(before: int, count: int, rhythm: Rhythm) -> str:
    at = rhythm.index(before)
    start = rhythm.text(at + rhythm.step, before)
    many = plural(count, rhythm.unit if rhythm.step == 1 else "period")
    if count == 1:
        return f"{start} ({many})"
    return f"{start} ... {rhythm.text(at + rhythm.step * count, before)} ({many})"
