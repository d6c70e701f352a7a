"""What the columns hold, counted over the asker's own View: its row filters and masks hold here, too."""

from __future__ import annotations

import math
import time
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pyarrow.types as pt

from polyport.access import Measure
from polyport.ports.formats.listed import listed, records

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from polyport.access import View
    from polyport.descriptor.types import Property
    from polyport.ports.information.metadata.sight import Sight

LARGE = 5_000_000
"""Rows beyond which the columns are counted over a sample."""
SAMPLE = 1_000_000
"""Rows of a sample."""
SMALL = 100_000
"""Rows up to which all columns are counted at once; beyond, one by one, so that the time can be kept."""
SECONDS = 5.0
"""What one answer may take; looked at between columns. What is not reached is there the next time."""
EXAMPLES = 3
_SAMPLE = 20
_OPEN = ("", "public", "internal")


def statistics(sight: Sight) -> dict[str, Any]:
    """Dataset -> rows, and for each column fill, distinct values, least, greatest, unit and examples.

    What could not be counted within `SECONDS` says so. What was counted is kept with the snapshot and the policy class,
    so an answer goes on where the last one ended.
    """
    if sight.view is None:
        return {}
    until = time.monotonic() + SECONDS
    return {name: _dataset(sight, sight.view, name, until) for name in sight.datasets}


def _dataset(sight: Sight, view: View, dataset: str, until: float) -> dict[str, Any]:
    schema, masked = view.schema(dataset), view.masked(dataset)
    if time.monotonic() > until:
        late = {name: {"type": kind, **_LATE} for name, kind, _, _ in sight.columns(dataset)}
        return {"rows": None, "complete": False, "columns": late}
    rows = _one(view, dataset, [Measure("count", name="rows")])["rows"]
    first = SAMPLE if rows > LARGE else 0
    measures = [
        _measures(at, field, masked=field.name in masked) for at, field in enumerate(schema)
    ]
    found = _counted(view, dataset, measures, first, until, at_once=rows <= SMALL)
    sample = view.scan(dataset, limit=_SAMPLE).read_all()
    columns = {}
    for at, (name, kind, said, how) in enumerate(sight.columns(dataset)):
        filled = found.get(f"{at}_count")
        if filled is None:
            columns[name] = {"type": kind, **_LATE}
            continue
        counted = {
            "type": kind,
            "filled": filled,
            "fill": round(filled / (first or rows), 6) if rows else None,
            **{word: plain(found[f"{at}_{word}"]) for word in _WORDS if f"{at}_{word}" in found},
        }
        more = {"masked": how} if how else {**_unit(said), "examples": _examples(said, sample, at)}
        columns[name] = {**counted, **more}
    sampled = {"sampled": {"rows": first, "which": "the first that are read"}} if first else {}
    complete = len(found) == sum(map(len, measures))
    return {"rows": rows, "complete": complete, **sampled, "columns": columns}


def _counted(
    view: View,
    dataset: str,
    measures: Sequence[list[Measure]],
    first: int,
    until: float,
    *,
    at_once: bool,
) -> dict[str, Any]:
    """The measures of each column, as far as the time goes."""
    parts = [[m for column in measures for m in column]] if at_once else measures
    found: dict[str, Any] = {}
    for part in parts:
        if time.monotonic() > until:
            break
        found |= _one(view, dataset, part, first)
    return found


_LATE: dict[str, Any] = {"missing": "not computed in time; ask again"}
_WORDS = ("distinct", "min", "max")


def _measures(at: int, field: pa.Field, *, masked: bool) -> list[Measure]:
    """Names are numbers: a column may be called anything."""
    found = [Measure("count", field.name, f"{at}_count")]
    if pt.is_nested(field.type):
        return found
    found.append(Measure("count_distinct", field.name, f"{at}_distinct"))
    if not masked and not pt.is_binary(field.type) and not pt.is_large_binary(field.type):
        found += [Measure("min", field.name, f"{at}_min"), Measure("max", field.name, f"{at}_max")]
    return found


def _one(view: View, dataset: str, measures: list[Measure], first: int = 0) -> dict[str, Any]:
    reader = view.aggregate(dataset, measures=measures, first=first)
    found: list[dict[str, Any]] = records(reader.read_all())
    return found[0]


def _unit(said: Property | None) -> dict[str, str]:
    return {"unit": said.unit} if said and said.unit else {}


def _examples(said: Property | None, sample: pa.Table, at: int) -> list[Any]:
    """The contract's, else some of the rows' own; none of a column that is classified."""
    if said and said.examples:
        return [plain(value) for value in said.examples[:EXAMPLES]]
    if said and said.classification.lower() not in _OPEN:
        return []
    values = [value for value in listed(sample.column(at)) if value is not None]
    return [plain(value) for value in _distinct(values)[:EXAMPLES]]


def _distinct(values: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if value not in kept:
            kept.append(value)
    return kept


def plain(value: Any) -> Any:
    """A value as JSON can hold it; decimals and times as text, what is no number as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
