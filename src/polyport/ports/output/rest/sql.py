"""Consumers' own SQL over HTTP: `POST {port}/sql`, answered as JSON, NDJSON, CSV or Arrow."""

from __future__ import annotations

import asyncio
import json as text
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from starlette.concurrency import run_in_threadpool

from polyport.errors import ConfigurationError, QueryError
from polyport.model import LATEST
from polyport.ports.formats import json
from polyport.ports.http import (
    VARY,
    HttpError,
    Streamed,
    json_object,
    negotiate,
    pairs,
    ref_of,
    sent,
)
from polyport.ports.output.rest.rows import WRITERS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from polyport.access.sql import Answer, Session
    from polyport.ports.output import OutputContext

JSON = "application/json"
OFFERED = (JSON, *WRITERS)
PATH = "/sql"


@dataclass(frozen=True, slots=True)
class Statement:
    """What was sent."""

    sql: str
    values: Sequence[Any]
    ref: str


async def answer(context: OutputContext, request: Request) -> Response:
    """The rows of the statement that was sent.

    Raises:
        HttpError: The body is of another media type, or too long; or what is wanted is not offered.
        PolyportError: As `Session.query`.
    """
    media = negotiate(request, OFFERED)
    if media is None:
        raise HttpError(406, f"offered here: {', '.join(OFFERED)}")
    statement = await _statement(request)
    if context.sql is None:
        raise ConfigurationError("this port was made without SQL")
    session = await run_in_threadpool(_session, context, request, statement.ref)
    watching = asyncio.create_task(_watch(request, session))
    try:
        return await run_in_threadpool(_answered, session, statement, media)
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def _session(context: OutputContext, request: Request, ref: str) -> Session:
    if context.sql is None:
        raise ConfigurationError("this port was made without SQL")
    principal, purpose = context.identify(request)
    return context.sql(principal, ref, purpose=purpose)


async def _watch(request: Request, session: Session) -> None:
    """End the statement where nobody waits for it any more."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    await run_in_threadpool(session.cancel)


async def _statement(request: Request) -> Statement:
    media, body = await sent(request, (JSON, "application/sql"))
    ref = ref_of(pairs(request))
    if media != JSON:
        try:
            return Statement(body.decode(), (), ref)
        except UnicodeDecodeError as error:
            raise QueryError("the statement is not UTF-8", fix="send it as UTF-8") from error
    said = json_object(body)
    for name in said:
        if name not in ("sql", "values", "snapshot"):
            raise QueryError(f"no member {name!r}", fix="members: sql, values, snapshot")
    sql, values, pinned = said.get("sql"), said.get("values", []), said.get("snapshot", ref)
    if not isinstance(sql, str) or not isinstance(values, list) or not isinstance(pinned, str):
        raise QueryError(
            "a statement is {sql: text, values: a list, snapshot: text}",
            fix='{"sql": "SELECT * FROM films WHERE year > $1", "values": [1990]}',
        )
    if ref not in (pinned, LATEST):
        raise QueryError("two snapshots are asked for", fix="?snapshot=, or the member")
    return Statement(sql, values, pinned)


def _answered(session: Session, statement: Statement, media: str) -> Response:
    with ExitStack() as held:
        held.enter_context(session)
        found = session.query(statement.sql, statement.values)
        held.callback(found.reader.close)
        headers = {"Cache-Control": "private, no-store", "Vary": VARY}
        if (shown := session.snapshot) is not None:
            headers["Polyport-Snapshot"] = shown.id
        return Streamed(_pieces(held.pop_all(), found, media), headers, media)


def _pieces(held: ExitStack, found: Answer, media: str) -> Generator[bytes, None, None]:
    with held:
        reader = (
            _named_once(found.reader)
            if media != "application/vnd.apache.arrow.stream"
            else found.reader
        )
        if media == JSON:
            yield from _document(reader, found.types)
        else:
            yield from map(bytes, WRITERS[media](reader))


def _named_once(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same columns, none with the name of one before it: `count`, `count_2`."""
    names: list[str] = []
    for name in reader.schema.names:
        found, number = name, 1
        while found in names:
            number += 1
            found = f"{name}_{number}"
        names.append(found)
    if names == reader.schema.names:
        return reader
    schema = pa.schema([f.with_name(n) for f, n in zip(reader.schema, names, strict=True)])
    batches = (pa.RecordBatch.from_arrays(b.columns, schema=schema) for b in reader)
    return pa.RecordBatchReader.from_batches(schema, batches)


def _document(reader: pa.RecordBatchReader, types: Sequence[str]) -> Iterator[bytes]:
    """`{"columns": [{"name", "type"}], "rows": [{...}]}`, the rows as they come."""
    columns = [{"name": n, "type": t} for n, t in zip(reader.schema.names, types, strict=True)]
    yield b'{"columns": ' + text.dumps(columns, ensure_ascii=False).encode() + b', "rows": ['
    between = b"\n"
    for lines in map(bytes, json.ndjson(reader)):
        if lines:
            yield between + lines.rstrip(b"\n").replace(b"\n", b",\n")
            between = b",\n"
    yield b"\n]}\n"


def bodies() -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What is sent and what is answered, by media type, as OpenAPI says it."""
    statement = {
        "type": "object",
        "required": ["sql"],
        "additionalProperties": False,
        "properties": {
            "sql": {"type": "string", "description": "One SELECT over datasets."},
            "values": {"type": "array", "items": {}, "description": "Of `$1`, `$2`, ..."},
            "snapshot": {"type": "string", "description": "A sequence, id, tag or time."},
        },
    }
    rows = {
        "type": "object",
        "required": ["columns", "rows"],
        "properties": {
            "columns": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "type"],
                    "properties": {"name": {"type": "string"}, "type": {"type": "string"}},
                },
            },
            "rows": {"type": "array", "items": {"type": "object"}},
        },
    }
    return (
        {JSON: {"schema": statement}, "application/sql": {"schema": {"type": "string"}}},
        {JSON: {"schema": rows}, **{m: {"schema": {"type": "string"}} for m in WRITERS}},
    )
