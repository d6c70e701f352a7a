"""SCRAM-SHA-256: a client that computes its proof as RFC 5802 says is known by the verifier that is kept."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json

import pytest

from polyport.access import keys, scram
from polyport.access.control import Control
from polyport.errors import AuthenticationError
from polyport.ledger import Ledger
from polyport.model import Principal

ANN = Principal("ann", frozenset({"accountant"}))
HOUR = dt.timedelta(hours=1)
MESSAGE = b"n=,r=abc,r=abcdef,s=...,i=4096,c=biws,r=abcdef"


@pytest.fixture
def control(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield Control(ledger.journal)
    ledger.close()


def proof(password, salt, iterations):
    """ClientProof, as RFC 5802, section 3, and Hi written out instead of taken from a library."""
    first = hmac.digest(password.encode(), salt + b"\0\0\0\1", "sha256")
    salted, last = int.from_bytes(first), first
    for _ in range(iterations - 1):
        last = hmac.digest(password.encode(), last, "sha256")
        salted ^= int.from_bytes(last)
    client = hmac.digest(salted.to_bytes(32), b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(client).digest(), MESSAGE, "sha256")
    return bytes(a ^ b for a, b in zip(client, signature, strict=True))


def fits(verifier, given):
    """Whether the server takes the proof: RFC 5802, section 3."""
    signature = hmac.digest(verifier.stored, MESSAGE, "sha256")
    client = bytes(a ^ b for a, b in zip(given, signature, strict=True))
    return hashlib.sha256(client).digest() == verifier.stored


def known_by(control, principal, password):
    told = keys.scram(control, principal)
    given = proof(password, told.salt, told.iterations)
    return [v for v in told.verifiers if fits(v, given)]


def test_the_example_of_rfc_7677(monkeypatch):
    """Section 3: user, pencil, this salt, 4096: what client and server send must come out."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    monkeypatch.setattr(scram, "salt", lambda _: salt)
    verifier = scram.read("x", scram.made("pencil", "user"))
    message = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    signature = hmac.digest(verifier.stored, message, "sha256")
    sent = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client = bytes(a ^ b for a, b in zip(sent, signature, strict=True))
    assert hashlib.sha256(client).digest() == verifier.stored
    answered = base64.b64encode(hmac.digest(verifier.server, message, "sha256"))
    assert answered == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_all_keys_of_one_principal_are_tried_with_one_salt(control):
    made = [keys.create(control, ANN, by="owner") for _ in range(3)]
    keys.create(control, Principal("bob"), by="owner")
    told = keys.scram(control, "ann")
    assert (told.salt, told.iterations) == (scram.salt("ann"), 4096)
    assert [v.key_id for v in told.verifiers] == [key.id for key, _ in made]
    for key, text in made:
        assert [v.key_id for v in known_by(control, "ann", text)] == [key.id]
    assert known_by(control, "bob", made[0][1]) == []
    assert keys.scram(control, "bob").salt != told.salt


def test_a_proof_by_the_secret_alone_is_none(control):
    _, text = keys.create(control, ANN, by="owner")
    assert known_by(control, "ann", text[16:]) == []


def test_only_of_keys_that_work(control):
    assert keys.scram(control, "ann") is None
    until = dt.datetime.now(dt.UTC) + HOUR
    key, _ = keys.create(control, ANN, expires=until, by="owner")
    assert keys.scram(control, "ann") is not None
    assert keys.scram(control, "ann", now=until) is None
    keys.revoke(control, key.id, by="owner")
    assert keys.scram(control, "ann") is None
    assert keys.scram(control, "\ud800") is None


def test_in_the_grace_of_a_rotation_both_secrets_prove_the_key(control):
    key, first = keys.create(control, ANN, by="owner")
    _, second = keys.rotate(control, key.id, grace=HOUR, by="owner")
    (old,), (new,) = known_by(control, "ann", first), known_by(control, "ann", second)
    assert old != new
    for verifier in (old, new):
        assert keys.proved(control, verifier.key_id, verifier.stored) == ANN
    later = dt.datetime.now(dt.UTC) + HOUR
    assert keys.scram(control, "ann", now=later).verifiers == (new,)
    with pytest.raises(AuthenticationError):
        keys.proved(control, key.id, old.stored, now=later)
    keys.rotate(control, key.id, by="owner")
    assert known_by(control, "ann", first) == known_by(control, "ann", second) == []
    with pytest.raises(AuthenticationError):
        keys.proved(control, key.id, new.stored)


def test_a_key_that_is_of_no_use_is_nobody(control):
    key, text = keys.create(control, ANN, by="owner")
    (verifier,) = known_by(control, "ann", text)
    assert keys.proved(control, key.id, verifier.stored) == ANN
    with pytest.raises(AuthenticationError):
        keys.proved(control, key.id, b"")
    keys.revoke(control, key.id, by="owner")
    for name in (key.id, "0" * 12, "", "pp_"):
        with pytest.raises(AuthenticationError):
            keys.proved(control, name, verifier.stored)


def test_a_key_made_before_there_were_verifiers_still_works_over_http(control):
    key, text = keys.create(control, ANN, by="owner")
    (entry,) = control.journal.entries("key")
    said = {k: v for k, v in entry.document.items() if "scram" not in k}
    control.journal.append("key", key.id, said, by="owner")
    assert keys.authenticate(control, text) == ANN
    assert keys.scram(control, "ann") is None
    _, fresh = keys.rotate(control, key.id, grace=HOUR, by="owner")
    assert keys.authenticate(control, text) == keys.authenticate(control, fresh) == ANN
    assert len(keys.scram(control, "ann").verifiers) == 1


def test_verifiers_are_kept_as_rfc_5803_writes_them_and_shown_nowhere(control):
    key, _ = keys.create(control, ANN, by="owner")
    (entry,) = control.journal.entries("key")
    scheme, header, values = entry.document["scram"].split("$")
    iterations, _, salt = header.partition(":")
    stored, server = (base64.b64decode(part) for part in values.split(":"))
    assert (scheme, iterations) == ("SCRAM-SHA-256", "4096")
    assert base64.b64decode(salt) == scram.salt("ann")
    assert (len(stored), len(server)) == (32, 32)
    told = keys.scram(control, "ann")
    shown = json.dumps([repr(told), repr(key), key.record(key.created)], default=str)
    for part in (stored, server):
        assert base64.b64encode(part).decode() not in shown
        assert repr(part) not in shown
