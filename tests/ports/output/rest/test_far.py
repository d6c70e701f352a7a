"""Dates before the year 1 and after 9999, and keys that an address cannot name: no page fails for one of them."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from polyport.access.identity import local_owner
from polyport.descriptor.types import Contract, Property, SchemaObject
from polyport.engine.duckdb import DuckDBEngine
from polyport.ports.output import OutputContext
from polyport.ports.output.rest import RestPort

from .conftest import Client, Shelf, product

DAYS = (-800_000, -719_162, 0, 2_932_896, 6_585_010)
MICROSECONDS = 86_400 * 10**6
ROWS = pa.table(
    {
        "name": ["", ".", "..", "a/b", "é"],
        "day": pa.array(DAYS, pa.date32()),
        "at": pa.array([day * MICROSECONDS for day in DAYS], pa.timestamp("us", "UTC")),
    }
)
WRITTEN = ["-0221-08-31", "0001-01-01", "1970-01-01", "9999-12-31", "19999-02-23"]


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    with DuckDBEngine() as engine:
        keys = {"names": ["name"], "days": ["day"], "both": ["name", "day"]}
        shelf = Shelf(tmp_path_factory.mktemp("far"), engine, keys)
        shelf.publish(dict.fromkeys(keys, ROWS))
        objects = tuple(
            SchemaObject(name, tuple(Property(n, required=True, primary_key=True) for n in of))
            for name, of in keys.items()
        )
        contract = Contract("c1", "1.0.0", "Far", shelf.folder, objects)
        declared = replace(product(shelf.folder), contracts={"c1": contract})
        yield Client(
            RestPort(OutputContext(declared, declared.outputs[0], shelf, local_owner)).app()
        )


def written(row):
    return row["day"]


@pytest.mark.parametrize("dataset", ["names", "days", "both"])
def test_a_page_has_every_date(asked, dataset):
    rows = asked.rows(f"/{dataset}?sort=day")
    assert [written(row) for row in rows][1:] == WRITTEN[1:]
    assert rows[0]["day"].startswith("-02")
    assert rows[-1]["at"].startswith("19999-02-")


@pytest.mark.parametrize("sort", ["day", "-day", "at", "-at", "name"])
def test_pages_go_past_every_date(asked, sort):
    found, page = [], asked.get(f"/days?limit=1&sort={sort}").json()
    while page:
        found += [row["name"] for row in page["_embedded"]["days"]]
        after = page["_links"].get("next")
        page = (
            asked.get(after["href"].partition("/v1")[2] or after["href"]).json() if after else None
        )
    expected = ["", ".", "..", "a/b", "é"]
    assert found == (expected[::-1] if sort.startswith("-") else expected)


def test_links_lead_to_the_row_or_are_not_there(asked):
    rows = asked.rows("/names?sort=name")
    assert ["_links" in row for row in rows] == [False, False, False, True, True]
    both = asked.rows("/both?sort=name,day")
    for row in [*rows[3:], *both[1:4]]:
        address = row.pop("_links")["self"]["href"]
        named = asked.get(address)
        assert named.status_code == 200, address
        assert {k: v for k, v in named.json().items() if k in row} == row


def test_if_match(asked):
    page = asked.get("/names")
    tag = page.headers["etag"]
    assert asked.get("/names", if_match=tag).status_code == 200
    assert asked.get("/names", if_match="*").status_code == 200
    assert asked.get("/names", if_match=f'"x", {tag}').status_code == 200
    for other in ('"x"', f"W/{tag}", "x"):
        refused = asked.get("/names", if_match=other, if_none_match=tag)
        assert (refused.status_code, refused.headers["etag"]) == (412, tag)
