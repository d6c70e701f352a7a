"""The protocol of one connection: simple and extended queries, in messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from polyport.errors import AuthenticationError, PolyportError
from polyport.ports.output.sql import commands as asked
from polyport.ports.output.sql import copying, messages, rows
from polyport.ports.output.sql.commands import ALL
from polyport.ports.output.sql.conversation import IDLE, OPEN, Conversation
from polyport.ports.output.sql.decode import value
from polyport.ports.output.sql.login import fatal
from polyport.ports.output.sql.messages import Body, ProtocolError, Said, complete, message
from polyport.ports.output.sql.portal import Portal, Prepared, Rows, described, spread
from polyport.ports.output.sql.scanner import split
from polyport.ports.output.sql.states import State, said
from polyport.ports.output.sql.statements import command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from polyport.ports.output.sql.catalogue import Catalogue
    from polyport.ports.output.sql.doors import Doors
    from polyport.ports.output.sql.login import Login
    from polyport.ports.output.sql.scanner import Statement
    from polyport.ports.output.sql.transport import Transport

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
        self._relayed = False
        """Whether the catalogue is in the middle of messages of the extended protocol."""
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
            kind, body = self.transport.message()
            if kind == b"X":
                self.transport.flush()
                return
            self._handle(kind, body)
        self._fatal("57P01", "terminating connection due to administrator command")

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
        if self._skipping and kind in _EXTENDED:
            return
        self.running = True
        statement = ""
        try:
            if kind in (b"Q", b"P", b"E"):
                self.held.check()
            _HANDLERS[kind](self, Body(body))
        except KeyError:
            raise ProtocolError(f"invalid frontend message type {kind[0]}") from None
        except AuthenticationError as error:
            self._fatal("28000", error.message, error.fix)
        except (PolyportError, ProtocolError) as error:
            if isinstance(error, ProtocolError) and error.state == "08P01":
                raise
            self._failed(said(error, statement))
            self._skipping = kind in _EXTENDED
            if kind == b"Q":
                self._ready()
        finally:
            self.running = False

    def _fatal(self, state: str, words: str, hint: str = "") -> None:
        raise fatal(state, words, hint)

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
        self.held.portals.pop("", None)
        if not found:
            self.transport.send(message(b"I"))
        try:
            self._together(found, sql)
        finally:
            if self.held.status == IDLE:
                self.held.drop_portals()
        self._ready()

    def _together(self, found: list[Statement], sql: str) -> None:
        """Statements of one text: where there are several, they are one transaction if they do not say otherwise."""
        implicit = len(found) > 1 and self.held.status == IDLE
        if implicit:
            self.held.session.begin()
        try:
            for statement in found:
                try:
                    self._simple(Prepared(statement, command(statement)))
                except _Relayed:
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
        portal = self.held.perform(prepared)
        self._notices()
        self._answer(portal, describe=True)

    def _reset(self, prepared: Prepared) -> None:
        tokens = prepared.statement.tokens if prepared.statement else ()
        if len(tokens) == 2 and tokens[0].says("reset") and tokens[1].says("all"):  # noqa: PLR2004
            self.held.reset()

    def _relay_all(self, answers: Iterable[tuple[bytes, bytes]]) -> None:
        failed = False
        for kind, body in answers:
            failed |= kind == b"E"
            self._relay(kind, body)
        if failed:
            self.held.fail()
            raise _Relayed

    def _relay(self, kind: bytes, body: bytes) -> None:
        if kind == b"Z":
            return
        if kind == b"S":
            name, shown, *_ = body.split(b"\0")
            self._parameter(name.decode(), shown.decode())
        self.transport.send(message(kind, body))

    def _parameter(self, name: str, shown: str) -> None:
        if name.lower() == "timezone":
            from polyport.ports.output.sql.texts import known_zone

            self.zone = shown if known_zone(shown) else "UTC"

    def _answer(self, portal: Portal, *, describe: bool, most: int = ALL) -> None:
        """Send what a portal gives, `most` rows of it."""
        given = portal.prepared.command
        if portal.prepared.statement is None:
            self.transport.send(message(b"I"))
        elif isinstance(given, asked.Setting) and given.action == "show":
            self._shown(given, describe=describe)
        elif isinstance(given, asked.Fetch):
            self._fetched(given, portal, describe=describe)
        elif portal.copy is not None and portal.rows is not None:
            self._copied(portal.copy, portal.rows)
        elif portal.rows is not None:
            self._rows(portal, portal.rows, describe=describe, most=most)
        else:
            self.transport.send(complete(portal.tag))

    def _rows(self, portal: Portal, found: Rows, *, describe: bool, most: int) -> None:
        formats = spread(portal.formats, len(found.columns))
        if describe:
            self.transport.send(described(found.columns, formats))
        before = found.taken
        self._send(found, formats, most)
        if 0 <= most <= found.taken - before:
            self.transport.send(message(b"s"))
        else:
            self.transport.send(complete(f"SELECT {found.taken - before}"))

    def _send(self, found: Rows, formats: tuple[int, ...], most: int) -> None:
        kinds = [column.kind for column in found.columns]
        for batch in found.take(most):
            self.transport.send(rows.data_rows(batch, kinds, formats, self.zone))

    def _shown(self, given: asked.Setting, *, describe: bool) -> None:
        if describe:
            shown = self.held.describe(Prepared(None, given)) or ()
            self.transport.send(described(shown, (0,)))
        self.transport.send(messages.data_row([self.held.shown(given.name)]))
        self.transport.send(complete("SHOW"))

    def _fetched(self, given: asked.Fetch, portal: Portal, *, describe: bool) -> None:
        cursor = self.held.portals[given.name]
        found = self.held.cursor(given.name)
        before = found.taken
        if given.move:
            for _ in found.take(given.count):
                pass
            self.transport.send(complete(f"MOVE {found.taken - before}"))
            return
        formats = spread(portal.formats or cursor.formats, len(found.columns))
        if describe:
            self.transport.send(described(found.columns, formats))
        self._send(found, formats, given.count)
        self.transport.send(complete(f"FETCH {found.taken - before}"))

    def _copied(self, given: asked.Copy, found: Rows) -> None:
        send = self.transport.send
        kinds = [column.kind for column in found.columns]
        send(copying.opening(given, len(kinds)))
        send(copying.header(given, [column.name for column in found.columns]))
        first = given.format == "binary"
        for batch in found.take():
            piece = copying.copied(given, batch, kinds, self.zone)
            if first:
                piece, first = _with_signature(piece), False
            send(piece)
        if given.format == "binary":
            send(message(b"d", copying.SIGNATURE) if first else b"")
            send(copying.TRAILER)
        send(message(b"c"))
        send(complete(f"COPY {found.taken}"))

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
        self._relayed = True
        try:
            self._relay_all(self.held.relayed.extended([(kind, body.whole)]))
        except _Relayed:
            self._skipping = True

    def bind(self, body: Body) -> None:
        """Bind: a portal of a statement and its values."""
        name, prepared = body.text(), self._prepared(body.text())
        if name:
            if name in self.held.portals:
                raise State("42P03", f'cursor "{name}" already exists')
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
            raise State(
                "08P01",
                f"bind message supplies {len(raw)} parameters, but the statement requires {len(oids)}",
            )
        if len(forms) not in (0, 1, len(raw)):
            raise State("08P01", f"bind message has {len(forms)} parameter formats")
        spreads = forms if len(forms) == len(raw) else (forms[0] if forms else 0,) * len(raw)
        return [value(v, oid, form) for v, oid, form in zip(raw, oids, spreads, strict=True)]

    def _prepared(self, name: str) -> Prepared:
        found = self.held.prepared.get(name)
        if found is None:
            raise State("26000", f'prepared statement "{name}" does not exist')
        return found

    def _portal(self, name: str) -> Portal:
        found = self.held.portals.get(name)
        if found is None:
            raise State("34000", f'portal "{name}" does not exist')
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
            self._perform(portal)  # its rows are asked for next: to describe them before would be to ask twice
        if portal.rows is not None:
            self._columns(None if portal.copy else portal.rows.columns, portal.formats)
            return
        self._columns(self.held.describe(portal.prepared), portal.formats)

    def _columns(self, shown: Any, formats: tuple[int, ...]) -> None:
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
        if portal.rows is None and not portal.tag:
            self._perform(portal)
        elif portal.rows is None:
            raise State("55000", f'portal "{name}" cannot be run')
        self._answer(portal, describe=False, most=most if most > 0 else ALL)

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
        if self._relayed:
            self._relayed = False
            for kind, told in self.held.relayed.extended([(b"S", b"")]):
                self._relay(kind, told)
        self._skipping = False
        if self.held.status == IDLE:
            self.held.drop_portals()
        self._ready()


class _Relayed(Exception):  # noqa: N818 - the catalogue has told the error
    """The catalogue refused."""


def _is_relayed(prepared: Prepared) -> bool:
    return prepared.command == asked.Ignored("relayed")


def _with_signature(piece: memoryview) -> bytes:
    """The file's signature goes into the message of the first row, as PostgreSQL sends it."""
    size = int.from_bytes(piece[1:5], "big") + len(copying.SIGNATURE)
    return b"d" + size.to_bytes(4, "big") + copying.SIGNATURE + piece[5:].tobytes()


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
__all__ = ["OPEN", "Connection"]
