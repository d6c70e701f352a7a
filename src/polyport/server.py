"""All ports of some products as one ASGI application, and the server that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Mount, Route

from polyport.access.identity import LOOPBACK, local_owner
from polyport.errors import AccessError, ConfigurationError, NotFoundError, PolyportError
from polyport.model import OWNER_ROLE
from polyport.ports.counted import Counted, noting
from polyport.ports.http import VARY, HttpError, guarded, problem, raw_path, refusal
from polyport.ports.information import metrics
from polyport.ports.output import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from polyport.access import View
    from polyport.access.identity import Identify
    from polyport.model import Principal, Snapshot
    from polyport.product import Product

HAL = "application/hal+json"


def address(product: str) -> str:
    """The path of a product: `/products/{id}`."""
    return f"/products/{quote(product, safe='')}"


def create_app(
    products: Sequence[Product],
    *,
    identify: Identify = local_owner,
    hosts: Sequence[str] = LOOPBACK,
) -> Starlette:
    """The ASGI application: `/`, a document for each product, and its served and management ports below it.

    Only requests that name one of `hosts` (`*`: any) are answered, so that no web page elsewhere can reach a server
    without a login through a name that it makes point here; nor are those that a browser says come from such a page.
    """
    routes: list[BaseRoute] = [Route("/", lambda r: _root(r, products), methods=["GET"])]
    for product in products:
        routes += _routes(product, noting(identify))
    metered = [(p.spec.id, p.ledger, p.stored) for p in products]
    routes.append(Route("/metrics", guarded(metrics.node(metered, identify))))
    routes.append(Route("/{path:path}", _nothing_here))
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)),
            Middleware(_Fence),
        ],
        exception_handlers={
            PolyportError: lambda _, error: problem(error),
            HTTPException: lambda _, error: refusal(
                HttpError(error.status_code, error.detail, error.headers)
            ),
        },
    )


def _routes(product: Product, identify: Identify) -> Iterator[BaseRoute]:
    base = address(product.spec.id)
    outputs = product.ports(identify)
    served = [port for port in outputs if isinstance(port, Served)]
    for port in served:
        counted = Counted(port.app(), product.ledger, product.spec.id, port.context.spec.name)
        yield Mount(base + port.mount, app=counted)
        yield Route(base + port.mount, _with_slash)
    management = product.management(identify, outputs)
    for each in management:
        for route in each.routes():
            yield _below(base, route, product, each.name)
    yield Route(base, _document(product, served, identify), methods=["GET"])


def _below(base: str, route: BaseRoute, product: Product, port: str) -> BaseRoute:
    """A management port's route, at its place and counted."""
    if not isinstance(route, Route | Mount):
        raise TypeError(f"the port {port!r} has a route that is neither Route nor Mount: {route!r}")
    counted = Counted(route.app, product.ledger, product.spec.id, port)
    return (
        Route(base + route.path, counted)
        if isinstance(route, Route)
        else Mount(base + route.path, counted)
    )


class _Fence:
    """Refuses what a page of another site asks for behind its reader's back, and lets no page embed an answer.

    Such a page cannot read an answer, but it could tell rows that are there from rows that are not: by errors, sizes
    and times. A link that a person follows is let through. Clients that are no browsers do not send these headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = {name.lower() for name, _ in message["headers"]}
                more = [pair for pair in _ALWAYS if pair[0] not in said]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        if scope["type"] == "http" and _from_elsewhere(Headers(scope=scope), scope["method"]):
            refused = AccessError(
                "a page of another site asked for this", fix="open the address itself"
            )
            await problem(refused)(scope, receive, marked)
        else:
            await self.app(scope, receive, marked)


_ALWAYS = (
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)


def _from_elsewhere(headers: Headers, method: str) -> bool:
    """Whether a browser says that another site's page sends the request, other than by a link that is followed."""
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    followed = (method, headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    return followed not in (("GET", "navigate", "document"), ("HEAD", "navigate", "document"))


def client_lines(product: Product, base_url: str) -> dict[str, str]:
    """For each served port, by name, a command that reads the product's first dataset through it."""
    first = next(iter(product.spec.objects), "")
    return _client_lines(product, product.served(), base_url, first)


def _client_lines(
    product: Product, served: Sequence[Served], base_url: str, dataset: str
) -> dict[str, str]:
    base = base_url.rstrip("/") + address(product.spec.id)
    return {p.context.spec.name: p.client_line(base + p.mount, dataset) for p in served}


def serve(products: Sequence[Product], *, host: str = "127.0.0.1", port: int = 8400) -> None:
    """Serve until interrupted.

    Raises:
        ConfigurationError: The address is not this machine's own (there is no login yet), or it is in use.
    """
    import uvicorn  # noqa: PLC0415 - the server is needed by one command only

    check_address(host, port)
    for product in products:
        product.speed_up()
    uvicorn.run(
        create_app(products),
        host=host.strip("[]"),
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )


def check_address(host: str, port: int) -> None:
    """Make sure that `serve` can use the address.

    Raises:
        ConfigurationError: It is not this machine's own (there is no login yet), or it is in use.
    """
    if host not in LOOPBACK:
        raise ConfigurationError(
            f"there is no login yet, so {host!r} is refused",
            where="serve --host",
            fix="serve on 127.0.0.1; only this machine can reach it",
        )
    import socket  # noqa: PLC0415

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            raise ConfigurationError(
                f"{host}:{port} cannot be used: {error.strerror}",
                where="serve --port",
                fix=f"polyport serve --port {port + 1}",
            ) from error


def _root(_: Request, products: Sequence[Product]) -> Response:
    links = {
        "self": {"href": "/"},
        "product": [
            {"href": address(p.spec.id), "name": p.spec.id, "title": p.spec.name} for p in products
        ],
    }
    return JSONResponse({"_links": links}, media_type=HAL)


def _document(
    product: Product, served: Sequence[Served], identify: Identify
) -> Callable[[Request], Response]:
    """What a product is, and what of its data the asker may see; how many rows there are, is told to the owner."""
    spec = product.spec

    def document(request: Request) -> Response:
        base = address(spec.id)
        principal, purpose = identify(request)
        history = product.history()
        seen = _seen(product, history[-1], principal, purpose) if history else ()
        body = {
            "_links": {
                "self": {"href": base},
                "up": {"href": "/"},
                "port": [_port(base, p) for p in served],
            },
            "id": spec.id,
            "name": spec.name,
            "domain": spec.domain,
            "version": spec.version,
            "status": spec.status,
            "purpose": spec.purpose,
            "datasets": seen,
            "snapshots": [_snapshot(s, principal) for s in reversed(history)],
            "clients": _client_lines(product, served, str(request.base_url), seen[0]["name"])
            if seen
            else {},
        }
        return JSONResponse(body, headers=_MINE, media_type=HAL)

    return document


_MINE = {"Vary": VARY, "Cache-Control": "private, no-cache"}


def _port(base: str, port: Served) -> dict[str, str]:
    spec = port.context.spec
    return {"href": f"{base}{port.mount}/", "name": spec.name, "title": spec.description}


def _seen(
    product: Product, newest: Snapshot, principal: Principal, purpose: str
) -> list[dict[str, Any]]:
    with product.open(principal, newest.id, port="document", purpose=purpose) as view:
        return [_dataset(product, view, name) for name in view.datasets]


def _dataset(product: Product, view: View, name: str) -> dict[str, Any]:
    promised, shown = product.spec.objects.get(name), view.schema(name).names
    found = view.dataset(name)
    told = {"rows": found.rows} if OWNER_ROLE in view.principal.roles else {}
    return {
        "name": name,
        "description": promised.description if promised else "",
        "key": list(found.key) if set(found.key) <= set(shown) else [],
        **told,
    }


def _snapshot(snapshot: Snapshot, principal: Principal) -> dict[str, Any]:
    rows = {d.name: d.rows for d in snapshot.datasets.values()}
    return {
        "sequence": snapshot.sequence,
        "id": snapshot.id,
        "committed_at": snapshot.committed_at.isoformat(),
        **({"rows": rows} if OWNER_ROLE in principal.roles else {}),
    }


def _with_slash(request: Request) -> Response:
    """To the port's root: relative, for an absolute address would be built on what the request says of the host."""
    sent = raw_path(request).decode("ascii", "replace").rpartition("/")[2]
    query = request.url.query
    return RedirectResponse(f"./{sent}/" + (f"?{query}" if query else ""))


def _nothing_here(request: Request) -> Response:
    return problem(NotFoundError(f"nothing is at {request.url.path}", fix="start at /"))
