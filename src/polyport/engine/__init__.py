"""How SQL runs. `Engine` is what the rest relies on; `duckdb` is the default. No engine's own object crosses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from polyport.model import Files, Relation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

FieldIds: TypeAlias = "Mapping[str, int | FieldIds]"
"""Iceberg field ids by column; for a nested type a mapping whose key `""` is the column's own id: list `element`,
map `key` and `value`, struct its fields."""


@dataclass(frozen=True, slots=True)
class Written:
    """What `Engine.write` wrote."""

    files: tuple[Path, ...]
    schema: pa.Schema
    rows: int
    bytes: int

    @property
    def relation(self) -> Relation:
        """Its rows, to be read again."""
        return Relation(Files(tuple(map(str, self.files)), schema=self.schema))


class Engine(Protocol):
    """Runs one SELECT over named relations, and nothing else."""

    @property
    def dialect(self) -> str:
        """The sqlglot name of the SQL it takes."""
        ...

    def query(
        self, sql: str, relations: Mapping[str, Relation], params: Mapping[str, Any] | None = None
    ) -> pa.RecordBatchReader:
        """Rows of `sql`, in which the names of `relations` are tables and `$name` a value of `params`.

        The reader streams: it holds the engine's resources until it is read to the end or closed.

        Raises:
            QueryError: The engine refused or failed; the message is the engine's own, line and column are in `sql`.
        """
        ...

    def schema(self, sql: str, relations: Mapping[str, Relation]) -> pa.Schema:
        """The columns that `sql` would give, found without running it.

        Raises:
            QueryError: As `query`.
        """
        ...

    def write(
        self,
        sql: str,
        relations: Mapping[str, Relation],
        target: Path,
        *,
        field_ids: FieldIds | None = None,
        columns: Sequence[str] | None = None,
    ) -> Written:
        """Write the rows of `sql` as Parquet (zstd) to the file `target`, in bounded memory; spills to disk.

        `columns` picks and orders; `field_ids` go into the file's schema. A file with no rows still has its schema.

        Raises:
            QueryError: As `query`.
            StoreError: No space, or no permission; what was begun is removed.
        """
        ...

    def progress(self) -> float | None:
        """How much of the newest statement is done, from 0 to 1; None where that is not known. For another thread."""
        ...

    def consume(self, reader: pa.RecordBatchReader, target: Path) -> Written:
        """Write the batches of `reader` as Parquet (zstd) to the file `target` as they come.

        Raises:
            StoreError: No space, or no permission; what was begun is removed.
        """
        ...
