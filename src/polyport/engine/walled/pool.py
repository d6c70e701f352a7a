"""The keeper of the workers: starts them, lends them, and ends them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport.engine.walled.protocol import Channel, Silent
from polyport.engine.walled.relations import defined
from polyport.errors import ConfigurationError, LimitError, StoreError
from polyport.expression import quote

if TYPE_CHECKING:
    from polyport.model import Relation

START_SECONDS = 30.0
IDLE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Walls:
    """What one statement may take."""

    seconds: float = 60.0
    """How long it may be waited for, in all."""
    memory: str = "1GB"
    """Beyond it, work spills to disk."""
    spill: str = "4GB"
    threads: int = 2
    workers: int = 0
    """How many statements run at once; 0: four for each core."""
    rows: int = 0
    """How many rows its answer may have; 0: any number."""
    bytes: str = ""
    """How large its answer may be, as Arrow; empty: any size."""

    @property
    def most_workers(self) -> int:
        """How many run at once."""
        return self.workers or 4 * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Named:
    """One table that a statement may name."""

    digest: str
    """Equal if and only if the rows that it shows are."""
    names: tuple[tuple[str, ...], ...]
    """What it is called: `("films",)`, `("movie-popularity", "films")`."""
    relation: Relation


@dataclass(frozen=True, slots=True)
class Universe:
    """All that one worker can see. Immutable: whoever may see more or less has another worker."""

    tables: tuple[Named, ...]
    catalog: str = "mesh"
    dialect: str = "duckdb"
    key: tuple[Any, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        seen = tuple(sorted((t.digest, t.names) for t in self.tables))
        object.__setattr__(self, "key", (self.catalog, self.dialect, seen))


class Worker:
    """One process that is lent to one statement at a time."""

    def __init__(self, universe: Universe, end: socket.socket, process: int) -> None:
        self.universe = universe
        self.channel = Channel(end, START_SECONDS)
        self.alive = True
        self.idle_since = 0.0
        self._process = process
        self._lock = threading.Lock()

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            Silent: It was ended, or is late; `kill` it.
        """
        try:
            self.channel.tell(message)
        except OSError as error:
            raise Silent from error
        return self.channel.answered()

    def kill(self) -> None:
        """End the process at once; for any thread."""
        with self._lock:
            if not self.alive:
                return
            self.alive = False
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            os.close(self._process)
            with contextlib.suppress(OSError):  # wakes a thread that waits for it
                self.channel.socket.shutdown(socket.SHUT_RDWR)


class Workers:
    """All workers of this process; `close()` it. For any thread."""

    def __init__(self, walls: Walls | None = None, *, scratch: Path | None = None) -> None:
        self.walls = walls or Walls()
        self._scratch = scratch
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._starting = threading.Lock()
        self._changed = threading.Condition()
        self._idle: list[Worker] = []
        self._lent: set[Worker] = set()
        self._closed = False

    def lend(self, universe: Universe, walls: Walls | None = None) -> Worker:
        """A worker for `universe`; give it back.

        Raises:
            LimitError: All are busy for longer than a statement may take.
            StoreError: No process can be started, or what it is to see cannot be read.
            ConfigurationError: The machine is no Linux.
        """
        walls = walls or self.walls
        until = time.monotonic() + walls.seconds
        with self._changed:
            while True:
                self._retire()
                found = next(
                    (w for w in self._idle if w.universe.key == universe.key and w.alive), None
                )
                if found is not None:
                    self._idle.remove(found)
                    break
                if len(self._lent) < walls.most_workers:
                    break
                left = until - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise LimitError(
                        f"all {walls.most_workers} workers were busy for {walls.seconds:g} seconds",
                        fix="ask again later; or raise limits.sql.workers in polyport.yaml",
                        retry_after=5,
                    )
            if found is None:
                found = self._started(universe)
            self._lent.add(found)
        try:
            if not found.idle_since:
                self._prepare(found, walls)
        except BaseException:
            found.kill()
            self.give_back(found)
            raise
        found.channel.budget = walls.seconds
        return found

    def give_back(self, worker: Worker) -> None:
        """Whoever has it is done with it; where it still computes, it is ended."""
        with self._changed:
            self._lent.discard(worker)
            if worker.alive and not self._closed:
                worker.idle_since = time.monotonic()
                self._idle.append(worker)
            else:
                worker.kill()
                worker.channel.close()
            self._changed.notify()

    def close(self) -> None:
        """End all processes."""
        with self._changed:
            self._closed = True
            for worker in (*self._idle, *self._lent):
                worker.kill()
            for worker in self._idle:
                worker.channel.close()
            self._idle.clear()
        if self._control is not None:
            self._control.close()
        if self._zygote is not None:
            self._zygote.wait()

    def _retire(self) -> None:
        """End what is idle for long, or more than can be used."""
        now, most = time.monotonic(), self.walls.most_workers
        kept = [w for w in self._idle if w.alive and now - w.idle_since < IDLE_SECONDS][-most:]
        for worker in self._idle:
            if worker not in kept:
                worker.kill()
                worker.channel.close()
        self._idle = kept

    def _started(self, universe: Universe) -> Worker:
        ours, theirs = socket.socketpair()
        try:
            with self._starting, theirs:
                control = self._forking()
                socket.send_fds(control, [b"fork"], [theirs.fileno()])
                message, handles, _, _ = socket.recv_fds(control, 16, 1)
            if not message:
                raise ConnectionError("the process that workers are forked from has ended")
        except OSError as error:
            ours.close()
            self._zygote, self._control = None, None
            raise StoreError(f"no worker for SQL can be started: {error}") from error
        return Worker(universe, ours, handles[0])

    def _forking(self) -> socket.socket:
        """The socket of the process that forks; starts it where it does not run."""
        if self._zygote is not None and self._zygote.poll() is None and self._control is not None:
            return self._control
        if not sys.platform.startswith("linux"):
            raise ConfigurationError(
                "consumers' SQL needs Linux", where=sys.platform, fix="serve it in a container"
            )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._zygote = subprocess.Popen(  # noqa: S603 - this program itself
                [sys.executable, "-c", _MAIN, json.dumps(sys.path)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC"},
                cwd="/",
            )
        self._control = ours
        return ours

    def _prepare(self, worker: Worker, walls: Walls) -> None:
        message = _setup(worker.universe, walls, self._folder())
        try:
            answer = worker.ask(message)
        except Silent:
            raise StoreError("a worker for SQL ended as it began") from None
        if "ready" not in answer:
            raise StoreError(
                f"a worker for SQL cannot read its datasets: {answer.get('error', {}).get('message')}"
            )

    def _folder(self) -> str:
        folder = self._scratch or Path(tempfile.gettempdir()) / f"polyport-sql-{os.getuid()}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(folder)


_MAIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from polyport.engine.walled.zygote import main; main()"
)


def _setup(universe: Universe, walls: Walls, scratch: str) -> dict[str, Any]:
    """What a worker is told before anything else."""
    statements: list[tuple[str, bytes | None]] = []
    views, names, paths = {}, {}, list[str]()
    schemas = {"main"}
    for number, named in enumerate(universe.tables):
        made, view = defined(named.relation), f"_t{number}"
        kind = "TABLE" if made.table is not None else "SECURE VIEW" if made.secure else "VIEW"
        table = _stream(made.table) if made.table is not None else None
        statements.append((f"CREATE {kind} main.{view} AS {made.sql}", table))
        paths += made.files
        views[named.digest] = f"main.{view}"
        for name in named.names:
            shown = ".".join(map(quote, name if len(name) > 1 else ("main", *name)))
            schemas.update(name[:-1])
            statements.append((f"CREATE VIEW {shown} AS SELECT * FROM main.{view}", None))
            names[".".join(json.dumps(part.lower()) for part in name)] = named.digest
    macros = _macros(universe.dialect)
    return {
        "catalog": universe.catalog,
        "dialect": universe.dialect,
        "statements": statements,
        "schemas": sorted(schemas),
        "views": views,
        "names": names,
        "files": paths,
        "macros": macros,
        "macro_names": [name.lower() for m in macros for name in _MACRO.findall(m)],
        "memory": walls.memory,
        "spill": walls.spill,
        "threads": walls.threads,
        "scratch": scratch,
        "bytes": 2 * size(walls.memory) + (1 << 29),
        "spill_bytes": size(walls.spill),
    }


_MACRO = re.compile(r"^\s*CREATE MACRO (\w+)")


def _macros(dialect: str) -> list[str]:
    file = files("polyport.engine.walled").joinpath(f"{dialect}.sql")
    text = file.read_text("utf-8") if file.is_file() else ""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [s for s in lines.split(";\n") if s.strip()]


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


_SIZE = re.compile(r"\s*([\d.]+)\s*([KMGT]?)I?B?\s*", re.IGNORECASE)


def size(text: str) -> int:
    """The bytes that a size such as `4GB` says.

    Raises:
        ConfigurationError: It says none.
    """
    found = _SIZE.fullmatch(text)
    if not found:
        raise ConfigurationError(f"{text!r} is not a size", where="sql", fix="a size such as 1GB")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))
