"""CSV as RFC 4180 has it: CRLF, a header, quotes doubled; UTF-8."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from polyport.ports.formats.batches import even, joined_bytes
from polyport.ports.formats.nested import plain
from polyport.ports.formats.text import TEXT, join

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROWS = 32_768
_NO_EXPONENT = 6
"""Digits after the point up to which pyarrow writes a decimal without an exponent."""
_AS_IS = pa_csv.WriteOptions(
    include_header=False, quoting_style="none", eol="\r\n", batch_size=_ROWS
)
_STRUCTURAL = (b'"', b",", b"\r", b"\n")
_BLANKS = (b" ", b"\t")
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
    """The rows as text. Where no field needs quotes, pyarrow's own writer puts them together at half the cost."""
    columns = [c if _written_alike(c.type) else plain(c) for c in batch.columns]
    if not any(map(_needs_quotes, batch.columns, columns)):
        return _unquoted(pa.record_batch(columns, names=batch.schema.names))
    fields = [_field(column) for column in batch.columns]
    fields[-1] = join([fields[-1], "\r\n"])
    return joined_bytes(join(fields, ","))


def _unquoted(batch: pa.RecordBatch) -> memoryview:
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(batch, sink, _AS_IS)
    return memoryview(sink.getvalue())


def _written_alike(kind: pa.DataType) -> bool:
    """Whether pyarrow's writer has the same text for each value as `plain`."""
    if pa.types.is_decimal(kind):
        return bool(0 <= kind.scale <= _NO_EXPONENT)
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_date32(kind))


def _needs_quotes(column: pa.Array, said: pa.Array) -> bool:
    """Whether the text of some field does. `said`: the column as text, where its type may need quotes."""
    kind = column.type
    plainly = pa.types.is_primitive(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind)
    return not plainly and _any_special(said)


def _field(column: pa.Array) -> pa.Array:
    found = plain(column)
    if _needs_quotes(column, found):
        found = _quoted(found)
    return found.fill_null("") if found.null_count else found


def _quoted(array: pa.Array) -> pa.Array:
    wanted = pc.match_substring_regex(array, _NEEDS_QUOTES)
    doubled = pc.replace_substring(array, '"', '""')
    return pc.if_else(wanted, join(['"', doubled, '"']), array)


def _any_special(array: pa.Array) -> bool:
    """Whether some text needs quotes. A look at the bytes of all at once costs a tenth of a look at each."""
    said = bytes(joined_bytes(array))
    if any(sign in said for sign in _STRUCTURAL) or pc.min(pc.binary_length(array)).as_py() == 0:
        return True
    return any(
        sign in said and pc.any(at(array, sign.decode())).as_py()
        for sign in _BLANKS
        for at in (pc.starts_with, pc.ends_with)
    )
