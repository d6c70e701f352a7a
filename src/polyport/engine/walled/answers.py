"""Small answers that are given again: the tables that a worker sees never change, so neither does what it says."""

from __future__ import annotations

import pickle
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from polyport.engine.walled.universe import Universe

MOST_BYTES = 32 << 20
SECONDS = 600.0
"""How long one is kept: rows that are erased do not stay in memory for ever."""
_OVERHEAD = 2_000
"""Bytes that one takes besides its rows, about."""


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer that was read to its end, and found to be well formed."""

    said: Mapping[str, Any]
    schema: pa.Schema
    batches: Sequence[pa.RecordBatch] = ()


class Answers:
    """Those asked for last, of all sessions of this process. For any thread."""

    def __init__(self, most_bytes: int = MOST_BYTES, seconds: float = SECONDS) -> None:
        self._most, self._seconds = most_bytes, seconds
        self._kept: OrderedDict[bytes, tuple[float, int, Whole]] = OrderedDict()
        self._bytes = 0
        self._look = 0.0
        """When to look for those that are too old again: there may be thousands."""
        self._lock = threading.Lock()

    @staticmethod
    def key(universe: Universe, most: Mapping[str, int], request: Mapping[str, Any]) -> bytes:
        """Equal only for requests whose answers are. Values of parameters count with their types."""
        return pickle.dumps((universe.key, sorted(most.items()), request), protocol=5)

    def find(self, key: bytes) -> Whole | None:
        """The answer, where it is kept."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            if found[0] < time.monotonic():
                self._drop(key)
                return None
            self._kept.move_to_end(key)
            return found[2]

    def keep(self, key: bytes, answer: Whole) -> None:
        """Give `answer` again to whoever asks for the same. It has to depend on nothing but the tables."""
        size = len(key) + sum(batch.nbytes for batch in answer.batches) + _OVERHEAD
        now = time.monotonic()
        with self._lock:
            if key in self._kept:
                self._drop(key)
            self._kept[key] = (now + self._seconds, size, answer)
            self._bytes += size
            if now >= self._look:
                self._look = now + self._seconds / 10
                for old in [k for k, (until, _, _) in self._kept.items() if until < now]:
                    self._drop(old)
            while self._bytes > self._most:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: bytes) -> None:
        self._bytes -= self._kept.pop(key)[1]
