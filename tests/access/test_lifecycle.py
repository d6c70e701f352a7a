"""The status of a product decides who reads it, on every port."""

from __future__ import annotations

import pytest

from polyport.access import lifecycle
from polyport.errors import AccessError, ConflictError, RetiredError
from polyport.model import OWNER, Principal
from polyport.product import Product
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.management_port import asking
from polyport.testing.output_port import ACCOUNTANT, make_product

ADDRESSES = {"rest": "/products/films/rest/v1/films", "files": "/products/films/files/v1/films.csv"}
PREVIEW = Principal("owner as accountant", frozenset({"accountant"}), needs_agreement=False)


def in_state(tmp_path, status, port="rest", **own):
    with make_product(tmp_path / "films", port) as made:
        path = made.spec.home / "dataproduct.odps.yaml"
    said = [f"{{property: polyport.{name}, value: {value!r}}}" for name, value in own.items()]
    text = path.read_text().replace("status: active", f"status: {status}")
    path.write_text(text + f"customProperties: [{', '.join(said)}]\n")
    return Product.load(path.parent)


def get(product, who, address):
    return Client(create_app([product], identify=asking(who))).get(address)


@pytest.mark.parametrize("port", ADDRESSES)
@pytest.mark.parametrize("status", ["proposed", "draft", "Draft"])
def test_one_that_is_prepared_is_read_by_its_owner_and_in_previews(tmp_path, status, port):
    with in_state(tmp_path, status, port) as product:
        refused = get(product, ACCOUNTANT, ADDRESSES[port])
        assert (refused.status_code, refused.json()["code"]) == (403, "PP400")
        assert get(product, OWNER, ADDRESSES[port]).status_code == 200
        assert get(product, PREVIEW, ADDRESSES[port]).status_code == 200
        with product.open(ACCOUNTANT) as view, pytest.raises(AccessError, match="only its owner"):
            view.scan("films")


@pytest.mark.parametrize("port", ADDRESSES)
def test_a_deprecated_one_says_so_on_every_port(tmp_path, port):
    said = {"successor": "films-2", "deprecatedOn": "2026-01-31"}
    with in_state(tmp_path, "deprecated", port, **said) as product:
        for address in (ADDRESSES[port], "/products/films/feedback"):
            answer = get(product, ACCOUNTANT, address)
            assert answer.status_code == 200
            assert answer.headers["deprecation"] == "@1769817600"
            assert '</products/films-2>; rel="successor-version"' in answer.headers["link"]
        with pytest.raises(ConflictError, match="no new agreements"):
            lifecycle.check_agreeable(product.spec)


def test_without_a_date_the_newest_snapshot_gives_it(tmp_path):
    with in_state(tmp_path, "deprecated") as product:
        since = int(product.history()[-1].committed_at.timestamp())
        assert get(product, OWNER, ADDRESSES["rest"]).headers["deprecation"] == f"@{since}"


@pytest.mark.parametrize("port", ADDRESSES)
def test_a_retired_one_is_gone_on_every_port_and_its_documents_stay(tmp_path, port):
    said = {"successor": "https://films.example/v2", "retiredOn": "2026-12-31"}
    with in_state(tmp_path, "retired", port, **said) as product:
        for who in (OWNER, ACCOUNTANT, PREVIEW):
            gone = get(product, who, ADDRESSES[port])
            assert (gone.status_code, gone.json()["code"]) == (410, "PP411")
            assert "since 2026-12-31" in gone.json()["detail"]
            assert "https://films.example/v2" in gone.json()["fix"]
        assert get(product, OWNER, "/products/films").json()["status"] == "retired"
        assert get(product, OWNER, "/products/films/control/access").status_code == 200
        with pytest.raises(RetiredError):
            product.open(ACCOUNTANT)
        with product.open(OWNER) as view:
            assert view.scan("films").read_all().num_rows == 4
        with pytest.raises(RetiredError):
            product.open(Principal("product:x", frozenset({"consumer"})), port="product")
        with pytest.raises(RetiredError):
            product.build()
        with pytest.raises(RetiredError):
            lifecycle.check_agreeable(product.spec)
