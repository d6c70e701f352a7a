"""Rows kept as Parquet by the port itself: writing them, checking them, and the relation over them."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from polyport.errors import StoreError
from polyport.model import Files, Relation
from polyport.ports.input import _documents, _expect
from polyport.ports.input._source import CHUNK
from polyport.ports.input._union import union

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from polyport.descriptor.types import SchemaObject
    from polyport.ports.input import RawObject

MEDIA_TYPE = "application/vnd.apache.parquet"


@contextmanager
def scratch_file(name: str, scratch: Path | None) -> Iterator[Path]:
    """A path below `scratch` to write to; it goes at the end."""
    folder = tempfile.mkdtemp(prefix="polyport-", dir=scratch)
    try:
        yield Path(folder, name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write(batches: Iterable[pa.RecordBatch], schema: pa.Schema, target: Path) -> int:
    """Write `batches` to `target` as they come; the number of rows.

    Raises:
        StoreError: No space, or no permission.
    """
    rows = 0
    try:
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch.cast(schema))
                rows += batch.num_rows
    except OSError as error:
        raise StoreError(
            f"the rows could not be written: {error.strerror or error}",
            where=str(target.parent),
            fix="free some space, or set TMPDIR to a larger disk",
        ) from error
    return rows


def chunks(path: Path) -> Iterator[bytes]:
    """The bytes of `path`."""
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def relation(
    objects: Sequence[RawObject], wanted: SchemaObject | None, *, port: str, where: str
) -> Relation:
    """All rows of kept Parquet files, put together by name where their columns differ.

    Raises:
        InputError: A file is damaged, or what came is not what is wanted.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for kept in objects:
        columns = _documents.parquet_columns(kept.path, kept.name, where)
        _expect.check(wanted, _documents.parquet_arrived(kept.path, kept.name), port)
        groups.setdefault(columns, []).append(str(kept.path))
    parts = [Relation(Files(tuple(paths))) for paths in groups.values()]
    return union(parts, [pq.read_schema(paths[0]) for paths in groups.values()])
