"""Feedback: who may say, read and answer what."""

from __future__ import annotations

import pytest

from polyport.ledger import feedback
from polyport.model import OWNER, Principal
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.management_port import asking
from polyport.testing.output_port import make_product

ADDRESS = "/products/films/feedback"
ANN, BOB = Principal("ann"), Principal("bob")


@pytest.fixture
def product(tmp_path):
    with make_product(tmp_path / "films", "rest") as made:
        yield made


def client(product, who):
    return Client(create_app([product], identify=asking(who)))


def say(product, who, **said):
    return client(product, who).send("POST", ADDRESS, json=said)


def read(product, who):
    return client(product, who).get(ADDRESS).json()


def test_what_is_said_is_read_by_who_said_it_the_owner_and_if_public_by_all(product):
    made = say(product, ANN, rating=2, comment="1 < 2, and <3")
    assert (made.status_code, made.json()["by"]) == (201, "ann")
    say(product, BOB, rating=5, request="a currency column", public=True)
    assert [f["by"] for f in read(product, ANN)["feedback"]] == ["bob", "ann"]
    assert [f["by"] for f in read(product, BOB)["feedback"]] == ["bob"]
    assert [f["by"] for f in read(product, OWNER)["feedback"]] == ["bob", "ann"]
    assert read(product, BOB)["summary"] == {"count": 2, "ratings": 2, "mean": 3.5}


def test_of_one_principal_the_newest_rating_counts(product):
    say(product, ANN, rating=1)
    say(product, ANN, rating=5)
    say(product, ANN, comment="thanks")
    assert read(product, ANN)["summary"] == {"count": 3, "ratings": 1, "mean": 5.0}


def test_the_owner_answers_and_nobody_else(product):
    name = say(product, ANN, request="more").json()["id"]
    for who in (ANN, BOB, Principal("p", frozenset({"platform"}))):
        refused = client(product, who).send("POST", f"{ADDRESS}/{name}/answer", json={"text": "x"})
        assert refused.status_code == 403
    for text in ("soon", "done"):
        made = client(product, OWNER).send("POST", f"{ADDRESS}/{name}/answer", json={"text": text})
        assert made.json()["answer"] == text
    (found,) = read(product, ANN)["feedback"]
    assert (found["answer"], found["answered_by"], found["by"]) == ("done", "owner", "ann")
    missing = client(product, OWNER).send("POST", f"{ADDRESS}/f-none/answer", json={"text": "x"})
    assert missing.status_code == 404
    assert len(product.ledger.journal.entries("feedback", product="films")) == 3


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"rating": 0},
        {"rating": 6},
        {"rating": 4.5},
        {"rating": True},
        {"rating": "5"},
        {"comment": "  "},
        {"comment": "x" * 2_001},
        {"comment": "<script>alert(1)</script>"},
        {"request": "</p>"},
        {"comment": "a\x1b[2J"},
        {"comment": "\u202eabc"},
        {"comment": 3},
        {"public": "yes", "rating": 1},
        {"rating": 1, "by": "bob"},
    ],
)
def test_what_is_no_feedback_is_not_kept(product, said):
    assert say(product, ANN, **said).status_code == 400
    assert read(product, OWNER)["summary"]["count"] == 0


def test_one_principal_cannot_fill_the_journal(product):
    for _ in range(feedback.DAILY):
        feedback.say(product.ledger.journal, "films", ANN, {"rating": 3})
    refused = say(product, ANN, rating=3)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 86_401
    assert say(product, BOB, rating=3).status_code == 201


def test_pages(product):
    for n in range(120):
        feedback.say(product.ledger.journal, "films", Principal(f"p{n}"), {"rating": 3})
    first = read(product, OWNER)
    assert (len(first["feedback"]), first["more"]) == (100, True)
    last = first["feedback"][-1]["id"]
    rest = client(product, OWNER).get(ADDRESS, params={"before": last}).json()
    assert (len(rest["feedback"]), rest["more"]) == (20, False)
    assert client(product, OWNER).get(f"{ADDRESS}?x=1").status_code == 400
