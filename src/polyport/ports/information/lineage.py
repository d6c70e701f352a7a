"""`lineage` (observability): what a product's datasets and columns are made from, and what is made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast, get_args

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

from polyport.errors import NotFoundError, QueryError
from polyport.ledger import lineage
from polyport.model import LATEST
from polyport.ports.http import VARY, guarded, pairs, ref_of
from polyport.ports.management import steering

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from polyport.access import View
    from polyport.ledger.lineage import Direction, Node
    from polyport.model import Principal
    from polyport.ports.management import Content, ManagementContext

HAL = "application/hal+json"
_HEADERS = {"Vary": VARY, "Cache-Control": "private, no-cache"}
_KNOWN = ("dataset", "column", "direction", "depth", "snapshot")
DEEPEST = 100


class LineagePort:
    """See `docs/lineage.md`."""

    name: ClassVar[str] = "lineage"
    content: ClassVar[Content] = "observability"

    def __init__(self, context: ManagementContext) -> None:
        self.context = context

    def routes(self) -> Sequence[BaseRoute]:
        """`/lineage` and `/lineage/events`."""
        return [
            Route("/lineage", guarded(self._graph)),
            Route("/lineage/events", guarded(self._events)),
        ]

    async def _graph(self, request: Request) -> Response:
        return await run_in_threadpool(self._answer, request)

    async def _events(self, request: Request) -> Response:
        principal, _ = self.context.identify(request)
        steering(self.context, principal, "read the events: they hold the product's SQL")
        run = _asked(request, ("run",)).get("run", "")
        found = await run_in_threadpool(self._kept, run)
        return JSONResponse(found, headers=_HEADERS)

    def _kept(self, run: str) -> list[Mapping[str, Any]]:
        journal = self.context.ledger.journal
        found = lineage.events(journal, product=self.context.product.id, run=run)
        if run and not found:
            raise NotFoundError(f"no lineage of run {run!r}", fix="polyport history --runs")
        return [entry.document for entry in found]

    def _answer(self, request: Request) -> Response:
        principal, purpose = self.context.identify(request)
        asked = _asked(request, _KNOWN)
        ref, me = ref_of(pairs(request)), self.context.identifier
        with self.context.open(principal, ref, purpose=purpose) as view:
            snapshot = "" if ref == LATEST else view.snapshot.id
            entries = lineage.events(self.context.ledger.journal)
            found = lineage.standing(entries, product=self.context.product.id, snapshot=snapshot)
            products = {e.document["job"]["namespace"]: e.product for e in entries}
            whole = lineage.only(lineage.graph(found), self._may(view, principal, products, found))
        start = lineage.chosen(
            whole, me, dataset=asked.get("dataset", ""), column=asked.get("column", "")
        )
        if not start and {"dataset", "column"} & set(asked):
            raise NotFoundError(
                "there is no such dataset or column that you may see the lineage of"
            )
        shown = lineage.walk(whole, start, direction=_direction(asked), depth=_depth(asked))
        body = {"_links": self._links(shown.nodes, products), **lineage.as_document(shown)}
        return JSONResponse(body, headers=_HEADERS, media_type=HAL)

    def _may(
        self,
        view: View,
        principal: Principal,
        products: Mapping[str, str],
        found: Sequence[Mapping[str, Any]],
    ) -> Callable[[Node], bool]:
        """Whoever steers a product is told all of it; others what they see of it, and of other products datasets only.

        The columns of a raw source would tell of those that were left out or are hidden; they are for who steers a
        product that reads it.
        """
        me = self.context.identifier
        steers = {n for n, product in products.items() if principal.steers(product)}
        seen = {(me, d): set(view.schema(d).names) for d in view.datasets}
        raw = {
            (given["namespace"], given["name"])
            for event in found
            if event["job"]["namespace"] in steers
            for given in event["inputs"]
        }
        direct = {*products, me}

        def may(node: Node) -> bool:
            if node.namespace in steers:
                return True
            if node.namespace == me:
                columns = seen.get((node.namespace, node.name))
                return columns is not None and (not node.column or node.column in columns)
            if node.namespace in direct:
                return not node.column
            return (node.namespace, node.name) in raw

        return may

    def _links(self, nodes: Collection[Node], products: Mapping[str, str]) -> dict[str, Any]:
        prefix = self.context.base.rpartition("/")[0]
        others = sorted({n.namespace for n in nodes} & set(products) - {self.context.identifier})
        linked = [
            {
                "href": f"{prefix}/{other.rpartition(':')[2].rpartition('/')[2]}",
                "name": products[other],
            }
            for other in others
        ]
        return {
            "self": {"href": f"{self.context.base}/lineage"},
            "up": {"href": self.context.base},
            "events": {"href": f"{self.context.base}/lineage/events"},
            "product": linked,
        }


def _asked(request: Request, known: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs(request):
        if name not in known or name in found:
            wrong = "is given twice" if name in found else "is not known"
            raise QueryError(f"the parameter {name!r} {wrong}", fix=f"known: {', '.join(known)}")
        found[name] = value
    return found


def _direction(asked: Mapping[str, str]) -> Direction:
    given = asked.get("direction", "both")
    known = get_args(lineage.Direction)
    if given not in known:
        raise QueryError(f"no direction {given!r}", fix=f"one of: {', '.join(known)}")
    return cast("Direction", given)


def _depth(asked: Mapping[str, str]) -> int:
    given = asked.get("depth", "0")
    if not (given.isascii() and given.isdigit() and len(given) < 4 and int(given) <= DEEPEST):  # noqa: PLR2004
        raise QueryError(f"the depth {given!r} is not a number from 0 to {DEEPEST}", fix="0: all")
    return int(given)
