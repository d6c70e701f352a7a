"""A session: names become secured relations, a walled worker runs the statement, and what leaves is metered."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from polyport.access.sql import Answer, CancelledError, Described
from polyport.access.sql.answers import Room, error_of, missing, well_formed
from polyport.engine.walled.pool import Named, Universe
from polyport.engine.walled.protocol import Silent
from polyport.engine.walled.stream import begun, following, schema
from polyport.errors import AccessError, PolyportError, QueryError, SizeError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from polyport.access.meter import Meter, Outcome
    from polyport.access.sql import Dialect
    from polyport.access.sql.names import Names, Table
    from polyport.access.view import View
    from polyport.engine.walled.pool import Walls, Worker, Workers
    from polyport.model import Principal, Ref, Snapshot

ROUNDS = 4
"""How often a statement may turn out to name more than its worker sees."""


@dataclass(frozen=True, slots=True)
class _Open:
    """An answer that is not read to its end."""

    batches: Callable[[], Generator[pa.RecordBatch] | None]
    """Nothing, once it is not needed any more: then it has closed itself."""
    views: Sequence[View]


@dataclass(slots=True)
class WalledSession:
    """A `Session`."""

    product: str
    principal: Principal
    names: Names
    workers: Workers
    walls: Walls
    dialect: Dialect = "duckdb"
    _running: set[Worker] = field(default_factory=set)
    _cancelled: set[Worker] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _answers: dict[int, _Open] = field(default_factory=dict)
    _begun: int = 0

    def __post_init__(self) -> None:
        self.names.needed = lambda: [v for each in self._answers.values() for v in each.views]

    def at(self, ref: Ref) -> Snapshot | None:
        """See `Session.at`."""
        before, self.names.ref = self.names.ref, ref
        try:
            self.names.forget()
            found = self.snapshot
        except PolyportError:
            self.names.ref = before
            raise
        return found

    @property
    def snapshot(self) -> Snapshot | None:
        """See `Session.snapshot`."""
        if not self.product:
            return None
        return self.names.view(self.product, self.names.ref).snapshot

    def begin(self) -> None:
        """See `Session.begin`."""
        self.names.begin(datetime.now(UTC))

    def end(self) -> None:
        """See `Session.end`."""
        self.names.end()

    def datasets(self) -> Mapping[str, Sequence[str]]:
        """See `Session.datasets`."""
        self.names.renew()
        found = {product: view.datasets for product, view in self.names.readable().items()}
        return {product: datasets for product, datasets in found.items() if datasets}

    def describe(self, sql: str, parameters: Sequence[str] = ()) -> Described:
        """See `Session.describe`."""
        self.names.renew()
        worker, said = self._asked({"what": "describe", "sql": sql, "types": list(parameters)})
        try:
            self._still(said)
            found = schema(said["schema"])
        except Silent as error:
            raise self._ended(worker, error) from None
        except BaseException:
            worker.kill()
            raise
        finally:
            self._return(worker)
        return Described(found, tuple(said["types"]), tuple(said["parameters"]))

    def query(self, sql: str, values: Sequence[Any] = ()) -> Answer:
        """See `Session.query`."""
        self.names.renew()
        if self.product:
            self.names.reach.asked(self.product)
        worker, said = self._asked({"what": "query", "sql": sql, "values": list(values)})
        meters: list[Meter] = []
        try:
            tables = self._still(said)
            self._count(tables)
            meters += self._meters(tables, said)
            reader = begun(worker.channel)
            room = Room(self.walls, min((t.most for t in tables if t.most), default=0))
        except Silent as error:
            _fail(meters)
            raise self._ended(worker, error) from None
        except BaseException:
            _fail(meters)
            worker.kill()
            self._return(worker)
            raise
        views = list({id(v): v for t in tables for v in t.views}.values())
        number = self._begun = self._begun + 1
        received = self._received(worker, reader, room)
        batches = self._batches(number, worker, received, views, meters)
        self._answers[number] = _Open(weakref.ref(batches), views)
        next(batches)  # from here on, however it ends, what it took is given back
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
        for each in list(self._answers.values()):
            batches = each.batches()
            if batches is not None:
                batches.close()
        self.names.end()
        self.names.forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _asked(self, request: dict[str, Any]) -> tuple[Worker, Mapping[str, Any]]:
        """A worker that has begun to answer, and what it said; the worker is to be returned."""
        for _ in range(ROUNDS):
            worker = self._borrowed()
            most = {t.named.digest: t.most for t in self.names.tables.values() if t.most}
            try:
                said = worker.ask({**request, "most": most})
            except Silent as error:
                raise self._ended(worker, error) from None
            except BaseException:
                worker.kill()
                self._return(worker)
                raise
            try:
                names = missing(said)
                if not names and "error" not in said:
                    return worker, well_formed(
                        said, [t.named.digest for t in self.names.tables.values()]
                    )
                failed = (
                    error_of(said["error"], self.walls, self.principal) if "error" in said else None
                )
            except Silent as error:
                raise self._ended(worker, error) from None
            self._return(worker)
            if failed is not None:
                raise failed
            for name in names:
                self.names.resolve(name)
        raise QueryError("the statement names too much that is not there", fix="fewer names")

    def _borrowed(self) -> Worker:
        named: dict[str, Named] = {}
        for each in (t.named for t in self.names.tables.values()):
            known = named.get(each.digest, each)
            names = tuple(dict.fromkeys((*known.names, *each.names)))
            named[each.digest] = replace(each, names=names)
        universe = Universe(tuple(named.values()), self.names.catalog, self.dialect)
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
        number: int,
        worker: Worker,
        received: Iterator[pa.RecordBatch],
        views: Sequence[View],
        meters: Sequence[Meter],
    ) -> Generator[pa.RecordBatch]:
        """The batches; before them a sign that it has begun, which is none."""
        outcome: Outcome = "failed"
        try:
            yield _BEGUN
            for batch in received:
                for view in views:
                    view.still()
                for meter in meters:
                    meter.count(batch)
                yield batch
            outcome = "ok"
        except AccessError:
            outcome = "denied"
            raise
        except (GeneratorExit, CancelledError):
            outcome = "cut"
            raise
        finally:
            if outcome != "ok":  # it may still compute
                worker.kill()
            self._return(worker)
            self._answers.pop(number, None)
            for meter in meters:
                meter.finish(outcome)
            self.names.let_go()

    def _received(
        self, worker: Worker, reader: pa.RecordBatchReader, room: Room
    ) -> Iterator[pa.RecordBatch]:
        """The batches, as long as there is room for them, and then how it ended."""
        try:
            while (batch := following(reader)) is not None:
                room.take(batch)
                yield batch
            end = worker.channel.answered()
            failed = error_of(end["error"], self.walls, self.principal) if "error" in end else None
        except Silent as error:
            raise self._why(worker, error) from None
        if failed is not None:
            raise failed

    def _still(self, said: Mapping[str, Any]) -> list[Table]:
        """The tables that a statement reads, each of which may still be read.

        Raises:
            AccessError: One may not.
        """
        tables = [t for t in self.names.tables.values() if t.named.digest in said["tables"]]
        for view in {id(v): v for t in tables for v in t.views}.values():
            view.still()
        return tables

    def _count(self, tables: Sequence[Table]) -> None:
        """Count the statement against the limits of the other products that it reads."""
        for product in {v.snapshot.product for t in tables for v in t.views} - {self.product}:
            self.names.reach.asked(product)

    def _meters(self, tables: Sequence[Table], said: Mapping[str, Any]) -> list[Meter]:
        """One for each dataset that is read; the first of each product counts what leaves."""
        columns, products, made = set(said["columns"]), set(), []
        sources = {(id(v), name): (v, name, t.whole) for t in tables for v, name in t.sources}
        for view, dataset, whole in sources.values():
            names = view.schema(dataset).names
            used = names if whole or said["star"] else [n for n in names if n.lower() in columns]
            meter = view.meter(dataset, tuple(used))
            if view.snapshot.product in products:
                meter.finish("ok")  # counted once
            else:
                products.add(view.snapshot.product)
                made.append(meter)
        return made


_BEGUN = pa.RecordBatch.from_arrays([], schema=pa.schema([]))


def _fail(meters: Sequence[Meter]) -> None:
    for meter in meters:
        meter.finish("failed")
