"""The bytes of one connection: plain or TLS, read to the last and sent in pieces, with an end to waiting."""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING

from polyport.ports.output.sql.messages import LOGIN_LIMIT, MESSAGE_LIMIT, ProtocolError

if TYPE_CHECKING:
    from typing import TypeAlias

    Buffer: TypeAlias = bytes | bytearray | memoryview

_PIECE = 65_536
_HEAD = 5
"""Bytes of a message before its body: its type and its length."""
_HELD = 32_768
"""Bytes that wait to be sent together with what follows."""
DIRECT_TLS = 0x16
"""The first byte of a TLS record that holds a handshake."""


class Transport:
    """One connection's socket. Reading and sending is for one thread; `shut` for any."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.socket = connection
        self.deadline: float | None = None
        """Until when the client must have said what is waited for (`time.monotonic`); None: no end."""
        self.limit = LOGIN_LIMIT
        self._in = bytearray()
        self._out: list[Buffer] = []
        self._held = 0

    def trust(self) -> None:
        """The client is known: it may take its time, and send longer messages."""
        self.deadline, self.limit = None, MESSAGE_LIMIT
        self.socket.settimeout(None)

    def first_byte(self) -> int:
        """The first byte that the client sent, left where it is; -1 where it sent none."""
        self._wait()
        found = self.socket.recv(1, socket.MSG_PEEK)
        return found[0] if found else -1

    def encrypt(self, context: ssl.SSLContext) -> None:
        """From here on speak TLS. What was sent before in the clear is not taken for a part of it.

        Raises:
            ProtocolError: Something was.
            OSError: The handshake failed.
        """
        if self._in:
            raise ProtocolError("received unencrypted data after SSL request")
        self._wait()
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return isinstance(self.socket, ssl.SSLSocket)

    @property
    def protocol(self) -> str:
        """The application's protocol that TLS was asked for (ALPN); empty: none."""
        if not isinstance(self.socket, ssl.SSLSocket):
            return ""
        return self.socket.selected_alpn_protocol() or ""

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes, and not one more taken from the socket: what follows may be TLS.

        Raises:
            ConnectionError: The client has gone.
            TimeoutError: It took too long.
        """
        found = bytearray()
        while len(found) < size:
            self._wait()
            piece = self.socket.recv(size - len(found))
            if not piece:
                raise ConnectionError("the client has gone")
            found += piece
        return bytes(found)

    def message(self) -> tuple[bytes, bytes]:
        """The client's next message: its type and its body. What waits to be sent is sent before.

        Raises:
            ConnectionError: The client has gone.
            TimeoutError: It took too long.
            ProtocolError: It is longer than a message may be, or none.
        """
        if len(self._in) < _HEAD:
            self.flush()
        self._fill(_HEAD)
        size = int.from_bytes(self._in[1:5], "big", signed=True) - 4
        if not 0 <= size <= self.limit:
            raise ProtocolError("invalid message length")
        if len(self._in) < _HEAD + size:
            self.flush()
            self._fill(_HEAD + size)
        kind, body = bytes(self._in[:1]), bytes(self._in[_HEAD : _HEAD + size])
        del self._in[: _HEAD + size]
        return kind, body

    def send(self, piece: Buffer) -> None:
        """Send `piece`, now or with the next."""
        size = memoryview(piece).nbytes
        if size >= _HELD:
            self.flush()
            self.socket.sendall(piece)
            return
        self._out.append(piece)
        self._held += size
        if self._held >= _HELD:
            self.flush()

    def flush(self) -> None:
        """Send all that waits."""
        if self._out:
            whole = b"".join(self._out)
            self._out.clear()
            self._held = 0
            self.socket.sendall(whole)

    def shut(self) -> None:
        """End it: whoever waits for it is woken."""
        try:
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)  # not TLS's: another thread reads
        except OSError:
            return  # it is over already

    def close(self) -> None:
        """Let go of the socket."""
        self.socket.close()

    def _fill(self, size: int) -> None:
        while len(self._in) < size:
            self._wait()
            piece = self.socket.recv(max(_PIECE, min(size - len(self._in), 1 << 20)))
            if not piece:
                raise ConnectionError("the client has gone")
            self._in += piece

    def _wait(self) -> None:
        """Let the socket wait until the deadline, and no longer."""
        if self.deadline is not None:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the client took too long")
            self.socket.settimeout(left)
