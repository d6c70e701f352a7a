"""Values as Python has them, where it has them: its dates end with the years 1 and 9999, Arrow's do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.types as pt

from polyport.ports.formats.text import text

if TYPE_CHECKING:
    from collections.abc import Iterable


def listed(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """The values of `column`; as text (ISO 8601) where one of them is a date or time that Python cannot hold."""
    found: list[Any]
    try:
        found = column.to_pylist()
    except (OverflowError, ValueError):
        if not (pt.is_date(column.type) or pt.is_timestamp(column.type)):
            raise
        chunks: Iterable[pa.Array] = (
            column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        )
        found = [value for chunk in chunks for value in text(chunk).to_pylist()]
    return found


def records(rows: pa.RecordBatch | pa.Table) -> list[dict[str, Any]]:
    """The rows, with values as `listed` has them."""
    columns = [listed(column) for column in rows.columns]
    names = rows.schema.names
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
