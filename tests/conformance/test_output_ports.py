"""Every registered output port passes the suite that ships, read as its own consumers read it."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from contextlib import contextmanager
from decimal import Decimal
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from polyport import ports
from polyport.errors import AccessError
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


class TestFiles(OutputPortTests):
    port = "files"

    def read(self, product, who, ref):
        reply = get(product, "/products/films/files/v1/films.parquet", who, ref)
        rows = pq.read_table(io.BytesIO(reply.content)).to_pylist()
        return sorted(rows, key=lambda row: row["id"])

    def pieces(self, product, who):
        return client(product, who).pieces("/products/films/files/v1/films.arrow")


@contextmanager
def sql(product, who, ref="latest", purpose=""):
    """A PostgreSQL client of `who`: how it logs in is no matter of the port."""
    from polyport.ports.output import Endpoint
    from polyport.ports.output.sql import SqlPort
    from polyport.ports.output.sql.login import Login

    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    served = [port for port in product.ports() if isinstance(port, SqlPort)]
    server = SqlPort.listen(served, Endpoint())
    login = Login(who.id, "films", lambda: who, {"snapshot": ref, "purpose": purpose})
    server.doorkeeper = SimpleNamespace(admit=lambda *_: login)
    try:
        with psycopg.connect(
            host="127.0.0.1", port=server.port, user=who.id, autocommit=True
        ) as found:
            yield found
    except psycopg.Error as error:
        raise AccessError(str(error)) from error
    finally:
        server.close()


class TestSql(OutputPortTests):
    port = "sql"

    def read(self, product, who, ref):
        with sql(product, who, ref) as client:
            found = client.execute("SELECT * FROM films ORDER BY id", binary=True)
            names = [column.name for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def pieces(self, product, who):
        with sql(product, who) as client:
            yield from client.cursor().stream("SELECT * FROM films")


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


def test_every_registered_port_is_tested_and_documented():
    tested = {kind.port for kind in OutputPortTests.__subclasses__()}
    assert set(ports.types("output")) == tested


@pytest.mark.parametrize("group", ["input", "output"])
def test_every_registered_port_type_loads(group):
    for name in ports.types(group):
        assert ports.load(group, name)
