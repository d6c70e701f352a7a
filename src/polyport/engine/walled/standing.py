"""Which walls of the system's stand around the workers on this machine: a real worker runs into each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from polyport.engine.walled.pool import Workers
from polyport.engine.walled.protocol import Silent
from polyport.engine.walled.universe import Universe
from polyport.errors import StoreError


@dataclass(frozen=True, slots=True)
class Wall:
    """One of them."""

    name: str
    stands: bool
    detail: str
    """What it keeps a worker from; where it does not stand, what it needs."""


_KNOWN = {
    "files": (
        "a worker opens the files of its datasets, and writes where it spills",
        "needs Landlock: Linux 5.13, and `landlock` in the kernel's `lsm=`",
    ),
    "calls": (
        "no program, no process, no socket, no signal to others",
        "needs seccomp filters, on x86_64 or aarch64",
    ),
    "rights": ("no capabilities", "capabilities cannot be given up"),
    "network": (
        "no network at all",
        "needs user namespaces (kernel.unprivileged_userns_clone, user.max_user_namespaces), or root",
    ),
}


def walls() -> tuple[Wall, ...]:
    """All walls, each as a worker that was started for it found it.

    Raises:
        StoreError: No worker can be started.
        ConfigurationError: The machine is no Linux.
    """
    with TemporaryDirectory(prefix="polyport-doctor-") as scratch:
        workers = Workers(scratch=Path(scratch))
        try:
            worker = workers.lend(Universe(()))
            try:
                found = worker.ask({"what": "walls"})
            except Silent:
                raise StoreError("a worker for SQL ended as it tried its walls") from None
            finally:
                worker.kill()
                workers.give_back(worker)
        finally:
            workers.close()
    apart = found["network"] != Path("/proc/self/ns/net").stat().st_ino
    held = {**found["walls"], "network": apart}
    return tuple(
        Wall(name, held[name], stands if held[name] else missing)
        for name, (stands, missing) in _KNOWN.items()
    )
