"""Counts the requests that a port answers: who, what came of it, bytes, seconds."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from polyport.model import Request

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from polyport.access.identity import Identify
    from polyport.ledger import Ledger
    from polyport.model import Principal

OK = 200
_NOTED = "polyport.principal"


def noting(identify: Identify) -> Identify:
    """The same, but the principal is left where `Counted` finds it."""

    def noted(connection: HTTPConnection) -> tuple[Principal, str]:
        principal, purpose = identify(connection)
        connection.scope[_NOTED] = principal.id
        return principal, purpose

    return noted


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
