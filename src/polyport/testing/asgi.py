"""Ask an ASGI application without a server."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from json import dumps
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import anyio
import anyio.to_thread
import httpx

from polyport.errors import PolyportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

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

    def send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """The answer to a request, read to its end; with the body `json` or `content`."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url=self._base_url) as client:
                return await client.request(
                    method, url, params=params, headers=headers, json=json, content=content
                )

        return anyio.run(ask)

    def pieces(
        self, url: str, *, headers: Mapping[str, str] | None = None, json: object = None
    ) -> Iterator[bytes]:
        """The body of the answer as it is sent: the application goes on when a piece is taken.

        To a GET; with `json`, to a POST of it.

        Raises:
            Exception: What the application raised: a server breaks the connection off then.
        """
        sent: queue.Queue[bytes | Exception | None] = queue.Queue(maxsize=1)

        async def send(message: Any) -> None:
            if message.get("body"):
                await anyio.to_thread.run_sync(sent.put, message["body"])

        async def run() -> None:
            end: Exception | None = None
            try:
                await self._app(_scope(url, headers or {}, json), _receiving(json), send)
            except Exception as error:  # noqa: BLE001 - told to whoever reads
                end = error.__cause__ if isinstance(error.__cause__, PolyportError) else error
            await anyio.to_thread.run_sync(sent.put, end)

        thread = threading.Thread(target=anyio.run, args=(run,))
        thread.start()
        try:
            while isinstance(piece := sent.get(), bytes):
                yield piece
        finally:
            while thread.is_alive():
                with suppress(queue.Empty):
                    sent.get(timeout=0.01)
            thread.join()
        if piece is not None:
            raise piece


def _scope(url: str, headers: Mapping[str, str], json: object) -> dict[str, Any]:
    parts = urlsplit(url)
    sent = {"host": "127.0.0.1", "content-type": "application/json", **headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET" if json is None else "POST",
        "scheme": "http",
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "root_path": "",
        "query_string": parts.query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
    }


def _receiving(json: object) -> Callable[[], Awaitable[dict[str, Any]]]:
    """Gives the request's body, and then nothing more: the client stays."""
    body = b"" if json is None else dumps(json).encode()
    asked = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in asked:
            return message
        await anyio.sleep_forever()
        return {"type": "http.disconnect"}

    return receive
