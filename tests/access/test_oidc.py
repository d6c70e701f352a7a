"""Tokens of an issuer that runs here: it signs, rotates, goes down, and answers nonsense."""

from __future__ import annotations

import base64
import datetime as dt
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from polyport.access import keys, oidc
from polyport.access.agreements import Agreement
from polyport.access.control import Control
from polyport.access.identity import Identity
from polyport.errors import (
    AuthenticationError,
    ConfigurationError,
    MissingExtraError,
    PolyportError,
)
from polyport.ledger import Ledger
from polyport.model import Credential, Principal


class Clock:
    """Time that a test moves on."""

    def __init__(self):
        self.ahead = 0.0

    def __call__(self):
        return time.time() + self.ahead


class Issuer:
    """An OpenID provider on this machine."""

    def __init__(self):
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                status, body = issuer.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.asked, self.keys, self.answers = [], {}, {}
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.add("k1", rsa.generate_private_key(public_exponent=65537, key_size=2048))

    def add(self, kid, key):
        self.keys[kid] = key

    def answer(self, path):
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            found = {"issuer": self.url, "jwks_uri": self.url + "/jwks"}
        else:
            found = {"keys": [jwk(kid, key) for kid, key in self.keys.items()]}
        return 200, json.dumps(found).encode()

    def token(self, kid="k1", algorithm="RS256", *, headers=None, key=None, **claims):
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": "polyport",
            "sub": "ann",
            "iat": now,
            "exp": now + 600,
        } | claims
        claims = {name: value for name, value in claims.items() if value is not None}
        headers = {"kid": kid} if headers is None else headers
        return jwt.encode(claims, key or self.keys[kid], algorithm, headers)

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def jwk(kid, key):
    kind = {rsa.RSAPrivateKey: "RSA", ec.EllipticCurvePrivateKey: "EC"}
    name = next((n for c, n in kind.items() if isinstance(key, c)), "OKP")
    algorithm = {
        "RSA": jwt.algorithms.RSAAlgorithm,
        "EC": jwt.algorithms.ECAlgorithm,
        "OKP": jwt.algorithms.OKPAlgorithm,
    }
    return {**algorithm[name].to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}


@pytest.fixture(scope="module")
def running():
    made = Issuer()
    yield made
    made.close()


@pytest.fixture
def issuer(running):
    kept = dict(running.keys)
    running.asked.clear()
    yield running
    running.keys, running.answers = kept, {}


@pytest.fixture
def clock():
    return Clock()


ROLES = {"accountant": ["finance", "user:ann"], "analyst": ["research"]}


@pytest.fixture
def issuers(issuer, clock):
    return oidc.Issuers([oidc.Settings(issuer.url, ("polyport",))], ROLES, clock=clock)


def refused(issuers, token, reason):
    with pytest.raises(AuthenticationError, match=reason):
        issuers.authenticate(token)


def test_a_token_is_its_subject_with_mapped_roles(issuers, issuer):
    token = issuer.token(groups=["research", "owner", "other"])
    groups = frozenset({"research", "owner", "other"})
    assert issuers.authenticate(token) == Principal(
        "ann", frozenset({"accountant", "analyst"}), teams=groups
    )
    bob = issuers.authenticate(issuer.token(sub="bob", groups="finance"))
    assert bob.roles == {"accountant"}
    assert issuers.authenticate(issuer.token(sub="eve")).roles == frozenset()


def test_a_group_cannot_pose_as_a_user(issuers, issuer):
    assert issuers.authenticate(issuer.token(sub="eve", groups=["user:ann"])).roles == frozenset()


@pytest.mark.parametrize(
    "name", ["owner", "polyport.yaml", "product:films", "product:", "team:finance", "file:a", "user:ann", "corp#ann"],
)  # fmt: skip
def test_names_of_our_own_are_not_an_issuers_to_give(issuers, issuer, name):
    known = issuers.authenticate(issuer.token(sub=name))
    assert known.id == f"{issuer.url}#{name}"
    assert known.roles == frozenset()
    assert known.needs_agreement
    assert not known.owns("films")


@pytest.mark.parametrize(
    "name", ["Owner", "OWNER", "product", "owner:films", "platform", "consumer"]
)
def test_what_only_looks_like_a_name_of_ours_is_nobody_of_ours(issuers, issuer, name):
    known = issuers.authenticate(issuer.token(sub=name, groups=[name], roles=[name], scope=name))
    assert known.id == name
    assert known.roles == frozenset()
    assert not known.steers("films")


def test_no_subject_reads_as_a_consuming_product_or_as_the_owner(issuers, issuer, tmp_path):
    """Neither by an agreement of that product, nor as somebody else, nor as a principal that a key stands for."""
    known = issuers.authenticate(issuer.token(sub="product:scripts", groups=["product:scripts"]))
    theirs = Agreement("a", "films", ("*",), "p", "approved", consumer="scripts")
    assert theirs.with_consumer(Principal("product:scripts"))
    assert not theirs.with_consumer(known)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    control, as_consumer = Control(ledger.journal), frozenset({"product:scripts", "consumer"})
    _, text = keys.create(control, Principal("product:scripts", as_consumer), by="owner")
    key = keys.authenticate(control, text)
    ledger.close()
    assert theirs.with_consumer(key)
    assert key.id != known.id


@pytest.mark.parametrize(
    ("roles", "groups", "given"),
    [
        ({}, ["owner", "platform", "owner:films"], set()),
        ({"owner": ["admins"]}, ["owner"], set()),
        ({"owner": ["admins"]}, ["admins"], {"owner"}),
        ({"platform": "ops"}, ["ops", "owner"], {"platform"}),
        ({"owner:films": ["film-desk"]}, ["film-desk"], {"owner:films"}),
        ({"owner": ["user:bob"]}, ["bob", "user:bob"], set()),
    ],
)
def test_only_mesh_yaml_makes_an_owner_or_a_platform(issuer, roles, groups, given):
    made = oidc.issuers({"oidc": [{"issuer": issuer.url, "audience": "polyport"}], "roles": roles})
    known = made.authenticate(issuer.token(groups=groups))
    assert known.roles == given
    assert known.owns("films") == bool({"owner", "owner:films"} & given)


def test_a_token_is_good_until_it_expires(issuers, issuer):
    at = int(time.time()) + 100
    known = issuers.authenticate(issuer.token(exp=at))
    assert known.credential == Credential(until=dt.datetime.fromtimestamp(at + 60, dt.UTC))
    assert issuers.authenticate(issuer.token(exp=10**18)).credential == Credential()


def test_claims_as_set(issuer, clock):
    given = oidc.Settings(issuer.url, ("a", "b"), "roles", "email", "teams")
    issuers = oidc.Issuers([given], ROLES, clock=clock)
    token = issuer.token(aud=["x", "b"], email="ann@x.org", roles=["finance"], teams=["t"], sub="1")
    assert issuers.authenticate(token) == Principal(
        "ann@x.org", frozenset({"accountant"}), teams=frozenset({"t"})
    )


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "other"}, "another audience"),
        ({"aud": None}, "missing"),
        ({"exp": None}, "missing"),
        ({"exp": 1}, "expired"),
        ({"exp": "soon"}, "not valid"),
        ({"exp": 1e400}, "not valid"),
        ({"iss": "https://evil.example"}, "issuer is none"),
        ({"iss": None}, "issuer is none"),
        ({"sub": None}, "names nobody"),
        ({"sub": ""}, "names nobody"),
        ({"sub": "a\nb"}, "names nobody"),
        ({"sub": " owner"}, "names nobody"),
        ({"sub": "ann "}, "names nobody"),
        ({"sub": "a" * 256}, "names nobody"),
        ({"sub": "ann\u200b"}, "names nobody"),
    ],
)
def test_wrong_claims(issuers, issuer, claims, reason):
    refused(issuers, issuer.token(**claims), reason)


def test_an_issuer_with_a_slash_is_another_one(issuers, issuer):
    refused(issuers, issuer.token(iss=issuer.url + "/"), "issuer is none")


def test_clocks_may_differ_by_the_leeway(issuers, issuer):
    now = int(time.time())
    for claims in ({"exp": now - 30}, {"nbf": now + 30}, {"iat": now + 30}):
        assert issuers.authenticate(issuer.token(**claims)).id == "ann"
    refused(issuers, issuer.token(exp=now - 90), "expired")
    refused(issuers, issuer.token(nbf=now + 90), "not valid yet")
    refused(issuers, issuer.token(iat=now + 90), "not valid yet")


@pytest.mark.parametrize(
    ("algorithm", "make"),
    [
        ("PS256", lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        ("ES256", lambda: ec.generate_private_key(ec.SECP256R1())),
        ("EdDSA", ed25519.Ed25519PrivateKey.generate),
    ],
)
def test_other_algorithms(issuers, issuer, algorithm, make):
    issuer.add("other", make())
    assert issuers.authenticate(issuer.token("other", algorithm)).id == "ann"


def test_no_symmetric_algorithm_and_no_none(issuers, issuer):
    public = (
        issuer.keys["k1"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"k1"}').rstrip(b"=")
    body = issuer.token().split(".")[1].encode()
    import hashlib
    import hmac

    sign = hmac.new(public, head + b"." + body, hashlib.sha256).digest()
    forged = (head + b"." + body + b"." + base64.urlsafe_b64encode(sign).rstrip(b"=")).decode()
    refused(issuers, forged, "algorithm")
    nobody = jwt.encode(
        {"iss": issuer.url, "sub": "ann", "aud": "polyport", "exp": 9e9}, None, "none"
    )
    refused(issuers, nobody, "algorithm")


def test_another_key_with_a_known_id(issuers, issuer):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    refused(issuers, issuer.token(key=other), "signature")
    curve = ec.generate_private_key(ec.SECP256R1())
    refused(issuers, issuer.token(algorithm="ES256", key=curve), "algorithm is not that of its key")


def test_a_changed_token_is_refused(issuers, issuer):
    head, _, sign = issuer.token().split(".")
    other = issuer.token(sub="bob").split(".")[1]
    refused(issuers, f"{head}.{other}.{sign}", "signature")


def test_keys_rotate(issuers, issuer, clock):
    old = issuer.token()
    assert issuers.authenticate(old).id == "ann"
    issuer.add("k2", rsa.generate_private_key(public_exponent=65537, key_size=2048))
    del issuer.keys["k1"]
    refused(issuers, issuer.token("k2"), "no key of that id")  # it was asked just now
    clock.ahead = 11
    assert issuers.authenticate(issuer.token("k2")).id == "ann"
    refused(issuers, old, "no key of that id")  # known to be right before, but its key is gone


def test_unknown_keys_do_not_make_us_ask_all_the_time(issuers, issuer):
    issuers.authenticate(issuer.token())
    before = len(issuer.asked)
    for n in range(20):
        refused(issuers, issuer.token(headers={"kid": f"x{n}"}), "no key")
    assert len(issuer.asked) == before


def test_a_token_is_verified_once(issuers, issuer, monkeypatch):
    token = issuer.token()
    first = issuers.authenticate(token)
    monkeypatch.setattr(oidc, "_decoded", None)
    assert issuers.authenticate(token) is first


def test_a_known_token_is_looked_at_again_once_it_ends(issuers, issuer, clock, monkeypatch):
    def ended(*_):
        raise AuthenticationError("looked at again")

    token = issuer.token()
    issuers.authenticate(token)
    monkeypatch.setattr(oidc, "_decoded", ended)
    clock.ahead = 650
    assert issuers.authenticate(token).id == "ann"
    clock.ahead = 661
    refused(issuers, token, "looked at again")


def test_a_token_without_a_key_id(issuers, issuer, clock):
    assert issuers.authenticate(issuer.token(headers={})).id == "ann"
    issuer.add("k2", ec.generate_private_key(ec.SECP256R1()))
    clock.ahead = 601
    refused(issuers, issuer.token(headers={}, jti="2"), "no key of that id")


@pytest.mark.parametrize(
    "answers",
    [
        {"/jwks": (500, b"")},
        {"/jwks": (200, b"<html>")},
        {"/jwks": (200, b"[]")},
        {"/jwks": (200, b'{"keys": {"a": 1}}')},
        {"/jwks": (200, b'{"keys": [1, {}, {"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}]}')},
        {"/jwks": (200, b"[" * 100_000)},
        {"/jwks": (200, b" " * (oidc.ANSWER_LIMIT + 1))},
        {"/.well-known/openid-configuration": (404, b"")},
        {"/.well-known/openid-configuration": (302, b"")},
        {"/.well-known/openid-configuration": (200, b'{"issuer": "https://evil.example"}')},
    ],
)  # fmt: skip
def test_an_issuer_that_answers_nonsense(issuers, issuer, clock, answers):
    issuer.answers = answers
    refused(issuers, issuer.token(), "cannot be asked")
    issuer.answers = {}
    clock.ahead = 11
    assert issuers.authenticate(issuer.token()).id == "ann"


def test_keys_are_not_fetched_in_clear_text_from_elsewhere(issuers, issuer):
    found = {"issuer": issuer.url, "jwks_uri": "http://keys.example/jwks"}
    issuer.answers["/.well-known/openid-configuration"] = (200, json.dumps(found).encode())
    refused(issuers, issuer.token(), "cannot be asked")


def test_a_key_that_cannot_be_read(issuers, issuer):
    broken = {"keys": [{"kty": "RSA", "kid": "k1", "n": "%", "e": 5}]}
    issuer.answers["/jwks"] = (200, json.dumps(broken).encode())
    refused(issuers, issuer.token(), "key cannot be read")


def test_an_issuer_that_is_down(clock):
    issuer = Issuer()
    issuers = oidc.Issuers([oidc.Settings(issuer.url, ("polyport",))], ROLES, clock=clock)
    now = int(time.time())
    first, second, third = (issuer.token(exp=now + 200_000, jti=str(n)) for n in range(3))
    assert issuers.authenticate(first).id == "ann"
    issuer.close()
    clock.ahead = 3600
    assert issuers.authenticate(first).id == issuers.authenticate(second).id == "ann"
    clock.ahead = 90_000
    refused(issuers, third, "cannot be asked")
    refused(issuers, first, "cannot be asked")


def test_over_http_a_token_is_taken_and_never_the_owner_instead(issuers, issuer, tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    control = Control(ledger.journal)
    identity = Identity(control, issuers, local_owner=True)
    _, key = keys.create(control, Principal("robot"), by="owner")
    try:
        assert identity(asks(f"Bearer {issuer.token()}"))[0].id == "ann"
        password = base64.b64encode(f"ann:{issuer.token()}".encode()).decode()
        assert identity(asks(f"Basic {password}"))[0].id == "ann"
        assert identity(asks(f"Bearer {key}"))[0].id == "robot"
        with pytest.raises(AuthenticationError, match="expired"):
            identity(asks(f"Bearer {issuer.token(exp=1)}"))
    finally:
        ledger.close()


def asks(authorization):
    raw = [(b"authorization", authorization.encode())]
    return HTTPConnection({"type": "http", "headers": raw})


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(MissingExtraError, match="polyport\\[oidc\\]"):
        oidc.issuers({"oidc": [{"issuer": "https://x", "audience": "a"}]})


def test_two_issuers_cannot_collide(issuer, clock):
    other = Issuer()
    try:
        given = [
            oidc.Settings(i.url, ("polyport",), prefix=p)
            for i, p in ((issuer, ""), (other, "corp"))
        ]
        roles = {"analyst": ["corp#research"], "accountant": ["user:corp#ann"]}
        issuers = oidc.Issuers(given, roles, clock=clock)
        first = issuers.authenticate(issuer.token(groups=["research"]))
        second = issuers.authenticate(other.token(groups=["research"]))
        assert (first.id, first.roles) == (f"{issuer.url}#ann", frozenset())
        assert (second.id, second.roles) == ("corp#ann", {"analyst", "accountant"})
        assert not first.teams & second.teams
        crossed = other.token(iss=issuer.url)  # signed by the one, said to be the other's
        refused(issuers, crossed, "signature")
    finally:
        other.close()


def test_issuers_that_cannot_be_used(issuer):
    same = oidc.Settings(issuer.url, ("a",))
    with pytest.raises(ConfigurationError, match="twice"):
        oidc.Issuers([same, same], {})
    for url in ("http://login.example", "ftp://x", "https://x/?a", "login", "http://[::1"):
        with pytest.raises(ConfigurationError, match="https"):
            oidc.Issuers([oidc.Settings(url, ("a",))], {})


def test_the_block_of_mesh_yaml():
    assert oidc.issuers({}) is None
    found = oidc.issuers({"oidc": [{"issuer": "https://x", "audience": "a"}], "roles": {"r": "g"}})
    assert found.known["https://x"].settings.audience == ("a",)
    assert found.roles == {"r": {"g"}}


def pieces(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda c: st.lists(c, max_size=2) | st.dictionaries(st.text(max_size=5), c, max_size=2),
    max_leaves=4,
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.fixed_dictionaries({"alg": st.sampled_from(["RS256", "ES256", "none"]) | JSON, "kid": JSON})
    | JSON,
    st.dictionaries(st.sampled_from(["exp", "aud", "sub", "iat", "nbf"]), JSON) | JSON,
    st.text(max_size=8),
)
def test_no_token_breaks_it(issuers, issuer, header, claims, sign):
    if isinstance(claims, dict):
        claims["iss"] = issuer.url
    for token in (f"{pieces(header)}.{pieces(claims)}.{sign}", sign):
        with pytest.raises(PolyportError):
            issuers.authenticate(token)
