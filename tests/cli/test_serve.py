"""`polyport serve` as a process: it answers, and ends cleanly however it is asked to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from polyport.cli.serve import show_addresses
from polyport.product import Product
from polyport.testing.output_port import make_product

ODPS = "dataproduct.odps.yaml"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=30) as reply:
        return reply.read()


@contextmanager
def serving(folder, port, temp):
    """The process, once it answers; killed if the test forgets to end it."""
    environment = os.environ | {"TMPDIR": str(temp)}
    command = [sys.executable, "-m", "polyport", "serve", str(folder), "--port", str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            await_answer(process, f"http://127.0.0.1:{port}/")
            yield process
        finally:
            process.kill()


def await_answer(process, url):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        try:
            return get(url)
        except OSError:
            time.sleep(0.05)  # until the next try, not instead of an answer
    pytest.fail(f"nothing answers at {url}")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    """Two products that share one state: `films`, and `reviews`, which reads it."""
    root = tmp_path_factory.mktemp("serve")
    (root / "mesh.yaml").write_text("name: cinema\n")
    for name in ("films", "a-reviews"):
        with make_product(root / name, "rest"):
            pass
    rest = "{name: rest, type: rest, version: 1.0.0, contractId: films}"
    both = f"{rest}, {rest.replace('rest', 'files')}"
    for home in (root / "films", root / "a-reviews"):
        text = (home / ODPS).read_text()
        (home / ODPS).write_text(text.replace(rest, both))
    reviews = root / "a-reviews"
    text = (reviews / ODPS).read_text()
    (reviews / ODPS).write_text(text.replace("id: films\n", "id: reviews\n"))
    settings = reviews / "polyport.yaml"
    settings.write_text(
        settings.read_text().replace(
            "{type: files, path: inputs/*.csv}", "{type: product, product: films, dataset: films}"
        )
    )
    given = root / "films/polyport.yaml"
    given.write_text(given.read_text().replace("roles:\n", "roles:\n    consumer: {}\n"))
    return root


@pytest.fixture(scope="module")
def published(mesh, polyport):
    ended = polyport("build", mesh, "--json")
    assert ended.code == 0, ended.out
    assert [run["product"] for run in ended.json()] == ["films", "reviews"]
    return mesh


def test_a_mesh_is_checked_and_built_in_order_of_who_reads_whom(polyport, published):
    assert sorted(p.name for p in published.iterdir() if p.is_dir())[:2] == [
        ".polyport",
        "a-reviews",
    ]
    checked = polyport("check", published)
    assert checked.code == 0
    assert checked.out.count("✓ Films: 1 input port, 1 dataset") == 2
    (newest,) = polyport("history", published / "a-reviews", "--json").json()
    (read,) = polyport("history", published / "films", "--json").json()
    assert newest["inputs"] == {"sheet": f"films@{read['id']}"}
    again = polyport("build", published)
    assert again.err.count("Nothing changed: snapshot 1 stays") == 2


def test_one_product_is_asked_for_where_there_are_two(polyport, published):
    ended = polyport("history", published)
    assert ended.code == 2
    assert "holds 2 products" in ended.err
    assert str(published / "a-reviews") in ended.err


def test_a_product_is_found_from_within_its_mesh(polyport, published):
    (found,) = polyport("history", "--json", folder=published / "films").json()
    with Product.load(published / "films", state=published / ".polyport") as product:
        assert [s.id for s in product.history()] == [found["id"]]
    with Product.load(published / "films") as alone:
        assert found["id"] not in [s.id for s in alone.history()]


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_serve_answers_on_every_port_and_ends_cleanly(published, tmp_path, asked):
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with Product.load(published / "films", state=published / ".polyport") as product:
        before = len(product.ledger.reads("films"))
    with serving(published, port, tmp_path) as process:
        root = json.loads(get(base + "/"))
        assert {p["name"] for p in root["_links"]["product"]} == {"films", "reviews"}
        for name in ("films", "reviews"):
            page = json.loads(get(f"{base}/products/{name}/rest/v1/films"))
            assert [row["id"] for row in page["_embedded"]["films"]] == [1, 2, 3, 4]
            csv = get(f"{base}/products/{name}/files/v1/films.csv").decode()
            assert csv.splitlines()[1] == "1,Alien,1979-05-25,Fox,11.50"
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(f"{base}/products/films/rest/v1/films?nope=1")
        with caught.value as reply:
            assert (reply.code, json.load(reply)["code"]) == (400, "PP420")
        process.send_signal(asked)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == ""
    assert "Traceback" not in err
    for name in ("films", "reviews"):
        assert f"curl -s '{base}/products/{name}/rest/v1/films?limit=3'" in err
    assert "Ctrl-C ends it" in err
    assert list(tmp_path.iterdir()) == []
    scratch = published / ".polyport/scratch"
    assert [p for p in scratch.rglob("*") if p.is_file()] == []
    with Product.load(published / "films", state=published / ".polyport") as product:
        reads = product.ledger.reads("films")
    assert [(r["port"], r["rows"]) for r in reversed(reads[: len(reads) - before])] == [
        ("rest", 4),
        ("files", 4),
    ]


def test_the_lines_that_serve_prints_work_when_pasted(published, tmp_path):
    import shlex

    port = free_port()
    with serving(published / "films", port, tmp_path) as process:
        process_lines = []
        for line in process.stderr:
            process_lines += [line.split(maxsplit=1)[1]] if " curl " in line else []
            if "Ctrl-C" in line:
                break
        assert len(process_lines) == 2
        for line in process_lines:
            program, *arguments = shlex.split(line)
            (url,) = [a for a in arguments if a.startswith("http")]
            assert program == "curl"
            assert b"Alien" in get(url)


def test_a_port_in_use_is_told(polyport, published):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = polyport("serve", published, "--port", port)
    assert ended.code == 2
    assert f"127.0.0.1:{port} cannot be used: Address already in use" in ended.err
    assert f"polyport serve --port {port + 1}" in ended.err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org"])
def test_other_machines_are_not_let_in(polyport, published, host):
    ended = polyport("serve", published, "--host", host)
    assert ended.code == 2
    assert f"there is no login yet, so '{host}' is refused" in ended.err


def test_what_is_not_published_is_said(polyport, tmp_path, capsys):
    assert polyport("init", "films", "--dir", tmp_path).code == 0
    with Product.load(tmp_path / "films") as product:
        show_addresses([product], "http://127.0.0.1:8400")
    said = capsys.readouterr().err
    assert "no snapshot yet" in said
    assert "polyport build" in said
