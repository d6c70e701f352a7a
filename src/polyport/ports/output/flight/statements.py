"""Statements from their text to their rows: sessions, what is kept of a statement, and how its rows are streamed."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport.errors import ConfigurationError, NotFoundError, PolyportError, QueryError
from polyport.ports.counted import counting
from polyport.ports.output.flight.errors import told
from polyport.ports.output.flight.types import plain_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from polyport.access.sql import Answer, Described, Session
    from polyport.ports.output import OutputContext
    from polyport.ports.output.flight.calls import Caller
    from polyport.ports.output.majors import Majors

PIECE = 4 * 1024 * 1024
"""Bytes of one message: clients in Go take no more than 16 MiB."""
AHEAD = 1024 * 1024
"""Bytes that are read before they are asked for: a small answer holds no worker while it waits."""
PARAMETERS = 1_000
"""Rows of parameters of one statement."""
Row = tuple[Any, ...]


@dataclass(slots=True)
class Talk:
    """A session in SQL that calls may share, one at a time."""

    session: Session
    context: OutputContext
    lasting: bool = False
    """A transaction: it outlives its statements."""
    reading: int = 0
    """How many answers are open."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def close(self) -> None:
        """End what runs, and the session with it."""
        self.session.cancel()
        with self.lock:
            self.session.close()


@dataclass(slots=True)
class Statement:
    """A statement that runs: its rows are waited for, or are being read."""

    talk: Talk
    principal: str
    sql: str
    answer: Answer
    ahead: tuple[pa.RecordBatch, ...] = ()
    """Its first batches."""
    more: tuple[Row, ...] = ()
    """Further values of its parameters: it is run for each of them in turn."""
    asked: float = field(default_factory=time.perf_counter)
    started: bool = False
    cancelled: bool = False
    closed: bool = False
    """Whether the server has let go of it."""
    ended: bool = False

    def start(self) -> None:
        """Begin to read it.

        Raises:
            QueryError: It was begun before: an answer is given once.
        """
        with self.talk.lock:
            if self.started:
                raise QueryError("this answer is read already", fix="run the statement again")
            self.started = True

    def cancel(self) -> None:
        """End it; with it those that share its transaction."""
        self.cancelled = True
        self.talk.session.cancel()

    def close(self) -> None:
        """Let go of it, wherever it stands."""
        if self.ended:
            return
        if self.started:
            self.closed = True
            self.talk.session.cancel()  # whoever reads it ends it
            return
        with counting(self.talk.context, self.principal, started=self.asked) as tally:
            tally.status = 499
        self.finish()

    def finish(self) -> None:
        """Nothing more is read: end its session where that is its own."""
        self.ended = True
        with self.talk.lock:
            self.answer.reader.close()
            self.talk.reading -= 1
        if not self.talk.lasting:
            self.talk.close()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement that can be run again and again, with other values."""

    sql: str
    transaction: bytes = b""
    rows: tuple[Row, ...] = ((),)
    """The values that are bound to its parameters; for each row it is run once."""
    parameters: int = 0
    """How many it takes."""


def talk(majors: Majors, caller: Caller) -> Talk:
    """A session of `caller` with the product that it chose; with the only one; or with all of them.

    Raises:
        NotFoundError: There is no such product with a Flight port, or no such snapshot.
        RetiredError: That major of the port is not served any more.
        QueryError: It is not said which product the snapshot is of.
    """
    if caller.product:
        context, mesh = chosen(majors, caller.product), False
    else:
        context, mesh = next(iter(majors.newest.values())), len(majors.newest) > 1
    if context.sql is None:
        raise ConfigurationError("this node takes no SQL")
    opened = context.sql(caller.principal, caller.snapshot, purpose=caller.purpose, mesh=mesh)
    return Talk(opened, context)


def chosen(majors: Majors, product: str) -> OutputContext:
    """The port of `product`, or of its major: `films@1`.

    Raises:
        NotFoundError: It has none.
    """
    found = majors.find(product)
    if found is None:
        near = get_close_matches(product, majors.listed, 1)
        raise NotFoundError(
            f"no product {product!r} has a Flight port here",
            fix=f"did you mean {near[0]!r}?" if near else "GetDbSchemas lists them",
        )
    return found


def run(talk: Talk, principal: str, sql: str, rows: tuple[Row, ...] = ((),)) -> Statement:
    """Run `sql`; its rows wait.

    Raises:
        PolyportError: As `Session.query`.
    """
    asked = time.perf_counter()
    try:
        with _failing(talk, principal), talk.lock:
            answer = _query(talk, sql, rows[0])
            ahead = tuple(_first(answer.reader))
            talk.reading += 1
    except BaseException:
        if not talk.lasting:
            talk.close()
        raise
    return Statement(talk, principal, sql, answer, ahead, rows[1:], asked)


def _query(talk: Talk, sql: str, values: Row) -> Answer:
    answer = talk.session.query(sql, values)
    schema = plain_schema(answer.reader.schema)
    if schema.equals(answer.reader.schema):
        return answer
    batches = (batch.cast(schema) for batch in answer.reader)
    return replace(answer, reader=pa.RecordBatchReader.from_batches(schema, batches))


def _first(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The first batches, up to `AHEAD`."""
    size = 0
    while size < AHEAD:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        size += batch.nbytes
        yield batch


def describe(talk: Talk, principal: str, sql: str) -> Described:
    """What `sql` gives and takes; the session is closed where it is the statement's own.

    Raises:
        PolyportError: As `Session.describe`.
    """
    try:
        with _failing(talk, principal), talk.lock:
            found = talk.session.describe(sql)
            return replace(found, columns=plain_schema(found.columns))
    finally:
        if not talk.lasting:
            talk.close()


@contextmanager
def _failing(talk: Talk, principal: str) -> Iterator[None]:
    """What fails in here is counted as a request: no rows will be asked for."""
    asked = time.perf_counter()
    try:
        yield
    except PolyportError as error:
        with counting(talk.context, principal, started=asked) as tally:
            tally.status = error.http_status
        raise


def stream(statement: Statement, done: Callable[[], None]) -> Iterator[pa.RecordBatch]:
    """The statement's rows, as they come; `done` is called when they have ended, however that is."""
    found = _stream(statement, done)
    next(found)  # from now on it ends in order, even where it is never read
    return found


def _stream(statement: Statement, done: Callable[[], None]) -> Iterator[Any]:
    context = statement.talk.context
    try:
        with counting(context, statement.principal, started=statement.asked) as tally:
            yield None
            for batch in _all(statement):
                tally.bytes += batch.nbytes
                yield from pieces(batch)
    except Exception as error:  # noqa: BLE001 - a stream is a boundary of its own
        raise told(error, cancelled=statement.cancelled, closed=statement.closed) from None
    finally:
        statement.finish()
        done()


def _all(statement: Statement) -> Iterator[pa.RecordBatch]:
    talk, schema = statement.talk, statement.answer.reader.schema
    yield from statement.ahead
    yield from _read(statement.answer, talk.lock)
    for values in statement.more:
        with talk.lock:
            answer = _query(talk, statement.sql, values)
        if not schema.equals(answer.reader.schema):
            answer.reader.close()
            raise QueryError(
                "another row of parameters gives columns of other types",
                fix="cast the parameters: $1::BIGINT",
            )
        yield from _read(answer, talk.lock)


def _read(answer: Answer, lock: threading.RLock) -> Iterator[pa.RecordBatch]:
    try:
        while True:
            with lock:
                batch = answer.reader.read_next_batch()
            yield batch
    except StopIteration:
        return
    finally:
        with lock:
            answer.reader.close()


def pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """`batch` in parts that a message can hold; a row is never split."""
    if batch.nbytes <= PIECE or batch.num_rows <= 1:
        yield batch
        return
    step = max(1, min(batch.num_rows * PIECE // batch.nbytes, batch.num_rows // 2))
    for start in range(0, batch.num_rows, step):
        part = batch.slice(start, step)
        if part.nbytes > 2 * PIECE:  # some rows are much longer than others
            yield from pieces(part)
        else:
            yield part


def bound(batches: Sequence[pa.RecordBatch]) -> tuple[Row, ...]:
    """The rows of parameters in `batches`."""
    return tuple(
        row
        for batch in batches
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
    )
