"""A session: names become secured relations, a walled worker runs the statement, and what leaves is metered."""

from __future__ import annotations

import math
import threading
import weakref
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from polyport.access.sql import Answer, CancelledError, Described
from polyport.access.sql.answers import Room, error_of, missing, well_formed
from polyport.access.sql.names import everywhere
from polyport.engine.walled.protocol import Silent
from polyport.engine.walled.stream import begun, following, schema
from polyport.errors import AccessError, PolyportError, QueryError, SizeError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from polyport.access.meter import Meter, Outcome
    from polyport.access.sql.names import Names, Seen, Table
    from polyport.access.view import View
    from polyport.engine.walled.pool import Worker, Workers
    from polyport.engine.walled.universe import Universe, Walls
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
    _running: set[Worker] = field(default_factory=set)
    _cancelled: set[Worker] = field(default_factory=set)
    _wanted: bool = True
    """Whether the statement that was begun last is, or was cancelled."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _answers: dict[int, _Open] = field(default_factory=dict)
    _begun: int = 0

    def __post_init__(self) -> None:
        self.names.needed = lambda: [v for each in self._answers.values() for v in each.views]

    def at(self, ref: Ref) -> Snapshot | None:
        """See `Session.at`."""
        if not self.product and not everywhere(ref):
            raise QueryError(
                f"it is not said which product the snapshot {ref!r} is of",
                fix="choose the product, or a time: it is of all products",
            )
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

    @property
    def idle(self) -> float:
        """See `Session.idle`."""
        return self.walls.idle or math.inf

    def datasets(self) -> Mapping[str, Sequence[str]]:
        """See `Session.datasets`."""
        self.names.renew()
        found = {product: view.datasets for product, view in self.names.readable().items()}
        return {product: datasets for product, datasets in found.items() if datasets}

    def describe(self, sql: str, parameters: Sequence[str] = ()) -> Described:
        """See `Session.describe`."""
        self._wanted = True
        self.names.renew()
        asked = {"what": "describe", "sql": sql, "types": list(parameters)}
        worker, said, seen = self._asked(asked)
        with self._answering(worker):
            self._still(said, seen)
            found = schema(said["schema"])
        self._return(worker)
        return Described(found, tuple(said["types"]), tuple(said["parameters"]))

    def query(self, sql: str, values: Sequence[Any] = ()) -> Answer:
        """See `Session.query`."""
        self._wanted = True
        self.names.renew()
        if self.product:
            self.names.reach.asked(self.product)
        worker, said, seen = self._asked({"what": "query", "sql": sql, "values": list(values)})
        with self._answering(worker), ExitStack() as failing:
            tables = self._still(said, seen)
            self._count(tables)
            meters = self._meters(tables, said)
            failing.callback(_fail, meters)
            room = Room(self.walls, min((t.most for t in tables if t.most), default=0))
            reader = begun(worker.channel, said["whole"])
            received = self._received(worker, reader, room)
            if said["whole"]:
                received = map(room.take, list(iter(partial(following, reader), None)))
            failing.pop_all()
        if said["whole"]:
            self._return(worker)
        views = list({id(v): v for t in tables for v in t.views}.values())
        number = self._begun = self._begun + 1
        holding = None if said["whole"] else worker
        batches = self._batches(number, holding, received, views, meters)
        self._answers[number] = _Open(weakref.ref(batches), views)
        next(batches)  # from here on, however it ends, what it took is given back
        return Answer(
            pa.RecordBatchReader.from_batches(reader.schema, batches), tuple(said["types"])
        )

    def cancel(self) -> None:
        """See `Session.cancel`."""
        with self._lock:
            self._wanted = False
            for worker in self._running:
                self._cancelled.add(worker)
                worker.kill()
        self.workers.wake()

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

    def _asked(self, request: dict[str, Any]) -> tuple[Worker, Mapping[str, Any], Seen]:
        """A worker that has begun to answer, what it said, and what it sees; the worker is to be returned."""
        for _ in range(ROUNDS):
            seen = self.names.seen()
            worker = self._borrowed(seen.universe)
            with self._answering(worker):
                said = worker.ask({**request, "most": seen.most})
                names = missing(said)
                if not names and "error" not in said:
                    return worker, well_formed(said, seen.tables), seen
                failed = (
                    error_of(said["error"], self.walls, self.principal) if "error" in said else None
                )
            self._return(worker)
            if failed is not None:
                raise failed
            for name in names:
                self.names.resolve(name)
        raise QueryError("the statement names too much that is not there", fix="fewer names")

    def _borrowed(self, universe: Universe) -> Worker:
        try:
            worker = self.workers.lend(universe, self.walls, wanted=lambda: self._wanted)
        except Silent:
            raise _cancelled() from None
        with self._lock:
            self._running.add(worker)
        if not self._wanted:  # cancelled before it was known to run
            self._return(worker)
            raise _cancelled()
        return worker

    @contextmanager
    def _answering(self, worker: Worker) -> Iterator[None]:
        """Where an answer fails in here, its worker is ended and returned."""
        try:
            yield
        except Silent as error:
            raise self._ended(worker, error) from None
        except BaseException:
            self._return(worker, busy=True)
            raise

    def _return(self, worker: Worker, *, busy: bool = False) -> None:
        """Give a worker back; where it may still be `busy` with the statement, ended."""
        if busy:
            worker.kill()
        with self._lock:
            self._running.discard(worker)
            self._cancelled.discard(worker)
        self.workers.give_back(worker)

    def _ended(self, worker: Worker, error: Silent) -> PolyportError:
        """Why a worker did not answer; it is ended and returned."""
        why = self._why(worker, error)
        self._return(worker, busy=True)
        return why

    def _why(self, worker: Worker, error: Silent) -> PolyportError:
        if worker in self._cancelled:
            return _cancelled()
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
        worker: Worker | None,
        received: Iterator[pa.RecordBatch],
        views: Sequence[View],
        meters: Sequence[Meter],
    ) -> Generator[pa.RecordBatch]:
        """The batches; before them a sign that it has begun, which is none. `worker`: who still sends them."""
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
            if worker is not None:
                self._return(worker, busy=outcome != "ok")
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
                yield room.take(batch)
            end = worker.channel.answered()
            failed = error_of(end["error"], self.walls, self.principal) if "error" in end else None
        except Silent as error:
            raise self._why(worker, error) from None
        if failed is not None:
            raise failed

    def _still(self, said: Mapping[str, Any], seen: Seen) -> list[Table]:
        """The tables that a statement reads, each of which may still be read.

        Raises:
            AccessError: One may not.
        """
        tables = [table for digest in said["tables"] for table in seen.tables[digest]]
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


def _cancelled() -> CancelledError:
    return CancelledError("the statement was cancelled")


def _fail(meters: Sequence[Meter]) -> None:
    for meter in meters:
        meter.finish("failed")
