"""Who is asking, over HTTP: by an API key, by a token of an issuer, or as the owner on this machine."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote

from polyport.access import keys
from polyport.errors import AccessError, AuthenticationError
from polyport.model import OWNER, OWNER_ROLE, Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import HTTPConnection

    from polyport.access.control import Control
    from polyport.access.oidc import Issuers

Identify: TypeAlias = "Callable[[HTTPConnection], tuple[Principal, str]]"
"""Gives the principal and the purpose of a request (empty: none stated).

Raises AuthenticationError or AccessError.
"""
LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")


@dataclass(frozen=True, slots=True)
class Identity:
    """Knows who asks: an `Identify`."""

    control: Control
    """Of the ledger whose keys are taken."""
    issuers: Issuers | None = None
    """Whose tokens are taken; None: nobody's."""
    local_owner: bool = False
    """Whether a request without credentials is the owner's: only where nobody but this machine can send one."""

    def __call__(self, connection: HTTPConnection) -> tuple[Principal, str]:
        """The principal and the purpose of a request.

        `Authorization: Bearer <key or token>`, or `Basic` with it as the password. An owner may ask as somebody else
        (`Polyport-Role`), nobody else may. Credentials that are wrong are refused, whatever else would be let in.

        Raises:
            AuthenticationError: There are no credentials, or they are of no use.
            AccessError: A header is written wrong or sent twice, or a preview is asked for by somebody else.
            StoreError: The journal cannot be read.
        """
        given = connection.headers.getlist("Authorization")
        if not given:
            if self.local_owner:
                return local_owner(connection)
            raise AuthenticationError(
                "it is not known who asks", fix="Authorization: Bearer KEY; or KEY as the password"
            )
        if len(given) > 1:
            raise AuthenticationError(
                f"the header Authorization is sent {len(given)} times", fix="send it once"
            )
        return previewed(connection, self.authenticate(credential(given[0])))

    def authenticate(self, credential: str) -> Principal:
        """The principal of an API key or an issuer's token.

        Raises:
            AuthenticationError: It is of no use.
            StoreError: The journal cannot be read.
        """
        if keys.is_key(credential) or self.issuers is None:
            return keys.authenticate(self.control, credential)
        return self.issuers.authenticate(credential)


def local_owner(connection: HTTPConnection) -> tuple[Principal, str]:
    """The principal and the purpose of a request to a server that only this machine can reach: the owner's.

    Raises:
        AccessError: A header is written wrong, or sent twice.
    """
    return previewed(connection, OWNER)


def previewed(connection: HTTPConnection, known: Principal) -> tuple[Principal, str]:
    """Who asks: `known`, or whom it asks as; and the purpose.

    The owner sees everything. `Polyport-Role: partner; studio=Warner%20Bros.` asks as a principal with that role and
    attributes instead, which can only show less; `Polyport-Purpose: planning` states a purpose.

    Raises:
        AccessError: `known` is not the owner, the role is not written as above, or a header is sent twice.
    """
    purpose = _once(connection, "Polyport-Purpose") or ""
    asked = _once(connection, "Polyport-Role")
    return (known if asked is None else preview(known, asked)), purpose


def preview(known: Principal, asked: str) -> Principal:
    """Whom the owner `known` asks as: `partner; studio=Warner%20Bros.`, roles (by comma) and attributes.

    Raises:
        AccessError: `known` is not the owner, or `asked` is not written as above.
    """
    if OWNER_ROLE not in known.roles:
        raise AccessError(f"{known.id} may not ask as somebody else", fix="leave Polyport-Role out")
    if asked == OWNER_ROLE:
        return known
    roles, _, rest = asked.partition(";")
    names = frozenset(unquote(name.strip()) for name in roles.split(",")) - {OWNER_ROLE, ""}
    name = f"{known.id} as {roles.strip()}"
    seen = Principal(name, names, _attributes(rest), needs_agreement=False)
    return replace(seen, credential=known.credential)


def credential(header: str) -> str:
    """The key or token in an Authorization header, of HTTP or gRPC.

    Raises:
        AuthenticationError: There is none.
    """
    scheme, _, rest = header.strip().partition(" ")
    match scheme.lower():
        case "bearer":
            found = rest.strip()
        case "basic":
            found = _password(rest.strip())
        case _:
            found = ""
    if not found:
        raise AuthenticationError(
            "the header Authorization holds no key and no token",
            fix="Authorization: Bearer KEY; or KEY as the password",
        )
    return found


def _password(encoded: str) -> str:
    """The password; the user's name, where that is all there is (`curl -u KEY:`).

    Clients of gRPC in Go leave out the padding.
    """
    padded = encoded + "=" * (-len(encoded) % 4)
    try:
        user, _, password = base64.b64decode(padded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return ""
    return password or user


def _once(connection: HTTPConnection, name: str) -> str | None:
    """The header's value, or None where it is not sent.

    Sent twice, it could mean another thing to a proxy than here. Sent empty, it asks as nobody, not as the owner: a
    script whose variable was not set must not be shown everything.
    """
    given = connection.headers.getlist(name)
    if len(given) > 1:
        raise AccessError(f"the header {name} is sent {len(given)} times", fix="send it once")
    return given[0].strip() if given else None


def _attributes(text: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or name in ("", "id", *found):
            wrong = "is not a new name=value" if equals else "is not name=value"
            raise AccessError(
                f"{part!r} in Polyport-Role {wrong}", fix="Polyport-Role: partner; studio=Fox"
            )
        found[name] = unquote(value.strip())
    return found
