"""Who is asking, over HTTP. Today: the owner of the folder, on this machine, who may also ask as one of the roles."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from polyport.errors import AccessError
from polyport.model import OWNER, OWNER_ROLE, Principal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import HTTPConnection

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")


def local_owner(connection: HTTPConnection) -> tuple[Principal, str]:
    """The principal and the purpose of a request to a server that only this machine can reach.

    The owner sees everything. `Polyport-Role: partner; studio=Warner%20Bros.` asks as a principal with that role and
    attributes instead, which can only show less; `Polyport-Purpose: planning` states a purpose.

    Raises:
        AccessError: The role is not written as above.
    """
    purpose = connection.headers.get("polyport-purpose", "")
    asked = connection.headers.get("polyport-role", "")
    if not asked or asked.strip() == OWNER_ROLE:
        return OWNER, purpose
    roles, _, rest = asked.partition(";")
    names = frozenset(name.strip() for name in roles.split(",") if name.strip()) - {OWNER_ROLE}
    return Principal(f"owner as {roles.strip()}", names, _attributes(rest)), purpose


def _attributes(text: str) -> Mapping[str, str]:
    found = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        name, equals, value = part.partition("=")
        if not equals:
            raise AccessError(
                f"{part!r} in Polyport-Role is not name=value",
                fix="Polyport-Role: partner; studio=Fox",
            )
        found[name.strip()] = unquote(value.strip())
    return found
