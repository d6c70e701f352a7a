"""Ends what nobody waits for any more: pyarrow tells only the one who asks that a client is gone."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyarrow import flight

EVERY = 0.1
"""Seconds between two looks."""
ROUNDS = 50
"""How many looks between two sweeps."""


class Watch:
    """A thread that looks after the calls that run."""

    def __init__(self, sweeps: Sequence[Callable[[], None]] = ()) -> None:
        """`sweeps` are called every few seconds."""
        self._sweeps = sweeps
        self._calls: dict[int, tuple[flight.ServerCallContext, Callable[[], None]]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="flight-watch", daemon=True)
        self._thread.start()

    def begin(self, call: flight.ServerCallContext, cancel: Callable[[], None]) -> int:
        """Call `cancel` when the client of `call` is gone; a number to `end` it with, before the call ends."""
        with self._lock:
            self._calls[id(call)] = (call, cancel)
        return id(call)

    def end(self, number: int) -> None:
        """Look after it no longer."""
        with self._lock:
            self._calls.pop(number, None)

    @contextmanager
    def over(self, call: flight.ServerCallContext, cancel: Callable[[], None]) -> Iterator[None]:
        """Look after a call while this runs."""
        number = self.begin(call, cancel)
        try:
            yield
        finally:
            self.end(number)

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        rounds = 0
        while not self._stop.wait(EVERY):
            for cancel in self._gone():
                cancel()
            rounds += 1
            if rounds % ROUNDS == 0:
                for sweep in self._sweeps:
                    sweep()

    def _gone(self) -> list[Callable[[], None]]:
        """What to call for those that are gone. Under the lock: a call that has ended must not be asked."""
        with self._lock:
            gone = [n for n, (call, _) in self._calls.items() if call.is_cancelled()]
            return [self._calls.pop(number)[1] for number in gone]
