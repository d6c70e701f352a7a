"""Small results kept for ever, as their snapshots do not change: for each policy class its own."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

LIMIT = 64 * 2**20
LARGEST = 2**20


class Results:
    """The least recently used results go when there are more than `limit` bytes. Safe over threads."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[Hashable, pa.Table] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> pa.Table | None:
        """The result kept under `key`."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: Hashable, reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
        """The rows of `reader`, kept under `key` where they are at most 1 MiB."""
        batches: list[pa.RecordBatch] = []
        for batch in reader:
            batches.append(batch)
            if sum(b.nbytes for b in batches) > LARGEST:
                return pa.RecordBatchReader.from_batches(reader.schema, _rest(batches, reader))
        table = pa.Table.from_batches(batches, reader.schema)
        self._put(key, table)
        return table.to_reader()

    def _put(self, key: Hashable, table: pa.Table) -> None:
        with self._lock:
            if key not in self._kept:
                self._size += table.nbytes
            self._kept[key] = table
            while self._size > self._limit:
                _, gone = self._kept.popitem(last=False)
                self._size -= gone.nbytes


def _rest(batches: list[pa.RecordBatch], reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    yield from batches
    yield from reader
