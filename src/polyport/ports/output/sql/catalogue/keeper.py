"""A process that keeps the node's PostgreSQL servers: they end when it does, and it ends when the node does.

Run by its path, with the standard library alone: it starts in milliseconds and holds nothing of the node. It takes
one JSON object a line and answers each with one; the end of its input, which comes however the node ends, stops the
servers and removes their folder, whatever it is at.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import queue
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""
_REMOVE = 0
"""IPC_RMID of shmctl."""
_SEGMENT_LINE = 6
"""Of `postmaster.pid`, from 0: key and id of the System V segment that PostgreSQL finds its like by."""
_MEMORY = 1 << 30
"""Address space of one server process, bytes."""
_PATIENCE = 2.0
"""Seconds for servers to stop by themselves. There is nothing in them: later they are killed."""
_LOCK = "keeper"
"""A file in the folder, locked for as long as somebody looks after it."""
_LIBC = ctypes.CDLL(None)


class Keeper:
    """The servers in one folder.

    `said`: `folder`, `bin` (PostgreSQL's programs), `copy` (what to copy where the user cannot read `bin`; empty: it
    can), `user` and `group` (numbers, of whom the servers run as; null: as this process), `settings` of the servers.
    """

    def __init__(self, said: dict[str, Any]) -> None:
        self.folder = Path(said["folder"])
        self.bin = Path(said["bin"])
        self.copy: str = said["copy"]
        self.settings: dict[str, str] = said["settings"]
        self.user: int | None = said["user"]
        self.group: int | None = said["group"]
        self.servers: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._ended = False

    def init(self, said: dict[str, Any]) -> None:
        """Make the template of all servers, and run `sql` in it."""
        self._reach()
        template = self.folder / "template"
        self._run(
            [
                *(str(self.bin / "initdb"), "-D", str(template), "-U", "polyport", "-A", "trust"),
                *("-E", "UTF8", "--locale=C", "--wal-segsize=1", "--no-sync", "--no-instructions"),
            ]
        )
        lines = "".join(line + "\n" for line in said["sql"])
        command = [str(self.bin / "postgres"), "--single", "-F", "-D", str(template)]
        out = self._run([*command, "-c", "exit_on_error=true", "postgres"], lines)
        if "ERROR:" in out or "FATAL:" in out:
            raise OSError(out)

    def start(self, said: dict[str, Any]) -> None:
        """Begin the server `name`: its socket is in the folder of that name."""
        home = self.folder / said["name"]
        self._run(["cp", "-Rp", str(self.folder / "template"), str(home)])
        given = {**self.settings, "unix_socket_directories": str(home)}
        options = [part for k, v in given.items() for part in ("-c", f"{k}={v}")]
        with (home / "log").open("ab") as log:
            self.servers[said["name"]] = subprocess.Popen(  # noqa: S603
                [str(self.bin / "postgres"), "-D", str(home), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as_user(),
            )

    def stop(self, said: dict[str, Any]) -> None:
        """End the server `name`, and remove its folder."""
        _end([self.servers.pop(said["name"])])
        _remove(self.folder / said["name"])

    def interrupt(self) -> None:
        """End what runs, and begin nothing more. For any thread."""
        with self._lock:
            self._ended = True
            if self._running is not None:
                with suppress(ProcessLookupError):  # it has ended meanwhile
                    os.killpg(self._running.pid, signal.SIGKILL)

    def close(self) -> None:
        """End all servers at once, and remove the folder."""
        _end(list(self.servers.values()))
        for home in self.folder.iterdir():
            _remove(home)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _reach(self) -> None:
        """Make sure that the servers' user can run PostgreSQL; copies it where it lies in a closed folder."""
        try:
            self._run([str(self.bin / "postgres"), "-V"])
        except OSError:
            if not self.copy:
                raise
            inside = self.bin.relative_to(self.copy)
            into = self.folder / "programs"
            for name in {inside.parts[0], f"{inside.parts[0]}.libs"}:
                if (Path(self.copy) / name).is_dir():
                    self._copied(Path(self.copy) / name, into / name)
            self.bin = into / inside
            self._run([str(self.bin / "postgres"), "-V"])

    def _copied(self, source: Path, target: Path) -> None:
        shutil.copytree(source, target, copy_function=self._copy)
        for path in (self.folder / "programs", target, *target.rglob("*")):
            path.chmod(0o755)

    def _copy(self, source: str, target: str) -> None:
        if self._ended:
            raise OSError("the programs are not needed any more")
        shutil.copy2(source, target)

    def _run(self, command: list[str], text: str = "") -> str:
        with self._lock:
            if self._ended:
                raise OSError(f"{command[0]} is not needed any more")
            running = self._running = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._as_user(),
            )
        try:
            said: bytes = running.communicate(text.encode())[0]
        finally:
            with self._lock:
                self._running = None
        out = said.decode(errors="replace")
        if running.returncode:
            raise OSError(f"{command[0]} failed: {out[-2000:]}")
        return out

    def _as_user(self) -> dict[str, Any]:
        given: dict[str, Any] = {
            "cwd": "/",
            "preexec_fn": _confine,
            "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        }
        if self.user is not None:
            given |= {"user": self.user, "group": self.group, "extra_groups": []}
        return given


def _confine() -> None:
    """In each child, as its own user: a limit of memory, no core files, and an end with this process."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        _LIBC.prctl(_DIE_WITH_PARENT, int(signal.SIGQUIT))


def _end(servers: list[subprocess.Popen[bytes]]) -> None:
    """End servers, all at once: at first they are asked to, by PostgreSQL's immediate shutdown."""
    until = time.monotonic() + _PATIENCE
    for server in servers:
        server.send_signal(signal.SIGQUIT)
    for server in servers:
        with suppress(subprocess.TimeoutExpired):
            server.wait(max(until - time.monotonic(), 0.0))
    for server in servers:
        if server.poll() is None:
            _kill(server)


def _kill(server: subprocess.Popen[bytes]) -> None:
    """End a server that does not stop, and its processes."""
    server.send_signal(signal.SIGSTOP)  # so that it begins no others
    for process in _children(server.pid):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    server.kill()
    server.wait()


def _children(process: int) -> list[int]:
    try:
        listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:  # not on Linux: they end when they see that their server is gone
        return []
    return [int(each) for each in listed.split()]


def _remove(home: Path) -> None:
    """Remove the folder of a server that has ended, and the segment that it could not remove if it was killed."""
    with suppress(OSError, IndexError, ValueError):
        said = (home / "postmaster.pid").read_text().splitlines()
        _LIBC.shmctl(int(said[_SEGMENT_LINE].split()[1]), _REMOVE, None)
    shutil.rmtree(home, ignore_errors=True)


def _lock(folder: Path) -> int:
    """Take `folder`, for as long as the descriptor is open; it has the lock's name only once it is locked."""
    draft = folder / f"{_LOCK}.new"
    found = os.open(draft, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(found, fcntl.LOCK_EX)
    draft.rename(folder / _LOCK)
    return found


def sweep(folder: Path) -> None:
    """Remove folders beside `folder` whose keepers were killed together with their nodes."""
    for lock in folder.parent.glob("polyport-*/" + _LOCK):
        with suppress(OSError):  # it is in use, or somebody else's
            found = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent)
            finally:
                os.close(found)


def _commands(keeper: Keeper) -> queue.SimpleQueue[str]:
    """The lines that come in; an empty one when there are no more, and then `keeper` is to end what it is at."""
    found: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        try:
            for line in sys.stdin:
                found.put(line)
            keeper.interrupt()
        finally:
            found.put("")

    threading.Thread(target=read, daemon=True).start()
    return found


def main() -> None:
    """Answer commands until there are no more."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, lambda *_: None)
    os.umask(0o077)
    keeper = Keeper(json.loads(sys.argv[1]))
    held = _lock(keeper.folder)
    sweep(keeper.folder)
    commands = _commands(keeper)
    try:
        while line := commands.get():
            said = json.loads(line)
            answer: dict[str, str] = {}
            try:
                {"init": keeper.init, "start": keeper.start, "stop": keeper.stop}[said["do"]](said)
            except OSError as error:
                answer = {"error": str(error)}
            with suppress(
                BrokenPipeError
            ):  # nobody waits for it any more: the end of the input comes next
                sys.stdout.write(json.dumps(answer) + "\n")
                sys.stdout.flush()
    finally:
        keeper.close()
        os.close(held)


if __name__ == "__main__":
    main()
