"""CPU and memory of a process and of all that it started, while it goes on."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVERY = 0.05
"""Seconds between two looks at memory."""


def tree(pid: int) -> list[int]:
    """The process and all that it started."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue
    return found


def cpu(pid: int) -> float:
    """Seconds of CPU of the process and all that it started, those that have ended too."""
    ticks = 0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text("ascii").rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """Memory of its own that a process holds, in MiB: pages of files, which all share, do not count."""
    try:
        said = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return sum(int(x.split()[1]) for x in said.splitlines() if x.startswith("RssAnon")) / 1024


class Memory:
    """What a server and all that it started held, by how far its answer had come."""

    def __init__(self) -> None:
        self.samples: list[tuple[int, float, float]] = []
        """Bytes read; MiB of the server; MiB of all else."""

    def said(self) -> str:
        """The most of the first and of the last quarter of the bytes."""
        end = max(read for read, _, _ in self.samples)
        first = [s for s in self.samples if 0 < s[0] <= end / 4] or self.samples[:1]
        last = [s for s in self.samples if s[0] >= end * 3 / 4]
        server, others = ([max(s[n] for s in part) for part in (first, last)] for n in (1, 2))
        return (
            f"server {server[0]:.0f} MiB at most in the first quarter of {end / 1e6:,.0f} MB, {server[1]:.0f} in the"
            f" last; its workers and all else {others[0]:.0f}, {others[1]:.0f}"
        )


@contextmanager
def watched(pid: int, read: Callable[[], int]) -> Iterator[Memory]:
    """Look at memory while the block runs; `read`: the bytes so far."""
    memory, over = Memory(), threading.Event()

    def look() -> None:
        while not over.is_set():
            others = sum(map(resident, tree(pid)[1:]))
            memory.samples.append((read(), resident(pid), others))
            time.sleep(EVERY)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield memory
    finally:
        over.set()
        watcher.join()
