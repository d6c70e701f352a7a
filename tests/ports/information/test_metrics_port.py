from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from polyport.ledger import Ledger, metrics
from polyport.ledger.usage import BUCKETS
from polyport.model import Read, Request
from polyport.ports.information.metrics import exposed
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.management_port import ManagementPortTests
from polyport.testing.output_port import make_product

DAY = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
OPENMETRICS = {"accept": "application/openmetrics-text"}
NAMES = st.sampled_from(["ann", "bob", "", 'q"uo\\te\n'])
PORTS = st.sampled_from(["rest", "files", "sql"])
TIMES = st.integers(0, 3).map(lambda n: DAY + dt.timedelta(days=n))
REQUESTS = st.builds(
    Request, TIMES, st.just("films"), PORTS, NAMES, st.sampled_from([200, 304, 403, 500]),
    st.integers(0, 10**12), st.floats(0, 20), st.booleans(),
)  # fmt: skip
READS = st.builds(
    Read, TIMES, st.just("films"), PORTS, NAMES, st.just(""), st.just("s"), st.sampled_from(["a", "b"]),
    st.sampled_from([(), ("x",), ("x", "y")]), st.integers(0, 10**9), st.integers(0, 10**12),
    st.floats(0, 20), st.sampled_from(["ok", "denied", "failed", "cut"]),
)  # fmt: skip
SUMMED = (
    "requests",
    "errors",
    "downloads",
    "bytes_sent",
    "reads",
    "reads_denied",
    "rows",
    "bytes_read",
)


class TestMetricsPort(ManagementPortTests):
    group = "information"
    port = "metrics"


def samples(text):
    return [s for family in text_string_to_metric_families(text) for s in family.samples]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(REQUESTS, max_size=30), st.lists(READS, max_size=30))
def test_sums_over_anything_are_the_totals_and_the_exposition_parses(tmp_path_factory, asked, read):
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "l.sqlite")
    try:
        for one in asked:
            ledger.record_request(one)
        for one in read:
            ledger.record_read(one)
        found = metrics.use(ledger, "films")
        totals = metrics.totals(found)
        for by in (("day",), ("port",), ("consumer",), ("day", "port", "consumer")):
            parts = metrics.split(found, *by)
            assert len({tuple(p[b] for b in by) for p in parts}) == len(parts)
            assert {n: sum(p[n] for p in parts) for n in SUMMED} == {n: totals[n] for n in SUMMED}
        for by in (("dataset",), ("day", "dataset"), ("port", "dataset", "consumer")):
            datasets = metrics.split(found, *by)
            assert sum(p["rows"] for p in datasets) == totals["rows"] == sum(r.rows for r in read)
        told = sum(len(r.columns) for r in read if r.outcome != "denied")
        for by in (("column",), ("day", "consumer", "column")):
            assert sum(p["reads"] for p in metrics.split(found, *by)) == told
        assert totals["requests"] == len(asked)
        assert totals["errors"] == sum(r.status >= 400 for r in asked)
        told = samples(exposed([("films", ledger, lambda: 7)]).body.decode())
        for name, value in [
            ("polyport_requests_total", "requests"), ("polyport_read_rows_total", "rows"),
            ("polyport_downloads_total", "downloads"), ("polyport_sent_bytes_total", "bytes_sent"),
            ("polyport_request_seconds_count", "requests"),
        ]:  # fmt: skip
            assert sum(s.value for s in told if s.name == name) == pytest.approx(totals[value])
        assert all(set(s.labels) <= {"product", "port", "status", "outcome", "le"} for s in told)
    finally:
        ledger.close()


@given(st.lists(st.floats(0, 9), min_size=1, max_size=50), st.sampled_from([0.5, 0.95]))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(times, share):
    counts = [sum(t <= b for t in times) for b in BUCKETS]
    told = metrics.quantile(share, counts, len(times))
    place = next(n for n, c in enumerate(counts) if c >= share * len(times))
    low = BUCKETS[place - 1] if place else 0
    assert low <= told <= BUCKETS[place]
    assert metrics.quantile(share, [0] * 6, 0) is None
    assert metrics.quantile(share, [0] * 6, 3) is None


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with make_product(tmp_path_factory.mktemp("metrics") / "films", "rest") as made:
        yield Client(create_app([made]))


def test_json_tells_use_and_cost(client):
    partner = {"polyport-role": "partner; studio=Fox"}
    client.get("/products/films/rest/v1/films", headers=partner)
    client.get("/products/films/rest/v1/films")
    body = client.get("/products/films/metrics?by=consumer").json()
    assert {"owner", "owner as partner"} <= {v["consumer"] for v in body["values"]}
    assert body["costs"]["builds"] == {"published": 1}
    assert body["costs"]["stored_bytes"] > 0
    mine = client.get("/products/films/metrics?by=consumer", headers=partner).json()
    assert {v["consumer"] for v in mine["values"]} == {"owner as partner", "(others)"}
    columns = client.get("/products/films/metrics?by=column").json()["values"]
    assert {(c["dataset"], c["column"]) for c in columns} >= {("films", "title"), ("films", "cost")}
    assert client.get("/products/films/metrics?since=2999-01-01").json()["totals"]["requests"] == 0


def test_the_history_is_told_in_any_combination(client):
    for role in ("partner; studio=Fox", ""):
        client.get("/products/films/rest/v1/films", headers={"polyport-role": role} if role else {})
    found = client.get("/products/films/metrics?by=day,consumer,dataset,column").json()
    assert found["by"] == "day,consumer,dataset,column"
    assert {"day", "consumer", "dataset", "column", "reads", "active_users", "last_at"} == set(
        found["values"][0]
    )
    assert ("owner", "films", "title") in {
        (v["consumer"], v["dataset"], v["column"]) for v in found["values"]
    }
    daily = client.get("/products/films/metrics?by=day,port").json()["values"]
    assert any(v["port"] == "rest" and v["requests"] and v["rows"] for v in daily)


def test_a_consumer_sees_itself_and_the_others_as_one_in_any_combination(client):
    partner = {"polyport-role": "partner; studio=Fox"}
    client.get("/products/films/rest/v1/films", headers=partner)
    client.get("/products/films/rest/v1/films")
    values = client.get("/products/films/metrics?by=port,consumer", headers=partner).json()[
        "values"
    ]
    assert {v["consumer"] for v in values} == {"owner as partner", "(others)"}
    values = client.get("/products/films/metrics?by=consumer,column", headers=partner).json()[
        "values"
    ]
    assert values
    assert {v["column"] for v in values} == {"id", "title", "cost"}


@pytest.mark.parametrize("by", ["", "who", "day,day", "day,,port", "port,column", "day,who"])
def test_what_is_not_counted_is_not_offered(client, by):
    assert client.get(f"/products/films/metrics?by={by}").status_code == 400


def test_a_port_that_pushes_and_the_owners_previews_are_no_users(tmp_path):
    ledger = Ledger(tmp_path / "l.sqlite")
    try:
        for name in ("ann", "port:files", "owner", "owner as partner", "owner as analyst", ""):
            ledger.record_read(Read(DAY, "films", "rest", name, "", "s", "a", ("x",), 1, 1, 0.1))
        found = metrics.use(ledger, "films")
        assert metrics.users(found) == {"ann", "owner"}
        assert metrics.totals(found)["active_users"] == 2
        assert metrics.split(found, "column")[0]["active_users"] == 2
    finally:
        ledger.close()


def test_a_download_is_a_whole_file_that_was_sent_to_its_end(tmp_path):
    with make_product(tmp_path / "films", "files") as made:
        client = Client(create_app([made]))
        address = "/products/films/files/v1/films.csv"

        def downloads():
            return client.get("/products/films/metrics").json()["totals"]["downloads"]

        assert client.get(address).status_code == 200
        assert downloads() == 1
        etag = client.get(address).headers["etag"]
        assert downloads() == 2
        assert client.get(address, headers={"range": "bytes=0-9"}).status_code == 206
        assert client.get(address, headers={"if-none-match": etag}).status_code == 304
        assert client.send("HEAD", address).status_code == 200
        assert client.get("/products/films/files/v1/none.csv").status_code == 404
        assert downloads() == 2


def test_openmetrics_of_product_and_node_parse(client):
    for address in ("/products/films/metrics", "/metrics"):
        reply = client.get(address, headers=OPENMETRICS)
        assert reply.headers["content-type"].startswith("application/openmetrics-text")
        assert any(s.name == "polyport_stored_bytes" and s.value > 0 for s in samples(reply.text))


@pytest.mark.parametrize("query", ["by=person", "since=yesterday", "x=1"])
def test_bad_questions_are_refused(client, query):
    assert client.get(f"/products/films/metrics?{query}").status_code == 400


def test_a_media_type_that_is_not_offered(client):
    assert client.get("/products/films/metrics", headers={"accept": "image/png"}).status_code == 406
