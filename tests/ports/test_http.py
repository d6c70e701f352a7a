"""The helpers that ports share: negotiation, ETags, addresses, problems."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from polyport.errors import AccessError, ConflictError, PolyportError, QueryError, StoreError
from polyport.ports.http import (
    HttpError,
    digest,
    etag_matches,
    guarded,
    link_header,
    mounted,
    negotiate,
    pairs,
    problem,
    ref_of,
    refusal,
)


def request(path="/", query="", root="", method="GET", **headers):
    raw = quote(path, safe="/%").encode()
    return Request(
        {
            "type": "http", "method": method, "path": path, "raw_path": raw, "root_path": root,
            "query_string": query.encode(),
            "headers": [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()],
        }
    )  # fmt: skip


OFFERED = ("application/hal+json", "application/json", "text/csv")


@pytest.mark.parametrize(
    ("accept", "best"),
    [
        (None, OFFERED[0]),
        ("", OFFERED[0]),
        ("*/*", OFFERED[0]),
        ("application/json", OFFERED[1]),
        ("APPLICATION/JSON", OFFERED[1]),
        ("text/*", OFFERED[2]),
        ("text/html, */*;q=0.1", OFFERED[0]),
        ("application/json;q=0.5, text/csv;q=0.9", OFFERED[2]),
        ("application/json;profile=x;q=0.2, text/csv; q=0.1", OFFERED[1]),
        ("application/hal+json;q=0, */*", OFFERED[1]),
        ("application/*;q=0.3, text/csv;q=0.2", OFFERED[0]),
        ("text/html", None),
        ("application/json;q=0", None),
        ("application/json;q=oops", OFFERED[1]),
        ("nonsense", None),
        (";;,,q=", None),
    ],
)
def test_negotiate(accept, best):
    headers = {} if accept is None else {"accept": accept}
    assert negotiate(request(**headers), OFFERED) == best


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ('"b,a"', False),
        ("*", True),
        ("a", False),
        ('"A"', False),
        ("", False),
        ('"*"', False),
    ],
)
def test_if_none_match(header, matches):
    assert etag_matches(request(if_none_match=header), '"a"') is matches
    assert etag_matches(request(if_none_match=header), 'W/"a"') is matches
    assert etag_matches(request(), '"a"') is False


def test_pairs_are_strict_about_text_and_loose_about_nothing():
    assert pairs(request(query="a=1&b=%2B+%C3%A9&c&d==&&e=")) == [
        ("a", "1"), ("b", "+ é"), ("c", ""), ("d", "="), ("e", ""),
    ]  # fmt: skip
    for bad in ("a=%ff", "%ff=1", "a=%C3"):
        with pytest.raises(QueryError, match="not UTF-8"):
            pairs(request(query=bad))


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=5))
def test_pairs_come_back(given_pairs):
    query = "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in given_pairs
    )
    assert pairs(request(query=query)) == given_pairs


def test_mounted():
    assert mounted(request("/films")) == ("", [b"films"])
    assert mounted(request("/")) == ("", [b""])
    assert mounted(request("/p/x/rest/v1/a", root="/p/x/rest/v1")) == ("/p/x/rest/v1", [b"a"])
    encoded = request("/p/my shelf/v1/a", root="/p/my shelf/v1")
    assert mounted(encoded) == ("/p/my%20shelf/v1", [b"a"])
    assert mounted(request("/a/b", root="/proxy")) == ("", [b"a", b"b"])


def test_parts_are_told_apart_before_they_are_decoded():
    asked = request()
    asked.scope.update(path="/films/a/b", raw_path=b"/films/a%2Fb")
    assert mounted(asked) == ("", [b"films", b"a%2Fb"])


def test_ref_of():
    assert ref_of([]) == "latest"
    assert ref_of([("snapshot", "v1"), ("a", "b")]) == "v1"
    assert ref_of([("snapshot", "2024-01-01T00:00:00 02:00")]) == "2024-01-01T00:00:00+02:00"
    for bad in ([("snapshot", " ")], [("snapshot", "1"), ("snapshot", "1")]):
        with pytest.raises(QueryError, match="snapshot"):
            ref_of(bad)


def test_digest_tells_parts_apart():
    assert digest("a", "b") == digest("a", "b")
    assert digest("a", "b") != digest("ab")
    assert digest("a", "b") != digest("b", "a")
    assert digest("\ud800")


def test_link_header():
    assert link_header({"self": "/a", "next": "/b?c=1"}) == {
        "Link": '</a>; rel="self", </b?c=1>; rel="next"'
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [(QueryError("q"), 400), (AccessError("a"), 403), (ConflictError("c"), 409), (StoreError("s"), 507), (PolyportError("p"), 500)],
)  # fmt: skip
def test_problem(error, status):
    answer = problem(error)
    assert answer.status_code == status
    assert answer.media_type == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body = json.loads(answer.body)
    assert (body["status"], body["title"], body["detail"]) == (
        status,
        type(error).title,
        error.message,
    )


def test_refusal():
    answer = refusal(HttpError(405, "no", {"Allow": "GET"}))
    assert answer.headers["allow"] == "GET"
    assert json.loads(answer.body) == {
        "type": "about:blank", "title": "Method Not Allowed", "status": 405, "detail": "no",
    }  # fmt: skip


def test_guarded_turns_errors_into_problems(caplog):
    async def handler(asked):
        match asked.url.path:
            case "/query":
                raise QueryError("bad \udcff", fix="good")
            case "/http":
                raise HttpError(406, "none")
            case "/bug":
                raise KeyError("secret")
        return Response("body")

    async def ask(method, path):
        transport = httpx.ASGITransport(guarded(handler))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path)

    found = {path: asyncio.run(ask("GET", path)) for path in ("/query", "/http", "/bug", "/")}
    assert [r.status_code for r in found.values()] == [400, 406, 500, 200]
    assert "secret" not in found["/bug"].text
    assert "secret" in caplog.text
    head = asyncio.run(ask("HEAD", "/"))
    assert (head.content, head.headers["content-length"]) == (b"", "4")
    assert asyncio.run(ask("POST", "/")).status_code == 405
