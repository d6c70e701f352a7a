"""Counts the requests that a port answers: who, what came of it, bytes, seconds."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from polyport.access.limits import one_request
from polyport.errors import PolyportError
from polyport.model import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import HTTPConnection
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from polyport.access.identity import Identify
    from polyport.ledger import Ledger
    from polyport.model import Principal
    from polyport.ports.output import OutputContext

OK = 200
_NOTED = "polyport.principal"


def noting(identify: Identify) -> Identify:
    """The same, but the principal is left where `Counted` finds it."""

    def noted(connection: HTTPConnection) -> tuple[Principal, str]:
        principal, purpose = identify(connection)
        connection.scope[_NOTED] = principal.id
        return principal, purpose

    return noted


@dataclass(slots=True)
class Tally:
    """What is known of a request while it is answered."""

    status: int = 200
    """As HTTP has it."""
    bytes: int = 0


@contextmanager
def counting(
    context: OutputContext, principal: str, *, started: float | None = None
) -> Iterator[Tally]:
    """Record what is answered in here as one request to the port, for protocols other than HTTP.

    An error that leaves it is the request's status; what ends it early (a generator that is closed) counts as 499.
    `started`: what `time.perf_counter` gave when the request came; None: it comes now.
    """
    started, tally = time.perf_counter() if started is None else started, Tally()
    try:
        yield tally
    except PolyportError as error:
        tally.status = error.http_status
        raise
    except GeneratorExit:
        tally.status = 499
        raise
    except Exception:
        tally.status = 500
        raise
    finally:
        context.record(
            Request(
                at=datetime.now(UTC),
                product=context.product.id,
                port=context.spec.name,
                principal=principal,
                status=tally.status,
                bytes=tally.bytes,
                seconds=time.perf_counter() - started,
            )
        )


class Counted:
    """An ASGI app whose requests are recorded in the ledger as those of one port."""

    def __init__(
        self, app: ASGIApp, ledger: Ledger, product: str, port: str, *, link: str = ""
    ) -> None:
        """`link`: sent with each answer, as a `Link` header."""
        self.app, self.ledger = app, ledger
        self.product, self.port = product, port
        self.link = link.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and record."""
        started, status, size, file, ended = time.perf_counter(), 500, 0, False, False

        async def watched(message: Message) -> None:
            nonlocal status, size, file, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                if self.link:
                    message = {**message, "headers": [*message["headers"], (b"link", self.link)]}
                file = scope.get("method") == "GET" and status == OK and _is_file(message)
            else:
                size += len(message.get("body", b""))
            await send(message)
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            with one_request():
                await self.app(scope, receive, watched)
        finally:
            self.ledger.record_request(
                Request(
                    at=datetime.now(UTC),
                    product=self.product,
                    port=self.port,
                    principal=scope.get(_NOTED, ""),
                    status=status,
                    bytes=size,
                    seconds=time.perf_counter() - started,
                    download=file and ended,
                )
            )


def _is_file(message: Message) -> bool:
    return any(
        name.lower() == b"content-disposition" and value.startswith(b"attachment")
        for name, value in message["headers"]
    )
