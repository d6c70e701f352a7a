"""What a contract's SLA promises of time: how old the newest data may be, how often it comes, by which column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyport.descriptor.spans import Span, span
from polyport.pipeline.quality import values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from polyport.descriptor.types import Contract, SchemaObject, SlaProperty

_AGE = frozenset({"latency", "ly", "freshness", "datafreshness"})
_RHYTHM = frozenset({"frequency", "fy", "updatefrequency"})
_TAGS = frozenset({"time", "freshness", "event-time", "updated-at"})


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
