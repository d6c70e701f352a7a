"""Who is asking, over HTTP. Today: the owner of the folder, on this machine, who may also ask as one of the roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote

from polyport.errors import AccessError
from polyport.model import OWNER, OWNER_ROLE, Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import HTTPConnection

Identify: TypeAlias = "Callable[[HTTPConnection], tuple[Principal, str]]"
"""Gives the principal and the purpose of a request (empty: none stated).

Raises AuthenticationError or AccessError.
"""
LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")


def local_owner(connection: HTTPConnection) -> tuple[Principal, str]:
    """The principal and the purpose of a request to a server that only this machine can reach.

    The owner sees everything. `Polyport-Role: partner; studio=Warner%20Bros.` asks as a principal with that role and
    attributes instead, which can only show less; `Polyport-Purpose: planning` states a purpose.

    Raises:
        AccessError: The role is not written as above, or a header is sent twice.
    """
    purpose = _once(connection, "Polyport-Purpose") or ""
    asked = _once(connection, "Polyport-Role")
    if asked is None or asked == OWNER_ROLE:
        return OWNER, purpose
    roles, _, rest = asked.partition(";")
    names = frozenset(unquote(name.strip()) for name in roles.split(",")) - {OWNER_ROLE, ""}
    name = f"owner as {roles.strip()}"
    return Principal(name, names, _attributes(rest), needs_agreement=False), purpose


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
