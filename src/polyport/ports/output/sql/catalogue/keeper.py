"""A process that keeps the node's PostgreSQL servers: they end when it does, and it ends when the node does.

Run by its path, with the standard library alone: it starts in milliseconds and holds nothing of the node. It takes
one JSON object a line and answers each with one; the end of its input, which comes however the node ends, stops the
servers and removes their folder.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""
_MEMORY = 1 << 30
"""Address space of one server process, bytes."""
_PATIENCE = 10.0
"""Seconds for a server to stop by itself."""


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
        server = self.servers.pop(said["name"])
        _end(server)
        shutil.rmtree(self.folder / said["name"], ignore_errors=True)

    def close(self) -> None:
        """End all servers, and remove the folder."""
        for server in self.servers.values():
            server.send_signal(signal.SIGQUIT)
        for server in self.servers.values():
            _end(server)
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
        shutil.copytree(source, target)
        for path in (self.folder / "programs", target, *target.rglob("*")):
            path.chmod(0o755)

    def _run(self, command: list[str], text: str = "") -> str:
        done = subprocess.run(  # noqa: S603
            command,
            input=text.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            **self._as_user(),
        )
        out: str = done.stdout.decode(errors="replace")
        if done.returncode:
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
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, int(signal.SIGQUIT))


def _end(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        server.send_signal(signal.SIGQUIT)
    try:
        server.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def main() -> None:
    """Answer commands until there are no more."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, lambda *_: None)
    os.umask(0o077)
    keeper = Keeper(json.loads(sys.argv[1]))
    try:
        for line in sys.stdin:
            said = json.loads(line)
            answer: dict[str, str] = {}
            try:
                {"init": keeper.init, "start": keeper.start, "stop": keeper.stop}[said["do"]](said)
            except OSError as error:
                answer = {"error": str(error)}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    finally:
        keeper.close()


if __name__ == "__main__":
    main()
