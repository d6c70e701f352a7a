"""Somebody who is erased and is a consumer, too: the ledger knows a pseudonym, and means what it meant."""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from polyport.access import keys
from polyport.access.agreements import agreements
from polyport.access.configuration import versions
from polyport.access.control import Control
from polyport.access.deciding import Desk
from polyport.errors import AuthenticationError
from polyport.ledger import Ledger
from polyport.model import Principal, Read, Request
from polyport.pipeline.erasure import books
from polyport.product import Product

_SPEC = importlib.util.spec_from_file_location("people", Path(__file__).with_name("people.py"))
_PEOPLE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_PEOPLE)
JANE, call, erase_jane = _PEOPLE.JANE, _PEOPLE.call, _PEOPLE.erase_jane
MAIL = "jane@canary.example"
NOW = datetime(2026, 5, 3, 12, tzinfo=UTC)


def agreement(port="rest", **consumer):
    return {
        "provider": {"outputPortId": port},
        "consumer": consumer,
        "description": {"purpose": "planning"},
        "roles": [{"role": "analyst"}],
    }


@pytest.fixture
def known(home):
    """She has a key and an agreement, is named in others', in notes and in the policy; she read, said and configured."""
    with Product.load(home) as product:
        control, journal = product.control, product.ledger.journal
        keys.create(control, Principal(MAIL), note=f"for {JANE}", by="owner")
        keys.create(control, Principal("bob"), note=f"{MAIL} is away", by=MAIL)
        desk = Desk(control, product.spec, product.spec.settings.roles)
        hers, _ = desk.request(agreement(userId=MAIL), by=MAIL)
        desk.decide(hers.id, "approved", by="owner", note=f"spoke to {JANE}")
        asked, _ = desk.request(agreement(userId=MAIL, port="files"), by=MAIL)
        team, _ = desk.request(agreement(teamId="finance"), by="bob")
        desk.decide(team.id, "approved", by=MAIL, note=f"{MAIL} agrees")
        journal.append("feedback", "f-1", {"comment": f"ask {MAIL}"}, product="people", by=MAIL)
        for name in (MAIL, MAIL.upper(), "bob"):
            for more in range(2):
                at = NOW + timedelta(minutes=more)
                read = Read(
                    at, "people", "rest", name, "planning", "s", "people", ("id",), 3, 9, 0.1
                )
                product.ledger.record_read(read)
                product.ledger.record_request(Request(at, "people", "rest", name, 200, 50, 0.2))
    return home, hers.id, asked.id, team.id


def erased(home, *more):
    return erase_jane(home, "--also", MAIL, *more)


def holding(home, text):
    """The files of the state that hold `text` in their bytes, in any case."""
    found = (p for p in (home / ".polyport").rglob("*") if p.is_file())
    return [p.name for p in found if text.lower().encode() in p.read_bytes().lower()]


def test_no_byte_of_the_state_names_her(known):
    home, *_ = known
    assert holding(home, MAIL) == ["ledger.sqlite"]
    code, (told,) = erased(home)
    assert (code, told["proof"]["held_by"]) == (0, [])
    assert holding(home, MAIL) == []
    assert holding(home, JANE) == []
    assert (
        not (home / ".polyport/ledger.sqlite-wal").exists()
        or not (home / ".polyport/ledger.sqlite-wal").stat().st_size
    )


def test_who_did_what_when_is_told_of_a_pseudonym(known):
    home, hers, _, team = known
    _, (told,) = erased(home)
    with Product.load(home) as product:
        journal = product.ledger.journal
        record = journal.newest("erasure", product="people").document
        who = record["pseudonym"]
        assert who == books.pseudonym(told["erasure"])
        steps = journal.entries("agreement", product="people", name=hers)
        assert [(e.by, e.document["decision"]) for e in steps] == [
            (who, "requested"),
            ("owner", "approved"),
            ("owner", "revoked"),
        ]
        assert steps[1].document["note"] == f"spoke to {who}"
        assert {e.document["agreement"]["consumer"]["userId"] for e in steps} == {who}
        other = journal.entries("agreement", product="people", name=team)
        assert [(e.by, e.document["decision"]) for e in other] == [
            ("bob", "requested"),
            (who, "approved"),
        ]
        assert agreements(product.control, "people")[team].state(datetime.now(UTC)) == "active"
        said = journal.newest("feedback", product="people")
        assert (said.by, said.document) == (who, {"comment": f"ask {who}"})


def test_nobody_comes_in_by_the_pseudonym(known):
    home, hers, asked, _ = known
    erased(home)
    with Product.load(home) as product:
        found = agreements(product.control, "people")
        assert (found[hers].decision, found[asked].decision) == ("revoked", "refused")
        theirs = {k.note: k for k in keys.keys(product.control).values()}
        states = {k.principal: k.state(datetime.now(UTC)) for k in theirs.values()}
        assert sorted(states.values()) == ["active", "revoked"]
        assert states["bob"] == "active"


def test_a_process_that_serves_knows_it_at_once(known):
    """It read the journal before: entries that were changed in place are read again."""
    home, hers, *_ = known
    ledger = Ledger(home / ".polyport/ledger.sqlite")
    try:
        control = Control(ledger.journal)
        assert agreements(control, "people")[hers].user == MAIL
        before = control.position()
        erased(home)
        assert control.position() > before
        assert agreements(control, "people")[hers].user.startswith("erased-")
        assert MAIL not in {k.principal for k in keys.keys(control).values()}
    finally:
        ledger.close()


def test_her_key_does_not_open_any_more(home):
    with Product.load(home) as product:
        _, text = keys.create(product.control, Principal(MAIL), by="owner")
        assert keys.authenticate(product.control, text).id == MAIL
    erased(home)
    with Product.load(home) as product, pytest.raises(AuthenticationError):
        keys.authenticate(product.control, text)


def test_her_use_is_added_up_under_one_name(known):
    home, *_ = known
    _, (told,) = erased(home)
    who = books.pseudonym(told["erasure"])
    with Product.load(home) as product:
        usage = product.ledger.usage
        reads = {
            r["principal"]: (r["reads"], r["rows"], r["bytes"])
            for r in usage.reads("people")
            if r["port"] == "rest"
        }
        assert reads == {who: (4, 12, 36), "bob": (2, 6, 18)}
        requests = {
            r["principal"]: (r["requests"], r["bytes"], r["within"][-1], r["last_at"])
            for r in usage.requests("people")
        }
        assert requests[who] == (4, 200, 4, (NOW + timedelta(minutes=1)).isoformat())
        assert {r["principal"] for r in usage.columns("people")} == {who, "bob", "port:files"}
        assert {r["principal"] for r in product.ledger.reads("people")} == {
            who,
            "bob",
            "port:files",
        }


def test_names_of_the_product_are_not_written_over(known):
    """An entity that is called as a column is: what hides the column must go on hiding it."""
    home, *_ = known
    policy = home / "polyport.yaml"
    policy.write_text(policy.read_text().replace("analyst: {}", "analyst: {mask: {person: hash}}"))
    with Product.load(home) as product:
        before = versions(product.ledger.journal, product.spec, "access")[-1].block
        assert before["roles"]["analyst"]["mask"] == {"person": "hash"}
    code, (told,) = erase_jane(home, "--also", "person", "--also", "analyst")
    assert code == 1
    assert "ledger" in {one["kind"] for one in told["proof"]["held_by"]}
    with Product.load(home) as product:
        assert versions(product.ledger.journal, product.spec, "access")[-1].block == before
        assert product.ledger.runs("people")
        assert not any(
            JANE in json.dumps(e.document) for e in product.ledger.journal.entries("key")
        )


def test_a_policy_that_names_her_says_the_pseudonym_and_is_not_read_again_from_the_file(known):
    home, *_ = known
    policy = home / "polyport.yaml"
    rows = f"analyst: {{datasets: {{people: {{rows: \"person != '{MAIL}'\"}}}}}}"
    policy.write_text(policy.read_text().replace("analyst: {}", rows))
    with Product.load(home):
        pass
    code, (told,) = erased(home)
    assert code == 0, told["proof"]["held_by"]
    who = books.pseudonym(told["erasure"])
    with Product.load(home) as product:
        kept = versions(product.ledger.journal, product.spec, "access")
        seen = kept[-1].block["roles"]["analyst"]["datasets"]
        assert seen == {"people": {"rows": f"person != '{who}'"}}
        assert kept[-1].number == 2
    assert holding(home, MAIL) == []


def test_an_erasure_before_that_named_her_in_its_reason_forgets_her(known):
    home, *_ = known
    call(
        "erase",
        "people",
        home,
        "--value",
        "Ann Able",
        "--column",
        "person",
        "--reason",
        f"{MAIL} asked",
        "--yes",
    )
    _, (told,) = erased(home)
    with Product.load(home) as product:
        first = product.ledger.journal.entries("erasure", product="people")[1].document
        assert first["reason"] == f"{books.pseudonym(told['erasure'])} asked"
        assert first["state"] == "done"


def test_the_next_contract_that_names_her_is_kept_without(home):
    erased(home)
    contract = home / "contracts/people.odcs.yaml"
    contract.write_text(
        contract.read_text().replace(
            "{name: person, logicalType: string,",
            f"{{name: person, examples: [{MAIL}], logicalType: string,",
        )
    )
    _PEOPLE.build(home)
    assert holding(home, MAIL) == []
