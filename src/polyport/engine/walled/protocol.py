"""What passes between a worker and its keeper: framed messages, and Arrow streams.

What the keeper says is pickled; it is trusted. What a worker says is JSON and Arrow: it is not.
"""

from __future__ import annotations

import json
import pickle
import struct
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import socket

MOST_BYTES = 64 << 20
"""Of one message of a worker."""
PIECE = 1 << 16
"""Bytes sent together, and read ahead: most answers are smaller, and each call to the system wakes somebody."""
STEP = 8 << 20
"""What room is made for at once: a size that is said is not yet a size that is sent."""


class Silent(Exception):  # noqa: N818 - what happened, not a failure of ours
    """The other side closed; `late`: it took longer than it may."""

    late = False


class Late(Silent):
    """The other side took longer than it may."""

    late = True


class Channel:
    """One end of a socket between the two.

    `budget`: how many seconds the other side may still be waited for. `most`: how many bytes it may send as one part
    of an Arrow stream.
    """

    def __init__(self, end: socket.socket, budget: float | None = None) -> None:
        self.socket, self.budget = end, budget
        self.most = MOST_BYTES
        self.closed = False
        self._held = bytearray()
        self._room = bytearray(PIECE)
        self._ahead = memoryview(b"")

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message of the keeper's.

        Raises:
            Silent: The worker is gone, or takes nothing.
        """
        body = pickle.dumps(message, protocol=5)
        started = time.monotonic()
        self.socket.settimeout(self.budget)
        try:
            self.socket.sendall(struct.pack("<Q", len(body)) + body)
        except TimeoutError:
            raise Late from None
        except OSError:
            raise Silent from None
        if self.budget is not None:
            self.budget -= time.monotonic() - started

    def told(self) -> dict[str, Any]:
        """The keeper's next message.

        Raises:
            Silent: The keeper is gone.
        """
        (size,) = struct.unpack("<Q", self.exactly(8))
        return pickle.loads(self.exactly(size))  # type: ignore[no-any-return] # noqa: S301 - the keeper's

    def answer(self, message: dict[str, Any], *, more: bool = False) -> None:
        """Send a message of the worker's; where there is `more` to come, together with that."""
        body = json.dumps(message).encode()
        self.write(struct.pack("<I", len(body)) + body)
        if not more:
            self.push()

    def answered(self) -> dict[str, Any]:
        """The worker's next message.

        Raises:
            Silent: The worker is gone, late, or says what cannot be read.
        """
        (size,) = struct.unpack("<I", self.exactly(4))
        if size > MOST_BYTES:
            raise Silent
        try:
            found = json.loads(self.exactly(size))
        except (ValueError, RecursionError):
            raise Silent from None
        if not isinstance(found, dict):
            raise Silent
        return found

    def exactly(self, size: int) -> bytes:
        """`size` bytes.

        Raises:
            Silent: The other side is gone, late, or says more than it may.
        """
        found = self.read(size)
        if len(found) < size:
            raise Silent
        return bytes(found)

    # What Arrow reads and writes by.

    def read(self, size: int = -1) -> memoryview:
        """`size` bytes; fewer only where the other side has closed.

        Raises:
            Silent: It says more than it may.
        """
        if not 0 <= size <= max(self.most, MOST_BYTES):
            raise Silent
        # Arrow's memory is used again and again; Python's would be cleared each time.
        found, at = pa.allocate_buffer(min(size, STEP), resizable=True), 0
        while at < size:
            if at == found.size:
                found.resize(min(size, 2 * at))
            count = self._some(memoryview(found).cast("B")[at:])
            if not count:
                break
            at += count
        return memoryview(found).cast("B")[:at]

    def _some(self, into: memoryview) -> int:
        """How many bytes were put there: at least one, but at the end."""
        if not self._ahead and len(into) >= PIECE:
            return self._receive(into)
        if not self._ahead:
            self._ahead = memoryview(self._room)[: self._receive(memoryview(self._room))]
        with into:
            count = min(len(into), len(self._ahead))
            into[:count] = self._ahead[:count]
        self._ahead = self._ahead[count:]
        return count

    def _receive(self, into: memoryview) -> int:
        if self.budget is None:
            with into:
                return self.socket.recv_into(into)
        if self.budget <= 0:
            raise Late
        started = time.monotonic()
        self.socket.settimeout(self.budget)
        try:
            return self.socket.recv_into(into)
        except TimeoutError:
            raise Late from None
        except OSError:  # reset, or closed by another thread
            raise Silent from None
        finally:
            into.release()
            self.budget -= time.monotonic() - started

    def write(self, body: Any) -> int:
        """Send all of `body`, now or with what follows: see `push`."""
        if len(self._held) + len(body) > PIECE:
            self.push()
        if len(body) > PIECE:
            self.socket.sendall(body)
        else:
            self._held += body
        return len(body)

    def push(self) -> None:
        """Send what is held back."""
        if self._held:
            self.socket.sendall(self._held)
            self._held.clear()

    def flush(self) -> None:
        """What is held back goes with what follows."""

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
