"""JSON, NDJSON and Parquet files: whether they are whole, and what came in them."""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from polyport.errors import InputError
from polyport.ports.input._csv import unpacked
from polyport.ports.input._expect import Arrived, Came
from polyport.ports.input._infer import Shape
from polyport.ports.input._source import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SPACE = b" \t\r\n"


def check_whole(path: Path, label: str, *, form: str, where: str) -> None:
    """Nothing, if the file starts and ends as its format does; the engine reads what is between.

    Raises:
        InputError: It is cut off, or of another format.
    """
    head, tail = _ends(path, label, where)
    if form == "json" and not head.startswith(b"["):
        raise InputError(
            f"{label} is not a JSON list of records: it starts with {_shown(head)}",
            where=where,
            fix="write `format: ndjson` if each line is a record"
            if head.startswith(b"{")
            else "look at the file",
        )
    if form == "json" and not tail.endswith(b"]"):
        raise InputError(
            f"{label} is cut off: a JSON list ends with ], this ends with {_shown(tail[-30:])}",
            where=where,
            fix="deliver the file again",
        )
    if form == "ndjson":
        _check_line(head.splitlines()[0] if head else b"", label, "starts", where)
        _check_line(tail.splitlines()[-1] if tail else b"", label, "ends", where)


def _check_line(line: bytes, label: str, verb: str, where: str) -> None:
    if line.startswith(b"{") and (line.endswith(b"}") or len(line) >= CHUNK):
        return
    raise InputError(
        f"{label} {verb} with {_shown(line)}, which is not a JSON object",
        where=where,
        fix="write `format: json` if the file is one list"
        if line.startswith(b"[")
        else "deliver the file again",
    )


def _ends(path: Path, label: str, where: str) -> tuple[bytes, bytes]:
    """The first and the last up to 1 MiB, without the white space around all of it."""
    try:
        with unpacked(path) as stream:
            head = stream.read(CHUNK).removeprefix(codecs.BOM_UTF8).lstrip(_SPACE)
            tail = head
            while chunk := stream.read(CHUNK):
                tail = (tail + chunk)[-CHUNK:]
    except OSError as error:
        raise InputError(f"{label} cannot be read: {error}", where=where) from error
    return head, tail.rstrip(_SPACE)


def _shown(raw: bytes) -> str:
    return repr(raw[:30].decode(errors="replace")) if raw else "nothing"


def records(path: Path, label: str, form: str, where: str) -> Iterator[Any]:
    """The records of a JSON list or of NDJSON, one by one.

    Raises:
        InputError: At the first one that is not JSON, with its number.
    """
    count = 0
    try:
        with unpacked(path) as stream:
            found = _lines(stream) if form == "ndjson" else _items(stream)
            for record in found:
                count += 1
                if not isinstance(record, dict):
                    raise InputError(
                        f"{label}: record {count:,} is not an object: {str(record)[:60]!r}",
                        where=where,
                    )
                yield record
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{label}: record {count + 1:,} is not JSON: {str(error).splitlines()[0]}",
            where=where,
            fix="deliver the file again",
        ) from error


def _lines(stream: Any) -> Iterator[Any]:
    held = b""
    while chunk := stream.read(CHUNK):
        *whole, held = (held + chunk).split(b"\n")
        yield from (json.loads(line) for line in whole if line.strip())
    if held.strip():
        yield json.loads(held)


def _items(stream: Any) -> Iterator[Any]:
    """The items of one JSON list, which may be larger than memory."""
    decode = json.JSONDecoder().raw_decode
    texts = codecs.getincrementaldecoder("utf-8-sig")()
    buffer = texts.decode(stream.read(CHUNK)).lstrip()[1:]
    while True:
        buffer = buffer.lstrip(" \t\r\n,")
        if buffer.startswith("]"):
            return
        try:
            item, end = decode(buffer)
        except ValueError:
            chunk = stream.read(max(CHUNK, len(buffer)))
            if not chunk:
                raise
            buffer += texts.decode(chunk)
            continue
        yield item
        buffer = buffer[end:]


def arrived(path: Path, label: str, form: str, where: str) -> Arrived:
    """What came in a JSON or NDJSON file."""
    shapes: dict[str, Shape] = {}
    rows = 0
    for record in records(path, label, form, where):
        for name, value in record.items():
            shapes.setdefault(name, Shape()).add(value, rows, dates=True)
        rows += 1
    return of_shapes(shapes, rows, label)


def of_shapes(shapes: dict[str, Shape], rows: int, label: str) -> Arrived:
    """What came, where its shapes are known. A record that lacks a field has no value for it."""
    found = {}
    for name, shape in shapes.items():
        present = "" if shape.first_null < 0 else f"{label}, record {shape.first_null + 1:,}"
        kind = shape.type() if shape.kinds else pa.null()
        found[name] = Came(kind, rows - shape.seen, present)
    return Arrived(found, rows, label)


def parquet_columns(path: Path, label: str, where: str) -> tuple[str, ...]:
    """The names of a Parquet file's columns, with their types: files that differ in either are told apart.

    Raises:
        InputError: It is not Parquet, or cut off.
    """
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{label} is not a whole Parquet file: {str(error).splitlines()[0][:120]}",
            where=where,
            fix="deliver the file again",
        ) from error
    return tuple(f"{f.name} {f.type}" for f in schema)


def parquet_arrived(path: Path, label: str) -> Arrived:
    """What came in a Parquet file; nulls as its statistics say, which cost no scan."""
    with pq.ParquetFile(path) as file:
        meta, schema = file.metadata, file.schema_arrow
    nulls = dict.fromkeys(schema.names, 0)
    for group in range(meta.num_row_groups):
        for index in range(meta.num_columns):
            column = meta.row_group(group).column(index)
            stats = column.statistics
            if column.path_in_schema in nulls and stats is not None and stats.has_null_count:
                nulls[column.path_in_schema] += stats.null_count
    return Arrived({f.name: Came(f.type, nulls[f.name]) for f in schema}, meta.num_rows, label)
