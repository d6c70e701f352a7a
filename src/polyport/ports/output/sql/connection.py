"""The protocol of one connection: simple and extended queries, in messages."""

from __future__ import annotations

import logging
import math
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

from polyport.errors import AuthenticationError, PolyportError
from polyport.ports.counted import counting
from polyport.ports.output.sql import answering, messages
from polyport.ports.output.sql import commands as asked
from polyport.ports.output.sql.commands import ALL
from polyport.ports.output.sql.conversation import IDLE, Conversation
from polyport.ports.output.sql.decode import value
from polyport.ports.output.sql.login import RefusedError, fatal
from polyport.ports.output.sql.messages import Body, ProtocolError, Said, message
from polyport.ports.output.sql.portal import Portal, Prepared, described, spread
from polyport.ports.output.sql.scanner import split
from polyport.ports.output.sql.statements import command
from polyport.ports.output.sql.states import StateError, said
from polyport.ports.output.sql.texts import known_zone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from polyport.ports.output.sql.catalogue import Catalogue
    from polyport.ports.output.sql.doors import Doors
    from polyport.ports.output.sql.login import Login
    from polyport.ports.output.sql.scanner import Statement
    from polyport.ports.output.sql.transport import Buffer, Transport

LOG = logging.getLogger("polyport.sql")
_EXTENDED: Final = b"PBDECH"


class Connection:
    """One client that was let in. For one thread; `cancel` for any."""

    def __init__(
        self,
        transport: Transport,
        login: Login,
        doors: Doors,
        catalogue: Catalogue,
        secret: tuple[int, bytes],
    ) -> None:
        """Raises what `Conversation` raises. `secret`: what the client may cancel its statements by."""
        self.transport, self.secret = transport, secret
        self.held = Conversation(login, doors, catalogue)
        self.running = False
        """Whether a statement is."""
        self.zone = "UTC"
        self._skipping = False
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.held.__exit__()

    def cancel(self, *, shutdown: bool = False) -> None:
        """End the statement that runs, if one does."""
        self._ended |= shutdown
        if self.running:
            self.held.session.cancel()

    def run(self) -> None:
        """Greet, and answer until the client goes.

        Raises:
            ProtocolError: It sends what is no message.
            OSError: It has gone.
        """
        self._greet()
        while not self._ended:
            kind, body = self._next()
            if kind == b"X":
                self.transport.flush()
                return
            self._handle(kind, body)
        self._fatal("57P01", "terminating connection due to administrator command")

    def _next(self) -> tuple[bytes, bytes]:
        """The client's next message; within a transaction it is not waited for any longer than that may rest."""
        if self.held.status == IDLE or self.held.session.idle == math.inf:
            return self.transport.message()
        self.transport.deadline = time.monotonic() + self.held.session.idle
        try:
            return self.transport.message()
        except TimeoutError:
            raise fatal(
                "25P03",
                "terminating connection due to idle-in-transaction timeout",
                "limits.sql.idle",
            ) from None
        finally:
            self.transport.trust()

    def _greet(self) -> None:
        send = self.transport.send
        send(message(b"R", bytes(4)))
        for name, shown in self.held.relayed.parameters.items():
            self._parameter(name, shown)
            send(messages.parameter(name, shown))
        for name, shown in self.held.login.others.items():
            self._startup_setting(name, shown)
        number, secret = self.secret
        send(message(b"K", number.to_bytes(4, "big") + secret))
        self._ready()

    def _startup_setting(self, name: str, shown: str) -> None:
        """What a client sets as it comes: as if it said SET; what cannot be set is left out."""
        if not name.replace("_", "").replace(".", "").isalnum():
            return
        literal = shown.replace("'", "''")
        sql = f"SET {name} TO '{literal}'"
        if not self.held.relayed.takes(sql):
            return
        for kind, body in self.held.relayed.simple(sql):
            if kind == b"S":
                self._relay(kind, body)

    def _handle(self, kind: bytes, body: bytes) -> None:
        """Answer one message; an error of the consumer's is told, and skips what belongs together."""
        handle = _HANDLERS.get(kind)
        if handle is None:
            raise ProtocolError(f"invalid frontend message type {kind[0]}")
        if not (self._skipping and kind in _EXTENDED):
            self._guarded(kind, body, handle)

    def _guarded(
        self, kind: bytes, body: bytes, handle: Callable[[Connection, Body], None]
    ) -> None:
        self.running = True
        try:
            if kind in (b"Q", b"P", b"E"):
                self.held.check()
            handle(self, Body(body))
        except AuthenticationError as error:
            self._fatal("28000", error.message, error.fix)
        except (PolyportError, ProtocolError) as error:
            if isinstance(error, ProtocolError) and error.state == "08P01":
                raise
            self._fail(kind, said(error))
        except (OSError, RefusedError):
            raise
        except Exception:
            LOG.exception("a statement of %s", self.held.login.user)
            self._fail(kind, Said("XX000", "internal error: the log of the server says more"))
        finally:
            self.running = False

    def _fatal(self, state: str, words: str, hint: str = "") -> None:
        raise fatal(state, words, hint)

    def _fail(self, kind: bytes, words: Said) -> None:
        self._failed(words)
        self._skipping = kind in _EXTENDED
        if kind == b"Q":
            self._ready()

    def _failed(self, words: Said) -> None:
        self.held.fail()
        self.transport.send(messages.error(words))

    def _ready(self) -> None:
        self.transport.send(messages.ready(self.held.status))

    def _notices(self) -> None:
        for each in self.held.notices:
            self.transport.send(messages.notice(each))
        self.held.notices.clear()

    def query(self, body: Body) -> None:
        """Simple query: all statements of a text, until one fails."""
        sql = body.text()
        body.end()
        found = split(sql)
        if old := self.held.portals.pop("", None):
            old.close()
        if not found:
            self.transport.send(message(b"I"))
        try:
            self._together(found)
        finally:
            if self.held.status == IDLE:
                self.held.drop_portals()
        self._ready()

    def _together(self, found: list[Statement]) -> None:
        """Statements of one text: where there are several, they are one transaction if they do not say otherwise."""
        implicit = len(found) > 1 and self.held.status == IDLE
        if implicit:
            self.held.session.begin()
        try:
            for statement in found:
                try:
                    self._simple(Prepared(statement, command(statement)))
                except _RelayedError:
                    return
                except PolyportError as error:
                    words = said(error, statement.sql, moved=statement.start)
                    self._failed(words)
                    return
        finally:
            if implicit and self.held.status == IDLE:
                self.held.session.end()

    def _simple(self, prepared: Prepared) -> None:
        if self.held.relays(prepared) and prepared.statement is not None:
            self.held.allow(prepared)
            self._reset(prepared)
            self._relay_all(self.held.relayed.simple(prepared.statement.sql))
            return
        with self._counted(prepared) as send:
            portal = self.held.perform(prepared)
            self._notices()
            answering.answer(self.held, portal, send, zone=self.zone, describe=True)

    @contextmanager
    def _counted(self, prepared: Prepared) -> Iterator[answering.Send]:
        """Record what is answered in here as a request to each port that it concerns; what to send by."""
        with ExitStack() as stack:
            principal = self.held.principal.id
            tallies = [
                stack.enter_context(counting(context, principal))
                for context in self.held.concerned(prepared)
            ]

            def send(piece: Buffer) -> None:
                for tally in tallies:
                    tally.bytes += memoryview(piece).nbytes
                self.transport.send(piece)

            yield send

    def _reset(self, prepared: Prepared) -> None:
        tokens = prepared.statement.tokens if prepared.statement else ()
        if [token.text for token in tokens] == ["reset", "all"]:
            self.held.reset()

    def _relay_all(self, answers: Iterable[tuple[bytes, bytes]]) -> None:
        failed = False
        for kind, body in answers:
            failed |= kind == b"E"
            self._relay(kind, body)
        if failed:
            self.held.fail()
            raise _RelayedError

    def _relay(self, kind: bytes, body: bytes) -> None:
        if kind == b"Z":
            return
        if kind == b"S":
            name, shown, *_ = body.split(b"\0")
            self._parameter(name.decode(), shown.decode())
        self.transport.send(message(kind, body))

    def _parameter(self, name: str, shown: str) -> None:
        if name.lower() == "timezone":
            self.zone = shown if known_zone(shown) else "UTC"

    def parse(self, body: Body) -> None:
        """Parse."""
        name, sql, oids = body.text(), body.text(), body.oids()
        body.end()
        prepared = self.held.parse(sql, oids)
        self.held.allow(prepared)
        if not name:
            self.held.prepared.pop("", None)
        if self.held.relays(prepared):
            prepared.command = asked.Ignored("relayed")
            self._relay_extended(b"P", body)
            self.held.keep(name, prepared)
            return
        self.held.keep(name, prepared)
        self.transport.send(message(b"1"))

    def _relay_extended(self, kind: bytes, body: Body) -> None:
        try:
            self._relay_all(self.held.relayed.extended([(kind, body.whole)]))
        except _RelayedError:
            self._skipping = True

    def bind(self, body: Body) -> None:
        """Bind: a portal of a statement and its values."""
        name, prepared = body.text(), self._prepared(body.text())
        if name:
            if name in self.held.portals:
                raise StateError("42P03", f'cursor "{name}" already exists')
        elif old := self.held.portals.pop("", None):
            old.close()
        if _is_relayed(prepared):
            self.held.portals[name] = Portal(prepared)
            self._relay_extended(b"B", body)
            return
        forms, raw, results = body.int16s(), body.values(), body.int16s()
        body.end()
        self.held.allow(prepared)
        self.held.portals[name] = Portal(prepared, self._values(prepared, forms, raw), results)
        self.transport.send(message(b"2"))

    def _values(
        self, prepared: Prepared, forms: tuple[int, ...], raw: list[bytes | None]
    ) -> list[Any]:
        oids = self.held.oids(prepared)
        if len(raw) != len(oids):
            raise StateError(
                "08P01",
                f"bind message supplies {len(raw)} parameters, but the statement requires {len(oids)}",
            )
        if len(forms) not in (0, 1, len(raw)):
            raise StateError("08P01", f"bind message has {len(forms)} parameter formats")
        spreads = forms if len(forms) == len(raw) else (forms[0] if forms else 0,) * len(raw)
        return [value(v, oid, form) for v, oid, form in zip(raw, oids, spreads, strict=True)]

    def _prepared(self, name: str) -> Prepared:
        found = self.held.prepared.get(name)
        if found is None:
            raise StateError("26000", f'prepared statement "{name}" does not exist')
        return found

    def _portal(self, name: str) -> Portal:
        found = self.held.portals.get(name)
        if found is None:
            raise StateError("34000", f'portal "{name}" does not exist')
        return found

    def describe(self, body: Body) -> None:
        """Describe of a statement or a portal."""
        kind, name = body.take(1), body.text()
        body.end()
        if kind == b"S":
            self._describe_statement(self._prepared(name), body)
        elif kind == b"P":
            self._describe_portal(self._portal(name), body)
        else:
            raise ProtocolError(f"invalid DESCRIBE message subtype {kind[0]}")

    def _describe_statement(self, prepared: Prepared, body: Body) -> None:
        if _is_relayed(prepared):
            self._relay_extended(b"D", body)
            return
        oids = self.held.oids(prepared)
        told = len(oids).to_bytes(2, "big") + b"".join(o.to_bytes(4, "big") for o in oids)
        shown = self.held.describe(prepared)
        self.transport.send(message(b"t", told))
        self._columns(shown, ())

    def _describe_portal(self, portal: Portal, body: Body) -> None:
        if _is_relayed(portal.prepared):
            self._relay_extended(b"D", body)
            return
        if portal.rows is None and isinstance(portal.prepared.command, asked.Select):
            self._perform(
                portal
            )  # its rows are asked for next: to describe them before would be to ask twice
        if portal.rows is not None:
            self._columns(None if portal.copy else portal.rows.columns, portal.formats)
            return
        self._columns(self.held.describe(portal.prepared), portal.formats)

    def _columns(self, shown: Any, formats: Sequence[int]) -> None:
        if shown is None:
            self.transport.send(message(b"n"))
        else:
            self.transport.send(described(shown, spread(formats, len(shown))))

    def _perform(self, portal: Portal) -> None:
        done = self.held.perform(portal.prepared, portal.values)
        self._notices()
        portal.prepared, portal.values = done.prepared, done.values
        portal.rows, portal.tag, portal.copy = done.rows, done.tag, done.copy

    def execute(self, body: Body) -> None:
        """Execute: rows of a portal, or whatever it does."""
        name, most = body.text(), body.int32()
        body.end()
        portal = self._portal(name)
        if _is_relayed(portal.prepared):
            self._relay_extended(b"E", body)
            return
        if portal.rows is None and portal.tag:
            raise StateError("55000", f'portal "{name}" cannot be run')
        wanted = most if most > 0 else ALL
        with self._counted(portal.prepared) as send:
            if portal.rows is None:
                self._perform(portal)
            answering.answer(self.held, portal, send, zone=self.zone, most=wanted)

    def close(self, body: Body) -> None:
        """Close of a statement or a portal."""
        kind, name = body.take(1), body.text()
        body.end()
        found: Prepared | None = None
        if kind == b"S":
            found = self.held.prepared.pop(name, None)
        elif kind == b"P":
            portal = self.held.portals.pop(name, None)
            if portal is not None:
                portal.close()
                found = portal.prepared
        else:
            raise ProtocolError(f"invalid CLOSE message subtype {kind[0]}")
        if found is not None and _is_relayed(found):
            self._relay_extended(b"C", body)
        else:
            self.transport.send(message(b"3"))

    def flush(self, body: Body) -> None:
        """Flush."""
        body.end()
        self.transport.flush()

    def sync(self, body: Body) -> None:
        """Sync: errors skip to here, and portals outside of a transaction end here."""
        body.end()
        self._skipping = False
        if self.held.status == IDLE:
            self.held.drop_portals()
        self._ready()


class _RelayedError(Exception):
    """The catalogue refused."""


def _is_relayed(prepared: Prepared) -> bool:
    return prepared.command == asked.Ignored("relayed")


_HANDLERS: Final[dict[bytes, Callable[[Connection, Body], None]]] = {
    b"Q": Connection.query,
    b"P": Connection.parse,
    b"B": Connection.bind,
    b"D": Connection.describe,
    b"E": Connection.execute,
    b"C": Connection.close,
    b"H": Connection.flush,
    b"S": Connection.sync,
}
