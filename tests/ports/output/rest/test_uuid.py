"""UUIDs as keys and in filters: databases are full of them."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pyarrow as pa
import pytest

from polyport.access.identity import local_owner
from polyport.descriptor.types import Contract, Property, SchemaObject
from polyport.engine.duckdb import DuckDBEngine
from polyport.ports.output import OutputContext
from polyport.ports.output.rest import RestPort

from .conftest import Client, Shelf, product

IDS = [str(UUID(int=n << 120 | 7)) for n in (1, 2, 128, 255)]
ROWS = pa.table(
    {
        "id": pa.ExtensionArray.from_storage(
            pa.uuid(), pa.array([UUID(i).bytes for i in IDS], pa.binary(16))
        ),
        "n": [1, 2, 3, 4],
    }
)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    with DuckDBEngine() as engine:
        shelf = Shelf(tmp_path_factory.mktemp("uuids"), engine, {"things": ["id"]})
        shelf.publish({"things": ROWS})
        thing = SchemaObject("things", (Property("id", required=True, primary_key=True),))
        contract = Contract("c1", "1.0.0", "Things", shelf.folder, (thing,))
        declared = replace(product(shelf.folder), contracts={"c1": contract})
        yield Client(
            RestPort(OutputContext(declared, declared.outputs[0], shelf, local_owner)).app()
        )


def numbers(asked, query):
    return [row["n"] for row in asked.rows(f"/things?{query}")]


def test_a_row_by_its_key(asked):
    assert asked.get(f"/things/{IDS[2]}").json()["n"] == 3
    assert asked.get(f"/things/{IDS[2].upper()}").json()["id"] == IDS[2]
    assert asked.get(f"/things/{UUID(int=5)}").status_code == 404
    assert asked.get("/things/5").status_code in (400, 404)


def test_rows_by_a_filter_and_in_order(asked):
    assert numbers(asked, f"id={IDS[1]}") == [2]
    assert numbers(asked, f"id.in={IDS[0]},{IDS[3].upper()}") == [1, 4]
    assert numbers(asked, f"id.gt={IDS[1]}&sort=-id") == [4, 3]
    refused = asked.get("/things?id=films")
    assert (refused.status_code, refused.json()["code"]) == (400, "PP420")
    assert "uuid" in refused.json()["detail"]


def test_pages_follow_each_other(asked):
    found, page = [], asked.get("/things?limit=1&sort=id").json()
    while page:
        found += [row["n"] for row in page["_embedded"]["things"]]
        after = page["_links"].get("next")
        page = (
            asked.get(after["href"].partition("/v1")[2] or after["href"]).json() if after else None
        )
    assert found == [1, 2, 3, 4]


def test_groups(asked):
    assert [row["count"] for row in asked.rows("/things?group=id&agg=count")] == [1] * 4


def test_the_document_says_what_it_is(asked):
    document = asked.get("/openapi.json").json()
    listed = document["paths"]["/things"]["get"]["parameters"]
    schema = next(each["schema"] for each in listed if each["name"] == "id")
    assert schema == {"type": "string", "format": "uuid"}
