"""All ports of some products as one ASGI application, and the server that runs it and what else listens."""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from polyport.access.identity import LOOPBACK, Identity
from polyport.ports.output import Endpoint, Listening
from polyport.server.app import address, create_app
from polyport.server.lines import client_lines
from polyport.server.node import BACKLOG, Node, check_address, check_free, login, mesh_name, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from polyport.access.identity import Identify
    from polyport.ports.output import Listener
    from polyport.product import Product


def serve(
    products: Sequence[Product],
    at: Node | None = None,
    *,
    identify: Identify | None = None,
    unserved: Sequence[str] = (),
    ready: Callable[[Mapping[str, str], Sequence[str]], None] = lambda *_: None,
) -> None:
    """Serve until interrupted, those that `identify` lets in (default: `login`). `unserved`: as `create_app`.

    `ready`: called once all ports are listened for, with where each type of listening port is, and notes on them.

    Raises:
        ConfigurationError: Others can reach it, and nobody can log in; the address or TLS cannot be used.
    """
    import uvicorn  # noqa: PLC0415 - the server is needed by one command only

    at = at or Node()
    known = identify or login(products, at)
    check_address(at)
    for product in products:
        product.speed_up()
    with (
        listening(products, at, known if isinstance(known, Identity) else None) as listeners,
        ExitStack() as ending,
    ):
        addresses = {kind: each.address for kind, each in listeners.items()}
        config = uvicorn.Config(
            create_app(
                products,
                identify=known,
                hosts=LOOPBACK if at.local else ("*",),
                unserved=unserved,
                addresses=addresses,
            ),
            ssl_certfile=at.certificate,
            ssl_keyfile=at.certificate_key,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nothing here depends on who or what is in front
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
            backlog=BACKLOG,
        )
        sockets = [ending.enter_context(each) for each in opened(at)]
        ready(addresses, [each.listener.note for each in listeners.values() if each.listener.note])
        ending.enter_context(suppress(KeyboardInterrupt))  # it is how one ends it
        logging.getLogger("uvicorn.error").addFilter(_told)
        uvicorn.Server(config).run(sockets)


def _told(record: logging.LogRecord) -> bool:
    """Whether a fault is logged: that a request was cut off is none, where one did not wait for its end."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


@dataclass(frozen=True, slots=True)
class Listened:
    """A listener, and where it is."""

    listener: Listener
    address: str


@contextmanager
def listening(
    products: Sequence[Product], at: Node, identity: Identity | None
) -> Iterator[Mapping[str, Listened]]:
    """Answers for the listening ports of all products, one listener a type, until the block ends.

    Raises:
        ConfigurationError: An address cannot be used.
        MissingExtraError: A port needs a package that is not installed.
    """
    found: dict[str, list[Listening]] = {}
    for product in products:
        for port in product.ports():
            if isinstance(port, Listening):
                found.setdefault(port.context.spec.type, []).append(port)
    with ExitStack() as ending:
        made: dict[str, Listened] = {}
        for kind, ports in found.items():
            endpoint = _endpoint(at, ports[0], identity)
            option = f"--listen {kind}={endpoint.port}"
            check_free(at.host, endpoint.port, option, f"--listen {kind}={endpoint.port + 1}")
            opened = type(ports[0]).listen(ports, endpoint)
            ending.callback(opened.close)
            tls = "+tls" if at.certificate else ""
            made[kind] = Listened(opened, f"{ports[0].scheme}{tls}://{at.name}:{opened.port}")
        yield made


def _endpoint(at: Node, port: Listening, identity: Identity | None) -> Endpoint:
    number = at.listen.get(port.context.spec.type, at.port + port.offset)
    host = at.host.strip("[]")
    return Endpoint(host, number, at.certificate, at.certificate_key, identity, at.mesh)


__all__ = [
    "Listened",
    "Node",
    "address",
    "check_address",
    "client_lines",
    "create_app",
    "listening",
    "login",
    "mesh_name",
    "serve",
]
