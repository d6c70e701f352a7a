"""The keeper of the workers: starts them, lends them, and ends them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from polyport.engine.walled.answers import Answers
from polyport.engine.walled.large import LargeAnswers
from polyport.engine.walled.protocol import Channel, Silent
from polyport.engine.walled.universe import Walls, told
from polyport.errors import ConfigurationError, LimitError, StoreError
from polyport.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from polyport.engine.walled.universe import Universe

START_SECONDS = 30.0
IDLE_SECONDS = 300.0
ENDING_MILLISECONDS = 5_000
WIDE = "wide"
"""The folder for what large statements spill."""


class Worker:
    """One process that is lent to one statement at a time."""

    def __init__(
        self, key: tuple[Any, ...], end: socket.socket, process: int, scratch: Path
    ) -> None:
        self.key = key
        """Equal for whoever may be lent it."""
        self.channel = Channel(end, START_SECONDS)
        self.idle_since = 0.0
        self.scratch = scratch
        self._process = process
        self._ends = _polled(process, end)
        self._killed = self._gone = False
        self._lock = threading.Lock()

    @property
    def alive(self) -> bool:
        """Whether it can be asked: it runs, and says nothing unasked, not even that it ended."""
        with self._lock:
            return not self._killed and not self._ends.poll(0)

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            Silent: It was ended, or is late; `kill` it.
        """
        self.channel.tell(message)
        return self.channel.answered()

    def kill(self) -> None:
        """End the process at once; for any thread."""
        with self._lock:
            if self._killed:
                return
            self._killed = True
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            with contextlib.suppress(OSError):  # wakes a thread that waits for it
                self.channel.socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """End the process, and remove what it left."""
        self.kill()
        with self._lock:
            if self._gone:
                return
            self._gone = True
            _polled(self._process).poll(ENDING_MILLISECONDS)
            os.close(self._process)
            self.channel.close()
        shutil.rmtree(self.scratch, ignore_errors=True)


def _polled(*ends: int | socket.socket) -> select.poll:
    """Tells which of the ends can be read, or are closed."""
    poll = select.poll()
    for end in ends:
        poll.register(end, select.POLLIN)
    return poll


class Workers:
    """All workers of this process; `close()` it. For any thread."""

    def __init__(self, walls: Walls | None = None, *, scratch: Path | None = None) -> None:
        self.walls = walls or Walls()
        self.answers, self.large = Answers(), LargeAnswers()
        self._parent = scratch
        self._scratch: Scratch | None = None
        self._forked = 0
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._starting = threading.Lock()
        self._changed = threading.Condition()
        self._idle: list[Worker] = []
        self._lent: set[Worker] = set()
        self._begun = 0
        """How many places are taken by workers that are being started."""
        self._closed = False

    def lend(
        self,
        universe: Universe,
        walls: Walls | None = None,
        *,
        wanted: Callable[[], bool] = lambda: True,
    ) -> Worker:
        """A worker for `universe`; give it back. `wanted`: whether it still is; `wake` has it asked again.

        Raises:
            Silent: It is not wanted any more.
            LimitError: All are busy for longer than a statement may take.
            StoreError: No process can be started, or what it is to see cannot be read.
            ConfigurationError: The machine is no Linux.
        """
        walls = walls or self.walls
        key = (universe.key, walls.memory, walls.spill, walls.threads)
        worker = self._found(key, walls, wanted) or self._new(universe, walls, key)
        worker.channel.budget = walls.seconds
        return worker

    def give_back(self, worker: Worker) -> None:
        """Whoever has it is done with it; where it still computes, it is ended."""
        with self._changed:
            self._lent.discard(worker)
            kept = not self._closed and worker.alive
            if kept:
                worker.idle_since = time.monotonic()
                self._idle.append(worker)
            self._changed.notify()
        if not kept:
            worker.end()

    def wake(self) -> None:
        """Have all that wait for a worker see whether they still want one."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """End all processes."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            for worker in self._lent:
                worker.kill()
            self._changed.notify_all()
        self.large.close()
        for worker in idle:
            worker.end()
        with self._starting:
            self._end_zygote()
            if self._scratch is not None:
                self._scratch.remove()

    def _found(
        self, key: tuple[Any, ...], walls: Walls, wanted: Callable[[], bool]
    ) -> Worker | None:
        """An idle worker; None: a place for a new one."""
        until = time.monotonic() + walls.seconds
        ended = list[Worker]()
        try:
            with self._changed:
                while not self._closed:
                    if not wanted():
                        self._changed.notify()  # whom it was woken instead of
                        raise Silent
                    if (found := self._idle_one(key, ended)) is not None:
                        return found
                    if len(self._lent) + self._begun < walls.most_workers:
                        self._begun += 1
                        return None
                    left = until - time.monotonic()
                    if left <= 0 or not self._changed.wait(left):
                        raise LimitError(
                            f"all {walls.most_workers} workers were busy for {walls.seconds:g} seconds",
                            fix="ask again later; or raise limits.sql.workers in polyport.yaml",
                            retry_after=5,
                        )
        finally:
            for worker in ended:
                worker.end()
        raise StoreError("no worker for SQL can be started: this process ends")

    def _idle_one(self, key: tuple[Any, ...], ended: list[Worker]) -> Worker | None:
        """Lend the one for `key` that was used last; what is of no use any more is added to `ended`."""
        now, most = time.monotonic(), self.walls.most_workers
        kept = [w for w in self._idle if now - w.idle_since < IDLE_SECONDS][-most:]
        ended += [w for w in self._idle if w not in kept]
        self._idle = kept
        for worker in [w for w in reversed(kept) if w.key == key]:
            self._idle.remove(worker)
            if worker.alive:
                self._lent.add(worker)
                return worker
            ended.append(worker)
        return None

    def _new(self, universe: Universe, walls: Walls, key: tuple[Any, ...]) -> Worker:
        """A new worker, in the place that was found for it."""
        worker = None
        try:
            worker = self._started(key)
            self._prepare(worker, universe, walls)
        except BaseException:
            if worker is not None:
                worker.end()
            with self._changed:
                self._begun -= 1
                self._changed.notify()
            raise
        with self._changed:
            self._begun -= 1
            self._lent.add(worker)
            if self._closed:
                worker.kill()
        return worker

    def _started(self, key: tuple[Any, ...]) -> Worker:
        with self._starting:
            if self._closed:
                raise StoreError("no worker for SQL can be started: this process ends")
            try:
                ours, handle = self._fork()
            except OSError:  # the process that forks was ended: once more, with another
                self._end_zygote()
                try:
                    ours, handle = self._fork()
                except OSError as error:
                    self._end_zygote()
                    raise StoreError(f"no worker for SQL can be started: {error}") from error
            return Worker(key, ours, handle, self._folder())

    def _fork(self) -> tuple[socket.socket, int]:
        """Our end of a new worker's socket, and a handle (pidfd) of its process."""
        control = self._forking()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(control, [b"fork"], [theirs.fileno()])
                _, handles, _, _ = socket.recv_fds(control, 16, 1)
        except BaseException:
            ours.close()
            raise
        if not handles:
            ours.close()
            raise ConnectionError("the process that workers are forked from has ended")
        return ours, handles[0]

    def _forking(self) -> socket.socket:
        """The socket of the process that forks; starts it where it does not run."""
        if self._control is not None:
            return self._control
        if not sys.platform.startswith("linux"):
            raise ConfigurationError(
                "consumers' SQL needs Linux", where=sys.platform, fix="serve it in a container"
            )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(START_SECONDS)
        self._control = ours
        with theirs:
            self._zygote = subprocess.Popen(  # noqa: S603 - this program itself
                [sys.executable, "-c", _MAIN, json.dumps(sys.path)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                cwd="/",
            )
        return ours

    def _end_zygote(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._zygote is not None:
            self._zygote.kill()
            self._zygote.wait()
        self._zygote = self._control = None

    def _prepare(self, worker: Worker, universe: Universe, walls: Walls) -> None:
        more = {
            "scratch": str(worker.scratch),
            "wide": str(worker.scratch / WIDE),
            "idle": 2 * IDLE_SECONDS,
        }
        message = told(universe, walls) | more
        worker.channel.most = message["bytes"]
        try:
            answer = worker.ask(message)
        except Silent:
            raise StoreError("a worker for SQL ended as it began") from None
        if "ready" not in answer:
            said = answer.get("error")
            why = said.get("message") if isinstance(said, dict) else "it does not say why"
            raise StoreError(f"a worker for SQL cannot read its datasets: {why}")

    def _folder(self) -> Path:
        """A new folder for what one worker spills."""
        if self._scratch is None:
            self._scratch = Scratch(self._parent, "polyport-sql-")
        self._forked += 1
        folder = self._scratch.folder / str(self._forked)
        folder.mkdir(mode=0o700)
        (folder / WIDE).mkdir(mode=0o700)
        return folder


_ENVIRONMENT = {
    "PATH": os.defpath,
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    # Others reserve a gigabyte of addresses at once, of which a worker has only so many.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    # Rows are written into memory that was used before, not each time into pages that are new to the process.
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
}
_MAIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from polyport.engine.walled.zygote import main; main()"
)
