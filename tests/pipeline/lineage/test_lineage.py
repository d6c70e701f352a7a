"""What a build tells: each event valid, columns followed, nothing secret, sent at least once."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from tests.shared import conformance

from polyport.errors import ConfigurationError, PolyportError
from polyport.ledger import lineage as graphs
from polyport.pipeline.lineage import Target
from polyport.pipeline.lineage import columns as traced
from polyport.testing.output_port import make_product

GIVEN = (("a", "raw/a", ("id", "Name", "x")), ("b", "raw/b", ("id", "y")))


@pytest.fixture
def product(tmp_path):
    with make_product(tmp_path / "films", "rest") as made:
        yield made


def told(product):
    return graphs.newest(product.ledger.journal, product.spec.id, 1_000)


def validate(events):
    folder = conformance("openlineage")
    documents = [json.loads(f.read_text()) for f in folder.rglob("*.json")]
    registry = Registry().with_resources([(d["$id"], Resource.from_contents(d)) for d in documents])

    def check(url, value):
        Draft202012Validator(
            {"$ref": url}, registry=registry, format_checker=FormatChecker()
        ).validate(value)

    def facets(value):
        if isinstance(value, dict):
            if "_schemaURL" in value:
                check(value["_schemaURL"], value)
            for each in value.values():
                facets(each)
        elif isinstance(value, list):
            for each in value:
                facets(each)

    for event in events:
        check(event["schemaURL"], event)
        facets(event)


def test_a_run_starts_and_completes_and_each_event_is_valid(product):
    events = told(product)
    assert [e["eventType"] for e in events] == ["START", "COMPLETE"]
    assert len({e["run"]["runId"] for e in events}) == 1
    made = events[1]["outputs"][0]
    assert (made["namespace"], made["name"]) == ("urn:polyport:product:films", "films")
    assert made["facets"]["version"]["datasetVersion"] == product.history()[-1].id
    assert made["outputFacets"]["outputStatistics"]["rowCount"] == 4
    assert made["outputFacets"]["outputStatistics"]["size"] > 0
    assert made["facets"]["dataQualityAssertions"]["assertions"]
    assert made["facets"]["columnLineage"]["fields"]["title"]["inputFields"][0]["field"] == "title"
    validate(events)


def test_an_unchanged_run_completes_and_says_so(product):
    product.build()
    last = told(product)[-1]
    assert last["eventType"] == "COMPLETE"
    assert "nothing has changed" in last["run"]["facets"]["polyport_outcome"]["message"]
    validate([last])


def test_a_refused_run_fails_and_quotes_no_value(product):
    sheet = next((product.spec.home / "inputs").glob("*.csv"))
    lines = sheet.read_text("utf-8").splitlines()
    sheet.write_text("\n".join([*lines, lines[1].replace("Alien", "SECRETTITLE")]) + "\n", "utf-8")
    with pytest.raises(PolyportError):
        product.build()
    last = told(product)[-1]
    assert last["eventType"] == "FAIL"
    assert "refused" in last["run"]["facets"]["errorMessage"]["message"]
    assert "SECRETTITLE" not in json.dumps(told(product))
    assert not all(
        a["success"] for a in last["outputs"][0]["facets"]["dataQualityAssertions"]["assertions"]
    )
    validate([last])


def test_a_broken_step_fails_and_an_interrupt_aborts(product, monkeypatch):
    step = next((product.spec.home / "transform").glob("*.sql"))
    step.write_text("SELECT nothing_such FROM sheet")
    with pytest.raises(PolyportError):
        product.build()
    last = told(product)[-1]
    assert last["eventType"] == "FAIL"
    assert step.name in last["run"]["facets"]["errorMessage"]["message"]
    validate([last])

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("polyport.pipeline.running.build", interrupted)
    with pytest.raises(KeyboardInterrupt):
        product.build()
    assert told(product)[-1]["eventType"] == "ABORT"
    validate(told(product))


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT id, Name AS n FROM a", {"id": {"a.id": "IDENTITY"}, "n": {"a.Name": "IDENTITY"}}),
        ("SELECT * EXCLUDE (x) FROM a", {"id": {"a.id": "IDENTITY"}, "Name": {"a.Name": "IDENTITY"}}),
        ("WITH c AS (SELECT x + 1 AS z FROM a) SELECT z FROM c", {"z": {"a.x": "TRANSFORMATION"}}),
        ("SELECT sum(a.x) AS s FROM a JOIN b USING (id)", {"s": {"a.x": "AGGREGATION"}}),
        ("SELECT id FROM a UNION ALL SELECT y FROM b", {"id": {"a.id": "IDENTITY", "b.y": "IDENTITY"}}),
        ("SELECT (SELECT max(y) FROM b WHERE b.id = a.id) AS m FROM a",
         {"m": {"b.y": "AGGREGATION", "b.id": "AGGREGATION", "a.id": "AGGREGATION"}}),
        ("SELECT x AS p, p + 1 AS q FROM a", {"p": {"a.x": "IDENTITY"}, "q": {"a.x": "TRANSFORMATION"}}),
        ("SELECT 1 AS one", {"one": {}}),
    ],
)  # fmt: skip
def test_columns_are_followed_through_sql(sql, columns):
    found = traced._sql(sql, GIVEN)
    assert not isinstance(found, str), found
    told = {
        name.lower(): {f"{k.removeprefix('raw/')}.{c}": how for (k, c), how in origins.items()}
        for name, origins in found.columns.items()
    }
    assert told == {name.lower(): origins for name, origins in columns.items()}


def test_filters_and_joins_are_told_of_the_whole():
    found = traced._sql("SELECT a.id FROM a JOIN b ON a.id = b.id WHERE x > 1 ORDER BY y", GIVEN)
    assert found.whole == {
        ("raw/a", "id"): "JOIN", ("raw/b", "id"): "JOIN", ("raw/a", "x"): "FILTER", ("raw/b", "y"): "SORT",
    }  # fmt: skip


def test_a_docstring_declares_the_columns_of_python(tmp_path):
    with make_product(tmp_path / "films", "rest") as product:
        step = next((product.spec.home / "transform").glob("*.sql"))
        step.unlink()
        body = '''import pyarrow as pa
def films(sheet: pa.Table) -> pa.Table:
    """Films.{}"""
    return sheet.select(["id", "title", "released", "studio", "cost"])
'''
        python = step.with_suffix(".py")
        python.write_text(body.format("\n\n    title <- sheet.title\n    "))
        product.build()
        facets = told(product)[-1]["outputs"][0]["facets"]
        assert list(facets["columnLineage"]["fields"]) == ["title"]
        python.write_text(body.format(""))
        product.build()
        facets = told(product)[-1]["outputs"][0]["facets"]
        assert "columnLineage" not in facets
        assert facets["polyport_lineage"]["level"] == "table"
        assert facets["polyport_lineage"]["inputs"]
        validate(told(product))


class Endpoint(HTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.got, self.status = [], 200


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.status == 200:
            self.server.got.append((self.path, self.headers["authorization"], body))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def endpoint():
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_events_are_sent_in_order_and_what_failed_is_sent_by_the_next_build(product, endpoint):
    product.lineage_target = Target(
        f"http://127.0.0.1:{endpoint.server_port}/api/v1/lineage", "t0ken"
    )
    endpoint.status = 503
    steps = product.build().run.steps
    assert (steps[-1].stage, steps[-1].status) == ("lineage", "warn")
    assert "HTTP 503" in steps[-1].detail
    endpoint.status = 200
    steps = product.build().run.steps
    assert (steps[-1].stage, steps[-1].detail) == ("lineage", "sent")
    assert [b["eventType"] for _, _, b in endpoint.got] == ["START", "COMPLETE"] * 2
    assert {(path, token) for path, token, _ in endpoint.got} == {
        ("/api/v1/lineage", "Bearer t0ken")
    }
    assert [b for _, _, b in endpoint.got] == told(product)[2:]


def test_an_endpoint_that_is_not_there_fails_no_build(product):
    product.lineage_target = Target("http://127.0.0.1:9/x", timeout=0.5)
    assert product.build().run.outcome == "unchanged"


def test_the_target_is_that_of_the_mesh_then_of_the_environment():
    env = {"OPENLINEAGE_URL": "http://127.0.0.1:1", "OPENLINEAGE_API_KEY": "k"}
    assert Target.of({}, {}) is None
    assert Target.of({}, env) == Target("http://127.0.0.1:1/api/v1/lineage", "k")
    assert (
        Target.of({"url": "https://x.example/own", "token": "t"}, env).url
        == "https://x.example/own"
    )
    assert Target.of({}, {**env, "OPENLINEAGE_DISABLED": "true"}) is None
    with pytest.raises(ConfigurationError):
        Target.of({"url": "file:///etc/passwd"}, {})
    assert "t0ken" not in repr(Target("http://x", "t0ken"))
