"""What a product tells of itself tells nobody what its rows hide."""

from __future__ import annotations

import pytest

from polyport.server import create_app
from polyport.testing.asgi import Client

SECRETS = ("CANARY", "98001", "60.25")
"""As in conftest.py: what only the owner may see."""
ROLES = ("partner; studio=Fox", "partner; studio=CANARY", "blind", "stranger", "")
BELOW = (
    "", "/metadata", "/metadata?include=statistics,contracts,odps", "/metadata/statistics", "/metadata/odps",
    "/metadata/contracts", "/metadata/contracts/films", "/metadata/contracts/nothing", "/metadata/dcat.jsonld",
    "/metadata/dcat.ttl", "/metadata/schema-org.jsonld", "/metadata/croissant.json", "/definition", "/definition/omms",
)  # fmt: skip
ADDRESSES = (
    *(f"/products/films{path}" for path in BELOW),
    "/", "/catalog", "/catalog.jsonld", "/catalog.ttl", "/glossary", "/glossary/canary",
)  # fmt: skip


@pytest.fixture(scope="module")
def rendered(films):
    """A server whose owner has downloaded everything, so that sizes and digests are known."""
    client = Client(create_app([films]))
    listed = client.get("/products/films/files/v1/").json()["_embedded"]["datasets"]
    for dataset in listed:
        for link in dataset["_links"].values():
            assert client.get(link["href"]).status_code == 200
    return client


@pytest.mark.parametrize("accept", ["*/*", "application/ld+json", "text/turtle"])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("address", ADDRESSES)
def test_no_hidden_value_is_told(rendered, address, role, accept):
    reply = rendered.get(address, headers={"polyport-role": role, "accept": accept})
    assert reply.status_code in (200, 403, 404, 406), reply.text
    told = reply.text + str(reply.headers)
    if "CANARY" in role:
        told = told.replace(role, "")
    assert not [secret for secret in SECRETS if secret in told]


def test_the_owner_is_told(rendered):
    """Else the test above would find nothing in anything."""
    for path in (
        "/metadata",
        "/metadata/statistics",
        "/metadata/dcat.ttl",
        "/metadata/croissant.json",
    ):
        assert "CANARY" in rendered.get(f"/products/films{path}").text
    statistics = rendered.get("/products/films/metadata/statistics").json()
    assert statistics["films"]["columns"]["CANARY_cost"]["max"] == "60.25"


def test_a_digest_is_told_to_its_own_policy_class_only(rendered):
    def digests(role):
        headers = {"polyport-role": role} if role else {}
        body = rendered.get("/products/films/metadata/croissant.json", headers=headers).json()
        return {f["name"]: f.get("sha256") for f in body["distribution"]}

    assert digests("")["films.csv"]
    assert digests("partner; studio=Fox")["films.csv"] is None


def test_statistics_are_of_the_rows_that_are_seen(rendered):
    headers = {"polyport-role": "partner; studio=Fox"}
    found = rendered.get("/products/films/metadata/statistics", headers=headers).json()
    assert list(found) == ["films"]
    assert found["films"]["rows"] == 2
    assert found["films"]["columns"]["id"]["max"] == 12
    assert "min" not in found["films"]["columns"]["director"]
    assert found["films"]["columns"]["director"]["masked"]


def test_examples_and_context_of_the_descriptor_are_the_owners(rendered):
    whole = rendered.get("/products/films/metadata/odps").json()
    told = rendered.get("/products/films/metadata/odps", headers={"polyport-role": "blind"}).json()
    assert whole["context"]["verifiedStatements"][0]["answer"].startswith("CANARY")
    assert "context" not in told
