"""`polyport` as a program for shells and pipes: each call is a process of its own that has imported everything already.

Most of what a command costs is imports. Here they are done once: a call is forked from a process that has them, in the
caller's folder, with its environment, arguments and open pipes, and it ends as any interpreter does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALLER = """\
#!{python} -IS
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    said = json.dumps([os.getcwd(), dict(os.environ), sys.argv[1:]]) + "\\n"
    socket.send_fds(line, [b"."], [0, 1, 2])
    line.sendall(said.encode())
    heard = line.makefile()
    command = int(heard.readline())
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda number, _: os.kill(command, number))
    status = int(heard.readline())
if status < 0:
    if status != -signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@contextmanager
def polyport(folder: Path) -> Iterator[Path]:
    """The program, in this folder."""
    address, program = folder / "line", folder / "polyport"
    command = [sys.executable, __file__, str(address)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            program.write_text(CALLER.format(python=sys.executable, address=str(address)))
            program.chmod(0o755)
            yield program
        finally:
            process.terminate()


def _know() -> None:
    """Import what any command does."""
    cli = importlib.import_module("polyport.cli")
    for found in pkgutil.iter_modules(cli.__path__, "polyport.cli."):
        importlib.import_module(found.name)
    for name in ("product", "server", "mesh", "pipeline.erasure", "pipeline.lineage"):
        importlib.import_module(f"polyport.{name}")


def _attend(line: socket.socket) -> None:
    """Tell a caller which process its command is, and how it ended; only in the process that is to be the command this returns."""
    _, pipes, *_ = socket.recv_fds(line, 1, 3)
    with line.makefile() as reading:
        folder, environment, arguments = json.loads(reading.readline())
    command = os.fork()
    if command:
        for pipe in pipes:
            os.close(pipe)
        line.sendall(f"{command}\n".encode())
        follow = threading.Thread(target=_follow, args=(line, os.pidfd_open(command)), daemon=True)
        follow.start()
        status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
        with contextlib.suppress(BrokenPipeError):
            line.sendall(f"{status}\n".encode())
        os._exit(0)
    for wanted, pipe in enumerate(pipes):
        os.dup2(pipe, wanted)
        os.close(pipe)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # it is where this environment says
    sys.argv = ["polyport", *arguments]


def _follow(line: socket.socket, command: int) -> None:
    """Who is killed while waiting takes the command along; other signals it passes on."""
    line.recv(1)
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(command, signal.SIGKILL)


def _main() -> None:
    del sys.path[0]  # this folder; a script that is installed does not see the caller's either
    _know()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(sys.argv[1])
        listening.listen()
        print("ready", flush=True)  # noqa: T201
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that attend
        while True:
            line, _ = listening.accept()
            with line:
                if os.fork():
                    continue
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listening.close()
                _attend(line)
            break
    importlib.import_module("polyport.cli").main()


if __name__ == "__main__":
    _main()
