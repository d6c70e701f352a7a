"""Parquet, compressed by zstd, in row groups of 122,880 rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import pyarrow.parquet as pq

from polyport.ports.formats.batches import even

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 122_880


def write(reader: pa.RecordBatchReader, sink: BinaryIO) -> int:
    """Write all rows to `sink`, holding one row group in memory; how many there were."""
    rows = 0
    with pq.ParquetWriter(sink, reader.schema, compression="zstd") as writer:
        for batch in even(reader, ROW_GROUP):
            writer.write_batch(batch, row_group_size=ROW_GROUP)
            rows += batch.num_rows
    return rows
