"""The keyed read path: a SQLite file derived from one dataset of one snapshot, for point reads and small pages.

DuckDB over Parquet reads a table at a time; a row by its key costs it a thousand times what it costs a B-tree. The
index answers only what it answers exactly as the engine would, and cheaply: types that SQLite holds without loss,
comparisons between equal types, at most so many steps. Everything else it declines, and the engine answers. It is
never the truth: it can be deleted at any time.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote as quote_name

from polyport.engine.keyed.codecs import codec
from polyport.engine.keyed.index import KeyedIndex
from polyport.engine.keyed.making import MOST_ROWS, build, can_index
from polyport.errors import PolyportError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from polyport.engine import Engine
    from polyport.model import Snapshot

log = logging.getLogger("polyport.keyed")


class KeyedIndexes:
    """The indexes of a product's snapshots, made in the background when first asked for. `close()` it."""

    def __init__(
        self, folder: Path, engine: Engine, files: Callable[[Snapshot, str], Sequence[str]]
    ) -> None:
        self._folder = folder
        self._engine = engine
        self._files = files
        self._indexes: dict[tuple[str, str], KeyedIndex | None] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="polyport-keyed")

    def get(
        self, snapshot: Snapshot, dataset: str, columns: Sequence[Sequence[str]] = ()
    ) -> KeyedIndex | None:
        """The index of a dataset; None while it is being made, or where it cannot be.

        `columns`: what else to index, besides the key.
        """
        name = (snapshot.content_id, dataset)
        if name in self._indexes:
            return self._indexes[name]
        with self._lock:
            if name not in self._indexes:
                self._indexes[name] = None
                if can_index(snapshot.datasets[dataset]):
                    self._pool.submit(self._make, snapshot, dataset, tuple(columns))
        return None

    def wait(self) -> None:
        """Return when every index that was asked for is made."""
        self._pool.submit(lambda: None).result()

    def close(self) -> None:
        """Close every index; one that is being made is finished first."""
        self._pool.shutdown(cancel_futures=True)
        for index in self._indexes.values():
            if index is not None:
                index.close()

    def _make(self, snapshot: Snapshot, name: str, columns: Sequence[Sequence[str]]) -> None:
        dataset = snapshot.datasets[name]
        path = self._folder / snapshot.content_id / f"{quote_name(name, safe='')}.sqlite"
        try:
            made = path.exists() or build(
                path, dataset, self._files(snapshot, name), self._engine, columns
            )
        except (PolyportError, OSError, sqlite3.Error) as error:
            log.warning("no keyed index of %s, snapshot %s: %s", name, snapshot.sequence, error)
            return
        if made:
            self._indexes[snapshot.content_id, name] = KeyedIndex(path, dataset)
            self._close_erased(snapshot)
            self._forget_others(snapshot)

    def _close_erased(self, snapshot: Snapshot) -> None:
        """Let go of indexes of the snapshot as it was before an erasure: an open file stays on the disk."""
        for (content, name), index in list(self._indexes.items()):
            if content.partition("+")[0] == snapshot.id and content != snapshot.content_id:
                if index is not None:
                    index.close()
                self._indexes[content, name] = None

    def _forget_others(self, snapshot: Snapshot) -> None:
        """Remove the files of snapshots that nobody asked for since this process began."""
        asked = {snapshot_id for snapshot_id, _ in self._indexes} | {snapshot.content_id}
        for folder in self._folder.iterdir():
            if folder.name not in asked:
                shutil.rmtree(folder, ignore_errors=True)


__all__ = [
    "MOST_ROWS",
    "KeyedIndex",
    "KeyedIndexes",
    "build",
    "can_index",
    "codec",
]
