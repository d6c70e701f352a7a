"""Limits hold for everybody but the owner, on each port, before a byte leaves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from polyport.access.limits import Requests, one_request
from polyport.errors import LimitError, SizeError
from polyport.model import OWNER
from polyport.product import Product
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.management_port import asking
from polyport.testing.output_port import ACCOUNTANT, PARTNER, make_product


def test_so_many_in_a_minute_and_no_more():
    now = [0.0]
    requests = Requests(clock=lambda: now[0])
    for _ in range(3):
        requests.count("ann", 3)
        now[0] += 10
    with pytest.raises(LimitError) as caught:
        requests.count("ann", 3)
    assert caught.value.retry_after == 30
    requests.count("bob", 3)
    now[0] = 59.9
    with pytest.raises(LimitError):
        requests.count("ann", 3)
    now[0] = 60.0
    requests.count("ann", 3)
    with pytest.raises(LimitError):
        requests.count("ann", 3)


def test_a_limit_that_was_lowered_counts_at_once():
    requests = Requests(clock=lambda: 5.0)
    for _ in range(4):
        requests.count("ann", 10)
    with pytest.raises(LimitError):
        requests.count("ann", 2)


def test_what_one_request_opens_counts_once_of_each_principal_and_in_each_thread():
    requests = Requests(clock=lambda: 5.0)
    with one_request(), ThreadPoolExecutor(1) as other:
        for _ in range(3):
            requests.count("ann", 2)
        requests.count("bob", 1)
        other.submit(copy_context().run, requests.count, "ann", 2).result()
    with one_request():
        requests.count("ann", 2)
    with one_request(), pytest.raises(LimitError):
        requests.count("ann", 2)
    with pytest.raises(LimitError):
        requests.count("bob", 1)


def limited(tmp_path, port, limits):
    with make_product(tmp_path / "films", port) as made:
        path = made.spec.home / "polyport.yaml"
    path.write_text(path.read_text() + f"limits: {limits}\n")
    return Product.load(path.parent)


ADDRESSES = {"rest": "/products/films/rest/v1/films", "files": "/products/films/files/v1/films.csv"}


@pytest.mark.parametrize("port", ADDRESSES)
def test_requests_on_a_port(tmp_path, port):
    with limited(tmp_path, port, "{requests_per_minute: 2}") as product:
        ann = Client(create_app([product], identify=asking(ACCOUNTANT)))
        answers = [ann.get(ADDRESSES[port]) for _ in range(3)]
        assert [a.status_code for a in answers] == [200, 200, 429]
        assert 0 < int(answers[2].headers["retry-after"]) <= 60
        assert answers[2].json()["code"] == "PP421"
        owner = Client(create_app([product], identify=asking(OWNER)))
        assert {owner.get(ADDRESSES[port]).status_code for _ in range(4)} == {200}
        pat = Client(create_app([product], identify=asking(PARTNER)))
        assert pat.get(ADDRESSES[port]).status_code == 200


@pytest.mark.parametrize("port", ADDRESSES)
def test_rows_on_a_port(tmp_path, port):
    with limited(tmp_path, port, "{rows_per_read: 3}") as product:
        headers = {"Accept": "text/csv"}
        owner = Client(create_app([product], identify=asking(OWNER)))
        assert (
            owner.get(ADDRESSES[port], headers=headers).status_code == 200
        )  # and now it is cached
        ann = Client(create_app([product], identify=asking(ACCOUNTANT)))
        refused = ann.get(ADDRESSES[port], headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "PP422")
        assert "Alien" not in refused.text
        fitting = ann.get(ADDRESSES[port], headers=headers, params={"id.le": 3})
        assert fitting.status_code == 200, fitting.text
        product.ledger.flush()
        outcomes = [r["outcome"] for r in product.ledger.reads("films") if r["principal"] == "ann"]
        assert outcomes == ["ok", "denied"]


def test_pages_and_groups_of_as_many_rows_as_allowed(tmp_path):
    with limited(tmp_path, "rest", "{rows_per_read: 2}") as product:
        ann = Client(create_app([product], identify=asking(ACCOUNTANT)))
        first = ann.get(ADDRESSES["rest"], params={"limit": 2})
        assert first.json()["count"] == 2
        following = ann.get(first.json()["_links"]["next"]["href"])
        assert following.json()["count"] == 2
        assert ann.get(ADDRESSES["rest"], params={"limit": 3}).status_code == 403
        groups = ann.get(ADDRESSES["rest"], params={"group": "studio", "limit": 2})
        assert groups.status_code == 200
        assert ann.get(ADDRESSES["rest"], params={"group": "id", "limit": 3}).status_code == 403


def test_in_python(tmp_path):
    with limited(tmp_path, "rest", "{rows_per_read: 3}") as product:
        with product.open(ACCOUNTANT) as view:
            with pytest.raises(SizeError, match="more rows than the 3"):
                view.scan("films")
            assert view.scan("films", limit=3).read_all().num_rows == 3
            with pytest.raises(SizeError):
                view.touch("films", columns=["id"], rows=4, size=1)
        product.speed_up()
        with product.open(ACCOUNTANT) as view, pytest.raises(SizeError):
            view.scan("films", limit=4)
