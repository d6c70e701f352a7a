"""One small PostgreSQL server for each user and what it sees, started on demand: nothing of anybody else is in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyport.errors import LimitError
from polyport.ports.output.sql.catalogue import ddl
from polyport.ports.output.sql.catalogue.backend import Backend, BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.ports.output.sql.catalogue.programs import Programs
    from polyport.ports.output.sql.catalogue.types import Table

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "1MB",
    "wal_buffers": "64kB",
    "max_wal_size": "4MB",
    "min_wal_size": "2MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_worker_processes": "0",
    "max_parallel_workers": "0",
    "max_logical_replication_workers": "0",
    "dynamic_shared_memory_type": "mmap",
    "autovacuum": "off",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "jit": "off",
    "track_counts": "off",
    "log_min_messages": "panic",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}
_IDLE = 600.0
"""Seconds after which a server that nobody uses is stopped."""
_START = 30.0
_PATH = 80
"""Bytes of the folder's path: the address of a unix socket in it has at most 107."""
_SOCKET = ".s.PGSQL.5432"


@dataclass(eq=False, slots=True)
class Server:
    """One server: a user's catalogue."""

    name: str
    address: Path
    database: str
    role: str
    key: str
    ready: Future[Mapping[str, str]] = field(default_factory=Future)
    """What it tells of itself when a connection starts."""
    sessions: int = 0
    used: float = field(default_factory=time.monotonic)

    def connect(self) -> Backend:
        """A connection as its user."""
        return Backend(self.address, self.role, self.database)


class Servers:
    """All servers of a node. For any thread."""

    def __init__(self, programs: Programs, user: tuple[int, int] | None, *, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._talk = threading.Lock()
        self._numbers = count(1)
        self._servers: dict[str, Server] = {}
        self._folder = _folder(user)
        self._keeper = _keeper(self._folder, programs, user)
        self._made: Future[None] = Future()
        self._closed = threading.Event()
        threading.Thread(target=self._make, name="catalogue", daemon=True).start()

    @property
    def closed(self) -> bool:
        """Whether there are to be none any more."""
        return self._closed.is_set()

    @property
    def failed(self) -> str:
        """Why no server can be had; empty where they can, or it is not known yet."""
        error = self._made.exception() if self._made.done() else None
        return str(error) if error else ""

    def take(
        self, database: str, user: str, sees: Sequence[Table], databases: Sequence[str] = ()
    ) -> Server:
        """The server of `user` for what it sees, ready; to be given back.

        Raises:
            LimitError: All servers that there may be are in use.
            OSError, BackendError: It cannot be started, or all are closed.
        """
        if self.closed:
            raise ConnectionResetError("the catalogues are closed")
        self._made.result(_START * 2)
        database, role = ddl.database_name(database), ddl.role_name(user)
        statements = list(ddl.statements(database, role, sees, databases))
        key = sha256("\n".join((user, *statements)).encode()).hexdigest()
        with self._lock:
            self._tidy()
            server = self._servers.get(key)
            mine = server is None
            if server is None:
                server = self._enter(key, database, role)
            server.sessions += 1
        if mine:
            self._begin(server, statements)
        try:
            server.ready.result(_START * 2)
        except BaseException:
            self.give_back(server)
            raise
        return server

    def give_back(self, server: Server) -> None:
        """Say that a session with `server` is over."""
        with self._lock:
            server.sessions -= 1
            server.used = time.monotonic()

    def forget(self, server: Server) -> None:
        """Stop `server`, which does not answer any more; the next `take` starts another."""
        with self._lock:
            if self._servers.get(server.key) is server:
                del self._servers[server.key]
                self._ask({"do": "stop", "name": server.name})

    def close(self) -> None:
        """Stop all of them; nothing is left behind. Whoever waits for one is told that there is none."""
        self._closed.set()
        if self._keeper.stdin:
            self._keeper.stdin.close()
        self._keeper.wait()
        if self._keeper.stdout:
            self._keeper.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _make(self) -> None:
        try:
            self._ask({"do": "init", "sql": ddl.PREPARE})
        except OSError as error:
            self._made.set_exception(error)
        else:
            self._made.set_result(None)

    def _tidy(self) -> None:
        """Stop what nobody has used for long, and the least used where there are too many."""
        now = time.monotonic()
        idle = sorted((s for s in self._servers.values() if not s.sessions), key=lambda s: s.used)
        surplus = len(self._servers) - self._most + 1
        for at, server in enumerate(idle):
            if at < surplus or now - server.used > _IDLE:
                del self._servers[server.key]
                self._ask({"do": "stop", "name": server.name})

    def _enter(self, key: str, database: str, role: str) -> Server:
        if len(self._servers) >= self._most:
            raise LimitError(
                f"{self._most} users are connected, and no more may be at once",
                fix="close a connection, or try again later",
                retry_after=60,
            )
        name = f"s{next(self._numbers)}"
        server = Server(name, self._folder / name / _SOCKET, database, role, key)
        self._servers[key] = server
        return server

    def _begin(self, server: Server, statements: Sequence[str]) -> None:
        try:
            self._ask({"do": "start", "name": server.name})
            owner = self._reached(server.address)
            try:
                owner.run(";\n".join(statements), _START)
            finally:
                owner.close()
            first = server.connect()
            first.close()
        except (OSError, BackendError) as error:
            self.forget(server)
            server.ready.set_exception(error)
        else:
            server.ready.set_result(first.parameters)

    def _reached(self, address: Path) -> Backend:
        """The owner's connection to a server that is starting."""
        until = time.monotonic() + _START
        while True:
            try:
                return Backend(address, "polyport", "postgres")
            except (OSError, BackendError):
                if time.monotonic() > until or self._closed.wait(0.01):
                    raise

    def _ask(self, said: Mapping[str, Any]) -> None:
        with self._talk:
            if self._keeper.stdin is None or self._keeper.stdout is None:
                raise ConnectionResetError("the keeper of the catalogues has no pipes")
            if self.closed:
                raise ConnectionResetError("the catalogues are closed")
            self._keeper.stdin.write(json.dumps(said) + "\n")
            self._keeper.stdin.flush()
            answer = self._keeper.stdout.readline()
        if not answer:
            raise ConnectionResetError("the keeper of the catalogues has ended")
        if error := json.loads(answer).get("error"):
            raise OSError(error)


def _folder(user: tuple[int, int] | None) -> Path:
    made = Path(tempfile.mkdtemp(prefix="polyport-"))
    if len(str(made)) > _PATH:
        made.rmdir()
        made = Path(tempfile.mkdtemp(prefix="polyport-", dir="/tmp"))
    if user:
        shutil.chown(made, *user)
    return made


def _keeper(
    folder: Path, programs: Programs, user: tuple[int, int] | None
) -> subprocess.Popen[str]:
    uid, gid = user or (None, None)
    said = {
        "folder": str(folder),
        "bin": str(programs.bin),
        "copy": str(programs.package or ""),
        "user": uid,
        "group": gid,
        "settings": _SETTINGS,
    }
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py")), json.dumps(said)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
