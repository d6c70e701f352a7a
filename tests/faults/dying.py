"""Run by test_kill: the command line, killed before or after a function is called."""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys

import polyport.product  # noqa: F401 - children start at once
from polyport.cli import main


def command(module, name, when, *arguments):
    target = functools.reduce(getattr, name.split(".")[:-1], importlib.import_module(module))
    last = name.rsplit(".", 1)[-1]
    real = getattr(target, last)

    def dying(*given, **more):
        if when == "after":
            real(*given, **more)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(target, last, dying)
    sys.argv[:] = ["polyport", *arguments]
    main()
