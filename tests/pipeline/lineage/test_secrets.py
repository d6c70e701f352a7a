"""No event holds a secret: not of an address, not of the environment, not of a header; kept or sent, done or failed."""

from __future__ import annotations

import json
import sqlite3
import textwrap
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from polyport.descriptor.types import Port
from polyport.errors import PolyportError
from polyport.ledger import lineage as graphs
from polyport.pipeline.lineage import Target
from polyport.pipeline.lineage.names import input_name
from polyport.product import Product

TOKEN, PASSWORD, KEY, WORD = "t0ken-of-the-api", "p@ss w/rd", "query-k3y", "in-the-sql"
SECRETS = (TOKEN, PASSWORD, "p%40ss", "p@ss", KEY, WORD, "hunter2", "u5er", "l1teral")
FILES = {
    "dataproduct.odps.yaml": """
        apiVersion: v1.1.0
        kind: DataProduct
        id: secret
        name: Secret
        version: 1.0.0
        status: active
        inputPorts: [{name: api, version: 1.0.0}, {name: signed, version: 1.0.0}, {name: db, version: 1.0.0}]
        outputPorts: [{name: rest, type: rest, version: 1.0.0, contractId: c}]
        """,
    "contracts/c.odcs.yaml": """
        apiVersion: v3.2.0
        kind: DataContract
        id: c
        name: C
        version: 1.0.0
        status: active
        schema:
          - name: rows
            properties:
              - {name: id, logicalType: integer, physicalType: BIGINT}
              - {name: said, logicalType: string, physicalType: VARCHAR}
        """,
    "polyport.yaml": """
        inputs:
          api:
            type: http
            url: "http://127.0.0.1:PORT/rows?plain=l1teral"
            auth: {bearer: "${API_TOKEN}"}
            retries: 0
          signed:
            type: http
            url: "http://127.0.0.1:PORT/rows"
            auth: {query: {key: "${API_KEY}"}}
            retries: 0
          db: {type: database, url: "sqlite:///inputs/x.sqlite?password=${DB_PASSWORD}", query: "SELECT id FROM t"}
        """,
    "transform/rows.sql": """
        SELECT api.id, 'in-the-sql' AS said FROM api, signed, db
        """,
}


class Api(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'[{"id": 1}]'
        status = 200 if self.server.well else 403
        if not self.server.well:  # an answer that quotes what it was asked with
            body = f"{self.path} {self.headers['authorization']}".encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.server.got.append(self.rfile.read(int(self.headers["content-length"])).decode())
        self.send_response(201)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def api():
    with HTTPServer(("127.0.0.1", 0), Api) as server:
        server.well, server.got = True, []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def product(tmp_path, api, monkeypatch):
    for name, value in {
        "API_TOKEN": TOKEN,
        "API_KEY": KEY,
        "DB_PASSWORD": PASSWORD,
        "SQL": WORD,
    }.items():
        monkeypatch.setenv(name, value)
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip().replace("PORT", str(api.server_port)))
    (tmp_path / "inputs").mkdir()
    with closing(sqlite3.connect(tmp_path / "inputs/x.sqlite")) as database:
        database.execute("CREATE TABLE t (id INTEGER)")
        database.execute("INSERT INTO t VALUES (1)")
        database.commit()
    with Product.load(tmp_path) as made:
        made.lineage_target = Target(f"http://127.0.0.1:{api.server_port}/lineage", "target-t0ken")
        yield made


def events(product, api):
    """Those kept and those sent."""
    kept = json.dumps(graphs.newest(product.ledger.journal, "secret", 100), ensure_ascii=False)
    return kept, "".join(api.got)


def test_a_run_that_publishes(product, api):
    (product.spec.home / "transform/rows.sql").write_text(
        "SELECT api.id, 'x' AS said FROM api, signed, db"
    )
    product.build()
    for text in events(product, api):
        assert '"COMPLETE"' in text
        assert f"http://127.0.0.1:{api.server_port}" in text
        assert not [s for s in (*SECRETS, "target-t0ken", "authorization", "Bearer") if s in text]


def test_a_run_that_fails_where_the_answer_quotes_the_request(product, api):
    api.well = False
    with pytest.raises(PolyportError):
        product.build()
    for text in events(product, api):
        assert '"FAIL"' in text
        assert not [s for s in (*SECRETS, "authorization", "Bearer") if s in text]


def test_a_value_of_the_environment_is_told_nowhere_whatever_says_it(product, api, monkeypatch):
    """A step's SQL is in the events: what a setting took from the environment is not, should it stand there, too."""
    config = product.spec.home / "polyport.yaml"
    config.write_text(config.read_text().replace('bearer: "${API_TOKEN}"', 'bearer: "${SQL}"'))
    with Product.load(product.spec.home) as again:
        again.build()
        kept, _ = events(again, api)
    assert "'***' AS said" in kept
    assert WORD not in kept


@pytest.mark.parametrize(
    ("address", "namespace"),
    [
        (
            "https://u5er:hunter2@node.example/products/films?token=l1teral#x",
            "https://node.example/products/films",
        ),
        ("films", "urn:films"),
    ],
)
def test_the_address_of_another_node_loses_its_user_and_query(address, namespace):
    port = Port("films", "product", settings={"product": address, "dataset": "films"})
    assert input_name(port, None, "me", lambda name: f"urn:{name}") == (namespace, "films")
