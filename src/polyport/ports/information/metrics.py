"""`metrics` (observability): who uses a product and how much, and what it costs; as JSON and as OpenMetrics."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar, cast, get_args

from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from polyport.errors import AccessError, NotFoundError, QueryError
from polyport.ledger import metrics
from polyport.ledger.usage import BUCKETS
from polyport.model import OWNER_ROLE, PLATFORM_ROLE
from polyport.ports.http import PERSONAL, chosen, guarded, pairs, threaded
from polyport.ports.management import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client import Metric
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from polyport.access.identity import Identify
    from polyport.ledger import Ledger
    from polyport.ledger.metrics import By, Row, Use
    from polyport.model import Principal
    from polyport.ports.management import Content, ManagementContext

OPENMETRICS = "application/openmetrics-text"
JSON = "application/json"
_OTHERS = "(others)"


class MetricsPort:
    """See `docs/metrics.md`."""

    name: ClassVar[str] = "metrics"
    content: ClassVar[Content] = "observability"

    def __init__(self, context: ManagementContext) -> None:
        self.context = context

    def routes(self) -> Sequence[BaseRoute]:
        """`/metrics`."""
        return [Route("/metrics", guarded(threaded(self._answer)))]

    def operations(self) -> Sequence[Operation]:
        """See `Described.operations`."""
        asked = {"since": "From this day on", "by": f"Some of {', '.join(get_args(metrics.By))}"}
        return [Operation("GET", "/metrics", "Who uses it how much, and what it costs", asked)]

    def _answer(self, request: Request) -> Response:
        principal, purpose = self.context.identify(request)
        wanted = chosen(request, (JSON, OPENMETRICS))
        context = self.context
        if wanted == OPENMETRICS:
            return exposed([(context.product.id, context.ledger, context.stored)])
        since, by = _asked(request)
        found = metrics.use(context.ledger, context.product.id, since)
        shown = found
        if not principal.steers(context.product.id):
            shown = self._shown(found, by, principal, purpose)
        body = {
            "product": context.product.id,
            "since": since.isoformat() if since else None,
            "totals": metrics.totals(found),
            "costs": metrics.costs(context.ledger, context.product.id, context.stored, since),
            "by": ",".join(by),
            "values": metrics.split(shown, *by),
        }
        return JSONResponse(body, headers=PERSONAL)

    def _shown(self, found: Use, by: Sequence[By], principal: Principal, purpose: str) -> Use:
        """What a consumer may see: itself and all others as one; of the data only what it may see."""
        made = metrics.Use(*(_anonymous(rows, principal.id) for rows in _parts(found)))
        if not {"dataset", "column"} & set(by):
            return made
        seen = self._seen(principal, purpose)
        return metrics.Use(
            [],
            [r for r in made.reads if r["dataset"] in seen],
            [r for r in made.columns if r["column"] in seen.get(r["dataset"], ())],
        )

    def _seen(self, principal: Principal, purpose: str) -> dict[str, list[str]]:
        try:
            view = self.context.open(principal, purpose=purpose)
        except NotFoundError:  # nothing is published yet, so nothing is seen
            return {}
        with view:
            return {name: view.schema(name).names for name in view.datasets}


def _parts(found: Use) -> tuple[Sequence[Row], ...]:
    return found.requests, found.reads, found.columns


def _anonymous(rows: Sequence[Row], me: str) -> list[Row]:
    """The rows of all but `me` as those of one; who they are is counted, and not told."""
    return [
        row if row["principal"] == me else {**row, "principal": _OTHERS, "user": row["principal"]}
        for row in rows
    ]


def _asked(request: Request) -> tuple[date | None, tuple[By, ...]]:
    given = dict(pairs(request))
    for name in given:
        if name not in ("since", "by"):
            raise QueryError(f"the parameter {name!r} is not known", fix="known: since, by")
    by, known = tuple(given.get("by", "day").split(",")), get_args(metrics.By)
    if not set(by) <= set(known) or len(set(by)) < len(by):
        named = ",".join(by)[:60]
        raise QueryError(f"by={named!r} is not offered", fix=f"some of: {', '.join(known)}")
    if {"port", "column"} <= set(by):
        raise QueryError("columns are not counted by port", fix="by=port,dataset, or by=column")
    try:
        since = date.fromisoformat(given["since"]) if "since" in given else None
    except ValueError:
        raise QueryError(f"{given['since']!r} is no day", fix="since=2026-01-31") from None
    return since, cast("tuple[By, ...]", by)


Metered = tuple[str, "Ledger", "Callable[[], int]"]
"""A product's id, its ledger, and what gives the bytes that it stores."""


def node(products: Sequence[Metered], identify: Identify) -> Callable[[Request], Any]:
    """The handler of `/metrics`: all products of the node, for the mesh's owner and the platform."""

    async def answer(request: Request) -> Response:
        principal, _ = identify(request)
        if not {OWNER_ROLE, PLATFORM_ROLE} & principal.roles:
            raise AccessError(
                f"{principal.id} may not read the node's metrics",
                fix="the owner and the role 'platform' may; each product has its own",
            )
        return await asyncio.to_thread(exposed, products)

    return answer


def exposed(products: Sequence[Metered]) -> Response:
    """The OpenMetrics text of some products. No label names who asked."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Sums(products))
    text = generate_latest(registry)  # type: ignore[no-untyped-call]
    return Response(text, 200, PERSONAL, CONTENT_TYPE_LATEST)


class _Sums(Collector):
    """The ledger's sums as metric families."""

    def __init__(self, products: Sequence[Metered]) -> None:
        self.products = products

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        labels = ("product", "port")
        asked = CounterMetricFamily(
            "polyport_requests", "Requests answered.", labels=(*labels, "status")
        )
        counters = {
            "downloads": CounterMetricFamily("polyport_downloads", "Whole files.", labels=labels),
            "bytes_sent": CounterMetricFamily(
                "polyport_sent_bytes", "Bytes.", labels=labels, unit="bytes"
            ),
            "rows": CounterMetricFamily("polyport_read_rows", "Rows retrieved.", labels=labels),
            "bytes_read": CounterMetricFamily(
                "polyport_read_bytes", "Bytes.", labels=labels, unit="bytes"
            ),
        }
        took = HistogramMetricFamily(
            "polyport_request_seconds", "Latency.", labels=labels, unit="seconds"
        )
        active = GaugeMetricFamily("polyport_active_users", "Who asked or read.", labels=labels[:1])
        built = CounterMetricFamily("polyport_builds", "Builds.", labels=("product", "outcome"))
        seconds = CounterMetricFamily(
            "polyport_build_seconds", "Of all builds.", labels=labels[:1], unit="seconds"
        )
        stored = GaugeMetricFamily(
            "polyport_stored_bytes", "Of all kept snapshots.", labels=labels[:1], unit="bytes"
        )
        for product, ledger, size in self.products:
            found = metrics.use(ledger, product)
            for values in metrics.split(found, "port"):
                port = values["port"]
                for name, family in counters.items():
                    family.add_metric((product, port), values[name])
                bounds = [str(b) for b in BUCKETS]
                counts = [values["latency"]["within"][b] for b in bounds]
                buckets = [*zip(bounds, counts, strict=True), ("+Inf", values["requests"])]
                took.add_metric((product, port), buckets, values["seconds"])
            for key, count in _by_status(found).items():
                asked.add_metric((product, *key), count)
            costs = metrics.costs(ledger, product, size)
            active.add_metric((product,), len(metrics.users(found)))
            for outcome, count in costs["builds"].items():
                built.add_metric((product, outcome), count)
            seconds.add_metric((product,), costs["build_seconds"])
            stored.add_metric((product,), costs["stored_bytes"])
        yield from (asked, *counters.values(), took, active, built, seconds, stored)


def _by_status(found: Use) -> dict[tuple[str, str], int]:
    sums: dict[tuple[str, str], int] = {}
    for row in found.requests:
        key = row["port"], row["status"]
        sums[key] = sums.get(key, 0) + row["requests"]
    return sums
