"""What the routes of a configuration port have in common: a function a method, and the members of what is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from polyport.errors import QueryError
from polyport.ports.http import guarded, json_body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp


def by_method(**answers: Callable[[Request, Mapping[str, Any]], Response]) -> ASGIApp:
    """An ASGI app that answers each method (`GET`: HEAD, too) by a function, in a thread, for reading blocks.

    It is given the request and the JSON object that was sent; an empty one, where the method sends none.
    """

    async def handler(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        body = await json_body(request) if method in ("POST", "PUT") else {}
        return await asyncio.to_thread(answers[method], request, body)

    allowed = [m for name in answers for m in (("GET", "HEAD") if name == "GET" else (name,))]
    return guarded(handler, allowed)


def only(body: Mapping[str, Any], known: Sequence[str]) -> None:
    """Make sure that nothing else than `known` is sent.

    Raises:
        QueryError: There is another member.
    """
    for name in body:
        if name not in known:
            raise QueryError(f"unknown member {name[:60]!r}", fix=f"known: {', '.join(known)}")
