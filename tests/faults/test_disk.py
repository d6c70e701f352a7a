"""A full disk and a read-only one, really: the product's state lies on a small file system of its own."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from polyport.testing.output_port import ROWS

POLYPORT = f"{sys.executable} -m polyport"


def unshared(script, home):
    """Run a shell script as root of a namespace of its own; skipped where that is not allowed."""
    tool = shutil.which("unshare")
    if tool is None:
        pytest.skip("needs unshare (util-linux)")
    prefix = [tool, "--user", "--map-root-user", "--mount"]
    probe = "mount -t tmpfs -o size=1m tmpfs /mnt"
    if subprocess.run([*prefix, "sh", "-c", probe], capture_output=True).returncode:
        pytest.skip("namespaces may not be made here")
    return subprocess.run(
        [*prefix, "sh", "-c", script], cwd=home, capture_output=True, text=True, timeout=120
    )


def on_small_disk(size, script):
    """`script` with `.polyport` on a file system of `size`; good input comes back as `good.csv`."""
    return (
        f"set -e; mv .polyport kept; mkdir .polyport; mount -t tmpfs -o size={size} tmpfs .polyport;"
        f"cp -a kept/. .polyport/; set +e\n{script}"
    )


def asked(text):
    """The parts of the output between `== name` lines, by name."""
    parts = text.split("== ")[1:]
    return {p.split("\n", 1)[0]: p.split("\n", 1)[1] for p in parts}


@pytest.mark.parametrize(
    ("rows", "where"), [(60_000, "raw"), (30_000, "later")], ids=["raw data", "tables"]
)
def test_no_space(served, rows, where):
    noise = random.Random(1)
    many = (f"{n},{noise.randbytes(24).hex()},2001-01-01,Fox,1.00" for n in range(rows))
    served.input(*many)
    (served.home / "good.csv").write_text(
        "\n".join(["id,title,released,studio,cost", *ROWS[:3], ""])
    )
    ended = unshared(
        on_small_disk(
            "3m",
            f"echo == full; {POLYPORT} build . 2>&1; echo status $?\n"
            f"echo == rows; {POLYPORT} rows films . --columns id --json 2>/dev/null | tr -d ' \\n'\n"
            f"cp good.csv inputs/films.csv\n"
            f"echo; echo == again; {POLYPORT} build . 2>&1; echo status $?\n"
            f"echo == left; find .polyport/scratch -type f ! -path '*polyport-files*'; ls drive\n",
        ),
        served.home,
    )
    told = asked(ended.stdout)
    assert "status 8" in told["full"], ended.stdout + ended.stderr
    assert "error[PP440]" in told["full"]
    assert "No space left on device" in told["full"]
    assert "nothing was published; snapshot 1 is still served" in told["full"]
    assert "Traceback" not in ended.stdout + ended.stderr
    assert told["rows"].strip() == '[{"id":1},{"id":2},{"id":3},{"id":4}]'
    assert "Published snapshot 2" in told["again"], ended.stdout
    assert "status 0" in told["again"]
    assert told["left"].split() == ["00000001", "00000002", "latest"]


def test_a_read_only_state(served):
    served.input(*ROWS[:3])
    ended = unshared(
        on_small_disk(
            "20m",
            "mount -o remount,ro tmpfs .polyport\n"
            f"echo == build; {POLYPORT} build . 2>&1; echo status $?\n"
            "mount -o remount,rw tmpfs .polyport\n"
            f"echo == again; {POLYPORT} build . 2>&1; echo status $?\n",
        ),
        served.home,
    )
    told = asked(ended.stdout)
    assert "status 8" in told["build"], ended.stdout + ended.stderr
    assert "error[PP440]" in told["build"]
    assert re.search("read-?only", told["build"], re.IGNORECASE)
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "Published snapshot 2" in told["again"]


def test_no_space_for_anything_durable(served, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    served.input(*ROWS[:3])
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        served.refuses(8, "PP440", "No space left on device")
    served.recovers()


def test_a_ledger_that_cannot_be_written_is_an_error_of_ours(served, polyport):
    with closing(sqlite3.connect(served.home / ".polyport/ledger.sqlite")) as ledger:
        ledger.executescript("DROP TABLE runs; CREATE TABLE runs (id TEXT, product TEXT)")
    ended = polyport("build", served.home)
    assert ended.code == 8
    assert "error[PP440]: the ledger cannot be written" in ended.err
    served.unharmed()
    asked = polyport("history", served.home, "--runs")
    assert (asked.code, asked.out) == (8, "")
    assert "error[PP440]: the ledger cannot be read" in asked.err
