"""All ports of some products as one ASGI application, and the server that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Mount, Route

from polyport.access.identity import LOOPBACK
from polyport.errors import ConfigurationError, NotFoundError
from polyport.ports.http import problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from polyport.model import Snapshot
    from polyport.ports.output import Served
    from polyport.product import Product

HAL = "application/hal+json"


def address(product: str) -> str:
    """The path of a product: `/products/{id}`."""
    return f"/products/{quote(product, safe='')}"


def create_app(products: Sequence[Product], *, hosts: Sequence[str] = LOOPBACK) -> Starlette:
    """The ASGI application: `/`, a document for each product, and its served ports below it.

    Only requests that name one of `hosts` are answered, so that no web page elsewhere can reach a server without a
    login through a name that it makes point here.
    """
    routes: list[Route | Mount] = [Route("/", lambda r: _root(r, products), methods=["GET"])]
    for product in products:
        base = address(product.spec.id)
        served = product.served()
        for port in served:
            routes.append(Mount(base + port.mount, app=port.app()))
            routes.append(Route(base + port.mount, _with_slash))
        routes.append(Route(base, _document(product, served), methods=["GET"]))
    routes.append(Route("/{path:path}", _nothing_here))
    return Starlette(
        routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))]
    )


def client_lines(product: Product, base_url: str) -> dict[str, str]:
    """For each served port, by name, a command that reads the product's first dataset through it."""
    first = next(iter(product.spec.objects), "")
    base = base_url.rstrip("/") + address(product.spec.id)
    return {p.context.spec.name: p.client_line(base + p.mount, first) for p in product.served()}


def serve(products: Sequence[Product], *, host: str = "127.0.0.1", port: int = 8400) -> None:
    """Serve until interrupted.

    Raises:
        ConfigurationError: The address is not this machine's own (there is no login yet), or it is in use.
    """
    if host not in LOOPBACK:
        raise ConfigurationError(
            f"there is no login yet, so {host!r} is refused",
            where="serve --host",
            fix="serve on 127.0.0.1; only this machine can reach it",
        )
    import uvicorn  # noqa: PLC0415 - the server is needed by one command only

    _check_free(host, port)
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


def _check_free(host: str, port: int) -> None:
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


def _document(product: Product, served: Sequence[Served]) -> Callable[[Request], Response]:
    spec = product.spec

    def document(request: Request) -> Response:
        base = address(spec.id)
        history = product.history()
        ports = [
            {
                "href": f"{base}{p.mount}/",
                "name": p.context.spec.name,
                "title": p.context.spec.description,
            }
            for p in served
        ]
        body = {
            "_links": {"self": {"href": base}, "up": {"href": "/"}, "port": ports},
            "id": spec.id,
            "name": spec.name,
            "domain": spec.domain,
            "version": spec.version,
            "status": spec.status,
            "purpose": spec.purpose,
            "datasets": _datasets(product, history[-1] if history else None),
            "snapshots": [_snapshot(s) for s in reversed(history)],
            "clients": client_lines(product, str(request.base_url)),
        }
        return JSONResponse(body, media_type=HAL)

    return document


def _datasets(product: Product, newest: Snapshot | None) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "description": promised.description,
            "key": list(promised.key),
            "rows": newest.datasets[name].rows if newest and name in newest.datasets else None,
        }
        for name, promised in product.spec.objects.items()
    ]


def _snapshot(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "sequence": snapshot.sequence,
        "id": snapshot.id,
        "committed_at": snapshot.committed_at.isoformat(),
        "rows": {d.name: d.rows for d in snapshot.datasets.values()},
    }


def _with_slash(request: Request) -> Response:
    return RedirectResponse(request.url.replace(path=request.url.path + "/"))


def _nothing_here(request: Request) -> Response:
    return problem(NotFoundError(f"nothing is at {request.url.path}", fix="start at /"))
