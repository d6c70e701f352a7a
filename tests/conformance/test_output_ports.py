"""Every registered output port passes the suite that ships, read as its own consumers read it."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from decimal import Decimal
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest

from polyport import ports
from polyport.errors import AccessError
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.output_port import OutputPortTests


def headers(who):
    attributes = "".join(f"; {k}={quote(v)}" for k, v in who.attributes.items())
    return {"polyport-role": (",".join(who.roles) or "none") + attributes}


def get(product, path, who, ref):
    reply = Client(create_app([product])).get(path, params={"snapshot": ref}, headers=headers(who))
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


class TestFiles(OutputPortTests):
    port = "files"

    def read(self, product, who, ref):
        reply = get(product, "/products/films/files/v1/films.parquet", who, ref)
        rows = pq.read_table(io.BytesIO(reply.content)).to_pylist()
        return sorted(rows, key=lambda row: row["id"])


class TestFilesAsCsv(OutputPortTests):
    port = "files"

    def read(self, product, who, ref):
        text = get(product, "/products/films/files/v1/films.csv", who, ref).text
        return sorted(map(typed, csv.DictReader(io.StringIO(text))), key=lambda row: row["id"])


def test_every_registered_port_is_tested_and_documented():
    tested = {kind.port for kind in OutputPortTests.__subclasses__()}
    assert set(ports.types("output")) == tested


@pytest.mark.parametrize("group", ["input", "output"])
def test_every_registered_port_type_loads(group):
    for name in ports.types(group):
        assert ports.load(group, name)
