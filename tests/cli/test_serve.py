"""`polyport serve` as a process: it answers, and ends cleanly however it is asked to."""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from polyport.cli.serve import show_addresses
from polyport.product import Product
from polyport.testing.output_port import make_product

ODPS = "dataproduct.odps.yaml"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url, context=None):
    with urllib.request.urlopen(url, timeout=30, context=context) as reply:
        return reply.read()


@pytest.fixture(scope="module")
def serving(program):
    return partial(served, [program])


@contextmanager
def served(program, folder, port, temp, *options, context=None, scheme="http"):
    """The process, once it answers; killed if the test forgets to end it."""
    environment = os.environ | {"TMPDIR": str(temp)}
    command = [*program, "serve", str(folder), "--port", str(port)]
    command += map(str, options)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            await_answer(process, f"{scheme}://127.0.0.1:{port}/", context)
            yield process
        finally:
            process.kill()


def await_answer(process, url, context=None):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        try:
            return get(url, context)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
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


@pytest.mark.parametrize(
    ("asked", "anew"),
    [(signal.SIGINT, True), (signal.SIGTERM, False)],
    ids=["ctrl-c", "terminate"],
)
def test_serve_answers_on_every_port_and_ends_cleanly(published, tmp_path, asked, anew, serving):
    """`anew`: in an interpreter of its own, which has only what the command imports."""
    if anew:
        serving = partial(served, [sys.executable, "-m", "polyport"])
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


def test_who_asks_twice_is_told_nothing_more(published, tmp_path, serving):
    """A request that does not end keeps the server waiting; the second Ctrl-C does not wait for it."""
    port = free_port()
    with (
        serving(published, port, tmp_path) as process,
        socket.create_connection(("127.0.0.1", port)) as halfway,
    ):
        halfway.sendall(
            b"POST /products/films/rest/v1/sql HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"
        )
        assert halfway.recv(100).startswith(b"HTTP/1.1 100")
        process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 30
        while listens(port) and time.monotonic() < deadline:
            time.sleep(0.02)  # it has heard the first
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err.strip().splitlines()[-1].endswith("Ctrl-C ends it.")


def test_a_terminal_tells_all_processes_and_none_complains(published, tmp_path):
    """Ctrl-C reaches the workers of SQL, too."""
    port = free_port()
    program = ["setsid", sys.executable, "-m", "polyport"]  # it becomes the leader of a group
    with served(program, published, port, tmp_path) as process:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/products/films/rest/v1/sql",
            json.dumps({"sql": "SELECT count(*) AS n FROM films"}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=60) as reply:
            assert b"4" in reply.read()
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err.strip().splitlines()[-1].endswith("Ctrl-C ends it.")


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_serve_as_json_tells_the_addresses_on_stdout(published, tmp_path, serving):
    port = free_port()
    with serving(published, port, tmp_path, "--json") as process:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    told = json.loads(out)
    assert told["url"] == f"http://127.0.0.1:{port}"
    assert {p["id"] for p in told["products"]} == {"films", "reviews"}
    assert all(p["ports"]["rest"].startswith("curl -s ") for p in told["products"])
    assert told["unserved"] == []


def test_a_product_with_wrong_files_is_named_and_the_others_are_served(
    published, tmp_path, serving
):
    root = shutil.copytree(published, tmp_path / "mesh")
    contract = root / "a-reviews/contracts/films.odcs.yaml"
    contract.write_text(contract.read_text().replace("logicalType: integer", "logicalType: no", 1))
    temp = tmp_path / "temp"
    temp.mkdir()
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with serving(root, port, temp) as process:
        told = json.loads(get(base + "/"))
        assert [p["name"] for p in told["_links"]["product"]] == ["films"]
        assert told["unserved"] == ["reviews"]
        assert b"Alien" in get(f"{base}/products/films/files/v1/films.csv")
        for path in ("", "/", "/rest/v1/films"):
            with pytest.raises(urllib.error.HTTPError) as caught:
                get(f"{base}/products/reviews{path}")
            with caught.value as reply:
                assert reply.code == 503
                assert "'reviews' is not served" in json.load(reply)["detail"]
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "reviews is not served" in err
    assert "a-reviews/contracts/films.odcs.yaml:" in err


def test_the_lines_that_serve_prints_work_when_pasted(published, tmp_path, serving):
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
def test_other_machines_are_not_let_in_without_a_login(polyport, published, host):
    ended = polyport("serve", published, "--host", host)
    assert ended.code == 2
    assert f"on '{host}' others can reach it, and nobody can log in" in ended.err
    assert "polyport access key create" in ended.err


def status(url, **headers):
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=30
        ) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def alone(mesh, polyport, tmp_path):
    """A product in no mesh: its ledger is its own."""
    home = shutil.copytree(mesh / "films", tmp_path / "films")
    assert polyport("build", home).code == 0
    return home


def test_with_a_key_others_are_served_until_it_is_revoked(polyport, alone, tmp_path, serving):
    port, temp = free_port(), tmp_path / "temp"
    temp.mkdir()
    url = f"http://127.0.0.1:{port}/products/films/rest/v1/films"
    words = ("access", "key", "create", "robot", "--role", "accountant", "--json", alone)
    made, boss = polyport(*words).json(), polyport("access", "key", "create", "b", alone).out
    with serving(alone, port, temp, "--host", "0.0.0.0") as process:
        assert status(url) == status(f"http://127.0.0.1:{port}/") == 401
        mine = {"Authorization": f"Bearer {made['key']}"}
        assert status(url, **mine) == 200
        password = base64.b64encode(f"x:{made['key']}".encode()).decode()
        assert status(url, Authorization=f"Basic {password}") == 200
        assert status(url, **mine, Host="films.example.org") == 200
        assert status(url, Authorization="Bearer " + boss.strip()) == 403
        polyport("access", "key", "revoke", made["id"], alone)
        assert status(url, **mine) == 401
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert "Login: 2 keys" in err
    assert "a key as the password" in err
    assert "without TLS, keys travel in clear text" in err
    assert made["key"][-43:] not in err


def test_tls(polyport, alone, tmp_path, serving):
    pem, port = certificate(tmp_path), free_port()
    context = ssl.create_default_context(cafile=pem)
    text = polyport("access", "key", "create", "robot", alone).out.strip()
    (tmp_path / "temp").mkdir()
    options = ("--host", "0.0.0.0", "--tls-cert", pem)
    url = f"https://127.0.0.1:{port}/"
    with serving(
        alone, port, tmp_path / "temp", *options, context=context, scheme="https"
    ) as process:
        asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {text}"})
        with urllib.request.urlopen(asked, timeout=30, context=context) as reply:
            assert json.load(reply)["_links"]["product"][0]["name"] == "films"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert "https://0.0.0.0" in err
    assert "clear text" not in err
    assert "--tls-key needs" in polyport("serve", alone, "--tls-key", pem).err


def certificate(folder):
    """A PEM file of a certificate of 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "both.pem"
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    return path


def test_another_node_is_read_with_a_key(polyport, alone, tmp_path, monkeypatch, serving):
    """The consumer's key names it; a revoked one stops the next build."""
    port, temp, reader = free_port(), tmp_path / "temp", tmp_path / "reader"
    temp.mkdir()
    (alone / "mesh.yaml").write_text("identity: {local_owner: false}\n")
    words = (
        "access",
        "key",
        "create",
        "product:reader",
        "--role",
        "product:reader",
        "--role",
        "consumer",
    )
    made = polyport(*words, "--json", alone).json()
    with make_product(reader, "rest"):
        pass
    text = (reader / ODPS).read_text()
    (reader / ODPS).write_text(text.replace("id: films\n", "id: reader\n"))
    source = f"{{type: product, product: 'http://127.0.0.1:{port}/products/films', dataset: films, token: '${{NODE_KEY}}', retries: 0}}"
    given = (reader / "polyport.yaml").read_text()
    (reader / "polyport.yaml").write_text(
        given.replace("{type: files, path: inputs/*.csv}", source)
    )
    monkeypatch.setenv("NODE_KEY", made["key"])
    with serving(alone, port, temp) as process:
        ended = polyport("build", reader, "--json")
        assert ended.code == 0, ended.out
        polyport("access", "key", "revoke", made["id"], alone)
        ended = polyport("build", reader)
        assert ended.code == 3
        assert made["key"][-43:] not in ended.err
        assert "401" in ended.err
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    with Product.load(alone) as product:
        assert {r["principal"] for r in product.ledger.reads("films")} == {"product:reader"}


def test_what_is_not_published_is_said(polyport, tmp_path, capsys):
    assert polyport("init", "films", "--dir", tmp_path).code == 0
    with Product.load(tmp_path / "films") as product:
        show_addresses([product], "http://127.0.0.1:8400")
    said = capsys.readouterr().err
    assert "no snapshot yet" in said
    assert "polyport build" in said
