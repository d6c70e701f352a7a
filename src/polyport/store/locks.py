"""Advisory locks (flock) on files: a lock ends with the process that holds it, however that ends."""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """The only one in here, over threads and processes; waits. The file stays."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def create(path: Path) -> int | None:
    """The descriptor of a new lock file, locked; None if someone else has it."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
    except FileExistsError:
        return None
    return seize(path)


def seize(path: Path) -> int | None:
    """The descriptor of a file that nobody holds, locked; None if it is held or gone. Close it to let go."""
    return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock(path: Path, operation: int) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, operation)
        if _is_at(descriptor, path):
            return descriptor
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the file that was locked is still the one with this name: it may have gone while we waited."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def holders(path: Path) -> tuple[int, ...]:
    """The ids of the processes that hold the file, as far as the system tells (Linux does)."""
    found = path.stat()
    mark = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    try:
        lines = Path("/proc/locks").read_text("ascii").splitlines()
    except OSError:
        return ()
    fields = [line.replace("->", "").split() for line in lines]
    return tuple(sorted({int(f[4]) for f in fields if f[5] == mark}))


@dataclass(slots=True)
class Held:
    """A file that this process holds: this very file, also when another has taken its name since."""

    path: Path
    descriptor: int
    count: int


class Holds:
    """Shared locks on files, counted: many readers in this process use one descriptor."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held: dict[Path, Held] = {}

    def take(self, path: Path) -> Held | None:
        """Hold the file; None if it is gone. Every hold needs its `drop`."""
        with self._mutex:
            held = self._held.get(path)
            if held is not None and _is_at(held.descriptor, path):
                held.count += 1
                return held
            descriptor = _lock(path, fcntl.LOCK_SH)
            if descriptor is None:
                return None
            self._held[path] = held = Held(path, descriptor, 1)
            return held

    def drop(self, held: Held) -> None:
        """Let go of the file; the last one out unlocks it."""
        with self._mutex:
            held.count -= 1
            if not held.count:
                if self._held.get(held.path) is held:
                    del self._held[held.path]
                os.close(held.descriptor)
