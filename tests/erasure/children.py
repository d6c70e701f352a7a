"""Processes of their own: `kill` erases and is killed at a moment; `read HOME`, `hold HOME` hold until told."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path

from polyport.ledger import Ledger
from polyport.model import OWNER
from polyport.pipeline import erasure
from polyport.pipeline.erasure import clean, run
from polyport.pipeline.raw import RawStore
from polyport.ports.output import files
from polyport.product import Product
from polyport.store import disk, sweep
from polyport.store.erase import manifest

_SPEC = importlib.util.spec_from_file_location("people", Path(__file__).with_name("people.py"))
_PEOPLE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_PEOPLE)


def say(what):
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def at(owner, name, *, call=1, after=False):
    """Die before (or after) the given call of a function."""
    whole, calls = getattr(owner, name), []

    def dying(*args, **more):
        calls.append(1)
        if len(calls) == call and not after:
            die()
        found = whole(*args, **more)
        if len(calls) == call:
            die()
        return found

    setattr(owner, name, dying)


MOMENTS = {
    "with a plan": lambda: at(run, "_record"),
    "with tombstones": lambda: at(run, "_record", after=True),
    "before the first manifest": lambda: at(disk, "replace"),
    "after the first manifest": lambda: at(disk, "replace", after=True),
    "before the second manifest": lambda: at(disk, "replace", call=2),
    "as a manifest is encoded": lambda: at(manifest, "encode", call=2),
    "before the old files go": lambda: at(sweep, "remove"),
    "after the old files went": lambda: at(sweep, "remove", after=True),
    "before a raw file goes": lambda: at(RawStore, "erase"),
    "after a raw file went": lambda: at(RawStore, "erase", after=True),
    "amid the cleaning": lambda: at(clean, "_replace"),
    "before the ledger": lambda: at(Ledger, "blank"),
    "after the ledger": lambda: at(Ledger, "blank", after=True),
    "amid the exports": lambda: at(files.push, "push", call=2),
    "before the proof": lambda: at(run, "survey"),
    "before the record": lambda: at(run, "_record", call=2),
    "before the plan goes": lambda: at(run, "_record", call=2, after=True),
}


def kill(home, moment):
    MOMENTS[moment]()
    target = erasure.Target("people", f"person = '{_PEOPLE.JANE.replace(chr(39), chr(39) * 2)}'")
    with Product.load(Path(home)) as product:
        erasure.erase(product.erasing(), erasure.Request((target,), reason="asked"))


def read(home):
    with Product.load(home) as product, product.open(OWNER, "2") as view:
        reader = view.scan("people")
        say("reading")
        sys.stdin.readline()
        say(len(reader.read_all()))
        with view.scan("notes") as rest:
            say(len(rest.read_all()))


def hold(home):
    with Product.load(home) as product, product.store.stage("people", "slow"):
        say("staging")
        sys.stdin.readline()


if __name__ == "__main__":
    {"read": read, "hold": hold}[sys.argv[1]](Path(sys.argv[2]))
