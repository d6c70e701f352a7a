"""What a contract's SLA promises of time: how old the newest data may be, how often it comes, by which column."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from polyport.errors import QualityError
from polyport.pipeline.quality import limits, values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    import pyarrow as pa

    from polyport.descriptor.types import Contract, SchemaObject, SlaProperty

_AGE = frozenset({"latency", "ly", "freshness", "datafreshness"})
_RHYTHM = frozenset({"frequency", "fy", "updatefrequency"})
_TAGS = frozenset({"time", "freshness", "event-time", "updated-at"})
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


@dataclass(frozen=True, slots=True)
class Promise:
    """One SLA property on one dataset."""

    sla: SlaProperty
    severity: str

    @property
    def span(self) -> Span:
        """Its length of time.

        Raises:
            QualityError: It is not one.
        """
        return span(self.sla.value, self.sla.unit)


@dataclass(frozen=True, slots=True)
class Promises:
    """What the SLA says of a dataset's time."""

    age: Promise | None
    rhythm: Promise | None
    column: str
    """The time column; empty where there is none."""
    regular: bool
    """Whether the SLA names the column or the primary key holds it: then gaps in it mean something."""


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
    count = limits.number(both[1] if both else text)
    name = _UNIT.get((both[2] if both else unit).strip().lower())
    return None if count is None or name is None else (float(count), name)


def promises(thing: SchemaObject, schema: pa.Schema, contract: Contract | None) -> Promises:
    """What `contract` promises of the dataset's time, and by which column it is told."""
    given = list(_of(thing, contract))
    age = next((p for p in given if p.sla.property.lower() in _AGE), None)
    rhythm = next((p for p in given if p.sla.property.lower() in _RHYTHM), None)
    named = [c for p in (age, rhythm) if p for c in _columns(thing, p.sla.element)]
    others = [c for p in given for c in _columns(thing, p.sla.element) if _is_time(schema, c)]
    tagged = [p.name for p in thing.properties if _TAGS & {t.lower() for t in p.tags}]
    keyed = list(thing.key)
    timely = [c for c in (*others, *tagged, *keyed) if _is_time(schema, c)]
    column = (named or timely or [""])[0]
    return Promises(age, rhythm, column, column in named or column in keyed)


def _of(thing: SchemaObject, contract: Contract | None) -> Iterable[Promise]:
    for i, sla in enumerate(contract.sla if contract else ()):
        if not sla.element.strip() or any(_names(thing, e) for e in _elements(sla.element)):
            yield Promise(sla, _severity(contract, i))


def _elements(element: str) -> list[str]:
    return [part.strip() for part in element.split(",") if part.strip()]


def _names(thing: SchemaObject, element: str) -> bool:
    return (
        element == thing.name
        or element.startswith(f"{thing.name}.")
        or element in _properties(thing)
    )


def _columns(thing: SchemaObject, element: str) -> list[str]:
    """The columns of the dataset that an SLA's element names."""
    found = []
    for part in _elements(element):
        if part.startswith(f"{thing.name}."):
            found.append(part.removeprefix(f"{thing.name}."))
        elif part != thing.name and part in _properties(thing):
            found.append(part)
    return found


def _properties(thing: SchemaObject) -> set[str]:
    return {p.name for p in thing.properties}


def _is_time(schema: pa.Schema, column: str) -> bool:
    return column in schema.names and values.family(schema.field(column).type) in (
        "date",
        "timestamp",
    )


def _severity(contract: Contract | None, index: int) -> str:
    entries = contract.document.get("slaProperties") if contract else None
    entry = entries[index] if isinstance(entries, list) and index < len(entries) else {}
    return str(custom(entry, "polyport.severity") or "warning")


def custom(node: Any, name: str) -> Any:
    """The value of a custom property of a document's node; None where it has none."""
    entries: Sequence[Mapping[str, Any]] = (
        node.get("customProperties") or () if isinstance(node, dict) else ()
    )
    return next((e.get("value") for e in entries if e.get("property") == name), None)
