"""Other processes: killed, reading, building, serving, while a person is erased."""

from __future__ import annotations

import ast
import importlib.util
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.forks import forks

from polyport.errors import ConflictError
from polyport.pipeline import erasure
from polyport.product import Product
from polyport.store import sweep

_SPEC = importlib.util.spec_from_file_location("people", Path(__file__).with_name("people.py"))
_PEOPLE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_PEOPLE)
JANE, build, call, erase_jane = _PEOPLE.JANE, _PEOPLE.build, _PEOPLE.call, _PEOPLE.erase_jane
rows_of = _PEOPLE.rows_of
CHILD = Path(__file__).with_name("children.py")
MOMENTS = [
    key.value
    for node in ast.parse(CHILD.read_text()).body
    if isinstance(node, ast.Assign) and node.targets[0].id == "MOMENTS"
    for key in node.value.keys
]


@contextmanager
def child(*arguments):
    command = [sys.executable, str(CHILD), *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def forked():
    with forks(CHILD) as call:
        yield call


@pytest.fixture(scope="module")
def before(made, tmp_path_factory):
    """The rows of each snapshot, with her."""
    home = shutil.copytree(made, tmp_path_factory.mktemp("before") / "people", symlinks=True)
    with Product.load(home) as product:
        return {n: rows_of(product, str(n)) for n in (1, 2, 3)}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_is_whole_and_goes_on(home, before, forked, moment):
    status, said = forked("kill", home, moment)
    assert status == -signal.SIGKILL, said
    with Product.load(home) as product:  # each snapshot is as it was, or as it will be
        for number, rows in before.items():
            without = [r for r in rows if r["person"] != JANE]
            assert rows_of(product, str(number)) in (rows, without)
    assert build(home).run.outcome in ("published", "unchanged")
    code, out, err = call("erase", "--resume", home, "--json")
    assert code == 0, err
    assert json.loads(out)[0]["ok"]
    assert call("erase", "--prove", home, "--value", JANE)[0] == 0
    with Product.load(home) as product:
        for number, rows in before.items():
            assert rows_of(product, str(number)) == [r for r in rows if r["person"] != JANE]
        assert not erasure.plans(product.erasing())
        assert sweep.live(product.store._home("people")) == frozenset()
    assert call("doctor", home)[0] == 0


def test_a_reader_keeps_its_rows_and_then_they_go(home):
    with child("read", home) as process:
        assert process.stdout.readline() == "reading\n"
        code, (told,) = erase_jane(home, "--wait", "0")
        assert code == 1
        assert told["readers"] == {"2": [process.pid]}
        assert {one["kind"] for one in told["proof"]["held_by"]} == {"store"}
        with Product.load(home) as product:  # who comes now sees nothing of her
            assert JANE not in str([rows_of(product, str(n)) for n in (1, 2, 3)])
        assert "not finished" in erase_jane(home)[1]
        build(home)  # and its tidying leaves the reader alone
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "4\n"
        assert process.stdout.readline() == "1\n"
        assert process.wait(timeout=60) == 0
    code, out, _ = call("erase", "--resume", home, "--json")
    assert (code, json.loads(out)[0]["ok"]) == (0, True)


def test_a_run_that_is_going_on_is_waited_for(home):
    with child("hold", home) as process:
        assert process.stdout.readline() == "staging\n"
        code, _ = erase_jane(home, "--wait", "0")
        assert code == ConflictError.exit_code
        with Product.load(home) as product:
            assert {s.erasures for s in product.history()} == {0}
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.wait(timeout=60) == 0
    assert call("erase", "--resume", home)[0] == 0
    assert call("erase", "--prove", home, "--value", JANE)[0] == 0


def get(url, tag=""):
    request = urllib.request.Request(url, headers={"If-None-Match": tag} if tag else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read().decode("utf-8", "replace"), reply.headers["ETag"]
    except urllib.error.HTTPError as error:
        return error.code, "", ""


@contextmanager
def serving(home):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "polyport", "serve", str(home), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                try:
                    get(f"http://127.0.0.1:{port}/")
                    break
                except OSError:
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/products/people", process
        finally:
            process.kill()


def test_a_server_in_another_process_shows_nothing_of_her_from_then_on(home):
    paths = [
        f"/{port}{query}"
        for port in (
            "files/v1/people.csv",
            "files/v1/people.json",
            "rest/v1/people",
            "rest/v1/people/4",
        )
        for query in ("", "?snapshot=2")
    ]
    with serving(home) as (base, process):
        tags = {}
        for path in paths:
            status, body, tags[path] = get(base + path)
            assert (status, "Canary" in body) == (200, True), path
            assert get(base + path, tags[path])[0] == 304
        deadline = time.monotonic() + 30  # the index for reads by key is made meanwhile
        while (
            not list((home / ".polyport/keyed").rglob("*.sqlite")) and time.monotonic() < deadline
        ):
            get(base + "/rest/v1/people/4")
            time.sleep(0.1)
        assert list((home / ".polyport/keyed").rglob("*.sqlite"))
        code, (told,) = erase_jane(home)
        assert (code, told["proof"]["held_by"], told["readers"]) == (0, [], {})
        for _ in range(2):
            for path in paths:
                status, body, _tag = get(base + path, tags[path])
                assert status == (404 if path.split("?")[0].endswith("/4") else 200), path
                assert "Canary" not in body
            time.sleep(0.5)
        assert call("erase", "--prove", home, "--value", JANE)[0] == 0
        held = [
            p
            for p in Path(f"/proc/{process.pid}/fd").iterdir()
            if p.exists() or "(deleted)" in str(p.readlink())
        ]
        names = [str(p.readlink()) for p in held]
        assert not [n for n in names if "(deleted)" in n and ".polyport" in n]
