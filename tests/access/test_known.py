"""Who somebody is that is asked about: what the keys say that stand for them."""

from __future__ import annotations

import datetime as dt

import pytest

from polyport.access import keys
from polyport.access.control import Control
from polyport.access.known import consuming, known
from polyport.errors import QueryError
from polyport.ledger import Ledger
from polyport.model import OWNER, Principal

ANN = Principal("ann", frozenset({"accountant"}), {"studio": "Fox"}, frozenset({"finance"}))
OTHER = Principal("ann", frozenset({"analyst"}))


@pytest.fixture
def control(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield Control(ledger.journal)
    ledger.close()


def test_a_key_and_its_principal_have_what_the_key_says(control):
    key, _ = keys.create(control, ANN, by="owner")
    assert known(control, key.id).principal == known(control, "ann").principal == ANN
    assert known(control, key.id).by == f"the key {key.id}, which is active"
    assert key.id in known(control, "ann").by


def test_keys_that_give_the_same_are_one_answer_and_others_have_to_be_named(control):
    first, _ = keys.create(control, ANN, by="owner")
    keys.create(control, ANN, by="owner")
    assert known(control, "ann").principal == ANN
    other, _ = keys.create(control, OTHER, by="owner")
    with pytest.raises(QueryError, match="3 keys stand for 'ann'") as caught:
        known(control, "ann")
    assert other.id in caught.value.fix
    assert known(control, other.id).principal == OTHER
    keys.revoke(control, other.id, by="owner")
    assert known(control, "ann").principal == ANN
    assert first.id in known(control, "ann").by


def test_a_key_that_ended_is_told_as_such_and_counts_for_its_principal_no_more(control):
    until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    key, _ = keys.create(control, ANN, expires=until, by="owner")
    assert known(control, key.id, now=until).by.endswith("expired")
    assert known(control, "ann", now=until).principal == Principal("ann")
    keys.revoke(control, key.id, by="owner")
    found = known(control, key.id)
    assert found.by.endswith("revoked")
    assert found.principal.credential.key == key.id


def test_who_has_no_key(control):
    assert known(control, "eve").principal == Principal("eve")
    assert known(control, "eve").by == "nothing: no key stands for it"
    assert known(control, "product:scripts").principal == consuming("scripts")
    assert consuming("scripts").roles == {"product:scripts", "consumer"}


def test_the_owner_of_the_folder_needs_no_key(control):
    assert known(control, "owner").principal == OWNER
