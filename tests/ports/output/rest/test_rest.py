"""The port as a client meets it: links, rows, groups, headers, and refusals."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
from dataclasses import replace
from decimal import Decimal
from urllib.parse import quote

import pytest

from polyport.access import View
from polyport.errors import AccessError
from polyport.ports.output import Served
from polyport.ports.output.rest import RestPort

from .conftest import COSTS, FILMS, Client

PROBLEM = "application/problem+json"
NDJSON = "application/x-ndjson"


def problem(response, status):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    body = response.json()
    assert body["status"] == status
    return body


def exact(response):
    return json.loads(response.text, parse_float=Decimal)


def test_is_a_served_port(port):
    assert isinstance(port, Served)
    assert port.mount == "/rest/v1"


def test_root_to_related_row_by_links_alone(client):
    """A HAL client that knows nothing but the root and the standard relations."""
    root = client.get("/").json()
    films = next(link for link in root["_links"]["item"] if link["name"] == "films")
    rows = client.rows(films["href"])
    thing = next(row for row in rows if row["year"] == 1982 and row["sequel_of"])
    row = client.get(thing["_links"]["self"]["href"]).json()
    assert row["title"] == 'The "Thing"'
    related = [link["href"] for link in row["_links"].values() if link.get("name")]
    found = [client.get(href) for href in related]
    assert all(response.status_code == 200 for response in found)
    assert [r["id"] for r in client.rows(row["_links"]["films.sequel_of"]["href"])] == ["tt1"]
    costs = client.rows(row["_links"]["costs"]["href"])
    assert costs[0]["amount"] == -0.01
    back = client.get(costs[0]["_links"]["self"]["href"]).json()["_links"]["films"]["href"]
    assert [r["id"] for r in client.rows(back)] == ["tt2"]
    assert client.get(row["_links"]["collection"]["href"]).status_code == 200


def test_every_link_of_every_answer_leads_somewhere(client):
    seen, todo = set(), ["/"]
    while todo:
        href = todo.pop()
        if href in seen or "{" in href:
            continue
        seen.add(href)
        response = client.get(href)
        assert response.status_code == 200, href
        todo += _hrefs(response.json()) if "openapi" not in href and "contract" not in href else []
    assert len(seen) > 20


def _hrefs(document):
    if isinstance(document, dict):
        if isinstance(document.get("href"), str):
            yield document["href"]
        for value in document.values():
            yield from _hrefs(value)
    if isinstance(document, list):
        for value in document:
            yield from _hrefs(value)


def test_template_names_every_parameter(client):
    root = client.get("/").json()
    find = next(link for link in root["_links"]["find"] if link["name"] == "costs")
    assert find["templated"] is True
    assert find["href"].startswith("/costs{?film,film.ne,")
    document = client.get("/openapi.json").json()
    declared = [p["name"] for p in document["paths"]["/costs"]["get"]["parameters"] if "name" in p]
    assert set(declared) - {"having"} <= set(find["href"].split("{?")[1].rstrip("}").split(","))


def test_below_a_mount_links_are_whole(port):
    from starlette.applications import Starlette
    from starlette.routing import Mount

    base = "/products/my%20shelf"
    app = Starlette(routes=[Mount("/products/my shelf/rest/v1", app=port.app())])
    client = Client(app)
    root = client.get(f"{base}/rest/v1/").json()
    assert root["_links"]["up"]["href"] == base
    (films,) = [link["href"] for link in root["_links"]["item"] if link["name"] == "films"]
    assert films == f"{base}/rest/v1/films"
    row = client.rows(films)[3]
    assert client.get(row["_links"]["self"]["href"]).json()["id"] == row["id"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("year=1982", ["tt2", "tt4/x"]),
        ("year.ne=1982", ["tt,3", "tt1"]),
        ("year.gt=1982", ["tt,3"]),
        ("year.ge=1982&year.lt=1990", ["tt2", "tt4/x"]),
        ("year.in=1979,1990", ["tt,3", "tt1"]),
        ("id.in=%22tt,3%22,tt1", ["tt,3", "tt1"]),
        ("title.like=%25en", ["tt1"]),
        ("title.like=Al_en", ["tt1"]),
        ("title.null=true", ["tt,3"]),
        ("sequel_of.null=false", ["tt2"]),
        ("tags.null=true", ["tt,3"]),
        ("title=The+%22Thing%22", ["tt2"]),
        ("rating=8.5", ["tt1"]),
        ("rating.lt=8.2", ["tt4/x"]),
        ("sort=-year,-id", ["tt,3", "tt4/x", "tt2", "tt1"]),
        ("sort=title", ["tt1", "tt4/x", "tt2", "tt,3"]),
        ("limit=1", ["tt,3"]),
        ("title=' OR 1=1 --", []),
        ("title.like=%25' OR '1'='1", []),
    ],
)
def test_rows_asked_for(client, query, ids):
    assert [row["id"] for row in client.rows(f"/films?{query}")] == ids


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        ("amount=10.1", [1]),
        ("amount.gt=10.0999999999999999999999999999999999999999999999999", [1, 2]),
        ("amount.ge=99999999.990000000000000000000000000000000000001", []),
        ("day=2024-01-02", [2]),
        ("day.lt=2024-01-01", [1]),
        ("at=2024-01-01T13:00:00%2B01:00", [1]),
        ("at=2024-01-01T13:00:00+01:00", [1]),
        ("at.ge=2024-01-02", [1]),
        ("local=2024-01-01", [1]),
        ("paid=true&film=tt1", [1]),
        ("paid.ne=true", [2]),
        ("f.limit=z", [1]),
        ("limit=1&f.limit.in=y,z", [2]),
    ],
)
def test_values_are_typed_by_their_column(client, query, lines):
    assert [row["line"] for row in client.rows(f"/costs?{query}")] == lines


def test_page_keeps_every_digit(client):
    page = exact(client.get("/costs?fields=amount&sort=-amount"))
    assert [row["amount"] for row in page["_embedded"]["costs"]] == [
        Decimal("99999999.99"), Decimal("10.10"), Decimal("-0.01"), None,
    ]  # fmt: skip


def test_fields_choose_and_order_columns_and_links_stay(client):
    (row,) = client.rows("/films?fields=year,title&id=tt1")
    assert list(row) == ["year", "title", "_links"]
    assert row["_links"]["self"]["href"] == "/films/tt1"
    assert list(client.get("/films/tt1?fields=year").json()) == ["_links", "year"]


@pytest.mark.parametrize("identity", ["tt1", "tt%2C3", "tt,3", "tt4%2Fx"])
def test_row_by_key(client, identity):
    from urllib.parse import unquote

    assert client.get(f"/films/{identity}").json()["id"] == unquote(identity)


@pytest.mark.parametrize("identity", ["tt1,2", "tt1%2C2"])
def test_row_by_composite_key(client, identity):
    assert client.get(f"/costs/{identity}").json()["amount"] == 99999999.99


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/films/nix", 404, "no such row"),
        ("/films/" + quote("x' OR '1'='1", safe=""), 404, "no such row"),
        ("/costs/tt1", 400, "2 parts, not 1"),
        ("/costs/tt1,2,3", 400, "2 parts, not 3"),
        ("/costs/tt1,x", 400, "'x' is not an integer"),
        ("/costs/tt1,99999999999999999999", 400, "not an integer from"),
        ("/notes/1", 404, "no key"),
        ("/films/tt1/nix", 404, "no relation 'nix'"),
        ("/films/nix/costs", 404, "no such row"),
        ("/films/tt1/costs/tt1", 404, "nothing is at"),
        ("/film", 404, "no dataset 'film'"),
        ("/" + quote('films" WHERE 1=1 --', safe=""), 404, "no dataset"),
        ("/..%2F..%2Fetc%2Fpasswd", 404, "no dataset"),
        ("/films?snapshot=nix", 404, "no snapshot"),
        ("/films?snapshot=", 400, "'snapshot' is empty"),
        ("/films?snapshot=1&snapshot=2", 400, "given twice"),
        ("/films/tt1?year=3", 400, "unknown parameter 'year'"),
        ("/?limit=3", 400, "unknown parameter 'limit'"),
        ("/openapi.json?x=3", 400, "unknown parameter 'x'"),
        ("/films?title=%ff", 400, "not UTF-8"),
        ("/films?%ff=1", 400, "not UTF-8"),
        ("/films/%ff", 400, "not UTF-8"),
        ("/%ff", 400, "not UTF-8"),
        ("/films?" + quote("title=1;DROP TABLE films"), 400, "unknown parameter"),
        ("/films?sort=" + quote('id"; DROP TABLE films; --'), 400, "there is no"),
        ("/films?group=" + quote("year) FROM films--"), 400, "there is no"),
        ("/films?agg=sum:title", 400, "there is no 'sum:title'"),
        ("/films?agg=" + quote("system:year"), 400, "there is no"),
        ("/films?group=year&fields=year", 400, "'fields' does not go with groups"),
        ("/films?group=tags", 400, "there is no 'tags'"),
        ("/films?having.nix.gt=3", 400, "unknown parameter 'having.nix.gt'"),
        ("/films?having.count.in=3", 400, "unknown parameter 'having.count.in'"),
        ("/films?having.count.gt=x", 400, "'x' is not an integer"),
        ("/films?group=year&cursor=abc", 404, "cursor"),
        ("/films?cursor=abc", 404, "the cursor is not one"),
        ("/films?cursor=" + quote("' OR 1=1 --"), 404, "the cursor is not one"),
        ("/films?cursor=%C3%A9", 404, "the cursor is not one"),
    ],
)  # fmt: skip
def test_refusals_say_what_and_where(client, path, status, said):
    body = problem(client.get(path), status)
    assert said in body["detail"]
    assert body["code"] == {400: "PP420", 404: "PP410"}[status]


def test_did_you_mean(client):
    assert problem(client.get("/films?yeer=1"), 400)["fix"] == "did you mean 'year'?"
    assert "did you mean 'films'" in problem(client.get("/film"), 404)["fix"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/films", "/films/tt1", "/nix"])
def test_other_methods_are_told_which_ones_there_are(client, method, path):
    response = client.send(method, path)
    assert problem(response, 405)["type"] == "about:blank"
    assert response.headers["allow"] == "GET, HEAD"


def test_oversize_address(client):
    problem(client.get("/films?title=" + "x" * 20_000), 414)


def test_media_types(client):
    assert client.get("/films").headers["content-type"] == "application/hal+json"
    assert (
        client.get("/films", accept="application/json").headers["content-type"]
        == "application/json"
    )
    assert "offered here" in problem(client.get("/films", accept="image/png"), 406)["detail"]
    assert client.get("/films/tt1", accept=NDJSON).status_code == 406


def test_stream_gives_all_rows_without_pages(client):
    lines = client.get("/films", accept=NDJSON).text.splitlines()
    assert sorted(json.loads(line)["id"] for line in lines) == sorted(FILMS["id"].to_pylist())
    limited = client.get("/films?limit=2&sort=-year&fields=year", accept=NDJSON).text
    assert limited == '{"year":1990}\n{"year":1982}\n'
    csv = client.get("/costs?fields=film,line&sort=-line", accept="text/csv").text
    assert csv.splitlines()[:2] == ["film,line", "tt1,2"]
    groups = client.get("/films?group=year&agg=count&sort=year", accept=NDJSON).text
    assert groups == '{"year":1979,"count":1}\n{"year":1982,"count":2}\n{"year":1990,"count":1}\n'


def test_stream_goes_on_from_a_cursor(client):
    following = client.get("/notes?limit=2").json()["_links"]["next"]["href"]
    rest = client.get(following.replace("limit=2", "limit=9"), accept=NDJSON).text.splitlines()
    assert len(rest) == 3


def test_arrow_stream(client):
    import pyarrow as pa

    response = client.get("/costs?sort=film,line", accept="application/vnd.apache.arrow.stream")
    with pa.ipc.open_stream(response.content) as reader:
        assert reader.read_all().equals(
            COSTS.sort_by([("film", "ascending"), ("line", "ascending")])
        )


def test_groups(client):
    page = exact(client.get("/costs?group=film&agg=sum:amount,count&sort=-count"))
    assert page["_embedded"]["groups"] == [
        {"film": "tt1", "sum_amount": Decimal("100000010.09"), "count": 2},
        {"film": "gone", "sum_amount": None, "count": 1},
        {"film": "tt2", "sum_amount": Decimal("-0.01"), "count": 1},
    ]
    assert page["complete"] is True
    assert client.get("/costs?group=film&limit=1").json()["complete"] is False
    assert client.rows("/costs?agg=count,max:day") == [{"count": 4, "max_day": "2024-01-02"}]
    assert client.rows("/costs?group=film&having.count.gt=1") == [{"film": "tt1", "count": 2}]
    assert client.rows("/costs?group=film&having.max_day=2024-01-02") == [
        {"film": "tt1", "max_day": "2024-01-02"}
    ]
    assert client.rows("/costs?group=paid&agg=count&paid=true") == [{"paid": True, "count": 2}]


def test_snapshot_is_named_and_can_be_chosen(client):
    old = client.get("/films?snapshot=1")
    assert old.json()["count"] == 2
    assert old.headers["polyport-snapshot"] == "1; id=00000001-abcd1234"
    assert old.headers["cache-control"] == "private, max-age=3600"
    new = client.get("/films")
    assert new.json()["snapshot"] == {
        "sequence": 2, "id": "00000002-abcd1234", "committed_at": "2024-05-02T00:00:00Z",
    }  # fmt: skip
    assert new.headers["cache-control"] == "private, no-cache"
    row = old.json()["_embedded"]["films"][0]["_links"]["self"]["href"]
    assert client.get(row).headers["polyport-snapshot"].startswith("1;")


def test_link_header(client):
    link = client.get("/films?limit=1").headers["link"]
    assert '</films?limit=1>; rel="self"' in link
    assert 'rel="next"' in link
    assert 'rel="first"' in link
    assert 'rel="describedby"' in link


@pytest.mark.parametrize(
    "path", ["/", "/openapi.json", "/contract.json", "/films", "/films/tt1", "/films/tt1/costs", "/films?group=year"]
)  # fmt: skip
@pytest.mark.parametrize("accept", ["*/*", NDJSON])
def test_not_modified_reads_no_row(client, shelf, path, accept, monkeypatch):
    first = client.get(path, accept=accept)
    if first.status_code == 406:
        return
    tag = first.headers["etag"]
    reads = len(shelf.reads)
    monkeypatch.setattr(View, "scan", None)
    monkeypatch.setattr(View, "aggregate", None)
    again = client.get(path, accept=accept, if_none_match=f'"x", W/{tag.removeprefix("W/")}')
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert again.headers["polyport-snapshot"] == first.headers["polyport-snapshot"]
    assert len(shelf.reads) == reads


def test_etag_tells_answers_apart(client):
    asked = [
        client.get("/films"),
        client.get("/films?limit=3"),
        client.get("/films?snapshot=1"),
        client.get("/films", accept=NDJSON),
        client.get("/films", polyport_role="partner"),
        client.get("/costs"),
        client.get("/films/tt1"),
        client.get("/films/tt2"),
    ]
    assert len({response.headers["etag"] for response in asked}) == len(asked)
    again = client.get("/films", if_none_match=asked[4].headers["etag"])
    assert again.status_code == 200


@pytest.mark.parametrize("path", ["/", "/films", "/films?limit=2", "/films/tt1", "/openapi.json"])
def test_head_is_get_without_a_body(client, path):
    head, get = client.send("HEAD", path), client.get(path)
    assert head.status_code == 200
    assert head.content == b""
    assert dict(head.headers) == dict(get.headers)


def test_head_of_a_stream_reads_nothing(client, shelf):
    reads = len(shelf.reads)
    head = client.send("HEAD", "/films", {"accept": NDJSON})
    assert (head.status_code, head.headers["content-type"]) == (200, NDJSON)
    assert "content-length" not in head.headers
    assert len(shelf.reads) == reads
    assert client.send("HEAD", "/films/nix").status_code == 404


def test_deprecation(deprecated, client):
    assert deprecated.get("/films").headers["deprecation"] == "@1714608000"
    assert "deprecation" not in client.get("/films").headers


def test_policy_rows_columns_and_masks(client):
    role = {"polyport_role": "partner"}
    page = client.get("/films", **role).json()
    assert page["masked"] == {"title": "shown as a hash"}
    rows = page["_embedded"]["films"]
    assert [row["id"] for row in rows] == ["tt1", "tt2", "tt4/x"]
    assert "rating" not in rows[0]
    assert rows[0]["title"] not in ("Alien", None)
    problem(client.get("/films?rating=8.5", **role), 400)
    problem(client.get("/films?sort=rating", **role), 400)
    problem(client.get("/films/tt%2C3", **role), 404)
    body = problem(client.get("/notes", **role), 403)
    assert "sees nothing of 'notes'" in body["detail"]
    assert [link["name"] for link in client.get("/", **role).json()["_links"]["item"]] == [
        "films",
        "costs",
    ]


def test_masked_key_is_no_key(client):
    role = {"polyport_role": "partner"}
    assert all("_links" not in row for row in client.rows("/costs", **role))
    problem(client.get("/costs/tt1,1", **role), 404)
    assert "costs" not in client.get("/films/tt1", **role).json()["_links"]
    first = client.get("/costs?limit=3", **role).json()
    rest = client.rows(first["_links"]["next"]["href"], **role)
    assert len(first["_embedded"]["costs"]) + len(rest) == 4


def test_purpose(client):
    problem(client.get("/films", polyport_role="planner"), 403)
    assert (
        client.get("/films", polyport_role="planner", polyport_purpose="planning").status_code
        == 200
    )


def test_documents_show_what_the_asker_may_see(client):
    owner = client.get("/openapi.json").json()
    partner = client.get("/openapi.json", polyport_role="partner").json()
    assert "rating" in owner["components"]["schemas"]["row.films"]["properties"]
    shown = partner["components"]["schemas"]["row.films"]["properties"]
    assert list(shown) == ["id", "title", "year", "_links"]
    assert shown["title"]["x-masked"] == "shown as a hash"
    assert "/notes" not in partner["paths"]
    assert "rating" not in json.dumps(partner)
    contract = client.get("/contract.json", polyport_role="partner").text
    assert "rating" not in contract
    assert "notes" not in contract
    assert "latency" in client.get("/contract.json").text
    assert "secret.example" not in client.get("/contract.json").text


def test_openapi_says_what_the_contract_says(client):
    row = client.get("/openapi.json").json()["components"]["schemas"]["row.films"]
    assert row["description"] == "All films"
    assert row["properties"]["id"] == {
        "type": "string",
        "description": "IMDb id",
        "examples": ["tt1"],
    }
    assert row["properties"]["year"] == {"type": "integer", "format": "int32", "x-unit": "a"}
    assert row["properties"]["rating"] == {"type": ["number", "null"], "format": "double"}
    assert row["properties"]["tags"]["items"] == {"type": ["string", "null"]}


def test_every_read_is_metered(client, shelf):
    before = len(shelf.reads)
    client.rows("/films?limit=2&fields=title")
    client.get("/films", accept=NDJSON)
    page, stream = shelf.reads[before:]
    assert (page.dataset, page.rows, page.outcome) == ("films", 3, "ok")
    assert (stream.rows, stream.outcome) == (4, "ok")


def test_unexpected_errors_tell_nothing_and_are_logged(client, monkeypatch, caplog):
    def broken(*_, **__):
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(View, "scan", broken)
    with caplog.at_level(logging.ERROR, "polyport"):
        for headers in ({}, {"accept": NDJSON}):
            response = client.get("/films", **headers)
            assert "hunter2" not in json.dumps(problem(response, 500))
    assert "hunter2" in caplog.text


def test_identity_refused(port):
    def nobody(_):
        raise AccessError("the key has been revoked", fix="ask for a new one")

    refusing = Client(RestPort(replace(port.context, identify=nobody)).app())
    assert problem(refusing.get("/"), 403)["detail"] == "the key has been revoked"


def test_a_stream_that_fails_midway_is_broken_off(port, client, monkeypatch):
    import pyarrow as pa

    def failing(*_, **__):
        def batches():
            yield pa.record_batch({"id": ["a"]})
            raise RuntimeError("disk on fire")

        return pa.RecordBatchReader.from_batches(pa.schema([("id", pa.string())]), batches())

    monkeypatch.setattr(View, "scan", failing)
    with pytest.raises(RuntimeError, match="disk on fire"):
        client.get("/films", accept=NDJSON)


def test_a_client_that_goes_away_lets_go_of_the_snapshot(port, shelf):
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)
        raise OSError("gone")

    scope = {
        "type": "http", "method": "GET", "path": "/films", "raw_path": b"/films", "query_string": b"",
        "headers": [(b"accept", NDJSON.encode())], "root_path": "", "asgi": {"spec_version": "2.4"},
    }  # fmt: skip
    asyncio.run(port.app()(scope, receive, send))
    assert sent
    assert shelf.opened == 0
    assert shelf.reads[-1].outcome in ("cut", "ok")


def test_client_line_runs_when_pasted(port):
    line = port.client_line("http://127.0.0.1:1/products/x/rest/v1", "a 'b' $(touch /nix)")
    words = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True
    )
    assert words.stdout.splitlines() == [
        "curl", "-s", "http://127.0.0.1:1/products/x/rest/v1/a%20%27b%27%20%24%28touch%20%2Fnix%29?limit=3",
    ]  # fmt: skip
