"""Lengths of time as contracts write them: `4` and `d`, `24h`, `P4D`, `daily`."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from polyport.errors import QualityError

if TYPE_CHECKING:
    from datetime import datetime

_UNITS = {
    "minute": ("min", "mins", "minute", "minutes"),
    "hour": ("h", "hr", "hrs", "hour", "hours"),
    "day": ("d", "day", "days"),
    "week": ("w", "wk", "week", "weeks"),
    "month": ("m", "mo", "month", "months"),
    "year": ("y", "yr", "yrs", "year", "years"),
}
_UNIT = {name: unit for unit, names in _UNITS.items() for name in names}
_WORDS = {
    "hourly": (1, "hour"),
    "daily": (1, "day"),
    "weekly": (1, "week"),
    "monthly": (1, "month"),
    "quarterly": (3, "month"),
    "yearly": (1, "year"),
    "annually": (1, "year"),
}
_ISO = re.compile(r"P(?:(\d+)([YMWD])|T(\d+)([HM]))", re.IGNORECASE)
_ISO_UNIT = {"Y": "year", "M": "month", "W": "week", "D": "day", "TH": "hour", "TM": "minute"}
_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time by the calendar."""

    count: float
    unit: str
    """minute, hour, day, week, month or year."""

    def __str__(self) -> str:
        return f"{self.count:g} {self.unit}{'' if self.count == 1 else 's'}"

    def before(self, moment: datetime) -> datetime:
        """The moment this long before `moment`.

        Raises:
            QualityError: The calendar does not go back that far.
        """
        try:
            return self._before(moment)
        except (ValueError, OverflowError) as error:
            raise QualityError(
                f"{self} reach back before the calendar", fix="a shorter time"
            ) from error

    def _before(self, moment: datetime) -> datetime:
        if self.unit in ("month", "year"):
            months = int(self.count) * (12 if self.unit == "year" else 1)
            index = moment.year * 12 + moment.month - 1 - months
            year, month = index // 12, index % 12 + 1
            return moment.replace(
                year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1])
            )
        return moment - timedelta(**{f"{self.unit}s": self.count})


def span(value: Any, unit: str) -> Span:
    """The length of time that an SLA's value and unit say: `4` and `d`, `24h`, `P4D`, `daily`.

    Raises:
        QualityError: They say none.
    """
    text = str(value).strip()
    found = _WORDS.get(text.lower()) or _iso(text) or _counted(text, unit)
    if found is None or found[0] <= 0:
        said = f"{text} {unit}".strip()
        raise QualityError(
            f"{said!r} is no length of time",
            fix="value: a number; unit: min, h, d, w, m (months) or y",
        )
    count, name = found
    if name in ("month", "year") and count != int(count):
        raise QualityError(f"{text} {name}s are not whole ones", fix="use days")
    return Span(count, name)


def _iso(text: str) -> tuple[float, str] | None:
    found = _ISO.fullmatch(text)
    if not found:
        return None
    if found[1]:
        return int(found[1]), _ISO_UNIT[found[2].upper()]
    return int(found[3]), _ISO_UNIT[f"T{found[4].upper()}"]


def _counted(text: str, unit: str) -> tuple[float, str] | None:
    both = _TEXT.fullmatch(text)
    count = _number(both[1] if both else text)
    name = _UNIT.get((both[2] if both else unit).strip().lower())
    return None if count is None or name is None else (count, name)


def _number(text: str) -> float | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return float(found) if found.is_finite() else None
