"""A secret from the environment is used, and then nowhere: not in what is said, kept, logged, recorded or served."""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import json
import logging
import sqlite3
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock
from urllib.parse import quote, quote_plus

import pytest
import yaml

from polyport.cli import main
from polyport.errors import PolyportError
from polyport.product import Product
from polyport.server import create_app
from polyport.testing.asgi import Client

TOKEN = "s3cr3t/+=%&tok"
FORMS = {
    TOKEN,
    quote(TOKEN),
    quote(TOKEN, safe=""),
    quote_plus(TOKEN),
    base64.b64encode(f"me:{TOKEN}".encode()).decode(),
    repr(TOKEN)[1:-1],
    "s3cr3t",
}
ODPS = {
    "apiVersion": "v1.1.0", "kind": "DataProduct", "id": "films", "name": "Films", "version": "1.0.0", "status": "active",
    "domain": "testing", "description": {"purpose": "To keep a secret."},
    "inputPorts": [{"name": "source", "version": "1.0.0"}],
    "outputPorts": [{"name": "rest", "type": "rest", "version": "1.0.0", "contractId": "films"}],
    "team": {"name": "Testing", "members": [{"username": "ann@example.com", "role": "owner"}]},
}  # fmt: skip
ODCS = {
    "apiVersion": "v3.2.0", "kind": "DataContract", "id": "films", "name": "Films", "version": "1.0.0", "status": "active",
    "schema": [{"name": "films", "properties": [
        {"name": "id", "logicalType": "integer", "physicalType": "BIGINT", "primaryKey": True, "required": True},
        {"name": "title", "logicalType": "string", "physicalType": "VARCHAR"},
    ]}],
}  # fmt: skip
GOOD = "SELECT id::BIGINT AS id, title FROM source"
STEPS = {
    "transform": {"transform/films.sql": "SELECT title::BIGINT AS id, title FROM source"},
    "python": {
        "transform/films.py": "import os\nimport pyarrow as pa\n\n\n"
        "def films(source: pa.Table) -> pa.Table:\n"
        "    raise ValueError('refused ' + os.environ['TOKEN'])\n"
    },
    "quality": {"transform/films.sql": "SELECT 1::BIGINT AS id, title FROM source"},
    "": {"transform/films.sql": GOOD},
}
HTTP = {
    "path": {"url": "${BASE}/${TOKEN}/items"},
    "query in the url": {"url": "${BASE}/items?key=${TOKEN}"},
    "login": {"url": "${LOGIN}/items"},
    "params": {"url": "${BASE}/items", "params": {"key": "${TOKEN}"}},
    "bearer": {"url": "${BASE}/items", "auth": {"bearer": "${TOKEN}"}},
    "basic": {"url": "${BASE}/items", "auth": {"basic": {"user": "me", "password": "${TOKEN}"}}},
    "header": {"url": "${BASE}/items", "auth": {"header": {"X-Key": "${TOKEN}"}}},
    "query": {"url": "${BASE}/items", "auth": {"query": {"key": "${TOKEN}"}}},
    "file": {"url": "${BASE}/items", "auth": {"bearer": {"file": "token.txt"}}},
}


class Echo(BaseHTTPRequestHandler):
    """An API that says back all that it is told, in the way that `mode` names."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        said = f"{self.path} {dict(self.headers)} {TOKEN} {quote(TOKEN, safe='')}"
        self.server.told.append(said)
        mode = self.server.mode
        body = json.dumps({"items": [{"id": 1, "title": "Alien"}, {"id": 2, "title": "Heat"}]})
        status = {"refused": 401, "failed": 500, "moved": 302}.get(mode, 200)
        if mode != "":
            body = json.dumps({"error": said}) if mode != "garbage" else f"<html>{said}"
        if mode == "cut":
            self.close_connection = True
            return
        self.send_response(status, said[:60].replace("\n", " ") if status != 200 else "OK")
        if mode == "moved":
            self.send_header(
                "Location", f"http://me:{quote(TOKEN, safe='')}@nowhere.example/?{quote(TOKEN)}"
            )
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture(scope="module")
def api():
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        server.mode, server.told = "", []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def product(tmp_path, api, monkeypatch):
    at = f"127.0.0.1:{api.server_port}"
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.setenv("BASE", f"http://{at}")
    monkeypatch.setenv("LOGIN", f"http://me:{quote(TOKEN, safe='')}@{at}")

    def make(source, steps):
        home = tmp_path / "films"
        rest = {"records": "$.items", "retries": 0} if source["type"] == "http" else {}
        files = {
            "dataproduct.odps.yaml": yaml.safe_dump(ODPS),
            "contracts/films.odcs.yaml": yaml.safe_dump(ODCS),
            "polyport.yaml": yaml.safe_dump({"inputs": {"source": source | rest}}),
            "token.txt": TOKEN,
            **steps,
        }
        for name, body in files.items():
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body)
        return home

    return make


def call(*arguments):
    """What the command line says, on both streams."""
    said = io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["polyport", *map(str, arguments)]),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        contextlib.suppress(SystemExit),
    ):
        main()
    return said.getvalue()


def kept(home):
    """Each file that Polyport keeps, by name, as text."""
    with contextlib.closing(sqlite3.connect(home / ".polyport" / "ledger.sqlite")) as ledger:
        ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for path in sorted((home / ".polyport").rglob("*")):
        if path.is_file():
            yield str(path.relative_to(home)), path.read_bytes().decode("latin-1")


def build(home, caplog, *, commands=("build", "history", "quality", "check", "doctor")):
    """Build in every way that says something; all that was said, by where."""
    said = {}
    with caplog.at_level(logging.DEBUG, logger="polyport"), Product.load(home) as made:
        try:
            result = made.build(lambda step: said.update({f"step {step.name}": repr(step)}))
            said["result"] = repr(result.run) + repr(result.report)
        except PolyportError as error:
            said["error"] = repr([str(error), error.record(), error.problem(), error.args])
            said["run"] = repr(error.run) + repr(error.report)
            # what is chained on is shown by whoever prints a traceback of it
            said["traceback"] = "".join(traceback.format_exception(error))
        said["ledger"] = repr([*made.ledger.runs("films"), made.quality()])
        if made.history():
            client = Client(create_app([made]))
            for url in ("", "/rest/v1/", "/rest/v1/films", "/rest/v1/contract.json"):
                said[f"GET {url}"] = client.get(f"/products/films{url}").text
    said["log"] = caplog.text
    for command in commands:
        said[command] = call(command, home)
        said[f"{command} --json"] = call(command, "--json", home)
    return said


def assert_untold(said, *, but=()):
    told = {where for where, text in said.items() if any(form in text for form in FORMS)} - {*but}
    assert not told, {where: said[where][:2000] for where in told}


@pytest.mark.parametrize(
    ("used", "mode"),
    [
        *itertools.product(HTTP, ("", "refused", "moved")),
        *itertools.product(("path", "query"), ("failed", "garbage", "cut")),
    ],
)
def test_an_api_that_says_the_secret_back(product, api, caplog, used, mode):
    api.mode = mode
    api.told.clear()
    home = product({"type": "http", **HTTP[used]}, STEPS[""])
    said = build(home, caplog, commands=("build",) if used in ("path", "query") else ())
    assert_untold(said)
    assert any(form in " ".join(api.told) for form in FORMS), "the secret was not used at all"
    assert ("error" in said) == bool(mode)
    assert_untold(dict(kept(home)))


@pytest.mark.parametrize("stage", ["transform", "python", "quality"])
def test_a_build_that_fails_later(product, api, caplog, stage):
    """Also where a step of the product's own says the secret in its error."""
    api.mode = ""
    home = product({"type": "http", **HTTP["bearer"]}, STEPS[stage])
    said = build(home, caplog)
    assert "error" in said
    # What Python itself chains on is not ours to change; the log that is kept leaves it out.
    assert_untold(said, but=("traceback",) if stage == "python" else ())
    assert_untold(dict(kept(home)))


@pytest.mark.parametrize(
    "source",
    [
        {"type": "database", "url": "sqlite:///${TOKEN}.db", "table": "films"},
        {"type": "database", "url": "postgresql+psycopg://me:${TOKEN}@127.0.0.1:1/x", "table": "films"},
        {"type": "database", "url": "nonsense://${TOKEN}", "table": "films"},
        {"type": "database", "url": "${TOKEN}", "table": "films"},
        {"type": "database", "url": "sqlite://", "query": "SELECT '${TOKEN}' FROM nowhere"},
        {"type": "files", "path": "${TOKEN}/*.csv"},
        {"type": "files", "path": "https://127.0.0.1:1/x.csv?sig=${TOKEN}"},
        {"type": "spreadsheet", "path": "${TOKEN}.xlsx"},
        {"type": "product", "product": "http://127.0.0.1:1/${TOKEN}", "dataset": "films", "retries": 0},
        {"type": "product", "product": "http://127.0.0.1:1/p", "dataset": "films", "token": "${TOKEN}", "retries": 0},
    ],
    ids=map(str, range(10)),
)  # fmt: skip
def test_a_source_that_is_not_there(product, caplog, source):
    home = product(source, STEPS[""])
    said = build(home, caplog, commands=("build", "history"))
    assert "error" in said
    assert_untold(said)
    assert_untold(dict(kept(home)))
