"""The lines of the pages on access, agreements, contracts, quality and so on run when pasted, on the Messflix example."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from tests.docs.test_docs import FENCE, ROOT

PAGES = (
    "agreements", "configuration", "contracts", "definition", "identity", "lineage", "metadata",
    "metrics", "policy", "quality", "erasure",
)  # fmt: skip
"""In the order in which they are followed: the last one removes somebody."""
ELSEWHERE = re.compile(r"polyport serve\b")
"""It listens on every address; tests/cli/test_serve.py says who may."""
OF_CLI = (
    "access explain", "access history", "access key create", "access key list", "agreement list", "agreement show",
    "agreement export", "agreement request", "check", "doctor", "feedback list", "history", "lineage", "metrics",
    "quality", "rows",
)  # fmt: skip
"""The examples of docs/cli.md that name nothing that only their reader has: an id, a second snapshot."""
PROBLEM = re.compile(r'"type": ?"(urn:polyport:error:|about:blank)')


def lines_of(page):
    """Each line of a page's `bash` blocks, and of others what follows a `$`, in order; continued lines as one."""
    for language, block in FENCE.findall((ROOT / f"docs/{page}.md").read_text("utf-8")):
        lines = block.replace("\\\n", " ").splitlines()
        if language in ("bash", "sh"):
            yield from (line for line in lines if line.strip())
        elif not language:
            yield from (line[2:] for line in lines if line.startswith("$ "))


def free():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def shell(tmp_path_factory, program):
    """Runs lines as pasted into a shell beside `messflix-demo`, which is served; gives status and what was said."""
    folder = tmp_path_factory.mktemp("pasted")
    yield from served(folder, program)


def served(folder, program):
    port = free()
    known = {"PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(folder), "NO_COLOR": "1"}

    def run(lines):
        text = "\n".join(f"{line}\nprintf '\\n@@ %s\\n' $?" for line in lines)
        done = subprocess.run(
            ["bash", "-c", text.replace("127.0.0.1:8400", f"127.0.0.1:{port}")],
            cwd=folder, env=known, capture_output=True, timeout=300,
        )  # fmt: skip
        said = re.split(r"^@@ (\d+)\n", done.stdout.decode("utf-8", "replace"), flags=re.MULTILINE)
        told = list(zip(lines, said[1::2], said[::2], strict=False))
        assert len(told) == len(lines), done.stderr.decode()
        return told, done.stderr.decode()

    ((_, status, _),), errors = run(["polyport demo --no-serve"])
    assert status == "0", errors
    contracts = folder / "messflix-demo/produce-content/scripts/contracts"
    (folder / "contracts").mkdir()
    for name in ("contracts/films.odcs.yaml", "films-next.odcs.yaml", "scripts-next.odcs.yaml"):
        shutil.copy(contracts / "scripts.odcs.yaml", folder / name)
    listen = [f"--listen={kind}={free()}" for kind in ("sql", "flight")]
    with (folder / "serve.log").open("wb") as log:
        serving = subprocess.Popen(
            [sys.executable, "-m", "polyport", "serve", "messflix-demo", "--port", str(port), *listen],
            cwd=folder, env=known, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        answers(port, serving)
        say_something(port)
        yield run
    finally:
        serving.terminate()
        serving.wait(30)


def answers(port, serving):
    for _ in range(600):
        assert serving.poll() is None
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("it does not answer")


def say_something(port):
    """Feedback, so that a list of it is not empty whichever lines are run first."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/products/production-cost-statement/feedback",
        json.dumps({"rating": 5}).encode(), {"Content-Type": "application/json"},
    )  # fmt: skip
    urllib.request.urlopen(asked, timeout=30).close()


def works(shell, lines):
    """Each line ends with 0, and what a port answers is not a problem."""
    told, errors = shell(lines)
    for line, status, said in told:
        assert status == "0", f"{line}\n{said}\n{errors}"
        assert not PROBLEM.search(said), f"{line}\n{said}"
        assert said.strip() or re.search(r" (-o|--to) ", line) or re.match(r"\w+=", line), line


@pytest.mark.parametrize("page", PAGES)
def test_the_lines_of_a_page_run_when_pasted(shell, page):
    lines = [line for line in lines_of(page) if not ELSEWHERE.match(line)]
    assert lines, page
    works(shell, lines)


def test_the_examples_of_the_command_line_run_when_pasted(shell):
    wanted = re.compile(rf"polyport ({'|'.join(OF_CLI)}) ")
    lines = [line for line in lines_of("cli") if wanted.match(line)]
    assert {wanted.match(line)[1] for line in lines} == set(OF_CLI)
    works(shell, lines)


@pytest.mark.parametrize(
    "line", ["polyport rows nope messflix-demo/produce-content/scripts", "curl -s http://127.0.0.1:8400/nope", "true"]
)  # fmt: skip
def test_lines_that_do_not_work_would_be_found(shell, line):
    with pytest.raises(AssertionError):
        works(shell, [line])
