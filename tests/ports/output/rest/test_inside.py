"""Documents by what is inside of them: fields of structs and items of lists, under the policy."""

from __future__ import annotations

import textwrap

import pyarrow as pa
import pytest

from polyport.ports.query import parameters
from polyport.product import Product
from polyport.server import create_app
from polyport.testing.asgi import Client

FILES = {
    "dataproduct.odps.yaml": """
        apiVersion: v1.1.0
        kind: DataProduct
        id: people
        name: people
        version: 1.0.0
        status: active
        inputPorts: [{name: sheet, version: 1.0.0}]
        outputPorts: [{name: rest, type: rest, version: 1.0.0, contractId: people}]
        """,
    "contracts/people.odcs.yaml": """
        apiVersion: v3.2.0
        kind: DataContract
        id: people
        name: people
        version: 1.0.0
        status: active
        schema:
          - name: people
            properties:
              - {name: id, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true}
              - {name: address, logicalType: object, physicalType: "STRUCT(city VARCHAR, zip VARCHAR, geo STRUCT(lat DOUBLE))"}
              - {name: address.street, logicalType: string, physicalType: VARCHAR}
              - {name: tags, logicalType: array, physicalType: "VARCHAR[]"}
              - {name: born, logicalType: array, physicalType: "DATE[]"}
        """,
    "polyport.yaml": """
        inputs: {sheet: {type: files, path: in.csv}}
        access:
          agreements: optional
          roles:
            north: {rows: "id <= 2"}
            few: {columns: [id, tags]}
            masked: {mask: {address: 'null', tags: hash}}
        """,
    "in.csv": "k\n1\n",
    "transform/people.sql": """
        SELECT * FROM (VALUES
            (1::BIGINT, {'city': 'Berlin', 'zip': 'inner', 'geo': {'lat': 52.5::DOUBLE}}, 'outer', ['a', 'b'], [DATE '1990-01-01']),
            (2, {'city': 'Bergen', 'zip': NULL, 'geo': NULL}, 'inner', ['b', 'x,"y'], []),
            (3, {'city': 'Berlin', 'zip': 'z', 'geo': {'lat': -1}}, NULL, NULL, NULL),
            (4, NULL, NULL, [NULL], [NULL])
        ) v(id, address, "address.street", tags, born) WHERE EXISTS (FROM sheet)
        """,
}


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    home = tmp_path_factory.mktemp("people")
    for name, text in FILES.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip(), "utf-8")
    with Product.load(home) as made:
        made.build()
        made.speed_up()
        yield made


@pytest.fixture(scope="module")
def client(product):
    return Client(create_app([product]))


def ids(client, query, role=""):
    headers = {"Accept": "application/json", **({"Polyport-Role": role} if role else {})}
    reply = client.get(f"/products/people/rest/v1/people?{query}", headers=headers)
    assert reply.status_code == 200, reply.text
    found = reply.json()
    rows = found if isinstance(found, list) else found.get("rows") or found["_embedded"]["people"]
    return [row["id"] for row in rows]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("address.city=Berlin", [1, 3]), ("address.city.ne=Berlin", [2]), ("address.city.like=Ber%25", [1, 2, 3]),
        ("address.city.in=Bergen,Oslo", [2]), ("address.city.null=true", [4]), ("address.geo.lat.gt=0", [1]),
        ("address.geo.lat.null=false", [1, 3]), ("address.geo.null=true", [2, 4]), ("address.null=true", [4]),
        ("address.street=inner", [2]), ("address.zip=inner", [1]),
        ("tags.has=b", [1, 2]), ('tags.has=x,"y', [2]), ("tags.has=nobody", []), ("born.has=1990-01-01", [1]),
        ("tags.has=b&address.city=Bergen", [2]), ("id=1&tags.has=a", [1]), ("id=1&address.city=Oslo", []),
    ],
)  # fmt: skip
def test_rows_are_found_by_what_is_inside(client, query, found):
    assert ids(client, f"sort=id&{query}") == found


def test_within_what_is_seen(client):
    assert ids(client, "address.city=Berlin&sort=id", "north") == [1]
    assert ids(client, "tags.has=b&sort=id", "few") == [1, 2]
    assert ids(client, "address.city=Berlin", "masked") == []
    assert ids(client, "address.city.null=false", "masked") == []


@pytest.mark.parametrize(
    ("role", "query"),
    [("few", "address.city=Berlin"), ("masked", "tags.has=a"), ("few", "born.has=1990-01-01"), ("north", "address.town=x"),
     ("north", "address.geo.lat=high"), ("north", "address.geo.lat.like=1"), ("north", "tags.has="), ("north", "id.has=1")],
)  # fmt: skip
def test_what_is_not_shown_or_not_there_is_no_parameter(client, role, query):
    reply = client.get(f"/products/people/rest/v1/people?{query}", headers={"Polyport-Role": role})
    assert reply.status_code == 400
    assert "Berlin" not in reply.text.replace(query, "")


def test_pages_and_groups(client):
    first = client.get("/products/people/rest/v1/people?address.city=Berlin&limit=1&sort=id")
    following = first.json()["_links"]["next"]["href"]
    assert [r["id"] for r in client.get(following).json()["_embedded"]["people"]] == [3]
    groups = client.get("/products/people/rest/v1/people?agg=count&tags.has=b").text
    assert '"count":2' in groups.replace(" ", "")


def test_openapi_tells_them(client):
    text = client.get("/products/people/rest/v1/openapi.json").text
    for name in ("address.city", "address.geo.lat.ge", "address.zip", "tags.has", "born.has"):
        assert f'"name":"{name}"' in text.replace('": "', '":"')


def test_a_field_that_looks_like_an_operator_is_asked_for_otherwise():
    kind = pa.struct({"null": pa.string(), "ne": pa.int64(), "sort": pa.string()})
    named = {p.name: (p.path, p.operator) for p in parameters(pa.schema({"a": kind, "f": kind}))}
    assert named["a.null"] == ((), "null")
    assert named["f.a.null"] == (("null",), "")
    assert named["a.ne"] == (("ne",), "")
    assert named["f.f.ne"] == (("ne",), "")


def test_a_column_whose_name_has_a_dot_keeps_it():
    schema = pa.schema({"a": pa.struct({"b": pa.string()}), "a.b": pa.string()})
    named = {p.name: (p.column, p.path) for p in parameters(schema)}
    assert named["a.b"] == ("a.b", ())
    assert named["f.a.b"] == ("a", ("b",))
