"""The definition port: is this a data product? Clause by clause, with the evidence."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from starlette.responses import Response
from starlette.routing import Route

from polyport.ports.http import PERSONAL, chosen, guarded
from polyport.ports.information.definition.clauses import Clause, Facts, clauses
from polyport.ports.information.definition.omms import omms
from polyport.ports.management import Operation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from polyport.ports.management import Content, ManagementContext

JSON, OMMS = "application/json", "application/vnd.bitol.omms+json"


class DefinitionPort:
    """`/products/{id}/definition`."""

    name: ClassVar[str] = "definition"
    content: ClassVar[Content] = "discoverability"

    def __init__(self, context: ManagementContext) -> None:
        self.context = context

    def routes(self) -> Sequence[Route]:
        """The clauses; as an OMMS document by Accept, or at `/definition/omms`."""
        return [
            Route("/definition", guarded(self._answer)),
            Route("/definition/omms", guarded(self._answer_omms)),
        ]

    def operations(self) -> Sequence[Operation]:
        """See `Described.operations`."""
        return [
            Operation("GET", "/definition", "Is it a data product? Clause by clause"),
            Operation("GET", "/definition/omms", "The same as a Bitol OMMS draft", media=OMMS),
        ]

    def clauses(self) -> list[Clause]:
        """How the product stands now.

        Raises:
            StoreError: The ledger or the store cannot be read.
        """
        return clauses(Facts.of(self.context, datetime.now(UTC)))

    def document(self, *, details: bool) -> dict[str, Any]:
        """The clauses as JSON; `details` name columns and consumers, and are the owner's."""
        found = self.clauses()
        base = self.context.base
        return {
            "_links": {
                "self": {"href": f"{base}/definition"},
                "up": {"href": base},
                "alternate": {"href": f"{base}/definition/omms", "type": OMMS},
            },
            "product": self.context.product.id,
            "result": result(found),
            "clauses": [
                {
                    "id": c.id,
                    "sentence": c.sentence,
                    "status": c.status,
                    "evidence": c.evidence,
                    **({"fix": c.remote_fix or c.fix} if c.fix else {}),
                    **({"details": list(c.details)} if details and c.details else {}),
                }
                for c in found
            ],
        }

    def omms(self) -> dict[str, Any]:
        """The clauses as a Bitol OMMS draft document."""
        return omms(self.context.product.id, self.clauses())

    async def _answer(self, request: Request) -> Response:
        principal, _ = self.context.identify(request)
        if chosen(request, (JSON, OMMS)) == OMMS:
            return _json(await asyncio.to_thread(self.omms), OMMS)
        owner = principal.owns(self.context.product.id)
        return _json(await asyncio.to_thread(self.document, details=owner), JSON)

    async def _answer_omms(self, request: Request) -> Response:
        self.context.identify(request)
        return _json(await asyncio.to_thread(self.omms), OMMS)


def result(found: Sequence[Clause]) -> str:
    """`fail` where a clause fails, else `unknown` where one is, else `pass`."""
    states = {clause.status for clause in found}
    return next((state for state in ("fail", "unknown") if state in states), "pass")


def _json(body: object, media: str) -> Response:
    return Response(json.dumps(body, ensure_ascii=False), headers=PERSONAL, media_type=media)


__all__ = ["Clause", "DefinitionPort", "result"]
