"""Parts of a file over HTTP (RFC 9110, section 14): one range of bytes, or the whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from polyport.ports.http import HttpError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

_CHUNK = 2**20
_ONE = re.compile(r"bytes=[ \t]*([0-9]{0,1000})-([0-9]{0,1000})[ \t]*", re.IGNORECASE)
"""More digits than these are no range that we read: Python refuses to make a number of more than 4,300."""


def wanted(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last that the request asks for; None for the whole file.

    The whole is the answer also to several ranges, to what cannot be read as a range, and where If-Range names
    something else than `etag`; section 14.2 admits each.

    Raises:
        HttpError: 416, no byte of the range is there.
    """
    header = request.headers.get("range", "")
    condition = request.headers.get("if-range", "").strip()
    if request.method != "GET" or (condition and condition != etag):
        return None
    match = _ONE.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return None
    return _span(match[1], match[2], size)


def _span(first: str, last: str, size: int) -> tuple[int, int] | None:
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise HttpError(416, f"the file has {size} bytes", {"Content-Range": f"bytes */{size}"})
    return start, stop


class FilePart(Response):
    """The answer with the bytes `start` to `stop` of an open file, which it closes.

    `still` is asked before each part: what it raises breaks the answer off.
    """

    def __init__(
        self,
        file: BinaryIO,
        span: tuple[int, int],
        status: int,
        headers: Mapping[str, str],
        *,
        still: Callable[[], None] = lambda: None,
    ) -> None:
        self.file = file
        self.still = still
        self.start, self.stop = span
        length = {"Content-Length": str(self.stop - self.start)}
        super().__init__(None, status, {**headers, **length})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send the bytes, a MiB at a time."""
        with self.file:
            start = {"type": "http.response.start", "status": self.status_code}
            await send({**start, "headers": self.raw_headers})
            at = self.start if scope["method"] != "HEAD" else self.stop
            while at < self.stop:
                chunk = await run_in_threadpool(self._read, at)
                at += len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _read(self, at: int) -> bytes:
        self.still()
        self.file.seek(at)
        chunk = self.file.read(min(_CHUNK, self.stop - at))
        if not chunk:
            raise EOFError(f"the file ends at byte {at}, before {self.stop}")
        return chunk
