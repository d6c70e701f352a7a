from __future__ import annotations

import datetime as dt
import gzip
import json
import logging

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.descriptor.types import Port
from polyport.errors import ConfigurationError, InputError
from polyport.ports.input import InputContext, _client, _records
from polyport.ports.input.http import HttpInput
from polyport.testing.input_port import InputPortTests

FILMS = [{"id": i, "title": f"Film {i}", "day": f"2020-01-{i:02}"} for i in range(1, 8)]


def ok(body, **headers):
    return 200, {k.replace("_", "-"): v for k, v in headers.items()}, body


def by_page(request, films=FILMS, size=3):
    number = int(request["query"].get("page", 1))
    return ok({"data": {"items": films[(number - 1) * size : number * size]}, "total": len(films)})


def by_cursor(request, films=FILMS, size=3):
    since = request["query"].get("since", "")
    held = [f for f in films if f["day"] >= since]
    start = int(request["query"].get("cursor", 0))
    more = start + size if start + size < len(held) else None
    return ok({"rates": held[start : start + size], "next": more})


@pytest.fixture
def port(home):
    """An http port whose sleeps are noted, not slept."""

    def made(url, *, secrets=None, contract=None, **settings):
        slept = []
        time = [1000.0]

        def sleep(seconds):
            slept.append(round(seconds, 3))
            time[0] += seconds

        clock = _client.Clock(sleep, lambda: time[0], lambda: 1.0, lambda: 0.0)
        spec = Port("films", "http", settings={"url": url, "retries": 2, **settings})
        found = HttpInput(InputContext(spec, home, contract, secrets=secrets or {}), clock=clock)
        found.slept = slept
        return found

    return made


class TestHttpPort(InputPortTests):
    port_type = "http"

    @pytest.fixture(autouse=True)
    def _api(self, serve):
        self.films = list(FILMS)
        self.api = serve(lambda r: by_page(r, self.films))

    def source(self, folder):
        settings = {
            "url": self.api.url, "records": "$.data.items", "page": "page", "retries": 0,
            "auth": {"query": {"key": "hush-hush"}},
        }  # fmt: skip
        return InputContext(
            Port("films", "http", settings=settings), folder, secrets={"K": "hush-hush"}
        )

    def expected(self):
        return [f | {"day": dt.date.fromisoformat(f["day"])} for f in FILMS]

    def remove(self, folder):
        self.api.close()

    def change(self, folder):
        self.films.append({"id": 9, "title": "Nine", "day": "2021-01-01"})


@pytest.mark.parametrize(
    ("page", "answer", "requests"),
    [
        ({"by": "page"}, by_page, 4),
        ({"by": "page", "total": "$.total"}, by_page, 3),
        ({"by": "page", "size": 3, "last": "short"}, by_page, 3),
        ({"by": "page", "pages": "$.pages"}, lambda r: ok(by_page(r)[2] | {"pages": 3}), 3),
        (
            {"by": "offset", "param": "skip", "size": 3, "size_param": "top"},
            lambda r: ok(
                {"data": {"items": FILMS[int(r["query"]["skip"]) :][: int(r["query"]["top"])]}}
            ),
            4,
        ),
        (
            {"by": "page", "start": 0, "more": "$.more"},
            lambda r: ok(
                {"data": {"items": FILMS[int(r["query"]["page"]) * 3 :][:3]}, "more": r["n"] < 3}
            ),
            3,
        ),
    ],
)
def test_ways_to_page(port, serve, keep, rows, page, answer, requests):
    api = serve(answer)
    made = port(api.url, records="$.data.items", page=page, params={"lang": "en", "n": 5})
    received = made.fetch(keep, None)
    assert [r["id"] for r in rows(made, received)] == [1, 2, 3, 4, 5, 6, 7]
    assert len(api.asked) == requests
    assert all(r["query"]["lang"] == "en" and r["query"]["n"] == "5" for r in api.asked)
    assert received.objects[1].name == "page-0002.json"
    assert json.loads(received.objects[1].path.read_bytes())["data"]["items"] == FILMS[3:6]
    assert received.notes[0].endswith("7 records")


def test_pages_by_cursor_link_and_address_of_the_next(port, serve, rows):
    api = serve(by_cursor)
    assert len(rows(port(api.url, records="$.rates", page={"by": "cursor"}))) == 7

    def linked(request):
        number = int(request["query"].get("p", 1))
        link = f'<{request["path"]}?p={number + 1}>; rel="next"' if number < 3 else ""
        return ok(FILMS[(number - 1) * 3 : number * 3], Link=link)

    api = serve(linked)
    assert len(rows(port(f"{api.url}/films", page="link"))) == 7

    def addressed(request):
        number = int(request["query"].get("p", 1))
        more = f"{api.url}/x?p={number + 1}" if number < 3 else None
        return ok({"items": FILMS[(number - 1) * 3 : number * 3], "meta": {"next": more}})

    api = serve(addressed)
    made = port(api.url, records="$.items", page={"by": "cursor", "cursor": "$.meta.next"})
    assert len(rows(made)) == 7


def test_one_document_a_list_at_its_root_or_one_object(port, serve, rows):
    api = serve(lambda r: ok(FILMS))
    assert len(rows(port(api.url))) == 7
    api = serve(lambda r: ok({"date": "2020-01-02", "rates": {"USD": 1.1, "GBP": 2}}))
    made = port(api.url, records="$.rates", include={"day": "$.date"})
    assert rows(made) == [{"day": dt.date(2020, 1, 2), "USD": 1.1, "GBP": 2}]


def test_the_query_of_the_url_stays(port, serve, rows):
    api = serve(by_page)
    rows(port(f"{api.url}/v1?lang=fr&page=9", records="$.data.items", page="page"))
    assert [r["query"] for r in api.asked[:2]] == [
        {"lang": "fr", "page": "1"},
        {"lang": "fr", "page": "2"},
    ]


def test_values_and_types(port, serve, keep):
    records = [
        {"n": 1, "x": 1, "s": "a", "d": "2020-01-02", "t": "2020-01-02T03:04:05Z", "l": [1, 2.5], "o": {"a": 1}, "m": 1, "big": 2**70, "e": {}},
        {"n": None, "x": 1.5, "s": "2020-01-02", "d": None, "t": "2020-01-02T03:04:05+02:00", "l": [], "o": {"b": ["x"]}, "m": {"z": [1]}, "big": 1, "e": None},
    ]  # fmt: skip
    api = serve(lambda r: ok(records))
    made = port(api.url, types={"n": "DECIMAL(9,2)"})
    with made.read(made.fetch(keep, None)) as reader:
        table = reader.read_all()
    assert {f.name: str(f.type) for f in table.schema} == {
        "n": "decimal128(9, 2)", "x": "double", "s": "string", "d": "date32[day]",
        "t": "timestamp[us, tz=UTC]", "l": "list<item: double>",
        "o": "struct<a: int64, b: list<item: string>>", "m": "string", "big": "string", "e": "string",
    }  # fmt: skip
    assert table["m"].to_pylist() == ["1", '{"z":[1]}']
    assert table["big"].to_pylist() == [str(2**70), "1"]
    assert table["o"].to_pylist() == [{"a": 1, "b": None}, {"a": None, "b": ["x"]}]
    assert table["t"].to_pylist()[1] == dt.datetime(2020, 1, 2, 1, 4, 5, tzinfo=dt.UTC)


def test_compressed_answers_are_kept_as_json(port, serve, keep):
    api = serve(
        lambda r: (200, {"Content-Encoding": "gzip"}, gzip.compress(json.dumps(FILMS).encode()))
    )
    assert json.loads(port(api.url).fetch(keep, None).objects[0].path.read_bytes()) == FILMS


class TestAuth:
    @pytest.mark.parametrize(
        ("auth", "header", "value"),
        [
            ({"bearer": "hush"}, "authorization", "Bearer hush"),
            ({"header": {"X-Key": "k hush"}}, "x-key", "k hush"),
            ({"basic": {"user": "me", "password": "hush"}}, "authorization", "Basic bWU6aHVzaA=="),
            ({"basic": "me:hush"}, "authorization", "Basic bWU6aHVzaA=="),
        ],
    )
    def test_headers(self, port, serve, rows, auth, header, value):
        api = serve(lambda r: ok(FILMS))
        rows(port(api.url, auth=auth, secrets={"T": "hush"}))
        assert api.asked[0]["headers"][header] == value

    def test_a_key_in_the_query_is_nowhere_else(self, port, serve, keep, caplog):
        api = serve(
            lambda r: by_page(r) if r["n"] < 3 else (404, {}, {"error": "no hush/& for you"})
        )
        made = port(
            api.url,
            records="$.data.items",
            page="page",
            auth={"query": {"key": "hush/&"}},
            secrets={"T": "hush/&"},
        )
        with caplog.at_level(logging.DEBUG), pytest.raises(InputError) as caught:
            made.fetch(keep, None)
        assert api.asked[0]["query"]["key"] == "hush/&"
        assert "hush" not in str(caught.value)
        assert "hush" not in caplog.text
        assert "127.0.0.1" in caplog.text
        assert "***" in caught.value.message

    @pytest.mark.parametrize(
        "auth",
        [
            {"bearer": "written down"}, {"bearer": ""}, {"basic": {"user": "hush", "password": "x"}},
            {"basic": "nobody"}, {"basic": {"user": "x"}}, {"header": {"X": "y"}}, {"header": "hush"},
            {"digest": "hush"}, {"bearer": "hush", "basic": "hush"},
        ],
    )  # fmt: skip
    def test_what_cannot_be_used(self, port, auth):
        with pytest.raises(ConfigurationError) as caught:
            port("http://127.0.0.1:1", auth=auth, secrets={"T": "hush"})
        assert "hush" not in str(caught.value)

    @pytest.mark.parametrize(
        "auth", [{"bearer": "hush"}, {"header": {"X-Key": "hush"}}, {"query": {"k": "hush"}}]
    )
    @pytest.mark.parametrize("way", ["redirect", "link"])
    def test_credentials_do_not_leave_their_host(self, port, serve, keep, auth, way):
        other = serve(lambda r: ok(FILMS))
        away = f"{other.url}/stolen"
        if way == "redirect":
            api = serve(lambda r: (302, {"Location": away}, b""))
        else:
            api = serve(lambda r: ok(FILMS, Link=f'<{away}>; rel="next"'))
        with pytest.raises(InputError, match="another host") as caught:
            port(api.url, auth=auth, page="link", secrets={"T": "hush"}).fetch(keep, None)
        assert other.asked == []
        assert "hush" not in str(caught.value)

    def test_redirects_within_the_host_and_without_credentials_are_followed(
        self, port, serve, rows
    ):
        other = serve(lambda r: ok(FILMS))

        def moved(request):
            return (301, {"Location": "/new"}, b"") if request["path"] == "/old" else ok(FILMS)

        api = serve(moved)
        assert (
            len(rows(port(f"{api.url}/old", auth={"bearer": "hush"}, secrets={"T": "hush"}))) == 7
        )
        assert api.asked[1]["headers"]["authorization"] == "Bearer hush"
        api = serve(lambda r: (302, {"Location": other.url}, b""))
        assert len(rows(port(api.url))) == 7

    def test_redirects_without_end(self, port, serve, keep):
        api = serve(lambda r: (302, {"Location": "/"}, b""))
        with pytest.raises(InputError, match="more than 5 redirects"):
            port(api.url).fetch(keep, None)


class TestTroubles:
    def test_retries_with_growing_waits(self, port, serve, rows):
        api = serve(lambda r: ok(FILMS) if r["n"] > 2 else (503, {}, b"busy"))
        made = port(api.url, backoff=1)
        assert len(rows(made)) == 7
        assert made.slept == [0.5, 1.0]

    @pytest.mark.parametrize("value", ["7", "Thu, 01 Jan 1970 00:00:08 GMT"])
    def test_retry_after(self, port, serve, rows, value):
        api = serve(lambda r: ok(FILMS) if r["n"] > 1 else (429, {"Retry-After": value}, b""))
        made = port(api.url)
        assert len(rows(made)) == 7
        assert made.slept == [7.0]

    def test_retry_after_too_long(self, port, serve, keep):
        api = serve(lambda r: (429, {"Retry-After": "86400"}, b""))
        with pytest.raises(InputError, match="asks to wait 86,400 s"):
            port(api.url).fetch(keep, None)

    def test_it_gives_up_and_says_after_how_many_tries(self, port, serve, keep):
        def fails(request):
            return by_page(request) if request["n"] < 3 else (500, {}, b"down")

        api = serve(fails)
        with pytest.raises(InputError, match=r"page 3 of .* failed: status 500") as caught:
            port(api.url, records="$.data.items", page="page").fetch(keep, None)
        assert "3 times" in caught.value.fix
        assert len(api.asked) == 5

    def test_nobody_listens(self, port, serve, keep):
        api = serve(lambda r: ok(FILMS))
        api.close()
        made = port(api.url)
        with pytest.raises(InputError, match=r"page 1 .*ConnectError"):
            made.fetch(keep, None)
        assert len(made.slept) == 2

    def test_an_answer_that_breaks_off_is_asked_for_again(self, port, serve, rows):
        whole = json.dumps(FILMS).encode()

        def cut(request):
            return (
                ok(FILMS)
                if request["n"] > 1
                else (200, {"Content-Length": str(len(whole))}, whole[:20])
            )

        assert len(rows(port(serve(cut).url))) == 7

    def test_a_refusal_is_not_repeated(self, port, serve, keep):
        api = serve(lambda r: (403, {}, b"<h1>Forbidden</h1>"))
        with pytest.raises(InputError, match=r"status 403 .*'<h1>Forbidden</h1>'") as caught:
            port(api.url).fetch(keep, None)
        assert "auth" in caught.value.fix
        assert len(api.asked) == 1

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (
                b"<html>\n <p>Welcome",
                r"page 2 of http.* is not JSON \(text/html\): '<html> <p>Welcome'",
            ),
            (b'[{"id": 1}, {"id', "JSON that is cut off or broken"),
            ('[{"t": "Amélie"}]'.encode("latin-1"), "page 2 of .* is JSON that is not in UTF-8"),
            (b"", "not JSON .*an empty body"),
            (b"\xff\xfe\x00", "not JSON"),
            (b"[" * 200_000, "cut off or broken"),
            (
                b'{"error": "quota"}',
                r"page 2 of http.* has no \$\.data\.items: \$ is an object with error",
            ),
            (b'{"data": {"items": 5}}', "no list at"),
            (b'{"data": {"items": [1]}}', "no record at"),
        ],
    )
    def test_garbage(self, port, serve, keep, body, message):
        api = serve(
            lambda r: (
                by_page(r) if r["n"] == 1 else (200, {"Content-Type": "text/html; charset=x"}, body)
            )
        )
        with pytest.raises(InputError, match=message):
            port(api.url, records="$.data.items", page="page").fetch(keep, None)

    def test_the_same_cursor_again(self, port, serve, keep):
        api = serve(lambda r: ok({"rates": [{"id": r["n"]}], "next": "abc"}))
        with pytest.raises(InputError, match="after page 2 the API sends back to"):
            port(api.url, records="$.rates", page="cursor").fetch(keep, None)

    def test_an_api_that_does_not_know_the_parameter(self, port, serve, keep):
        api = serve(lambda r: ok(FILMS))
        with pytest.raises(InputError, match=r"page 2 .*the same as the page before") as caught:
            port(api.url, page={"by": "page", "param": "p"}).fetch(keep, None)
        assert "`p`" in caught.value.fix

    def test_more_pages_than_allowed(self, port, serve, keep):
        api = serve(lambda r: ok([{"id": r["n"]}]))
        with pytest.raises(InputError, match="more after page 4"):
            port(api.url, page={"by": "page", "max_pages": 4}).fetch(keep, None)

    @pytest.mark.parametrize("chunked", [True, False])
    def test_too_many_bytes(self, port, serve, keep, chunked):
        api = serve(lambda r: ok([{"id": "x" * 5000}]))
        with pytest.raises(InputError, match="more than 1,000 bytes"):
            port(api.url, max_bytes=1000).fetch(keep, None)

    def test_a_bomb_is_stopped_by_what_it_unpacks_to(self, port, serve, keep):
        packed = gzip.compress(b" " * 5_000_000)
        api = serve(lambda r: (200, {"Content-Encoding": "gzip"}, packed))
        with pytest.raises(InputError, match="more than 100,000 bytes"):
            port(api.url, max_bytes=100_000).fetch(keep, None)

    def test_bytes_that_are_not_what_their_encoding_says(self, port, serve, keep):
        api = serve(lambda r: (200, {"Content-Encoding": "gzip"}, b"no gzip"))
        with pytest.raises(InputError, match="cannot be read"):
            port(api.url).fetch(keep, None)

    def test_the_rate_is_kept(self, port, serve, rows):
        made = port(serve(by_page).url, records="$.data.items", page="page", rate="2/s")
        assert len(rows(made)) == 7
        assert made.slept == [0.5, 0.5, 0.5]


class TestIncremental:
    def settings(self):
        return {"records": "$.rates", "page": {"by": "cursor"}, "incremental": "day"}

    def test_earlier_pages_stay_and_new_ones_are_added(self, port, serve, keep, rows):
        films = FILMS[:4]
        api = serve(lambda r: by_cursor(r, films))
        made = port(api.url, **self.settings())
        first = made.fetch(keep, None)
        assert first.cursor == "2020-01-04"
        films = FILMS
        second = made.fetch(keep, first)
        assert second.objects[: len(first.objects)] == first.objects
        assert [o.name for o in second.objects] == [f"page-000{i}.json" for i in (1, 2, 3, 4)]
        assert second.cursor == "2020-01-07"
        assert api.asked[2]["query"] == {"since": "2020-01-04"}
        assert [r["id"] for r in rows(made, second)] == [1, 2, 3, 4, 5, 6, 7]
        assert made.fetch(keep, second) is second

    def test_equal_records_at_the_cursor_are_counted(self, port, serve, keep, rows):
        films = [{"day": "2020-01-01", "x": 1}] * 2
        api = serve(lambda r: by_cursor(r, films, size=9))
        made = port(api.url, **self.settings())
        first = made.fetch(keep, None)
        films = [*films, *films[:1], {"day": "2020-01-02", "x": 2}]
        second = made.fetch(keep, first)
        assert len(rows(made, second)) == 4
        films = [*films, {"day": "2020-01-02", "x": 3}]
        third = made.fetch(keep, second)
        assert [r["x"] for r in rows(made, third)] == [1, 1, 1, 2, 3]

    def test_an_api_that_sends_only_what_is_after(self, port, serve, keep, rows):
        def after(request):
            since = request["query"].get("from", "")
            return ok([f for f in FILMS[: 3 + 2 * request["n"]] if str(f["id"]) > since])

        made = port(serve(after).url, incremental={"cursor": "id", "param": "from"})
        first = made.fetch(keep, None)
        second = made.fetch(keep, first)
        assert (first.cursor, second.cursor) == ("5", "7")
        assert len(rows(made, second)) == 7

    def test_numbers_are_compared_as_numbers(self, port, serve, keep):
        api = serve(lambda r: ok([{"id": 9}, {"id": 10}]))
        assert port(api.url, incremental="id").fetch(keep, None).cursor == "10"

    def test_where_to_start(self, port, serve, keep):
        api = serve(by_cursor)
        made = port(
            api.url, **self.settings() | {"incremental": {"cursor": "day", "start": "2020-01-06"}}
        )
        received = made.fetch(keep, None)
        assert api.asked[0]["query"] == {"since": "2020-01-06"}
        assert received.notes == ("1 pages, 2 records since 2020-01-06",)

    def test_a_record_without_the_field(self, port, serve, keep):
        api = serve(lambda r: ok([{"id": 1}, {"x": 1}]))
        with pytest.raises(InputError, match=r"page 1, record 2 has no \$\.id"):
            port(api.url, incremental="id").fetch(keep, None)

    def test_a_failure_leaves_what_was_there(self, port, serve, keep, rows):
        broken = False
        api = serve(lambda r: (500, {}, b"") if broken and "cursor" in r["query"] else by_cursor(r))
        made = port(api.url, **self.settings())
        first = made.fetch(keep, None)
        broken = True
        with pytest.raises(InputError):
            port(
                api.url, **self.settings() | {"incremental": {"cursor": "day", "param": "x"}}
            ).fetch(keep, first)
        assert len(rows(made, first)) == 7


class TestExpectations:
    def test_what_a_contract_expects(self, port, serve, rows, contract):
        api = serve(
            lambda r: ok([{"id": 1, "Titel": "x", "day": "soon"}, {"id": None, "Titel": "y"}])
        )
        expected = contract(id="integer!", title="string!", day="date")
        with pytest.raises(InputError) as caught:
            rows(port(api.url, contract=expected))
        text = caught.value.message
        assert (
            "column `id` is required, and 1 of 2 rows have none, first in films, record 2" in text
        )
        assert (
            "expected column `title` (string), came `Titel` (string); did you mean `Titel`?" in text
        )
        assert "expected column `day` (date), came `day` (string)" in text

    def test_numbers_that_are_texts_by_contract(self, port, serve, rows, contract):
        api = serve(lambda r: ok([{"code": 7}]))
        assert rows(port(api.url, contract=contract(code="string!"))) == [{"code": "7"}]

    def test_no_record_at_all(self, port, serve, rows, contract):
        api = serve(lambda r: ok([]))
        assert rows(port(api.url, contract=contract(id="integer!"))) == []
        assert rows(port(api.url, types={"id": "BIGINT"})) == []
        with pytest.raises(InputError, match="no record came"):
            rows(port(api.url))

    def test_a_value_that_does_not_fit_its_type(self, port, serve, rows):
        api = serve(lambda r: ok([{"n": 1}, {"n": "many"}]))
        with pytest.raises(InputError, match="record 2, field `n`: 'many' is not integer"):
            rows(port(api.url, types={"n": "BIGINT"}))
        with pytest.raises(InputError, match="no record has the field 'm'"):
            rows(port(api.url, types={"m": "BIGINT"}))

    def test_include_that_is_not_there(self, port, serve, rows):
        api = serve(lambda r: ok({"items": FILMS}))
        with pytest.raises(InputError, match=r"page-0001.json has no \$\.date"):
            rows(port(api.url, records="$.items", include={"day": "$.date"}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": ""}, "url is missing"),
        ({"url": "ftp://127.0.0.1/x"}, "not an http"),
        ({"url": "http://"}, "not an http"),
        ({"records": "$..x"}, "cannot be read at"),
        ({"records": "$.a[*]"}, "cannot be read at"),
        ({"page": "pages"}, "page.by is 'pages'"),
        ({"page": {"by": "page", "sise": 3}}, "page.sise"),
        ({"page": 3}, "page must be a mapping"),
        ({"rate": "fast"}, "rate is 'fast'"),
        ({"rate": "0/s"}, "rate is '0/s'"),
        ({"retries": -1}, "retries must be"),
        ({"timeout": "long"}, "timeout must be"),
        ({"incremental": {"param": "since"}}, "incremental.cursor is missing"),
        ({"types": {"a": "X"}}, "'X' is not a type"),
        ({"url": "http://[::1"}, "url cannot be read"),
    ],
)
def test_settings_that_cannot_be_used(port, keep, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        port(**{"url": "http://127.0.0.1:1"} | settings).fetch(keep, None)


@pytest.mark.parametrize(
    ("path", "found"),
    [("$", {"a": [{"b": 1}]}), ("$.a[0].b", 1), ("a", [{"b": 1}]), ("$['a'][0]", {"b": 1})],
)
def test_paths(path, found):
    assert _records.at({"a": [{"b": 1}]}, _records.parse(path, "")) == found


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(max_size=3), c, max_size=3),
    )
)
def test_records_are_objects_or_an_error_says_what_came(document):
    try:
        found = _records.records(document, ())
    except _records.MissingError as error:
        assert "$" in str(error)
    else:
        assert all(isinstance(r, dict) for r in found)


def test_schema_of_shapes_holds_for_every_batch(port, serve, keep):
    records = [{"x": i} for i in range(70_000)] + [{"x": 0.5, "y": "late"}]
    made = port(serve(lambda r: ok(records)).url)
    with made.read(made.fetch(keep, None)) as reader:
        batches = list(reader)
    assert [b.num_rows for b in batches] == [65_536, 70_001 - 65_536]
    assert batches[0].schema == pa.schema([("x", pa.float64()), ("y", pa.string())])
