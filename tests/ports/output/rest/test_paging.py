"""Paging: each row exactly once, whatever the order, the nulls and the duplicates."""

from __future__ import annotations

import base64
import json
from collections import Counter
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyport.access import Order
from polyport.errors import NotFoundError
from polyport.ports.output.rest import RestPort, cursor
from polyport.ports.query import parse

from .conftest import COSTS, NOTES, Client, Shelf, product

QUIET = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)  # fmt: skip
COLUMNS = {
    "i": (pa.int64(), st.integers(-2, 2)),
    "f": (pa.float64(), st.sampled_from([0.0, -0.0, 1.5, 0.1, float("nan"), float("inf"), float("-inf")])),
    "g": (pa.float32(), st.sampled_from([0.1, 2.5])),
    "d": (pa.decimal128(12, 3), st.sampled_from([Decimal("0.001"), Decimal("-5.000")])),
    "s": (pa.string(), st.sampled_from(["", "a", "A", "é", 'x"\\\n', "a,b"])),
    "b": (pa.bool_(), st.booleans()),
    "x": (pa.binary(), st.sampled_from([b"", b"\x00\xff"])),
    "t": (pa.timestamp("us", "UTC"), st.datetimes().map(lambda at: at.replace(year=2024, day=1, hour=1, minute=1))),
    "y": (pa.date32(), st.dates()),
    "c": (pa.time64("us"), st.times()),
}  # fmt: skip


def visited(client, url):
    found, pages = [], 0
    while url:
        page = client.get(url)
        assert page.status_code == 200, page.text
        rows = page.json()["_embedded"]["t"]
        assert rows or not found
        found += rows
        url = page.json()["_links"].get("next", {}).get("href")
        pages += 1
        assert pages < 100
    return found


@pytest.fixture
def random_client(shelf, tmp_path):
    """A client for one table, and how to fill it."""
    made = Shelf(tmp_path, shelf.engine, {})
    declared = product(tmp_path)
    from polyport.access.identity import local_owner
    from polyport.ports.output import OutputContext

    client = Client(RestPort(OutputContext(declared, declared.outputs[0], made, local_owner)).app())

    def fill(table, key):
        made.states.clear()
        made.keys = {"t": key}
        made.publish({"t": table})
        return client

    return fill


@st.composite
def tables(draw):
    names = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4, unique=True))
    rows = draw(st.integers(0, 12))
    columns = {
        n: pa.array(draw(st.lists(st.none() | COLUMNS[n][1], min_size=rows, max_size=rows)), COLUMNS[n][0])
        for n in names
    }  # fmt: skip
    key = ()
    if draw(st.booleans()):
        columns["k"] = pa.array(draw(st.permutations(range(rows))), pa.int64())
        key = ("k",)
    return pa.table(columns), key


@QUIET
@given(tables(), st.data(), st.integers(1, 5))
def test_paging_visits_each_row_once(random_client, made, data, limit):
    table, key = made
    client = random_client(table, key)
    terms = data.draw(st.lists(st.sampled_from(table.column_names), max_size=3, unique=True))
    sort = ",".join(data.draw(st.sampled_from(["", "-"])) + term for term in terms)
    query = f"limit={limit}" + (f"&sort={sort}" if sort else "")
    plain = [
        {n: v for n, v in row.items() if n != "_links"} for row in visited(client, f"/t?{query}")
    ]
    whole = client.get("/t", accept="application/x-ndjson").text.splitlines()
    assert Counter(map(json.dumps, plain)) == Counter(
        json.dumps(json.loads(line)) for line in whole
    )
    assert len(plain) == table.num_rows
    asked = f"/t?limit=1000&sort={sort}" if sort else "/t?limit=1000"
    ordered = [{n: v for n, v in row.items() if n != "_links"} for row in client.rows(asked)]
    assert plain == ordered


def test_paging_stays_on_its_snapshot(client, shelf):
    first = client.get("/films?limit=1&snapshot=1").json()
    assert "snapshot=00000001" in first["_links"]["next"]["href"]
    last = client.get(first["_links"]["next"]["href"]).json()
    assert last["snapshot"]["sequence"] == 1
    assert "next" not in last["_links"]
    latest = client.get("/films?limit=1").json()["_links"]["next"]["href"]
    assert "snapshot=00000002" in latest


def test_a_cursor_alone_stays_on_its_snapshot(client):
    following = client.get("/films?limit=1&snapshot=1").json()["_links"]["next"]["href"]
    bare = following.replace("snapshot=00000001-abcd1234&", "").replace(
        "&snapshot=00000001-abcd1234", ""
    )
    assert "snapshot" not in bare
    assert client.get(bare).json()["snapshot"]["sequence"] == 1


@pytest.mark.parametrize(
    "change",
    ["year.gt=0", "sort=-year", "snapshot=1"],
)
def test_a_cursor_belongs_to_its_query_and_snapshot(client, change):
    token = client.get("/films?limit=1").json()["_links"]["next"]["href"].split("cursor=")[1]
    response = client.get(f"/films?limit=1&cursor={token}&{change}")
    assert response.status_code == 404
    assert "another" in response.json()["detail"]
    assert client.get(f"/films?limit=3&fields=year&cursor={token}").status_code == 200
    assert client.get(f"/notes?cursor={token}").status_code == 404


def test_a_changed_cursor_is_refused(client):
    token = client.get("/films?limit=1").json()["_links"]["next"]["href"].split("cursor=")[1]
    for place in range(len(token) - 1):
        other = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert client.get(f"/films?limit=1&cursor={other}").status_code == 404, place
    for cut in (1, 5, len(token) // 2):
        assert client.get(f"/films?cursor={token[:cut]}").status_code == 404


def forged(content):
    return base64.urlsafe_b64encode(cursor._check(content) + content).decode().rstrip("=")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"null", b"{}", b"[]", b"[1,2,3,4]", b"\xff", b"[" * 9_000, b'["00000002-abcd1234"]',
        b'["00000002-abcd1234","IDENTITY",null,-1]', b'["00000002-abcd1234","IDENTITY",null,1.5]',
        b'["00000002-abcd1234","IDENTITY",[],0]', b'["00000002-abcd1234","IDENTITY",[{}],0]',
        b'["00000002-abcd1234","IDENTITY",["x"],0]', b'["00000002-abcd1234","IDENTITY",["1","9e9"],0]',
    ],
)  # fmt: skip
def test_a_forged_cursor_breaks_nothing(client, content):
    token = client.get("/costs?limit=1").json()["_links"]["next"]["href"].split("cursor=")[1]
    identity = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[8:])[1]
    made = forged(content.replace(b"IDENTITY", identity.encode()))
    for query in (f"limit=1&cursor={made}", f"snapshot=2&cursor={made}"):
        response = client.get(f"/costs?{query}")
        assert response.status_code == 404
        assert "not one that this port gave out" in response.json()["detail"]


def test_a_forged_value_is_no_more_than_a_value(client):
    identity = f"/costs {parse([], COSTS.schema, ['film', 'line'], paging=True).identity}"
    for film, line in (("' OR 1=1 --", 1), ("z", 10**30), ("z", 10**60)):
        start = cursor.Start((film, line))
        made = cursor.write(start, snapshot="00000002-abcd1234", identity=identity)
        response = client.get(f"/costs?cursor={made}")
        assert response.status_code in (200, 400, 404), response.text
        if response.status_code == 200:
            rows = response.json()["_embedded"]["costs"]
            assert all(row["film"] > film for row in rows)


def test_a_forged_skip_holds_no_rows(client):
    identity = f"/notes {parse([], NOTES.schema, paging=True).identity}"
    made = cursor.write(cursor.Start(None, 10**12), snapshot="00000002-abcd1234", identity=identity)
    assert client.rows(f"/notes?cursor={made}") == []


def test_equal_rows_come_each_once(client):
    found, url = [], "/notes?limit=1"
    while url:
        page = client.get(url).json()
        found += page["_embedded"]["notes"]
        url = page["_links"].get("next", {}).get("href")
    assert Counter(map(json.dumps, found)) == Counter(map(json.dumps, NOTES.to_pylist()))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30).map(sorted), st.integers(1, 7))
def test_following_walks_a_list_exactly(values, limit):
    """The arithmetic alone, against a plain slice."""
    rows, seen, start = [(v,) for v in values], [], cursor.Start()
    while start is not None:
        left = [row for row in rows if start.after is None or row > start.after]
        skipped = min(start.skip, 1)
        window = left[start.skip - skipped : start.skip + limit + 1]
        seen += window[skipped : skipped + limit]
        start = cursor.following(window, start, limit)
    assert seen == rows


def test_cursor_round_trip():
    start = cursor.Start((None, float("nan"), Decimal("1E-7"), True, b"\x00"), 3)
    types = [pa.string(), pa.float64(), pa.decimal128(9, 7), pa.bool_(), pa.binary()]
    token = cursor.write(start, snapshot="s", identity="q")
    found = cursor.read(token, snapshot="s", identity="q", types=types)
    assert repr(found) == repr(start)
    assert cursor.snapshot_of(token) == "s"
    with pytest.raises(NotFoundError):
        cursor.read(token, snapshot="s2", identity="q", types=types)


def test_values_of_no_order():
    assert cursor.values(pa.table({"a": [1, 2]}), []) == [(), ()]
    assert cursor.values(pa.table({"a": [1, 2]}), [Order("a")]) == [(1,), (2,)]
