"""All ports of some products as one ASGI application."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Mount, Route, Router

from polyport.access import lifecycle
from polyport.access.identity import LOOPBACK, local_owner
from polyport.errors import NotFoundError
from polyport.ports.counted import Counted, noting
from polyport.ports.deprecated import Deprecated
from polyport.ports.http import PERSONAL, HttpError, guarded, problem, raw_path, threaded
from polyport.ports.information import metrics
from polyport.ports.information.metadata import MetadataPort, catalog, glossary
from polyport.ports.output import Served
from polyport.server.fence import Fence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from polyport.access.identity import Identify
    from polyport.product import Product


HAL = "application/hal+json"
THREADS = 40
"""Answers that are made at once: most wait for a disk, the engine or a worker."""


def address(product: str) -> str:
    """The path of a product: `/products/{id}`."""
    return f"/products/{quote(product, safe='')}"


def create_app(
    products: Sequence[Product],
    *,
    identify: Identify = local_owner,
    hosts: Sequence[str] = LOOPBACK,
    addresses: Mapping[str, str] | None = None,
    unserved: Sequence[str] = (),
) -> ASGIApp:
    """The ASGI application: `/`, a document for each product, and its served and management ports below it.

    Only requests that name one of `hosts` (`*`: any) are answered, so that no web page elsewhere can reach a server
    without a login through a name that it makes point here; nor are those that a browser says come from such a page.

    `unserved`: the ids of products of the mesh that cannot be loaded; whoever asks for one is told so (503).
    `addresses`: type of a listening port -> where it listens, which the metadata tells.
    """
    metadata: list[MetadataPort] = []
    known = noting(identify)
    found = {
        address(p.spec.id): _router(_routes(p, known, metadata, addresses or {})) for p in products
    }
    for name in unserved:
        told = _out_of_order(name, identify)
        found[address(name)] = _router([Mount(address(name), told), Route(address(name), told)])
    metered = [(p.spec.id, p.ledger, p.stored) for p in products]
    own = [
        Route("/", guarded(threaded(_root(products, unserved, identify)))),
        *_node(metadata, products),
        Route("/metrics", guarded(metrics.node(metered, identify))),
    ]
    return TrustedHostMiddleware(Fence(_Node(_router(own), found)), allowed_hosts=list(hosts))


class _Node:
    """What is at a node: each product's routes, found by its address however many there are, and the node's own.

    Each answers its errors itself (`guarded`).
    """

    def __init__(self, own: ASGIApp, products: Mapping[str, ASGIApp]) -> None:
        self.own, self.products = own, products

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] == "lifespan":
            await _living(receive, send)
            return
        path = scope.get("path", "") if scope["type"] == "http" else ""
        found = self.products.get("/".join(path.split("/", 3)[:3]), self.own)
        await found(scope, receive, send)


async def _living(receive: Receive, send: Send) -> None:
    """From the start of a server to its end. However often one asks it to end, it does so without a word."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))  # it is new
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})


def _router(routes: Iterable[BaseRoute]) -> ASGIApp:
    return Router(list(routes), redirect_slashes=False, default=_nothing_here)


def _routes(
    product: Product,
    identify: Identify,
    metadata: list[MetadataPort],
    addresses: Mapping[str, str],
) -> Iterator[BaseRoute]:
    base = address(product.spec.id)
    outputs = product.ports(identify)
    served = [port for port in outputs if isinstance(port, Served)]
    for port in served:
        spec = port.context.spec
        newer = _successor(port, served)
        link = f'<{base}{newer.mount}/>; rel="successor-version"' if newer else ""
        counted = Counted(port.app(), product.ledger, product.spec.id, spec.name, link=link)
        yield Mount(base + port.mount, app=_in_its_state(counted, product))
        yield Route(base + port.mount, guarded(_with_slash))
    management = product.management(identify, outputs, addresses)
    for each in management:
        for route in each.routes():
            yield _below(base, route, product, each.name)
    for each in management:
        if isinstance(each, MetadataPort):
            metadata.append(each)
            counted = Counted(each.document, product.ledger, product.spec.id, each.name)
            yield Route(base, counted)


def _node(metadata: Sequence[MetadataPort], products: Sequence[Product]) -> Iterator[BaseRoute]:
    """What the node tells of all its products."""
    name = next((p.mesh for p in products), "") or "this node"
    listed, words = guarded(catalog(metadata, name)), guarded(glossary(metadata))
    for path in ("/catalog", "/catalog.jsonld", "/catalog.ttl"):
        yield Route(path, listed)
    yield Route("/glossary", words)
    yield Route("/glossary/{term}", words)


def _successor(port: Served, served: Sequence[Served]) -> Served | None:
    """The newest major of the same port, where `port` is an older one."""
    found = port.context.product.successor(port.context.spec)
    return next(
        (
            p
            for p in served
            if found is not None
            and p.context.spec.version == found.version
            and p.context.spec.name == found.name
        ),
        None,
    )


def _below(base: str, route: BaseRoute, product: Product, port: str) -> BaseRoute:
    """A management port's route, at its place and counted."""
    if not isinstance(route, Route | Mount):
        raise TypeError(f"the port {port!r} has a route that is neither Route nor Mount: {route!r}")
    counted = _in_its_state(Counted(route.app, product.ledger, product.spec.id, port), product)
    return (
        Route(base + route.path, counted)
        if isinstance(route, Route)
        else Mount(base + route.path, counted)
    )


def _in_its_state(app: ASGIApp, product: Product) -> ASGIApp:
    """`app`; where the product is deprecated, its answers say so."""
    if lifecycle.status(product.spec) != "deprecated":
        return app
    since = lifecycle.deprecated_since(product.spec)
    if since is None:  # a date is wanted: the newest snapshot's is the latest that is sure
        history = product.history()
        since = history[-1].committed_at if history else product.clock()
    return Deprecated(app, since, lifecycle.successor(product.spec))


def _out_of_order(name: str, identify: Identify) -> ASGIApp:
    """Answers for a product that is not served."""

    async def app(request: Request) -> Response:
        identify(request)
        raise HttpError(
            503, f"{name!r} is not served: its files are wrong; its owner can correct it"
        )

    return guarded(app)


def _root(
    products: Sequence[Product], unserved: Sequence[str], identify: Identify
) -> Callable[[Request], Response]:
    also = {"unserved": list(unserved)} if unserved else {}
    links = {
        "self": {"href": "/"},
        "catalog": {"href": "/catalog"},
        "glossary": {"href": "/glossary"},
        "product": [
            {"href": address(p.spec.id), "name": p.spec.id, "title": p.spec.name} for p in products
        ],
    }

    def root(request: Request) -> Response:
        identify(request)  # what there is, is told to those who are known
        return JSONResponse({"_links": links, **also}, headers=PERSONAL, media_type=HAL)

    return root


async def _with_slash(request: Request) -> Response:
    """To the port's root: relative, for an absolute address would be built on what the request says of the host."""
    sent = raw_path(request).decode("ascii", "replace").rpartition("/")[2]
    query = request.url.query
    return RedirectResponse(f"./{sent}/" + (f"?{query}" if query else ""))


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    """404, whatever the method."""
    missing = NotFoundError(f"nothing is at {scope['path']}", fix="start at /")
    await problem(missing)(scope, receive, send)
