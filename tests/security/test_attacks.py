"""What somebody would try who may see a part and wants the rest."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import logging
import re
from dataclasses import replace
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyport.access import Measure, Order, Policy, View
from polyport.access.results import Results
from polyport.descriptor.types import Role, RoleSettings
from polyport.engine import keyed
from polyport.engine.duckdb import DuckDBEngine
from polyport.errors import AccessError, NotFoundError, QueryError
from polyport.expression import parse
from polyport.model import OWNER, Dataset, Principal, Snapshot
from polyport.server import create_app
from polyport.testing.asgi import Client

SECRETS = ("CANARY", "98001", "60.25")
REST = "/products/films/rest/v1"
FILES = "/products/films/files/v1"
PARTNER = {"Polyport-Role": "partner; studio=Fox"}
BLIND = {"Polyport-Role": "blind"}
STRANGER = {"Polyport-Role": "nobody"}


def clean(answer, *, but=()):
    """The answer, in which nothing stands that only the owner may see (other than what the asker wrote itself)."""
    said = answer.text + repr(answer.headers)
    for word in but:
        said = said.replace(word, "")
    assert not [secret for secret in SECRETS if secret in said], said
    return answer


# --- everything that a reader can reach ---------------------------------------------------------------------------


def links(found):
    if isinstance(found, dict):
        if isinstance(found.get("href"), str) and not found.get("templated"):
            yield found["href"]
        for value in found.values():
            yield from links(value)
    elif isinstance(found, list):
        for value in found:
            yield from links(value)


@pytest.mark.parametrize("who", [PARTNER, BLIND, STRANGER])
def test_nothing_that_is_linked_shows_more(client, who):
    left, seen = ["/", f"{REST}/openapi.json", f"{REST}/contract.json", f"{FILES}/"], set()
    while left:
        url = left.pop()
        if url in seen or len(seen) > 200:
            continue
        seen.add(url)
        answer = client.get(url, headers=who)
        if answer.headers["content-type"].split(";")[0] in (
            "application/json",
            "application/hal+json",
        ):
            clean(answer)
            if "/files/" not in url or url.endswith("/"):  # below it, JSON is rows
                left += list(links(answer.json()))
        elif answer.headers["content-type"].startswith(("text/", "application/problem")):
            clean(answer)
    assert len(seen) > (10 if who is not STRANGER else 3)


def test_the_owner_sees_the_secrets(client):
    """Else the test above could not fail."""
    page = client.get(f"{REST}/films").text
    assert all(secret in page for secret in SECRETS)
    assert "CANARY" in client.get("/products/films").text
    assert "CANARY example" in client.get(f"{REST}/contract.json").text
    assert "CANARY example" in client.get(f"{REST}/openapi.json").text


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?group=director&agg=count",
        "?agg=count_distinct:director,min:id,max:id,min:title,max:title",
        "?sort=-director",
        "?sort=-id&limit=1",
        "?director=CANARY%20Scott",
        "?director.ge=C&director.lt=D",
        "?director.like=CANARY%25",
        "?id.gt=100",
        "?having.count.gt=1&group=director",
        "?studio=Other",
        "?studio.null=true",
        "?title.like=%25une",
        "?CANARY_cost.gt=0",
        "?sort=CANARY_cost",
        "?fields=CANARY_cost",
        "?group=CANARY_cost",
        "?agg=sum:CANARY_cost",
        "?having.sum_CANARY_cost.gt=1",
        "?director=1",
        "?id=CANARY",
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/x-ndjson"])
@pytest.mark.parametrize("who", [PARTNER, BLIND])
def test_no_query_shows_more(client, query, accept, who):
    answer = client.get(f"{REST}/films{query}", headers={**who, "Accept": accept})
    clean(answer, but=re.findall(r"[\w.]*CANARY\w*", unquote(query)))
    probes = (
        "director=CANARY",
        "director.ge",
        "director.like",
        "studio=Other",
        "studio.null",
        "une",
    )
    if any(probe in query for probe in probes) and answer.status_code == 200:
        assert "Alien" not in answer.text
        assert "Heat" not in answer.text
    if "CANARY_cost" in query:
        assert answer.status_code == 400


def test_hidden_and_unknown_columns_are_told_alike(client):
    def said(name):
        answer = client.get(f"{REST}/films?sort={name}", headers=PARTNER)
        return answer.status_code, answer.text.replace(name, "X")

    assert said("CANARY_cost") == said("zqwzqwzqwzq")


def test_rows_that_are_hidden_are_as_rows_that_are_not(client):
    def said(key):
        answer = client.get(f"{REST}/films/{key}", headers=PARTNER)
        return answer.status_code, answer.text.replace(key, "X")

    assert said("980013") == said("123456")
    assert client.get(f"{REST}/films/11", headers=PARTNER).status_code == 200


def test_a_masked_key_is_in_no_link(client):
    page = client.get(f"{REST}/films?limit=1", headers=BLIND).json()
    assert "_links" not in page["_embedded"]["films"][0]
    cursor = page["_links"]["next"]["href"].split("cursor=")[1].split("&")[0]
    raw = base64.urlsafe_b64decode(unquote(cursor) + "==")
    assert not re.search(rb"\b1[12]\b", raw[8:])
    assert client.get(f"{REST}/films/11", headers=BLIND).status_code == 404


def test_etags_differ_and_none_is_taken_for_another(client):
    for url in (f"{REST}/films", f"{REST}/openapi.json", f"{FILES}/films.csv", f"{FILES}/"):
        owner, partner, blind = (
            client.get(url, headers=who).headers["etag"] for who in ({}, PARTNER, BLIND)
        )
        assert len({owner, partner, blind}) == 3, url
        again = client.get(url, headers={**PARTNER, "If-None-Match": owner})
        assert again.status_code == 200


def test_a_file_that_the_owner_had_made_is_not_the_partners(client):
    assert "CANARY" in client.get(f"{FILES}/films.csv").text
    listed = clean(client.get(f"{FILES}/", headers=STRANGER)).json()
    assert listed["_embedded"]["datasets"] == []
    clean(client.get(f"{FILES}/films.csv", headers=PARTNER))
    part = client.get(f"{FILES}/films.csv", headers={**PARTNER, "Range": "bytes=0-9999"})
    clean(part)


def test_the_product_document_counts_for_the_owner_only(client):
    mine = client.get("/products/films").json()
    assert [d["rows"] for d in mine["datasets"]] == [4, 2]
    assert mine["snapshots"][0]["rows"] == {"films": 4, "CANARY_crew": 2}
    theirs = client.get("/products/films", headers=PARTNER)
    assert [d["name"] for d in theirs.json()["datasets"]] == ["films"]
    assert '"rows"' not in theirs.text
    assert "polyport-role" in theirs.headers["vary"].lower()
    assert client.get("/products/films", headers=STRANGER).json()["datasets"] == []
    assert client.get("/products/films", headers=STRANGER).json()["clients"] == {}


# --- headers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "role",
    [
        "owner,", ",owner", "OWNER", "owner;", "owner; studio=Fox", "owner, owner", "own\u00e9r", "", " ", ";", ",",
        "'owner'", "*", "x" * 9_000, "partner; studio=Fox' OR 1=1 --", "partner; studio=%00", "partner; studio=%ff",
        "partner; studio=%0d%0aSet-Cookie:x", "partner", "partner; Studio=Fox",
    ],
)  # fmt: skip
def test_no_way_to_write_a_role_is_the_owner(client, role):
    headers = [(b"polyport-role", role.encode("latin-1"))]
    for url in (f"{REST}/films", "/products/films", f"{FILES}/films.csv"):
        clean(client.get(url, headers=headers), but=(role,))


@pytest.mark.parametrize("name", ["polyport-role", "polyport-purpose"])
@pytest.mark.parametrize("values", [("owner", "partner"), ("partner; studio=Fox", "owner")])
def test_a_header_sent_twice_is_refused(client, name, values):
    answer = client.get(f"{REST}/films", headers=[(name, value) for value in values])
    assert (answer.status_code, answer.json()["code"]) == (403, "PP400")


@pytest.mark.parametrize("text", ["partner; id=ann", "partner; studio=A; studio=B", "partner; =x"])
def test_attributes_are_new_names(client, text):
    assert client.get(f"{REST}/films", headers={"Polyport-Role": text}).status_code == 403


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "", "evil.example:8400", "127.0.0.1@evil.example", "0.0.0.0",
     "127.0.0.1:80@evil.example"],
)  # fmt: skip
def test_another_host_name_is_refused(client, host):
    assert client.get(f"{REST}/films", headers={"host": host}).status_code == 400


def test_a_redirect_goes_nowhere_else(client):
    answer = client.get(f"{REST}?snapshot=1", headers={"host": "127.0.0.1:8400"})
    assert answer.status_code == 307
    assert answer.headers["location"] == "./v1/?snapshot=1"


BEHIND = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", **BEHIND},
        {"Sec-Fetch-Site": "same-site", **BEHIND},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "CROSS-SITE"},
    ],
)
def test_a_page_of_another_site_gets_no_answer_to_probe_by(client, headers):
    there, gone = (client.get(f"{REST}/films/{key}", headers=headers) for key in (11, 99))
    assert there.status_code == gone.status_code == 403
    assert there.text == gone.text
    assert client.get("/", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
)  # fmt: skip
def test_a_person_and_the_own_pages_are_answered(client, headers):
    answer = client.get(f"{REST}/films", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
    assert "access-control-allow-origin" not in answer.headers
    assert client.get(f"{FILES}/films.csv").headers.get_list("x-content-type-options") == [
        "nosniff"
    ]


# --- addresses and values -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        f"{REST}/..%2f..%2f..%2fpolyport.yaml", f"{REST}/%2e%2e/%2e%2e/x", f"{REST}/films%00", f"{REST}/films%0d%0ax",
        f"{REST}/films/%00", f"{REST}/films/11%2f..", f"{REST}/%ff", f"{REST}/films/%ff", f"{REST}/films/1/2/3",
        f"{FILES}/..%2fpolyport.yaml", f"{FILES}/../polyport.yaml", f"{FILES}/%2fetc%2fpasswd", f"{FILES}/films.csv%00",
        f"{FILES}/films.csv%0d%0aX-Y:%20z", f"{FILES}/.csv", "/products/films%2f..%2f", "/products/..%2f..%2fetc",
        f"{REST}/films?snapshot=..%2f..%2fx", f"{REST}/films?snapshot=%00", f"{REST}/films?snapshot={'9' * 5000}",
        f"{REST}/films?snapshot=0000-00-00", f"{REST}/films?snapshot=9999-12-31T23:59:59-14:00x",
        f"{REST}/films?x=1&x=2", f"{REST}/films?%ff=1", f"{REST}/films?id.in={'1,' * 9000}1",
        f"{REST}/_after", f"{REST}/rows", f"{REST}/_arrow_0", f"{REST}/information_schema.tables",
    ],
)  # fmt: skip
def test_strange_addresses_are_the_askers_fault(client, path):
    answer = client.get(path, headers=PARTNER)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert not {"x-y", "set-cookie"} & set(answer.headers)
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "CANARY_cost=1e99999999999999999999", "CANARY_cost.gt=0e99999999999999999999", "CANARY_cost=1e-99999999999999999",
        "CANARY_cost=0e999999", "CANARY_cost.lt=1e-999999", "CANARY_cost=1e999999", "having.avg_id.gt=1e99999999999999999999",
        f"CANARY_cost=1.{'0' * 9000}1", f"id={'9' * 9000}", "id=9223372036854775808", "id.gt=-9223372036854775809",
        f"id.in={','.join(map(str, range(2000)))}", f"title.like={quote('%_' * 2000)}", f"title={quote('(' * 3000)}",
        "title=%00", "title.like=%5C", f"title={quote('🎬' * 1000)}", "limit=99999999999999999999", "limit=0", "limit=-1",
        "id.null=maybe", f"sort={'id,' * 2000}id", f"fields={','.join(['id'] * 2000)}",
    ],
)  # fmt: skip
def test_no_value_breaks_the_server(client, query, caplog):
    with caplog.at_level(logging.ERROR):
        answer = client.get(f"{REST}/films?{query}")
    assert answer.status_code in (200, 400, 414), answer.text
    assert not caplog.records


def forged(client, change, query="limit=1&sort=CANARY_cost"):
    """The first page's cursor, changed, with a digest that fits."""
    href = client.get(f"{REST}/films?{query}").json()["_links"]["next"]["href"]
    cursor = unquote(href.split("cursor=")[1].split("&")[0])
    content = json.loads(base64.urlsafe_b64decode(cursor + "==")[8:])
    body = json.dumps(change(content), separators=(",", ":")).encode()
    check = hashlib.blake2b(body, digest_size=8, person=b"polyport cursor").digest()
    return base64.urlsafe_b64encode(check + body).decode().rstrip("=")


def after(*values, skip=0):
    return lambda found: [*found[:2], list(values), skip]


@pytest.mark.parametrize(
    "change",
    [
        after("1e99999999999999999999", "1"),
        after("1e999999", "1"),
        after("0e999999", "1"),
        after("NaN", "1"),
        after("Infinity", "1"),
        after("' OR 1=1", "1"),
        after("1", "9" * 4000),
        after("1", "9" * 60),
        after("1"),
        after("1", "1", "1"),
        after(None, None),
        after(1, 2),
        after([], {}),
        after("1", "1", skip=10**30),
        after("1", "1", skip=True),
        lambda found: [*found[:2], None, 10**30],
        lambda found: ["../../x", *found[1:]],
        lambda found: [found[0], "0" * 24, *found[2:]],
        lambda found: found[:3],
        lambda found: {"a": found},
    ],
    ids=map(str, range(20)),
)
def test_a_forged_cursor_is_no_page_or_a_page(client, change, caplog):
    cursor = forged(client, change)
    with caplog.at_level(logging.ERROR):
        answer = client.get(f"{REST}/films?limit=1&sort=CANARY_cost&cursor={cursor}")
    assert answer.status_code in (200, 400, 404), answer.text
    assert not caplog.records


def test_a_cursor_of_the_owner_pages_through_the_partners_rows(client):
    cursor = forged(client, lambda found: found, "limit=1&sort=id")
    answer = client.get(f"{REST}/films?limit=1&sort=id&cursor={cursor}", headers=PARTNER)
    assert [row["id"] for row in answer.json()["_embedded"]["films"]] == [12]


@pytest.mark.parametrize(
    "spans", ["0-" + "9" * 5000, "9" * 5000 + "-", "-" + "9" * 5000, "-0", "5-1"]
)
def test_no_range_breaks_the_server(client, spans, caplog):
    with caplog.at_level(logging.ERROR):
        answer = client.get(f"{FILES}/films.csv", headers={"Range": f"bytes={spans}"})
    assert answer.status_code in (200, 206, 416)
    assert not caplog.records


def test_a_line_end_in_an_address_does_not_forge_a_line_of_the_log(films, caplog):
    (port,) = [p for p in films.ports() if p.context.spec.name == "rest"]

    def fails(_):
        raise RuntimeError("of our own")

    client = Client(type(port)(replace(port.context, identify=fails)).app())
    with caplog.at_level(logging.ERROR):
        assert client.get("/x%0aERROR forged").status_code == 500
    assert "\nERROR forged" not in caplog.records[0].getMessage()
    assert "of our own" not in client.get("/x").text


# --- the view -----------------------------------------------------------------------------------------------------

TABLE = pa.table(
    {
        "id": pa.array([3, 1, 2], pa.int64()),
        "name": ["b", "a", "c"],
        "team": ["red", "red", "blue"],
        "day": pa.array([dt.date(2020, 5, 17), None, dt.date(2021, 2, 3)]),
    }
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with DuckDBEngine(scratch=tmp_path_factory.mktemp("spill"), threads=1) as made:
        yield made


@pytest.fixture
def view(engine, tmp_path):
    def make(settings, *, table=TABLE, promised=None, salt="salt", who=None, **more):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
        pq.write_table(table, path)
        datasets = {"people": Dataset("people", table.schema, ("id",), table.num_rows)}
        datasets["other"] = Dataset("other", table.select(["day"]).schema, (), table.num_rows)
        snapshot = Snapshot("p", "00000001-x", 1, None, dt.datetime.now(dt.UTC), datasets)
        policy = Policy("p", {"r": Role("r", settings)}, salt, promised)
        who = who or Principal("pat", frozenset({"r"}))
        files = {"people": path, "other": path}
        return View(
            snapshot, who, "x", "", policy, engine, lambda _, n: [str(files[n])], lambda _: None, **more
        )  # fmt: skip

    return make


def rows(view, **asked):
    return view.scan("people", **asked).read_all().to_pylist()


def test_a_role_for_columns_that_a_dataset_lacks_sees_nothing_of_it(view):
    with view(RoleSettings(columns=("id", "name"))) as seen:
        assert seen.datasets == ("people",)
        with pytest.raises(AccessError, match="sees no column of 'other'"):
            seen.scan("other")
        with pytest.raises(AccessError):
            seen.aggregate("other", measures=[Measure("count")])


def test_a_column_that_a_mask_may_have_covered_under_an_older_name_is_not_shown(view):
    """Time travel to a snapshot from before `director` was renamed, and then masked."""
    settings = RoleSettings(mask={"director": "hash"})
    old = TABLE.append_column("regisseur", pa.array(["x", "y", "z"]))
    promised = {"people": ["id", "name", "team", "day", "director"]}
    with view(settings, table=old, promised=promised) as seen:
        assert seen.schema("people").names == ["id", "name", "team", "day"]
        with pytest.raises(QueryError):
            seen.scan("people", columns=["regisseur"])
        with pytest.raises(AccessError):
            seen.scan("other")
    with view(RoleSettings(), table=old, promised=promised) as seen:
        assert "regisseur" in seen.schema("people").names
    with view(settings, table=old, promised=promised, who=OWNER) as seen:
        assert "regisseur" in seen.schema("people").names


def test_a_filter_on_a_column_that_is_not_in_the_snapshot_hides_that_dataset_only(view):
    with view(RoleSettings(rows=parse("team = 'red'"))) as seen:
        assert seen.datasets == ("people",)
        with pytest.raises(AccessError, match="chooses rows by 'team'"):
            seen.scan("other")
        assert len(rows(seen)) == 2


def test_no_attribute_stands_in_for_the_id(view):
    settings = RoleSettings(rows=parse("name = principal.id"))
    who = Principal("a", frozenset({"r"}), {"id": "b"})
    with view(settings, who=who) as seen:
        assert [r["name"] for r in rows(seen)] == ["a"]


@pytest.mark.parametrize(
    "where", ["name = true", "name > date '2020-01-01'", "name in ('a', 7)", "not (name != 1.5)"]
)
def test_a_text_column_is_compared_with_text_only(view, where):
    """A cast of the column would fail on some row, and the engine's error quotes that row's value."""
    with view(RoleSettings(rows=parse("team like 'r%'"))) as seen:
        for ask in (
            lambda: seen.scan("people", where=parse(where)),
            lambda: seen.aggregate("people", group=["name"], where=parse(where)),
            lambda: seen.aggregate("people", group=["name"], having=parse(where)),
        ):
            with pytest.raises(QueryError, match="column 'name' is text"):
                ask()
        counted = [Measure("count", name="team")]
        found = seen.aggregate("people", group=["name"], measures=counted, having=parse("team = 1"))
        assert found.read_all().num_rows == 2


def test_sorting_by_a_masked_column_sorts_what_is_shown(view, tmp_path, engine):
    settings = RoleSettings(mask={"name": "constant:x", "id": "hash"})
    built = tmp_path / "people.sqlite"
    with view(settings) as seen:
        data = seen.snapshot.datasets["people"]
        keyed.build(built, data, seen.files(seen.snapshot, "people"), engine, [])
    index = keyed.KeyedIndex(built, data)
    with view(settings, keyed=lambda *_: index) as seen:
        order = [Order("name"), Order("id")]
        found = rows(seen, order=order, limit=10)
        assert [r["id"] for r in found] == sorted(r["id"] for r in found)
        assert {r["name"] for r in found} == {"x"}
        first = [found[0][o.column] for o in order]
        assert rows(seen, order=order, limit=10, after=first) == found[1:]
        assert rows(seen, order=order, limit=10, after=["a", "0"]) == found
    index.close()


def test_hashes_join_within_a_product_and_not_across(view):
    settings = RoleSettings(mask={"team": "hash"})
    with view(settings) as one, view(settings) as again, view(settings, salt="another") as other:
        teams = [{r["name"]: r["team"] for r in rows(v)} for v in (one, again, other)]
    assert teams[0] == teams[1]
    assert teams[0]["a"] == teams[0]["b"] != teams[0]["c"]
    assert not set(teams[0].values()) & set(teams[2].values())
    assert teams[0]["a"] != hashlib.sha256(b"red").hexdigest()[:16]


def test_differences_under_a_masked_key_are_of_what_is_shown(view):
    settings = RoleSettings(mask={"id": "constant:1"}, columns=("id", "name"))
    newer = TABLE.set_column(1, "name", pa.array(["b", "a", "d"]))
    with view(settings) as before, view(settings, table=newer) as now:
        found = now.changes(before, "people").read_all().to_pylist()
        assert now.count_changes(before, "people") == {"added": 1, "removed": 1}
    assert [(r["_change"], r["before"] or r["after"]) for r in found] == [
        ("removed", {"id": "1", "name": "c"}),
        ("added", {"id": "1", "name": "d"}),
    ]


def test_a_measure_is_one_of_those_there_are(view):
    with view(RoleSettings(columns=("id",))) as seen, pytest.raises(QueryError, match="no measure"):
        seen.aggregate("people", measures=[Measure("max(name) || count", "id")])


def test_kept_results_are_of_one_class(view):
    kept = Results()
    told = []
    for settings in (RoleSettings(), RoleSettings(rows=parse("team = 'red'"))):
        with view(settings, results=kept) as seen:
            told.append(
                seen.aggregate("people", measures=[Measure("count")]).read_all().to_pylist()
            )
    assert told == [[{"count": 3}], [{"count": 2}]]


def test_names_are_quoted_wherever_they_come_from(view):
    odd = {
        'a"b': [1],
        "x); DROP TABLE t; --": ["v"],
        "$f0": [2],
        "id": pa.array([1], pa.int64()),
        "day": [None],
    }
    with view(RoleSettings(mask={"x); DROP TABLE t; --": "hash"}), table=pa.table(odd)) as seen:
        (found,) = rows(seen, where=parse('"a""b" = 1'), order=[Order("x); DROP TABLE t; --")])
        assert found["$f0"] == 2
        with pytest.raises(NotFoundError):
            seen.scan('people" UNION SELECT 1 --')


def test_a_number_too_large_to_read_is_a_query_error():
    for text in ("9" * 5000, "1e99999999999999999999"):
        with pytest.raises(QueryError, match="too large"):
            parse(f"x = {text}")


def test_a_product_app_is_made_for_the_loopback_names_only(films):
    open_to_all = Client(create_app([films], hosts=["films.example"]))
    assert open_to_all.get("/", headers={"host": "127.0.0.1"}).status_code == 400
