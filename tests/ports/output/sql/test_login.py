"""Who is let in: the owner, keys by SCRAM, tokens; over TLS, bound to it; and nobody by guessing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
import struct
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest

from polyport.access import keys
from polyport.access.identity import Identity
from polyport.model import Principal
from polyport.ports.output import Endpoint
from polyport.ports.output.sql import SqlPort
from polyport.ports.output.sql.login import Guesses
from polyport.ports.output.sql.scram import binding
from polyport.product import Product

from .wire_client import Wire, fields, framed, kinds, startup

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
ANALYST = Principal("ann", frozenset({"analyst"}))


@contextmanager
def listening(folder, certificate=None, **identity):
    with Product.load(folder) as product:
        ports = [port for port in product.ports() if isinstance(port, SqlPort)]
        known = Identity(product.control, **identity)
        server = SqlPort.listen(ports, Endpoint(certificate=certificate, identity=known))
        server.doorkeeper.pause = lambda _: None
        try:
            yield server, product
        finally:
            server.close()


def dsn(server, key, user="ann", **more):
    rest = "".join(f" {k}={v}" for k, v in more.items())
    return f"host=127.0.0.1 port={server.port} user={user} password={key} dbname=cinema{rest}"


def test_a_key_is_a_password_as_long_as_it_works(folder):
    with listening(folder) as (server, product):
        key, text = keys.create(product.control, ANALYST, by="owner")
        _, second = keys.create(product.control, ANALYST, by="owner")
        purpose = "options='-c polyport.purpose=planning'"
        with psycopg.connect(f"{dsn(server, text)} {purpose}", autocommit=True) as client:
            with psycopg.connect(f"{dsn(server, second)} {purpose}") as other:
                assert other.execute("SELECT 1").fetchone() == (1,)
            client.execute("SELECT 1")
            keys.revoke(product.control, key.id, by="owner")
            with pytest.raises(psycopg.Error):
                client.execute("SELECT 1")
            assert client.closed
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(dsn(server, text))


def test_the_older_secret_of_a_rotation_works_in_its_grace(folder):
    with listening(folder) as (server, product):
        key, old = keys.create(product.control, ANALYST, by="owner")
        _, new = keys.rotate(product.control, key.id, grace=timedelta(hours=1), by="owner")
        for text in (old, new):
            psycopg.connect(dsn(server, text)).close()


def test_without_the_local_owner_the_owner_needs_a_key(folder):
    with (
        listening(folder) as (server, _),
        Wire(server.port) as wire,
    ):
        wire.send(startup(user="owner", database="cinema"))
        kind, body = wire.read()
        assert (kind, body[:4]) == (b"R", struct.pack("!i", 10))


def test_nobody_but_the_owner_previews(folder):
    with listening(folder) as (server, product):
        _, text = keys.create(product.control, ANALYST, by="owner")
        with pytest.raises(psycopg.OperationalError, match="may not ask as somebody else"):
            psycopg.connect(dsn(server, text, options="'-c polyport.role=partner'"))


def scram(wire, user, password, *, header="n,,", mechanism="SCRAM-SHA-256", bound=b"", change=None):
    """A login by hand; the server's answers."""
    wire.send(startup(user=user, database="cinema"))
    offered = wire.read()
    first = "n=,r=abcdefgh"
    said = f"{header}{first}".encode()
    wire.send(framed(b"p", f"{mechanism}\0".encode() + struct.pack("!i", len(said)) + said))
    kind, body = wire.read()
    if kind == b"E":
        return offered, (kind, body), None
    server_first = body[4:].decode()
    parts = dict(p.split("=", 1) for p in server_first.split(","))
    salted = hashlib.pbkdf2_hmac(
        "sha256", password.encode(), base64.b64decode(parts["s"]), int(parts["i"])
    )
    key = hmac.digest(salted, b"Client Key", "sha256")
    channel = base64.b64encode(header.encode() + bound).decode()
    without = f"c={channel},r={parts['r']}"
    signature = hmac.digest(
        hashlib.sha256(key).digest(), f"{first},{server_first},{without}".encode(), "sha256"
    )
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))).decode()
    final = f"{without},p={proof}"
    wire.send(framed(b"p", (change(final) if change else final).encode()))
    return offered, wire.read(), server_first


def test_who_does_not_exist_is_asked_as_who_does(folder):
    with listening(folder) as (server, product):
        keys.create(product.control, ANALYST, by="owner")
        seen = []
        for user in ("ann", "nobody", "nobody"):
            with Wire(server.port) as wire:
                offered, answer, first = scram(wire, user, "pp_wrong")
                seen.append((offered, fields(answer[1])["C"], first.split(",")[1:]))
        assert [each[:2] for each in seen[1:]] == [seen[0][:2]] * 2
        assert seen[1][2] == seen[2][2]
        assert seen[0][1] == "28P01"


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"header": "y,,"}, None),
        ({"header": "n,a=admin,"}, "08P01"),
        ({"header": "p=tls-unique,,"}, "08P01"),
        ({"mechanism": "SCRAM-SHA-1"}, "08P01"),
        ({"change": lambda f: f.replace("r=abc", "r=xyz")}, "08P01"),
        ({"change": lambda f: "c=AAAA" + f[f.index(",") :]}, "28000"),
        ({"change": lambda f: f[: f.index(",p=")] + ",p=!!"}, "08P01"),
        ({"change": lambda f: "nonsense"}, "08P01"),
    ],
)
def test_scram_is_strict(folder, how, expected):
    with listening(folder) as (server, product):
        _, text = keys.create(product.control, ANALYST, by="owner")
        with Wire(server.port) as wire:
            kind, body = scram(wire, "ann", text, **how)[1]
            if expected is None:
                assert (kind, body[:4]) == (b"R", struct.pack("!i", 12))
            else:
                assert fields(body)["C"] == expected


def test_tls_and_what_is_bound_to_it(folder, certificate):
    with listening(folder, certificate) as (server, product):
        _, text = keys.create(product.control, ANALYST, by="owner")
        for more in (
            {"sslmode": "require", "channel_binding": "require"},
            {"sslmode": "verify-ca", "sslrootcert": certificate},
            {"sslmode": "disable"},
        ):
            with psycopg.connect(dsn(server, text, **more)) as client:
                assert client.execute("SELECT 1").fetchone() == (1,)
                assert client.pgconn.ssl_in_use == (more["sslmode"] != "disable")
        context = ssl.create_default_context(cafile=certificate)
        context.set_alpn_protocols(["postgresql"])
        with Wire(server.port) as wire:
            wire.source.close()
            with context.wrap_socket(wire.socket, server_hostname="127.0.0.1") as secure:
                wire.socket, wire.source = secure, secure.makefile("rb")
                bound = hashlib.sha256(secure.getpeercert(binary_form=True)).digest()
                assert bound == binding(certificate)
                offered, answer, _ = scram(wire, "ann", text, header="y,,")
                assert b"SCRAM-SHA-256-PLUS" in offered[1]
                assert fields(answer[1])["C"] == "28000"


def test_tls_from_the_first_byte(folder, certificate):
    if psycopg.pq.version() < 170000:
        pytest.skip("libpq 17 is the first that speaks TLS from the first byte")
    with listening(folder, certificate) as (server, product):
        _, text = keys.create(product.control, ANALYST, by="owner")
        for more in (
            {"sslmode": "require"},
            {"sslmode": "require", "channel_binding": "require"},
            {"sslmode": "verify-full", "sslrootcert": certificate, "channel_binding": "require"},
        ):
            with psycopg.connect(dsn(server, text, sslnegotiation="direct", **more)) as client:
                assert client.pgconn.ssl_in_use
                assert client.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(dsn(server, "pp_wrong", sslnegotiation="direct", sslmode="require"))
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            psycopg.connect(
                dsn(
                    server,
                    text,
                    sslnegotiation="direct",
                    sslmode="verify-full",
                    sslrootcert="system",
                )
            )
    with listening(folder) as (server, _), pytest.raises(psycopg.OperationalError):
        psycopg.connect(
            dsn(server, text, sslnegotiation="direct", sslmode="require", connect_timeout=30)
        )


@pytest.mark.parametrize("protocols", [["postgresql"], ["h2", "postgresql"], ["http/1.1"], []])
def test_tls_from_the_first_byte_is_only_for_who_means_us(folder, certificate, protocols):
    context = ssl.create_default_context(cafile=certificate)
    if protocols:
        context.set_alpn_protocols(protocols)
    with listening(folder, certificate, local_owner=True) as (server, _), Wire(server.port) as wire:
        wire.source.close()
        with context.wrap_socket(wire.socket, server_hostname="localhost") as secure:
            wire.socket, wire.source = secure, secure.makefile("rb")
            meant = "postgresql" in protocols
            assert secure.selected_alpn_protocol() == ("postgresql" if meant else None)
            if meant:
                wire.send(startup(user="owner", database="cinema"))
                assert kinds(wire.until()).endswith("KZ")
                assert kinds(wire.query("SELECT 1")) == "TDCZ"
            else:
                said = fields(wire.until()[-1][1])
                assert (said["S"], said["C"]) == ("FATAL", "08P01")
                assert "ALPN" in said["M"]


def test_what_is_sent_before_tls_is_not_taken_for_what_is_in_it(folder, certificate):
    with listening(folder, certificate) as (server, _), Wire(server.port) as wire:
        wire.send(struct.pack("!ii", 8, 80877103), startup(user="owner"))
        assert wire.source.read(1) == b"S"
        with suppress(ConnectionResetError):
            assert "Z" not in kinds(wire.until())


class Issuers:
    def authenticate(self, token):
        from polyport.errors import AuthenticationError

        if token != "a.good.token":
            raise AuthenticationError("the token is not accepted")
        return Principal("tom", frozenset({"analyst"}))


def test_a_token_is_a_password_of_its_own_principal_only(folder):
    with listening(folder, issuers=Issuers()) as (server, _):
        with psycopg.connect(dsn(server, "a.good.token", user="tom")) as client:
            assert client.execute("SELECT 1").fetchone() == (1,)
        for user, token in (("tom", "a.bad.token"), ("eve", "a.good.token")):
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(dsn(server, token, user=user))


def test_each_wrong_guess_takes_longer():
    guesses = Guesses()
    waits = [guesses.wrong("1.2.3.4") for _ in range(8)]
    assert waits == sorted(waits)
    assert waits[0] < 0.5 < waits[-1] <= 4
    guesses.right("1.2.3.4")
    assert guesses.wrong("1.2.3.4") == waits[0]
    assert guesses.wrong("5.6.7.8") == waits[0]
