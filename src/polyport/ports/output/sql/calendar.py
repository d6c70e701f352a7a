"""Days and moments of all years as PostgreSQL writes them: before year 1 (`BC`), after 9999, infinite ones."""

from __future__ import annotations

from typing import Final

DATE_INFINITY: Final = 2**31 - 1
"""The engine's day that comes after all others; its negative comes before."""
TIME_INFINITY: Final = 2**63 - 1
"""Likewise, in microseconds."""
FIRST_DAY: Final = -719_162
"""0001-01-01, in days since 1970."""
LAST_DAY: Final = 2_932_896
"""9999-12-31."""
DAY: Final = 86_400_000_000
"""Microseconds."""
FIRST_MICROSECOND: Final = FIRST_DAY * DAY
LAST_MICROSECOND: Final = (LAST_DAY + 1) * DAY - 1
EPOCH_DAY: Final = 10_957
"""2000-01-01, from which PostgreSQL counts."""
EPOCH_MICROSECOND: Final = EPOCH_DAY * DAY


def date_text(day: int) -> str:
    """A day, counted from 1970: `2020-02-29`, `0044-03-15 BC`, `infinity`."""
    if abs(day) >= DATE_INFINITY:
        return "infinity" if day > 0 else "-infinity"
    shown, era = _day(day)
    return shown + era


def timestamp_text(microsecond: int, offset: str = "") -> str:
    """A moment, counted from 1970: `0044-03-15 10:00:00.5 BC`; with `offset` of its zone before the era."""
    if abs(microsecond) >= TIME_INFINITY:
        return "infinity" if microsecond > 0 else "-infinity"
    day, left = divmod(microsecond, DAY)
    shown, era = _day(day)
    seconds, fraction = divmod(left, 1_000_000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    parts = f".{fraction:06}".rstrip("0") if fraction else ""
    return f"{shown} {clock}{parts}{offset}{era}"


def _day(day: int) -> tuple[str, str]:
    """A day of the proleptic Gregorian calendar, and its era."""
    year, month, rest = civil(day)
    if year > 0:
        return f"{year:04}-{month:02}-{rest:02}", ""
    return f"{1 - year:04}-{month:02}-{rest:02}", " BC"


def civil(day: int) -> tuple[int, int, int]:
    """Year (0 is 1 BC), month and day of the month, of a day counted from 1970.

    400 years have 146,097 days. Years here begin in March: so a leap day is the last of its year.
    """
    era, left = divmod(day + 719_468, 146_097)
    year = (left - left // 1_460 + left // 36_524 - left // 146_096) // 365
    left -= 365 * year + year // 4 - year // 100
    month = (5 * left + 2) // 153
    of_month = left - (153 * month + 2) // 5 + 1
    in_next_year, march_first = divmod(month + 2, 12)
    return era * 400 + year + in_next_year, march_first + 1, of_month
