"""Agreements over HTTP: who may see, ask, decide and end; links, ETags, problems."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyport.model import OWNER, PLATFORM_ROLE, Principal
from polyport.product import Product
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.management_port import asking
from polyport.testing.output_port import make_product

BASE = "/products/films/control/agreements"
ANN = Principal("ann", teams=frozenset({"finance"}))
BOB = Principal("bob", teams=frozenset({"finance"}))
EVE = Principal("eve")
PREVIEW = Principal("owner as analyst", frozenset({"analyst"}), needs_agreement=False)
PLATFORM = Principal("steering", frozenset({PLATFORM_ROLE}))
MINE = Principal("mia", frozenset({"owner:films"}))
OTHERS = Principal("oto", frozenset({"owner:other"}))
SCRIPTS = Principal("product:scripts", frozenset({"consumer"}))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("port") / "films"
    make_product(home, "rest").close()
    return home


@pytest.fixture
def product(home, tmp_path):
    with Product.load(home, ledger=f"sqlite:///{tmp_path}/ledger.sqlite") as made:
        yield made


@pytest.fixture
def ask(product):
    def asked(who, method="GET", path="", body=None, **headers):
        client = Client(create_app([product], identify=asking(who)))
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.send(method, BASE + path, json=body, headers=sent)

    return asked


def wanted(**changed):
    return {
        "description": {"purpose": "planning"},
        "provider": {"outputPortId": "rest"},
        "roles": [{"role": "accountant"}],
        **changed,
    }


def made(ask, who=ANN, **changed):
    reply = ask(who, "POST", body=wanted(**changed))
    assert reply.status_code == 201, reply.text
    return reply


def test_a_consumer_asks_and_the_owner_approves(ask):
    reply = made(ask)
    body = reply.json()
    own = reply.headers["location"].removeprefix(BASE)
    assert own == f"/{body['id']}"
    assert body["consumer"] == {"userId": "ann"}
    assert body["provider"] == {"teamId": "Testing", "dataProductId": "films", "outputPortId": "rest"}  # fmt: skip
    assert set(body["_links"]) == {"self", "collection", "revoke"}
    seen = ask(OWNER, path=own)
    assert set(seen.json()["_links"]) == {"self", "collection", "approve", "refuse", "revoke"}
    done = ask(OWNER, "POST", f"{own}/approve", {"note": "welcome"}, if_match=seen.headers["etag"])
    assert done.status_code == 200, done.text
    assert set(done.json()["_links"]) == {"self", "collection", "revoke"}
    history = {p["property"]: p["value"] for p in done.json()["customProperties"]}
    steps = [(s["by"], s["decision"]) for s in history["polyport.history"]]
    assert steps == [("ann", "requested"), ("owner", "approved")]


def test_representations_are_what_was_asked_for(ask):
    own = made(ask).headers["location"].removeprefix(BASE)
    plain, text = ask(ANN, path=own, accept="application/json"), ask(ANN, path=own, accept="application/yaml")  # fmt: skip
    assert "_links" not in plain.json()
    assert yaml.safe_load(text.text) == plain.json()
    assert text.headers["content-type"] == "application/yaml"
    assert ask(ANN, path=own, accept="text/html").status_code == 406
    tags = {ask(ANN, path=own, accept=a).headers["etag"] for a in ("*/*", "application/json", "application/yaml")}  # fmt: skip
    assert len(tags) == 3
    assert ask(ANN, path=own, if_none_match=", ".join(tags)).status_code == 304


@pytest.mark.parametrize(
    ("who", "count"),
    [(OWNER, 4), (PLATFORM, 4), (MINE, 4), (ANN, 2), (BOB, 1), (EVE, 0), (OTHERS, 0), (PREVIEW, 0), (SCRIPTS, 1)],
    ids=lambda x: getattr(x, "id", x),
)  # fmt: skip
def test_who_sees_which(ask, who, count):
    made(ask)
    made(ask, consumer={"teamId": "finance"})
    made(ask, OWNER, consumer={"userId": "carl"})
    made(ask, SCRIPTS)
    body = ask(who).json()
    assert len(body["_embedded"]["agreements"]) == count
    seen = {a["id"] for a in body["_embedded"]["agreements"]}
    for each in ask(OWNER).json()["_embedded"]["agreements"]:
        reply = ask(who, path=f"/{each['id']}")
        assert (reply.status_code == 200) == (each["id"] in seen)
        if reply.status_code != 200:
            missing = ask(who, path="/none")
            assert reply.text.replace(each["id"], "none") == missing.text


@pytest.mark.parametrize(
    ("who", "consumer", "status"),
    [
        (ANN, {"userId": "ann"}, 201), (ANN, {"teamId": "finance"}, 201),
        (ANN, {"teamId": "finance", "userId": "ann"}, 201),
        (ANN, {"teamId": "finance", "dataProductId": "ledger"}, 201),
        (ANN, {"userId": "bob"}, 403), (ANN, {"teamId": "sales"}, 403),
        (ANN, {"teamId": "finance", "userId": "bob"}, 403),
        (ANN, {"teamId": ["finance"]}, 403), (ANN, {}, 403), (ANN, "ann", 422),
        (PREVIEW, {"userId": "owner as analyst"}, 403), (OTHERS, {"userId": "ann"}, 403),
        (PLATFORM, {"userId": "bob"}, 201), (MINE, {"teamId": "sales"}, 201), (OWNER, {}, 422),
    ],
)  # fmt: skip
def test_for_whom_one_may_ask(ask, who, consumer, status):
    reply = ask(who, "POST", body=wanted(consumer=consumer))
    assert reply.status_code == status, reply.text


@pytest.mark.parametrize("step", ["approve", "refuse", "revoke"])
@pytest.mark.parametrize("who", [EVE, BOB, OTHERS, PREVIEW], ids=lambda p: p.id)
def test_nobody_else_decides(ask, who, step):
    own = made(ask).headers["location"].removeprefix(BASE)
    assert ask(who, "POST", f"{own}/{step}", {"note": "x"}).status_code == 404
    assert ask(OWNER, path=own).json()["status"] == "requested"


def test_consumers_withdraw_and_end_their_own_and_no_more(ask):
    own = made(ask, consumer={"teamId": "finance"}).headers["location"].removeprefix(BASE)
    for step in ("approve", "refuse"):
        reply = ask(ANN, "POST", f"{own}/{step}", {"note": "x"})
        assert (reply.status_code, reply.json()["code"]) == (403, "PP400")
    assert ask(PLATFORM, "POST", f"{own}/approve", {}).status_code == 200
    assert ask(BOB, "POST", f"{own}/revoke", {}).json()["code"] == "PP420"
    assert ask(BOB, "POST", f"{own}/revoke", {"note": "done"}).status_code == 200
    again = ask(OWNER, "POST", f"{own}/approve", {})
    assert (again.status_code, again.json()["code"]) == (409, "PP430")
    assert set(again.json()) >= {"type", "title", "status", "code"}


def test_a_decision_on_what_has_changed_is_refused(ask):
    own = made(ask).headers["location"].removeprefix(BASE)
    tag = ask(OWNER, path=own).headers["etag"]
    assert ask(MINE, "POST", f"{own}/approve", {}).status_code == 200
    late = ask(OWNER, "POST", f"{own}/refuse", {"note": "x"}, if_match=tag)
    assert (late.status_code, late.headers["content-type"]) == (412, "application/problem+json")
    assert ask(OWNER, path=own).json()["status"] == "approved"
    now = ask(OWNER, path=own).headers["etag"]
    assert ask(OWNER, "POST", f"{own}/revoke", {"note": "x"}, if_match=f'"z", {now}').is_success


def test_terms_change_by_the_owner_or_while_only_asked(ask):
    own = made(ask).headers["location"].removeprefix(BASE)
    less = wanted(consumer={"userId": "ann"}, description={"purpose": "audit"})
    reply = ask(ANN, "PUT", own, less)
    assert (reply.status_code, reply.json()["version"]) == (200, "1.1.0")
    assert ask(ANN, "PUT", own, {**less, "consumer": {"userId": "bob"}}).status_code == 403
    assert ask(ANN, "PUT", own, {**less, "status": "approved"}).json()["status"] == "requested"
    ask(OWNER, "POST", f"{own}/approve", {})
    assert ask(ANN, "PUT", own, less).status_code == 403
    more = ask(OWNER, "PUT", own, {**less, "endTimestamp": "2030-01-01T00:00:00Z"})
    assert (more.status_code, more.json()["status"]) == (200, "approved")


def test_warnings_come_with_the_answer(ask, product):
    from polyport.descriptor.types import Role, RoleSettings

    product.policy.roles["planner"] = Role("planner", RoleSettings(purposes=frozenset({"p"})))
    reply = made(ask, roles=[{"role": "planner"}])
    assert "shows nothing for the purpose `planning`" in reply.json()["_warnings"][0]


def test_bodies_that_are_no_requests(ask, product):
    client = Client(create_app([product], identify=asking(ANN)))
    assert client.send("POST", BASE).status_code == 415
    assert ask(ANN, "POST", body=["x"]).status_code == 400
    own = made(ask).headers["location"].removeprefix(BASE)
    for body in ({"note": 7}, {"note": "x", "more": 1}, {"nota": "x"}):
        assert ask(OWNER, "POST", f"{own}/refuse", body).status_code == 400
    deep = wanted()
    for _ in range(300):
        deep = {"x": deep}
    assert ask(ANN, "POST", body=deep).status_code in (400, 422)
    assert ask(ANN, "POST", body=wanted(name="x" * 70_000)).status_code == 413


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=6), x, max_size=3),
)
NAMES = ("id", "status", "description", "provider", "consumer", "roles", "customProperties", "version", "endTimestamp", "kind")  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(st.sampled_from(NAMES), values, max_size=4))
def test_no_body_breaks_it(ask, changed):
    reply = ask(OWNER, "POST", body={**wanted(consumer={"userId": "ann"}), **changed})
    assert reply.status_code in (201, 400, 409, 422), reply.text
    json.loads(reply.text)
