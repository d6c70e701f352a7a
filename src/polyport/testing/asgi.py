"""Ask an ASGI application without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp


class Client:
    """A consumer of an ASGI application, in this process; `http://127.0.0.1` is its address."""

    def __init__(self, app: ASGIApp, *, base_url: str = "http://127.0.0.1") -> None:
        self._app = app
        self._base_url = base_url

    def get(
        self,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer to a GET, read to its end."""
        return self.send("GET", url, params=params, headers=headers)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> httpx.Response:
        """The answer to a request with a JSON body (None: with none), read to its end."""
        return self.send(method, url, headers=headers, json=json)

    def send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> httpx.Response:
        """The answer to a request, read to its end."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url=self._base_url) as client:
                return await client.request(method, url, params=params, headers=headers, json=json)

        return anyio.run(ask)
