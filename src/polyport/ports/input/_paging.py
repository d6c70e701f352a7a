"""How an API is paged: what to ask for first, what next, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyport.ports.input import _records
from polyport.ports.input._settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

_KNOWN = (
    "by", "param", "size_param", "size", "start", "cursor", "total", "pages", "more", "last", "max_pages",
)  # fmt: skip
_WAYS = ("none", "page", "offset", "cursor", "link")
_PARAMS = {"page": "page", "offset": "offset", "cursor": "cursor"}
_MAX_PAGES = 10_000


@dataclass(frozen=True, slots=True)
class Paging:
    """The setting `page`."""

    by: str
    param: str
    size_param: str
    size: int
    start: int
    cursor: _records.Path
    total: _records.Path | None
    pages: _records.Path | None
    more: _records.Path | None
    short_ends: bool
    max_pages: int


@dataclass(frozen=True, slots=True)
class Page:
    """What came for one request."""

    number: int
    """From 1."""
    document: Any
    records: int
    so_far: int
    """Records on this page and those before."""
    link: str
    """RFC 8288 `rel="next"`."""


def paging(given: Settings) -> Paging:
    """The setting `page`, with defaults.

    Raises:
        ConfigurationError: A setting in it cannot be used.
    """
    raw = given.values.get("page", {})
    raw = {"by": raw} if isinstance(raw, str) else raw
    inner = Settings({"page": raw}, given.where).inner("page", _KNOWN)
    by = inner.choice("by", _WAYS, "page" if raw else "none")
    size = inner.integer("size", 0)
    return Paging(
        by=by,
        param=inner.text("param", _PARAMS.get(by, "")),
        size_param=inner.text("size_param", "limit" if size else ""),
        size=size,
        start=inner.integer("start", 1 if by == "page" else 0),
        cursor=_records.parse(inner.text("cursor", "$.next"), given.where),
        total=_path(inner, "total"),
        pages=_path(inner, "pages"),
        more=_path(inner, "more"),
        short_ends=inner.choice("last", ("empty", "short"), "empty") == "short",
        max_pages=inner.integer("max_pages", _MAX_PAGES, low=1),
    )


def _path(given: Settings, name: str) -> _records.Path | None:
    return _records.parse(given.text(name), given.where) if name in given.values else None


def first(how: Paging, url: httpx.URL, params: Mapping[str, str]) -> httpx.URL:
    """The address of the first page."""
    asked = dict(params)
    if how.size:
        asked[how.size_param] = str(how.size)
    if how.by in ("page", "offset"):
        asked[how.param] = str(how.start)
    return url.copy_merge_params(asked) if asked else url


def following(how: Paging, start: httpx.URL, here: httpx.URL, page: Page) -> httpx.URL | None:
    """The address of the page after `page`, which came from `here`; None after the last one.

    `start` is the address of the first page: its other parameters are repeated.
    """
    if how.by == "link":
        return here.join(page.link) if page.link else None
    if how.by == "cursor":
        return _by_cursor(how, start, here, page)
    if how.by == "none" or _ended(how, page):
        return None
    number = how.start + (page.number if how.by == "page" else page.so_far)
    return start.copy_set_param(how.param, str(number))


def _by_cursor(how: Paging, start: httpx.URL, here: httpx.URL, page: Page) -> httpx.URL | None:
    cursor = _records.maybe(page.document, how.cursor)
    if cursor in (None, "", False) or _said_no(how, page):
        return None
    text = str(cursor)
    if text.startswith(("http://", "https://", "/", "?")):
        return here.join(text)
    return start.copy_set_param(how.param, text)


def _said_no(how: Paging, page: Page) -> bool:
    return how.more is not None and not _records.maybe(page.document, how.more)


def _ended(how: Paging, page: Page) -> bool:
    if not page.records or _said_no(how, page):
        return True
    if how.short_ends and how.size and page.records < how.size:
        return True
    return _reached(page.so_far, how.total, page) or _reached(page.number, how.pages, page)


def _reached(done: int, path: _records.Path | None, page: Page) -> bool:
    limit = _records.maybe(page.document, path) if path is not None else None
    return isinstance(limit, int) and done >= limit
