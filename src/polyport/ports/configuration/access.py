"""The configuration port for who sees what: the policy, its versions, and why somebody sees what they see."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from starlette.routing import Route

from polyport.access.admission import admissions
from polyport.access.explain import Question, explain
from polyport.access.known import known
from polyport.descriptor.schema import schema_of
from polyport.errors import QueryError
from polyport.model import OWNER_ROLE, PLATFORM_ROLE, Principal
from polyport.ports.configuration._versioned import Versioned, reply
from polyport.ports.http import guarded, pairs
from polyport.ports.management import Operation, steering

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from polyport.ports.management import Content, ManagementContext

_ASKED = {
    "principal": "The id of who would read, or of a key; default: you. What it has is looked up, unless it is said",
    "role": "A role that the platform vouches for; may be repeated",
    "team": "A team of the principal; may be repeated",
    "attribute": "`NAME=VALUE`: what a filter calls `principal.NAME`; may be repeated",
    "purpose": "The purpose stated",
    "port": "The output port read through; default: the product's first; `product` for another product of the mesh",
    "dataset": "Only this dataset",
}
_MANY = ("role", "team", "attribute")


class AccessPort:
    """The policy that holds, its versions, changes to it, and explanations. For the owner and the platform."""

    name: ClassVar[str] = "access"
    content: ClassVar[Content] = "control"

    def __init__(self, context: ManagementContext) -> None:
        self.context = context
        whole = schema_of("settings")
        schema = {**whole["properties"]["access"], "$defs": whole["$defs"]}
        self.versioned = Versioned(context, "access", schema)

    def routes(self) -> Sequence[BaseRoute]:
        """See `ManagementPort.routes`."""
        explained = Route("/control/access/explain", guarded(self._explain))
        return [*self.versioned.routes(), explained]

    def operations(self) -> Sequence[Operation]:
        """See `Described.operations`."""
        summary = "What a principal would see, and why"
        explained = Operation("GET", "/control/access/explain", summary, query=_ASKED)
        return [*self.versioned.operations(), explained]

    async def _explain(self, request: Request) -> Response:
        return await asyncio.to_thread(self._explanation, request)

    def _explanation(self, request: Request) -> Response:
        principal, _ = self.context.identify(request)
        steering(self.context, principal, "ask what others see")
        given = _given(pairs(request))
        asked, by = self._asked(given, principal)
        question = Question(
            asked,
            _one(given, "port"),
            _one(given, "purpose"),
            _one(given, "dataset"),
            by,
            remote=True,
        )
        product, control = self.context.product, self.context.control
        found = explain(
            product,
            admissions(control, product, lambda: datetime.now(UTC)),
            self.context.policy(),
            self.context.open.snapshots(),
            question,
        )
        return reply(asdict(found))

    def _asked(self, given: Mapping[str, list[str]], asker: Principal) -> tuple[Principal, str]:
        """Who is asked about, and from where their roles, teams and attributes are known.

        Keys hold for the whole mesh: what they give is not for the owner of one product to look up.
        """
        name, said = _one(given, "principal"), [given.get(part) for part in _MANY]
        if not name:
            if any(said):
                raise QueryError(
                    "it is not said whose role, team or attribute it is", fix="principal=ID"
                )
            return asker, "your login"
        if any(said) or not {OWNER_ROLE, PLATFORM_ROLE} & asker.roles:
            return _principal(given), "what was given"
        found = known(self.context.control, name)
        return found.principal, found.by


def _given(sent: Sequence[tuple[str, str]]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in sent:
        if name not in _ASKED:
            raise QueryError(f"unknown parameter {name[:60]!r}", fix=f"known: {', '.join(_ASKED)}")
        found.setdefault(name, []).append(value)
        if len(found[name]) > 1 and name not in _MANY:
            raise QueryError(f"the parameter {name!r} is given twice", fix="give it once")
    return found


def _one(given: Mapping[str, list[str]], name: str) -> str:
    return given.get(name, [""])[0]


def _principal(given: Mapping[str, list[str]]) -> Principal:
    """Who is asked about.

    Raises:
        QueryError: An attribute is not `name=value`.
    """
    attributes = {}
    for text in given.get("attribute", ()):
        key, equals, value = text.partition("=")
        if not equals or key in ("", "id"):
            raise QueryError(f"{text[:60]!r} is not NAME=VALUE", fix="attribute=studio=Fox")
        attributes[key] = value
    roles, teams = (frozenset(given.get(k, ())) for k in ("role", "team"))
    return Principal(_one(given, "principal"), roles, attributes, teams)
