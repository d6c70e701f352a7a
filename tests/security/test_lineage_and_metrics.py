"""Information ports tell consumers nothing of what is hidden from them."""

from __future__ import annotations

import pytest

from .conftest import SECRETS

CONSUMERS = ["partner; studio=Fox", "blind", "nobody"]
ADDRESSES = [
    "lineage",
    "lineage/events",
    "lineage?direction=up",
    "lineage?dataset=CANARY_crew",
    "quality",
    "quality/reports",
    *(f"metrics?by={by}" for by in ("day", "port", "consumer", "dataset", "column")),
]


@pytest.mark.parametrize("role", CONSUMERS)
@pytest.mark.parametrize("address", ADDRESSES)
def test_no_hidden_name_or_value_is_told(client, role, address):
    reply = client.get(f"/products/films/{address}", headers={"polyport-role": role})
    assert reply.status_code in (200, 403, 404)
    assert not [secret for secret in SECRETS if secret in reply.text]
    assert "person" not in reply.text


def test_the_owner_is_told_all(client):
    text = client.get("/products/films/lineage").text
    assert "CANARY_crew" in text
    assert (
        "CANARY_cost" in client.get("/products/films/lineage?dataset=films&column=CANARY_cost").text
    )


def test_the_exposition_names_no_person_and_no_dataset(client):
    client.get("/products/films/rest/v1/films", headers={"polyport-role": "secretperson"})
    headers = {"accept": "application/openmetrics-text", "polyport-role": "nobody"}
    text = client.get("/products/films/metrics", headers=headers).text
    assert "polyport_requests_total" in text
    assert "secretperson" not in text
    assert not [secret for secret in SECRETS if secret in text]
    assert client.get("/metrics", headers=headers).status_code == 403
    assert client.get("/metrics").status_code == 200
