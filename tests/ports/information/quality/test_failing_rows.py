"""Failing rows: those set aside and those that a rule counts, as each viewer's policy shows them, and no other."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ports.information.quality.broken_films import (
    ANALYST,
    BASE,
    CLERK,
    FILES,
    HTML,
    PARTNER,
    ROWS,
    write,
)

from polyport.errors import QualityError
from polyport.model import Principal
from polyport.product import Product
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.management_port import PLATFORM, asking
from polyport.testing.output_port import agree

HISTORIAN = {"polyport-role": "historian"}
NOBODY = {"polyport-role": ""}


def groups(reply):
    return {g.get("rule") or g["set_aside"] or g["title"]: g for g in reply.json()["groups"]}


def seen(reply):
    assert reply.status_code == 200, reply.text
    return [row["row"] for row in reply.json()["rows"]]


def test_the_owner_sees_all_that_failed(rows):
    found = groups(rows())
    assert {name: g["rows_all"] for name, g in found.items()} == {
        "films": 2,
        "cleanse/checked": 1,
        "cleanse/raw_films": 2,
        "titles_differ": 1,
        "cost_is_known": 2,
    }
    aside = rows("?set_aside=films").json()
    assert [r["row"]["id"] for r in aside["rows"]] == [5, 6]
    assert aside["rows"][0]["rule"] == "cost_is_sane"
    assert "-51234" in aside["rows"][0]["reason"]
    assert seen(rows("?set_aside=cleanse/checked"))[0]["title"] == "secret"
    assert {r["year"] for r in seen(rows("?set_aside=cleanse/raw_films"))} == {"soon", "1991"}


def test_rows_that_break_a_rule_are_in_the_snapshot_and_so_is_what_they_repeat(rows):
    assert [r["id"] for r in seen(rows("?rule=titles_differ"))] == [1, 2]
    assert [r["id"] for r in seen(rows("?rule=cost_is_known&dataset=films"))] == [3, 4]


def test_rows_that_are_alike_are_told_from_those_that_repeat(rows):
    found = rows("?rule=titles_differ").json()
    assert (found["rows_all"], found["rows_repeated"]) == (2, 1)
    assert "rows_repeated" not in rows("?rule=titles_differ", PARTNER).json()
    assert "of which 1 repeat another" in rows("?rule=titles_differ", HTML).text


def test_row_filters_hold_and_what_they_hide_is_counted(rows):
    found = rows("?set_aside=films", PARTNER).json()
    assert [r["row"]["id"] for r in found["rows"]] == [5]
    assert (found["rows_all"], found["rows_shown"], found["rows_not_shown"]) == (2, 1, 1)
    assert found["why_not_shown"]
    assert [r["id"] for r in seen(rows("?rule=cost_is_known", PARTNER))] == [3]
    assert rows("?rule=cost_is_known", PARTNER).json()["rows_not_shown"] == 1


def test_alike_rows_are_those_that_the_viewer_sees_alike(rows):
    assert seen(rows("?rule=titles_differ", PARTNER)) == []


def test_masks_hold_and_no_reason_quotes_what_is_masked(rows):
    found = rows("?set_aside=films", ANALYST)
    assert {r["cost"] for r in seen(found)} == {None}
    assert "-51234" not in found.text
    assert "-71234" not in found.text
    assert {"name": "cost", "masked": "withheld"} in found.json()["columns"]


def test_which_rows_break_a_rule_on_a_masked_or_hidden_column_is_not_told(rows):
    for viewer in (ANALYST, CLERK):
        reply = rows("?rule=cost_is_known", viewer)
        assert reply.status_code == 404
        assert "cost_is_known" not in groups(rows(headers=viewer))
    assert [r["id"] for r in seen(rows("?rule=titles_differ", CLERK))] == [1, 2]


def test_columns_that_are_not_granted_are_not_there(rows):
    found = rows("?set_aside=films", CLERK)
    assert [set(r) for r in seen(found)] == [{"id", "title"}] * 2
    for word in ("Fox", "Universal", "-51234", "cost"):
        assert word not in found.text


def test_rows_of_a_step_behind_which_a_transform_stands_are_the_owners(rows):
    found = groups(rows(headers=PARTNER))
    hidden = next(g for g in found.values() if "step" in g["title"] and not g["dataset"])
    assert (hidden["rows_all"], hidden["rows_shown"]) == (1, 0)
    assert "owner" in hidden["why_not_shown"]
    assert rows("?set_aside=cleanse/checked", PARTNER).status_code == 404
    assert "secret" not in rows("?set_aside=cleanse/checked", PARTNER).text


def test_a_row_that_a_filter_cannot_judge_is_not_shown(rows):
    """Of the two that the step refused one has no year that is a number, and the role chooses rows by it."""
    found = rows("?set_aside=cleanse/raw_films", HISTORIAN).json()
    assert [r["row"] for r in found["rows"]] == [{"id": 6, "studio": "Universal", "year": 1991}]
    assert (found["rows_all"], found["rows_not_shown"]) == (2, 1)
    assert "cannot be applied" in found["why_not_shown"]
    assert "soon" not in json.dumps(found)


def test_a_dataset_that_is_not_seen_is_not_named(rows):
    found = rows(headers=CLERK)
    assert "raw_films" not in found.text
    assert rows("?set_aside=cleanse/raw_films", CLERK).status_code == 404


def test_who_may_read_nothing_is_told_why_and_recorded(product, rows):
    reply = rows("?set_aside=films", NOBODY)
    assert (reply.status_code, reply.json()["code"]) == (403, "PP400")
    assert product.ledger.reads("films")[0]["outcome"] == "denied"
    assert all(not g.get("rows_shown") for g in rows(headers=NOBODY).json()["groups"])


def test_the_platform_steers_and_sees_no_row(product):
    run = product.ledger.reports("films")[0].run
    client = Client(create_app([product], identify=asking(PLATFORM)))
    address = f"{BASE}/reports/{run}/rows"
    assert client.get(address).status_code == 200
    for query in ("?set_aside=films", "?rule=cost_is_known", "?set_aside=cleanse/checked"):
        assert client.get(address + query).status_code == 403
    for page in (BASE, address):
        text = client.get(page, headers=HTML).text
        assert not [word for word in ("Alien", "Universal", "-71234", "secret") if word in text]


def test_reads_are_metered_as_those_of_the_port(product, rows):
    rows("?set_aside=films", PARTNER)
    mine = [r for r in product.ledger.reads("films") if r["rows"] and r["dataset"] == "films"]
    assert {r["port"] for r in mine} == {"quality"}
    assert any(set(r["columns"]) == {"id", "title", "studio", "cost"} for r in mine)


@pytest.mark.parametrize(
    "query", ["?set_aside=films", "?rule=cost_is_known", "?rule=cost_is_known&limit=1"]
)
def test_a_page_is_one_read_and_one_request(product, rows, query):
    def known():
        product.ledger.flush()
        usage = product.ledger.usage
        reads = sum(r["reads"] for r in usage.reads("films") if r["port"] == "quality")
        return reads, sum(r["requests"] for r in usage.requests("films"))

    before = known()
    assert rows(query, PARTNER).json()["rows_shown"] == 1
    assert [now - then for then, now in zip(before, known(), strict=True)] == [1, 1]


def test_a_page_beyond_the_last_row_says_how_many_there_are(rows):
    found = rows("?rule=cost_is_known&offset=9").json()
    assert (found["rows"], found["rows_shown"]) == ([], 2)


def test_a_page_is_one_request_of_those_that_a_limit_allows(tmp_path):
    limited = FILES["polyport.yaml"] + "limits: {requests_per_minute: 2}\n"
    write(tmp_path / "films", ROWS, FILES | {"polyport.yaml": limited})
    pat = Principal("pat", frozenset({"partner"}), {"studio": "Fox"})
    with Product.load(tmp_path / "films") as product:
        product.build()
        client = Client(create_app([product], identify=asking(pat)))
        rows = f"{BASE}/reports/{product.ledger.reports('films')[0].run}/rows"
        asked = [client.get(f"{rows}?set_aside=films"), client.get(rows), client.get(rows)]
        assert [reply.status_code for reply in asked] == [200, 200, 429]


def test_an_agreement_is_needed_where_all_reads_need_one(tmp_path):
    files = FILES | {
        "polyport.yaml": FILES["polyport.yaml"].replace("optional", "required"),
    }
    write(tmp_path / "films", ROWS, files)
    pat = Principal("pat", frozenset({"partner"}), {"studio": "Fox"})
    with Product.load(tmp_path / "films") as product:
        product.build()
        client = Client(create_app([product], identify=asking(pat)))
        address = f"{BASE}/reports/{product.ledger.reports('films')[0].run}/rows?set_aside=films"
        assert "no data sharing agreement" in client.get(address).json()["detail"]
        made = agree(product, pat, "partner")
        assert [r["row"]["id"] for r in client.get(address).json()["rows"]] == [5]
        product.desk().decide(made.id, "revoked", by="owner", note="it ended")
        assert client.get(address).status_code == 403


def test_a_limit_on_rows_holds(tmp_path):
    policy = FILES["polyport.yaml"].replace("optional", "required")
    files = FILES | {"polyport.yaml": policy.rstrip() + "\n        limits: {rows_per_read: 1}\n"}
    write(tmp_path / "films", ROWS, files)
    cal = Principal("cal")
    with Product.load(tmp_path / "films") as product:
        product.build()
        agree(product, cal, "clerk")
        client = Client(create_app([product], identify=asking(cal)))
        address = f"{BASE}/reports/{product.ledger.reports('films')[0].run}/rows?set_aside=films"
        assert client.get(address).json()["code"] == "PP422"
        assert len(client.get(f"{address}&limit=1").json()["rows"]) == 1


def test_pages_follow_each_other_to_the_end(rows, client):
    address, found = "?rule=cost_is_known&limit=1", []
    reply = rows(address)
    for _ in range(3):
        found += [r["id"] for r in seen(reply)]
        links = reply.json()["_links"]
        if "next" not in links:
            break
        reply = client.get(links["next"]["href"])
    assert found == [3, 4]
    assert client.get(links["prev"]["href"]).json()["rows"][0]["row"]["id"] == 3
    assert seen(rows("?rule=cost_is_known&offset=99999")) == []


@pytest.mark.parametrize(
    "query",
    [
        "?limit=0", "?limit=1001", "?limit=x", "?limit=%D9%A3", "?limit=99999999999999999999", "?offset=-1",
        "?offset=100001", "?nosuch=1", "?rule=a&rule=b", "?rule=a&set_aside=films", "?rule=%FF",
    ],
)  # fmt: skip
def test_a_wrong_question_is_answered_as_one(rows, query):
    reply = rows(query)
    assert reply.status_code == 400, reply.text
    assert reply.json()["fix"]


@pytest.mark.parametrize(
    "query",
    ["?rule=nosuch", "?rule=films.columns", "?set_aside=nosuch", "?set_aside=../films", "?rule=cost_is_known&dataset=x"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(rows, query):
    assert rows(query).status_code == 404


def test_a_run_of_elsewhere_is_not_found(client):
    for run in ("nosuch", "..%2F..%2Ffilms", "%00"):
        assert client.get(f"{BASE}/reports/{run}/rows").status_code == 404


def test_rows_of_a_build_that_was_held_back_were_not_kept(product, rows, client):
    write(product.spec.home, [*ROWS, "1,Again,Fox,2,1999"])
    with pytest.raises(QualityError):
        product.build()
    run = product.ledger.reports("films")[0].run
    reply = client.get(f"{BASE}/reports/{run}/rows?rule=cost_is_known")
    assert reply.status_code == 404
    assert "not kept" in reply.json()["detail"]
    base = f"{BASE}/reports/{run}/rows"
    twice = client.get(f"{base}?rule=films.primary-key")
    assert [r["title"] for r in seen(twice)] == ["Again", "Alien"]
    assert {r["rule"] for r in client.get(f"{base}?set_aside=held/films").json()["rows"]} == {
        "films.primary-key"
    }
    assert {"held/films", "films.primary-key"} <= set(groups(client.get(base)))
    for query in ("?rule=films.primary-key", "?set_aside=held/films", ""):
        for viewer in (PARTNER, {"polyport-role": "analyst"}):
            shown = client.get(base + query, headers=viewer)
            assert shown.status_code == (404 if query else 200)
            assert "Again" not in shown.text
            assert "held/" not in shown.text.replace("'held/films'", "")
    assert len(seen(client.get(f"{BASE}/reports/{run}/rows?set_aside=films"))) == 2
    assert len(seen(rows("?rule=cost_is_known"))) == 2, "the report before still has its own"


def test_an_unchanged_build_shows_the_rows_of_the_snapshot_that_it_found(product, client):
    product.build()
    report = product.ledger.reports("films")[0]
    assert not report.snapshot
    assert len(seen(client.get(f"{BASE}/reports/{report.run}/rows?rule=cost_is_known"))) == 2


def test_a_rule_that_the_contract_dropped_since_is_said_to_be_gone(product, tmp_path):
    path = product.spec.home / "contracts/films.odcs.yaml"
    path.write_text(path.read_text("utf-8").replace("cost_is_known", "cost_is_there"), "utf-8")
    run = product.ledger.reports("films")[0].run
    with Product.load(product.spec.home) as changed:
        client = Client(create_app([changed]))
        reply = client.get(f"{BASE}/reports/{run}/rows?rule=cost_is_known")
    assert reply.status_code == 404
    assert "any more" in reply.json()["detail"]


def test_columns_that_are_called_as_quarantine_calls_its_own_keep_their_policy(tmp_path):
    contract = FILES["contracts/films.odcs.yaml"].replace("studio", "_rule")
    files = FILES | {
        "contracts/films.odcs.yaml": contract,
        "transform/films.sql": FILES["transform/films.sql"].replace("studio", 'studio AS "_rule"'),
        "cleanse/raw_films.sql": 'SELECT id, studio AS "_rule", year FROM sheet WHERE false',
        "polyport.yaml": """
            inputs:
              sheet: {type: files, path: inputs/*.csv}
            access:
              agreements: optional
              roles: {analyst: {datasets: {films: {mask: {_rule: 'null'}}}}}
            """,
    }
    write(tmp_path / "films", ROWS, files)
    with Product.load(tmp_path / "films") as product:
        product.build()
        client = Client(create_app([product]))
        address = f"{BASE}/reports/{product.ledger.reports('films')[0].run}/rows?set_aside=films"
        assert {r["row"]["_rule"] for r in client.get(address).json()["rows"]} == {
            "Fox",
            "Universal",
        }
        found = client.get(address, headers=ANALYST)
        assert {r["row"]["_rule"] for r in found.json()["rows"]} == {None}
        assert "Fox" not in found.text


COLUMNS = ["id", "title", "studio", "cost"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "films"
    write(folder, ROWS)
    with Product.load(folder) as product:
        product.build()
    return folder


@st.composite
def roles(draw):
    """A role on films: some rows, some columns, some masks."""
    shown = draw(st.lists(st.sampled_from(COLUMNS), min_size=1, unique=True))
    masked = draw(st.lists(st.sampled_from(shown), unique=True))
    mask = draw(st.sampled_from(["'null'", "hash"]))
    rows = draw(st.sampled_from(["", "studio = 'Fox'", "cost < 0", "id > 5", "cost is null"]))
    parts = [
        f"columns: [{', '.join(shown)}]",
        f"mask: {{{', '.join(f'{m}: {mask}' for m in masked)}}}",
    ]
    return ", ".join([*parts, *([f'rows: "{rows}"'] if rows else [])])


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(roles(), min_size=1, max_size=2))
def test_failing_rows_are_those_of_the_view_whatever_the_policy(built, drawn):
    """One product, built once; only its policy changes. Rows that a rule counts: exactly those of a plain read that break it. Set aside: as the policy masks them."""
    folder = built
    told = ", ".join(f"r{at}: {{datasets: {{films: {{{role}}}}}}}" for at, role in enumerate(drawn))
    policy = f"inputs: {{sheet: {{type: files, path: inputs/*.csv}}}}\naccess: {{agreements: optional, roles: {{{told}}}}}\n"
    folder.joinpath("polyport.yaml").write_text(policy, "utf-8")
    who = Principal("who", frozenset(f"r{at}" for at in range(len(drawn))))
    with Product.load(folder) as product:
        client = Client(create_app([product], identify=asking(who)))
        base = f"{BASE}/reports/{product.ledger.reports('films')[0].run}/rows"
        with product.open(who) as view:
            plain = view.scan("films").read_all().to_pylist()
            columns, masked = view.schema("films").names, view.masked("films")
        reply = client.get(f"{base}?rule=cost_is_known")
        if "cost" in columns and "cost" not in masked:
            expected = [row for row in plain if row["cost"] is None]
            assert sorted(map(str, expected)) == sorted(
                str({n: row["row"][n] for n in columns}) for row in reply.json()["rows"]
            )
        else:
            assert reply.status_code == 404
        aside = client.get(f"{base}?set_aside=films")
        assert aside.status_code == 200, aside.text
        for row in aside.json()["rows"]:
            assert set(row["row"]) == set(columns)
        if "cost" not in columns or "cost" in masked:
            assert "found: " not in aside.text
