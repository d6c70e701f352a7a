"""How long raw data, refused rows and logs are kept: as long as a snapshot that came from them, and a few runs more.

A run's list goes first, then the raw files that no list names any more, then what the run set aside. A cleanup that is
cut off leaves files that no run stands on; the next one takes them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from polyport.pipeline.folders import safe, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime
    from pathlib import Path

    from polyport.pipeline.raw import RawStore

_LOCK = "lock"
LOGS = 100
"""Of how many runs whose raw data need not be kept logs stay at least: they are small, and tell why it failed."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a product keeps beside its snapshots."""

    raw: RawStore
    quarantine: Path
    """Has a folder for each run that set rows aside."""
    logs: Path
    """Has the two logs of each run."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What to keep besides the runs that kept snapshots came from."""

    runs: int
    """The newest so many of the others."""
    since: datetime | None = None
    """None of them that is older; None: no matter how old."""


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """A block in which nothing of the raw data in `folder` is removed: shared by those who use it.

    Raises:
        StoreError: No space, or no permission.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def tidy(kept: Kept, needed: Callable[[], Collection[str]], limits: Limits) -> tuple[str, ...]:
    """Remove what no kept snapshot came from and `limits` do not keep; the runs whose raw data went.

    Nothing is removed while a build is going on: the next cleanup comes after it.

    Args:
        kept: Where it lies.
        needed: Gives the runs that kept snapshots came from; asked when no build is going on.
        limits: What to keep besides.

    Raises:
        StoreError: A list is damaged (then nothing is removed), or there is no permission.
    """
    if not kept.raw.folder.is_dir():
        return ()
    with _alone(kept.raw.folder) as alone:
        if not alone:
            return ()
        staying = _staying(kept.raw, frozenset(needed()), limits)
        gone = kept.raw.remove(staying)
        _clear(kept.quarantine, {safe(run) for run in staying})
        _clear_logs(kept.logs, {safe(run) for run in staying}, limits)
    return gone


def _staying(raw: RawStore, needed: frozenset[str], limits: Limits) -> frozenset[str]:
    noted = raw.noted()
    others = sorted(noted.keys() - needed, key=lambda run: (noted[run], run), reverse=True)
    young = [run for run in others if limits.since is None or noted[run] >= limits.since]
    accepted = {raw.accepted()} & noted.keys()
    return needed & noted.keys() | accepted | frozenset(young[: limits.runs])


def _clear(quarantine: Path, staying: Collection[str]) -> None:
    with writing(quarantine):
        for folder in quarantine.iterdir() if quarantine.is_dir() else ():
            if folder.name not in staying:
                shutil.rmtree(folder)


def _clear_logs(logs: Path, staying: Collection[str], limits: Limits) -> None:
    """Remove the logs of runs that are neither `staying` nor among the newest others."""
    with writing(logs):
        found = {path: path.stat().st_mtime for path in logs.glob("*.log")} if logs.is_dir() else {}
        written: dict[str, float] = {}
        for path, at in found.items():
            written[_run_of(path)] = max(at, written.get(_run_of(path), 0.0))
        since = limits.since.timestamp() if limits.since else 0.0
        others = sorted(written.keys() - {*staying}, key=lambda run: (written[run], run))[::-1]
        young = [run for run in others[: max(limits.runs, LOGS)] if written[run] >= since]
        for path in found:
            if _run_of(path) not in {*staying, *young}:
                path.unlink(missing_ok=True)


def _run_of(path: Path) -> str:
    return path.name.removesuffix(".log").removesuffix(".errors")


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether nobody uses the raw data in `folder`; if so, nobody begins to within the block."""
    with writing(folder):
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield _seized(descriptor)
    finally:
        os.close(descriptor)


def _seized(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
