"""PostgreSQL's messages (frontend/backend protocol 3.0): read with every length checked, and written."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SSL_REQUEST: Final = 80877103
GSS_REQUEST: Final = 80877104
CANCEL_REQUEST: Final = 80877102
STARTUP_LIMIT: Final = 10_000
"""Bytes of a first message, as PostgreSQL limits it."""
LOGIN_LIMIT: Final = 65_535
"""Bytes of a message of whoever is not known yet."""
MESSAGE_LIMIT: Final = 64 << 20
"""Bytes of any other message: a statement and its parameters."""


class ProtocolError(Exception):
    """What was sent is no message: the connection cannot go on."""

    def __init__(self, message: str, *, state: str = "08P01") -> None:
        super().__init__(message)
        self.message = message
        self.state = state


def message(kind: bytes, body: bytes = b"") -> bytes:
    """A message of the server, or one of the client after its first."""
    return kind + struct.pack("!i", len(body) + 4) + body


def text(value: str) -> bytes:
    """A string of the protocol; what it cannot hold is left out."""
    return value.encode("utf-8", "replace").replace(b"\0", b"") + b"\0"


@dataclass(frozen=True, slots=True)
class Said:
    """An error or a notice, in the protocol's fields."""

    state: str
    """SQLSTATE."""
    message: str
    hint: str = ""
    detail: str = ""
    position: int = 0
    """In the statement, from 1, in characters; 0: unknown."""
    severity: str = "ERROR"

    def fields(self) -> bytes:
        """The body of an ErrorResponse or a NoticeResponse."""
        found = [
            ("S", self.severity),
            ("V", self.severity),
            ("C", self.state),
            ("M", self.message or "unknown error"),
            ("D", self.detail),
            ("H", self.hint),
            ("P", str(self.position) if self.position else ""),
        ]
        return b"".join(name.encode() + text(value) for name, value in found if value) + b"\0"


def error(said: Said) -> bytes:
    """An ErrorResponse."""
    return message(b"E", said.fields())


def notice(said: Said) -> bytes:
    """A NoticeResponse."""
    return message(b"N", said.fields())


def ready(status: bytes) -> bytes:
    """ReadyForQuery: `I` idle, `T` in a transaction, `E` in one that failed."""
    return message(b"Z", status)


def complete(tag: str) -> bytes:
    """CommandComplete: `SELECT 3`."""
    return message(b"C", text(tag))


def parameter(name: str, value: str) -> bytes:
    """ParameterStatus."""
    return message(b"S", text(name) + text(value))


def data_row(values: Sequence[str | None]) -> bytes:
    """A DataRow of a few texts."""
    parts = [struct.pack("!h", len(values))]
    for value in values:
        if value is None:
            parts.append(b"\xff\xff\xff\xff")
            continue
        encoded = value.encode()
        parts.append(struct.pack("!i", len(encoded)) + encoded)
    return message(b"D", b"".join(parts))


def row_description(columns: Iterable[tuple[str, int, int, int, int]]) -> bytes:
    """A RowDescription of (name, OID, size, modifier, format) each."""
    found = [
        text(name) + struct.pack("!ihihih", 0, 0, oid, size, modifier, form)
        for name, oid, size, modifier, form in columns
    ]
    return message(b"T", struct.pack("!h", len(found)) + b"".join(found))


class Body:
    """What a message holds, read from the left. Whatever is not there is a ProtocolError."""

    def __init__(self, body: bytes) -> None:
        self.whole = body
        self._at = 0

    def text(self) -> str:
        """A string up to its zero byte."""
        end = self.whole.find(b"\0", self._at)
        if end < 0:
            raise ProtocolError("invalid string in message")
        found, self._at = self.whole[self._at : end], end + 1
        return decoded(found)

    def int16(self) -> int:
        """Two bytes."""
        return int.from_bytes(self.take(2), "big", signed=True)

    def int32(self) -> int:
        """Four bytes."""
        return int.from_bytes(self.take(4), "big", signed=True)

    def int16s(self) -> tuple[int, ...]:
        """A number of two-byte integers, and these."""
        count = self._count(2)
        return struct.unpack(f"!{count}h", self.take(2 * count))

    def oids(self) -> tuple[int, ...]:
        """A number of OIDs, and these."""
        count = self._count(4)
        return struct.unpack(f"!{count}I", self.take(4 * count))

    def values(self) -> list[bytes | None]:
        """A number of values, and these, each after its length."""
        return [self._value() for _ in range(self._count(4))]

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        end = self._at + size
        if size < 0 or end > len(self.whole):
            raise ProtocolError("insufficient data left in message")
        found, self._at = self.whole[self._at : end], end
        return found

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self.whole) - self._at)

    def end(self) -> None:
        """Nothing may be left."""
        if self._at != len(self.whole):
            raise ProtocolError("invalid message format")

    def _value(self) -> bytes | None:
        size = self.int32()
        if size < -1:
            raise ProtocolError("invalid length of a value")
        return None if size == -1 else self.take(size)

    def _count(self, least: int) -> int:
        """A number of things that take at least `least` bytes each."""
        count = int.from_bytes(self.take(2), "big")
        if count * least > len(self.whole) - self._at:
            raise ProtocolError("insufficient data left in message")
        return count


def decoded(raw: bytes) -> str:
    """The text of UTF-8 bytes.

    Raises:
        ProtocolError: They are none.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ProtocolError('invalid byte sequence for encoding "UTF8"', state="22021") from None


def startup(body: bytes) -> dict[str, str]:
    """The parameters of a StartupMessage (without its version).

    Raises:
        ProtocolError: They are not pairs of strings.
    """
    read, found = Body(body), {}
    while (name := read.text()) != "":
        found[name] = read.text()
    read.end()
    return found
