"""Statements of the catalogue: asked when their rows are wanted, and given all at once or bit by bit."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from polyport.ports.output.sql.commands import ALL
from polyport.ports.output.sql.messages import decoded, message
from polyport.ports.output.sql.states import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from polyport.ports.output.sql.catalogue import CatalogueSession, Message

ROOM: Final = 64 << 20
"""Bytes of the rows that are kept of one cursor or portal."""
NO_VALUES: Final = bytes(4)
_NAME: Final = b"polyport: statement\0"
_NULL: Final = b"\xff\xff\xff\xff"
_QUIET: Final = (b"1", b"2", b"3")
_CLOSED: Final = (b"C", b"S" + _NAME)
_DESCRIBED: Final = (b"D", b"P\0")
_RUN: Final = (b"E", bytes(5))


@dataclass(frozen=True, slots=True)
class Question:
    """A statement of the catalogue with its values: it can be asked again and again, each time by itself.

    So the catalogue keeps nothing open between two messages of the client, and whatever comes between them does no
    harm.
    """

    session: CatalogueSession
    sql: str
    oids: Sequence[int] = ()
    """Of the parameters, as the client gave them."""
    values: bytes = NO_VALUES
    """As in a Bind message: their formats, and they themselves."""
    formats: bytes = bytes(2)
    """As in a Bind message: those of the result's columns."""

    def parsed(self) -> Iterator[Message]:
        """Nothing, where it can be asked; else why not."""
        return self._answers()

    def described(self) -> Iterator[Message]:
        """The types of its parameters, and its columns."""
        return self._answers((b"D", b"S" + _NAME))

    def bound(self) -> Iterator[Message]:
        """Its columns, where it takes the values."""
        return self._answers(self._bind(None), _DESCRIBED)

    def rows(self, formats: Sequence[int] | None = None) -> Iterator[Message]:
        """Its columns, its rows, and how it ended. `formats`: instead of those that it has."""
        return self._answers(self._bind(formats), _DESCRIBED, _RUN)

    def _bind(self, formats: Sequence[int] | None) -> Message:
        results = self.formats if formats is None else _int16s(formats)
        return b"B", b"\0" + _NAME + self.values + results

    def _answers(self, *messages: Message) -> Iterator[Message]:
        text = self.sql.replace("\0", "").encode("utf-8", "replace") + b"\0"
        types = struct.pack(f"!H{len(self.oids)}I", len(self.oids), *self.oids)
        for told in self.session.extended([_CLOSED, (b"P", _NAME + text + types), *messages]):
            if told[0] not in _QUIET:
                yield told


@dataclass(slots=True)
class Found:
    """The rows that a question has, taken bit by bit; they are there in the formats that they were asked for in."""

    question: Question
    tell: Callable[[Message], None]
    """Passes on what is no row: settings that changed, notices."""
    shown: Message = (b"n", b"")
    """What its columns are, as it was bound."""
    taken: int = 0
    done: bool = False
    """Whether all were taken."""
    tag: str = ""
    """What the catalogue ended with."""
    _kept: dict[tuple[int, ...] | None, tuple[Message, list[bytes]]] = field(default_factory=dict)

    @property
    def begun(self) -> bool:
        """Whether it was asked already."""
        return self.done or bool(self._kept)

    def columns(self, formats: Sequence[int] | None) -> Message:
        """The description of its columns, or that there are none.

        Raises:
            StateError: The catalogue refuses, or there are too many rows.
        """
        return self._in(formats)[0]

    def take(self, formats: Sequence[int] | None, most: int = ALL) -> list[bytes]:
        """The next `most` rows, or all that are left, as messages."""
        if self.done:
            return []
        whole = self._in(formats)[1]
        end = len(whole) if most == ALL else min(self.taken + most, len(whole))
        some, self.taken = whole[self.taken : end], end
        self.done = most == ALL or len(some) < most
        return some

    def _in(self, formats: Sequence[int] | None) -> tuple[Message, list[bytes]]:
        key = None if formats is None else tuple(formats)
        if key not in self._kept:
            self._kept[key] = self._asked(self.question.rows(formats))
        return self._kept[key]

    def _asked(self, answers: Iterable[Message]) -> tuple[Message, list[bytes]]:
        shown: Message = (b"n", b"")
        rows: list[bytes] = []
        room = ROOM
        for kind, body in answers:
            if kind == b"D":
                room -= len(body)
                if room < 0:
                    raise StateError(
                        "54000",
                        f"the rows of one cursor over the catalogue take more than {ROOM >> 20} MB",
                        fix="ask without a cursor, or for less",
                    )
                rows.append(message(kind, body))
            elif kind in (b"T", b"n"):
                shown = (kind, body)
            elif kind == b"C":
                self.tag = decoded(body[:-1])
            elif kind == b"E":
                raise refused(body)
            else:
                self.tell((kind, body))
        return shown, rows


class RelayedError(Exception):
    """The catalogue refused, and the client knows."""


def refused(body: bytes) -> StateError:
    """The error that an ErrorResponse of the catalogue is."""
    fields = {part[:1]: decoded(part[1:]) for part in body.split(b"\0") if part}
    return StateError(
        fields.get(b"C", "XX000"),
        fields.get(b"M", "the catalogue failed"),
        fix=fields.get(b"H", ""),
    )


def moved(body: bytes, by: int) -> bytes:
    """An ErrorResponse with its position `by` characters further on."""
    return re.sub(rb"(?<=\0P)\d+(?=\0)", lambda m: str(int(m[0]) + by).encode(), body)


def packed(forms: Sequence[int], values: Sequence[bytes | None]) -> bytes:
    """Values as a Bind message has them."""
    sized = (_NULL if v is None else len(v).to_bytes(4, "big") + v for v in values)
    return b"".join((_int16s(forms), struct.pack("!H", len(values)), *sized))


def _int16s(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"!H{len(numbers)}h", len(numbers), *numbers)
