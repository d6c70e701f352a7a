"""Every registered output port passes the suite that ships, read as its own consumers read it."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar
from urllib.parse import quote

import adbc_driver_flightsql.dbapi as adbc
import psycopg
import pyarrow.parquet as pq
import pytest

from polyport import ports
from polyport.access.control import Control
from polyport.access.identity import Identity, local_owner
from polyport.errors import AccessError
from polyport.ledger import Ledger
from polyport.ports.output import Endpoint
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.output_port import OutputPortTests


def client(product, who):
    """Whoever asks is `who`: how it is known is no matter of the ports."""
    return Client(create_app([product], identify=lambda _: (who, "")))


def get(product, path, who, ref):
    reply = client(product, who).get(path, params={"snapshot": ref})
    if reply.status_code != 200:
        assert reply.headers["content-type"] == "application/problem+json"
        raise AccessError(reply.text)
    return reply


def typed(row):
    convert = {"id": int, "released": dt.date.fromisoformat, "cost": Decimal}
    return {
        k: convert.get(k, str)(v) if v not in (None, "") else None
        for k, v in row.items()
        if k != "_links"
    }


class TestRest(OutputPortTests):
    port = "rest"

    def read(self, product, who, ref):
        body = json.loads(
            get(product, "/products/films/rest/v1/films", who, ref).content, parse_float=Decimal
        )
        return [
            typed({k: v if not isinstance(v, Decimal) else f"{v:.2f}" for k, v in row.items()})
            for row in body["_embedded"]["films"]
        ]

    def pieces(self, product, who):
        app, address = client(product, who), "/products/films/rest/v1/films?limit=1000"
        while address:
            reply = app.get(address)
            if reply.status_code != 200:
                raise AccessError(reply.text)
            yield reply.json()["_embedded"]["films"]
            address = reply.json()["_links"].get("next", {}).get("href")


class TestRestAsStream(OutputPortTests):
    port = "rest"
    address = "/products/films/rest/v1/films"
    accept: ClassVar = {"Accept": "application/x-ndjson"}

    def read(self, product, who, ref):
        address = f"{self.address}?snapshot={quote(ref, safe='')}&sort=id"
        reply = client(product, who).get(address, headers=self.accept)
        if reply.status_code != 200:
            raise AccessError(reply.text)
        rows = [json.loads(line, parse_float=str) for line in reply.text.splitlines()]
        return [typed(row) for row in rows]

    def pieces(self, product, who):
        return client(product, who).pieces(self.address, headers=self.accept)


class TestFiles(OutputPortTests):
    port = "files"

    def read(self, product, who, ref):
        reply = get(product, "/products/films/files/v1/films.parquet", who, ref)
        rows = pq.read_table(io.BytesIO(reply.content)).to_pylist()
        return sorted(rows, key=lambda row: row["id"])

    def pieces(self, product, who):
        return client(product, who).pieces("/products/films/files/v1/films.arrow")


class TestFilesAsCsv(OutputPortTests):
    port = "files"

    def read(self, product, who, ref):
        text = get(product, "/products/films/files/v1/films.csv", who, ref).text
        return sorted(map(typed, csv.DictReader(io.StringIO(text))), key=lambda row: row["id"])

    def pieces(self, product, who):
        return client(product, who).pieces("/products/films/files/v1/films.csv")


class TestFilesAsNdjson(TestFilesAsCsv):
    def read(self, product, who, ref):
        text = get(product, "/products/films/files/v1/films.ndjson", who, ref).text
        rows = [json.loads(line, parse_float=str) for line in text.splitlines()]
        return sorted(map(typed, rows), key=lambda row: row["id"])

    def pieces(self, product, who):
        return client(product, who).pieces("/products/films/files/v1/films.ndjson")


class TestRestSql(OutputPortTests):
    port = "rest"

    def read(self, product, who, ref):
        app = client(product, who)
        sql = {"sql": "SELECT * FROM films ORDER BY id", "snapshot": ref}
        reply = app.send("POST", "/products/films/rest/v1/sql", json=sql)
        if reply.status_code != 200:
            raise AccessError(reply.text)
        rows = json.loads(reply.content, parse_float=str)["rows"]
        return [typed(row) for row in rows]

    def pieces(self, product, who):
        sql = {"sql": "SELECT * FROM films"}
        return client(product, who).pieces("/products/films/rest/v1/sql", json=sql)


@contextmanager
def listened(product, who):
    """Where the product's port listens: whoever comes with a password is `who`."""

    class Issuers:
        def authenticate(self, _):
            return who

    with TemporaryDirectory() as folder, closing(Ledger(Path(folder) / "ledger.sqlite")) as nobodys:
        control = Control(nobodys.journal)
        ports_made = product.ports(local_owner)
        kind = type(ports_made[0])
        listener = kind.listen(ports_made, Endpoint(identity=Identity(control, Issuers())))
        try:
            yield listener.port
        finally:
            listener.close()


class TestSql(OutputPortTests):
    port = "sql"

    @pytest.fixture(autouse=True)
    def _without_postgres(self, monkeypatch):
        """The catalogue has tests of its own; here it would start a server each time."""
        monkeypatch.setenv("POLYPORT_POSTGRES", "none")

    def read(self, product, who, ref):
        with self.connected(product, who) as connection:
            try:
                connection.execute(f"SET polyport.snapshot = '{ref}'")
                rows = connection.execute("SELECT * FROM films ORDER BY id")
                names = [column.name for column in rows.description]
                return [dict(zip(names, row, strict=True)) for row in rows]
            except psycopg.Error as error:
                raise AccessError(str(error)) from error

    def pieces(self, product, who):
        with self.connected(product, who) as connection:
            try:
                with connection.cursor() as cursor:
                    yield from cursor.stream("SELECT * FROM films", size=1000)
            except psycopg.Error as error:
                raise AccessError(str(error)) from error

    @contextmanager
    def connected(self, product, who):
        with listened(product, who) as port:
            dsn = f"host=127.0.0.1 port={port} user={who.id} password=token dbname=films"
            with psycopg.connect(dsn, autocommit=True) as connection:
                yield connection


class TestFlight(OutputPortTests):
    port = "flight"

    def read(self, product, who, ref):
        with self.cursor(product, who, ref) as cursor:
            cursor.execute("SELECT * FROM films ORDER BY id")
            return cursor.fetch_arrow_table().to_pylist()

    def pieces(self, product, who):
        with self.cursor(product, who, "latest") as cursor:
            cursor.execute("SELECT * FROM films")
            yield from cursor.fetch_record_batch()

    @contextmanager
    def cursor(self, product, who, ref):
        header = "adbc.flight.sql.rpc.call_header."
        options = {
            "adbc.flight.sql.authorization_header": "Bearer token",
            header + "polyport-product": "films",
            header + "polyport-snapshot": ref,
        }
        with (
            listened(product, who) as port,
            adbc.connect(f"grpc://127.0.0.1:{port}", options, autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            try:
                yield cursor
            except (adbc.Error, OSError) as error:
                raise AccessError(str(error)) from error


def test_every_registered_port_is_tested_and_documented():
    tested = {kind.port for kind in OutputPortTests.__subclasses__()}
    assert set(ports.types("output")) == tested


@pytest.mark.parametrize("group", ["input", "output"])
def test_every_registered_port_type_loads(group):
    for name in ports.types(group):
        assert ports.load(group, name)
