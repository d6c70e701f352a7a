"""Whole batches as the messages that carry rows: the bytes of all values of all columns, gathered by one kernel."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from polyport.ports.output.sql import binaries, bytewise, texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from polyport.ports.output.sql.types import PgType

NUMPY: Final = find_spec("numpy") is not None
"""Whether it is installed: then rows are written by it, in a third of the time."""
if NUMPY:
    from polyport.ports.output.sql import blocks, lookups, vectors

ROWS: Final = 16_384
"""Rows that are written at once, so that their bytes stay in the processor's cache."""
_BYTES: Final = 32 << 20
"""Bytes of values written at once: offsets have 32 bits."""


def pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """`batch` in pieces that can be written at once."""
    if not batch.num_rows:
        return
    step = max(1, min(ROWS, _BYTES * batch.num_rows // max(batch.nbytes, 1)))
    for at in range(0, batch.num_rows, step):
        yield batch.slice(at, step)


def data_rows(
    batch: pa.RecordBatch, kinds: Sequence[PgType], formats: Sequence[int], zone: str
) -> memoryview:
    """DataRow messages. `formats`: 0 for text and 1 for binary, of each column."""
    return written(b"D", batch, kinds, formats, zone)


def written(
    tag: bytes, batch: pa.RecordBatch, kinds: Sequence[PgType], formats: Sequence[int], zone: str
) -> memoryview:
    """One message a row, with the number of columns and each value after its length."""
    write = by_numpy if NUMPY and batch.num_rows > bytewise.FEW else plain
    return write(tag, batch, kinds, formats, zone)


def by_numpy(
    tag: bytes, batch: pa.RecordBatch, kinds: Sequence[PgType], formats: Sequence[int], zone: str
) -> memoryview:
    """The same, of one row at least, by NumPy."""
    pieces: list[blocks.Piece] = []
    for column, kind, form in zip(batch.columns, kinds, formats, strict=True):
        pieces += vectors.field(column, kind) if form else lookups.field(column, kind, zone)
    return blocks.framed(tag, pieces, batch.num_rows, _opening(batch))


def plain(
    tag: bytes, batch: pa.RecordBatch, kinds: Sequence[PgType], formats: Sequence[int], zone: str
) -> memoryview:
    """The same without NumPy."""
    fields = [
        binaries.field(column, kind) if form else bytewise.field(texts.text(column, kind, zone))
        for column, kind, form in zip(batch.columns, kinds, formats, strict=True)
    ]
    return bytewise.framed(tag, fields, batch.num_rows, _opening(batch))


def _opening(batch: pa.RecordBatch) -> bytes:
    count: int = batch.num_columns
    return count.to_bytes(2, "big")
