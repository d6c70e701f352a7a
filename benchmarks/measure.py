"""Time, CPU and peak memory of a command."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def median(figures: Sequence[Figures]) -> Figures:
    """The median of each figure."""
    return Figures(
        statistics.median(f.seconds for f in figures),
        statistics.median(f.cpu for f in figures),
        int(statistics.median(f.peak for f in figures)),
    )


@dataclass(frozen=True)
class Figures:
    """What one run of a command, or one statement, took."""

    seconds: float
    cpu: float
    peak: int
    """Bytes resident at most; 0: not measured."""


def run(command: list[str]) -> Figures:
    """Run `command` to its end; it must succeed. Bytecode is kept, as it is where a package was installed."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=kept)
    noise = process.stderr.read()
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}:\n{noise.decode()}")
    return Figures(
        time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    )
