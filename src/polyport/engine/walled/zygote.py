"""The process that workers are forked from: the engine is loaded once, nothing is open, and no secret is in reach."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import traceback

from polyport.engine.walled import confined, guard, worker

CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000


def main() -> None:
    """Fork a worker for each socket that comes over file descriptor 0; end where that closes."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a terminal tells all: the keeper ends this, and workers
    # Where the machine allows it: no network for any worker, and no rights over others' files even for root.
    libc = ctypes.CDLL(None)
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) != 0:
        libc.unshare(CLONE_NEWNET | CLONE_NEWIPC)  # root may, where users may not
    confined.prepare()  # workers can read no file of ours
    guard.functions()
    control = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - no worker may speak to the keeper as this process
        os.dup2(nothing.fileno(), 0)
    while True:
        ready, _, _ = select.select([control], [], [], 1.0)
        _reap()
        if not ready:
            continue
        message, ends, _, _ = socket.recv_fds(control, 16, 1)
        if not message:
            return
        _fork(control, socket.socket(fileno=ends[0]))


def _fork(control: socket.socket, end: socket.socket) -> None:
    keeper = os.getpid()
    process = os.fork()
    if process == 0:
        status = 1
        try:
            control.close()
            worker.run(end, keeper)
            status = 0
        except (
            BaseException
        ):  # a fault of ours: to the server's log, for the keeper is told only that it ended
            traceback.print_exc()
            raise
        finally:
            os._exit(status)
    end.close()
    handle = os.pidfd_open(process)
    socket.send_fds(control, [process.to_bytes(8, "little")], [handle])
    os.close(handle)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    main()
