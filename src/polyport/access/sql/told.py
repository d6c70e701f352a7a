"""What a product tells of itself in SQL: the tables of the schema `polyport`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport.access.reports import sight_through
from polyport.engine.walled.universe import Named
from polyport.errors import NotFoundError
from polyport.model import Relation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from polyport.access.view import View
    from polyport.descriptor.types import DataProduct, SchemaObject
    from polyport.model import QualityReport, Snapshot

SCHEMA = "polyport"
_TIME = pa.timestamp("us", "UTC")
TABLES: dict[str, pa.Schema] = {
    "snapshots": pa.schema(
        {
            "product": pa.string(),
            "sequence": pa.int64(),
            "id": pa.string(),
            "parent": pa.string(),
            "committed_at": _TIME,
            "version": pa.string(),
        }
    ),
    "datasets": pa.schema(
        {
            "product": pa.string(),
            "dataset": pa.string(),
            "title": pa.string(),
            "description": pa.string(),
            "key": pa.list_(pa.string()),
            "snapshot": pa.int64(),
        }
    ),
    "columns": pa.schema(
        {
            "product": pa.string(),
            "dataset": pa.string(),
            "position": pa.int32(),
            "column_name": pa.string(),
            "logical_type": pa.string(),
            "description": pa.string(),
            "masked": pa.string(),
        }
    ),
    "quality": pa.schema(
        {
            "product": pa.string(),
            "snapshot": pa.string(),
            "at": _TIME,
            "dataset": pa.string(),
            "column_name": pa.string(),
            "rule": pa.string(),
            "sentence": pa.string(),
            "dimension": pa.string(),
            "severity": pa.string(),
            "status": pa.string(),
            "expected": pa.string(),
            "rows_checked": pa.int64(),
            "rows_failing": pa.int64(),
            "rows_refused": pa.int64(),
        }
    ),
}
"""Table -> its columns. Besides them: `polyport.changes('films', 41, 42)`."""


@dataclass(frozen=True, slots=True)
class Teller:
    """What is told of one product, to those who may see something of it."""

    spec: DataProduct
    snapshots: Callable[[], Sequence[Snapshot]]
    report: Callable[[str], QualityReport | None]
    """The quality report that let a snapshot (its id) through."""
    promised: Mapping[str, SchemaObject]
    """The datasets of the port, as they are promised."""

    def table(self, name: str, view: View) -> pa.Table:
        """The rows of `name`, one of `TABLES`, as `view` may know them.

        Raises:
            NotFoundError: There is no such table.
        """
        if name.lower() not in TABLES:
            raise NotFoundError(
                f"no table {SCHEMA}.{name}",
                fix=f"{SCHEMA}.{{{', '.join(TABLES)}}}, or {SCHEMA}.changes('DATASET', 41, 42)",
            )
        rows = getattr(self, f"_{name.lower()}")(view) if view.datasets else ()
        return pa.Table.from_pylist(list(rows), schema=TABLES[name.lower()])

    def _snapshots(self, view: View) -> Iterable[dict[str, Any]]:
        for each in self.snapshots():
            yield {
                "product": view.snapshot.product,
                "sequence": each.sequence,
                "id": each.id,
                "parent": each.parent,
                "committed_at": each.committed_at,
                "version": each.version,
            }

    def _datasets(self, view: View) -> Iterable[dict[str, Any]]:
        for name in view.datasets:
            promised = self.promised.get(name)
            shown = set(view.schema(name).names)
            key = view.dataset(name).key
            yield {
                "product": view.snapshot.product,
                "dataset": name,
                "title": promised.business_name if promised else "",
                "description": promised.description if promised else "",
                "key": list(key) if set(key) <= shown else [],
                "snapshot": view.snapshot.sequence,
            }

    def _columns(self, view: View) -> Iterable[dict[str, Any]]:
        for name in view.datasets:
            promised = self.promised.get(name)
            known = {p.name: p for p in promised.properties} if promised else {}
            masked = view.masked(name)
            for position, column in enumerate(view.schema(name).names, 1):
                found = known.get(column)
                yield {
                    "product": view.snapshot.product,
                    "dataset": name,
                    "position": position,
                    "column_name": column,
                    "logical_type": found.logical_type if found else "",
                    "description": found.description if found else "",
                    "masked": masked.get(column, ""),
                }

    def _quality(self, view: View) -> Iterable[dict[str, Any]]:
        report = self.report(view.snapshot.id)
        sight = sight_through(self.spec, view.principal, view)
        for each in sight.of(report).results if report else ():
            yield {
                "product": view.snapshot.product,
                "snapshot": view.snapshot.id,
                "at": report.at if report else None,
                "dataset": each.dataset,
                "column_name": each.column,
                "rule": each.rule,
                "sentence": each.sentence,
                "dimension": each.dimension,
                "severity": each.severity,
                "status": each.status,
                "expected": each.expected,
                "rows_checked": each.rows_checked,
                "rows_failing": each.rows_failing,
                "rows_refused": each.rows_refused,
            }


def carried(name: str, table: pa.Table) -> Named:
    """A table of the schema that a worker is given with its rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    digest = hashlib.sha256(sink.getvalue()).hexdigest()
    return Named(f"{SCHEMA}/{name}/{digest}", ((SCHEMA, name.lower()),), Relation(table))
