"""CSV as RFC 4180 has it: CRLF, a header, quotes doubled; UTF-8."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from polyport.ports.formats.batches import even, joined_bytes
from polyport.ports.formats.nested import plain
from polyport.ports.formats.text import TEXT, join

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROWS = 32_768
_NEEDS_QUOTES = r"""[",\r\n]|^[ \t]|[ \t]$|^$"""


def stream(reader: pa.RecordBatchReader) -> Iterator[bytes | memoryview]:
    """The bytes of the file as the rows come: the header, then a piece for each 32,768 rows.

    Null is an empty field, an empty text is `""`. All else is as `polyport.ports.formats.nested.plain` writes it.
    """
    yield _header(reader.schema)
    for batch in even(reader, _ROWS):
        yield _lines(batch)


def write(reader: pa.RecordBatchReader, sink: BinaryIO) -> int:
    """Write all rows to `sink`, in bounded memory; how many there were."""
    sink.write(_header(reader.schema))
    rows = 0
    for batch in even(reader, _ROWS):
        sink.write(_lines(batch))
        rows += batch.num_rows
    return rows


def _header(schema: pa.Schema) -> bytes:
    names = _quoted(pa.array(schema.names, TEXT)).to_pylist()
    return (",".join(names) + "\r\n").encode()


def _lines(batch: pa.RecordBatch) -> memoryview:
    fields = [_field(column) for column in batch.columns]
    fields[-1] = join([fields[-1], "\r\n"])
    return joined_bytes(join(fields, ","))


def _field(column: pa.Array) -> pa.Array:
    found = plain(column)
    if _may_need_quotes(column.type):
        found = _quoted(found)
    return found.fill_null("") if found.null_count else found


def _may_need_quotes(kind: pa.DataType) -> bool:
    return not (
        pa.types.is_primitive(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind)
    )


def _quoted(array: pa.Array) -> pa.Array:
    wanted = pc.match_substring_regex(array, _NEEDS_QUOTES)
    if not pc.any(wanted).as_py():
        return array
    doubled = pc.replace_substring(array, '"', '""')
    return pc.if_else(wanted, join(['"', doubled, '"']), array)
