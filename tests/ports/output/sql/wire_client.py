"""A bare client of the protocol, for what real clients never send."""

from __future__ import annotations

import socket
import struct


def framed(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def startup(version: int = 3 << 16, **parameters: str) -> bytes:
    pairs = b"".join(f"{k}\0{v}\0".encode() for k, v in parameters.items())
    body = struct.pack("!i", version) + pairs + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def parse(sql: str, name: str = "", *oids: int) -> bytes:
    return framed(
        b"P", f"{name}\0{sql}\0".encode() + struct.pack(f"!H{len(oids)}I", len(oids), *oids)
    )


def bind(*values: bytes | None, portal: str = "", name: str = "", formats=(), results=()) -> bytes:
    parts = [
        f"{portal}\0{name}\0".encode(),
        struct.pack(f"!H{len(formats)}h", len(formats), *formats),
    ]
    parts.append(struct.pack("!H", len(values)))
    parts += (
        b"\xff\xff\xff\xff" if value is None else struct.pack("!i", len(value)) + value
        for value in values
    )
    parts.append(struct.pack(f"!H{len(results)}h", len(results), *results))
    return framed(b"B", b"".join(parts))


def execute(most: int = 0, portal: str = "") -> bytes:
    return framed(b"E", f"{portal}\0".encode() + struct.pack("!i", most))


SYNC = framed(b"S")


class Wire:
    """One connection."""

    def __init__(self, port: int, **parameters: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.source = self.socket.makefile("rb")
        if parameters:
            self.send(startup(**parameters))
            self.greeting = self.until()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.source.close()
        self.socket.close()

    def send(self, *messages: bytes) -> None:
        self.socket.sendall(b"".join(messages))

    def read(self) -> tuple[bytes, bytes]:
        head = self.source.read(5)
        if len(head) < 5:
            return b"", b""
        return head[:1], self.source.read(struct.unpack("!i", head[1:])[0] - 4)

    def until(self, end: bytes = b"Z") -> list[tuple[bytes, bytes]]:
        """The messages up to one of the type `end`, or the end of the connection."""
        found = []
        while True:
            kind, body = self.read()
            if not kind:
                return found
            found.append((kind, body))
            if kind in (end, b"") or (kind == b"E" and b"SFATAL" in body):
                return found

    def ask(self, *messages: bytes) -> list[tuple[bytes, bytes]]:
        self.send(*messages)
        return self.until()

    def query(self, sql: str) -> list[tuple[bytes, bytes]]:
        return self.ask(framed(b"Q", sql.encode() + b"\0"))


def kinds(messages) -> str:
    return b"".join(kind for kind, _ in messages).decode()


def state(messages) -> str:
    """The SQLSTATE of the first error."""
    body = next(body for kind, body in messages if kind == b"E")
    return fields(body)["C"]


def fields(body: bytes) -> dict[str, str]:
    return {part[:1].decode(): part[1:].decode() for part in body.split(b"\0") if part}
