"""The line that says what a build is doing: on a terminal, and nowhere else."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import threading
from functools import partial

import pytest

from polyport.cli import activity
from polyport.pipeline import Activity

SLOW = """
import time
import pyarrow as pa


def films(sheet: pa.Table) -> pa.Table:
    time.sleep(1.5)
    return sheet
"""
LINE = re.compile(r"\r\x1b\[2K  … transform films +(\d\.\d) s")


def read_terminal(leader):
    """What comes until the other end is closed."""
    found = b""
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:  # Linux says so where the last process has let go of the terminal
            return found.decode()
        if not chunk:
            return found.decode()
        found += chunk


@pytest.fixture
def on_a_terminal(program):
    return partial(told_on_a_terminal, program)


def told_on_a_terminal(program, *arguments, **environment):
    """(exit status, what stderr shows) of `polyport ARGUMENTS` with stderr on a terminal."""
    leader, follower = pty.openpty()
    try:
        command = [program, *map(str, arguments)]
        with subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=follower,
            env={**os.environ, "TERM": "xterm", **environment},
        ) as process:
            os.close(follower)
            text = read_terminal(leader)
        return process.returncode, text
    finally:
        os.close(leader)


@pytest.fixture
def slow(films):
    (films / "transform/films.sql").unlink()
    (films / "transform/films.py").write_text(SLOW)
    return films


def test_a_terminal_shows_what_is_going_on_and_then_what_came_of_it(slow, on_a_terminal):
    status, text = on_a_terminal("build", slow)
    assert status == 0, text
    seconds = [float(found) for found in LINE.findall(text)]
    assert seconds == sorted(seconds)
    assert len(set(seconds)) > 3
    whole = text.replace("\r\n", "\n").split("\r\x1b[2K")[
        -1
    ]  # the line is gone before more is said
    assert "…" not in whole.split("\n")[0]
    assert "films" in whole


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {}], ids=["dumb", "json"])
def test_a_simple_terminal_and_json_show_nothing_of_it(slow, on_a_terminal, environment):
    options = [] if environment else ["--json"]
    status, text = on_a_terminal("build", slow, *options, **environment)
    assert status == 0
    assert "\x1b[2K" not in text
    assert bool(text) is bool(environment)


def test_a_pipe_shows_nothing_of_it(slow, polyport):
    ended = polyport("build", slow)
    assert ended.code == 0
    assert "\x1b[2K" not in ended.err
    assert not [t for t in threading.enumerate() if t.name == "polyport-activity"]


@pytest.mark.parametrize(
    ("fraction", "received", "shown"),
    [
        (None, 0, "  … raw       rates                    1.2 s"),
        (0.5, 0, "  … raw       rates                    ############------------  50 %  1.2 s"),
        (1.0, 3_400_000, f"  … raw       rates                    {'#' * 24} 100 %  3.4 MB  1.2 s"),
        (None, 12_000, "  … raw       rates                    12.0 KB  1.2 s"),
    ],
)
def test_the_line_says_what_is_known(monkeypatch, fraction, received, shown):
    monkeypatch.setenv("COLUMNS", "100")
    doing = Activity("raw", "rates", lambda: fraction, lambda: received)
    assert activity.told(doing, 1.23) == shown


def test_a_name_cannot_speak_to_the_terminal():
    assert "\x1b" not in activity.told(Activity("read", "a\x1b[2Jb\n"), 1)
