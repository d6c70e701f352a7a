"""The keys port: the owner and the platform manage keys; nobody becomes more than they are."""

from __future__ import annotations

import pytest

from polyport.access import keys
from polyport.access.identity import Identity
from polyport.model import Principal
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.output_port import make_product

KEYS = "/products/films/control/keys"
FILMS = "/products/films/rest/v1/films"


@pytest.fixture
def product(tmp_path):
    with make_product(tmp_path / "films", "rest") as made:
        yield made


@pytest.fixture
def client(product):
    return Client(create_app([product], identify=Identity(product.control)))


@pytest.fixture
def as_(product):
    def headers(*roles, name="someone"):
        _, text = keys.create(product.control, Principal(name, frozenset(roles)), by="owner")
        return {"Authorization": f"Bearer {text}"}

    return headers


def made(client, headers, **body):
    return client.send("POST", KEYS, headers=headers, json={"principal": "ann"} | body)


@pytest.mark.parametrize("role", ["owner", "platform"])
def test_the_life_of_a_key(client, as_, role):
    who = as_(role)
    reply = made(client, who, roles=["accountant"], teams=["finance"], note="n", expires="90d")
    assert (reply.status_code, reply.headers["cache-control"]) == (201, "no-store")
    created = reply.json()
    name, first = created["id"], created.pop("key")
    assert reply.headers["location"] == f"{KEYS}/{name}"
    mine = {"Authorization": f"Bearer {first}"}
    assert client.get(FILMS, headers=mine).status_code == 200

    listed = client.get(KEYS, headers=who)
    assert created in listed.json()["keys"]
    assert first[-43:] not in listed.text
    assert "digest" not in listed.text
    assert "scram" not in listed.text.lower()
    assert client.get(f"{KEYS}/{name}", headers=who).json() == created

    reply = client.send("POST", f"{KEYS}/{name}/rotate", headers=who, json={"grace": "1h"})
    second = {"Authorization": f"Bearer {reply.json()['key']}"}
    assert client.get(FILMS, headers=mine).status_code == 200
    assert client.get(FILMS, headers=second).status_code == 200

    assert client.send("DELETE", f"{KEYS}/{name}", headers=who).json()["state"] == "revoked"
    for gone in (mine, second):
        reply = client.get(FILMS, headers=gone)
        assert (reply.status_code, reply.json()["code"]) == (401, "PP401")
        assert reply.headers["www-authenticate"].startswith("Bearer")


def test_the_platform_sees_no_data(client, as_):
    assert client.get(FILMS, headers=as_("platform")).status_code == 403


@pytest.mark.parametrize("roles", [(), ("accountant",), ("owner:films",), ("owner:other",)])
def test_others_may_not(client, as_, product, roles):
    who, before = as_(*roles), len(keys.keys(product.control))
    name = next(iter(keys.keys(product.control)))
    for method, url in (
        ("GET", KEYS), ("POST", KEYS), ("GET", f"{KEYS}/{name}"), ("DELETE", f"{KEYS}/{name}"),
        ("POST", f"{KEYS}/{name}/rotate"),
    ):  # fmt: skip
        body = {"principal": "x"} if url == KEYS and method == "POST" else {}
        reply = client.send(method, url, headers=who, json=body if method == "POST" else None)
        assert (reply.status_code, reply.json()["code"]) == (403, "PP400"), (method, url)
    assert len(keys.keys(product.control)) == before
    assert keys.usable(product.control) == before


def test_nobody_asks_without_credentials(client):
    assert client.get(KEYS).status_code == 401
    assert made(client, {}).status_code == 401


def test_the_platform_cannot_make_itself_an_owner(client, as_, product):
    boss = as_("owner", name="boss")
    (name,) = keys.keys(product.control)
    who = as_("platform")
    for role in ("owner", "owner:films", "owner:"):
        assert made(client, who, roles=[role]).status_code == 403
    assert made(client, who, principal="owner").status_code == 422
    assert client.send("DELETE", f"{KEYS}/{name}", headers=who).status_code == 403
    assert client.send("POST", f"{KEYS}/{name}/rotate", headers=who, json={}).status_code == 403
    assert client.get(KEYS, headers=boss).status_code == 200
    assert made(client, boss, roles=["owner:films"]).status_code == 201


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422), (b"[]", 400), (b"{", 400), (b'{"principal": "a", "principal": "b"}', 400),
        (b'{"principal": NaN}', 400), (b'{"principal": 1}', 400), (b'{"principal": "a", "rolls": []}', 400),
        (b'{"principal": "a", "roles": "owner"}', 400), (b'{"principal": "a", "roles": [1]}', 400),
        (b'{"principal": "a", "attributes": {"x": 1}}', 400), (b'{"principal": "a", "expires": "soon"}', 422),
        (b'{"principal": "\\ud800"}', 400), (b"\xff", 400), (b"[" * 60_000, 400), (b" " * 70_000, 413),
        (b'{"principal": "a", "expires": "2020-01-01"}', 422),
    ],
)  # fmt: skip
def test_bad_bodies(client, as_, product, content, status):
    who = as_("owner") | {"Content-Type": "application/json"}
    before = dict(keys.keys(product.control))
    reply = client.send("POST", KEYS, headers=who, content=content)
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert keys.keys(product.control) == before


@pytest.mark.parametrize(
    "media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_what_a_form_could_send_is_refused(client, as_, product, media):
    who = as_("owner") | {"Content-Type": media}
    reply = client.send("POST", KEYS, headers=who, content=b'{"principal": "a"}')
    assert reply.status_code == 415
    assert len(keys.keys(product.control)) == 1


def test_unknown_keys_and_methods(client, as_):
    who = as_("owner")
    assert client.send("DELETE", f"{KEYS}/{'0' * 12}", headers=who).status_code == 404
    reply = client.send("PUT", KEYS, headers=who, json={})
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD, POST")
