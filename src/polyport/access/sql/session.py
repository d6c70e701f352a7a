"""A session: names become secured relations, a walled worker runs the statement, and what leaves is metered."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol, Self

import pyarrow as pa

from polyport.access.sql import Answer, CancelledError, Described
from polyport.access.sql.told import SCHEMA, Teller, carried
from polyport.engine.walled.pool import Named, Universe, size
from polyport.engine.walled.protocol import Silent
from polyport.errors import AccessError, NotFoundError, PolyportError, QueryError, SizeError
from polyport.model import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from polyport.access.meter import Meter, Outcome
    from polyport.access.sql import Dialect
    from polyport.access.view import View
    from polyport.engine.walled.pool import Walls, Worker, Workers
    from polyport.model import Principal, Ref, Snapshot

ROUNDS = 4
"""How often a statement may turn out to name more than its worker sees."""


class Reach(Protocol):
    """What a session reaches: products, as one principal through one type of port."""

    def open(self, product: str, ref: Ref) -> View:
        """A view of the product.

        Raises:
            NotFoundError: There is no such product with such a port, or no such snapshot.
        """
        ...

    def newest(self, product: str, ref: Ref) -> str:
        """The content id of the snapshot that `ref` names now."""
        ...

    def asked(self, product: str) -> None:
        """Count a statement against the limits of the product.

        Raises:
            LimitError: There were too many.
        """
        ...

    def products(self) -> Sequence[str]:
        """The ids of all products with such a port."""
        ...

    def teller(self, product: str) -> Teller:
        """What is told of the product in the schema `polyport`."""
        ...


@dataclass(frozen=True, slots=True)
class _Table:
    """One table that a name means."""

    named: Named
    sources: tuple[tuple[View, str], ...]
    """The views and datasets that its rows come from; none for what the product tells of itself."""


@dataclass(slots=True)
class WalledSession:
    """A `Session`."""

    product: str
    principal: Principal
    reach: Reach
    workers: Workers
    walls: Walls
    catalog: str = "mesh"
    dialect: Dialect = "duckdb"
    ref: Ref = LATEST
    pinned: bool = False
    _views: dict[tuple[str, Ref], View] = field(default_factory=dict)
    _tables: dict[tuple[str, ...], _Table] = field(default_factory=dict)
    _running: set[Worker] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _cancelled: set[Worker] = field(default_factory=set)
    _fresh: bool = False

    def at(self, ref: Ref) -> Snapshot | None:
        """See `Session.at`."""
        before, self.ref = self.ref, ref
        try:
            self._forget()
            found = self.snapshot
        except PolyportError:
            self.ref = before
            raise
        return found

    @property
    def snapshot(self) -> Snapshot | None:
        """See `Session.snapshot`."""
        return self._view(self.product, self.ref).snapshot if self.product else None

    def begin(self) -> None:
        """See `Session.begin`."""
        self._renew()
        self.pinned = True
        for product in (self.product,) if self.product else self.reach.products():
            self._view(product, self._ref(product))

    def end(self) -> None:
        """See `Session.end`."""
        self.pinned = False

    def datasets(self) -> Mapping[str, Sequence[str]]:
        """See `Session.datasets`."""
        self._renew()
        found = {p: self._view(p, self._ref(p)).datasets for p in self.reach.products()}
        return {product: datasets for product, datasets in found.items() if datasets}

    def describe(self, sql: str, parameters: Sequence[str] = ()) -> Described:
        """See `Session.describe`."""
        self._renew()
        worker, said = self._asked({"what": "describe", "sql": sql, "types": list(parameters)})
        self._return(worker)
        schema = pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(said["schema"])))
        return Described(schema, tuple(said["types"]), tuple(said["parameters"]))

    def query(self, sql: str, values: Sequence[Any] = ()) -> Answer:
        """See `Session.query`."""
        self._renew()
        if self.product:
            self.reach.asked(self.product)
        views = list(self._views.values())
        most = min((v.rows_limit for v in views if v.rows_limit), default=0)
        request = {"what": "query", "sql": sql, "values": list(values), "most": most}
        worker, said = self._asked(request)
        try:
            tables = [t for t in self._tables.values() if t.named.digest in said["tables"]]
            meters = self._meters(tables, said)
            sources = list({id(v): v for t in tables for v, _ in t.sources}.values())
            reader = pa.ipc.open_stream(pa.PythonFile(worker.channel, mode="r"))
        except Silent as error:
            raise self._ended(worker, error) from None
        except BaseException:
            worker.kill()
            self._return(worker)
            raise
        batches = self._batches(worker, reader, sources, meters)
        return Answer(
            pa.RecordBatchReader.from_batches(reader.schema, batches), tuple(said["types"])
        )

    def cancel(self) -> None:
        """See `Session.cancel`."""
        with self._lock:
            for worker in self._running:
                self._cancelled.add(worker)
                worker.kill()

    def close(self) -> None:
        """See `Session.close`."""
        self.cancel()
        self.pinned = False
        self._forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _asked(self, request: dict[str, Any]) -> tuple[Worker, dict[str, Any]]:
        """A worker that has begun to answer, and what it said; the worker is to be returned."""
        for _ in range(ROUNDS):
            worker = self._borrowed()
            try:
                said = worker.ask(request)
            except Silent as error:
                raise self._ended(worker, error) from None
            except BaseException:
                worker.kill()
                self._return(worker)
                raise
            if "missing" not in said and "error" not in said:
                return worker, said
            self._return(worker)
            if "error" in said:
                raise _error(said["error"], self.walls, self.principal)
            for name in said["missing"]:
                self._resolve(tuple(name))
        raise QueryError("the statement names too much that is not there", fix="fewer names")

    def _borrowed(self) -> Worker:
        named: dict[str, Named] = {}
        for each in (t.named for t in self._tables.values()):
            known = named.get(each.digest, each)
            names = tuple(dict.fromkeys((*known.names, *each.names)))
            named[each.digest] = replace(each, names=names)
        universe = Universe(tuple(named.values()), self.catalog, self.dialect)
        worker = self.workers.lend(universe, self.walls)
        with self._lock:
            self._running.add(worker)
        return worker

    def _return(self, worker: Worker) -> None:
        with self._lock:
            self._running.discard(worker)
            self._cancelled.discard(worker)
        self.workers.give_back(worker)

    def _ended(self, worker: Worker, error: Silent) -> PolyportError:
        """Why a worker did not answer; it is ended and returned."""
        why = self._why(worker, error)
        worker.kill()
        self._return(worker)
        return why

    def _why(self, worker: Worker, error: Silent) -> PolyportError:
        if worker in self._cancelled:
            return CancelledError("the statement was cancelled")
        if error.late:
            return SizeError(
                f"the statement took longer than {self.walls.seconds:g} seconds",
                where="limits.sql.seconds",
                fix="ask for less: filter first, or read page by page",
            )
        return SizeError(
            "the statement's worker ended: it took more memory or nesting than a statement may",
            where="limits.sql.memory",
            fix="ask for less: filter first, or fewer levels",
        )

    def _batches(
        self,
        worker: Worker,
        reader: pa.RecordBatchReader,
        views: Sequence[View],
        meters: Sequence[Meter],
    ) -> Iterator[pa.RecordBatch]:
        outcome: Outcome = "failed"
        try:
            for batch in self._received(worker, reader):
                for view in views:
                    view.still()
                for meter in meters:
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
            for meter in meters:
                meter.finish(outcome)
            if outcome != "ok":  # it may still compute
                worker.kill()
            self._return(worker)

    def _received(self, worker: Worker, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """The batches, as long as there is room for them, and then how it ended."""
        room = _Room(self.walls)
        try:
            while (batch := _next(reader)) is not None:
                room.take(batch)
                yield batch
            end = worker.channel.answered()
        except Silent as error:
            raise self._why(worker, error) from None
        if "error" in end:
            raise _error(end["error"], self.walls, self.principal)

    def _meters(self, tables: Sequence[_Table], said: Mapping[str, Any]) -> list[Meter]:
        """One for each dataset that is read; the first of each product counts what leaves."""
        columns, products, made = set(said["columns"]), set(), []
        sources = {(id(view), name): (view, name) for t in tables for view, name in t.sources}
        for view, dataset in sources.values():
            names = view.schema(dataset).names
            used = names if said["star"] else [n for n in names if n.lower() in columns]
            view.still()
            meter = view.meter(dataset, tuple(used))
            if view.snapshot.product in products:
                meter.finish("ok")  # counted once
            else:
                products.add(view.snapshot.product)
                made.append(meter)
        return made

    def _renew(self) -> None:
        """Outside a transaction: see what is current, and stand on what holds now."""
        if self.pinned:
            return
        stale = not self._views or any(
            self._stale(view, product, ref) for (product, ref), view in self._views.items()
        )
        if stale:
            self._forget()
            if self.product:
                self._learn(self.product, self._view(self.product, self._ref(self.product)))

    def _stale(self, view: View, product: str, ref: Ref) -> bool:
        try:
            view.still()
        except AccessError:
            return True
        return (
            view.refusal is not None or self.reach.newest(product, ref) != view.snapshot.content_id
        )

    def _forget(self) -> None:
        for view in self._views.values():
            view.close()
        self._views.clear()
        self._tables.clear()

    def _ref(self, product: str) -> Ref:
        """Of another product only a time means the same."""
        return self.ref if product == self.product or _everywhere(self.ref) else LATEST

    def _view(self, product: str, ref: Ref) -> View:
        if (product, ref) not in self._views:
            self._views[product, ref] = self.reach.open(product, ref)
        return self._views[product, ref]

    def _learn(self, product: str, view: View) -> None:
        """What can be named without being asked for: all of the session's own product."""
        for dataset in view.datasets:
            self._tables[(dataset.lower(),)] = self._table(
                view, dataset, ((dataset,), ("public", dataset), (product, dataset))
            )

    def _resolve(self, written: tuple[str, ...]) -> None:
        """Add the table that `written` means.

        Raises:
            NotFoundError: There is none.
            AccessError: The principal may see nothing of it.
        """
        lowered = tuple(part.lower() for part in written)
        name = written[1:] if len(written) > 1 and lowered[0] == self.catalog.lower() else written
        schema, table = (name[0], name[-1]) if len(name) > 1 else ("", name[-1])
        if len(name) > 2:  # noqa: PLR2004 - schema and table
            raise NotFoundError(f"no table {'.'.join(written)!r}", fix="PRODUCT.DATASET")
        if schema.lower() == SCHEMA:
            self._tables[tuple(p.lower() for p in name)] = self._told(table)
            return
        dataset, _, ref = table.partition("@")
        product = self._product(schema, dataset, written)
        view = self._view(product, ref or self._ref(product))
        found = next((d for d in view.snapshot.datasets if d.lower() == dataset.lower()), dataset)
        self._tables[tuple(p.lower() for p in name)] = self._table(view, found, (name,))

    def _product(self, schema: str, dataset: str, written: tuple[str, ...]) -> str:
        """The product that a table's schema means; without one, the session's own, or the only one that has it."""
        known = self.reach.products()
        if schema and schema.lower() != "public":
            found = [p for p in known if p.lower() == schema.lower()]
            if found:
                return found[0]
            near = get_close_matches(schema, known, 1)
            raise NotFoundError(
                f"no product {schema!r} that can be asked here",
                where=".".join(written),
                fix=f"did you mean {near[0]!r}?" if near else f"products: {', '.join(known)}",
            )
        if self.product:
            return self.product
        having = [
            p
            for p in known
            if dataset.lower() in map(str.lower, self._view(p, self._ref(p)).datasets)
        ]
        if len(having) == 1:
            return having[0]
        several = " and ".join(f'"{p}"."{dataset}"' for p in having)
        raise NotFoundError(
            f"{dataset!r} is of several products" if having else f"no dataset {dataset!r}",
            where=".".join(written),
            fix=f"say which: {several}" if having else "SELECT * FROM polyport.datasets lists them",
        )

    def _table(self, view: View, dataset: str, names: tuple[tuple[str, ...], ...]) -> _Table:
        digest = (
            f"{view.snapshot.product}/{view.snapshot.content_id}/{dataset}/{view.sight(dataset)}"
        )
        return _Table(Named(digest, names, view.relation(dataset)), ((view, dataset),))

    def _told(self, table: str) -> _Table:
        """A table of the schema `polyport`."""
        if table.startswith("changes:"):
            return self._changes(table)
        products = (self.product,) if self.product else tuple(self.reach.products())
        rows = [self.reach.teller(p).table(table, self._view(p, self._ref(p))) for p in products]
        data = pa.concat_tables(rows)
        return _Table(carried(table, data), ())

    def _changes(self, table: str) -> _Table:
        """What turned a dataset of one snapshot into that of another."""
        _, dataset, before, *after = table.split(":")
        product = self._product("", dataset, (table,))
        old = self._view(product, before)
        new = self._view(product, after[0] if after else self._ref(product))
        digest = "/".join(
            (table, *(f"{v.snapshot.content_id}/{v.sight(dataset)}" for v in (old, new)))
        )
        relation = new.changed(old, dataset)
        return _Table(
            Named(f"{product}/{digest}", ((SCHEMA, table),), relation),
            ((new, dataset),),
        )


class _Room:
    """How much an answer may still hold."""

    def __init__(self, walls: Walls) -> None:
        self.walls, self.rows = walls, walls.rows or None
        self.bytes = size(walls.bytes) if walls.bytes else None

    def take(self, batch: pa.RecordBatch) -> None:
        """Make room for `batch`.

        Raises:
            SizeError: There is none.
        """
        for name, taken in (("rows", batch.num_rows), ("bytes", batch.nbytes)):
            left = getattr(self, name)
            if left is None:
                continue
            if taken > left:
                raise SizeError(
                    f"the answer has more than {getattr(self.walls, name):,} {name}"
                    if name == "rows"
                    else f"the answer is larger than {self.walls.bytes}",
                    where=f"limits.sql.{name}",
                    fix="ask for less: filter, or read page by page",
                )
            setattr(self, name, left - taken)


def _next(reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
    try:
        return reader.read_next_batch()
    except StopIteration:
        return None


def _everywhere(ref: Ref) -> bool:
    """Whether a ref means the same in every product: a time."""
    try:
        datetime.fromisoformat(ref)
    except ValueError:
        return False
    return True


def _error(said: Mapping[str, Any], walls: Walls, principal: Principal) -> PolyportError:
    """The error that a worker told."""
    kind, message = str(said.get("kind")), str(said.get("message"))
    if kind == "memory":
        return SizeError(
            f"the statement needs more memory than {walls.memory}",
            where="limits.sql.memory",
            fix="ask for less: filter first",
        )
    if kind == "rows":
        return SizeError(
            f"this read gives more rows than {principal.id} may read at once",
            fix="ask for fewer: filter, or read page by page",
        )
    return QueryError(
        message,
        fix=str(said.get("fix") or ""),
        line=int(said.get("line") or 0),
        column=int(said.get("column") or 0),
    )
