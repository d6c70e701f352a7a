"""Says with every answer of a deprecated product that it is (RFC 9745), and what comes after it (RFC 5829)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Deprecated:
    """An ASGI app whose answers carry `Deprecation`, and a link to the successor where one is named."""

    def __init__(self, app: ASGIApp, since: datetime, successor: str = "") -> None:
        self.app = app
        self.headers = [(b"deprecation", f"@{int(since.timestamp())}".encode())]
        if successor:
            address = successor if "://" in successor else f"/products/{quote(successor, safe='')}"
            link = f'<{quote(address, safe=_ADDRESS)}>; rel="successor-version"'
            self.headers.append((b"link", link.encode("ascii")))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; a port that says itself since when it is deprecated is not spoken over."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = {name.lower() for name, _ in message["headers"]}
                more = [h for h in self.headers if h[0] != b"deprecation" or h[0] not in said]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self.app(scope, receive, marked)


_ADDRESS = "%:/?#[]@!$&'()*+,;=-._~"
"""What an address may hold as it is."""
