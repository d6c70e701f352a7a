"""The information port for feedback: what consumers say of the product, and what the owner answers. `/feedback`."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

from starlette.responses import JSONResponse
from starlette.routing import Route

from polyport.errors import QueryError
from polyport.ledger import feedback
from polyport.ports.http import METHODS, PERSONAL, guarded, json_body, pairs
from polyport.ports.management import Operation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from polyport.ledger.feedback import Feedback
    from polyport.ports.management import Content, ManagementContext

SHOWN = 100
"""How many are listed at once."""
BODY = 16_384
_TEXT = {"type": "string", "maxLength": feedback.LONGEST}
_SAID = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "rating": {"type": "integer", "minimum": 1, "maximum": feedback.BEST},
        "comment": _TEXT,
        "request": {**_TEXT, "description": "What you would need."},
        "public": {"type": "boolean", "description": "Whether everybody may read it."},
    },
}
_ANSWER = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"text": _TEXT},
    "required": ["text"],
}


class FeedbackPort:
    """Ratings, comments and requests. Anybody who is known may speak; the owner answers."""

    name: ClassVar[str] = "feedback"
    content: ClassVar[Content] = "discoverability"

    def __init__(self, context: ManagementContext) -> None:
        self.context = context

    def routes(self) -> Sequence[BaseRoute]:
        """See `ManagementPort.routes`."""
        return [
            Route("/feedback", guarded(self._feedback, (*METHODS, "POST"))),
            Route("/feedback/{id}/answer", guarded(self._answer, ("POST",))),
        ]

    def operations(self) -> Sequence[Operation]:
        """See `Described.operations`."""
        page = {"before": "The id of the last one seen: those before it"}
        return [
            Operation("GET", "/feedback", "Your feedback, what is public, and all ratings", page),
            Operation("POST", "/feedback", "Say something", body=_SAID, created=True),
            Operation("POST", "/feedback/{id}/answer", "Answer, as the owner", body=_ANSWER),
        ]

    async def _feedback(self, request: Request) -> Response:
        if request.method != "POST":
            return await asyncio.to_thread(self._list, request)
        principal, _ = await asyncio.to_thread(self.context.identify, request)
        body = await json_body(request, BODY)
        made = await asyncio.to_thread(
            feedback.say, self.context.ledger.journal, self.context.product.id, principal, body
        )
        return _reply(as_json(made), 201)

    async def _answer(self, request: Request) -> Response:
        principal, _ = await asyncio.to_thread(self.context.identify, request)
        body = await json_body(request, BODY)
        if set(body) != {"text"}:
            raise QueryError("an answer has one member, 'text'", fix='send {"text": "..."}')
        product, journal = self.context.product.id, self.context.ledger.journal
        name = request.path_params["id"]
        made = await asyncio.to_thread(
            feedback.answer, journal, product, principal, name, body["text"]
        )
        return _reply(as_json(made))

    def _list(self, request: Request) -> Response:
        principal, _ = self.context.identify(request)
        before = _before(pairs(request))
        product = self.context.product.id
        said = feedback.feedback(self.context.ledger.journal, product)
        seen = feedback.seen_by(principal, product, said)
        ids = [each.id for each in seen]
        start = ids.index(before) + 1 if before in ids else 0
        body = {
            "product": product,
            "summary": asdict(feedback.summary(said)),
            "feedback": [as_json(each) for each in seen[start : start + SHOWN]],
            "more": len(seen) > start + SHOWN,
        }
        return _reply(body)


def as_json(each: Feedback) -> dict[str, Any]:
    """Feedback as a JSON object."""
    answered = each.answered_at.isoformat() if each.answered_at else None
    return {**asdict(each), "at": each.at.isoformat(), "answered_at": answered}


def _before(given: Sequence[tuple[str, str]]) -> str:
    for name, _ in given:
        if name != "before":
            raise QueryError(f"unknown parameter {name[:60]!r}", fix="before=ID")
    return given[-1][1] if given else ""


def _reply(body: Mapping[str, Any], status: int = 200) -> Response:
    return JSONResponse(body, status, headers=PERSONAL)
