"""What the columns hold, counted over the asker's own View: its row filters and masks hold here, too."""

from __future__ import annotations

import math
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pyarrow.types as pt

from polyport.access import Measure

if TYPE_CHECKING:
    import pyarrow as pa

    from polyport.access import View
    from polyport.descriptor.types import Property
    from polyport.ports.information.metadata.sight import Sight

LARGE = 5_000_000
"""Rows beyond which distinct values are not counted: that takes memory, the rest does not."""
EXAMPLES = 3
_SAMPLE = 20
_OPEN = ("", "public", "internal")


def statistics(sight: Sight) -> dict[str, Any]:
    """Dataset -> rows, and for each column fill, distinct values, least, greatest, unit and examples."""
    if sight.view is None:
        return {}
    return {name: _dataset(sight, sight.view, name) for name in sight.datasets}


def _dataset(sight: Sight, view: View, dataset: str) -> dict[str, Any]:
    """One aggregate counts the rows, one all the rest; both are kept with the snapshot and the policy class."""
    schema, masked = view.schema(dataset), view.masked(dataset)
    rows = _one(view, dataset, [Measure("count", name="rows")])["rows"]
    measures = [
        measure
        for at, field in enumerate(schema)
        for measure in _measures(at, field, masked=field.name in masked, many=rows > LARGE)
    ]
    found = _one(view, dataset, measures)
    sample = view.scan(dataset, limit=_SAMPLE).read_all()
    columns = {}
    for at, (name, kind, said, how) in enumerate(sight.columns(dataset)):
        filled = found[f"{at}_count"]
        counted = {
            "type": kind,
            "filled": filled,
            "fill": round(filled / rows, 6) if rows else None,
            **{word: plain(found[f"{at}_{word}"]) for word in _WORDS if f"{at}_{word}" in found},
        }
        more = {"masked": how} if how else {**_unit(said), "examples": _examples(said, sample, at)}
        columns[name] = {**counted, **more}
    return {"rows": rows, "columns": columns}


_WORDS = ("distinct", "min", "max")


def _measures(at: int, field: pa.Field, *, masked: bool, many: bool) -> list[Measure]:
    """Names are numbers: a column may be called anything."""
    found = [Measure("count", field.name, f"{at}_count")]
    if pt.is_nested(field.type):
        return found
    if not many:
        found.append(Measure("count_distinct", field.name, f"{at}_distinct"))
    if not masked and not pt.is_binary(field.type) and not pt.is_large_binary(field.type):
        found += [Measure("min", field.name, f"{at}_min"), Measure("max", field.name, f"{at}_max")]
    return found


def _one(view: View, dataset: str, measures: list[Measure]) -> dict[str, Any]:
    found: list[dict[str, Any]] = view.aggregate(dataset, measures=measures).read_all().to_pylist()
    return found[0]


def _unit(said: Property | None) -> dict[str, str]:
    return {"unit": said.unit} if said and said.unit else {}


def _examples(said: Property | None, sample: pa.Table, at: int) -> list[Any]:
    """The contract's, else some of the rows' own; none of a column that is classified."""
    if said and said.examples:
        return [plain(value) for value in said.examples[:EXAMPLES]]
    if said and said.classification.lower() not in _OPEN:
        return []
    values = [value for value in sample.column(at).to_pylist() if value is not None]
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
