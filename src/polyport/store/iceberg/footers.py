"""What Iceberg tells of a data file, from the Parquet file's footer: sizes, counts and bounds by field id."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from polyport.store.columns import children, flat, iceberg_type, may_become, paths
from polyport.store.iceberg import bounds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from polyport.store.columns import Columns
    from polyport.store.iceberg.bounds import Value

_UNREAD = {"JSON", "BSON"}
"""Logical types whose order means nothing to Iceberg, which knows them as text."""
_MILLIS = 1000


@dataclass(frozen=True, slots=True)
class Footer:
    """A data file. Mappings are by field id; what is not known is left out."""

    path: Path
    rows: int
    size: int
    """Bytes."""
    splits: list[int]
    sizes: dict[int, int] = field(default_factory=dict)
    values: dict[int, int] = field(default_factory=dict)
    nulls: dict[int, int] = field(default_factory=dict)
    lower: dict[int, bytes] = field(default_factory=dict)
    upper: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A column of Parquet, which has no others in it."""

    number: int
    kind: str
    """Its Iceberg type."""
    bounded: bool
    scale: int
    """What a value is multiplied with to be as Iceberg has it."""


def read(path: Path, columns: Columns) -> Footer:
    """What the footer says of the file.

    Raises:
        ValueError: The file holds other columns than `columns`, or other types.
        OSError: It cannot be read.
    """
    with pq.ParquetFile(path) as file:
        told, leaves = file.metadata, tuple(_leaves(file, columns))
    groups = [told.row_group(number) for number in range(told.num_row_groups)]
    splits = sorted(_start(group.column(0)) for group in groups)
    footer = Footer(path, told.num_rows, path.stat().st_size, splits)
    for position, leaf in enumerate(leaves):
        _add(footer, leaf, [group.column(position) for group in groups])
    return footer


def _start(chunk: Any) -> int:
    pages: list[int] = [chunk.data_page_offset]
    if chunk.has_dictionary_page:
        pages.append(chunk.dictionary_page_offset)
    return min(pages)


def _leaves(file: pq.ParquetFile, columns: Columns) -> Iterator[_Leaf]:
    """The columns in the file's order."""
    held = file.schema_arrow
    _compare(held, columns.schema)
    kinds, numbers = dict(paths(columns.schema)), flat(columns.field_ids)
    names = [path for path, kind in paths(held) if not children(kind)]
    top = set(held.names)
    for position, name in enumerate(names):
        logical = file.schema.column(position).logical_type
        yield _Leaf(
            numbers[name],
            iceberg_type(kinds[name]),
            bounded=name in top and logical.type not in _UNREAD,
            scale=_MILLIS if json.loads(logical.to_json()).get("timeUnit") == "milliseconds" else 1,
        )


def _compare(held: pa.Schema, said: pa.Schema) -> None:
    found, wanted = dict(paths(held)), dict(paths(said))
    if odd := found.keys() ^ wanted.keys():
        name = min(odd)
        raise ValueError(f"column {name!r} is in the {'file' if name in found else 'schema'} only")
    for name, kind in found.items():
        if not may_become(kind, wanted[name]):
            raise ValueError(f"column {name!r} is {kind}, not {wanted[name]}")


def _add(footer: Footer, leaf: _Leaf, chunks: list[Any]) -> None:
    """A column, from its chunks."""
    number = leaf.number
    footer.sizes[number] = sum(chunk.total_compressed_size for chunk in chunks)
    footer.values[number] = sum(chunk.num_values for chunk in chunks)
    told = [chunk.statistics for chunk in chunks]
    if not all(s is not None and s.has_null_count for s in told):
        return
    footer.nulls[number] = sum(s.null_count for s in told)
    full = [s for s, c in zip(told, chunks, strict=True) if s.null_count < c.num_values]
    # A chunk with values and without bounds (DuckDB: where one is NaN, or a long text) may hold any value.
    if leaf.bounded and full and all(s.has_min_max for s in full):
        low = min(_value(leaf, s.min_raw) for s in full)
        high = max(_value(leaf, s.max_raw) for s in full)
        _put(footer.lower, number, bounds.lower(leaf.kind, low))
        _put(footer.upper, number, bounds.upper(leaf.kind, high))


def _value(leaf: _Leaf, raw: Value) -> Any:
    """What Iceberg orders by."""
    if not isinstance(raw, bytes):
        return raw * leaf.scale
    return int.from_bytes(raw, "big", signed=True) if leaf.kind.startswith("decimal") else raw


def _put(known: dict[int, bytes], number: int, bound: bytes | None) -> None:
    if bound is not None:
        known[number] = bound
