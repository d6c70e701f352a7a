"""What a worker of consumers' SQL answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport.engine.walled import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polyport.engine.walled.pool import Worker


def ask(worker: Worker, sql: str, values: Sequence[Any] = ()) -> pa.Table | dict[str, Any]:
    """All rows of a statement, or what is said instead: an error, or the tables that are missing."""
    said = worker.ask({"what": "query", "sql": sql, "values": list(values), "most": {}})
    if "types" not in said:
        return said
    reader, batches = stream.begun(worker.channel, said.get("whole", 0)), []
    while (batch := stream.following(reader)) is not None:
        batches.append(batch)
    end = {"done": True} if said.get("whole") else worker.channel.answered()
    return pa.Table.from_batches(batches, reader.schema) if "done" in end else end
