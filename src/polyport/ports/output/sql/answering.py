"""What a portal gives, as messages: rows, bit by bit; COPY; whatever a statement ends with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from polyport.ports.output.sql import commands as asked
from polyport.ports.output.sql import copying, messages, rows
from polyport.ports.output.sql.commands import ALL
from polyport.ports.output.sql.messages import complete, message
from polyport.ports.output.sql.portal import Prepared, described, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from polyport.ports.output.sql.conversation import Conversation
    from polyport.ports.output.sql.portal import Portal, Rows
    from polyport.ports.output.sql.relaying import Found
    from polyport.ports.output.sql.transport import Buffer

Send: TypeAlias = "Callable[[Buffer], None]"


def answer(
    held: Conversation,
    portal: Portal,
    send: Send,
    *,
    zone: str,
    describe: bool = False,
    most: int = ALL,
) -> None:
    """Send what `portal` gives, `most` rows of it; `describe`: its columns before."""
    _Answering(held, portal, send, zone, describe).answer(most)


@dataclass(frozen=True, slots=True)
class _Answering:
    held: Conversation
    portal: Portal
    send: Send
    zone: str
    describe: bool

    def answer(self, most: int) -> None:
        portal = self.portal
        given = portal.prepared.command
        if portal.prepared.statement is None:
            self.send(message(b"I"))
        elif isinstance(given, asked.Setting) and given.action == "show":
            self._shown(given)
        elif isinstance(given, asked.Fetch):
            self._fetched(given)
        elif portal.copy is not None and portal.rows is not None:
            self._copied(portal.copy, portal.rows)
        elif portal.rows is not None:
            self._rows(portal.rows, most)
        else:
            self.send(complete(portal.tag))

    def _rows(self, found: Rows, most: int) -> None:
        formats = spread(self.portal.formats, len(found.columns))
        if self.describe:
            self.send(described(found.columns, formats))
        before = found.taken
        self._send(found, formats, most)
        if 0 <= most <= found.taken - before:
            self.send(message(b"s"))
        else:
            self.send(complete(f"SELECT {found.taken - before}"))

    def _send(self, found: Rows, formats: Sequence[int], most: int) -> None:
        kinds = [column.kind for column in found.columns]
        for batch in found.take(most):
            self.send(rows.data_rows(batch, kinds, formats, self.zone))

    def _shown(self, given: asked.Setting) -> None:
        if self.describe:
            shown = self.held.describe(Prepared(None, given)) or ()
            self.send(described(shown, (0,)))
        self.send(messages.data_row([self.held.shown(given.name)]))
        self.send(complete("SHOW"))

    def _fetched(self, given: asked.Fetch) -> None:
        cursor = self.held.portals[given.name]
        if cursor.found is not None:
            self._of_catalogue(cursor.found, self.portal.formats or cursor.formats, given)
            return
        found = self.held.cursor(given.name)
        for _ in found.take(given.passed(found.taken)):
            pass
        before = found.taken
        if given.move:
            for _ in found.take(given.count):
                pass
            self.send(complete(f"MOVE {found.taken - before}"))
            return
        formats = spread(self.portal.formats or cursor.formats, len(found.columns))
        if self.describe:
            self.send(described(found.columns, formats))
        self._send(found, formats, given.count)
        self.send(complete(f"FETCH {found.taken - before}"))

    def _of_catalogue(self, found: Found, formats: Sequence[int], given: asked.Fetch) -> None:
        shown = message(*found.columns(formats))
        found.take(formats, given.passed(found.taken))
        some = found.take(formats, given.count)
        if not given.move:
            self.send((shown if self.describe else b"") + b"".join(some))
        self.send(complete(f"{'MOVE' if given.move else 'FETCH'} {len(some)}"))

    def _copied(self, given: asked.Copy, found: Rows) -> None:
        kinds = [column.kind for column in found.columns]
        self.send(copying.opening(given, len(kinds)))
        self.send(copying.header(given, [column.name for column in found.columns]))
        first = given.format == "binary"
        for batch in found.take():
            piece: Buffer = copying.copied(given, batch, kinds, self.zone)
            if first:
                piece, first = _with_signature(piece), False
            self.send(piece)
        if given.format == "binary":
            self.send(_with_signature(copying.TRAILER) if first else copying.TRAILER)
        self.send(message(b"c"))
        self.send(complete(f"COPY {found.taken}"))


def _with_signature(whole: Buffer) -> bytes:
    """The file's signature goes into its first message, as PostgreSQL sends it: no message has it alone."""
    piece = memoryview(whole)
    size = int.from_bytes(piece[1:5], "big") + len(copying.SIGNATURE)
    return b"d" + size.to_bytes(4, "big") + copying.SIGNATURE + piece[5:].tobytes()
