"""One request as the handlers see it, and the shape that all answers share."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from starlette.responses import Response

from polyport.ports.http import (
    HttpError,
    etag,
    etag_matches,
    link_header,
    negotiate,
    not_modified,
    snapshot_headers,
)
from polyport.ports.values import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import ExitStack

    from starlette.requests import Request

    from polyport.access import View
    from polyport.model import Ref
    from polyport.ports.output import OutputContext

_ENCODER = json.JSONEncoder(ensure_ascii=False)
HAL = "application/hal+json"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request with the view that answers it."""

    context: OutputContext
    request: Request
    view: View
    pairs: Sequence[tuple[str, str]]
    """The query string."""
    ref: Ref
    prefix: str
    """Where the port is mounted: `/products/films/rest/v1`."""
    path: str
    """The whole path, as sent."""
    held: ExitStack
    """Closes the view; an answer that streams takes it over."""

    @property
    def pinned(self) -> dict[str, str]:
        """The parameter that keeps links on the snapshot where the request named one."""
        return {"snapshot": self.view.snapshot.id} if self.ref != "latest" else {}

    def link(self, *parts: str, query: Mapping[str, str] | None = None) -> str:
        """The address of something below the port; `parts` are encoded already."""
        return address("/".join((self.prefix, *parts)), self.pinned if query is None else query)

    def again(self, **changes: str | None) -> str:
        """The address of this request with some parameters changed; None leaves one out."""
        query = {**dict(self.pairs), **changes}
        return address(self.path, {k: v for k, v in query.items() if v is not None})


def address(path: str, query: Mapping[str, str]) -> str:
    """`path?query`."""
    return f"{path}?{urlencode(query, quote_via=quote)}" if query else path


_UNRESERVED = re.compile("[A-Za-z0-9._~-]*").fullmatch
_STEPS = (".", "..")
"""Parts of an address that mean a folder, encoded or not (RFC 3986, 6.2.2.3)."""


def key_text(values: Iterable[Any]) -> str:
    """A key as a part of an address; empty where it has none (a null, an empty text, a step to a folder)."""
    whole = ""
    for value in values:
        text = pack(value)
        if text is None:
            return ""
        whole += "," + (text if _UNRESERVED(text) else quote(text, safe=""))
    return "" if whole[1:] in _STEPS else whole[1:]


def choose(ask: Ask, offered: Sequence[str]) -> str:
    """The media type to answer with.

    Raises:
        HttpError: 406; says what is offered.
    """
    found = negotiate(ask.request, offered)
    if found is None:
        raise HttpError(406, f"offered here: {', '.join(offered)}")
    return found


def headers(ask: Ask, media: str) -> dict[str, str]:
    """What every answer says of the snapshot and of itself; the ETag is known before any row is read."""
    tag = etag(ask.view, ask.path, sorted(ask.pairs), media)
    return {**snapshot_headers(ask.view, ask.ref, ask.context.spec), "ETag": tag}


def unchanged(ask: Ask, known: Mapping[str, str]) -> Response | None:
    """A 304 where the asker has the answer already; None where it has not."""
    return not_modified(known) if etag_matches(ask.request, known["ETag"]) else None


def document(
    ask: Ask, offered: Sequence[str], body: Callable[[], tuple[Mapping[str, Any], bytes]]
) -> Response:
    """An answer of `body`: a mapping with `_links`, and bytes that go in before its closing brace."""
    media = choose(ask, offered)
    known = headers(ask, media)
    if (same := unchanged(ask, known)) is not None:
        return same
    members, rest = body()
    found = {rel: link["href"] for rel, link in members["_links"].items() if rel in _LINKED}
    content = _ENCODER.encode(members).encode()[:-1] + rest + b"}"
    return Response(content, 200, {**known, **link_header(found)}, media)


def plain(ask: Ask, body: Callable[[], bytes]) -> Response:
    """A JSON document as it is."""
    known = headers(ask, choose(ask, (JSON,)))
    return unchanged(ask, known) or Response(body(), 200, known, JSON)


_LINKED = ("self", "first", "next", "up", "collection", "describedby", "service-desc")


def snapshot_of(ask: Ask) -> dict[str, Any]:
    """The snapshot shown."""
    shown = ask.view.snapshot
    at = shown.committed_at.isoformat().replace("+00:00", "Z")
    return {"sequence": shown.sequence, "id": shown.id, "committed_at": at}
