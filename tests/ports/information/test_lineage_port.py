from __future__ import annotations

import pytest

from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.management_port import ManagementPortTests
from polyport.testing.output_port import make_product

PARTNER = {"polyport-role": "partner; studio=Fox"}


class TestLineagePort(ManagementPortTests):
    group = "information"
    port = "lineage"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with make_product(tmp_path_factory.mktemp("lineage") / "films", "rest") as made:
        yield Client(create_app([made]))


def nodes(reply):
    assert reply.status_code == 200, reply.text
    return {(n["namespace"], n["dataset"], n.get("column", "")) for n in reply.json()["nodes"]}


def test_the_owner_follows_a_column_to_its_source(client):
    base = "/products/films/lineage"
    found = nodes(client.get(f"{base}?dataset=films&column=title&direction=up"))
    assert len(found) == 2
    assert any(n[0] == "file" and n[2] == "title" for n in found)
    assert len(nodes(client.get(f"{base}?dataset=films&column=title&direction=down"))) == 1
    assert nodes(client.get(f"{base}?dataset=films&snapshot=1"))


def test_a_consumer_sees_its_own_columns_and_no_source(client):
    found = nodes(client.get("/products/films/lineage", headers=PARTNER))
    assert found == {("urn:polyport:product:films", "films", "")}
    assert client.get("/products/films/lineage/events", headers=PARTNER).status_code == 403
    hidden = client.get("/products/films/lineage?dataset=films&column=nosuch", headers=PARTNER)
    assert hidden.status_code == 404


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("direction=sideways", 400), ("depth=-1", 400), ("depth=99999", 400), ("depth=%C2%B2", 400),
        ("x=1", 400), ("dataset=a&dataset=b", 400), ("dataset=nosuch", 404), ("snapshot=99", 404),
    ],
)  # fmt: skip
def test_bad_questions_are_refused(client, query, status):
    assert client.get(f"/products/films/lineage?{query}").status_code == status


def test_events_of_one_run(client):
    events = client.get("/products/films/lineage/events").json()
    run = events[0]["run"]["facets"]["polyport_run"]["id"]
    assert client.get(f"/products/films/lineage/events?run={run}").json() == events
    assert client.get("/products/films/lineage/events?run=nosuch").status_code == 404
