"""What keeps other sites' pages out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from polyport.errors import AccessError
from polyport.ports.http import problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Fence:
    """Refuses what a page of another site asks for behind its reader's back, and lets no page embed an answer.

    Such a page cannot read an answer, but it could tell rows that are there from rows that are not: by errors, sizes
    and times. A link that a person follows is let through. Clients that are no browsers do not send these headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""

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
