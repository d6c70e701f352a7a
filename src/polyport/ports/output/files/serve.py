"""The files port over HTTP: a list of files; each file whole, in part, or cut down by the query string."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import pyarrow as pa
from starlette.responses import Response

from polyport.errors import NotFoundError, QueryError
from polyport.ports import http, query
from polyport.ports.formats import FORMATS
from polyport.ports.output.files import ranges, render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from polyport.access import View
    from polyport.ports.formats import Format
    from polyport.ports.output import OutputContext
    from polyport.ports.output.files.cache import Cache, Held

HAL = "application/hal+json"
_UNSENT = re.compile(r'["\\?/%\x00-\x1f\x7f]')
"""What a file's name in a header is better without."""
Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Handler:
    """Answers the requests of one port."""

    context: OutputContext
    formats: tuple[Format, ...]
    """Those that are offered."""
    cache: Cache

    async def __call__(self, request: Request) -> Response:
        """The answer; made in a thread, for reading blocks."""
        return await asyncio.to_thread(self.answer, request)

    def answer(self, request: Request) -> Response:
        """The list at the root, a file below it; nothing deeper."""
        principal, purpose = self.context.identify(request)
        root, sent = http.mounted(request)
        names = [http.decode(part, "the path segment") for part in sent]
        if len(names) > 1:
            raise NotFoundError(
                f"no file {'/'.join(names)!r}", fix="a file's name is DATASET.FORMAT"
            )
        pairs = http.pairs(request)
        ref = http.ref_of(pairs)
        with self.context.open(principal, ref, purpose=purpose) as view:
            headers = http.snapshot_headers(view, ref, self.context.spec)
            if not names or not names[0]:
                return self.index(request, view, (f"{root}/", pairs), headers)
            return self.file(request, view, names[0], (pairs, headers))

    def index(
        self, request: Request, view: View, given: tuple[str, Pairs], headers: dict[str, str]
    ) -> Response:
        """What files there are."""
        base, pairs = given
        _only_snapshot(pairs)
        sizes = [self.cache.size(self.key(view, name)) for name in self.names(view)]
        tag = http.etag(view, "files", pairs, sizes, self.names(view))
        headers = {**headers, "ETag": tag}
        if http.etag_matches(request, tag):
            return http.not_modified(headers)
        pinned = f"?{urlencode(pairs)}" if pairs else ""
        body = json.dumps(self.listing(view, base, pinned), ensure_ascii=False).encode()
        media = http.negotiate(request, (HAL, "application/json")) or HAL
        return Response(body, headers=headers, media_type=media)

    def names(self, view: View) -> list[str]:
        """The names of all files that the asker may get."""
        found = [f"{name}.{form.suffix}" for name in view.datasets for form in self.formats]
        book = f"{self.context.product.id}.xlsx"
        return [*found, book] if self.book and view.datasets and book not in found else found

    @property
    def book(self) -> bool:
        """Whether workbooks are offered."""
        return FORMATS["xlsx"] in self.formats

    def listing(self, view: View, base: str, pinned: str) -> dict[str, object]:
        """The HAL document of the root."""
        shown = view.snapshot
        datasets = []
        for dataset in view.datasets:
            links = {
                form.name: self.link(view, f"{dataset}.{form.suffix}", form, (base, pinned))
                for form in self.formats
            }
            columns = view.schema(dataset).names
            datasets.append({"name": dataset, "columns": columns, "_links": links})
        links = {"self": {"href": f"{base}{pinned}"}}
        book = f"{self.context.product.id}.xlsx"
        if book in self.names(view)[-1:]:
            links["workbook"] = self.link(view, book, FORMATS["xlsx"], (base, pinned))
        return {
            "_links": links,
            "product": self.context.product.id,
            "snapshot": {
                "id": shown.id,
                "sequence": shown.sequence,
                "committed_at": shown.committed_at.isoformat(),
            },
            "_embedded": {"datasets": datasets},
        }

    def link(
        self, view: View, name: str, form: Format, address: tuple[str, str]
    ) -> dict[str, object]:
        """A link to a file; with its size, if it has been rendered."""
        base, pinned = address
        size = self.cache.size(self.key(view, name))
        known = {} if size is None else {"bytes": size}
        href = f"{base}{quote(name, safe='')}{pinned}"
        return {"href": href, "type": form.media_type, "title": form.label, **known}

    def key(self, view: View, name: str, pairs: Sequence[tuple[str, str]] = ()) -> str:
        """The ETag of a file: a snapshot, what may be seen of it, what is asked, and what wrote it."""
        asked = [pair for pair in pairs if pair[0] != "snapshot"]
        return http.etag(view, "files", name, asked, pa.__version__)

    def file(
        self, request: Request, view: View, name: str, given: tuple[Pairs, dict[str, str]]
    ) -> Response:
        """One file."""
        pairs, headers = given
        form, parts = self.asked(view, name, pairs)
        tag = self.key(view, name, pairs)
        stem = name.removesuffix(f".{form.suffix}")
        headers = {
            **headers,
            "ETag": tag,
            "Accept-Ranges": "bytes",
            "Content-Disposition": _attachment(f"{stem}-{view.snapshot.sequence}.{form.suffix}"),
            "X-Content-Type-Options": "nosniff",
        }
        if http.etag_matches(request, tag):
            return http.not_modified(headers)
        product = self.context.product
        held = self.cache.get(tag, lambda sink: render.write(view, product, parts, form, sink))
        return _part(request, view, (held, parts), {**headers, "Content-Type": form.media_type})

    def asked(self, view: View, name: str, pairs: Pairs) -> tuple[Format, tuple[render.Part, ...]]:
        """What is to be in the file `name`.

        Raises:
            NotFoundError: There is no such file.
            AccessError: The asker may see nothing of the dataset.
            QueryError: The query string cannot be read.
        """
        stem, _, suffix = name.rpartition(".")
        form = next((form for form in self.formats if form.suffix == suffix), None)
        product = self.context.product.id
        if form is not None and stem in view.snapshot.datasets:
            return form, (_selected(view, stem, pairs),)
        if form is not None and name == f"{product}.xlsx" and view.datasets:
            _only_snapshot(pairs)
            return form, tuple(_selected(view, dataset, []) for dataset in view.datasets)
        near = get_close_matches(name, self.names(view), 1)
        fix = f"did you mean {near[0]!r}?" if near else f"files: {', '.join(self.names(view))}"
        raise NotFoundError(f"no file {name!r}", where=f"{product}/files", fix=fix)


def _selected(view: View, dataset: str, pairs: Pairs) -> render.Part:
    found = query.parse(pairs, view.schema(dataset), render.key(view, dataset), paging=False)
    said = "&".join(f"{name}={value}" for name, value in pairs if name != "snapshot")
    return render.Part(dataset, found.columns, found.where, found.order, said)


def _only_snapshot(pairs: Pairs) -> None:
    for name, _ in pairs:
        if name != "snapshot":
            raise QueryError(
                f"unknown parameter {name!r}",
                fix="here only `snapshot`; filters go with one dataset's file",
            )


def _part(
    request: Request,
    view: View,
    found: tuple[Held, Sequence[render.Part]],
    headers: dict[str, str],
) -> Response:
    held, _ = found
    try:
        span = ranges.wanted(request, headers["ETag"], held.size)
        start, stop = span or (0, held.size)
        if not held.fresh and request.method == "GET":
            _meter(view, found, stop - start)
    except BaseException:
        held.file.close()
        raise
    if span is None:
        return ranges.FilePart(held.file, (start, stop), 200, headers, still=view.still)
    place = {"Content-Range": f"bytes {start}-{stop - 1}/{held.size}"}
    return ranges.FilePart(held.file, span, 206, {**headers, **place}, still=view.still)


def _meter(view: View, found: tuple[Held, Sequence[render.Part]], size: int) -> None:
    """Record the read of `size` bytes of a file rendered before: of rows and bytes, each dataset's share."""
    held, parts = found
    every = sum(held.rows.values())
    for part in parts:
        rows = held.rows[part.dataset]
        share = rows * size // every if every else size // len(parts)
        columns = part.columns or view.schema(part.dataset).names
        seen = -(-rows * size // held.size) if held.size else 0
        view.touch(part.dataset, columns=columns, rows=seen, size=share)


def _attachment(name: str) -> str:
    """A Content-Disposition that any browser reads, whatever characters the name has (RFC 6266, RFC 8187)."""
    plain = _UNSENT.sub("_", name.encode("ascii", "replace").decode())
    extended = f"; filename*=UTF-8''{quote(name, safe='')}" if plain != name else ""
    return f'attachment; filename="{plain}"{extended}'
