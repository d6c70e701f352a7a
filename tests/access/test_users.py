"""Who uses a product: from reads and agreements."""

from __future__ import annotations

import pytest

from polyport.access.users import known_users
from polyport.errors import AccessError
from polyport.model import Principal
from polyport.testing.output_port import ACCOUNTANT, make_product


def test_those_who_read_and_those_who_agreed(tmp_path):
    with make_product(tmp_path / "films", "rest") as product:
        with product.open(ACCOUNTANT, port="rest", purpose="audit") as view:
            view.scan("films").read_all()
        with product.open(Principal("eve"), port="rest") as view, pytest.raises(AccessError):
            view.scan("films")
        for name, consumer, decision in (
            ("a1", {"dataProductId": "scripts"}, "approved"),
            ("a2", {"teamId": "finance"}, "approved"),
            ("a3", {"userId": "zoe"}, "requested"),
        ):
            document = {
                "description": {"purpose": "planning"},
                "provider": {"outputPortId": "rest"},
                "consumer": consumer,
            }
            product.ledger.journal.append(
                "agreement", name, {"agreement": document, "decision": decision},
                product="films", by="owner",
            )  # fmt: skip
        found = known_users(product.ledger, product.control, "films")
    assert [(u.id, u.purposes, u.agreements) for u in found] == [
        ("ann", {"audit"}, []),
        ("product:scripts", {"planning"}, ["a1"]),
        ("team:finance", {"planning"}, ["a2"]),
    ]
    assert (found[0].ports, found[0].reads, found[0].rows) == ({"rest"}, 1, 4)
    assert found[0].last_day
