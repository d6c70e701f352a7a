"""All ports of some products as one ASGI application, and the server that runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Mount, Route

from polyport.access import keys, lifecycle, oidc
from polyport.access.identity import LOOPBACK, Identity, local_owner
from polyport.errors import AccessError, ConfigurationError, NotFoundError, PolyportError
from polyport.ports.counted import Counted, noting
from polyport.ports.deprecated import Deprecated
from polyport.ports.http import VARY, HttpError, guarded, problem, raw_path, refusal
from polyport.ports.information import metrics
from polyport.ports.information.metadata import MetadataPort, catalog, glossary
from polyport.ports.output import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from polyport.access.identity import Identify
    from polyport.descriptor.types import Port
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
    routes: list[BaseRoute] = [Route("/", _root(products, identify), methods=["GET"])]
    metadata: list[MetadataPort] = []
    for product in products:
        routes += _routes(product, noting(identify), metadata)
    routes += _node(metadata, products)
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


def _routes(
    product: Product, identify: Identify, metadata: list[MetadataPort]
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
        yield Route(base + port.mount, _with_slash)
    management = product.management(identify, outputs)
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
    name = next((p.around().name for p in products), "") or "this node"
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
    names = [p.context.spec.name for p in served]
    return {
        _label(p.context.spec, names): p.client_line(base + p.mount, _first(p, dataset))
        for p in served
    }


def _label(spec: Port, names: Sequence[str]) -> str:
    """The port's name; with its major where there are several."""
    return f"{spec.name}@{spec.major}" if names.count(spec.name) > 1 else spec.name


def _first(port: Served, dataset: str) -> str:
    """`dataset`, as an older major calls it."""
    mapping = port.context.spec.mapping
    return next((old for old, new in mapping.items() if new.source == dataset), dataset)


@dataclass(frozen=True, slots=True)
class Listening:
    """Where `serve` listens, and who is let in."""

    host: str = "127.0.0.1"
    port: int = 8400
    certificate: Path | None = None
    """The TLS certificate's PEM file, with its chain; None: what is sent can be read on the way."""
    certificate_key: Path | None = None
    """The PEM file of its private key; None: it is in `certificate`."""
    identity: Mapping[str, Any] = field(default_factory=dict)
    """The block `identity` of `mesh.yaml`."""

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK

    @property
    def base(self) -> str:
        """Its address."""
        name = self.host.strip("[]")
        name = f"[{name}]" if ":" in name else name
        return f"{'https' if self.certificate else 'http'}://{name}:{self.port}"


def login(products: Sequence[Product], at: Listening) -> Identity:
    """Who is let in.

    Raises:
        ConfigurationError: There is no product; others can reach it, and there is neither a key nor an issuer to know
            them by; or two issuers cannot be told apart.
        MissingExtraError: There are issuers, and the extra `oidc` is not installed.
        StoreError: The ledger cannot be read.
    """
    if not products:
        raise ConfigurationError("there is no product to serve", fix="the folder of one, or a mesh")
    control = products[0].control
    issuers = oidc.issuers(at.identity)
    if not at.local and issuers is None and not keys.usable(control):
        raise ConfigurationError(
            f"on {at.host!r} others can reach it, and nobody can log in",
            where="serve --host",
            fix="polyport access key create PRINCIPAL --role ROLE; or identity.oidc in mesh.yaml; or 127.0.0.1",
        )
    owner = at.local and issuers is None and at.identity.get("local_owner", True) is not False
    return Identity(control, issuers, owner)


def serve(
    products: Sequence[Product], at: Listening | None = None, *, identify: Identify | None = None
) -> None:
    """Serve until interrupted, those that `identify` lets in (default: `login`).

    Raises:
        ConfigurationError: Others can reach it, and nobody can log in; the address or TLS cannot be used.
    """
    import uvicorn  # noqa: PLC0415 - the server is needed by one command only

    at = at or Listening()
    identify = identify or login(products, at)
    check_address(at)
    for product in products:
        product.speed_up()
    uvicorn.run(
        create_app(products, identify=identify, hosts=LOOPBACK if at.local else ("*",)),
        host=at.host.strip("[]"),
        port=at.port,
        ssl_certfile=at.certificate,
        ssl_keyfile=at.certificate_key,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )


def check_address(at: Listening) -> None:
    """Make sure that `serve` can use the address.

    Raises:
        ConfigurationError: It is in use, or is not this machine's; or TLS cannot be set up.
    """
    if at.certificate:
        _check_certificate(at.certificate, at.certificate_key)
    host, port = at.host, at.port
    import errno  # noqa: PLC0415
    import socket  # noqa: PLC0415

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise ConfigurationError(
                f"{host}:{port} cannot be used: {error.strerror}",
                where="serve --port" if taken else "serve --host",
                fix=f"polyport serve --port {port + 1}" if taken else "an address of this machine",
            ) from error


def _check_certificate(certificate: Path, key: Path | None) -> None:
    import ssl  # noqa: PLC0415

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except OSError as error:  # SSLError is one
        raise ConfigurationError(
            f"TLS cannot be set up: {error.strerror or error}",
            where="serve --tls-cert",
            fix="a PEM certificate with its chain, and its private key (without a password)",
        ) from error


def _root(products: Sequence[Product], identify: Identify) -> Callable[[Request], Response]:
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
        return JSONResponse({"_links": links}, headers=_MINE, media_type=HAL)

    return root


_MINE = {"Vary": VARY, "Cache-Control": "private, no-cache"}


def _with_slash(request: Request) -> Response:
    """To the port's root: relative, for an absolute address would be built on what the request says of the host."""
    sent = raw_path(request).decode("ascii", "replace").rpartition("/")[2]
    query = request.url.query
    return RedirectResponse(f"./{sent}/" + (f"?{query}" if query else ""))


def _nothing_here(request: Request) -> Response:
    return problem(NotFoundError(f"nothing is at {request.url.path}", fix="start at /"))
