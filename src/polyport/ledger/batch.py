"""Many small records, written together by one thread that runs only while something waits."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
log = logging.getLogger("polyport.ledger")


class Batch(Generic[T]):
    """Collects items, and hands them to `write` at most `seconds` after the first of them came."""

    def __init__(self, write: Callable[[Sequence[T]], None], *, seconds: float) -> None:
        self._write = write
        self._seconds = seconds
        self._waiting: list[T] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._timer: threading.Timer | None = None
        self._closed = False

    def add(self, item: T) -> None:
        """Take `item`; after `close`, it is written at once."""
        with self._lock:
            self._waiting.append(item)
            if self._timer is None and not self._closed:
                self._timer = threading.Timer(self._seconds, self._flush_quietly)
                self._timer.daemon = True
                self._timer.start()
            closed = self._closed
        if closed:
            self.flush()

    def flush(self) -> None:
        """Write what waits. What could not be written keeps waiting, and the error is raised."""
        with self._writing:
            with self._lock:
                items, self._waiting = self._waiting, []
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
            try:
                if items:
                    self._write(items)
            except BaseException:
                with self._lock:
                    self._waiting[:0] = items
                raise

    def close(self) -> None:
        """Write what waits, and end the thread."""
        timer = self._timer
        self._closed = True
        self.flush()
        if timer is not None and timer is not threading.current_thread():
            timer.join()

    def _flush_quietly(self) -> None:
        """On the timer's thread nobody could catch an error: it is logged, and the next item tries again."""
        try:
            self.flush()
        except Exception:
            log.exception(
                "reads could not be written to the ledger; they wait for the next attempt"
            )
