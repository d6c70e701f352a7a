"""What a build is doing now, in one line that is drawn again and again; on a terminal and nowhere else."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from polyport.cli import console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from polyport.pipeline import Activity

_EVERY = 0.1
_QUIET = 0.3
"""Seconds: what is done by then was never shown."""
_BAR = 24
_CLEARED = "\r\x1b[2K"


@contextmanager
def shown() -> Iterator[Callable[[Activity | None], None]]:
    """A function to tell what begins, and None when it ended; the line is gone by the time that it returns."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda _: None
        return
    line = _Line()
    thread = threading.Thread(target=line.draw, name="polyport-activity", daemon=True)
    thread.start()
    try:
        yield line.tell
    finally:
        line.tell(None)
        line.ended.set()
        thread.join()


class _Line:
    """The last line of the terminal while something is going on."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._now: Activity | None = None
        self._since = 0.0
        self._drawn = False

    def tell(self, activity: Activity | None) -> None:
        """From now on it is `activity`, or nothing."""
        with self._lock:
            self._now, self._since = activity, time.perf_counter()
            if self._drawn:
                self._write(_CLEARED)
                self._drawn = False

    def draw(self) -> None:
        """Draw until `ended`."""
        while not self.ended.wait(_EVERY):
            with self._lock:
                seconds = time.perf_counter() - self._since
                if self._now is not None and seconds >= _QUIET:
                    self._write(_CLEARED + told(self._now, seconds))
                    self._drawn = True

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def told(activity: Activity, seconds: float) -> str:
    """`… transform costs   ######------------------  25 %  3.2 s`."""
    name = console.cut(console.cell(activity.name), 24).ljust(24)
    fraction, received = activity.fraction(), activity.bytes()
    parts = [
        bar(fraction) if fraction is not None else "",
        console.size(received) if received else "",
        f"{seconds:.1f} s",
    ]
    text = f"  … {activity.stage.ljust(9)} {name} {'  '.join(filter(None, parts))}"
    return console.cut(text, console.width() - 1)


def bar(fraction: float) -> str:
    """`######------------------  25 %`."""
    full = int(fraction * _BAR)
    return f"{'#' * full}{'-' * (_BAR - full)} {fraction:4.0%}".replace("%", " %")
