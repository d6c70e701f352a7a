"""A client of the PostgreSQL protocol that reads to the end and looks at nothing: what is measured is the server."""

from __future__ import annotations

import socket
import struct
import time

TAIL = 400
"""Bytes that are kept, to tell the end and an error."""


class GoneError(Exception):
    """The server closed the connection."""


class Client:
    """A connection that looks at nothing but the end."""

    def __init__(self, port: int, database: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray(1 << 20)
        self.read = 0
        """Bytes of the answer so far."""
        body = struct.pack("!i", 3 << 16) + f"user\0owner\0database\0{database}\0\0".encode()
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self.finish()

    def finish(self) -> int:
        """Read up to ReadyForQuery; the bytes."""
        self.read, tail = 0, b""
        while tail[-6:-1] != b"Z\0\0\0\5":
            size = self.socket.recv_into(self.buffer)
            if not size:
                raise GoneError(f"the server closed the connection: {tail!r}")
            self.read += size
            tail = (tail + bytes(self.buffer[max(0, size - TAIL) : size]))[-TAIL:]
        if b"SERROR" in tail:
            raise SystemExit(tail)
        return self.read

    def run(self, sql: str) -> int:
        """Ask, and read all; the bytes."""
        self.ask(sql)
        return self.finish()

    def ask(self, sql: str) -> None:
        """Ask, and read nothing."""
        self.socket.sendall(framed(b"Q", sql.encode() + b"\0"))

    def slowly(self, sql: str, seconds: float, piece: int = 1 << 16) -> None:
        """Ask, read a small piece every hundredth of a second for so long, and go."""
        self.ask(sql)
        until = time.monotonic() + seconds
        self.read = 0
        with memoryview(self.buffer) as room:
            while time.monotonic() < until:
                self.read += self.socket.recv_into(room[:piece])
                time.sleep(0.01)
        self.close()

    def rows(self, sql: str) -> list[bytes]:
        """The bodies of all DataRow messages."""
        self.ask(sql)
        source, found = self.socket.makefile("rb"), []
        while (head := source.read(5))[:1] != b"Z":
            body = source.read(struct.unpack("!i", head[1:])[0] - 4)
            if head[:1] == b"E":
                raise SystemExit(body)
            if head[:1] == b"D":
                found.append(body)
        source.read(1)
        return found

    def close(self) -> None:
        """Go."""
        self.socket.close()


def framed(kind: bytes, body: bytes) -> bytes:
    """A message."""
    return kind + struct.pack("!i", len(body) + 4) + body


def wait_for(port: int, database: str) -> None:
    """Return when somebody there lets clients in."""
    for _ in range(600):
        try:
            Client(port, database).close()
        except (OSError, GoneError):
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"nobody listens at {port}")
