"""The protocol of one connection: greeting, settings, errors, and simple queries."""

from __future__ import annotations

import logging
import math
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, Self

from polyport.errors import AuthenticationError, PolyportError
from polyport.ports.counted import counting
from polyport.ports.output.sql import answering, extended, messages, relaying
from polyport.ports.output.sql.conversation import Conversation
from polyport.ports.output.sql.deadlines import seconds, within
from polyport.ports.output.sql.login import RefusedError, fatal
from polyport.ports.output.sql.messages import Body, ProtocolError, Said, decoded, message
from polyport.ports.output.sql.performing import perform
from polyport.ports.output.sql.portal import Prepared
from polyport.ports.output.sql.relaying import RelayedError
from polyport.ports.output.sql.scanner import split
from polyport.ports.output.sql.statements import command
from polyport.ports.output.sql.states import said
from polyport.ports.output.sql.texts import known_zone
from polyport.ports.output.sql.transactions import IDLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from polyport.ports.output.sql.catalogue import Catalogue, Message
    from polyport.ports.output.sql.doors import Doors
    from polyport.ports.output.sql.login import Login
    from polyport.ports.output.sql.scanner import Statement
    from polyport.ports.output.sql.transport import Buffer, Transport

LOG = logging.getLogger("polyport.sql")
_EXTENDED: Final = b"PBDECH"
_SETTERS: Final = frozenset({"set", "reset", "discard", "set_config"})
"""Words of statements that may change a setting."""


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
        self.limit = 0.0
        """Seconds that a statement may take, by `statement_timeout`; 0: as long as the product lets it."""
        self.skipping = False
        """Whether messages of the extended protocol are skipped, after an error."""
        self.asking: tuple[str, int] = ("", 0)
        """The statement that a message of the extended protocol is of, and where it begins in what was sent."""
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
        if self.held.block.status == IDLE or self.held.session.idle == math.inf:
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
        self.changed(_SETTERS)
        self.notices()
        number, secret = self.secret
        send(message(b"K", number.to_bytes(4, "big") + secret))
        self.ready()

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
                self.relay((kind, body))

    def _handle(self, kind: bytes, body: bytes) -> None:
        """Answer one message; an error of the consumer's is told, and skips what belongs together."""
        handle = _HANDLERS.get(kind) or extended.HANDLERS.get(kind)
        if handle is None:
            raise ProtocolError(f"invalid frontend message type {kind[0]}")
        if not (self.skipping and kind in _EXTENDED):
            self._guarded(kind, body, handle)

    def _guarded(
        self, kind: bytes, body: bytes, handle: Callable[[Connection, Body], None]
    ) -> None:
        self.running, self.asking = True, ("", 0)
        try:
            if kind in (b"Q", b"P", b"E"):
                self.held.check()
            handle(self, Body(body))
        except AuthenticationError as error:
            self._fatal("28000", error.message, error.remote_fix)
        except (PolyportError, ProtocolError) as error:
            if isinstance(error, ProtocolError) and error.state == "08P01":
                raise
            sql, start = self.asking
            self._fail(kind, said(error, sql, moved=start))
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
        self.skipping = kind in _EXTENDED
        if kind == b"Q":
            self.ready()

    def _failed(self, words: Said) -> None:
        self.held.block.fail()
        self.transport.send(messages.error(words))

    def ready(self) -> None:
        """Tell that the next statement may come."""
        self.transport.send(messages.ready(self.held.block.status))

    def notices(self) -> None:
        """Tell what there is to be told besides answers."""
        for words in self.held.notices:
            self.transport.send(messages.notice(words))
        self.held.notices.clear()
        for told in self.held.told:
            if told[0] in (b"S", b"N"):
                self.relay(told)
        self.held.told.clear()

    def deadline(self) -> AbstractContextManager[None]:
        """What runs in it is cancelled when `statement_timeout` is over."""
        return within(self.limit, self.held.session.cancel)

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
            if self.held.block.status == IDLE:
                self.held.drop_portals()
        self.ready()

    def _together(self, found: list[Statement]) -> None:
        """Statements of one text: where there are several, they are one transaction if they do not say otherwise."""
        implicit = len(found) > 1 and self.held.block.status == IDLE
        if implicit:
            self.held.session.begin()
        try:
            for statement in found:
                try:
                    self._simple(Prepared(statement, command(statement)))
                except RelayedError:
                    return
                except PolyportError as error:
                    words = said(error, statement.sql, moved=statement.start)
                    self._failed(words)
                    return
        finally:
            if implicit and self.held.block.status == IDLE:
                self.held.session.end()

    def _simple(self, prepared: Prepared) -> None:
        self.held.allow(prepared)
        if self.held.relays(prepared) and prepared.statement is not None:
            given = prepared.statement
            sql = self.held.asked_of_catalogue(given)
            self.relay_all(self.held.relayed.simple(sql), moved=given.start)
            self.settled(prepared)
            return
        with self.counted(prepared) as send, self.deadline():
            portal = perform(self.held, prepared)
            self.notices()
            answering.answer(self.held, portal, send, zone=self.zone, describe=True)
        self.settled(prepared)

    @contextmanager
    def counted(self, prepared: Prepared) -> Iterator[answering.Send]:
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

    def settled(self, prepared: Prepared) -> None:
        """A statement is done: if it changed settings, they hold from here on."""
        tokens = prepared.statement.tokens if prepared.statement else ()
        words = [token.value.lower() for token in tokens]
        if words == ["reset", "all"]:
            self.held.reset()
        self.changed(_SETTERS if self.held.restored else words)
        self.held.restored = False

    def changed(self, words: Iterable[str]) -> None:
        """Learn how long statements may take, where one with these words may have changed it."""
        if _SETTERS.isdisjoint(words):
            return
        for kind, body in self.held.relayed.simple("SHOW statement_timeout"):
            if kind == b"D":
                self.limit = seconds(decoded(body[6:]))

    def relay_all(self, answers: Iterable[Message], *, moved: int = 0) -> None:
        """Pass on what the catalogue answers; `moved`: where the statement begins in what was sent.

        Raises:
            RelayedError: It refused, which was passed on, too.
        """
        failed = False
        for told in answers:
            kind, body = told
            failed |= kind == b"E"
            self.relay((kind, relaying.moved(body, moved)) if kind == b"E" and moved else told)
        if failed:
            self.held.block.fail()
            raise RelayedError

    def relay(self, told: Message) -> None:
        """Pass on one message."""
        kind, body = told
        if kind == b"Z":
            return
        if kind == b"S":
            name, shown, *_ = body.split(b"\0")
            self._parameter(name.decode(), shown.decode())
        self.transport.send(message(kind, body))

    def _parameter(self, name: str, shown: str) -> None:
        if name.lower() == "timezone":
            self.zone = shown if known_zone(shown) else "UTC"


_HANDLERS: Final[dict[bytes, Callable[[Connection, Body], None]]] = {b"Q": Connection.query}
