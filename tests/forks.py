"""Processes that die: forked from one that has imported everything, so each is there in milliseconds."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECONDS = 120
"""That a child may take."""


@contextmanager
def forks(script: Path) -> Iterator[Callable[..., tuple[int, str]]]:
    """A function that calls one of a script's in a process of its own, and gives its exit status and what it said."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-B", __file__, str(script)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:

        def call(function: str, *given: object) -> tuple[int, str]:
            process.stdin.write(json.dumps([function, *map(str, given)]) + "\n")
            process.stdin.flush()
            status, said = json.loads(process.stdout.readline())
            return status, said

        yield call
        process.stdin.close()
        assert process.wait(timeout=SECONDS) == 0


def _load(script: str) -> Any:
    spec = importlib.util.spec_from_file_location("forked", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _child(module: Any, function: str, given: list[str], said: int) -> int:
    os.dup2(said, 1)
    os.dup2(said, 2)
    signal.alarm(SECONDS)
    try:
        getattr(module, function)(*given)
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - it is told, and the status says so
        traceback.print_exc()
        return 1
    return 0


def _main() -> None:
    module = _load(sys.argv[1])
    for line in sys.stdin:
        function, *given = json.loads(line)
        with tempfile.TemporaryFile() as said:
            process = os.fork()
            if process == 0:
                os._exit(_child(module, function, given, said.fileno()))
            status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            said.seek(0)
            print(json.dumps([status, said.read().decode("utf-8", "replace")]), flush=True)  # noqa: T201


if __name__ == "__main__":
    _main()
