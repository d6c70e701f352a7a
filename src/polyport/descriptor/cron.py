"""Cron expressions: whether one can be run."""

from __future__ import annotations

import re

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _WEEKDAYS),
)
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART = re.compile(r"(?P<low>\*|\w+)(?:-(?P<high>\w+))?(?:/(?P<step>\d+))?", re.ASCII)


def problem(text: str) -> tuple[str, int]:
    """What is wrong with the five-field cron expression `text`, and its column from 1; ("", 0) where nothing is."""
    fields = [(m[0], m.start() + 1) for m in re.finditer(r"\S+", text)]
    if len(fields) != len(_FIELDS):
        return f"five fields are wanted, found {len(fields)}", 1
    for (field, column), (name, low, high, words) in zip(fields, _FIELDS, strict=True):
        at = column
        for part in field.split(","):
            if reason := _part_problem(part, low, high, words):
                return f"{name}: {reason}", at
            at += len(part) + 1
    return _never([field for field, _ in fields], fields[2][1])


def _part_problem(part: str, low: int, high: int, words: tuple[str, ...]) -> str:
    match = _PART.fullmatch(part)
    if match is None:
        return f"`{part}` is not a number, a range, `*` or a step"
    if match["step"] is not None and not 0 < int(match["step"]) <= high:
        return f"a step of {match['step']} does not fit"
    if match["low"] == "*":
        return "`*` has no range" if match["high"] else ""
    ends = [match["low"]] + ([match["high"]] if match["high"] else [])
    numbers = [_number(end, low, words) for end in ends]
    for end, number in zip(ends, numbers, strict=True):
        if number is None or not low <= number <= high:
            return f"`{end}` is not within {low}-{high}"
    if None not in numbers and numbers != sorted(numbers, key=lambda n: n or 0):
        return f"the range `{part}` runs backwards"
    return ""


def _number(word: str, low: int, words: tuple[str, ...]) -> int | None:
    if word.isdigit():
        return int(word)
    return words.index(word.lower()) + low if word.lower() in words else None


def _never(fields: list[str], column: int) -> tuple[str, int]:
    """A day that no named month has: `0 0 30 2 *`."""
    day, month, weekday = fields[2:]
    if weekday == "*" and day.isdigit() and month.isdigit() and int(day) > _DAYS[int(month) - 1]:
        return f"month {month} has no day {day}", column
    return "", 0
