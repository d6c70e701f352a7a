"""Arrow: the IPC file (`.arrow`, read at any place) and the IPC stream (`.arrows`), compressed by zstd."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa

from polyport.ports.formats.batches import even

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROWS = 65_536


def write(reader: pa.RecordBatchReader, sink: BinaryIO) -> int:
    """Write all rows to `sink` as an Arrow IPC file (Feather version 2); how many there were."""
    with pa.ipc.new_file(sink, reader.schema, options=_options()) as writer:
        return _written(writer, reader)


def write_stream(reader: pa.RecordBatchReader, sink: BinaryIO) -> int:
    """Write all rows to `sink` as an Arrow IPC stream; how many there were."""
    with pa.ipc.new_stream(sink, reader.schema, options=_options()) as writer:
        return _written(writer, reader)


def stream(reader: pa.RecordBatchReader) -> Iterator[bytes]:
    """The bytes of an Arrow IPC stream as the rows come: a piece for each 65,536 rows."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, reader.schema, options=_options()) as writer:
        for batch in even(reader, _ROWS):
            writer.write_batch(batch)
            yield sink.getvalue()
            sink.seek(0)
            sink.truncate()
    yield sink.getvalue()


def _options() -> pa.ipc.IpcWriteOptions:
    return pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)


def _written(writer: pa.RecordBatchWriter, reader: pa.RecordBatchReader) -> int:
    rows = 0
    for batch in even(reader, _ROWS):
        writer.write_batch(batch)
        rows += batch.num_rows
    return rows
