from __future__ import annotations

import csv
import io
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyport.errors import ConfigurationError
from polyport.model import OWNER
from polyport.ports import query
from polyport.ports.formats import FORMATS
from polyport.ports.output import Served
from polyport.ports.output.files.ranges import _span


@pytest.fixture
def port(make_port):
    return make_port()


@pytest.fixture
def client(port, client_of):
    return client_of(port.app())


def rows_of(data):
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def test_it_is_a_served_port_under_its_major_version(port):
    assert isinstance(port, Served)
    assert port.mount == "/files/v2"


def test_the_root_lists_every_file_and_each_link_leads_to_one(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/hal+json"
    assert answer.headers["polyport-snapshot"] == "42; id=00000042-abcdef01"
    body = answer.json()
    assert body["snapshot"]["sequence"] == 42
    assert [d["name"] for d in body["_embedded"]["datasets"]] == ["films", "sales"]
    links = [link for d in body["_embedded"]["datasets"] for link in d["_links"].values()]
    links += [
        body["_links"]["workbook"],
        {**body["_links"]["self"], "type": "application/hal+json"},
    ]
    for link in links:
        found = client.get(f"http://testserver{link['href']}")
        assert found.status_code == 200
        assert found.headers["content-type"] == link["type"]
    assert set(body["_embedded"]["datasets"][0]["_links"]) == set(FORMATS)


def test_the_root_tells_the_size_of_what_has_been_rendered(client):
    def csv_link():
        return client.get("/").json()["_embedded"]["datasets"][0]["_links"]["csv"]

    assert "bytes" not in csv_link()
    size = len(client.get("/films.csv").content)
    assert csv_link()["bytes"] == size


def test_a_pinned_root_leads_to_files_of_the_same_snapshot(client):
    body = client.get("/?snapshot=41").json()
    href = body["_embedded"]["datasets"][0]["_links"]["csv"]["href"]
    assert len(rows_of(client.get(f"http://testserver{href}").content)) == 10


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_holds_the_dataset(client, consts, name):
    answer = client.get(f"/films.{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == FORMATS[name].media_type
    assert answer.headers["content-disposition"] == f'attachment; filename="films-42.{name}"'
    assert answer.headers["content-length"] == str(len(answer.content))
    wanted = consts.FILMS.to_pylist()
    assert READ[name](answer.content) == wanted


def sheet_rows(data):
    rows = list(openpyxl.load_workbook(io.BytesIO(data)).worksheets[0].iter_rows(values_only=True))
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def typed_csv(data):
    return [
        {**row, "id": int(row["id"]), "amount": float(row["amount"]), "title": row["title"] or None}
        for row in rows_of(data)
    ]


READ = {
    "csv": typed_csv,
    "parquet": lambda data: pq.read_table(io.BytesIO(data)).to_pylist(),
    "xlsx": sheet_rows,
    "json": json.loads,
    "ndjson": lambda data: [json.loads(line) for line in data.splitlines()],
    "arrow": lambda data: pa.ipc.open_file(data).read_all().to_pylist(),
    "arrows": lambda data: pa.ipc.open_stream(data).read_all().to_pylist(),
}


@pytest.mark.parametrize(
    "asked",
    [
        "country=US",
        "amount.gt=50&sort=-amount",
        "country.in=US,FR&fields=id,country&sort=country,-id",
        "title.null=true",
        "title.like=Film%201%25",
        "amount.ge=1e9",
        "snapshot=41&sort=-id&fields=id",
    ],
)
def test_a_subset_is_what_a_scan_with_the_same_filter_gives(client, opener, consts, asked):
    answer = client.get(f"/films.arrows?{asked}")
    assert answer.status_code == 200
    found = pa.ipc.open_stream(answer.content).read_all()
    pairs = [
        (k, v.replace("%20", " ").replace("%25", "%"))
        for k, v in (p.split("=") for p in asked.split("&"))
    ]
    wanted = query.parse(pairs, consts.FILMS.schema, ("id",), paging=False)
    ref = dict(pairs).get("snapshot", "42")
    with (
        opener(OWNER, ref) as view,
        view.scan(
            "films", columns=wanted.columns, where=wanted.where, order=wanted.order
        ) as reader,
    ):
        assert found.equals(reader.read_all())


def test_rows_come_in_the_order_of_the_key_or_else_of_all_columns(client):
    assert [row["id"] for row in client.get("/films.json").json()] == list(range(1, 301))
    assert [tuple(row.values()) for row in client.get("/sales.json").json()] == [
        (1, 10),
        (1, 11),
        (2, 20),
        (3, 30),
    ]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("contry=US", "did you mean 'country'"),
        ("country=", "empty"),
        ("country=US&country=GB", "twice"),
        ("amount.gt=many", "amount.gt"),
        ("limit=10", "unknown"),
        ("cursor=x", "unknown"),
        ("fields=nothing", "nothing"),
        ("snapshot=", "snapshot"),
        ("country=%ff", "UTF-8"),
        ("sort=x", "sort"),
    ],
)
def test_a_bad_query_is_a_problem_that_names_the_parameter(client, asked, words):
    answer = client.get(f"/films.csv?{asked}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in json.dumps(answer.json(), ensure_ascii=False)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/films.cvs", 404), ("/film.csv", 404), ("/films", 404), ("/films.csv/x", 404), ("/.csv", 404), ("/films.csv?snapshot=99", 404),
     ("/?x=1", 400), ("/film-costs.xlsx?country=US", 400), ("/film-costs.csv", 404)],
)  # fmt: skip
def test_what_is_not_there_is_said_with_what_is(client, path, status):
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_misspelt_file_gets_a_suggestion(client):
    assert client.get("/films.cvs").json()["fix"] == "did you mean 'films.csv'?"


@pytest.mark.parametrize(
    "name",
    ["..%2f..%2fetc%2fpasswd", "%2e%2e%2fetc%2fpasswd.csv", "..%5c..%5cx.csv", "films.csv%00", "%00", "....//etc/passwd.csv",
     "%2fetc%2fpasswd", "films%2f..%2fsales.csv", ".part", "00000001", "00000001.part", "~root.csv", "%ff.csv"],
)  # fmt: skip
def test_a_name_from_the_address_never_is_a_path(client, name):
    client.get("/films.csv")
    answer = client.get(f"/{name}")
    assert answer.status_code in (400, 404)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "root:" not in answer.text


def test_other_methods_are_refused(client):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = client.request(method, "/films.csv")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_the_head_is_that_of_the_get_without_the_body(client):
    head = client.head("/films.parquet")
    get = client.get("/films.parquet")
    assert head.content == b""
    assert head.headers == get.headers
    assert int(head.headers["content-length"]) == len(get.content)


def test_an_unchanged_file_is_not_sent_again_and_nothing_is_read(client, opener):
    tag = client.get("/films.csv").headers["etag"]
    before = len(opener.reads)
    answer = client.get("/films.csv", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert len(opener.reads) == before
    assert not tag.startswith("W/")


def test_the_etag_tells_snapshots_queries_formats_and_policies_apart(client):
    tags = [
        client.get(path, headers=headers).headers["etag"]
        for path in ("/films.csv", "/films.json", "/films.csv?country=US", "/films.csv?snapshot=41", "/sales.csv", "/film-costs.xlsx")
        for headers in ({}, {"x-role": "analyst"}, {"x-role": "seller"} if "sales" in path else {"x-role": "hasher"})
    ]  # fmt: skip
    assert len(set(tags)) == len(tags)
    same = client.get("/films.csv", headers={"x-role": "accountant", "x-name": "bob"}).headers[
        "etag"
    ]
    assert same == tags[0]


def test_nobody_gets_the_file_rendered_for_another_policy(client):
    whole = rows_of(client.get("/films.csv").content)
    masked = rows_of(client.get("/films.csv", headers={"x-role": "analyst"}).content)
    assert len(whole) == 300
    assert {(row["country"], row["director"]) for row in masked} == {("US", "")}
    assert rows_of(client.get("/films.csv").content) == whole


def test_a_masked_key_still_gives_one_order(client):
    headers = {"x-role": "hasher"}
    rows = rows_of(client.get("/films.csv", headers=headers).content)
    assert {row["id"] for row in rows} == {""}
    titles = [row["title"] for row in rows if row["title"]]
    assert titles == sorted(titles)


def test_what_the_policy_withholds_is_forbidden_and_not_listed(client):
    headers = {"x-role": "seller"}
    assert client.get("/films.csv", headers=headers).status_code == 403
    body = client.get("/", headers=headers).json()
    assert [d["name"] for d in body["_embedded"]["datasets"]] == ["sales"]
    assert client.get("/films.csv", headers={"x-role": "nobody"}).status_code == 403
    assert client.get("/film-costs.xlsx", headers={"x-role": "nobody"}).status_code == 404


def test_the_workbook_has_every_dataset_that_the_asker_sees(client):
    book = openpyxl.load_workbook(io.BytesIO(client.get("/film-costs.xlsx").content))
    assert book.sheetnames == ["films", "sales", "About"]
    assert book["films"].max_row == 301
    seen = openpyxl.load_workbook(
        io.BytesIO(client.get("/film-costs.xlsx", headers={"x-role": "seller"}).content)
    )
    assert seen.sheetnames == ["sales", "About"]


def test_a_workbook_says_where_it_comes_from(client):
    data = client.get(
        "/films.xlsx?amount.gt=400&snapshot=42", headers={"x-role": "analyst"}
    ).content
    book = openpyxl.load_workbook(io.BytesIO(data))
    about = dict(book["About"].iter_rows(min_row=2, values_only=True))
    assert about["Data product"] == "Film costs (film-costs)"
    assert about["Snapshot"] == "42 (00000042-abcdef01)"
    assert about["Published"] == "2026-02-12 00:00:00 UTC"
    assert about["Filter on films"] == "amount.gt=400"
    assert "director" in about["Policy on films"]
    assert about["Rows of films"] == str(book["films"].max_row - 1)


def test_every_read_is_metered_also_from_the_cache(client, opener):
    size = len(client.get("/films.csv?fields=id,title").content)
    first = opener.reads.pop()
    assert (first.dataset, first.rows, first.outcome, first.columns) == (
        "films",
        300,
        "ok",
        ("id", "title"),
    )
    assert opener.reads == []
    client.get("/films.csv?fields=id,title", headers={"x-role": "accountant", "x-name": "bob"})
    again = opener.reads.pop()
    assert (again.principal, again.rows, again.bytes, again.columns, again.port) == (
        "bob",
        300,
        size,
        ("id", "title"),
        "files",
    )
    client.get("/films.csv?fields=id,title", headers={"Range": "bytes=0-99"})
    part = opener.reads.pop()
    assert part.bytes == 100
    assert 0 < part.rows < 300
    client.head("/films.csv?fields=id,title")
    assert opener.reads == []


def test_a_cached_workbook_is_metered_by_dataset(client, opener):
    size = len(client.get("/film-costs.xlsx").content)
    opener.reads.clear()
    client.get("/film-costs.xlsx")
    assert [(read.dataset, read.rows) for read in opener.reads] == [("films", 300), ("sales", 4)]
    assert 0 <= size - sum(read.bytes for read in opener.reads) < 2


def test_a_pinned_snapshot_may_be_kept_and_the_latest_may_not(client, opener, consts):
    assert "max-age=3600" in client.get("/sales.csv?snapshot=42").headers["cache-control"]
    assert "no-cache" in client.get("/sales.csv").headers["cache-control"]
    opener.add(43, sales=consts.SALES.slice(0, 1))
    assert client.get("/sales.json").json() == [{"week": 3, "sold": 30}]
    assert client.get("/films.csv").status_code == 404


RANGES = st.one_of(
    st.builds("bytes={}-{}".format, st.integers(0, 12_000), st.integers(0, 12_000)),
    st.builds("bytes={}-".format, st.integers(0, 12_000)),
    st.builds("bytes=-{}".format, st.integers(0, 12_000)),
)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(RANGES)
def test_a_range_is_a_plain_slice(client, whole, wanted):
    answer = client.get("/films.csv", headers={"Range": wanted})
    first, last = wanted.removeprefix("bytes=").split("-")
    size = len(whole)
    if first:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    else:
        start, stop = max(0, size - int(last)), size
    if first and last and int(last) < int(first):
        assert (answer.status_code, answer.content) == (200, whole)
    elif start >= size:
        assert answer.status_code == 416
        assert answer.headers["content-range"] == f"bytes */{size}"
        assert answer.headers["content-type"] == "application/problem+json"
    else:
        assert answer.status_code == 206
        assert answer.content == whole[start:stop]
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert answer.headers["content-length"] == str(stop - start)


@pytest.fixture
def whole(client):
    return client.get("/films.csv").content


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-1,5-6",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "lines=0-1",
        "bytes 0-1",
        "bytes=1-0",
        "bytes=0-1-2",
    ],
)
def test_what_is_not_one_range_gets_the_whole(client, whole, header):
    answer = client.get("/films.csv", headers={"Range": header})
    assert (answer.status_code, answer.content) == (200, whole)
    assert answer.headers["accept-ranges"] == "bytes"


def test_a_range_of_another_file_gets_the_whole(client, whole):
    tag = client.get("/films.csv").headers["etag"]
    same = client.get("/films.csv", headers={"Range": "bytes=0-4", "If-Range": tag})
    assert (same.status_code, same.content) == (206, whole[:5])
    for other in ('"other"', f"W/{tag}", "Sat, 01 Jan 2028 00:00:00 GMT"):
        answer = client.get("/films.csv", headers={"Range": "bytes=0-4", "If-Range": other})
        assert (answer.status_code, answer.content) == (200, whole)


def test_an_empty_file_has_no_range():
    from polyport.ports.http import HttpError

    for first, last in (("0", ""), ("", "5"), ("0", "0")):
        with pytest.raises(HttpError):
            _span(first, last, 0)


def test_a_huge_range_number_is_no_work(client, whole):
    answer = client.get("/films.csv", headers={"Range": f"bytes=1-{'9' * 200}"})
    assert answer.content == whole[1:]


def test_a_file_rendered_again_has_the_same_bytes_so_that_a_broken_download_goes_on(
    make_port, client_of
):
    bodies = set()
    for _ in range(3):
        client = client_of(make_port().app())
        bodies.add((client.get("/films.xlsx").content, client.get("/sales.parquet").content))
    assert len(bodies) == 1


def test_many_askers_at_once_make_one_rendering(client, opener):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: client.get("/films.json").content, range(16)))
    assert len(set(found)) == 1
    rendered = [read for read in opener.reads if read.bytes != len(found[0])]
    assert len(opener.reads) == 16
    assert len(rendered) == 1


def test_a_small_cache_still_serves_everything(make_port, client_of):
    port = make_port(cache_bytes=20_000)
    client = client_of(port.app())
    for name in ("films.csv", "films.json", "films.xlsx", "film-costs.xlsx", "films.csv"):
        assert client.get(f"/{name}").status_code == 200
        assert port.cache.bytes <= 20_000


def test_only_the_formats_of_the_settings_are_served(make_port, client_of):
    port = make_port({"formats": ["parquet"]})
    client = client_of(port.app())
    assert client.get("/films.parquet").status_code == 200
    for name in ("films.csv", "film-costs.xlsx"):
        assert client.get(f"/{name}").status_code == 404
    body = client.get("/").json()
    assert "workbook" not in body["_links"]
    assert list(body["_embedded"]["datasets"][0]["_links"]) == ["parquet"]
    assert port.client_line("http://h", "films").endswith("http://h/films.parquet")


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"formats": ["cvs"]}, "csv"), ({"formats": []}, "no format"), ({"formats": "csv"}, "list"), ({"puhs": {}}, "did you mean 'push'")],
)  # fmt: skip
def test_settings_that_cannot_be_used_are_refused_at_once(make_port, settings, words):
    with pytest.raises(ConfigurationError, match=words):
        make_port(settings)


def test_a_dataset_with_a_name_of_any_kind_is_served_and_downloaded_under_it(
    opener, make_port, consts, client_of
):
    name = 'a/b "é".x'
    opener.add(50, **{name: consts.SALES})
    client = client_of(make_port().app())
    answer = client.get(f"/{quote(name, safe='')}.csv")
    listed = client.get("/").json()["_embedded"]["datasets"][0]["_links"]["csv"]["href"]
    assert client.get(f"http://testserver{listed}").content == answer.content
    assert answer.status_code == 200
    extended = answer.headers["content-disposition"].split("filename*=UTF-8''")[1]
    assert extended == quote(f"{name}-50.csv", safe="")
    assert answer.headers["content-disposition"].startswith('attachment; filename="a_b _')


def test_no_room_is_a_problem_and_leaves_nothing(client, port, monkeypatch, tmp_path):
    def full(reader, sink):
        sink.write(b"half")
        raise OSError(28, "No space left on device")

    form = FORMATS["csv"]
    monkeypatch.setattr(
        "polyport.ports.output.files.render.write", lambda *args: full(None, args[-1])
    )
    answer = client.get("/films.csv")
    assert form.name == "csv"
    assert answer.status_code == 507
    assert "No space left" in answer.json()["detail"]
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [".lock"]
    monkeypatch.undo()
    assert client.get("/films.csv").status_code == 200


def test_the_client_line_can_be_pasted(port, tmp_path):
    line = port.client_line(
        "http://127.0.0.1:8400/products/film-costs/files/v2", "fi lms'; rm -rf x"
    )
    shown = subprocess.run(
        ["bash", "-c", line.replace("curl", "printf '%s\\n'", 1)], capture_output=True, text=True
    )
    assert shown.stdout.splitlines() == [
        "-fsSO", "http://127.0.0.1:8400/products/film-costs/files/v2/fi%20lms%27%3B%20rm%20-rf%20x.csv"
    ]  # fmt: skip
