"""The configuration ports over HTTP: by whom, on which version, and what is refused."""

from __future__ import annotations

import pytest
from openapi_spec_validator import validate
from starlette.routing import Route

from polyport.access import keys
from polyport.model import OWNER, PLATFORM_ROLE, Principal
from polyport.ports.management import Described
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.management_port import asking
from polyport.testing.output_port import ACCOUNTANT, PARTNER, make_product

BASE = "/products/films/control"
PLATFORM = Principal("steering", frozenset({PLATFORM_ROLE}))
ANY = {"If-Match": "*"}


@pytest.fixture
def product(tmp_path):
    with make_product(tmp_path / "films", "rest") as made:
        yield made


def client(product, who=PLATFORM):
    return Client(create_app([product], identify=asking(who)))


def put(product, body, part="access", who=PLATFORM, headers=ANY):
    return client(product, who).send("PUT", f"{BASE}/{part}", json=body, headers=headers)


def test_read_change_and_read_again(product):
    first = client(product).get(f"{BASE}/access")
    assert (first.json()["version"], first.json()["origin"]) == (1, "file")
    assert first.json()["access"]["agreements"] == "optional"
    based = {"If-Match": first.headers["etag"]}
    body = {
        "access": {"agreements": "optional", "roles": {"accountant": {"columns": ["id"]}}},
        "note": "why",
    }
    made = put(product, body, headers=based)
    assert (made.status_code, made.json()["version"], made.json()["by"]) == (200, 2, "steering")
    effects = {(c["where"], c["effect"]) for c in made.json()["difference"]}
    assert {("partner", "less"), ("accountant/films", "less")} <= effects
    rows = client(product, ACCOUNTANT).get("/products/films/rest/v1/films").json()
    assert list(rows["_embedded"]["films"][0]) == ["id", "_links"]
    assert put(product, body, headers=based).status_code == 412
    again = client(product).get(f"{BASE}/access", headers={"If-None-Match": made.headers["etag"]})
    assert again.status_code == 304
    found = client(product).get(f"{BASE}/access/versions").json()["versions"]
    assert [(v["version"], v["note"]) for v in found] == [(2, "why"), (1, "")]
    changed = client(product).get(f"{BASE}/access/difference").json()
    assert (changed["from"], changed["to"]) == (1, 2)
    back = client(product).send("POST", f"{BASE}/access/versions/1/revert", json={}, headers=ANY)
    assert (back.json()["version"], back.json()["origin"]) == (3, "revert")
    assert back.json()["access"] == first.json()["access"]
    whole = client(product).get(f"{BASE}/access/versions/2").json()
    assert whole["access"] == body["access"]


def test_settings_likewise(product):
    body = {"settings": {"retention": {"days": 30}, "limits": {"rows_per_read": 10}}}
    made = put(product, body, "settings").json()
    assert made["settings"] == body["settings"]
    assert {c["where"] for c in made["difference"]} == {
        "retention.days",
        "limits.rows_per_read",
    }


@pytest.mark.parametrize("who", [ACCOUNTANT, PARTNER, Principal("o", frozenset({"owner:other"}))])
def test_others_neither_read_nor_change(product, who):
    for address in ("access", "settings", "access/explain", "access/versions/1", "openapi.json"):
        assert client(product, who).get(f"{BASE}/{address}").status_code == 403
    assert put(product, {"access": {}}, who=who).status_code == 403
    answer = client(product, who).send(
        "POST", f"{BASE}/access/versions/1/revert", json={}, headers=ANY
    )
    assert answer.status_code == 403
    assert product.policy.roles


def test_the_owner_of_this_product_may(product):
    assert (
        put(product, {"access": {}}, who=Principal("o", frozenset({"owner:films"}))).status_code
        == 200
    )


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"access": {}}, {}, 428),
        ({"access": {}}, {"If-Match": '"7-x"'}, 412),
        ({"access": {}}, {"If-Match": "W/*"}, 412),
        ({"access": []}, ANY, 400),
        ({}, ANY, 400),
        ({"access": {}, "by": "owner"}, ANY, 400),
        ({"access": {}, "note": "x" * 501}, ANY, 400),
        ({"access": {}, "note": 7}, ANY, 400),
        ([], ANY, 400),
        ({"access": {"roles": {"x": {"rows": "nope = 1"}}}}, ANY, 422),
        ({"access": {"roles": {"x": None, "y": []}}}, ANY, 422),
    ],
)
def test_what_is_not_a_change_changes_nothing(product, body, headers, status):
    answer = put(product, body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert client(product).get(f"{BASE}/access").json()["version"] == 1


def test_mistakes_have_their_json_path(product):
    answer = put(product, {"access": {"roles": {"x": {"mask": {"titel": "hash"}}}}}).json()
    (found,) = answer["errors"]
    assert (found["code"], found["where"]) == ("PP241", "$.access.roles.x.mask.titel")
    assert found["fix"] == "did you mean `title`?"


@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        (b'{"access": {}}', "text/plain", 415),
        (b"access=1", "application/x-www-form-urlencoded", 415),
        (b"{", "application/json", 400),
        (b'{"access": {}, "access": {}}', "application/json", 400),
        (b"[" * 30_000, "application/json", 400),
        (b'{"access": "' + b"x" * 70_000 + b'"}', "application/json", 413),
    ],
)
def test_bodies_that_are_not_json(product, content, media, status):
    headers = {**ANY, "Content-Type": media}
    answer = client(product).send("PUT", f"{BASE}/access", content=content, headers=headers)
    assert answer.status_code == status


def test_a_page_of_another_site_changes_nothing(product):
    headers = {**ANY, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    assert put(product, {"access": {}}, who=OWNER, headers=headers).status_code == 403


@pytest.mark.parametrize("version", ["0", "-1", "1.0", "x", "99", "9" * 30])
def test_versions_that_are_not_there(product, version):
    assert client(product).get(f"{BASE}/access/versions/{version}").status_code == 404


def test_explain(product):
    asked = f"{BASE}/access/explain"
    found = (
        client(product)
        .get(asked, params={"principal": "pat", "role": "partner", "attribute": "studio=Fox"})
        .json()
    )
    (films,) = found["datasets"]
    assert films["rows"] == "studio = 'Fox'"
    verdicts = {c["column"]: c["verdict"] for c in films["columns"]}
    assert verdicts == {
        "id": "shown",
        "title": "shown",
        "released": "hidden",
        "studio": "hidden",
        "cost": "masked",
    }
    mine = client(product).get(asked).json()
    assert "sees no data" in mine["datasets"][0]["reason"]
    for query in (
        "attribute=x&principal=p",
        "nope=1",
        "port=a&port=b",
        "principal=p&attribute=id=3",
    ):
        assert client(product).get(f"{asked}?{query}").status_code == 400
    assert client(product).get(f"{asked}?dataset=nope").status_code == 404


def test_explain_looks_up_what_keys_give(product):
    asked = f"{BASE}/access/explain"
    pat = Principal("kim", frozenset({"partner"}), {"studio": "Fox"}, frozenset({"sales"}))
    key, _ = keys.create(product.control, pat, by="owner")
    for name in ("kim", key.id):
        found = client(product).get(asked, params={"principal": name}).json()
        assert found["who"]["roles"] == ["partner"]
        assert found["who"]["attributes"] == {"studio": "Fox"}
        assert found["datasets"][0]["rows"] == "studio = 'Fox'"
        assert "digest" not in str(found)
        assert "SCRAM" not in str(found)
    said = client(product).get(asked, params={"principal": "kim", "role": "accountant"}).json()
    assert (said["who"]["roles"], said["who"]["attributes"]) == (["accountant"], {})
    mine = Principal("o", frozenset({"owner:films"}))
    found = client(product, mine).get(asked, params={"principal": "kim"}).json()
    assert found["who"] == {"roles": [], "teams": [], "attributes": {}, "known": "what was given"}
    assert (
        client(product, mine).get(asked, params={"principal": key.id}).json()["principal"] == key.id
    )
    assert client(product).get(f"{asked}?role=partner").status_code == 400
    keys.revoke(product.control, key.id, by="owner")
    found = client(product).get(asked, params={"principal": key.id}).json()
    assert (found["admitted"], "login has ended" in found["reason"]) == (False, True)


def test_the_document_of_all_operations_is_openapi_and_whole(product):
    document = client(product).get(f"{BASE}/openapi.json").json()
    validate(document)
    told = {(m.upper(), p) for p, ms in document["paths"].items() for m in ms}
    for port in product.management(asking(OWNER), product.ports()):
        assert isinstance(port, Described), port.name
        assert {(o.method, o.path) for o in port.operations()} <= told
        routes = {r.path: r for r in port.routes() if isinstance(r, Route)}
        assert set(routes) == {o.path for o in port.operations()}
    assert "Role" in document["components"]["schemas"]
