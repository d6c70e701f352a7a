"""`View`: one principal's sight of one snapshot through one port, for one purpose, and what may be asked of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

import pyarrow as pa

from polyport.access import changes, fit
from polyport.access.secured import Secured
from polyport.access.statements import Aggregate, Measure, Order, Scan
from polyport.expression import And
from polyport.model import LATEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from polyport.access.mapping import Mapped
    from polyport.access.results import Results
    from polyport.access.statements import Statement
    from polyport.engine.keyed import KeyedIndex
    from polyport.expression import Expression
    from polyport.model import Principal, Query, Ref, Snapshot

SMALL = 1_001
"""Rows: a page and one more. Longer reads are the engine's."""


class Open(Protocol):
    """All that an output port is given to read by."""

    def __call__(self, principal: Principal, ref: Ref = LATEST, *, purpose: str = "") -> View:
        """A view of the snapshot `ref` for `principal`; close it, or use it in `with`.

        Raises:
            NotFoundError: No such snapshot.
        """
        ...

    def snapshots(self) -> Sequence[Snapshot]:
        """All kept snapshots, oldest first."""
        ...


@dataclass(slots=True)
class View(Secured):
    """What a port reads by. It pins a snapshot, secures each read by the policy, and meters it.

    Use it in `with`, or `close()` it: the snapshot is held until then. Not for use by several threads at once.
    """

    release: Callable[[], None] = lambda: None
    """Called once, when the view is closed: lets go of the snapshot."""
    keyed: Callable[[Snapshot, str], KeyedIndex | None] = lambda *_: None
    """Gives the keyed read path of a dataset, where there is one."""
    results: Results | None = None
    """Where aggregates are kept; None: each is computed anew."""
    _closed: bool = field(default=False, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the snapshot; readers that were not read to the end count as cut."""
        if self._closed:
            return
        self._closed = True
        try:
            for meter in self._meters:
                meter.finish("cut")
        finally:
            self.release()

    def older(self, mapping: Mapped) -> View:
        """The same sight of the same snapshot, as the older major with this `mapping` shows it; ends with this one."""
        return replace(
            self,
            snapshot=self._published,
            mapping=mapping,
            keyed=lambda *_: None,
            release=lambda: None,
            _secured={},
            _schemas={},
        )

    def scan(  # noqa: PLR0913 - what a read can be asked, as in the design
        self,
        dataset: str,
        *,
        columns: Sequence[str] = (),
        where: Expression | None = None,
        order: Sequence[Order] = (),
        limit: int | None = None,
        after: Sequence[Any] | None = None,
        spare: int = 0,
    ) -> pa.RecordBatchReader:
        """Rows, `columns` (default: all visible) in the order asked. Streams; metered as it is read.

        `order` may name columns that are not shown. `after`: the values of the `order` columns of the last row
        already seen: only rows that come after it (keyset paging; the order should end in the key to be total).
        `spare`: how many of `limit` are read to tell how the rows go on, and are not given.

        Raises:
            NotFoundError, AccessError: As `schema`.
            QueryError: An unknown column, or a value that does not fit its column.
            SizeError: More rows than one read may give.
        """
        seen = self.schema(dataset)
        asked = Scan(dataset, tuple(columns) or tuple(seen.names), where, order, limit, after)
        fit.check_names(asked.names, seen.names, dataset)
        fit.check_values(where, seen, dataset)
        most = self._most(limit, spare)
        found = None if most else self._keyed(asked)
        if found is not None:
            return found
        statement = asked.statement(self.relation(dataset).params)
        return self._read(dataset, asked.columns, statement, most=most)

    def aggregate(  # noqa: PLR0913 - what a read can be asked, as in the design
        self,
        dataset: str,
        *,
        group: Sequence[str] = (),
        measures: Sequence[Measure] = (),
        where: Expression | None = None,
        having: Expression | None = None,
        order: Sequence[Order] = (),
        limit: int | None = None,
        spare: int = 0,
        first: int = 0,
    ) -> pa.RecordBatchReader:
        """One row a group: its `group` columns, then the measures. `having` and `order` name either.

        `first`: only so many rows count, whichever come first; 0: all.

        Raises:
            NotFoundError, AccessError, QueryError, SizeError: As `scan`.
        """
        seen = self.schema(dataset)
        asked = Aggregate(
            dataset, tuple(group), tuple(measures), where, having, order, limit, first
        )
        fit.check_names(asked.names, seen.names, dataset)
        fit.check_values(where, seen, dataset)
        fit.check_names(asked.made_names, asked.labels, dataset)
        fit.check_values(having, pa.schema([seen.field(name) for name in group]), dataset)
        relation = self.relation(dataset)
        relation = replace(relation, coded=asked.coded(relation, seen))
        statement = asked.statement(relation.params, relation.coded)
        most = self._most(limit, spare)

        def computed() -> pa.RecordBatchReader:
            named = {dataset: relation}
            return self._read(dataset, asked.columns, statement, most=most, relations=named)

        if self.results is None:
            return computed()
        sql, params = statement
        key = (self.snapshot.content_id, dataset, self.sight(dataset), sql, tuple(params.items()))
        kept = self.results.get(key)
        if kept is None:
            return self.results.keep(key, computed())
        self._give(dataset, asked.columns, kept.num_rows, kept.nbytes, most)
        return kept.to_reader()

    def changes(self, before: View, dataset: str) -> pa.RecordBatchReader:
        """What turns `before` (same product and principal) into this: `_change`, `before`, `after`, in key order.

        `_change`: `added`, `removed`, or `changed` (only with a key); the two others are the row as a struct, or null.

        Raises:
            NotFoundError, AccessError: As `schema`, for either view.
        """
        return self._compared(dataset, changes.rows(before, self, dataset))

    def count_changes(self, before: View, dataset: str) -> dict[str, int]:
        """How many rows were added, removed and changed since `before`.

        Raises:
            NotFoundError, AccessError: As `schema`, for either view.
        """
        reader = self._compared(dataset, changes.counts(before, self, dataset))
        return {row["_change"]: row["n"] for row in reader.read_all().to_pylist()}

    def select(
        self, dataset: str, statement: Statement, *, columns: Sequence[str], limit: int
    ) -> pa.RecordBatchReader:
        """Rows of a SELECT of the product's own, never of a consumer's, over what is seen of a dataset, by its name.

        Metered as a read of `columns` of `dataset`. `limit`: the most rows that it can give.

        Raises:
            NotFoundError, AccessError, SizeError: As `scan`.
            QueryError: It names a column that is not seen.
        """
        return self._read(dataset, columns, statement, most=self._most(limit, 0))

    def whole(self, dataset: str) -> bool:
        """Whether the principal sees all rows of the dataset.

        Raises:
            NotFoundError, AccessError: As `schema`.
        """
        return not self.relation(dataset).where

    def touch(self, dataset: str, *, columns: Sequence[str], rows: int, size: int) -> None:
        """Record a read of bytes that this view's policy class rendered before (a cached export).

        Raises:
            NotFoundError, AccessError, SizeError: As `scan`.
        """
        self._give(dataset, columns, rows, size, self.rows_limit)

    def _give(self, dataset: str, columns: Sequence[str], rows: int, size: int, most: int) -> None:
        """Record a read of rows that are there already, if they may be given still."""
        self.relation(dataset)
        self.still()
        if most and rows > most:
            raise self._too_many(dataset)
        meter = self.meter(dataset, columns)
        meter.rows, meter.bytes = rows, size
        meter.finish("ok")

    def _most(self, limit: int | None, spare: int) -> int:
        """How many rows the engine may give; 0 where what is asked cannot be too many."""
        most = self.rows_limit + spare if self.rows_limit else 0
        return 0 if limit is not None and limit <= most else most

    def _keyed(self, asked: Scan) -> pa.RecordBatchReader | None:
        """The same rows by the keyed read path; None where it has to be the engine."""
        if asked.limit is None or asked.limit > SMALL:
            return None
        index = self.keyed(self.snapshot, asked.dataset)
        if index is None:
            return None
        source = self.dataset(asked.dataset)
        rows = self.policy.plain_rows(source, self.principal, self.purpose)
        if rows is None:
            return None
        self.still()
        started = time.perf_counter()
        terms = tuple(term for term in (rows[0], asked.where) if term is not None)
        batch = index.scan(
            asked.columns,
            where=And(terms) if terms else None,
            order=asked.order,
            limit=asked.limit,
            after=asked.after,
        )
        if batch is None:
            return None
        meter = self.meter(asked.dataset, asked.columns)
        meter.started = started
        meter.count(batch)
        meter.finish("ok")
        return pa.RecordBatchReader.from_batches(batch.schema, [batch])

    def _compared(self, dataset: str, asked: Query) -> pa.RecordBatchReader:
        columns = self.schema(dataset).names
        named: Mapping[str, Any] = asked.relations
        return self._read(dataset, columns, (asked.sql, {}), most=self.rows_limit, relations=named)


__all__ = ["Measure", "Open", "Order", "View"]
