"""What ports that speak HTTP share: problems, ETags, negotiation, query strings, and the headers of a snapshot."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from polyport.errors import AuthenticationError, LimitError, PolyportError, QueryError
from polyport.model import LATEST

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
    from datetime import date

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from polyport.access import View
    from polyport.descriptor.types import Port
    from polyport.model import Ref

PROBLEM = "application/problem+json"
URL_LIMIT = 16_384
"""Bytes of path and query string that a port reads; longer ones are answered with 414."""
BODY_LIMIT = 65_536
"""Bytes of a request's body that a port reads, unless it says otherwise."""
METHODS = ("GET", "HEAD")
VARY = "Accept, Authorization, Polyport-Role, Polyport-Purpose"
PERSONAL = {"Vary": VARY, "Cache-Control": "private, no-cache"}
"""Headers of an answer that is made for who asks, and may be another next time."""
KEPT = 3_600
"""Seconds that a consumer may go on with a pinned snapshot: an erasure is known to all of them by then."""
_TAG = re.compile(r'\*|(?:W/)?"[^"]*"')
_QUALITY = re.compile(r";\s*q\s*=\s*([0-9.]+)", re.IGNORECASE)
_SPACED = re.compile(r"^([0-9-]{10}[Tt][0-9:.]+) ([0-9:]{5})$")
_log = logging.getLogger("polyport")


class HttpError(Exception):
    """A refusal for which HTTP itself has the status (404, 405, 406, 414), and so no error of our own tree."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def problem(error: PolyportError) -> Response:
    """The error as an RFC 9457 answer, with its class's status, and the headers that HTTP wants with it."""
    headers = {}
    if isinstance(error, AuthenticationError):
        headers["WWW-Authenticate"] = 'Bearer realm="polyport", Basic realm="polyport"'
    if isinstance(error, LimitError) and error.retry_after:
        headers["Retry-After"] = str(error.retry_after)
    return _answer(error.http_status, error.problem(), headers)


def refusal(error: HttpError) -> Response:
    """A refusal of HTTP's own as an RFC 9457 answer (`about:blank`: the status says it all)."""
    title = HTTPStatus(error.status).phrase
    body = {"type": "about:blank", "title": title, "status": error.status, "detail": error.detail}
    return _answer(error.status, body, error.headers)


def _answer(status: int, body: Mapping[str, object], headers: Mapping[str, str]) -> Response:
    content = json.dumps(body).encode()
    always = {"Cache-Control": "no-store", "Vary": VARY}
    return Response(content, status, {**always, **headers}, PROBLEM)


def guarded(
    handler: Callable[[Request], Awaitable[Response]], methods: Sequence[str] = METHODS
) -> ASGIApp:
    """An ASGI app of one handler that takes `methods` and answers every error with a problem.

    What was not raised on purpose is logged (logger `polyport`) and answered with a 500 that tells nothing of it. Once
    an answer has begun, an error is raised instead: the server then breaks the connection off, and nobody takes half
    an answer for the whole.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(_without_body(message) if scope["method"] == "HEAD" else message)

        try:
            response = await _respond(handler, Request(scope, receive), methods)
            await response(scope, receive, watched)
        except ClientDisconnect:
            _log.debug("%r went away", scope["path"])
        except Exception:
            _log.exception("%s %r failed", scope["method"], scope["path"])  # it may hold line ends
            if begun:
                raise
            unknown = HttpError(500, "the request could not be served; the server's log says why")
            await refusal(unknown)(scope, receive, watched)

    return _App(app)


class _App:
    """An ASGI app that a `Route` takes for one: a plain function it would call with a request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


async def _respond(
    handler: Callable[[Request], Awaitable[Response]], request: Request, methods: Sequence[str]
) -> Response:
    try:
        _check(request, methods)
        return await handler(request)
    except PolyportError as error:
        return problem(error)
    except HttpError as error:
        return refusal(error)


def _check(request: Request, methods: Sequence[str]) -> None:
    if request.method not in methods:
        allow = {"Allow": ", ".join(methods)}
        raise HttpError(405, f"{request.method} is not offered here", allow)
    size = len(raw_path(request)) + len(request.scope["query_string"])
    if size > URL_LIMIT:
        raise HttpError(414, f"the address has {size} bytes; {URL_LIMIT} are read")


def _without_body(message: Message) -> Message:
    return {**message, "body": b""} if message["type"] == "http.response.body" else message


class Streamed(StreamingResponse):
    """An answer made while it is sent; `chunks` is closed at the end, also when the reader goes away.

    The first piece is made at once: what goes wrong by then can still be answered with a problem.
    """

    def __init__(
        self, chunks: Generator[bytes, None, None], headers: Mapping[str, str], media_type: str
    ) -> None:
        first = next(chunks, b"")
        super().__init__(chain((first,), chunks), headers=headers, media_type=media_type)
        self.chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the chunks."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self.chunks.close)


def raw_path(request: Request) -> bytes:
    """The path as it was sent, percent-encoded."""
    sent: bytes | None = request.scope.get("raw_path")
    return (request.url.path.encode() if sent is None else sent).split(b"?")[0]


def decode(text: bytes, what: str) -> str:
    """`text` percent-decoded, from UTF-8.

    Raises:
        QueryError: It is not UTF-8; `what` says what it was.
    """
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        shown = text[:60].decode("ascii", "replace")
        raise QueryError(f"{what} {shown!r} is not UTF-8", fix="percent-encode UTF-8") from None


def mounted(request: Request) -> tuple[str, list[bytes]]:
    """Where the port is mounted, as sent and without a slash at its end, and the parts of the path below, as sent.

    Parts are told apart before they are decoded: one may hold `%2F`.
    """
    root = request.scope.get("root_path", "").rstrip("/")
    parts = raw_path(request).split(b"/")
    at = 1 + (root.count("/") if request.scope["path"].startswith(root) else 0)
    return b"/".join(parts[:at]).decode("ascii", "replace"), parts[at:]


def pairs(request: Request) -> list[tuple[str, str]]:
    """The query string's names and values in order, decoded strictly; a parameter without `=` has the value "".

    Raises:
        QueryError: A name or value is not UTF-8.
    """
    raw: bytes = request.scope["query_string"].replace(b"+", b" ")
    split = [part.partition(b"=") for part in raw.split(b"&") if part]
    return [(decode(name, "the parameter"), decode(value, "the value")) for name, _, value in split]


def negotiate(request: Request, offered: Sequence[str]) -> str | None:
    """The media type of `offered` that the request's Accept likes best; None where it takes none of them.

    A tie, a missing and an empty Accept go to the first (RFC 9110, 12.5.1). Parameters other than `q` are ignored.
    """
    header = ",".join(request.headers.getlist("accept")).strip()
    if not header:
        return offered[0]
    given = (part.partition(";") for part in header.split(","))
    wanted = {
        name.strip().lower(): _quality(mark + rest) for name, mark, rest in given if name.strip()
    }
    ranked = [(_liking(wanted, media), -place, media) for place, media in enumerate(offered)]
    liking, _, best = max(ranked)
    return best if liking > 0 else None


def chosen(request: Request, offered: Sequence[str]) -> str:
    """As `negotiate`; an answer of 406 where the request takes none of `offered`."""
    media = negotiate(request, offered)
    if media is None:
        raise HttpError(406, f"offered: {', '.join(offered)}")
    return media


def threaded(answered: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    """The handler that answers in a thread: reading blocks."""

    async def answer(request: Request) -> Response:
        return await asyncio.to_thread(answered, request)

    return answer


def _liking(wanted: Mapping[str, float], media: str) -> float:
    ranges = (media, media.split("/", maxsplit=1)[0] + "/*", "*/*")
    return next((wanted[name] for name in ranges if name in wanted), 0.0)


def _quality(parameters: str) -> float:
    match = _QUALITY.search(parameters)
    try:
        return float(match[1]) if match else 1.0
    except ValueError:
        return 0.0


async def json_body(request: Request, limit: int = BODY_LIMIT) -> Mapping[str, Any]:
    """The JSON object that was sent; empty where nothing was.

    It must say that it is `application/json`: no form of another site's page can, so none can change anything here.

    Raises:
        HttpError: It is of another media type (415), or longer than `limit` bytes (413).
        QueryError: It is not one JSON object in UTF-8, or names a member twice.
    """
    _, body = await sent(request, ("application/json",), limit)
    return json_object(body) if body.strip() else {}


async def sent(
    request: Request, taken: Sequence[str], limit: int = BODY_LIMIT
) -> tuple[str, bytes]:
    """The media type, one of `taken`, and the bytes that were sent.

    Raises:
        HttpError: It is of another media type (415), or longer than `limit` bytes (413).
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in taken:
        raise HttpError(
            415, f"send Content-Type: {' or '.join(taken)}", {"Accept": ", ".join(taken)}
        )
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HttpError(413, f"the body is longer than the {limit} bytes that are read")
    return media, body


def json_object(body: bytes) -> Mapping[str, Any]:
    """The JSON object that `body` is.

    Raises:
        QueryError: It is not one JSON object in UTF-8, or names a member twice.
    """
    try:
        found = json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_no_number)
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        reason = "it nests too deep" if isinstance(error, RecursionError) else error
        raise QueryError(f"the body is not JSON: {reason}", fix="send one JSON object") from None
    if not isinstance(found, dict):
        raise QueryError("the body is JSON, but not an object", fix="send one JSON object")
    return found


def _once(members: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        names = [name for name, _ in members]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the member {twice!r} is there twice")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number")


def digest(*parts: object) -> str:
    """A short digest of what `parts` say: the same parts, the same digest, on every node."""
    text = json.dumps([str(part) for part in parts])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def etag(view: View, *parts: object) -> str:
    """A strong ETag: the snapshot, what the principal may see of it, and `parts` (the query and the media type)."""
    return (
        f'"{view.snapshot.sequence}-{digest(view.snapshot.content_id, view.policy_class, *parts)}"'
    )


def etag_matches(request: Request, etag: str) -> bool:
    """Whether If-None-Match names `etag`, so that the answer is 304 (RFC 9110, 13.1.2: a weak comparison).

    Raises:
        HttpError: 412, If-Match names others only (13.1.1: a strong comparison).
    """
    wanted = ",".join(request.headers.getlist("if-match")).strip()
    if wanted not in ("", "*") and etag not in _TAG.findall(wanted):
        raise HttpError(412, f"this is {etag} by now; If-Match names another", {"ETag": etag})
    header = ",".join(request.headers.getlist("if-none-match"))
    given = [tag.removeprefix("W/") for tag in _TAG.findall(header)]
    return etag.removeprefix("W/") in given or header.strip() == "*"


def not_modified(headers: Mapping[str, str]) -> Response:
    """A 304 with the headers that the full answer would have had."""
    return Response(status_code=304, headers={**headers})


def snapshot_headers(view: View, ref: Ref, spec: Port) -> dict[str, str]:
    """Which snapshot this is and how long it may be kept without asking: `KEPT` where `ref` can never mean another."""
    shown = view.snapshot
    pinned = ref in (shown.id, str(shown.sequence))
    headers = {
        "Polyport-Snapshot": f"{shown.sequence}; id={shown.id}",
        "Cache-Control": f"private, max-age={KEPT}" if pinned else "private, no-cache",
        "Vary": VARY,
    }
    if spec.deprecated or spec.deprecated_on:
        # RFC 9745 wants a date; without one, the snapshot's is the latest at which it can have been deprecated.
        since = _midnight(spec.deprecated_on) if spec.deprecated_on else shown.committed_at
        headers["Deprecation"] = f"@{int(since.timestamp())}"
    if spec.sunset:
        headers["Sunset"] = format_datetime(_midnight(spec.sunset), usegmt=True)
    return headers


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def ref_of(pairs: Sequence[tuple[str, str]]) -> Ref:
    """The snapshot that the query string asks for: `snapshot=`, else the latest.

    Raises:
        QueryError: It is empty or given twice.
    """
    given = [value for name, value in pairs if name == "snapshot"]
    if len(given) > 1:
        raise QueryError("the parameter 'snapshot' is given twice", fix="give it once")
    if given and not given[0].strip():
        raise QueryError("the parameter 'snapshot' is empty", fix="a sequence, id, tag or time")
    # A plus sign that was not percent-encoded arrives as a space.
    return _SPACED.sub(r"\1+\2", given[0]) if given else LATEST


def link_header(links: Mapping[str, str]) -> dict[str, Any]:
    """A `Link` header (RFC 8288) of relation -> address."""
    return {"Link": ", ".join(f'<{href}>; rel="{rel}"' for rel, href in links.items())}
