"""Walls of the system's around a worker: raised before the engine starts its threads, and never taken down.

Each is raised where the machine has it, and stands without the others. They are for the day on which the engine itself
is broken: nothing that it does in peace runs into one. Sources: the kernel's userspace-api/landlock and
userspace-api/seccomp_filter, and capabilities(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
from functools import cache
from importlib.resources import files as resources
from importlib.util import find_spec
from typing import TYPE_CHECKING
from zoneinfo import TZPATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
OWN = ("/proc/self/statm", "/proc/self/cgroup", "/sys/devices/system/cpu", "/sys/fs/cgroup")
"""What the engine reads of the machine as it is opened: how much memory and how many cores it has."""
_libc = ctypes.CDLL(None, use_errno=True)


def confine(files: Iterable[str], scratch: str) -> None:
    """From here on this thread, and whichever it starts, reads `files` and writes below `scratch`, and no more.

    Call it while there is no other thread: those are not confined.
    """
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    limit_files(files, scratch)
    drop_rights()
    limit_calls()


# --- rights ---------------------------------------------------------------------------------------------------------

_CAPABILITIES = struct.pack("=Ii", 0x20080522, 0)  # their third version; of this thread


def drop_rights() -> None:
    """Give up all capabilities: root is then a user as others are."""
    _libc.capset(_CAPABILITIES, bytes(24))


def _rights() -> bool:
    """Whether this thread has any capability."""
    held = ctypes.create_string_buffer(24)
    return _libc.capget(_CAPABILITIES, held) != 0 or any(held.raw)


# --- files: Landlock ------------------------------------------------------------------------------------------------

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""Calls, numbered alike on all machines."""
WRITE_FILE, READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
REMOVE_FILE, MAKE_REG, TRUNCATE = 1 << 5, 1 << 8, 1 << 14
_FILES = {1: 13, 2: 14, 3: 15, 5: 16}
"""Since which version there are how many rights over files."""
_TCP, _SCOPES = 4, 6
"""Since which version TCP is ruled; abstract sockets and signals are."""
_PATH_BENEATH = 1
_O_PATH = getattr(os, "O_PATH", 0)


def landlock() -> int:
    """The version of Landlock that this machine has; 0: none."""
    return max(0, int(_libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def limit_files(files: Iterable[str], scratch: str) -> None:
    """Nothing but `files` can be opened, and what is below `scratch`; no TCP; signals reach this process only."""
    version = landlock()
    if not version:
        return
    rights = max(count for since, count in _FILES.items() if since <= version)
    handled = (1 << rights) - 1
    attributes = struct.pack(
        "=QQQ", handled, 0b11 if version >= _TCP else 0, 0b11 if version >= _SCOPES else 0
    )
    size = 24 if version >= _SCOPES else 16 if version >= _TCP else 8
    ruleset = _libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return
    for path in OWN:
        _allow(
            ruleset, path, READ_FILE
        )  # and held: the system forgets its rule with an entry of /proc
    spilling = WRITE_FILE | READ_FILE | READ_DIR | REMOVE_FILE | MAKE_REG | TRUNCATE
    _close(_allow(ruleset, scratch, spilling & handled))
    for path in files:
        _close(_allow(ruleset, path, READ_FILE))
    for path in _zones():
        _close(_allow(ruleset, path, READ_FILE | READ_DIR))
    _libc.syscall(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


@cache
def _zones() -> tuple[str, ...]:
    """Where the rules of time zones lie, which values of consumers may have."""
    package = find_spec("tzdata")
    return (*TZPATH, *(package.submodule_search_locations or () if package else ()))


def _allow(ruleset: int, path: str, rights: int) -> int | None:
    """Let `path` be used so; what it is held by, where it is there."""
    try:
        place = os.open(path, _O_PATH | os.O_CLOEXEC)
    except OSError:  # where the engine misses it, it will say so
        return None
    _libc.syscall(ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
    return place


def _close(place: int | None) -> None:
    if place is not None:
        os.close(place)


# --- calls: seccomp -------------------------------------------------------------------------------------------------

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Those whose calls are known: their column in calls.txt, and what the kernel calls them."""
LAST = 450
"""The newest call that calls.txt was made for; it is Linux 5.17's."""
ALLOW, KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
REFUSE, ABSENT = _ERROR | errno.EPERM, _ERROR | errno.ENOSYS
ACTIONS = {"refuse": REFUSE, "end": KILL, "absent": ABSENT}
_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16
"""Where these lie in what a filter is shown; arguments as 8 bytes each, of which it looks at the lower 4."""
CLONE_THREAD = 0x00010000
_SENDS_SIGNALS = {"fcntl": (8, 10, 15), "ioctl": (0x5412, 0x541C, 0x540E, 0x8901, 0x8902)}
"""F_SETOWN, F_SETSIG, F_SETOWN_EX; TIOCSTI, TIOCLINUX, TIOCSCTTY, FIOSETOWN, SIOCSPGRP: by others' signals or keys."""

Step = tuple[int, int, int, int]
"""One instruction of classic BPF: code, how many to skip where a test holds and where not, operand."""


def _load(place: int) -> Step:
    return (0x20, 0, 0, place)


def _give(action: int) -> Step:
    return (0x06, 0, 0, action)


def _where(number: int, steps: list[Step]) -> list[Step]:
    """`steps` where what was loaded is `number`."""
    return [(0x15, 0, len(steps), number), *steps]


def _above(number: int, steps: list[Step]) -> list[Step]:
    return [(0x25, 0, len(steps), number), *steps]


def _having(bit: int, steps: list[Step]) -> list[Step]:
    return [(0x45, 0, len(steps), bit), *steps]


def _by_argument(call: str, process: int) -> list[Step]:
    """What becomes of a call that is judged by one of its arguments."""
    first, second = _load(_ARGUMENTS), _load(_ARGUMENTS + 8)
    mine = _where(process, [_give(ALLOW)])
    if call == "clone":
        return [first, *_having(CLONE_THREAD, [_give(ALLOW)]), _give(REFUSE)]
    if call in _SENDS_SIGNALS:
        refused = (s for asked in _SENDS_SIGNALS[call] for s in _where(asked, [_give(REFUSE)]))
        return [second, *refused, _give(ALLOW)]
    if call == "prlimit64":
        return [first, *mine, *_where(0, [_give(ALLOW)]), _give(REFUSE)]
    return [first, *mine, _give(REFUSE)]


@cache
def _calls() -> tuple[tuple[str, str, tuple[str, str]], ...]:
    text = resources(__package__ or "").joinpath("calls.txt").read_text("utf-8")
    rows = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return tuple((action, call, (one, other)) for action, call, one, other in rows)


def program(machine: str, process: int) -> list[Step]:
    """The filter for a machine, and for the process that may send signals to itself."""
    column, kernels = MACHINES[machine]
    steps = [_load(_MACHINE), (0x15, 1, 0, kernels), _give(KILL), _load(_NUMBER)]
    steps += _above(LAST, [_give(ABSENT)])
    for action, call, numbers in _calls():
        if numbers[column] != "-":
            judged = action == "argument"
            body = _by_argument(call, process) if judged else [_give(ACTIONS[action])]
            steps += _where(int(numbers[column]), body)
    return [*steps, _give(ALLOW)]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def limit_calls() -> None:
    """Start no program or process, open no socket, and ask nothing else of the system that the engine never does."""
    machine = platform.machine()
    if machine not in MACHINES or ctypes.sizeof(ctypes.c_void_p) != 8:  # noqa: PLR2004 - bytes of an address
        return
    steps = program(machine, os.getpid())
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    _libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(_Program(len(steps), code)))


def prepare() -> None:
    """Read what `confine` needs, before there is much to confine."""
    _calls()
    _zones()


# --- whether they stand ---------------------------------------------------------------------------------------------


def tried() -> dict[str, bool]:
    """Which walls hold, by running into each; for a process that has nothing else to do."""
    return {
        "files": _all_refused(
            lambda: _opened(__file__, os.O_RDONLY), lambda: _opened(os.devnull, os.O_WRONLY)
        ),
        "calls": _all_refused(_socket, _program, _child, lambda: os.kill(os.getppid(), 0)),
        "rights": not _rights(),
    }


def network() -> int:
    """Equal in two processes if and only if they are in the same network."""
    return os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116 - the zygote loads no more than it must


def _all_refused(*attempts: Callable[[], object]) -> bool:
    return all(map(_refused, attempts))


def _refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _opened(path: str, how: int) -> None:
    os.close(os.open(path, how))


def _socket() -> None:
    socket.socket().close()


def _program() -> None:
    os.execv("/nonexistent", ["/nonexistent"])  # noqa: S606 - where it is let in, nothing starts


def _child() -> None:
    process = os.fork()
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)
