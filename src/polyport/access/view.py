"""`View`: one principal's sight of one snapshot through one port, for one purpose."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol, Self

import pyarrow as pa

from polyport.access import fit, statements
from polyport.access.meter import Meter, Outcome
from polyport.access.statements import Measure, Order
from polyport.errors import AccessError, NotFoundError, QueryError, SizeError
from polyport.expression import And, quote
from polyport.expression import columns as named_columns
from polyport.model import LATEST, Files, Query, Relation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from polyport.access.failing import Aside
    from polyport.access.mapping import Mapped
    from polyport.access.policy import Policy
    from polyport.access.results import Results
    from polyport.engine import Engine
    from polyport.engine.keyed import KeyedIndex
    from polyport.expression import Expression
    from polyport.model import Dataset, Principal, Read, Ref, Snapshot


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
class View:
    """What a port reads by. It pins a snapshot, secures each read by the policy, and meters it.

    Use it in `with`, or `close()` it: the snapshot is held until then. Not for use by several threads at once.
    """

    snapshot: Snapshot
    principal: Principal
    port: str
    purpose: str
    policy: Policy
    engine: Engine
    files: Callable[[Snapshot, str], Sequence[str]]
    """Where the rows of a dataset lie; see `Store.files`."""
    record: Callable[[Read], None]
    release: Callable[[], None] = lambda: None
    """Called once, when the view is closed: lets go of the snapshot."""
    keyed: Callable[[Snapshot, str], KeyedIndex | None] = lambda *_: None
    """Gives the keyed read path of a dataset, where there is one."""
    results: Results | None = None
    """Where aggregates are kept; None: each is computed anew."""
    mapping: Mapped | Aside | None = None
    """For an older major of a port: its datasets over the published ones. Without `keyed`: that path is not mapped."""
    refusal: AccessError | None = None
    """Why the principal was not let in; raised by each read, which is recorded as denied."""
    still: Callable[[], None] = lambda: None
    """Raises AccessError where what let the principal in no longer holds; asked before each read and each batch."""
    rows_limit: int = 0
    """How many rows one read may give; 0: any number."""
    _secured: dict[str, tuple[Relation, Mapping[str, str]]] = field(default_factory=dict)
    _schemas: dict[str, pa.Schema] = field(default_factory=dict)
    _meters: list[Meter] = field(default_factory=list)
    _closed: bool = False
    _published: Snapshot = field(init=False)
    """The snapshot with its own datasets."""

    def __post_init__(self) -> None:
        self._published = self.snapshot
        if self.mapping is not None:
            self.snapshot = self.mapping.shown(self.snapshot)

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
            release=lambda: None,
            _secured={},
            _schemas={},
        )

    @property
    def policy_class(self) -> str:
        """A digest: two principals with the same one see the same rows (for ETags and caches)."""
        older = [self.mapping.digest] if self.mapping else []
        return statements.digest([*map(self._class, self.snapshot.datasets.values()), *older])

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets that the principal may see anything of, in the snapshot's order."""
        return tuple(d.name for d in self.snapshot.datasets.values() if self._class(d) != "-")

    def _class(self, dataset: Dataset) -> str:
        """What the principal sees of `dataset`, as a digest; `-` where that is nothing."""
        if self.refusal is not None:
            return "-"
        found = self._real(dataset.name)
        seen = self.policy.policy_class(found, self.principal, self.purpose)
        if self.mapping is None or seen == "-":
            return seen
        grants = self.policy.grants(found, self.principal, self.purpose)
        real = self.mapping.real(dataset.name, found, dataset.schema.names)
        shown = any(grant.shows(column) for grant in grants for column in real)
        return f"{seen}-{self.mapping.digest}-{dataset.name}" if shown else "-"

    def _real(self, name: str) -> Dataset:
        """The published dataset behind `name`."""
        if self.mapping is None:
            return self.dataset(name)
        self.dataset(name)
        return self.mapping.source(self._published, name)

    def dataset(self, name: str) -> Dataset:
        """The dataset as published.

        Raises:
            NotFoundError: The snapshot has no such dataset.
        """
        if name not in self.snapshot.datasets:
            near = get_close_matches(name, self.datasets, 1)
            raise NotFoundError(
                f"no dataset {name!r} in snapshot {self.snapshot.sequence} of {self.snapshot.product}",
                fix=f"did you mean {near[0]!r}?"
                if near
                else f"datasets: {', '.join(self.datasets)}",
            )
        return self.snapshot.datasets[name]

    def schema(self, dataset: str) -> pa.Schema:
        """The columns as the principal sees them (masking may change a type).

        Raises:
            NotFoundError: The snapshot has no such dataset.
            AccessError: The principal may see nothing of it; says why.
        """
        if dataset not in self._schemas:
            relation, _ = self._secure(dataset)
            whole = self.snapshot.datasets[dataset].schema
            self._schemas[dataset] = (
                self.engine.schema(f"SELECT * FROM {quote(dataset)}", {dataset: relation})
                if relation.columns
                else whole
            )
        return self._schemas[dataset]

    def masked(self, dataset: str) -> Mapping[str, str]:
        """Column -> how it is masked, in words, for those that are."""
        return self._secure(dataset)[1]

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
        shown = tuple(columns) or tuple(self.schema(dataset).names)
        self.still()
        self._known(dataset, (*shown, *_used(where), *(o.column for o in order)))
        fit.check(where, self.schema(dataset), dataset)
        most = self._most(limit, spare)
        found = None if most else self._keyed(dataset, shown, where, order, limit, after)
        if found is not None:
            return found
        sql, params = statements.scan(
            dataset,
            shown,
            where=where,
            order=order,
            limit=limit,
            after=after,
            taken=self._params(dataset),
        )
        return self._run(dataset, shown, (sql, params), most)

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
        measured = [m.column for m in measures if m.column]
        self._known(dataset, (*group, *measured, *_used(where)))
        seen = self.schema(dataset)
        fit.check(where, seen, dataset)
        fit.check(having, pa.schema([seen.field(name) for name in group]), dataset)
        made = (*group, *(m.label for m in measures))
        _check_names((*_used(having), *(o.column for o in order)), made, dataset)
        used = {*_used(where), *_used(having)}
        wanted = [name for name in group if name not in used]
        coded = statements.coded(self._secure(dataset)[0], seen, wanted, measures)
        sql, params = statements.aggregate(
            dataset,
            tuple(group),
            tuple(measures),
            where=where,
            having=having,
            order=order,
            limit=limit,
            first=first,
            taken=self._params(dataset),
            coded=coded,
        )
        read = tuple(dict.fromkeys((*group, *measured)))
        most = self._most(limit, spare)
        if self.results is None:
            return self._run(dataset, read, (sql, params), most, coded)
        self.still()
        sight = self._class(self.dataset(dataset))
        key = (self.snapshot.content_id, dataset, sight, sql, tuple(params.items()))
        kept = self.results.get(key)
        if kept is None:
            return self.results.keep(key, self._run(dataset, read, (sql, params), most, coded))
        if most and kept.num_rows > most:
            raise self._too_many(dataset)
        meter = self.meter(dataset, read)
        meter.rows, meter.bytes = kept.num_rows, kept.nbytes
        meter.finish("ok")
        return kept.to_reader()

    def changes(self, before: View, dataset: str) -> pa.RecordBatchReader:
        """What turns `before` (same product and principal) into this: `_change`, `before`, `after`, in key order.

        `_change`: `added`, `removed`, or `changed` (only with a key); the two others are the row as a struct, or null.

        Raises:
            NotFoundError, AccessError: As `schema`, for either view.
        """
        old, new = before.schema(dataset), self.schema(dataset)
        key = self._common_key(before, dataset)
        sql = statements.changes(key, tuple(old.names), tuple(new.names))
        return self._compare(before, dataset, sql)

    def count_changes(self, before: View, dataset: str) -> dict[str, int]:
        """How many rows were added, removed and changed since `before`.

        Raises:
            NotFoundError, AccessError: As `schema`, for either view.
        """
        old, new = before.schema(dataset), self.schema(dataset)
        key = self._common_key(before, dataset)
        reader = self._compare(
            before, dataset, statements.count_changes(key, tuple(old.names), tuple(new.names))
        )
        return {row["_change"]: row["n"] for row in reader.read_all().to_pylist()}

    def select(
        self,
        dataset: str,
        statement: tuple[str, Mapping[str, Any]],
        *,
        columns: Sequence[str],
        limit: int | None = None,
    ) -> pa.RecordBatchReader:
        """Rows of a SELECT of the product's own, never of a consumer's, over what is seen of a dataset, by its name.

        Metered as a read of `columns` of `dataset`. `limit`: the most rows that it can give.

        Raises:
            NotFoundError, AccessError, SizeError: As `scan`.
            QueryError: It names a column that is not seen.
        """
        relations = {dataset: self._secure(dataset)[0]}
        return self._metered(dataset, tuple(columns), statement, relations, self._most(limit, 0))

    def whole(self, dataset: str) -> bool:
        """Whether the principal sees all rows of the dataset.

        Raises:
            NotFoundError, AccessError: As `schema`.
        """
        return not self._secure(dataset)[0].where

    def touch(self, dataset: str, *, columns: Sequence[str], rows: int, size: int) -> None:
        """Record a read of bytes that this view's policy class rendered before (a cached export).

        Raises:
            NotFoundError, AccessError, SizeError: As `scan`.
        """
        self._secure(dataset)
        self.still()
        if self.rows_limit and rows > self.rows_limit:
            raise self._too_many(dataset)
        meter = self.meter(dataset, tuple(columns))
        meter.rows, meter.bytes = rows, size
        meter.finish("ok")

    def sight(self, dataset: str) -> str:
        """A digest of what the principal sees of `dataset`; `-` where that is nothing."""
        return self._class(self.dataset(dataset))

    def relation(self, dataset: str) -> Relation:
        """The secured relation, for the engine behind `polyport.access.sql`; a port has no use for it.

        Raises:
            NotFoundError, AccessError: As `schema`.
        """
        return self._secure(dataset)[0]

    def changed(self, before: View, dataset: str) -> Relation:
        """As `relation`, of what `changes` gives.

        Raises:
            NotFoundError, AccessError: As `schema`, for either view.
        """
        old, new = before.schema(dataset), self.schema(dataset)
        sql = statements.changes(
            self._common_key(before, dataset), tuple(old.names), tuple(new.names)
        )
        theirs = statements.renamed(before.relation(dataset), "b")
        return Relation(Query(sql, {"_after": self.relation(dataset), "_before": theirs}))

    def _secure(self, dataset: str) -> tuple[Relation, Mapping[str, str]]:
        if dataset not in self._secured:
            found = self._real(dataset)
            files = Files(tuple(self.files(self._published, found.name)), schema=found.schema)
            try:
                if self.refusal is not None:
                    raise self.refusal
                secured = self.policy.secure(found, files, self.principal, self.purpose)
                if self.mapping is not None:
                    secured = self.mapping.relation(dataset, found, *secured)
                self._secured[dataset] = secured
            except AccessError:
                self.meter(dataset, ()).finish("denied")
                raise
        return self._secured[dataset]

    def _params(self, dataset: str) -> Mapping[str, Any]:
        return self._secure(dataset)[0].params

    def _known(self, dataset: str, names: Sequence[str]) -> None:
        _check_names(names, self.schema(dataset).names, dataset)

    def meter(self, dataset: str, columns: tuple[str, ...]) -> Meter:
        """What counts one read of `dataset`, and records it once."""
        found = self._real(dataset)
        if self.mapping is not None:
            columns = self.mapping.real(dataset, found, columns)
        read = {
            "product": self.snapshot.product,
            "port": self.port,
            "principal": self.principal.id,
            "purpose": self.purpose,
            "snapshot": self.snapshot.id,
            "dataset": found.name,
            "columns": columns,
        }
        meter = Meter(self.record, read)
        self._meters.append(meter)
        return meter

    def _keyed(
        self,
        dataset: str,
        columns: tuple[str, ...],
        where: Expression | None,
        order: Sequence[Order],
        limit: int | None,
        after: Sequence[Any] | None,
    ) -> pa.RecordBatchReader | None:
        """The same rows by the keyed read path; None where it has to be the engine."""
        if self.mapping is not None or limit is None or limit > SMALL:
            return None
        index = self.keyed(self.snapshot, dataset)
        if index is None:
            return None
        rows = self.policy.plain_rows(self.snapshot.datasets[dataset], self.principal, self.purpose)
        if rows is None:
            return None
        terms = tuple(term for term in (rows[0], where) if term is not None)
        meter = self.meter(dataset, columns)
        batch = index.scan(
            columns, where=And(terms) if terms else None, order=order, limit=limit or 0, after=after
        )
        if batch is None:
            self._meters.remove(meter)
            return None
        meter.count(batch)
        meter.finish("ok")
        return pa.RecordBatchReader.from_batches(batch.schema, [batch])

    def _run(
        self,
        dataset: str,
        columns: tuple[str, ...],
        statement: tuple[str, Mapping[str, Any]],
        most: int,
        coded: tuple[str, ...] = (),
    ) -> pa.RecordBatchReader:
        relations = {dataset: replace(self._secure(dataset)[0], coded=coded)}
        return self._metered(dataset, columns, statement, relations, most)

    def _most(self, limit: int | None, spare: int) -> int:
        """How many rows the engine may give; 0 where what is asked cannot be too many."""
        most = self.rows_limit + spare if self.rows_limit else 0
        return 0 if limit is not None and limit <= most else most

    def _too_many(self, dataset: str) -> SizeError:
        self.meter(dataset, ()).finish("denied")
        return SizeError(
            f"this read gives more rows than the {self.rows_limit:,} that {self.principal.id} may read at once",
            where=dataset,
            fix="ask for fewer: filter, or read page by page",
        )

    def _common_key(self, before: View, dataset: str) -> tuple[str, ...]:
        """The key, if it is seen as it is on both sides: a masked one may have one value in all rows."""
        plain = [set(v.schema(dataset).names) - set(v.masked(dataset)) for v in (self, before)]
        key = self.dataset(dataset).key
        return key if all(set(key) <= seen for seen in plain) else ()

    def _compare(self, before: View, dataset: str, sql: str) -> pa.RecordBatchReader:
        mine, _ = self._secure(dataset)
        theirs, _ = before._secure(dataset)
        relations = {"_after": mine, "_before": statements.renamed(theirs, "b")}
        columns = tuple(self.schema(dataset).names)
        return self._metered(dataset, columns, (sql, {}), relations, self.rows_limit)

    def _metered(
        self,
        dataset: str,
        columns: tuple[str, ...],
        statement: tuple[str, Mapping[str, Any]],
        relations: Mapping[str, Relation],
        most: int,
    ) -> pa.RecordBatchReader:
        self.still()
        sql, params = statement
        if most:  # counted first, for nothing may leave of a read that is too large
            counted = self.engine.query(statements.more_than(sql, most), relations, params)
            if counted.read_all().num_rows:
                raise self._too_many(dataset)
        meter = self.meter(dataset, columns)
        try:
            reader = self.engine.query(sql, relations, params)
        except BaseException:
            meter.finish("failed")
            raise
        return pa.RecordBatchReader.from_batches(reader.schema, _counted(reader, meter, self.still))


def _counted(
    reader: pa.RecordBatchReader, meter: Meter, still: Callable[[], None]
) -> Iterator[pa.RecordBatch]:
    outcome: Outcome = "failed"
    try:
        for batch in reader:
            still()
            meter.count(batch)
            yield batch
        outcome = "ok"
    except AccessError:
        outcome = "denied"
        raise
    except GeneratorExit:
        outcome = "cut"
        raise
    finally:
        reader.close()
        meter.finish(outcome)


def _used(where: Expression | None) -> tuple[str, ...]:
    return named_columns(where) if where is not None else ()


def _check_names(names: Sequence[str], known: Sequence[str], dataset: str) -> None:
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise QueryError(
                f"no column {name!r} in {dataset!r}",
                where=dataset,
                fix=f"did you mean {near[0]!r}?" if near else f"columns: {', '.join(known)}",
            )


__all__ = ["Measure", "Open", "Order", "View"]
