"""What passes between a worker and its keeper: framed messages, and Arrow streams.

What the keeper says is pickled; it is trusted. What a worker says is JSON and Arrow: it is not.
"""

from __future__ import annotations

import json
import pickle
import struct
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

MOST_BYTES = 64 << 20
"""Of one message of a worker."""


class Silent(Exception):  # noqa: N818 - what happened, not a failure of ours
    """The other side closed; `late`: it took longer than it may."""

    late = False


class Late(Silent):
    """The other side took longer than it may."""

    late = True


class Channel:
    """One end of a socket between the two; `budget`: how many seconds it may still be waited for."""

    def __init__(self, end: socket.socket, budget: float | None = None) -> None:
        self.socket, self.budget = end, budget
        self.closed = False

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message of the keeper's."""
        body = pickle.dumps(message, protocol=5)
        self.socket.settimeout(None)
        self.socket.sendall(struct.pack("<I", len(body)) + body)

    def told(self) -> dict[str, Any]:
        """The keeper's next message.

        Raises:
            Silent: The keeper is gone.
        """
        (size,) = struct.unpack("<I", self._exactly(4))
        return pickle.loads(self._exactly(size))  # type: ignore[no-any-return] # noqa: S301 - the keeper's

    def answer(self, message: dict[str, Any]) -> None:
        """Send a message of the worker's."""
        body = json.dumps(message).encode()
        self.socket.sendall(struct.pack("<I", len(body)) + body)

    def answered(self) -> dict[str, Any]:
        """The worker's next message.

        Raises:
            Silent: The worker is gone, late, or says what cannot be read.
        """
        (size,) = struct.unpack("<I", self._exactly(4))
        if size > MOST_BYTES:
            raise Silent
        try:
            found = json.loads(self._exactly(size))
        except ValueError:
            raise Silent from None
        if not isinstance(found, dict):
            raise Silent
        return found

    def _exactly(self, size: int) -> bytearray:
        found = self.read(size)
        if len(found) < size:
            raise Silent
        return found

    # What Arrow reads and writes by.

    def read(self, size: int = -1) -> bytearray:
        """`size` bytes; fewer only where the other side has closed."""
        if size < 0:
            raise ValueError("a channel has no end to read to")
        found = bytearray(size)
        view, at = memoryview(found), 0
        while at < size:
            count = self._receive(view[at:])
            if not count:
                break
            at += count
        del view
        return found[:at] if at < size else found

    def _receive(self, into: memoryview) -> int:
        if self.budget is None:
            return self.socket.recv_into(into)
        if self.budget <= 0:
            raise Late
        started = time.monotonic()
        self.socket.settimeout(self.budget)
        try:
            return self.socket.recv_into(into)
        except TimeoutError:
            raise Late from None
        except ConnectionError:
            raise Silent from None
        finally:
            self.budget -= time.monotonic() - started

    def write(self, body: Any) -> int:
        """Send all of `body`."""
        self.socket.sendall(body)
        return len(body)

    def flush(self) -> None:
        """Nothing is held back."""

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """False."""
        return False

    def close(self) -> None:
        """Close the socket."""
        self.closed = True
        self.socket.close()
