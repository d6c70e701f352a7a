"""`statement_timeout`: what a client lets its statements take, below what the product lets them."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from polyport.access.sql import CancelledError
from polyport.ports.output.sql.states import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_AGAIN: Final = 0.05
"""Seconds after which a statement that did not end is ended again: it may have had no worker yet."""


def seconds(shown: str) -> float:
    """The seconds that a setting says as SHOW shows it: `2s`, `500ms`, `1min`; 0: there is no limit."""
    found = re.fullmatch(r"(\d+)\s*(us|ms|s|min|h|d|)", shown.strip())
    return int(found[1]) * _UNITS[found[2]] if found else 0.0


@contextmanager
def within(limit: float, cancel: Callable[[], None]) -> Iterator[None]:
    """What runs in here is cancelled when it takes longer than `limit` seconds; 0: it may take any time.

    Raises:
        StateError: It took longer.
    """
    if not limit:
        yield
        return
    done, late = threading.Event(), threading.Event()

    def watch() -> None:
        wait = limit
        while not done.wait(wait):
            late.set()
            cancel()
            wait = _AGAIN

    thread = threading.Thread(target=watch, name="sql-deadline", daemon=True)
    thread.start()
    try:
        yield
    except CancelledError:
        if not late.is_set():
            raise
        raise StateError(
            "57014",
            "canceling statement due to statement timeout",
            fix="SET statement_timeout to more, or ask for less",
        ) from None
    finally:
        done.set()
        thread.join()
