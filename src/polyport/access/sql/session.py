"""A session: names become secured relations, a walled worker runs the statement, and what leaves is metered."""

from __future__ import annotations

import math
import threading
import weakref
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from polyport.access.sql import Answer, CancelledError, Described
from polyport.access.sql.answers import Room, error_of, missing, well_formed
from polyport.access.sql.names import everywhere
from polyport.engine.walled.answers import Answers, Whole
from polyport.engine.walled.protocol import Silent
from polyport.engine.walled.stream import begun, following, schema
from polyport.errors import AccessError, PolyportError, QueryError, SizeError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from polyport.access.meter import Meter, Outcome
    from polyport.access.sql.names import Names, Seen, Table
    from polyport.access.view import View
    from polyport.engine.walled.large import Large
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


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a statement is answered with."""

    seen: Seen
    whole: Whole
    worker: Worker | None = None
    """Who still sends rows."""
    reader: pa.RecordBatchReader | None = None
    """Where these are read."""
    large: Large | None = None
    """Where rows are that were given before."""
    key: bytes = b""
    """What else is asked exactly so is answered by the same."""


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
        asked = self._asked({"what": "describe", "sql": sql, "types": list(parameters)})
        self._still(asked)
        said = asked.whole.said
        return Described(asked.whole.schema, tuple(said["types"]), tuple(said["parameters"]))

    def query(self, sql: str, values: Sequence[Any] = ()) -> Answer:
        """See `Session.query`."""
        self._wanted = True
        self.names.renew()
        if self.product:
            self.names.reach.asked(self.product)
        asked = self._asked({"what": "query", "sql": sql, "values": list(values)})
        with self._answering(asked.worker), ExitStack() as failing:
            tables = self._still(asked)
            self._count(tables)
            meters = self._meters(tables, asked.whole.said)
            failing.callback(_fail, meters)
            room = Room(self.walls, min((t.most for t in tables if t.most), default=0))
            received: Iterator[pa.RecordBatch] = iter([room.take(b) for b in asked.whole.batches])
            if asked.large is not None:
                received = map(room.take, asked.large.batches())
            elif asked.worker is not None and asked.reader is not None:
                received = self._received(asked.worker, asked.reader, room)
                if asked.whole.said["lasting"]:
                    folder = asked.worker.scratch.parent
                    received = self.workers.large.passing(asked.key, asked.whole, received, folder)
            failing.pop_all()
        views = list({id(v): v for t in tables for v in t.views}.values())
        number = self._begun = self._begun + 1
        batches = self._batches(number, asked.worker, received, views, meters)
        self._answers[number] = _Open(weakref.ref(batches), views)
        next(batches)  # from here on, however it ends, what it took is given back
        return Answer(
            pa.RecordBatchReader.from_batches(asked.whole.schema, batches),
            tuple(asked.whole.said["types"]),
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

    def _asked(self, request: Mapping[str, Any]) -> _Asked:
        """What a statement is answered with; its worker is to be returned, where it still sends."""
        for _ in range(ROUNDS):
            seen = self.names.seen()
            key = Answers.key(seen.universe, seen.most, request)
            if (kept := self.workers.answers.find(key)) is not None:
                return _Asked(seen, kept)
            if (large := self.workers.large.find(key)) is not None:
                return _Asked(seen, large.whole, large=large)
            answer = self._answered(request, seen)
            if isinstance(answer, _Asked):
                if answer.worker is None and answer.whole.said["lasting"]:
                    self.workers.answers.keep(key, answer.whole)
                return replace(answer, key=key)
            for name in answer:
                self.names.resolve(name)
        raise QueryError("the statement names too much that is not there", fix="fewer names")

    def _answered(self, request: Mapping[str, Any], seen: Seen) -> _Asked | list[tuple[str, ...]]:
        """What a worker answers; or the names that it asks for."""
        worker, failed = self._borrowed(seen.universe), None
        with self._answering(worker):
            said = worker.ask({**request, "most": seen.most})
            answer: _Asked | list[tuple[str, ...]] = missing(said)
            if "error" in said:
                failed = error_of(said["error"], self.walls, self.principal)
            elif not answer:
                answer = _read(worker, seen, well_formed(said, seen.tables), request)
                if answer.worker is not None:
                    return answer
        self._return(worker)
        if failed is not None:
            raise failed
        return answer

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
    def _answering(self, worker: Worker | None) -> Iterator[None]:
        """Where an answer fails in here, its worker is ended and returned."""
        try:
            yield
        except Silent as error:
            if worker is None:
                raise
            raise self._ended(worker, error) from None
        except BaseException:
            if worker is not None:
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

    def _still(self, asked: _Asked) -> list[Table]:
        """The tables that a statement reads, each of which may still be read.

        Raises:
            AccessError: One may not.
        """
        tables = [
            table for digest in asked.whole.said["tables"] for table in asked.seen.tables[digest]
        ]
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


def _read(
    worker: Worker, seen: Seen, said: Mapping[str, Any], request: Mapping[str, Any]
) -> _Asked:
    """The answer of a worker, as much of it as comes at once.

    Raises:
        Silent: It is gone, late, or sends something else.
    """
    if request["what"] == "describe":
        return _Asked(seen, Whole(said, schema(said["schema"])))
    reader = begun(worker.channel, said["whole"])
    if not said["whole"]:
        return _Asked(seen, Whole(said, reader.schema), worker, reader)
    return _Asked(seen, Whole(said, reader.schema, tuple(iter(partial(following, reader), None))))


_BEGUN = pa.RecordBatch.from_arrays([], schema=pa.schema([]))


def _cancelled() -> CancelledError:
    return CancelledError("the statement was cancelled")


def _fail(meters: Sequence[Meter]) -> None:
    for meter in meters:
        meter.finish("failed")
