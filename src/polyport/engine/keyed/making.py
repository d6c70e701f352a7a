"""How an index is made."""

from __future__ import annotations

import math
import os
import sqlite3
from typing import TYPE_CHECKING

from polyport.engine.keyed.codecs import codec
from polyport.expression import quote
from polyport.model import Files, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from polyport.engine import Engine
    from polyport.model import Dataset

MOST_ROWS = 5_000_000
"""An index takes some 4 seconds for a million rows; larger datasets are the engine's."""


def can_index(dataset: Dataset) -> bool:
    """Whether a dataset has a key whose columns can be stored, and is not too large to index while others wait."""
    storable = bool(dataset.key) and all(codec(dataset.schema.field(k).type) for k in dataset.key)
    return storable and dataset.rows <= MOST_ROWS


def build(
    path: Path,
    dataset: Dataset,
    uris: Sequence[str],
    engine: Engine,
    indexes: Sequence[Sequence[str]],
) -> bool:
    """Make the SQLite file at `path`; False, and no file, where a float column holds NaN, which SQLite does not.

    `indexes`: columns to index, besides the key; each list is one index, in that order, then the key.
    """
    stored = {f.name: c for f in dataset.schema if (c := codec(f.type)) is not None}
    shown = ", ".join(f"{c.read.format(quote(n))} AS {quote(n)}" for n, c in stored.items())
    relation = {"source": Relation(Files(tuple(uris), schema=dataset.schema))}
    order = ", ".join(map(quote, dataset.key))
    draft = path.with_suffix(f".{os.getpid()}.draft")
    draft.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = sqlite3.connect(draft, isolation_level=None)
        try:
            with engine.query(f"SELECT {shown} FROM source ORDER BY {order}", relation) as reader:
                whole = _fill(connection, dataset, list(stored), reader)
            if whole:
                _index(connection, dataset, [i for i in indexes if all(c in stored for c in i)])
        finally:
            connection.close()
        if whole:
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return whole


def _fill(
    connection: sqlite3.Connection,
    dataset: Dataset,
    names: list[str],
    reader: Iterator[pa.RecordBatch],
) -> bool:
    for pragma in (
        "page_size = 8192",
        "journal_mode = OFF",
        "synchronous = OFF",
        "cache_size = -64000",
    ):
        connection.execute(f"PRAGMA {pragma}")
    # No declared types: SQLite would convert values to fit a column's affinity.
    key = ", ".join(map(quote, dataset.key))
    columns = ", ".join(f"{quote(n)}{' NOT NULL' if n in dataset.key else ''}" for n in names)
    connection.execute(f"CREATE TABLE rows ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID")
    places = ", ".join("?" * len(names))
    connection.execute("BEGIN")
    for batch in reader:
        columns_of = [column.to_pylist() for column in batch.columns]
        if any(isinstance(v, float) and math.isnan(v) for c in columns_of for v in c):
            return False
        connection.executemany(f"INSERT INTO rows VALUES ({places})", zip(*columns_of, strict=True))
    connection.execute("COMMIT")
    return True


def _index(
    connection: sqlite3.Connection, dataset: Dataset, indexes: Sequence[Sequence[str]]
) -> None:
    for number, columns in enumerate(indexes):
        terms = ", ".join(map(quote, (*columns, *(k for k in dataset.key if k not in columns))))
        connection.execute(f"CREATE INDEX by_{number} ON rows ({terms})")
    connection.execute("ANALYZE")
