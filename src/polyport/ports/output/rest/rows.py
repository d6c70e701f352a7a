"""Rows, pages of rows, groups, and the rows that belong to a row."""

from __future__ import annotations

import json as text
from datetime import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa
from starlette.responses import Response

from polyport.errors import NotFoundError, QueryError
from polyport.expression import And, Compare, Or
from polyport.ports.formats import arrow, csv, json
from polyport.ports.formats.listed import listed, records
from polyport.ports.http import Streamed, decode
from polyport.ports.output.rest import cursor as cursors
from polyport.ports.output.rest.ask import (
    HAL,
    JSON,
    address,
    choose,
    document,
    headers,
    key_text,
    snapshot_of,
    unchanged,
)
from polyport.ports.output.rest.relations import key, relations
from polyport.ports.query import DEFAULT_LIMIT, Grouping, fields, once, parse, suggest
from polyport.ports.values import read

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from contextlib import ExitStack

    from polyport.expression import Expression
    from polyport.ports.output.rest.ask import Ask
    from polyport.ports.query import RowQuery

WRITERS: dict[str, Callable[[pa.RecordBatchReader], Iterator[bytes | memoryview]]] = {
    "application/x-ndjson": json.ndjson,
    "text/csv": csv.stream,
    "application/vnd.apache.arrow.stream": arrow.stream,
}
"""Media types in which all rows of a query come at once, as a stream."""
OFFERED = (HAL, JSON, *WRITERS)


def _all() -> None:
    return None


def page(ask: Ask, dataset: str, only: Callable[[], Expression | None] = _all) -> Response:
    """Rows of `dataset` that the query string asks for: a page, all of them as a stream, or groups.

    `only` gives a condition that they meet besides; it is called when the answer is not known to the asker already.

    Raises:
        QueryError: The query string is not one for this dataset.
        NotFoundError: No such dataset; no such page.
    """
    schema = ask.view.schema(dataset)
    query = parse(ask.pairs, schema, key(ask.view, dataset), paging=True)
    start = _start(ask, dataset, query)

    def where() -> Expression | None:
        found = tuple(term for term in (only(), query.where) if term is not None)
        return And(found) if len(found) > 1 else next(iter(found), None)

    media = choose(ask, OFFERED)
    if media in WRITERS:
        return _stream(ask, media, lambda: _reader(ask, dataset, query, where(), start))
    if query.grouping is not None:
        return document(ask, OFFERED, lambda: _groups(ask, dataset, query, where()))
    return document(ask, OFFERED, lambda: _page(ask, dataset, query, where(), start))


def _start(ask: Ask, dataset: str, query: RowQuery) -> cursors.Start:
    if query.grouping is not None:
        if query.cursor:
            raise NotFoundError(
                "groups come without pages, so no cursor is one of theirs", fix="leave cursor out"
            )
        return cursors.Start()
    schema = ask.view.schema(dataset)
    types = [schema.field(term.column).type for term in query.order]
    identity = f"{ask.path} {query.identity}"
    snapshot = ask.view.snapshot.id
    return cursors.read(query.cursor, snapshot=snapshot, identity=identity, types=types)


def _page(
    ask: Ask, dataset: str, query: RowQuery, where: Expression | None, start: cursors.Start
) -> tuple[dict[str, Any], bytes]:
    limit = query.limit or DEFAULT_LIMIT
    identified = key(ask.view, dataset)
    needed = (*query.columns, *(term.column for term in query.order), *identified)
    reader = ask.view.scan(
        dataset,
        columns=tuple(dict.fromkeys(needed)),
        where=where,
        order=query.order,
        limit=start.skip + limit + 1,
        after=start.after,
        spare=start.skip + 1,
    )
    # The last row skipped stays: it tells whether this page goes on with rows equal to it.
    skipped = min(start.skip, 1)
    table = _without(reader, start.skip - skipped).read_all()
    following = cursors.following(cursors.values(table, query.order), start, limit)
    shown = table.slice(skipped, limit)
    members = _members(ask, dataset, shown.num_rows)
    members["_links"]["first"] = {"href": _pin(ask, cursor=None)}
    if following is not None:
        identity = f"{ask.path} {query.identity}"
        token = cursors.write(following, snapshot=ask.view.snapshot.id, identity=identity)
        members["_links"]["next"] = {"href": _pin(ask, cursor=token)}
    rows = _objects(shown.select(query.columns))
    return members, _embedded(dataset, _linked(ask, dataset, rows, shown, identified))


def _pin(ask: Ask, **changes: str | None) -> str:
    return ask.again(snapshot=ask.view.snapshot.id, **changes)


def _members(ask: Ask, dataset: str, count: int) -> dict[str, Any]:
    links = {
        "self": {"href": ask.again()},
        "up": {"href": ask.link("")},
        "snapshot": {"href": _pin(ask)},
        "describedby": {"href": ask.link("openapi.json")},
    }
    masked = dict(ask.view.masked(dataset))
    found = {"_links": links, "snapshot": snapshot_of(ask), "count": count}
    return {**found, "masked": masked} if masked else found


def _objects(table: pa.Table) -> list[bytes]:
    return [row for batch in table.to_batches() for row in json.objects(batch)]


def _embedded(name: str, rows: Iterable[bytes]) -> bytes:
    return b',"_embedded":{' + text.dumps(name).encode() + b":[" + b",".join(rows) + b"]}"


def _linked(
    ask: Ask, dataset: str, rows: Sequence[bytes], table: pa.Table, identified: Sequence[str]
) -> Sequence[bytes]:
    """The rows, each with a link to itself where there is a key (and no column takes the link's place)."""
    if not identified or "_links" in table.column_names:
        return rows
    keys = zip(*(listed(table.column(name)) for name in identified), strict=True)
    start, tail = ask.link(quote(dataset, safe=""), query={}), address("", ask.pinned)
    return [
        _with_link(row, start, key_text(values), tail)
        for row, values in zip(rows, keys, strict=True)
    ]


def _with_link(row: bytes, start: str, identity: str, tail: str) -> bytes:
    """The row with its address, all of which is ASCII without quotes or backslashes."""
    if not identity:
        return row
    return row[:-1] + f',"_links":{{"self":{{"href":"{start}/{identity}{tail}"}}}}}}'.encode()


def _groups(
    ask: Ask, dataset: str, query: RowQuery, where: Expression | None
) -> tuple[dict[str, Any], bytes]:
    limit = query.limit or DEFAULT_LIMIT
    table = _aggregate(ask, dataset, query, where, limit + 1, spare=1).read_all()
    shown = table.slice(0, limit)
    members = _members(ask, dataset, shown.num_rows)
    members["complete"] = table.num_rows <= limit
    return members, _embedded("groups", _objects(shown))


def _aggregate(
    ask: Ask,
    dataset: str,
    query: RowQuery,
    where: Expression | None,
    limit: int | None,
    *,
    spare: int = 0,
) -> pa.RecordBatchReader:
    grouping = query.grouping or Grouping((), ())
    return ask.view.aggregate(
        dataset,
        group=grouping.group,
        measures=grouping.measures,
        where=where,
        having=grouping.having,
        order=query.order,
        limit=limit,
        spare=spare,
    )


def _stream(ask: Ask, media: str, reader: Callable[[], pa.RecordBatchReader]) -> Response:
    known = headers(ask, media)
    # Without `sort`, rows may come in another order the next time: the same rows, not the same bytes.
    known["ETag"] = f"W/{known['ETag']}"
    if (same := unchanged(ask, known)) is not None:
        return same
    if ask.request.method == "HEAD":
        told = Response(headers={**known, "Content-Type": media})
        del told.headers["Content-Length"]
        return told
    return Streamed(_pieces(ask.held.pop_all(), reader, WRITERS[media]), known, media)


def _reader(
    ask: Ask, dataset: str, query: RowQuery, where: Expression | None, start: cursors.Start
) -> pa.RecordBatchReader:
    """All rows or groups of the query, or `limit` of them, from the cursor on."""
    if query.grouping is not None:
        return _aggregate(ask, dataset, query, where, query.limit)
    # Sorting much data is dear: only where the order is asked for, or decides which rows come.
    ordered = query.sort or query.limit or query.cursor
    reader = ask.view.scan(
        dataset,
        columns=query.columns,
        where=where,
        order=query.order if ordered else (),
        limit=query.limit + start.skip if query.limit else None,
        after=start.after,
        spare=start.skip,
    )
    return _without(reader, start.skip)


def _without(reader: pa.RecordBatchReader, skip: int) -> pa.RecordBatchReader:
    """The rows of `reader` but for the first `skip`; of these, none is kept in memory."""
    if not skip:
        return reader

    def rest() -> Iterator[pa.RecordBatch]:
        left = skip
        for batch in reader:
            yield batch.slice(min(left, batch.num_rows))
            left -= min(left, batch.num_rows)

    return pa.RecordBatchReader.from_batches(reader.schema, rest())


def _pieces(
    held: ExitStack,
    reader: Callable[[], pa.RecordBatchReader],
    write: Callable[[pa.RecordBatchReader], Iterator[bytes | memoryview]],
) -> Generator[bytes, None, None]:
    with held, reader() as rows:
        for piece in write(rows):
            yield bytes(piece)


def row(ask: Ask, dataset: str, identity: bytes) -> Response:
    """One row by its key, with links to the rows that belong to it.

    Raises:
        NotFoundError: No such row, or the principal sees no key.
        QueryError: The key is not written as its columns' types want it.
    """
    schema = ask.view.schema(dataset)
    given = once(ask.pairs, ("fields", "snapshot"))
    columns = fields(given, schema)
    where = _identified(ask, dataset, identity)
    return document(ask, (HAL, JSON), lambda: _row(ask, dataset, columns, where))


def _row(
    ask: Ask, dataset: str, columns: tuple[str, ...], where: Expression
) -> tuple[dict[str, Any], bytes]:
    table = _one(ask, dataset, columns, where)
    base = ask.path.rstrip("/")
    links: dict[str, Any] = {
        "self": {"href": ask.again()},
        "collection": {"href": ask.link(quote(dataset, safe=""))},
        "snapshot": {"href": _pin(ask)},
        "describedby": {"href": ask.link("openapi.json")},
    }
    found = relations(dataset, ask.view, ask.context.objects)
    for name, relation in found.items():
        href = f"{base}/{quote(name, safe='')}" + (
            f"?snapshot={ask.view.snapshot.id}" if ask.pinned else ""
        )
        links[name] = {"href": href, "name": relation.dataset}
    return {"_links": links}, b"," + _objects(table)[0][1:-1]


def _one(ask: Ask, dataset: str, columns: Sequence[str], where: Expression) -> pa.Table:
    table = ask.view.scan(dataset, columns=columns, where=where, limit=1).read_all()
    if not table.num_rows:
        raise NotFoundError(
            f"no such row in {dataset!r}", where=dataset, fix="look for it with filters"
        )
    return table


def _identified(ask: Ask, dataset: str, identity: bytes) -> Expression:
    identified, schema = key(ask.view, dataset), ask.view.schema(dataset)
    if not identified:
        raise NotFoundError(
            f"rows of {dataset!r} have no key that you may see", fix="use filters instead"
        )
    texts = _parts(identity, len(identified))
    if len(texts) != len(identified):
        raise QueryError(
            f"a key of {dataset!r} has {len(identified)} parts, not {len(texts)}",
            fix=f"separate them by commas (%2C within a part): {','.join(identified)}",
        )
    terms = [
        Compare(name, "=", read(value, schema.field(name).type, f"key {name!r}"))
        for name, value in zip(identified, texts, strict=True)
    ]
    return And(tuple(terms))


def _parts(identity: bytes, count: int) -> list[str]:
    """The parts of a key: between commas as sent or, where a client has encoded all of them, between any."""
    whole = decode(identity, "the key")
    if count == 1:
        return [whole]
    sent = [decode(part, "the key") for part in identity.split(b",")]
    return sent if len(sent) == count else whole.split(",")


def related(ask: Ask, dataset: str, identity: bytes, name: str) -> Response:
    """The rows that belong to a row, as a page of their dataset.

    Raises:
        NotFoundError: No such row or relation.
        QueryError: As `row` and `page`.
    """
    found: Mapping[str, Any] = relations(dataset, ask.view, ask.context.objects)
    if name not in found:
        raise NotFoundError(
            f"{dataset!r} has no relation {name!r}",
            fix=suggest(name, list(found)) if found else "the contract declares none",
        )
    relation, where = found[name], _identified(ask, dataset, identity)

    def only() -> Expression:
        mine = records(_one(ask, dataset, relation.ours, where))[0]
        return _equal(relation.theirs, [mine[column] for column in relation.ours])

    return page(ask, relation.dataset, only)


def _equal(columns: Sequence[str], values: Sequence[Any]) -> Expression:
    if any(value is None for value in values):
        return Or(())
    pairs = zip(columns, map(_comparable, values), strict=True)
    return And(tuple(Compare(column, "=", value) for column, value in pairs))


def _comparable(value: Any) -> Any:
    match value:
        case float():
            return Decimal(repr(value))
        case time():
            return value.isoformat()
        case _:
            return value
