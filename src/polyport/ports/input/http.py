"""`http`: JSON APIs, paged; each page is kept as it came, and all of them are read as one table."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import pyarrow as pa

from polyport.errors import ConfigurationError, InputError
from polyport.ports.input import _client, _expect, _incremental, _paging, _records, _source
from polyport.ports.input._documents import of_shapes
from polyport.ports.input._infer import BATCH_ROWS, Shape, column, person_text, sql_type
from polyport.ports.input._settings import Settings, settings, suggest, where_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import httpx

    from polyport.ports.input import InputContext, Keep, RawObject, Received

_KNOWN = (
    "url", "params", "headers", "records", "include", "page", "auth", "retries", "backoff", "rate", "timeout",
    "max_bytes", "incremental", "types", "object",
)  # fmt: skip
_AFTER = "#after="
"""Marks, in the origin of a page, after which cursor it was asked for."""


class HttpInput:
    """A paged JSON API. See `docs/input-ports.md` for the settings."""

    def __init__(self, context: InputContext, *, clock: _client.Clock = _client.SYSTEM) -> None:
        self.context, self.clock = context, clock
        self.where = where_of(context.spec.name)
        given = self.settings = settings(context.spec.settings, _KNOWN, where=self.where)
        self.url = str(given.required("url", "https://api.example/v1/films"))
        self.records = _records.parse(given.text("records", "$"), self.where)
        self.include = {n: _records.parse(p, self.where) for n, p in given.names("include").items()}
        self.paging = _paging.paging(given)
        self.rules = _rules(given)
        self.auth = _client.authorised(given.mapping("auth"), context.secrets, self.where)
        self.incremental = _incremental.incremental(given)
        self.types = {
            str(k): sql_type(str(v), self.where) for k, v in given.mapping("types").items()
        }
        self.wanted = _expect.expected(context)

    def fetch(self, keep: Keep, previous: Received | None) -> Received:
        """See `InputPort.fetch`."""
        earlier, cursor = self._earlier(previous)
        kept: list[RawObject] = []
        news = _incremental.News(self.incremental, cursor, self._at_cursor(earlier, cursor))
        with self._connect() as client:
            for page, answer, found in self._pages(client, cursor):
                after = f"{_AFTER}{quote(cursor, safe='')}" if cursor else ""
                name = f"page-{len(earlier) + page.number:04}.json"
                kind = answer.headers.get("content-type", "application/json")
                kept.append(keep(name, [answer.body], origin=answer.url + after, media_type=kind))
                news.take(found, f"page {page.number}", self.where)
        if previous is not None and earlier and not news.records:
            return previous
        total = f"{len(kept):,} pages, {news.records:,} records"
        note = f"{total} since {cursor}" if cursor else total
        return _source.received(
            self.context.spec.name, [*earlier, *kept], cursor=news.cursor, notes=[note]
        )

    def read(self, received: Received) -> pa.RecordBatchReader:
        """See `InputPort.read`."""
        shapes: dict[str, Shape] = {}
        count = 0
        for record in self._all(received.objects):
            for name, value in record.items():
                shapes.setdefault(name, Shape()).add(value, count, dates=True)
            count += 1
        came = of_shapes(shapes, count, received.port)
        texts = _expect.text_columns(self.wanted)
        kinds = {
            n: self.types.get(n) or (pa.string() if n in texts else s.type())
            for n, s in shapes.items()
        }
        _expect.check(self.wanted, _as_read(came, kinds), self.context.spec.name)
        self._complete(kinds)
        schema = pa.schema(list(kinds.items()))
        return pa.RecordBatchReader.from_batches(schema, self._batches(received.objects, schema))

    def _complete(self, kinds: dict[str, pa.DataType]) -> None:
        """Without a single record there are no columns, unless the settings or the contract name some."""
        if not kinds:
            kinds.update(self.types)
            wanted = self.wanted.properties if self.wanted else ()
            kinds.update({p.name: _LOGICAL.get(p.logical_type, pa.string()) for p in wanted})
        if not kinds:
            raise InputError(
                "no record came, so that nothing says which columns there are",
                where=self.where,
                fix="name them in a contract, or with `types`",
            )
        for name in self.types:
            if name not in kinds:
                raise InputError(
                    f"no record has the field {name!r} that `types` names",
                    where=self.where,
                    fix=suggest(name, kinds),
                )

    def _connect(self) -> _client.Client:
        return _client.Client(
            self.url,
            rules=self.rules,
            auth=self.auth,
            secrets=self.context.secrets,
            where=self.where,
            clock=self.clock,
        )

    def _earlier(self, previous: Received | None) -> tuple[tuple[RawObject, ...], str]:
        """The pages to go on from, and the cursor that they reach."""
        if self.incremental is None:
            return (), ""
        if previous is None or not previous.cursor:
            return (), self.incremental.start
        return previous.objects, previous.cursor

    def _at_cursor(self, earlier: Sequence[RawObject], cursor: str) -> Counter[bytes]:
        """The records already held whose value is the cursor's: an API may send them once more."""
        rule = self.incremental
        if rule is None or not earlier:
            return Counter()
        return Counter(
            _incremental.digest(r) for r in self._all(earlier) if rule.text_of(r) == cursor
        )

    def _pages(
        self, client: _client.Client, cursor: str
    ) -> Iterator[tuple[_paging.Page, _client.Answer, list[dict[str, Any]]]]:
        params = {str(k): person_text(v) for k, v in self.settings.mapping("params").items()}
        if self.incremental is not None and cursor:
            params[self.incremental.param] = cursor
        start: httpx.URL = _paging.first(self.paging, client.home, params)
        at: httpx.URL | None = start
        asked: set[str] = set()
        total, last = 0, b""
        while at is not None:
            what = f"page {len(asked) + 1}"
            asked.add(str(at))
            answer = client.get(at, what=what)
            document = _document(client, answer, what)
            found = self._records_of(client, answer, document, what)
            total += len(found)
            page = _paging.Page(len(asked), document, len(found), total, answer.next_link)
            if found and answer.body == last:
                raise client.failed(
                    f"{what} of {answer.url} is the same as the page before",
                    f"does the API take the parameter `{self.paging.param}`? See `page`",
                )
            yield page, answer, found
            last = answer.body
            at = _paging.following(self.paging, start, at, page)
            self._go_on(client, at, asked)

    def _go_on(self, client: _client.Client, at: httpx.URL | None, asked: set[str]) -> None:
        if at is None:
            return
        if str(at) in asked:
            raise client.failed(
                f"after page {len(asked)} the API sends back to {client.shown(at)}: it would never end",
                "tell whoever runs it; `page` says how the next page is found",
            )
        if len(asked) >= self.paging.max_pages:
            raise client.failed(
                f"there is more after page {len(asked)}",
                "set `page.max_pages` if the API has so many pages",
            )

    def _records_of(
        self, client: _client.Client, answer: _client.Answer, document: Any, what: str
    ) -> list[dict[str, Any]]:
        try:
            return _records.records(document, self.records)
        except _records.MissingError as error:
            raise client.failed(
                f"{what} of {answer.url} has {error}",
                "correct `records`, or look at what it answers",
            ) from error

    def _all(self, objects: Sequence[RawObject]) -> Iterator[dict[str, Any]]:
        """All records; those that an incremental API sent again, at the cursor, only once."""
        cursors = {_after(o) for o in objects} - {""}
        held: dict[str, Counter[bytes]] = {cursor: Counter() for cursor in cursors}
        again: dict[str, Counter[bytes]] = {}
        for kept in objects:
            after = _after(kept)
            if after and after not in again:
                again[after] = Counter(held[after])
            for record in self._kept_records(kept):
                value = self.incremental.text_of(record) if self.incremental else ""
                if value in held:
                    mark = _incremental.digest(record)
                    if value == after and again[after][mark]:
                        again[after][mark] -= 1
                        continue
                    held[value][mark] += 1
                yield record

    def _kept_records(self, kept: RawObject) -> Iterable[dict[str, Any]]:
        try:
            document = json.loads(kept.path.read_bytes())
            found = _records.records(document, self.records)
            extra = {name: _records.at(document, path) for name, path in self.include.items()}
        except (ValueError, _records.MissingError) as error:
            raise InputError(
                f"{kept.name} has {error}"
                if isinstance(error, _records.MissingError)
                else f"{kept.name} is not JSON: {error}",
                where=self.where,
                fix="correct `records` and `include`, or fetch it again",
            ) from error
        return ({**extra, **record} for record in found) if extra else found

    def _batches(self, objects: Sequence[RawObject], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        rows: list[dict[str, Any]] = []
        done = 0
        for record in self._all(objects):
            rows.append(record)
            if len(rows) == BATCH_ROWS:
                yield self._batch(rows, schema, done)
                done += len(rows)
                rows = []
        if rows:
            yield self._batch(rows, schema, done)

    def _batch(self, rows: list[dict[str, Any]], schema: pa.Schema, done: int) -> pa.RecordBatch:
        arrays = []
        for part in schema:
            try:
                arrays.append(column([r.get(part.name) for r in rows], part.type))
            except ValueError as error:
                index, value = error.args
                raise InputError(
                    f"record {done + index + 1:,}, field `{part.name}`: "
                    f"{person_text(value)[:60]!r} is not {_expect.kind_name(part.type)}",
                    where=self.where,
                    fix=f"leave `{part.name}` out of `types`, or make it VARCHAR",
                ) from error
        return pa.record_batch(arrays, schema)


_LOGICAL = {
    "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(), "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"), "time": pa.time64("us"),
}  # fmt: skip


def _as_read(came: _expect.Arrived, kinds: dict[str, pa.DataType]) -> _expect.Arrived:
    columns = {
        name: _expect.Came(
            one.type if pa.types.is_null(one.type) else kinds[name], one.nulls, one.first_null
        )
        for name, one in came.columns.items()
    }
    if not came.rows:  # an empty list says nothing about columns
        return _expect.Arrived(_Anything(), 0, came.source)
    return _expect.Arrived(columns, came.rows, came.source)


class _Anything(dict[str, _expect.Came]):
    """Columns of which nothing is known."""

    def get(self, _name: str, _default: Any = None) -> _expect.Came:
        return _expect.Came(pa.null())


def _after(kept: RawObject) -> str:
    return unquote(kept.origin.partition(_AFTER)[2])


def _document(client: _client.Client, answer: _client.Answer, what: str) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        kind = answer.headers.get("content-type", "no content type").partition(";")[0]
        cut = answer.body.lstrip()[:1] in (b"{", b"[")
        said = "JSON that is cut off or broken" if cut else f"not JSON ({kind})"
        if cut and isinstance(error, UnicodeDecodeError):
            said = f"JSON that is not in {error.encoding.upper()}, as JSON must be"
        raise client.failed(
            f"{what} of {answer.url} is {said}: {_client.excerpt(answer.body)}",
            "look at what the address answers",
        ) from error


def _rules(given: Settings) -> _client.Rules:
    plain = _client.Rules()
    return _client.Rules(
        retries=given.integer("retries", plain.retries),
        backoff=given.number("backoff", plain.backoff),
        interval=_interval(given),
        timeout=given.number("timeout", plain.timeout),
        max_bytes=given.integer("max_bytes", plain.max_bytes, low=1),
    )


def _interval(given: Settings) -> float:
    """Seconds between two requests, of `5/s`, `300/m`, `1000/h`."""
    text = given.text("rate")
    if not text:
        return 0.0
    number, _, unit = text.partition("/")
    seconds = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}.get(unit.strip())
    if seconds is None or not number.strip().isdigit() or int(number) == 0:
        raise ConfigurationError(
            f"rate is {text!r}", where=given.where, fix="so many a second, minute or hour: `5/s`"
        )
    return seconds / int(number)
