"""How much each principal may ask for: counted in memory, by each process that serves."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from polyport.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MINUTE = 60.0
_CROWD = 1_000
"""Principals that are remembered before those that are quiet are forgotten."""

_counted: ContextVar[set[str] | None] = ContextVar("counted", default=None)


@contextmanager
def one_request() -> Iterator[None]:
    """What is opened in here, and in threads that work for it, counts as one request of each principal."""
    token = _counted.set(set())
    try:
        yield
    finally:
        _counted.reset(token)


@dataclass(slots=True)
class Requests:
    """The requests of the last minute, by principal. Safe over threads."""

    clock: Callable[[], float] = time.monotonic
    _made: dict[str, deque[float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, principal: str, most: int, *, where: str = "") -> None:
        """Count one request of `principal`, who may make `most` in a minute. A refused one does not count.

        Within `one_request` the first call counts.

        Raises:
            LimitError: It made as many already; says when to ask again.
        """
        now, counted = self.clock(), _counted.get()
        if counted is not None and principal in counted:
            return
        with self._lock:
            if len(self._made) > _CROWD:
                self._forget(now)
            made = self._made.setdefault(principal, deque())
            while made and now - made[0] >= MINUTE:
                made.popleft()
            if len(made) < most:
                made.append(now)
                if counted is not None:
                    counted.add(principal)
                return
            wait = max(1, -int(-(MINUTE - (now - made[-most])) // 1))
        raise LimitError(
            f"{principal} made {most} requests in a minute, which is as many as it may",
            where=where,
            fix=f"ask again in {wait} s",
            retry_after=wait,
        )

    def _forget(self, now: float) -> None:
        quiet = [name for name, made in self._made.items() if not made or now - made[-1] >= MINUTE]
        for name in quiet:
            del self._made[name]
