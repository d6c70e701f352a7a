"""Who is let in, and that it is asked again: agreements through the journal, also from another process."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from polyport.access import keys
from polyport.access.admission import Admissions, Standing
from polyport.access.control import Control
from polyport.errors import AccessError
from polyport.ledger import Ledger
from polyport.model import OWNER, Credential, Principal

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
ANN = Principal("ann", frozenset({"analyst"}), teams=frozenset({"finance"}))


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "ledger.sqlite")
    yield made
    made.close()


@pytest.fixture
def admissions(ledger):
    return Admissions("films", Control(ledger.journal), clock=lambda: NOW)


def agree(ledger, name="a1", decision="approved", *, purpose="planning", own=(), **document):
    document = {
        "apiVersion": "v0.9.0",
        "kind": "AccessAgreement",
        "id": name,
        "status": "approved",
        "description": {"purpose": purpose},
        "provider": {"teamId": "t", "dataProductId": "films", "outputPortId": "rest"},
        "consumer": {"userId": "ann"},
        "customProperties": [{"property": p, "value": v} for p, v in own],
        **document,
    }
    ledger.journal.append(
        "agreement", name, {"agreement": document, "decision": decision, "note": "because"},
        product="films", by="owner",
    )  # fmt: skip


def test_without_an_agreement_nobody_but_the_owner_comes_in(admissions):
    assert "no data sharing agreement" in admissions.admit(ANN, "rest").refusal.message
    assert admissions.admit(ANN, "rest").principal.roles == frozenset()
    assert not admissions.admit(OWNER, "rest").refusal
    owner = admissions.admit(Principal("o", frozenset({"owner:films"})), "rest")
    assert "owner" in owner.principal.roles
    assert admissions.admit(Principal("o", frozenset({"owner:other"})), "rest").refusal


def test_where_agreements_are_optional_roles_are_enough(ledger):
    optional = Admissions("films", Control(ledger.journal), lambda: False, lambda: NOW)
    assert optional.admit(ANN, "rest").principal == ANN


def test_an_agreement_gives_roles_columns_and_its_purpose(ledger, admissions):
    agree(ledger, roles=[{"role": "partner"}], own=[("polyport.columns", ["id", "title"])])
    found = admissions.admit(ANN, "rest")
    assert found.principal.roles == {"partner"}
    assert found.principal.columns == {"partner": frozenset({"id", "title"})}
    assert (found.purpose, found.agreements) == ("planning", ("a1",))
    agree(ledger, "a2", roles=[{"role": "partner"}], own=[("polyport.columns", ["cost"])])
    assert admissions.admit(ANN, "rest").principal.columns["partner"] == {"id", "title", "cost"}
    agree(ledger, "a3", roles=[{"role": "partner"}])
    assert admissions.admit(ANN, "rest").principal.columns == {}


def test_one_without_roles_gives_those_that_the_platform_vouches_for(ledger, admissions):
    agree(ledger)
    assert admissions.admit(ANN, "rest").principal.roles == {"analyst"}


@pytest.mark.parametrize("role", ["owner", "platform", "owner:films", "owner:x"])
def test_no_agreement_hands_over_the_product(ledger, admissions, role):
    agree(ledger, roles=[{"role": role}, {"role": "analyst"}])
    assert admissions.admit(ANN, "rest").principal.roles == {"analyst"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"decision": "requested"}, "not decided"),
        ({"decision": "refused"}, "refused: because"),
        ({"decision": "revoked"}, "revoked: because"),
        ({"endTimestamp": "2026-05-01T12:00:00Z"}, "ended on 2026-05-01"),
        ({"startTimestamp": "2026-05-02T00:00:00Z"}, "begins on 2026-05-02"),
        ({"provider": {"dataProductId": "films", "outputPortId": "files"}}, "for the ports files"),
        ({"consumer": {"userId": "bob"}}, "no data sharing agreement"),
        ({"consumer": {"teamId": "sales"}}, "no data sharing agreement"),
        ({"consumer": {"teamId": "finance", "userId": "bob"}}, "no data sharing agreement"),
        ({"consumer": {"teamId": "finance", "dataProductId": "x"}}, "no data sharing agreement"),
    ],
)
def test_what_is_not_active_or_not_theirs_lets_nobody_in(ledger, admissions, change, word):
    agree(ledger, **change)
    assert word in admissions.admit(ANN, "rest").refusal.message


@pytest.mark.parametrize(
    "change",
    [
        {"consumer": {"teamId": "finance"}},
        {"provider": {"dataProductId": "films", "outputPortId": "*"}},
        {"own": [("polyport.ports", ["files", "rest"])]},
        {"startTimestamp": "2026-05-01T12:00:00Z", "endTimestamp": "2026-05-01T12:00:01Z"},
    ],
)
def test_what_is_active_and_theirs_does(ledger, admissions, change):
    agree(ledger, **change)
    assert not admissions.admit(ANN, "rest").refusal


def test_another_purpose_is_refused_and_two_must_be_told_apart(ledger, admissions):
    agree(ledger)
    assert "'planning', not 'resale'" in admissions.admit(ANN, "rest", "resale").refusal.message
    assert not admissions.admit(ANN, "rest", "Planning").refusal
    agree(ledger, "a2", purpose="audit", roles=[{"role": "auditor"}])
    assert "none was stated" in admissions.admit(ANN, "rest").refusal.message
    assert admissions.admit(ANN, "rest", "audit").principal.roles == {"auditor"}


def standing(admissions, unchanged=lambda: True, who=ANN):
    return Standing(
        admissions,
        admissions.admit(who, "rest"),
        (who, "rest", ""),
        admissions.control.position(),
        unchanged,
    )


def test_a_revocation_by_another_process_ends_what_goes_on(ledger, admissions, tmp_path):
    agree(ledger)
    still = standing(admissions)
    still()
    code = f"""
        from polyport.ledger import Ledger
        ledger = Ledger(__import__("pathlib").Path({str(tmp_path / "ledger.sqlite")!r}))
        entry = ledger.journal.newest("agreement", product="films")
        ledger.journal.append("agreement", "a1", {{**entry.document, "decision": "revoked"}}, product="films", by="x")
        ledger.close()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
    with pytest.raises(AccessError, match="revoked"):
        still()


def test_time_ends_it_too(ledger):
    now = [NOW]
    admissions = Admissions("films", Control(ledger.journal), clock=lambda: now[0])
    agree(ledger, endTimestamp="2026-05-01T12:00:10Z")
    still = standing(admissions)
    still()
    now[0] += dt.timedelta(seconds=10)
    with pytest.raises(AccessError, match="ended"):
        still()


def test_a_change_of_policy_or_of_columns_ends_it_and_a_foreign_one_does_not(ledger, admissions):
    agree(ledger)
    still = standing(admissions)
    agree(ledger, "other", consumer={"userId": "bob"})
    still()
    ledger.journal.append("access", "access", {"access": {}}, product="films", by="owner")
    with pytest.raises(AccessError, match="changed"):
        Standing(admissions, admissions.admit(ANN, "rest"), (ANN, "rest", ""), 0, lambda: False)()
    agree(ledger, own=[("polyport.columns", ["id"])])
    with pytest.raises(AccessError, match="changed"):
        still()


def logged_in(admissions, now=NOW, who=ANN, **settings):
    key, text = keys.create(admissions.control, who, by="owner", **settings)
    return key.id, keys.authenticate(admissions.control, text, now=now)


BOSS = Principal("boss", frozenset({"owner"}))


@pytest.mark.parametrize("who", [ANN, BOSS], ids=["by agreement", "owner"])
@pytest.mark.parametrize("how", ["revoked", "rotated", "expired"])
def test_a_key_that_ends_ends_what_goes_on(ledger, how, who):
    now = [dt.datetime.now(dt.UTC)]
    admissions = Admissions("films", Control(ledger.journal), clock=lambda: now[0])
    agree(ledger)
    end = now[0] + dt.timedelta(hours=1) if how == "expired" else None
    key, known = logged_in(admissions, now[0], who, expires=end)
    still = standing(admissions, who=known)
    still()
    match how:
        case "revoked":
            keys.revoke(admissions.control, key, by="owner")
        case "rotated":
            keys.rotate(admissions.control, key, by="owner")
        case _:
            now[0] = end - dt.timedelta(microseconds=1)
            still()
            now[0] = end
    for _ in range(2):  # it stays ended
        with pytest.raises(AccessError, match="login has ended"):
            still()
    assert "login has ended" in admissions.admit(known, "rest").refusal.message
    assert admissions.admit(known, "rest").principal.roles == frozenset()


def test_a_rotation_ends_the_older_secret_with_its_grace(ledger):
    now = [dt.datetime.now(dt.UTC)]
    admissions = Admissions("films", Control(ledger.journal), clock=lambda: now[0])
    agree(ledger)
    key, known = logged_in(admissions, now[0])
    still = standing(admissions, who=known)
    _, text = keys.rotate(admissions.control, key, grace=dt.timedelta(hours=1), by="owner")
    newer = standing(admissions, who=keys.authenticate(admissions.control, text))
    still()
    now[0] += dt.timedelta(minutes=59)
    still()
    now[0] += dt.timedelta(minutes=2)
    with pytest.raises(AccessError, match="login has ended"):
        still()
    newer()


def test_what_happens_to_other_keys_ends_nothing(ledger, admissions):
    agree(ledger)
    _, known = logged_in(admissions)
    other, _ = logged_in(admissions)
    still = standing(admissions, who=known)
    keys.revoke(admissions.control, other, by="owner")
    still()


def test_a_token_ends_with_its_time(ledger):
    now = [NOW]
    admissions = Admissions("films", Control(ledger.journal), clock=lambda: now[0])
    agree(ledger, endTimestamp="2026-06-01T12:00:00Z")
    known = replace(ANN, credential=Credential(until=NOW + dt.timedelta(minutes=5)))
    still = standing(admissions, who=known)
    assert still.admission.until == NOW + dt.timedelta(minutes=5)
    still()
    now[0] += dt.timedelta(minutes=5)
    with pytest.raises(AccessError, match="the token has expired"):
        still()


def test_an_owner_who_asks_as_somebody_else_is_still_known_by_their_key(ledger, admissions):
    key, known = logged_in(admissions, who=BOSS)
    preview = Principal(
        "boss as analyst", ANN.roles, needs_agreement=False, credential=known.credential
    )
    still = standing(admissions, who=preview)
    still()
    keys.revoke(admissions.control, key, by="owner")
    with pytest.raises(AccessError, match="login has ended"):
        still()


def test_the_position_is_seen_by_threads_and_grows_only(ledger):
    control = Control(ledger.journal)
    assert control.position() == 0
    ledger.journal.append("feedback", "f", {}, product="films", by="ann")
    assert control.position() == 0
    agree(ledger)
    assert control.position() == 2
    assert control.current("agreement", "films")["a1"].by == "owner"
