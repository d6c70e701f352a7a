"""Batches of an even size: what a format writes must not depend on how the engine happened to cut the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BYTES = 256 * 2**20


def even(reader: pa.RecordBatchReader, rows: int) -> Iterator[pa.RecordBatch]:
    """The rows of `reader` in batches of exactly `rows`, the last one shorter; no empty batch.

    Where rows are so long that 256 MiB are waiting, a batch comes early: memory is bounded in any case.
    """
    waiting: list[pa.RecordBatch] = []
    held = size = 0
    for batch in reader:
        rest = batch
        while held + rest.num_rows >= rows:
            cut = rows - held
            yield _joined([*waiting, rest.slice(0, cut)])
            rest, waiting, held, size = rest.slice(cut), [], 0, 0
        waiting.append(rest)
        held, size = held + rest.num_rows, size + rest.nbytes
        if size >= _BYTES and held:
            yield _joined(waiting)
            waiting, held, size = [], 0, 0
    if held:
        yield _joined(waiting)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    parts = [batch for batch in batches if batch.num_rows]
    return parts[0] if len(parts) == 1 else pa.concat_batches(parts)


def joined_bytes(texts: pa.Array) -> memoryview:
    """The texts of a `large_string` array without nulls, one after the other, without a copy."""
    _, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        return memoryview(b"")
    at = memoryview(offsets).cast("b").cast("q")
    return memoryview(data)[at[texts.offset] : at[texts.offset + len(texts)]]


def counting(reader: pa.RecordBatchReader) -> tuple[Callable[[], int], pa.RecordBatchReader]:
    """How many rows have been read so far, and a reader of the same rows that counts them."""
    rows = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in reader:
            rows += batch.num_rows
            yield batch

    return lambda: rows, pa.RecordBatchReader.from_batches(reader.schema, batches())
