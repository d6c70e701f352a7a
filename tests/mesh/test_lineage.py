"""Columns followed through several products: from a consumer's down to the producer's sources, and back up."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from polyport.cli.lineage import lineage
from polyport.mesh import Mesh
from polyport.model import OWNER
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.output_port import make_product

READER = {
    "dataproduct.odps.yaml": """
apiVersion: v1.1.0
kind: DataProduct
id: ID
name: ID
version: 1.0.0
status: active
inputPorts: [{name: given, version: 1.0.0}]
outputPorts: [{name: rest, type: rest, version: 1.0.0, contractId: ID}]
""",
    "contracts/c.odcs.yaml": """
apiVersion: v3.2.0
kind: DataContract
id: ID
name: ID
version: 1.0.0
status: active
schema: [{name: TABLE, properties: [{name: studio, logicalType: string, physicalType: VARCHAR}, COLUMN]}]
""",
    "polyport.yaml": """
inputs: {given: {type: product, product: SOURCE, dataset: DATASET}}
access: {agreements: optional, roles: {partner: {}, consumer: {}}}
""",
}
COUNT = "{name: films, logicalType: integer, physicalType: BIGINT}"
DEAREST = "{name: dearest, logicalType: number, physicalType: DOUBLE}"
STUDIOS, RANKS = "the-studios", "ranks"
FILMS = "urn:polyport:product:films"
IDS = {name: f"urn:polyport:product:{quote(name)}" for name in (STUDIOS, RANKS)}


def reader(folder, replaced, sql):
    for name, text in READER.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for word, value in replaced.items():
            text = text.replace(word, value)  # noqa: PLW2901
        path.write_text(text.lstrip(), "utf-8")
    path = folder / f"transform/{replaced['TABLE']}.sql"
    path.parent.mkdir()
    path.write_text(sql)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    """Films -> the studios (counts, and the dearest film) -> their ranks."""
    root = tmp_path_factory.mktemp("mesh") / "m"
    root.mkdir()
    (root / "mesh.yaml").write_text("name: m\n")
    make_product(root / "films", "rest").close()
    path = root / "films/polyport.yaml"
    path.write_text(path.read_text() + "    consumer: {}\n")
    told = {"ID": STUDIOS, "TABLE": "studios", "SOURCE": "films", "DATASET": "films"}
    reader(root / "studios", {**told, "COLUMN": f"{COUNT}, {DEAREST}"},
           "SELECT studio, count(*) AS films, max(cost)::DOUBLE AS dearest FROM given GROUP BY studio")  # fmt: skip
    told = {"ID": RANKS, "TABLE": "ranks", "SOURCE": STUDIOS, "DATASET": "studios"}
    reader(root / "ranks", {**told, "COLUMN": DEAREST},
           "SELECT studio, dearest FROM given WHERE films > 0")  # fmt: skip
    with Mesh.find(root) as made:
        for product in made.at(root):
            product.build()
        yield made


@pytest.fixture(scope="module")
def client(mesh):
    return Client(create_app(list(mesh.at(mesh.root))))


def graph(reply):
    assert reply.status_code == 200, reply.text
    body = reply.json()
    nodes = {n["id"]: (n["namespace"], n["dataset"], n.get("column", "")) for n in body["nodes"]}
    return set(nodes.values()), {(nodes[e["from"]], nodes[e["to"]]) for e in body["edges"]}


def ask(client, product, query="", **headers):
    return graph(client.get(f"/products/{quote(product)}/lineage?{query}", headers=headers))


def test_a_consumers_column_up_to_the_producers_source(client):
    nodes, edges = ask(client, RANKS, "dataset=ranks&column=dearest&direction=up")
    path = [
        (IDS[RANKS], "ranks", "dearest"),
        (IDS[STUDIOS], "studios", "dearest"),
        (FILMS, "films", "cost"),
        ("file", "films/inputs/films.csv", "cost"),
    ]
    assert nodes == set(path)
    assert edges == {(up, down) for down, up in pairwise(path)}


def test_a_producers_column_down_to_all_that_is_made_from_it(client):
    nodes, _ = ask(client, "films", "dataset=films&column=cost&direction=down")
    assert nodes == {
        (FILMS, "films", "cost"),
        (IDS[STUDIOS], "studios", "dearest"),
        (IDS[RANKS], "ranks", "dearest"),
    }


def test_depth_ends_the_way(client):
    nodes, _ = ask(client, RANKS, "dataset=ranks&column=dearest&direction=up&depth=2")
    assert {n[0] for n in nodes} == {IDS[RANKS], IDS[STUDIOS], FILMS}


def test_datasets_up_and_down_and_links_to_the_products(client):
    nodes, edges = ask(client, STUDIOS)
    assert nodes == {
        ("file", "films/inputs/films.csv", ""),
        (FILMS, "films", ""),
        (IDS[STUDIOS], "studios", ""),
        (IDS[RANKS], "ranks", ""),
    }
    assert len(edges) == 3
    links = client.get(f"/products/{quote(STUDIOS)}/lineage").json()["_links"]["product"]
    assert {link["name"] for link in links} == {"films", RANKS}
    for link in links:
        assert client.get(link["href"]).status_code == 200
    links = client.get(f"/products/{RANKS}/lineage").json()["_links"]["product"]
    assert {"href": "/products/the-studios", "name": STUDIOS} in links


def test_a_consumer_is_told_datasets_of_other_products_only(client):
    nodes, _ = ask(
        client, STUDIOS, "dataset=studios&column=dearest", **{"polyport-role": "partner"}
    )
    assert nodes == {(IDS[STUDIOS], "studios", "dearest")}
    nodes, _ = ask(client, STUDIOS, **{"polyport-role": "partner"})
    assert nodes == {
        (FILMS, "films", ""),
        (IDS[STUDIOS], "studios", ""),
        (IDS[RANKS], "ranks", ""),
    }


def run(*arguments):
    result = CliRunner().invoke(lineage, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_same_on_the_command_line(mesh, client):
    told = run("ranks.dearest", mesh.root / "ranks", "--up")
    lines = [line.strip() for line in told.splitlines()]
    assert lines == [
        "ranks.dearest",
        f"← {IDS[STUDIOS]}  studios.dearest  identity",
        f"← {FILMS}  films.cost  aggregation",
        "← file  films/inputs/films.csv.cost  transformation",
    ]
    document = json.loads(run("films.cost", mesh.root / "films", "--down", "--json"))
    reply = client.get("/products/films/lineage?dataset=films&column=cost&direction=down").json()
    assert (document["nodes"], document["edges"]) == (reply["nodes"], reply["edges"])


def test_an_answer_is_that_of_the_newest_run_of_each_product(mesh, client):
    before = ask(client, RANKS, "dataset=ranks&column=dearest&direction=up")
    assert ask(client, RANKS, "dataset=ranks&column=dearest&direction=up") == before
    product = mesh.product(STUDIOS)
    step = Path(product.spec.home) / "transform/studios.sql"
    text = step.read_text()
    step.write_text(text.replace("max(cost)", "max(id)"))
    product.build()
    try:
        nodes, _ = ask(client, RANKS, "dataset=ranks&column=dearest&direction=up")
        assert (FILMS, "films", "id") in nodes
        assert (FILMS, "films", "cost") not in nodes
        older, _ = ask(client, STUDIOS, "dataset=studios&column=dearest&direction=up&snapshot=1")
        assert (FILMS, "films", "cost") in older
        with product.open(OWNER, "1") as view:
            assert view.snapshot.sequence == 1
    finally:
        step.write_text(text)
        product.build()
