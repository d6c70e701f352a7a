"""The hostile statements through each port that takes SQL: POST /sql, Flight SQL and PostgreSQL's wire."""

from __future__ import annotations

import json

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import psycopg
import pytest
from tests.security import test_hostile_sql as hostile

from polyport.access.identity import Identity
from polyport.mesh import Mesh
from polyport.ports.output import Endpoint
from polyport.ports.output.flight import FlightPort
from polyport.ports.output.sql import SqlPort
from polyport.server import create_app
from polyport.testing.asgi import Client

ROLE = "partner; studio=Fox"
SQL = "/products/films/rest/v1/sql"
HEADER = "adbc.flight.sql.rpc.call_header."
REFUSED = {400, 403, 404}
paths, hidden = hostile.paths, hostile.hidden


def with_ports(files):
    """The same products, with all ports that take SQL."""
    begin = "outputPorts: ["
    for name, text in files.items():
        product = name.partition("/")[0]
        more = [f"{{name: {t}, type: {t}, version: 1.0.0, contractId: {product}}}, " for t in ("flight", "sql")]  # fmt: skip
        yield name, text.replace(begin, begin + "".join(more))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile")
    hostile.messy.write(root, dict(with_ports(hostile.messy.PRODUCTS)))
    (root / "outside.json").write_text('{"a": "CANARY outside"}')
    with Mesh.find(root) as mesh:
        for name in mesh.homes:
            mesh.product(name).build()
        yield root, mesh, None


@pytest.fixture(scope="module")
def products(world):
    _, mesh, _ = world
    return [mesh.product(name) for name in mesh.homes]


@pytest.fixture(scope="module")
def client(products):
    return Client(create_app(products))


@pytest.fixture(scope="module")
def listening(products):
    """A function that starts the listener of a type of port."""
    opened = []

    def start(kind):
        ports = [p for product in products for p in product.ports() if isinstance(p, kind)]
        identity = Identity(products[0].control, local_owner=True)
        opened.append(kind.listen(ports, Endpoint(identity=identity)))
        return opened[-1].port

    yield start
    for listener in opened:
        listener.close()


def writable(text):
    """Whether a client can write it: a half of a pair is no text."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def test_by_post(client, paths, hidden):
    """What is refused to a session is refused here, and the others are answered."""
    headers = {"Content-Type": "application/json", "Polyport-Role": ROLE}
    for expected, sql in hostile.QUICK:
        text = sql.format(**paths)
        reply = client.send("POST", SQL, headers=headers, content=json.dumps({"sql": text}))
        hostile.check(reply.text, text, hidden)
        if sql not in hostile.IN_POSTGRES:
            assert (reply.status_code == 200) is (expected == "answered"), (text, reply.text)
        assert reply.status_code in {200, *REFUSED}, (text, reply.text)


def test_by_flight(listening, paths, hidden):
    options = {f"{HEADER}polyport-product": "films", f"{HEADER}polyport-role": ROLE}
    at = f"grpc://127.0.0.1:{listening(FlightPort)}"
    with adbc.connect(at, db_kwargs=options) as connection:
        for expected, sql in hostile.QUICK:
            text = sql.format(**paths)
            if not writable(text):
                continue
            try:
                with connection.cursor() as cursor:
                    cursor.execute(text)
                    rows = cursor.fetch_arrow_table()
                found, said = "answered", f"{rows.schema} {rows.to_pylist()}"
            except adbc_driver_manager.Error as error:
                found, said = "refused", str(error)
            hostile.check(said, text, hidden)
            if sql not in hostile.IN_POSTGRES and "\0" not in text:  # what follows is not sent
                assert found == expected, (text, said)


def by_wire(connection, text, *, binary=False):
    """What became of a statement, and all that was said about it."""
    try:
        with connection.cursor(binary=binary) as cursor:
            if text.startswith("COPY"):
                with cursor.copy(text) as copied:
                    return "answered", repr([bytes(part) for part in copied])
            cursor.execute(text)
            return "answered", repr((cursor.description, cursor.description and cursor.fetchall()))
    except psycopg.Error as error:
        return "refused", f"{error} {error.diag.message_detail} {error.diag.message_hint}"


def test_by_the_wire(listening, paths, hidden):
    """What the port itself answers (SHOW, BEGIN) and what the catalogue does tell nothing hidden, either."""
    at = f"host=127.0.0.1 port={listening(SqlPort)} user=owner dbname=films"
    role = "-c polyport.role=" + ROLE.replace(" ", r"\ ")
    with psycopg.connect(at, autocommit=True, options=role) as connection:
        for expected, sql in hostile.QUICK:
            text = sql.format(**paths)
            if not writable(text):
                continue
            found, said = by_wire(connection, text)
            hostile.check(said, text, hidden)
            assert not connection.closed, (text, said)
            if sql in hostile.IN_POSTGRES:
                assert found == expected, (text, said)
            if connection.info.transaction_status:
                connection.execute("ROLLBACK")
        assert connection.execute("SELECT count(*) FROM films").fetchone() == (2,)


RARE = [
    *next(g["answered"] for g in hostile.GROUPS if g["what"].startswith("values of rare types")),
    "SELECT 'infinity'::DATE AS a, '-infinity'::TIMESTAMP AS b, 'infinity'::TIMESTAMPTZ AS c, 'nan'::FLOAT AS d",
    "SELECT TIMESTAMP_NS '2262-04-11 23:47:16.854775806' AS a, DATE '5877642-06-25 (BC)' AS b",
    "SELECT INTERVAL '1 year 2 days 3.5 seconds' AS a, INTERVAL '-1 month' AS b, [INTERVAL 0 DAY] AS c",
]


@pytest.mark.parametrize(
    "media",
    ["application/json", "application/x-ndjson", "text/csv", "application/vnd.apache.arrow.stream"],
)
def test_rare_types_are_written_as_all_forms(client, media):
    for sql in RARE:
        reply = client.send("POST", SQL, headers={"Accept": media}, json={"sql": sql.format()})
        assert reply.status_code == 200, (sql, reply.text)
        assert reply.content


@pytest.mark.parametrize("binary", [False, True])
def test_rare_types_go_over_the_wire_or_are_refused(listening, binary):
    at = f"host=127.0.0.1 port={listening(SqlPort)} user=owner dbname=films"
    with psycopg.connect(at, autocommit=True) as connection:
        for sql in RARE:
            for text in (sql.format(), f"COPY ({sql.format()}) TO STDOUT"):
                binarily = " (FORMAT binary)" if binary and text.startswith("COPY") else ""
                found, said = by_wire(connection, text + binarily, binary=binary)
                assert found == "answered" or "cannot" in said or "XX" not in said, (text, said)
                assert not connection.closed, text
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_owner_is_told_what_is_hidden(client, hidden):
    """Else the tests above could not fail."""
    reply = client.send("POST", SQL, json={"sql": "SELECT * FROM films, CANARY_crew"})
    assert "CANARY Weaver" in reply.text
