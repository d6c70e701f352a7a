"""Two majors of the SQL and the Flight port behind one listener each: the older one by a mapping, by its own name."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import adbc_driver_flightsql.dbapi as adbc
import psycopg
import pytest
from pyarrow import flight
from tests.ports.output.flight.asking import ask, headers
from tests.ports.output.sql.test_clients import program
from tests.ports.output.test_majors import ROWS, write

from polyport.access import keys
from polyport.access.identity import Identity
from polyport.mesh import Mesh
from polyport.model import Principal
from polyport.ports.output import Endpoint
from polyport.ports.output.flight import FlightPort
from polyport.ports.output.flight import messages as m
from polyport.ports.output.sql import SqlPort
from polyport.server import client_lines, create_app
from polyport.testing.asgi import Client

SWAP = {
    "name: rest": "name: sql", "type: rest": "type: sql", "name: files, type: files": "name: flight, type: flight",
    "1.0.0, contractId: films-v1}": "1.0.0, contractId: films-v1, deprecated: true, customProperties: ["
    '{property: polyport.deprecatedOn, value: "2026-01-01"}, {property: polyport.sunset, value: "2099-01-01"}]}',
    '"rest@1"': '"sql@1"', '"files@1"': '"flight@1"',
}  # fmt: skip
NOTICE = "version 1.3.0 of the port 'sql' of 'films' is deprecated since 2026-01-01, and not served from 2099-01-01 on"


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    folder = tmp_path_factory.mktemp("majors")
    write(folder / "films", swap=SWAP)
    write(
        folder / "more",
        swap={**SWAP, "DataProduct\n    id: films": "DataProduct\n    id: more", "Alien": "More"},
    )
    (folder / "mesh.yaml").write_text("name: mesh\nproducts: ['*']\n", "utf-8")
    with Mesh.find(folder) as mesh:
        made = mesh.each()
        sheet = folder / "films/inputs/films.csv"
        sheet.write_text(ROWS + "4,Gone,Wise,1.00,Fox\n")
        for product in made.values():
            product.build()
        sheet.write_text(ROWS)
        made["films"].build()
        yield made


@contextlib.contextmanager
def listening(kind, products):
    ports = [p for product in products.values() for p in product.ports() if isinstance(p, kind)]
    identity = Identity(products["films"].control, local_owner=True)
    server = kind.listen(ports, Endpoint(identity=identity))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def sql(products):
    with listening(SqlPort, products) as server:
        yield server


@pytest.fixture
def connect(sql):
    with contextlib.ExitStack() as stack:

        def connected(database, user="owner", **more):
            told = []
            made = stack.enter_context(
                psycopg.connect(
                    host="127.0.0.1", port=sql.port, user=user, dbname=database, autocommit=True, **more
                )
            )  # fmt: skip
            made.add_notice_handler(lambda said: told.append((said.severity, said.sqlstate)))
            return made, told

        yield connected


def rows(connection, query):
    return connection.execute(query).fetchall()


@pytest.mark.parametrize(
    ("database", "query", "titles"),
    [
        ("films", 'SELECT title FROM "films" ORDER BY id', ["Alien", "Dune", "Heat"]),
        ("films@2", 'SELECT title FROM "films@2".films ORDER BY id', ["Alien", "Dune", "Heat"]),
        ("films@1", 'SELECT "the name" FROM movie ORDER BY nr', ["Alien", "Dune", "Heat"]),
        ("films@1", 'SELECT "the name" FROM "films@1".movie WHERE usd > 40', ["Dune"]),
        ("films@1", 'SELECT "the name" FROM public.movie WHERE "by" = \'Mann\'', ["Heat"]),
        ("films@1", 'SELECT title FROM "films@2".films ORDER BY id LIMIT 1', ["Alien"]),
        ("films@1", 'SELECT title FROM "more".films ORDER BY id LIMIT 1', ["More"]),
        ("films@1", 'SELECT "the name" FROM "more@1".movie ORDER BY nr LIMIT 1', ["More"]),
        ("mesh", 'SELECT "the name" FROM "more@1".movie ORDER BY nr LIMIT 1', ["More"]),
        ("mesh", 'SELECT a.title FROM "films@2".films a JOIN "films@1".movie b ON a.id = b.nr ORDER BY 1', ["Alien", "Dune", "Heat"]),
        ("films@1", 'SELECT "the name" FROM "movie@1" ORDER BY nr LIMIT 1', ["Alien"]),
        ("films@1", "SELECT dataset || ': ' || column_name FROM polyport.columns ORDER BY position LIMIT 1", ["movie: nr"]),
        ("mesh", "SELECT DISTINCT dataset FROM polyport.datasets", ["films"]),
    ],
)  # fmt: skip
def test_each_major_is_a_database_and_a_schema(connect, database, query, titles):
    assert rows(connect(database)[0], query) == [(title,) for title in titles]


@pytest.mark.parametrize(
    ("database", "query"),
    [
        ("films@1", "SELECT * FROM films"), ("films", "SELECT * FROM movie"), ("mesh", "SELECT * FROM movie"),
        ("films@2", "SELECT * FROM movie"), ("mesh", 'SELECT * FROM "films@3".films'),
        ("mesh", 'SELECT * FROM "films@2".movie'), ("mesh", 'SELECT * FROM "films@1".films'),
    ],
)  # fmt: skip
def test_datasets_of_the_other_major_are_not_there(connect, database, query):
    with pytest.raises(psycopg.errors.UndefinedTable):
        rows(connect(database)[0], query)


def test_there_is_no_other_major(connect):
    with pytest.raises(psycopg.OperationalError) as caught:
        connect("films@3")
    assert 'database "films@3" does not exist' in str(caught.value)
    assert 'did you mean "films@1"?' in str(caught.value)


def test_the_snapshot_of_a_session_is_that_of_its_major_by_each_of_its_names(connect, products):
    assert products["films"].history()[-1].sequence == 2
    old, _ = connect("films@1", options="-c polyport.snapshot=1")
    assert rows(old, "SELECT snapshot FROM polyport.datasets") == [(1,)]
    with old.transaction():
        for name in ("movie", '"films@1".movie', '"films".movie'):
            assert len(rows(old, f"SELECT * FROM {name}")) == 4


def test_the_catalogue_lists_majors(connect, products):
    mesh, _ = connect("mesh")
    assert rows(mesh, "SELECT datname FROM pg_database ORDER BY 1") == [
        ("films",), ("films@1",), ("mesh",), ("more",), ("more@1",),
    ]  # fmt: skip
    assert rows(
        mesh,
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname !~ '^(pg_|inf)' ORDER BY 1",
    ) == [("films", "films"), ("films@1", "movie"), ("more", "films"), ("more@1", "movie")]
    assert rows(
        mesh, "SELECT bool_and(has_database_privilege(datname, 'CONNECT')) FROM pg_database"
    ) == [(True,)]
    old, _ = connect("films@1")
    assert rows(old, "SELECT current_database(), current_schema()") == [("films@1", "films@1")]
    assert rows(old, "SELECT obj_description('\"films@1\"'::regnamespace, 'pg_namespace')") == [
        (f"Two majors.\n{NOTICE}: use 'films' (version 2.0.0)",)
    ]
    assert rows(
        old, "SELECT attname FROM pg_attribute WHERE attrelid = 'movie'::regclass AND attnum > 0"
    ) == [("nr",), ("the name",), ("by",), ("usd",), ("currency",)]


def test_psql_tells_of_the_older_one_and_lists_databases(sql):
    ran = subprocess.run(
        [program("psql"), "-X", "-A", f"host=127.0.0.1 port={sql.port} user=owner dbname=films@1",
         "-c", "SELECT count(*) FROM movie", "-c", "SELECT datname FROM pg_database ORDER BY 1"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == f"NOTICE:  {NOTICE}\nHINT:  use 'films' (version 2.0.0)\n"
    assert "films\nfilms@1\nmesh\nmore\nmore@1\n" in ran.stdout


def test_the_newest_one_says_nothing_and_the_mesh_only_of_what_is_named(connect, sql):
    mesh, told = connect("mesh")
    rows(mesh, 'SELECT * FROM "films@2".films')
    assert told == []
    for _ in range(2):
        rows(mesh, 'SELECT * FROM "films@1".movie')
    assert told == [("NOTICE", "01P01")]
    ran = subprocess.run(
        [program("psql"), "-X", f"host=127.0.0.1 port={sql.port} user=owner dbname=films", "-c", "FROM films"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.fixture
def over(products):
    """The day of the older one's end."""
    films = products["films"]
    before, films.clock = films.clock, lambda: dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    yield
    films.clock = before


def test_after_its_end_it_refuses_and_names_its_successor(connect, over):
    with pytest.raises(psycopg.OperationalError) as caught:
        connect("films@1")
    words = str(caught.value)
    assert "FATAL:  version 1.3.0 of the port 'sql' is not served since 2099-01-01" in words
    assert "HINT:  use version 2.0.0" in words
    mesh, _ = connect("mesh")
    with pytest.raises(psycopg.Error, match="not served since 2099-01-01") as refused:
        rows(mesh, 'SELECT * FROM "films@1".movie')
    assert refused.value.sqlstate == "57P04"
    assert len(rows(mesh, "SELECT * FROM films.films")) == 3
    assert rows(mesh, "SELECT count(*) FROM pg_tables WHERE schemaname = 'films@1'") == [(0,)]


def test_the_policy_lies_below_the_mapping(connect, products):
    _, key = keys.create(
        products["films"].control, Principal("pat", frozenset({"partner"})), by="owner"
    )
    old, _ = connect("films@1", user="pat", password=key)
    new, _ = connect("films", user="pat", password=key)
    assert rows(old, "SELECT nr FROM movie ORDER BY 1") == [(1,), (3,)]
    assert rows(old, 'SELECT "by" FROM movie ORDER BY nr') == rows(
        new, "SELECT director FROM films ORDER BY id"
    )
    read = [r for r in products["films"].ledger.reads("films") if r["principal"] == "pat"]
    assert {(r["port"], r["dataset"]) for r in read} == {("sql", "films")}
    assert {r["columns"] for r in read} == {("id",), ("id", "director")}


# Flight


@pytest.fixture(scope="module")
def flights(products):
    with listening(FlightPort, products) as server:
        yield f"grpc://127.0.0.1:{server.port}"


@pytest.fixture
def raw(flights):
    with flight.connect(flights) as client:
        yield client


def read(uri, query, product=""):
    options = {"adbc.flight.sql.rpc.call_header.polyport-product": product} if product else {}
    with adbc.connect(uri, options, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetch_arrow_table().to_pylist()


@pytest.mark.parametrize(
    ("product", "query", "found"),
    [
        ("films", "SELECT title FROM films WHERE id = 2", {"title": "Dune"}),
        ("films@2", "SELECT title FROM films WHERE id = 2", {"title": "Dune"}),
        ("films@1", 'SELECT "the name", currency FROM movie WHERE nr = 2', {"the name": "Dune", "currency": "US'D"}),
        ("films@1", 'SELECT "the name" FROM mesh."films@1".movie WHERE nr = 2', {"the name": "Dune"}),
        ("", 'SELECT "the name" FROM "more@1".movie WHERE nr = 1', {"the name": "More"}),
    ],
)  # fmt: skip
def test_each_major_is_a_schema_of_flight(flights, product, query, found):
    assert read(flights, query, product) == [found]


def test_flight_lists_majors(raw, flights):
    schemas = ask(raw, m.CommandGetDbSchemas()).to_pylist()
    assert [row["db_schema_name"] for row in schemas] == ["films", "films@1", "more", "more@1"]
    tables = ask(raw, m.CommandGetTables(db_schema_filter_pattern="films@1")).to_pylist()
    assert [row["table_name"] for row in tables] == ["movie"]
    key = ask(raw, m.CommandGetPrimaryKeys(db_schema="films@1", table="movie")).to_pylist()
    assert [row["column_name"] for row in key] == ["nr"]
    with adbc.connect(flights, autocommit=True) as connection:
        told = connection.adbc_get_objects(depth="tables").read_all().to_pylist()
    listed = {s["db_schema_name"] for c in told for s in c["catalog_db_schemas"]}
    assert listed == {"films", "films@1", "more", "more@1"}


class Heard(flight.ClientMiddleware):
    def __init__(self, into):
        super().__init__()
        self.into = into

    def received_headers(self, headers):
        self.into.update({name: values[0] for name, values in headers.items()})


class Hearing(flight.ClientMiddlewareFactory):
    def __init__(self):
        super().__init__()
        self.into = {}

    def start_call(self, info):
        return Heard(self.into)


@pytest.mark.parametrize("product", ["films@1", "films"])
def test_headers_tell_that_the_older_one_ends(flights, product):
    hearing = Hearing()
    with flight.connect(flights, middleware=[hearing]) as client:
        ask(client, m.CommandGetCatalogs(), headers(polyport_product=product))
    told = {
        name: hearing.into.get(name) for name in ("deprecation", "sunset", "polyport-successor")
    }
    if product == "films":
        assert set(told.values()) == {None}
        return
    assert told == {
        "deprecation": "@1767225600", "sunset": "Thu, 01 Jan 2099 00:00:00 GMT", "polyport-successor": "films",
    }  # fmt: skip
    assert (
        "version 1.0.0 of the port 'flight' of 'films' is deprecated"
        in hearing.into["polyport-notice"]
    )


def test_after_its_end_flight_refuses_it(flights, raw, over):
    with pytest.raises(
        adbc.ProgrammingError, match=r"not served since 2099-01-01.*use version 2.0.0"
    ):
        read(flights, "SELECT * FROM movie", "films@1")
    schemas = ask(raw, m.CommandGetDbSchemas()).to_pylist()
    assert [row["db_schema_name"] for row in schemas] == ["films", "more", "more@1"]


def test_there_is_no_other_major_of_flight(flights):
    with pytest.raises(adbc.Error, match="did you mean 'films@1'"):
        read(flights, "SELECT 1", "films@3")


# What is pasted


def test_lines_and_snippets_name_the_major(products, sql, flights):
    addresses = {"sql": f"postgresql://127.0.0.1:{sql.port}", "flight": flights}
    films = products["films"]
    lines = client_lines(films, "http://127.0.0.1:8400", addresses)
    assert set(lines) == {"sql@1", "sql@2", "flight@1", "flight@2"}
    program("psql")
    path = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for line, words in (
        (lines["sql@1"], "US'D"),
        (lines["sql@2"], "Lynch"),
        (lines["flight@1"], "currency"),
    ):
        ran = subprocess.run(
            ["sh", "-c", line], capture_output=True, text=True, timeout=300, check=False, env=path
        )
        assert ran.returncode == 0, ran.stderr
        assert words in ran.stdout
    client = Client(create_app([films], addresses=addresses))
    told = client.get("/products/films/metadata").json()
    assert set(told["clients"]) == set(lines)
    older = next(
        p for p in told["ports"]["output"] if (p["name"], p["version"]) == ("sql", "1.3.0")
    )
    assert older["state"] == "deprecated"
    assert "/films@1" in older["clients"]["psycopg"]
    assert "movie" in older["clients"]["psycopg"]
    exec(older["clients"]["psycopg"], {})
