"""`POST {port}/sql`: consumers' own SQL over HTTP, as JSON, NDJSON, CSV and Arrow."""

from __future__ import annotations

import asyncio
import json
import textwrap
import time

import pyarrow as pa
import pytest
from openapi_spec_validator import validate

from polyport.mesh import Mesh
from polyport.server import create_app
from polyport.testing.asgi import Client

ODPS = """
    apiVersion: v1.1.0
    kind: DataProduct
    id: NAME
    name: NAME
    version: 1.0.0
    status: active
    inputPorts: [{name: sheet, version: 1.0.0}]
    outputPorts: [{name: rest, type: rest, version: 1.0.0, contractId: NAME}]
    """
ODCS = """
    apiVersion: v3.2.0
    kind: DataContract
    id: NAME
    name: NAME
    version: 1.0.0
    status: active
    schema:
      - name: films
        properties:
          - {name: id, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true}
          - {name: title, logicalType: string, physicalType: VARCHAR}
          - {name: shot, logicalType: date, physicalType: DATE}
          - {name: crew, logicalType: array, physicalType: "STRUCT(name VARCHAR, ages INTEGER[])[]"}
    """
YAML = """
    inputs: {sheet: {type: files, path: in.csv}}
    access:
      agreements: optional
      roles:
        reader: {}
        half: {columns: [id, title], rows: "id <= 2", mask: {title: "constant:X"}}
    limits: {rows_per_read: 1000, sql: {seconds: 10, memory: 500MB}}
    """
FILMS = """
    SELECT id::BIGINT AS id, title, shot::DATE AS shot, [{'name': 'Ann', 'ages': [1, 2]}]::STRUCT(name VARCHAR, ages INTEGER[])[] AS crew
    FROM sheet
    """
BASE = "/products/a/rest/v1"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    home = tmp_path_factory.mktemp("mesh")
    files = {"mesh.yaml": "name: testmesh\nproducts: [a, b]\n"}
    for name in "ab":
        files |= {
            f"{name}/dataproduct.odps.yaml": ODPS.replace("NAME", name),
            f"{name}/contracts/{name}.odcs.yaml": ODCS.replace("NAME", name),
            f"{name}/polyport.yaml": YAML,
            f"{name}/in.csv": "id,title,shot\n1,Alien,1979-05-25\n2,Heat,1995-12-15\n3,Ran,1985-06-01\n",
            f"{name}/transform/films.sql": FILMS,
        }
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip(), "utf-8")
    with Mesh.find(home) as found:
        for product in found.at(home):
            product.build()
        yield found


@pytest.fixture(scope="module")
def app(mesh):
    return create_app([mesh.product("a"), mesh.product("b")])


@pytest.fixture
def client(app):
    return Client(app)


def ask(client, sql, *, accept="application/json", role=None, url=f"{BASE}/sql", **members):
    headers = {"Accept": accept, **({"Polyport-Role": role} if role else {})}
    return client.send("POST", url, headers=headers, json={"sql": sql, **members})


def rows(reply):
    assert reply.status_code == 200, reply.text
    return reply.json()["rows"]


def test_rows_come_with_their_columns_and_the_snapshot(client, mesh):
    reply = ask(client, "SELECT id, title FROM films ORDER BY id LIMIT 2")
    assert reply.json() == {
        "columns": [{"name": "id", "type": "BIGINT"}, {"name": "title", "type": "VARCHAR"}],
        "rows": [{"id": 1, "title": "Alien"}, {"id": 2, "title": "Heat"}],
    }
    assert reply.headers["Polyport-Snapshot"] == mesh.product("a").history()[-1].id
    assert reply.headers["Cache-Control"] == "private, no-store"


def test_intervals_are_durations(client):
    sql = "SELECT INTERVAL '14 months -2 days 3.5 seconds' AS a, max(shot::TIMESTAMP) - min(shot::TIMESTAMP) AS b, INTERVAL 0 DAY AS c FROM films"
    assert rows(ask(client, sql)) == [{"a": "P14M-2DT3.5S", "b": "P6048D", "c": "PT0S"}]
    found = ask(client, sql, accept="text/csv").text.splitlines()
    assert found == ["a,b,c", "P14M-2DT3.5S,P6048D,PT0S"]


def test_no_rows_are_an_empty_list(client):
    assert rows(ask(client, "SELECT * FROM films WHERE false")) == []


def test_documents_keep_their_lists_and_structs(client):
    (found,) = rows(ask(client, "SELECT crew FROM films WHERE id = 1"))
    assert found == {"crew": [{"name": "Ann", "ages": [1, 2]}]}


def test_values_are_bound_as_the_type_that_their_place_wants(client):
    sql = "SELECT id FROM films WHERE shot >= $1 AND title LIKE $2"
    assert rows(ask(client, sql, values=["1985-01-01", "H%"])) == [{"id": 2}]
    hostile = "x' OR '1'='1"
    assert rows(ask(client, "SELECT id FROM films WHERE title = $1", values=[hostile])) == []


def test_other_forms(client):
    sql = "SELECT id, title FROM films ORDER BY id"
    lines = ask(client, sql, accept="application/x-ndjson").text.splitlines()
    assert [json.loads(line) for line in lines][2] == {"id": 3, "title": "Ran"}
    assert ask(client, sql, accept="text/csv").text.splitlines()[:2] == ["id,title", "1,Alien"]
    arrow = ask(client, sql, accept="application/vnd.apache.arrow.stream").content
    assert pa.ipc.open_stream(arrow).read_all()["title"].to_pylist() == ["Alien", "Heat", "Ran"]
    assert ask(client, sql, accept="image/png").status_code == 406


def test_columns_of_one_name_are_numbered(client):
    assert rows(ask(client, "SELECT 1 AS a, 2 AS a, 3 AS a_2")) == [{"a": 1, "a_2": 2, "a_2_2": 3}]


def test_sql_alone_can_be_sent(client):
    headers = {"Content-Type": "application/sql"}
    reply = client.send(
        "POST", f"{BASE}/sql", headers=headers, content=b"SELECT count(*) AS n FROM films"
    )
    assert rows(reply) == [{"n": 3}]


def test_the_policy_holds(client):
    found = rows(ask(client, "SELECT * FROM films ORDER BY id", role="half"))
    assert found == [{"id": 1, "title": "X"}, {"id": 2, "title": "X"}]
    reply = ask(client, "SELECT shot FROM films", role="half")
    assert reply.status_code == 400
    assert "1979" not in reply.text
    assert ask(client, "SELECT * FROM films", role="nobody").status_code == 403


def test_products_can_be_joined(client):
    sql = 'SELECT count(*) AS n FROM films JOIN "b".films AS other USING (id)'
    assert rows(ask(client, sql)) == [{"n": 3}]
    assert rows(ask(client, sql, role="half")) == [{"n": 2}]


def test_a_snapshot_can_be_named(client):
    assert rows(ask(client, "SELECT count(*) AS n FROM films", snapshot="1")) == [{"n": 3}]
    assert rows(ask(client, "SELECT count(*) AS n FROM films", url=f"{BASE}/sql?snapshot=1")) == [
        {"n": 3}
    ]
    assert ask(client, "SELECT 1", snapshot="99").status_code == 404
    assert ask(client, "SELECT 1", snapshot="1", url=f"{BASE}/sql?snapshot=2").status_code == 400


@pytest.mark.parametrize(
    ("sql", "status", "words"),
    [
        ("SELEC 1", 400, "syntax error"),
        ("SELECT titel FROM films", 400, "title"),
        ("SELECT * FROM nope", 404, "nope"),
        ("DELETE FROM films", 400, "DELETE"),
        ("SELECT 1; SELECT 2", 400, "2 statements"),
        ("SELECT * FROM read_text('/etc/hostname')", 400, "read_text"),
        ("SELECT count(*) FROM films, range(100000) a, range(100000) b, range(10000) c WHERE a.range + b.range + c.range = 1", 403, "longer than 10 seconds"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_says_why(client, sql, status, words):
    reply = ask(client, sql)
    assert (reply.status_code, reply.headers["Content-Type"]) == (
        status,
        "application/problem+json",
    )
    assert words in reply.text


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[]", 400), (b'{"sql": 1}', 400), (b'{"sql": "SELECT 1", "more": 1}', 400), (b'{"values": []}', 400)],
)  # fmt: skip
def test_a_body_that_is_none_is_refused(client, body, status):
    headers = {"Content-Type": "application/json"}
    assert client.send("POST", f"{BASE}/sql", headers=headers, content=body).status_code == status


def test_no_form_of_another_page_can_ask(client):
    headers = {"Content-Type": "text/plain"}
    assert (
        client.send("POST", f"{BASE}/sql", headers=headers, content=b"SELECT 1").status_code == 415
    )


def test_what_is_read_is_recorded(client, mesh):
    product = mesh.product("a")
    before = len(product.ledger.reads("a"))
    rows(ask(client, "SELECT title FROM films"))
    read = product.ledger.reads("a")[0]
    assert len(product.ledger.reads("a")) == before + 1
    assert (read["port"], read["dataset"], list(read["columns"]), read["rows"]) == (
        "rest",
        "films",
        ["title"],
        3,
    )


def test_openapi_tells_of_it(client):
    document = client.get(f"{BASE}/openapi.json").json()
    validate(document)
    assert set(document["paths"]["/sql"]["post"]["requestBody"]["content"]) == {
        "application/json",
        "application/sql",
    }
    assert client.get(f"{BASE}/sql").status_code in (404, 405)


def test_whoever_goes_away_ends_the_statement(app, mesh):
    """Without it the worker would compute for ten seconds."""
    sql = "SELECT count(*) FROM range(10000000) a, range(100000) b WHERE a.range * b.range = 7"
    body = json.dumps({"sql": sql}).encode()
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": f"{BASE}/sql", "raw_path": f"{BASE}/sql".encode(), "root_path": "", "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")], "client": ("127.0.0.1", 1),
    }  # fmt: skip
    sent = []

    async def run():
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            if messages:
                return messages.pop()
            await asyncio.sleep(0.5)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)

    started = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - started < 8  # not the ten seconds of the limit
    assert b"cancelled" in sent[-1]["body"]
