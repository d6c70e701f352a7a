"""`agreements`: data sharing agreements, asked for and decided on, at `/control/agreements`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from starlette.responses import Response
from starlette.routing import Route

from polyport.access.agreements import agreements, document, history
from polyport.access.deciding import STEPS, Desk
from polyport.descriptor.write import dump
from polyport.errors import AccessError, QueryError
from polyport.ports.configuration._asked import by_method
from polyport.ports.http import (
    PERSONAL,
    HttpError,
    chosen,
    digest,
    etag_matches,
    not_modified,
)
from polyport.ports.management import Content, ManagementContext, Operation, steering

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from polyport.access.agreements import Agreement, Decision
    from polyport.errors import Diagnostic
    from polyport.model import Principal

HAL, JSON, YAML = "application/hal+json", "application/json", "application/yaml"
_VERBS: Mapping[str, Decision] = {
    "approve": "approved", "refuse": "refused", "revoke": "revoked",
}  # fmt: skip
_ASKED = {"type": "object", "description": "A Bitol OAAS document (draft): `AccessAgreement`"}
_NOTE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"note": {"type": "string", "description": "Why; needed to refuse and revoke"}},
}


class AgreementsPort:
    """Requests, decisions and their history as Bitol OAAS documents. See `docs/agreements.md`."""

    name: ClassVar[str] = "agreements"
    content: ClassVar[Content] = "control"

    def __init__(self, context: ManagementContext) -> None:
        self.context = context

    def routes(self) -> Sequence[BaseRoute]:
        """See `ManagementPort.routes`."""
        base = f"/control/{self.name}"
        return [
            Route(base, by_method(GET=self._list, POST=self._request)),
            Route(f"{base}/{{id}}", by_method(GET=self._show, PUT=self._change)),
            *(Route(f"{base}/{{id}}/{verb}", by_method(POST=self._decide)) for verb in _VERBS),
        ]

    def operations(self) -> Sequence[Operation]:
        """See `Described.operations`."""
        base = f"/control/{self.name}"
        one = f"{base}/{{id}}"
        return [
            Operation("GET", base, "The agreements that you may know of", media=HAL),
            Operation("POST", base, "Ask for one", body=_ASKED, created=True, media=HAL),
            Operation("GET", one, "One, as an OAAS document", media=HAL),
            Operation("PUT", one, "Other terms, as a new version", body=_ASKED, media=HAL),
            *(
                Operation("POST", f"{one}/{verb}", f"{verb.title()} it", body=_NOTE, media=HAL)
                for verb in _VERBS
            ),
        ]

    def _list(self, request: Request, _: object) -> Response:
        principal, _purpose = self.context.identify(request)
        now = datetime.now(UTC)
        found = agreements(self.context.control, self.context.product.id).values()
        seen = [a for a in found if self._sees(principal, a)]
        links = {
            "self": {"href": self._base},
            "up": {"href": self.context.base},
            "request": {"href": self._base, "title": "POST an AccessAgreement"},
        }
        shown = [self._linked(a, principal, now) for a in seen]
        tag = f'"{digest(shown)}"'
        if etag_matches(request, tag):
            return not_modified({**PERSONAL, "ETag": tag})
        body = {"_links": links, "_embedded": {"agreements": shown}}
        return _answer(body, HAL, {"ETag": tag})

    def _request(self, request: Request, body: Mapping[str, Any]) -> Response:
        principal, _ = self.context.identify(request)
        asked = dict(body)
        asked.setdefault("consumer", _self(principal))
        self._may_ask(principal, asked["consumer"])
        made, warnings = self._desk().request(asked, by=principal.id)
        headers = {"Location": self._address(made)}
        return self._told(request, made, principal, (201, headers, warnings))

    def _show(self, request: Request, _: object) -> Response:
        principal, found = self._chosen(request)
        return self._told(request, found, principal)

    def _change(self, request: Request, body: Mapping[str, Any]) -> Response:
        principal, found = self._chosen(request)
        self._unchanged(request, found, principal)
        if not principal.steers(self.context.product.id):
            if found.decision != "requested":
                raise AccessError(
                    f"{principal.id} may not change what was decided",
                    where=self.context.product.id,
                    fix="ask for another agreement",
                )
            self._may_ask(principal, body.get("consumer", {}))
        made, warnings = self._desk().change(found.id, body, by=principal.id, after=found.seq)
        return self._told(request, made, principal, (200, {}, warnings))

    def _decide(self, request: Request, body: Mapping[str, Any]) -> Response:
        verb = request.url.path.rsplit("/", 1)[-1]
        principal, found = self._chosen(request)
        if verb != "revoke" or not _may_end(principal, found):
            steering(self.context, principal, f"{verb} the agreement {found.id!r}")
        self._unchanged(request, found, principal)
        note = body.get("note", "")
        if not isinstance(note, str) or body.keys() - {"note"}:
            raise QueryError("the body is not a note", fix='{"note": "why"}')
        made = self._desk().decide(
            found.id, _VERBS[verb], by=principal.id, note=note, after=found.seq
        )
        return self._told(request, made, principal)

    def _chosen(self, request: Request) -> tuple[Principal, Agreement]:
        """Who asks, and the agreement that is meant; one that is not theirs is not there."""
        principal, _ = self.context.identify(request)
        found = self._desk().get(request.path_params["id"])
        if not self._sees(principal, found):
            raise self._desk().missing(found.id)
        return principal, found

    def _sees(self, principal: Principal, agreement: Agreement) -> bool:
        theirs = agreement.with_consumer(principal) or agreement.team in principal.teams
        return theirs or principal.steers(self.context.product.id)

    def _may_ask(self, principal: Principal, consumer: Any) -> None:
        """Make sure that `principal` may ask for `consumer`: itself, or a team that it is in.

        Raises:
            AccessError: It may not.
        """
        if principal.steers(self.context.product.id) or not isinstance(consumer, dict):
            return
        named = _named(consumer)
        team = consumer.get("teamId")
        member = isinstance(team, str) and team in principal.teams
        mine = named == ("userId", principal.id) or (named[0] != "userId" and member)
        mine = mine or f"product:{consumer.get('dataProductId')}" == principal.id
        if not mine or not principal.needs_agreement:
            raise AccessError(
                f"{principal.id} may not ask for {named[1]!r}",
                where=self.context.product.id,
                fix="ask for yourself or for a team of yours",
            )

    def _unchanged(self, request: Request, found: Agreement, principal: Principal) -> None:
        """Make sure that If-Match, where it is sent, names the agreement as it stands (RFC 9110, 13.1.1)."""
        sent = ",".join(request.headers.getlist("if-match")).strip()
        known = {_tag(found, principal, media) for media in (HAL, JSON, YAML)}
        if sent and sent != "*" and known.isdisjoint(map(str.strip, sent.split(","))):
            raise HttpError(412, f"the agreement {found.id!r} has changed: look at it again")

    def _told(
        self,
        request: Request,
        found: Agreement,
        principal: Principal,
        more: tuple[int, Mapping[str, str], Sequence[Diagnostic]] = (200, {}, ()),
    ) -> Response:
        media = chosen(request, (HAL, JSON, YAML))
        status, headers, warnings = more
        headers = {**headers, "ETag": _tag(found, principal, media)}
        if request.method in ("GET", "HEAD") and etag_matches(request, headers["ETag"]):
            return not_modified({**PERSONAL, **headers})
        now = datetime.now(UTC)
        body = self._linked(found, principal, now) if media == HAL else self._document(found, now)
        if warnings and media == HAL:
            body["_warnings"] = [f"{d.message} ({d.fix})" for d in warnings]
        return _answer(body, media, headers, status)

    def _linked(self, found: Agreement, principal: Principal, now: datetime) -> dict[str, Any]:
        own = self._address(found)
        steers = principal.steers(self.context.product.id)
        steps = {
            verb: {"href": f"{own}/{verb}"}
            for verb, decision in _VERBS.items()
            if decision in STEPS[found.decision]
            and (steers or (verb == "revoke" and _may_end(principal, found)))
        }
        links = {"self": {"href": own}, "collection": {"href": self._base}, **steps}
        return {"_links": links, **self._document(found, now)}

    def _document(self, found: Agreement, now: datetime) -> dict[str, Any]:
        entries = history(self.context.control, self.context.product.id, found.id)
        return document(found, entries, now)

    def _desk(self) -> Desk:
        return Desk(self.context.control, self.context.product, self.context.policy().roles)

    @property
    def _base(self) -> str:
        return f"{self.context.base}/control/{self.name}"

    def _address(self, found: Agreement) -> str:
        return f"{self._base}/{quote(found.id, safe='')}"


def _self(principal: Principal) -> dict[str, str]:
    prefix, _, product = principal.id.partition(":")
    if prefix == "product" and product:
        return {"teamId": product, "dataProductId": product}
    return {"userId": principal.id}


def _named(consumer: Mapping[str, Any]) -> tuple[str, Any]:
    """The most precise part of the consumer."""
    parts = [(key, consumer.get(key)) for key in ("dataProductId", "userId", "teamId")]
    return next((part for part in parts if part[1]), ("", None))


def _may_end(principal: Principal, found: Agreement) -> bool:
    return principal.needs_agreement and found.with_consumer(principal)


def _tag(found: Agreement, principal: Principal, media: str) -> str:
    """Of the agreement as it stands, with the links for `principal`."""
    state = found.state(datetime.now(UTC))
    return f'"{digest(found.seq, state, sorted(principal.roles), principal.id, media)}"'


def _answer(
    body: Mapping[str, Any], media: str, headers: Mapping[str, str], status: int = 200
) -> Response:
    text = dump(body) if media == YAML else json.dumps(body, ensure_ascii=False)
    return Response(text.encode(), status, {**PERSONAL, **headers}, media)


__all__ = ["AgreementsPort"]
