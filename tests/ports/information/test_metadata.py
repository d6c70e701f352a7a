"""The metadata port: its documents are what the standards want, and lead where they say."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from polyport.mesh import Mesh
from polyport.ports.information.metadata import dcat
from polyport.ports.information.metadata.turtle import turtle
from polyport.server import create_app
from polyport.testing.asgi import Client

counting = sys.modules["polyport.ports.information.metadata.statistics"]
"""The package gives a function of that name."""
_spec = importlib.util.spec_from_file_location("shared", Path(__file__).parents[2] / "shared.py")
_shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shared)

ODPS = """
    apiVersion: v1.1.0
    kind: DataProduct
    id: NAME
    name: The "NAME" — product
    version: 1.0.0
    status: active
    domain: testing
    tags: [films, "käse"]
    description:
      purpose: |
        To be described.
        In two lines, with a back\\\\slash.
      usage: Read it.
    inputPorts: [{name: sheet, version: 1.0.0}]
    outputPorts:
      - {name: rest, type: rest, version: 1.0.0, contractId: NAME}
      - {name: files, type: files, version: 1.0.0, contractId: NAME}
    team: {name: Testing, members: [{username: ann@example.com, role: owner}]}
    support: [{channel: help, url: "mailto:help@example.com"}, {channel: chat, url: "https://chat.example/x"}]
    """
ODCS = """
    apiVersion: v3.2.0
    kind: DataContract
    id: NAME
    name: NAME
    version: 1.0.0
    status: active
    slaProperties: [{property: frequency, value: 1, unit: d}]
    schema:
      - name: rows
        description: One row a film.
        properties:
          - name: id
            logicalType: integer
            physicalType: BIGINT
            primaryKey: true
            required: true
            authoritativeDefinitions: [{type: businessDefinition, url: /glossary/film%20id}]
          - {name: title, logicalType: string, physicalType: VARCHAR, classification: restricted}
          - {name: cost, logicalType: number, physicalType: DOUBLE, customProperties: [{property: unit, value: USD}]}
          - {name: parts, logicalType: array, physicalType: "INTEGER[]"}
    """
FILES = {
    "mesh.yaml": "name: testmesh\nbase_url: https://mesh.example\nvocabulary: words.yaml\nproducts: [a, b]\n",
    "words.yaml": """
        terms:
          - {id: film id, label: Film, definition: 'What a "film" is.', links: ["https://example.com/film"]}
          - {id: unused, label: Unused, definition: Nobody refers to it.}
        """,
}
for _name in "ab":
    FILES |= {
        f"{_name}/dataproduct.odps.yaml": ODPS.replace("NAME", _name),
        f"{_name}/contracts/{_name}.odcs.yaml": ODCS.replace("NAME", _name),
        f"{_name}/polyport.yaml": """
            inputs: {sheet: {type: files, path: in.csv}}
            access: {agreements: optional, roles: {reader: {}, half: {columns: [id, cost], rows: "id = 1"}}}
            """,
        f"{_name}/in.csv": "id,title,cost\n1,Alien,11.5\n2,,NaN\n3,Heat,\n",
        f"{_name}/transform/rows.sql": "SELECT id::BIGINT AS id, title, cost::DOUBLE AS cost, [1, 2]::INTEGER[] AS parts FROM sheet",
    }
BASE = "/products/a"
DOCUMENTS = ("dcat.jsonld", "dcat.ttl", "schema-org.jsonld", "croissant.json")


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip(), "utf-8")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    home = tmp_path_factory.mktemp("mesh")
    write(home, FILES)
    with Mesh.find(home) as found:
        for product in found.at(home):
            product.build()
            product.speed_up()
        yield found


@pytest.fixture(scope="module")
def app(mesh):
    return create_app([mesh.product("a"), mesh.product("b")])


@pytest.fixture
def client(app):
    return Client(app)


# The document


def hrefs(node):
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "href":
                yield value
            else:
                yield from hrefs(value)
    elif isinstance(node, list):
        for value in node:
            yield from hrefs(value)


@pytest.mark.parametrize("role", [None, "half", "stranger"])
def test_every_link_leads_somewhere(client, role):
    headers = {"polyport-role": role} if role else {}
    waiting, seen = ["/", BASE, f"{BASE}/metadata?include=contracts,statistics,odps"], set()
    while waiting:
        address = waiting.pop()
        if address in seen or address.startswith("http"):
            continue
        seen.add(address)
        reply = client.get(address, headers=headers)
        assert reply.status_code == 200, (address, reply.text)
        if "metadata" in address or address in ("/", BASE, "/glossary"):
            found = reply.json() if "json" in reply.headers["content-type"] else {}
            waiting += hrefs(found)
    assert len(seen) > 15


def test_one_address_answers_in_what_is_asked_for(client):
    def media(accept):
        reply = client.get(BASE, headers={"accept": accept})
        return reply.status_code, reply.headers["content-type"].partition(";")[0]

    assert media("*/*") == (200, "application/hal+json")
    assert media("application/json") == (200, "application/json")
    assert media("application/ld+json") == (200, "application/ld+json")
    assert media("text/turtle") == (200, "text/turtle")
    assert media("image/png") == (406, "application/problem+json")


def test_the_document_is_small_and_parts_are_included_on_demand(client):
    assert "statistics" not in client.get(BASE).json()
    whole = client.get(f"{BASE}?include=statistics,contracts,odps").json()
    assert whole["statistics"] == client.get(f"{BASE}/metadata/statistics").json()
    assert whole["odps"]["id"] == "a"
    assert whole["contracts"][0] == client.get(f"{BASE}/metadata/contracts/a").json()
    assert client.get(f"{BASE}?include=everything").status_code == 400
    assert client.get(f"{BASE}?snapshot=99").status_code == 404
    assert client.get(f"{BASE}/metadata/contracts/none").status_code == 404


def test_statistics_count_what_is_there(client):
    found = client.get(f"{BASE}/metadata/statistics").json()["rows"]
    assert found["rows"] == 3
    columns = found["columns"]
    assert columns["id"] | {"examples": 0} == {
        "type": "int64", "filled": 3, "fill": 1.0, "distinct": 3, "min": 1, "max": 3, "examples": 0,
    }  # fmt: skip
    assert (columns["title"]["filled"], columns["title"]["min"]) == (2, "Alien")
    assert columns["title"]["examples"] == []  # it is restricted
    assert columns["cost"]["unit"] == "USD"
    assert columns["cost"]["max"] is None  # NaN
    assert "distinct" not in columns["parts"]
    assert columns["parts"]["examples"] == [[1, 2]]


def test_statistics_are_kept(client, mesh):
    client.get(f"{BASE}/metadata/statistics")
    before = len(mesh.product("a").results._kept)
    client.get(f"{BASE}/metadata/statistics")
    assert len(mesh.product("a").results._kept) == before > 0


def test_a_large_dataset_is_sampled_and_says_so(client, monkeypatch):
    monkeypatch.setattr(counting, "LARGE", 2)
    monkeypatch.setattr(counting, "SAMPLE", 2)
    found = client.get(f"{BASE}/metadata/statistics").json()["rows"]
    assert (found["rows"], found["complete"]) == (3, True)
    assert found["sampled"] == {"rows": 2, "which": "the first that are read"}
    assert (found["columns"]["id"]["filled"], found["columns"]["id"]["fill"]) == (2, 1.0)
    assert found["columns"]["id"]["distinct"] == 2


def test_what_is_not_counted_in_time_says_so_and_is_there_the_next_time(mesh, monkeypatch):
    """Each column takes a second of the two that there are; what was counted is not counted again."""
    client = Client(create_app([mesh.product("b")]))
    now, asked = [0.0], []

    def slow(view, dataset, measures, first=0):
        key = (dataset, tuple(m.name for m in measures))
        now[0] += 1.0 if key not in asked and measures[0].column else 0.0
        asked.append(key)
        return real(view, dataset, measures, first)

    real = counting._one
    monkeypatch.setattr(counting, "_one", slow)
    monkeypatch.setattr(counting, "SMALL", 0)
    monkeypatch.setattr(counting, "SECONDS", 0.5)
    monkeypatch.setattr(counting, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def states():
        (found,) = client.get("/products/b/metadata/statistics").json().values()
        late = [n for n, c in found["columns"].items() if c.get("missing")]
        assert all("filled" in c for n, c in found["columns"].items() if n not in late)
        assert found["complete"] is not bool(late)
        return len(late)

    first = states()
    assert first > 0
    assert states() == first - 1
    for _ in range(first):
        states()
    assert states() == 0


def test_identifiers_do_not_depend_on_the_address(mesh):
    for address in ("http://127.0.0.1", "http://127.0.0.1:9999"):
        reply = Client(create_app([mesh.product("a")]), base_url=address).get(BASE)
        assert reply.json()["identifier"] == "https://mesh.example/products/a"


def test_terms_resolve(client):
    column = client.get(BASE).json()["datasets"][0]["columns"][0]
    (link,) = column["_links"]["term"]
    term = client.get(link["href"]).json()
    assert term["definition"] == 'What a "film" is.'
    assert {c["product"] for c in term["columns"]} == {"a", "b"}
    assert client.get("/glossary/unused").json()["columns"] == []
    assert client.get("/glossary/none").status_code == 404
    assert len(client.get("/glossary").json()["_embedded"]["terms"]) == 2
    assert client.get(link["href"], headers={"polyport-role": "stranger"}).json()["columns"] == []


def test_before_the_first_build(tmp_path):
    write(tmp_path, FILES)
    with Mesh.find(tmp_path) as mesh:
        client = Client(create_app([mesh.product("a")]))
        body = client.get(BASE).json()
        assert body["datasets"] == body["snapshots"] == []
        assert {p["state"] for p in body["ports"]["output"]} == {"empty"}
        for name in DOCUMENTS:
            assert client.get(f"{BASE}/metadata/{name}").status_code == 200
        assert client.get(f"{BASE}/metadata/statistics").json() == {}
        assert client.get("/catalog").status_code == 200


# RDF


def graph(text, kind):
    import rdflib

    return rdflib.Graph().parse(data=text, format=kind)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # rdflib's own, when it reads JSON-LD
@pytest.mark.parametrize("address", ["/catalog", f"{BASE}/metadata/dcat"])
def test_json_ld_and_turtle_say_the_same(client, address):
    from rdflib.compare import isomorphic

    one = graph(client.get(f"{address}.jsonld").text, "json-ld")
    other = graph(client.get(f"{address}.ttl").text, "turtle")
    assert len(one) > 80
    assert isomorphic(one, other)


SHAPES = {
    "dcat-ap": (("dcat-ap-3.0.1", "dcat-ap-SHACL.ttl"), ("dcat-ap-3.0.1", "ranges.ttl")),
    "dprod": (("dprod", "dprod-shapes.ttl"),),
}


def conforms(data, which):
    import pyshacl
    import rdflib

    shapes = rdflib.Graph()
    for parts in SHAPES[which]:
        shapes.parse(_shared.conformance(*parts), format="turtle")
    # The published ranges.ttl lists property shapes that neither file defines.
    named = list(shapes.subject_objects(pyshacl.consts.SH_property))
    undefined = [(s, o) for s, o in named if (o, pyshacl.consts.SH_path, None) not in shapes]
    for shape, missing in undefined:
        shapes.remove((shape, pyshacl.consts.SH_property, missing))
    assert len(named) - len(undefined) > 20
    good, _, text = pyshacl.validate(data, shacl_graph=shapes)
    return good, text


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("which", SHAPES)
@pytest.mark.parametrize("role", [None, "half", "stranger"])
def test_the_catalogue_conforms(client, which, role):
    client.get(f"{BASE}/files/v1/rows.csv")  # then its digest is told
    headers = {"polyport-role": role} if role else {}
    text = client.get("/catalog.ttl", headers=headers).text
    assert ("spdx:checksumValue" in text) == (role is None)
    good, why = conforms(graph(text, "turtle"), which)
    assert good, why


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("which", "gone"),
    [
        ("dcat-ap", 'dct:description "One row a film."'),
        ("dprod", "a dprod:DataProductLifecycleStatus"),
    ],
)
def test_what_does_not_conform_would_be_found(client, which, gone):
    text = client.get("/catalog.ttl").text
    assert gone in text
    good, _ = conforms(graph(text.replace(gone, "a dcat:Nothing"), "turtle"), which)
    assert not good


@given(st.text(max_size=30), st.text('abc <>"{}|^`\\\n é%', max_size=12))
def test_any_text_survives_turtle(text, name):
    from rdflib import RDFS, Literal

    text = text.encode("utf-8", "replace").decode()
    node = {"@id": f"urn:x:{name}", "@type": "dcat:Dataset", "rdfs:label": text}
    found = graph(turtle(dcat.PREFIXES, [node]), "turtle")
    ((_, _, value),) = found.triples((None, RDFS.label, None))
    assert value == Literal(text)


def test_a_key_that_is_no_name_is_refused():
    with pytest.raises(ValueError, match="not a prefixed name"):
        turtle({}, [{"@id": "urn:x", "@type": "dcat:Dataset", "a b": "x"}])


def test_the_products_parts_are_linked(client):
    found = graph(client.get(f"{BASE}/metadata/dcat.ttl").text, "turtle")
    asked = """
        SELECT ?dataset ?contract ?term WHERE {
          ?product a dprod:DataProduct; dprod:outputDataset ?dataset; dprod:outputPort ?port.
          ?dataset dct:conformsTo ?contract; dcat:theme ?term; dcat:distribution ?file.
          ?file dcat:accessService ?port; dprod:isDistributionOf ?dataset; dct:conformsTo ?contract
        }"""
    rows = list(found.query(asked, initNs=dcat.PREFIXES))
    assert rows
    for _, contract, term in rows:
        assert client.get(str(contract)).json()["id"] == "a"
        assert client.get(str(term)).json()["label"] == "Film"


# schema.org, Croissant


def test_schema_org_names_what_search_engines_want(client):
    body = client.get(f"{BASE}/metadata/schema-org.jsonld").json()
    assert body["@context"] == "https://schema.org/"
    for name in (
        "name",
        "description",
        "identifier",
        "url",
        "creator",
        "keywords",
        "datePublished",
    ):
        assert body[name]
    (part,) = body["hasPart"]
    assert [v["name"] for v in part["variableMeasured"]] == ["id", "title", "cost", "parts"]
    for file in part["distribution"]:
        assert client.get(file["contentUrl"]).status_code == 200


def test_croissant_tells_files_that_are_there_with_their_digests(client):
    import csv
    import hashlib
    import io

    for suffix in ("csv", "parquet"):
        client.get(f"{BASE}/files/v1/rows.{suffix}")
    body = client.get(f"{BASE}/metadata/croissant.json").json()
    assert body["@type"] == "sc:Dataset"
    assert body["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert body["isLiveDataset"] is False
    files = {file["@id"]: file for file in body["distribution"]}
    assert {f["encodingFormat"] for f in files.values()} == {"text/csv", "application/x-parquet"}
    for file in files.values():
        content = client.get(file["contentUrl"]).content
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        assert file["contentSize"] == f"{len(content)} B"
    (records,) = body["recordSet"]
    assert records["key"] == [{"@id": "rows/id"}]
    types = {f["name"]: f["dataType"] for f in records["field"]}
    assert types | {"parts": 0} == {
        "id": "sc:Integer",
        "title": "sc:Text",
        "cost": "sc:Float",
        "parts": 0,
    }
    for field in records["field"]:
        file = files[field["source"]["fileObject"]["@id"]]
        content = client.get(file["contentUrl"]).text
        assert field["source"]["extract"]["column"] in next(csv.reader(io.StringIO(content)))


# What is pasted


@pytest.fixture(scope="module")
def served(app):
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize(
    ("port", "client"), [("rest", "curl"), ("rest", "python"), ("rest", "sql"), ("files", "curl"), ("files", "duckdb"), ("files", "pandas")]
)  # fmt: skip
def test_snippets_run(served, tmp_path, port, client):
    from urllib.request import urlopen

    with urlopen(f"{served}{BASE}") as reply:
        body = json.load(reply)
    (told,) = [p for p in body["ports"]["output"] if p["name"] == port]
    if client == "pandas" and importlib.util.find_spec("pandas") is None:
        pytest.skip("pandas is not installed")
    line = told["clients"][client]
    words = ["sh", "-c", line] if client in ("curl", "sql") else [sys.executable, "-c", line]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    written = "".join(path.read_text("utf-8") for path in tmp_path.glob("*.csv"))
    assert ("3" if client == "sql" else "Alien") in done.stdout + written
    assert {p["name"]: set(p["clients"]) for p in body["ports"]["output"]} == {
        "rest": {"curl", "python", "sql"},
        "files": {"curl", "pandas", "duckdb"},
    }
