"""What was erased and comes again from a source does not get into a snapshot."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from polyport.expression import quote
from polyport.model import Files, Query, Relation
from polyport.pipeline.quality.aside import field_ids

if TYPE_CHECKING:
    import pyarrow as pa

    from polyport.engine import Engine, Written
    from polyport.pipeline.erasure.tombstones import Tombstones


def drop(name: str, table: Written, erased: Tombstones, engine: Engine) -> Written:
    """The dataset without the rows that match a tombstone; written anew where there are any.

    Raises:
        QueryError: The engine failed.
        StoreError: No space, or no permission.
    """
    found = erased.condition(name, table.schema)
    if found is None:
        return table
    source = Files(tuple(map(str, table.files)), schema=table.schema)
    rows = Relation(source, where=found.where, params=found.params)
    with engine.query("SELECT count(*) AS n FROM held", {"held": rows}) as reader:
        if not reader.read_all()["n"][0].as_py():
            return table
    first = table.files[0]
    rest = Relation(source, where=f"NOT ({found.where})", params=found.params)
    written = engine.write(
        f"SELECT * FROM {quote(name)}",
        {name: rest},
        first.with_name(f"{first.stem}-without-erased.parquet"),
        field_ids=field_ids(pq.read_schema(first)),
    )
    for path in table.files:
        path.unlink()
    return written


def hidden(name: str, relation: Relation, schema: pa.Schema, erased: Tombstones) -> Relation:
    """The table that the dataset `name` is made from, as those see it that read it besides: without the same rows."""
    found = erased.condition(name, schema)
    if found is None:
        return relation
    everything = Relation(Query("SELECT * FROM whole", {"whole": relation}))
    return replace(everything, where=f"NOT ({found.where})", params=found.params)
