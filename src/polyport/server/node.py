"""Where a node listens, and who is let in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from polyport.access import keys, oidc
from polyport.access.identity import LOOPBACK, Identity
from polyport.errors import ConfigurationError

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from polyport.product import Product

BACKLOG = 2048
"""How many may wait for their connection to be taken."""


@dataclass(frozen=True, slots=True)
class Node:
    """Where `serve` listens, and who is let in."""

    host: str = "127.0.0.1"
    port: int = 8400
    certificate: Path | None = None
    """The TLS certificate's PEM file, with its chain; None: what is sent can be read on the way."""
    certificate_key: Path | None = None
    """The PEM file of its private key; None: it is in `certificate`."""
    identity: Mapping[str, Any] = field(default_factory=dict)
    """The block `identity` of `mesh.yaml`."""
    mesh: str = "mesh"
    """The mesh's name: the database of its SQL ports."""
    listen: Mapping[str, int] = field(default_factory=dict)
    """Type of a listening port -> its TCP port; default: that of HTTP and the type's offset."""

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK

    @property
    def name(self) -> str:
        """Its host, as it stands in addresses."""
        name = self.host.strip("[]")
        return f"[{name}]" if ":" in name else name

    @property
    def base(self) -> str:
        """Its address."""
        return f"{'https' if self.certificate else 'http'}://{self.name}:{self.port}"


def mesh_name(products: Sequence[Product]) -> str:
    """What SQL calls the database."""
    return next((p.mesh for p in products), "") or "mesh"


def login(products: Sequence[Product], at: Node) -> Identity:
    """Who is let in.

    Raises:
        ConfigurationError: There is no product; others can reach it, and there is neither a key nor an issuer to know
            them by; or two issuers cannot be told apart.
        MissingExtraError: There are issuers, and the extra `oidc` is not installed.
        StoreError: The ledger cannot be read.
    """
    if not products:
        raise ConfigurationError("there is no product to serve", fix="the folder of one, or a mesh")
    control = products[0].control
    issuers = oidc.issuers(at.identity)
    if not at.local and issuers is None and not keys.usable(control):
        raise ConfigurationError(
            f"on {at.host!r} others can reach it, and nobody can log in",
            where="serve --host",
            fix="polyport access key create PRINCIPAL --role ROLE; or identity.oidc in mesh.yaml; or 127.0.0.1",
        )
    owner = at.local and issuers is None and at.identity.get("local_owner", True) is not False
    return Identity(control, issuers, owner)


def check_address(at: Node) -> None:
    """Make sure that `serve` can use the address.

    Raises:
        ConfigurationError: It is in use, or is not this machine's; or TLS cannot be set up.
    """
    if at.certificate:
        _check_certificate(at.certificate, at.certificate_key)
    check_free(*_http(at))


def opened(at: Node) -> Sequence[socket.socket]:
    """Where HTTP is listened for: who connects from now on is answered as soon as there is somebody to answer.

    Raises:
        ConfigurationError: The address is in use, or is not this machine's.
    """
    found = bound(*_http(at))
    for each in found:
        each.listen(BACKLOG)
    return found


def _http(at: Node) -> tuple[str, int, str, str]:
    return at.host, at.port, "--port", f"--port {at.port + 1}"


def check_free(host: str, port: int, option: str, other: str) -> None:
    """Make sure that a port can be listened at: see `bound`.

    Raises:
        ConfigurationError: As `bound`.
    """
    for each in bound(host, port, option, other):
        each.close()


def bound(host: str, port: int, option: str, other: str) -> Sequence[socket.socket]:
    """A socket for each address of `host`, at `port`. `option` of `serve` set it; `other` would set another.

    Raises:
        ConfigurationError: It is in use, or the address is not this machine's.
    """
    import errno  # noqa: PLC0415
    import socket  # noqa: PLC0415

    made = []
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, address in found:
            made.append(socket.socket(family, kind, protocol))
            made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # the same port of IPv4 is somebody else's
                made[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made[-1].bind(address)
    except OSError as error:
        for each in made:
            each.close()
        taken = error.errno == errno.EADDRINUSE
        raise ConfigurationError(
            f"{host}:{port} cannot be used: {error.strerror}",
            where=f"serve {option}" if taken else "serve --host",
            fix=f"polyport serve {other}" if taken else "an address of this machine",
        ) from error
    return made


def _check_certificate(certificate: Path, key: Path | None) -> None:
    import ssl  # noqa: PLC0415

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except OSError as error:  # SSLError is one
        raise ConfigurationError(
            f"TLS cannot be set up: {error.strerror or error}",
            where="serve --tls-cert",
            fix="a PEM certificate with its chain, and its private key (without a password)",
        ) from error
