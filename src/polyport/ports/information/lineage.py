"""`lineage` (observability): what a product's datasets and columns are made from, and what is made from them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, cast, get_args
from urllib.parse import quote

from starlette.responses import JSONResponse
from starlette.routing import Route

from polyport.errors import NotFoundError, QueryError
from polyport.ledger import lineage
from polyport.ledger.lineage import Standing
from polyport.model import LATEST
from polyport.ports.http import PERSONAL, guarded, pairs, ref_of, threaded
from polyport.ports.management import Operation, steering
from polyport.ports.query import once

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from polyport.access import View
    from polyport.ledger.lineage import Direction, Event, Graph, Node
    from polyport.model import Principal, Snapshot
    from polyport.ports.management import Content, ManagementContext

HAL = "application/hal+json"
_KNOWN = ("dataset", "column", "direction", "depth", "snapshot")
DEEPEST = 100
SHOWN, MOST = 100, 1_000
"""Events, unless it is said how many, and at most."""


class LineagePort:
    """See `docs/lineage.md`."""

    name: ClassVar[str] = "lineage"
    content: ClassVar[Content] = "observability"

    def __init__(self, context: ManagementContext) -> None:
        self.context = context
        self._standing = Standing(context.ledger.journal)

    def routes(self) -> Sequence[BaseRoute]:
        """`/lineage` and `/lineage/events`."""
        return [
            Route("/lineage", guarded(threaded(self._answer))),
            Route("/lineage/events", guarded(self._events)),
        ]

    def operations(self) -> Sequence[Operation]:
        """See `Described.operations`."""
        told = ("Only this dataset", "Only this column of it", "up, down or both", "How many edges")
        graph = dict(zip(_KNOWN, (*told, "As of this snapshot"), strict=True))
        events = {"run": "Those of this run", "limit": f"How many, newest first; at most {MOST}"}
        made_from = "What datasets and columns are made from, and what is made from them"
        return [
            Operation("GET", "/lineage", made_from, graph, media=HAL),
            Operation("GET", "/lineage/events", "OpenLineage events, for who steers", events),
        ]

    async def _events(self, request: Request) -> Response:
        principal, _ = self.context.identify(request)
        steering(self.context, principal, "read the events: they hold the product's SQL")
        asked = once(pairs(request), ("run", "limit"))
        found = await asyncio.to_thread(self._told, asked)
        return JSONResponse(found, headers=PERSONAL)

    def _told(self, asked: Mapping[str, str]) -> Sequence[Event]:
        journal, product, run = (
            self.context.ledger.journal,
            self.context.product.id,
            asked.get("run"),
        )
        if run is None:
            return lineage.newest(
                journal, product, _number(asked, "limit", SHOWN, least=1, most=MOST)
            )
        found = lineage.of_run(journal, product, run)
        if not found:
            raise NotFoundError(
                f"no lineage of run {run!r}", fix="GET .../lineage lists the newest"
            )
        return found

    def _answer(self, request: Request) -> Response:
        principal, purpose = self.context.identify(request)
        asked = once(pairs(request), _KNOWN)
        ref, me = ref_of(pairs(request)), self.context.identifier
        with self.context.open(principal, ref, purpose=purpose) as view:
            found = self._standing.events()
            everything = (
                self._standing.graph() if ref == LATEST else self._as_of(view.snapshot, found)
            )
            products = {e["job"]["namespace"]: name for name, e in found.items()}
            may = self._may(view, principal, products, found.values())
            whole = lineage.only(everything, may)
        start = lineage.chosen(
            whole, me, dataset=asked.get("dataset", ""), column=asked.get("column", "")
        )
        if not start and {"dataset", "column"} & set(asked):
            raise NotFoundError(
                "there is no such dataset or column that you may see the lineage of",
                fix=f"GET {self.context.base}/lineage lists what there is",
            )
        depth = _number(asked, "depth", 0, least=0, most=DEEPEST)
        shown = lineage.walk(whole, start, direction=_direction(asked), depth=depth)
        body = {"_links": self._links(shown.nodes, products), **lineage.as_document(shown)}
        return JSONResponse(body, headers=PERSONAL, media_type=HAL)

    def _as_of(self, snapshot: Snapshot, found: Mapping[str, Event]) -> Graph:
        """What is told now of all other products, and of this one what the run told that published `snapshot`."""
        product = self.context.product.id
        run = lineage.of_run(self.context.ledger.journal, product, snapshot.run)
        return lineage.graph(lineage.with_run(found, product, run))

    def _may(
        self,
        view: View,
        principal: Principal,
        products: Mapping[str, str],
        found: Collection[Event],
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
            {"href": f"{prefix}/{quote(products[other], safe='')}", "name": products[other]}
            for other in others
        ]
        return {
            "self": {"href": f"{self.context.base}/lineage"},
            "up": {"href": self.context.base},
            "events": {"href": f"{self.context.base}/lineage/events"},
            "product": linked,
        }


def _direction(asked: Mapping[str, str]) -> Direction:
    given = asked.get("direction", "both")
    known = get_args(lineage.Direction)
    if given not in known:
        raise QueryError(f"no direction {given!r}", fix=f"one of: {', '.join(known)}")
    return cast("Direction", given)


def _number(asked: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    given = asked.get(name, str(default))
    whole = given.isascii() and given.isdigit() and len(given) <= len(str(most))
    if not whole or not least <= int(given) <= most:
        fix = f"{name}={default}, which is the default"
        raise QueryError(f"{name}={given[:20]!r} is not a number from {least} to {most}", fix=fix)
    return int(given)
