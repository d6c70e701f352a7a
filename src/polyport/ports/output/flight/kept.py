"""What the server keeps for its clients between two calls: bounded, for a while, each for its owner alone."""

from __future__ import annotations

import math
import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from polyport.errors import LimitError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from polyport.model import Principal

T = TypeVar("T")
IDLE = 30 * 60
"""Seconds after which a prepared statement or a transaction that is not used ends."""


@dataclass(slots=True)
class _Entry(Generic[T]):
    owner: Principal
    value: T
    used: float


class Kept(Generic[T]):
    """Values by a handle that nobody can guess.

    A handle is good for the principal that it was given to, as it stood then: roles taken away end it. The one that was
    not used for the longest goes where a principal keeps more than `each`; none of them while it is `busy`.
    """

    def __init__(  # noqa: PLR0913 - the bounds
        self,
        what: str,
        *,
        seconds: float,
        each: int = 256,
        most: int = 8192,
        busy: Callable[[T], bool] = lambda _: False,
        within: Callable[[T], float] = lambda _: math.inf,
        end: Callable[[T], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`what` it keeps, for people. `within`: seconds for one value, where those are fewer.

        `end` is called for what is not wanted any more.
        """
        self.what, self.seconds, self.each, self.most = what, seconds, each, most
        self._busy, self._within, self._end, self._clock = busy, within, end, clock
        self._entries: dict[bytes, _Entry[T]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def keep(self, owner: Principal, value: T, handle: bytes = b"") -> bytes:
        """Keep `value`; its handle.

        Raises:
            LimitError: Too much is kept already, and all of it is in use.
        """
        handle = handle or secrets.token_bytes(24)
        with self._lock:
            gone = self._expired()
            if handle not in self._entries:
                gone += self._surplus(owner)
            full = len(self._entries) >= self.most and handle not in self._entries
            if not full:
                self._entries[handle] = _Entry(owner, value, self._clock())
        self._finish(gone)
        if full:
            raise LimitError(f"too many {self.what}s are open", fix="close some, or wait")
        return handle

    def get(self, owner: Principal, handle: bytes) -> T:
        """What is kept under `handle`; it is kept for as long again.

        Raises:
            NotFoundError: There is nothing that is the owner's.
        """
        found = self.find(owner, handle)
        if found is not None:
            return found
        raise NotFoundError(
            f"this {self.what} is not known: it has ended, or was not used for too long",
            fix="begin it anew",
        )

    def find(self, owner: Principal | None, handle: bytes) -> T | None:
        """As `get`, None where there is nothing. `owner` None: whosever it is, for the handle alone proves it."""
        self.sweep()
        with self._lock:
            found = self._entries.get(handle)
            if found is None or (owner is not None and found.owner != owner):
                return None
            found.used = self._clock()
            return found.value

    def drop(self, owner: Principal, handle: bytes) -> None:
        """Let go of what is kept under `handle`, if it is the owner's."""
        with self._lock:
            found = self._entries.get(handle)
            mine = found is not None and found.owner == owner
            gone = [self._entries.pop(handle)] if mine else []
        self._finish(gone)

    def sweep(self) -> None:
        """Let go of what has not been used for too long."""
        with self._lock:
            gone = self._expired()
        self._finish(gone)

    def close(self) -> None:
        """Let go of all."""
        with self._lock:
            gone = list(self._entries.values())
            self._entries.clear()
        self._finish(gone)

    def _expired(self) -> list[_Entry[T]]:
        now = self._clock()
        idle = [
            handle
            for handle, e in self._entries.items()
            if now - e.used > min(self.seconds, self._within(e.value)) and not self._busy(e.value)
        ]
        return [self._entries.pop(handle) for handle in idle]

    def _surplus(self, owner: Principal) -> list[_Entry[T]]:
        """The oldest of the owner, where it has as many as it may."""
        mine = [(e.used, h) for h, e in self._entries.items() if e.owner.id == owner.id]
        if len(mine) < self.each:
            return []
        idle = [pair for pair in mine if not self._busy(self._entries[pair[1]].value)]
        if not idle:
            raise LimitError(
                f"{owner.id} has {self.each} {self.what}s open", fix="read some to the end"
            )
        return [self._entries.pop(min(idle)[1])]

    def _finish(self, gone: Iterable[_Entry[T]]) -> None:
        for entry in gone:
            self._end(entry.value)
