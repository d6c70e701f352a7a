"""A connection to a PostgreSQL server over its unix socket, in its protocol (version 3.0; its manual, part VIII)."""

from __future__ import annotations

import socket
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from polyport.ports.output.sql.catalogue.types import Message

PROTOCOL = 196608
_CANCEL = 80877102
_CHUNK = 1 << 16
_GREETING = 60.0
_AFTER_CANCEL = 5.0
"""Seconds for a server to answer after its statement was cancelled."""


class BackendError(Exception):
    """The server refused: `message` and `sqlstate` are its own."""

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Backend:
    """One connection; for one thread at a time.

    Raises:
        OSError: There is no server, or it went away.
        BackendError: It does not let `user` in.
    """

    def __init__(self, address: Path, user: str, database: str) -> None:
        self.parameters: dict[str, str] = {}
        self._address = address
        self._socket = _connected(address)
        self._buffer = bytearray()
        self._deadline = time.monotonic() + _GREETING
        self._cancelled = False
        self._key = b""
        pairs = {"user": user, "database": database, "application_name": "polyport"}
        body = b"".join(f"{k}\0{v}\0".encode() for k, v in pairs.items()) + b"\0"
        self._socket.sendall(struct.pack("!ii", len(body) + 8, PROTOCOL) + body)
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    def send(self, *messages: Message) -> None:
        """Send `messages` in one go."""
        self._socket.sendall(
            b"".join(kind + struct.pack("!i", len(body) + 4) + body for kind, body in messages)
        )

    def within(self, seconds: float) -> None:
        """From now on, what takes longer than `seconds` is cancelled."""
        self._deadline = time.monotonic() + seconds
        self._cancelled = False

    def read(self) -> Message:
        """The next message.

        Raises:
            OSError: The server went away, or does not answer though its statement was cancelled.
        """
        head = self._exactly(5)
        return head[:1], self._exactly(struct.unpack("!i", head[1:])[0] - 4)

    def run(self, sql: str, seconds: float = 60.0) -> list[list[str | None]]:
        """The rows of `sql` as text; `sql` may be several statements.

        Raises:
            BackendError: One of them failed.
        """
        self.within(seconds)
        self.send((b"Q", sql.encode() + b"\0"))
        rows: list[list[str | None]] = []
        failed: BackendError | None = None
        while True:
            kind, body = self.read()
            if kind == b"D":
                rows.append(list(_values(body)))
            elif kind == b"E":
                failed = error(body)
            elif kind == b"Z":
                break
        if failed:
            raise failed
        return rows

    def cancel(self) -> None:
        """Ask the server to end the statement that runs."""
        with _connected(self._address) as other:
            other.sendall(struct.pack("!ii", 16, _CANCEL) + self._key)

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def _greet(self) -> None:
        while True:
            kind, body = self.read()
            if kind == b"E":
                raise error(body)
            if kind == b"S":
                name, value = body[:-1].decode().split("\0")
                self.parameters[name] = value
            elif kind == b"K":
                self._key = body
            elif kind == b"Z":
                return

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._receive(count - len(self._buffer))
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def _receive(self, count: int) -> None:
        self._socket.settimeout(max(self._deadline - time.monotonic(), 0.001))
        try:
            data = self._socket.recv(max(count, _CHUNK))
        except TimeoutError:
            if self._cancelled or not self._key:
                raise
            self.cancel()
            self._cancelled = True
            self._deadline = time.monotonic() + _AFTER_CANCEL
            return
        if not data:
            raise ConnectionResetError("the catalogue's PostgreSQL went away")
        self._buffer += data


def error(body: bytes) -> BackendError:
    """What an ErrorResponse says."""
    fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
    return BackendError(fields.get(b"M", ""), fields.get(b"C", ""))


def error_response(sqlstate: str, message: str, hint: str = "") -> Message:
    """The message that says so."""
    fields = {"S": "ERROR", "V": "ERROR", "C": sqlstate, "M": message, "H": hint}
    said = "".join(f"{k}{v}\0" for k, v in fields.items() if v)
    return b"E", said.encode() + b"\0"


def _connected(address: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    try:
        made.settimeout(10.0)
        made.connect(str(address))
    except BaseException:
        made.close()
        raise
    return made


def _values(body: bytes) -> Iterator[str | None]:
    at = 2
    for _ in range(struct.unpack_from("!h", body)[0]):
        (length,) = struct.unpack_from("!i", body, at)
        at += 4
        yield None if length < 0 else body[at : at + length].decode()
        at += max(length, 0)
