"""API keys: shown once, kept as digests, of no use once expired, rotated or revoked by any process."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.access import keys, times
from polyport.access.control import Control
from polyport.errors import AuthenticationError, ConfigurationError, NotFoundError, PolyportError
from polyport.ledger import Ledger
from polyport.model import Principal

ANN = Principal("ann", frozenset({"accountant"}), {"studio": "Fox"}, frozenset({"finance"}))
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "ledger.sqlite")
    yield made
    made.close()


@pytest.fixture
def control(ledger):
    return Control(ledger.journal)


def refused(control, text, now=None):
    with pytest.raises(AuthenticationError) as caught:
        keys.authenticate(control, text, now=now)
    return str(caught.value)


def test_a_key_is_whom_it_was_made_for(control):
    key, text = keys.create(control, ANN, note="for the sheet", by="owner")
    assert text.startswith(f"pp_{key.id}_")
    assert len(text) == 3 + 12 + 1 + 43
    assert keys.authenticate(control, text) == ANN
    assert keys.usable(control) == 1


def test_it_is_said_which_key_and_secret_somebody_came_with(control):
    key, first = keys.create(control, ANN, by="owner")
    _, second = keys.rotate(control, key.id, grace=HOUR, by="owner")
    known = [keys.authenticate(control, text).credential for text in (first, second)]
    assert {each.key for each in known} == {key.id}
    assert known[0] != known[1]
    at = dt.datetime.now(dt.UTC)
    assert keys.lasts(control, known[1], at) is None
    assert at < keys.lasts(control, known[0], at) <= at + HOUR
    with pytest.raises(AuthenticationError, match="login has ended"):
        keys.lasts(control, known[0], at + HOUR)


def test_the_secret_is_nowhere(control, tmp_path):
    key, text = keys.create(control, ANN, by="owner")
    secret = text.rpartition(f"{key.id}_")[2]
    control.journal.entries("key")
    for file in tmp_path.iterdir():
        assert secret.encode() not in file.read_bytes()
    told = repr(key) + str(key.record(dt.datetime.now(dt.UTC)))
    assert secret not in told
    assert key.secret.digest not in told
    assert "SCRAM" not in told


def test_refusals_do_not_tell_why(control):
    key, text = keys.create(control, ANN, expires=dt.datetime.now(dt.UTC) + HOUR, by="owner")
    unknown = f"pp_{'0' * 12}_{text[-43:]}"
    wrong = text[:-1] + ("A" if text[-1] != "A" else "B")
    told = {refused(control, t) for t in (unknown, wrong, text[:-1], text + "A", "pp_", "", "x")}
    told.add(refused(control, text, dt.datetime.now(dt.UTC) + 2 * HOUR))
    keys.revoke(control, key.id, by="owner")
    told.add(refused(control, text))
    assert len(told) == 1
    assert key.id not in told.pop()


def test_expiry_is_a_moment(control):
    until = dt.datetime.now(dt.UTC) + HOUR
    _, text = keys.create(control, ANN, expires=until, by="owner")
    assert keys.authenticate(control, text, now=until - dt.timedelta(microseconds=1)) == ANN
    refused(control, text, until)
    assert keys.usable(control, until) == 0


def test_rotation(control):
    key, first = keys.create(control, ANN, by="owner")
    fresh, second = keys.rotate(control, key.id, by="owner")
    assert (fresh.id, second != first) == (key.id, True)
    refused(control, first)
    assert keys.authenticate(control, second) == ANN
    _, third = keys.rotate(control, key.id, grace=HOUR, by="owner")
    assert keys.authenticate(control, second) == keys.authenticate(control, third) == ANN
    refused(control, second, dt.datetime.now(dt.UTC) + HOUR)
    refused(control, first)
    keys.rotate(control, key.id, by="owner")  # without grace, no older secret is left
    refused(control, second)
    refused(control, third)


def test_a_revoked_key_stays_revoked(control):
    key, text = keys.create(control, ANN, by="owner")
    keys.rotate(control, key.id, grace=HOUR, by="owner")
    revoked = keys.revoke(control, key.id, by="bob")
    refused(control, text)
    assert keys.revoke(control, key.id, by="owner") == revoked
    with pytest.raises(ConfigurationError, match="is revoked"):
        keys.rotate(control, key.id, by="owner")
    with pytest.raises(NotFoundError):
        keys.revoke(control, "0" * 12, by="owner")
    by = [entry.by for entry in control.journal.entries("key")]
    assert by == ["owner", "owner", "bob"]


def test_revoked_by_another_process(control, tmp_path):
    key, text = keys.create(control, ANN, by="owner")
    assert keys.authenticate(control, text) == ANN
    code = f"""
        from pathlib import Path
        from polyport.access import keys
        from polyport.access.control import Control
        from polyport.ledger import Ledger
        ledger = Ledger(Path({str(tmp_path / "ledger.sqlite")!r}))
        keys.revoke(Control(ledger.journal), {key.id!r}, by="owner")
        ledger.close()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
    refused(control, text)


@pytest.mark.parametrize(
    "principal",
    [
        Principal(""),
        Principal(" ann"),
        Principal("a\nb"),
        Principal("x" * 201),
        Principal("owner"),
        Principal("pp_0123"),
        Principal("ann", frozenset({""})),
        Principal("ann", frozenset({"a\x00"})),
        Principal("ann", frozenset(map(str, range(101)))),
        Principal("ann", attributes={"id": "bob"}),
        Principal("ann", attributes={"studio": "a\x1b[2J"}),
        Principal("ann", teams=frozenset({"\ud800"})),
    ],
)
def test_names_that_cannot_be_used(control, principal):
    with pytest.raises(ConfigurationError):
        keys.create(control, principal, by="owner")
    assert keys.keys(control) == {}


def test_a_key_of_the_past_is_refused(control):
    with pytest.raises(ConfigurationError, match="never work"):
        keys.create(control, ANN, expires=dt.datetime.now(dt.UTC), by="owner")


NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90d", NOW + dt.timedelta(days=90)),
        ("12h", NOW + dt.timedelta(hours=12)),
        ("2027-01-31", dt.datetime(2027, 1, 31, tzinfo=dt.UTC)),
        ("2027-01-31T12:00:00+02:00", dt.datetime(2027, 1, 31, 10, tzinfo=dt.UTC)),
    ],
)
def test_times(text, meant):
    assert times.moment(text, NOW) == meant


@given(st.text(max_size=12) | st.from_regex(r"\d{1,8}[smhdw]", fullmatch=True))
def test_no_text_of_a_time_breaks(text):
    try:
        assert times.moment(text, NOW).tzinfo is not None
    except PolyportError as error:
        assert error.fix
