"""The catalogue that an empty PostgreSQL answers, byte by byte."""

from __future__ import annotations

import logging
import struct
from functools import partial
from typing import TYPE_CHECKING

from polyport.ports.output.sql.catalogue.backend import Backend, BackendError, error_response
from polyport.ports.output.sql.catalogue.routing import Refusal, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from polyport.ports.output.sql.catalogue.servers import Servers
    from polyport.ports.output.sql.catalogue.types import (
        Catalogue,
        CatalogueSession,
        Message,
        Table,
    )

_log = logging.getLogger(__name__)
_SECONDS = 30.0
"""What a statement may take, whatever `statement_timeout` says."""
_ENDS = {
    b"P": (b"1",),
    b"B": (b"2",),
    b"C": (b"3",),
    b"D": (b"T", b"n"),
    b"E": (b"C", b"I", b"s"),
}
"""Message of the client -> those that end the answer to it."""
_TYPES = b"polyport: types\0"
_GONE = error_response("57P01", "the catalogue's PostgreSQL went away", "ask again")
_OTHER = Refusal(
    "0A000", "this statement is not one for the catalogue", "SELECT over datasets goes to the data"
)


class PostgresCatalogue:
    """A catalogue for each user and what it sees.

    `instead`: what answers where PostgreSQL cannot be started.
    """

    def __init__(self, servers: Servers, instead: Catalogue) -> None:
        self._servers = servers
        self._instead = instead

    @property
    def note(self) -> str:
        """Empty as long as PostgreSQL can be started."""
        failed = self._servers.failed.strip().splitlines()
        return (
            f"PostgreSQL cannot be started ({failed[-1]}): {self._instead.note}" if failed else ""
        )

    def open(
        self, database: str, user: str, sees: Sequence[Table], databases: Sequence[str] = ()
    ) -> CatalogueSession:
        """A conversation with the catalogue of `user`."""
        try:
            return PostgresSession(self._servers, database, user, sees, databases)
        except (OSError, BackendError):
            if not self._servers.closed:
                _log.exception("the catalogue of PostgreSQL could not be started")
            return self._instead.open(database, user, sees, databases)

    def close(self) -> None:
        """Stop every PostgreSQL."""
        self._servers.close()
        self._instead.close()


class PostgresSession:
    """One connection's conversation; its own connection to PostgreSQL begins with the first statement."""

    def __init__(
        self,
        servers: Servers,
        database: str,
        user: str,
        sees: Sequence[Table],
        databases: Sequence[str],
    ) -> None:
        self._servers = servers
        self._take = partial(servers.take, database, user, tuple(sees), tuple(databases))
        self._server = self._take()
        self.parameters: Mapping[str, str] = self._server.ready.result()
        self._datasets = frozenset(t.name for t in sees)
        self._backend: Backend | None = None
        self._portals: set[bytes] = set()
        """Those that the client may still ask for rows: they end with the next Sync."""

    def takes(self, sql: str) -> bool:
        """Whether `sql` is for the catalogue."""
        return judge(sql, self._datasets).mine

    def simple(self, sql: str) -> Iterator[Message]:
        """The answer to one statement."""
        refusal = self._refusal(sql)
        if refusal:
            yield error_response(refusal.sqlstate, refusal.message, refusal.hint)
            return
        yield from self._guarded(partial(self._query, sql))

    def extended(self, messages: Sequence[Message]) -> Iterator[Message]:
        """The answers to the messages, up to the first error."""
        for at, (kind, body) in enumerate(messages):
            refusal = self._refusal(_parsed(body)) if kind == b"P" else None
            if refusal:
                yield from self._guarded(partial(self._batch, messages[:at]))
                yield error_response(refusal.sqlstate, refusal.message, refusal.hint)
                return
        yield from self._guarded(partial(self._batch, messages))

    def parameter_types(self, sql: str, oids: Sequence[int]) -> tuple[int, ...] | None:
        """What PREPARE finds; None where it refuses, or a portal is open that an error would end."""
        if self._portals:
            return None
        packed = struct.pack(f"!h{len(oids)}I", len(oids), *oids)
        messages = [
            (b"P", _TYPES + _text(sql) + packed),
            (b"D", b"S" + _TYPES),
            (b"C", b"S" + _TYPES),
        ]
        found: tuple[int, ...] | None = None
        for kind, body in self._guarded(partial(self._batch, messages)):
            if kind == b"t":
                (count,) = struct.unpack_from("!h", body)
                found = struct.unpack_from(f"!{count}I", body, 2)
        return found

    def close(self) -> None:
        """End the conversation."""
        if self._backend:
            self._backend.close()
            self._backend = None
        self._servers.give_back(self._server)

    def _refusal(self, sql: str) -> Refusal | None:
        ruling = judge(sql, self._datasets)
        return ruling.refusal if ruling.mine else _OTHER

    def _guarded(self, answers: Callable[[Backend], Iterator[Message]]) -> Iterator[Message]:
        """`answers`, from a connection that is let go of when they are not read to their end."""
        done = False
        try:
            yield from answers(self._connected())
            done = True
        except (OSError, BackendError):
            if not self._servers.closed:
                _log.exception("the catalogue's PostgreSQL failed")
            yield _GONE
        finally:
            if not done:
                self._drop()

    def _connected(self) -> Backend:
        if self._backend is None:
            try:
                self._backend = self._server.connect()
            except OSError:
                self._servers.forget(self._server)
                self._servers.give_back(self._server)
                self._server = self._take()
                self._backend = self._server.connect()
        return self._backend

    def _drop(self) -> None:
        self._portals.clear()
        if self._backend:
            self._backend.close()
            self._backend = None

    def _query(self, sql: str, backend: Backend) -> Iterator[Message]:
        backend.within(_SECONDS)
        if self._portals:
            yield from self._synced(backend)
        backend.send((b"Q", _text(sql)))
        yield from _to_ready(backend)

    def _batch(self, messages: Sequence[Message], backend: Backend) -> Iterator[Message]:
        backend.within(_SECONDS)
        backend.send(*messages, (b"H", b""))
        for kind, body in messages:
            last = b""
            while last not in _ENDS[kind]:
                last, answer = backend.read()
                yield last, answer
                if last == b"E":
                    yield from self._synced(backend)
                    return
            self._follow(kind, body, last)
        if not self._portals:
            yield from self._synced(backend)

    def _follow(self, kind: bytes, body: bytes, end: bytes) -> None:
        """Keep in mind which portals are open."""
        if kind == b"B":
            self._portals.add(body.split(b"\0", 1)[0])
        elif kind == b"C" and body[:1] == b"P":
            self._portals.discard(body[1:-1])
        elif kind == b"E" and end != b"s":
            self._portals.discard(body.split(b"\0", 1)[0])

    def _synced(self, backend: Backend) -> Iterator[Message]:
        self._portals.clear()
        backend.send((b"S", b""))
        yield from _to_ready(backend)


def _to_ready(backend: Backend) -> Iterator[Message]:
    while True:
        kind, body = backend.read()
        if kind == b"Z":
            return
        yield kind, body


def _text(sql: str) -> bytes:
    return sql.replace("\0", "").encode("utf-8", "replace") + b"\0"


def _parsed(body: bytes) -> str:
    """The statement in a Parse message."""
    return body.split(b"\0", 2)[1].decode("utf-8", "replace")
