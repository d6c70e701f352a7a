"""`keys`: the API keys of everything that this ledger serves, at `/control/keys`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from starlette.responses import JSONResponse
from starlette.routing import Route

from polyport.access import keys, times
from polyport.errors import AccessError, QueryError
from polyport.model import OWNER_ROLE, PLATFORM_ROLE, Principal
from polyport.ports.configuration._asked import by_method, only
from polyport.ports.http import VARY
from polyport.ports.management import Content, ManagementContext, Operation, steering

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from polyport.access.keys import Key

_HEADERS = {"Cache-Control": "no-store", "Vary": VARY}
_KNOWN = ("principal", "roles", "teams", "attributes", "expires", "note")
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_CREATED = {
    "type": "object",
    "additionalProperties": False,
    "required": ["principal"],
    "properties": {
        "principal": _TEXT,
        "roles": _TEXTS,
        "teams": _TEXTS,
        "attributes": {"type": "object", "additionalProperties": _TEXT},
        "expires": {**_TEXT, "description": "90d, a date, or an RFC 3339 time; else never"},
        "note": _TEXT,
    },
}
_ROTATED = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"grace": {**_TEXT, "description": "How long the old secret works, too: 1h"}},
}


class KeysPort:
    """Lists, creates, rotates and revokes keys. See `docs/identity.md`."""

    name: ClassVar[str] = "keys"
    content: ClassVar[Content] = "control"

    def __init__(self, context: ManagementContext) -> None:
        self.context = context

    def routes(self) -> Sequence[BaseRoute]:
        """See `ManagementPort.routes`."""
        base = f"/control/{self.name}"
        return [
            Route(base, by_method(GET=self._list, POST=self._create)),
            Route(f"{base}/{{key}}", by_method(GET=self._show, DELETE=self._revoke)),
            Route(f"{base}/{{key}}/rotate", by_method(POST=self._rotate)),
        ]

    def operations(self) -> Sequence[Operation]:
        """See `Described.operations`."""
        base = f"/control/{self.name}"
        rotated = "Give it a new secret, told this once"
        return [
            Operation("GET", base, "All keys, never their secrets"),
            Operation("POST", base, "A key, its text told this once", body=_CREATED, created=True),
            Operation("GET", f"{base}/{{key}}", "One key"),
            Operation("DELETE", f"{base}/{{key}}", "Revoke it"),
            Operation("POST", f"{base}/{{key}}/rotate", rotated, body=_ROTATED),
        ]

    def _list(self, request: Request, _: object) -> Response:
        self._steering(request)
        now = datetime.now(UTC)
        found = [_told(key, now) for key in keys.keys(self.context.control).values()]
        return JSONResponse({"keys": found}, headers=_HEADERS)

    def _create(self, request: Request, body: Mapping[str, Any]) -> Response:
        asker = self._steering(request)
        only(body, _KNOWN)
        roles = frozenset(_texts(body, "roles"))
        if any(keys.is_owner(role) for role in roles):
            self._owning(asker, "give the role of an owner")
        attributes = body.get("attributes", {})
        if not isinstance(attributes, dict) or not all(
            isinstance(value, str) for value in attributes.values()
        ):
            raise _wrong("attributes", "an object of texts")
        asked = Principal(
            _text(body, "principal"), roles, attributes, frozenset(_texts(body, "teams"))
        )
        until = _text(body, "expires")
        key, text = keys.create(
            self.context.control,
            asked,
            expires=times.moment(until) if until else None,
            note=_text(body, "note"),
            by=asker.id,
        )
        return self._shown_once(key, text, 201)

    def _show(self, request: Request, _: object) -> Response:
        self._steering(request)
        key = keys.one(self.context.control, request.path_params["key"])
        return JSONResponse(_told(key, datetime.now(UTC)), headers=_HEADERS)

    def _revoke(self, request: Request, _: object) -> Response:
        asker, key = self._chosen(request, "revoke an owner's key")
        key = keys.revoke(self.context.control, key.id, by=asker.id)
        return JSONResponse(_told(key, datetime.now(UTC)), headers=_HEADERS)

    def _rotate(self, request: Request, body: Mapping[str, Any]) -> Response:
        asker, key = self._chosen(request, "rotate an owner's key")
        only(body, ("grace",))
        grace = times.span(_text(body, "grace") or "0")
        key, text = keys.rotate(self.context.control, key.id, grace=grace, by=asker.id)
        return self._shown_once(key, text, 200)

    def _shown_once(self, key: Key, text: str, status: int) -> Response:
        where = f"{self.context.base}/control/{self.name}/{key.id}"
        body = {**_told(key, datetime.now(UTC)), "key": text}
        headers = {**_HEADERS, "Location": where} if status == 201 else _HEADERS  # noqa: PLR2004 - created
        return JSONResponse(body, status, headers)

    def _chosen(self, request: Request, to: str) -> tuple[Principal, Key]:
        """Who asks, and the key that is meant.

        Raises:
            AccessError: It is an owner's, and they are none: a new secret of it would make them one.
        """
        asker = self._steering(request)
        key = keys.one(self.context.control, request.path_params["key"])
        if key.owns:
            self._owning(asker, to)
        return asker, key

    def _steering(self, request: Request) -> Principal:
        """Who asks, if they may manage keys.

        Raises:
            AccessError: They may not; nor may the owner of one product, for a key holds for all of the mesh.
        """
        asker, _ = self.context.identify(request)
        steering(self.context, asker, "manage keys")
        if not {OWNER_ROLE, PLATFORM_ROLE} & asker.roles:
            raise AccessError(
                f"{asker.id} owns this product only, and a key holds for the whole mesh",
                where=self.context.product.id,
                fix=f"the roles {OWNER_ROLE!r} and {PLATFORM_ROLE!r} may",
            )
        return asker

    def _owning(self, asker: Principal, to: str) -> None:
        if OWNER_ROLE not in asker.roles:
            raise AccessError(
                f"{asker.id} may not {to}",
                where=self.context.product.id,
                fix="its owner may",
            )


def _told(key: Key, now: datetime) -> dict[str, Any]:
    told = key.record(now)
    return {n: v.isoformat() if isinstance(v, datetime) else v for n, v in told.items()}


def _text(body: Mapping[str, Any], name: str) -> str:
    found = body.get(name) or ""
    if not isinstance(found, str):
        raise _wrong(name, "a text")
    return found


def _texts(body: Mapping[str, Any], name: str) -> list[str]:
    found = body.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise _wrong(name, "a list of texts")
    return found


def _wrong(name: str, wanted: str) -> QueryError:
    return QueryError(f"the member {name!r} is not {wanted}", fix=f"send {wanted}")
