"""Who asks over HTTP: by a key, as the owner on this machine, or not at all."""

from __future__ import annotations

import base64

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from polyport.access import keys
from polyport.access.control import Control
from polyport.access.identity import Identity
from polyport.errors import AccessError, AuthenticationError, PolyportError
from polyport.ledger import Ledger
from polyport.model import OWNER, Principal

ANN = Principal("ann", frozenset({"accountant"}))
BOSS = Principal("boss", frozenset({"owner"}))


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    ledger = Ledger(tmp_path_factory.mktemp("identity") / "ledger.sqlite")
    yield Control(ledger.journal)
    ledger.close()


@pytest.fixture(scope="module")
def ann(control):
    return keys.create(control, ANN, by="owner")[1]


@pytest.fixture(scope="module")
def boss(control):
    return keys.create(control, BOSS, by="owner")[1]


@pytest.fixture
def identity(control):
    return Identity(control)


@pytest.fixture
def local(control):
    return Identity(control, local_owner=True)


def asks(*headers):
    raw = [(n.lower().encode("latin-1"), v.encode("latin-1", "replace")) for n, v in headers]
    return HTTPConnection({"type": "http", "headers": raw})


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_key_as_bearer_and_as_password(identity, ann):
    for value in (f"Bearer {ann}", f"bearer  {ann} ", basic("anybody", ann), basic(ann, "")):
        assert identity(asks(("Authorization", value))) == (ANN, "")
    purpose = asks(("Authorization", f"Bearer {ann}"), ("Polyport-Purpose", "planning"))
    assert identity(purpose) == (ANN, "planning")


def test_without_credentials_only_the_local_owner_is_known(identity, local):
    assert local(asks()) == (OWNER, "")
    with pytest.raises(AuthenticationError, match="not known who asks"):
        identity(asks())


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Bearer x", "Bearer pp_0_1", "Basic", "Basic %%", "Basic eDp5", "Basic Og==",
     "Digest x", "Negotiate", "pp_0", "Bearer eyJhbGciOiJub25lIn0.e30."],
)  # fmt: skip
def test_wrong_credentials_never_fall_back_to_the_owner(local, value):
    with pytest.raises(AuthenticationError):
        local(asks(("Authorization", value)))


def test_a_second_header_is_refused(local, ann):
    with pytest.raises(AuthenticationError, match="sent 2 times"):
        local(asks(("Authorization", f"Bearer {ann}"), ("authorization", f"Bearer {ann}")))
    with pytest.raises(AccessError, match="sent 2 times"):
        local(asks(("Polyport-Role", "a"), ("Polyport-Role", "b")))


def test_only_an_owner_may_preview(identity, ann, boss):
    role = ("Polyport-Role", "partner; studio=Fox")
    seen, _ = identity(asks(("Authorization", f"Bearer {boss}"), role))
    assert seen == Principal(
        "boss as partner", frozenset({"partner"}), {"studio": "Fox"}, needs_agreement=False
    )
    for asked in (role, ("Polyport-Role", ""), ("Polyport-Role", "owner")):
        with pytest.raises(AccessError, match="may not ask as somebody else"):
            identity(asks(("Authorization", f"Bearer {ann}"), asked))
    assert seen.credential.key == boss[3:15]
    nobody, _ = identity(asks(("Authorization", f"Bearer {boss}"), ("Polyport-Role", "")))
    assert nobody.roles == frozenset()


def test_errors_do_not_hold_the_secret(identity, ann):
    wrong = ann[:-1] + ("A" if ann[-1] != "A" else "B")
    with pytest.raises(AuthenticationError) as caught:
        identity(asks(("Authorization", f"Bearer {wrong}")))
    assert wrong[-30:] not in str(caught.value) + str(caught.value.problem())


VALUES = st.text(st.characters(max_codepoint=255), max_size=60)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["Authorization", "Polyport-Role", "Polyport-Purpose"]),
        VALUES
        | VALUES.map("Bearer ".__add__)
        | st.binary(max_size=60).map(lambda b: "Basic " + base64.b64encode(b).decode()),
    ),
    max_size=3,
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(HEADERS)
def test_no_header_breaks_it_and_none_makes_an_owner(local, headers):
    try:
        principal, _ = local(asks(*headers))
    except PolyportError as error:
        assert error.http_status in (401, 403)
    else:
        assert "Authorization" not in dict(headers)
        assert principal == OWNER or "owner" not in principal.roles
