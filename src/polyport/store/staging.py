"""A run's own corner of a local store, from its first file to its tidying up."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from polyport.errors import StoreError
from polyport.store import locks, sweep
from polyport.store.columns import Columns, assign

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

    from polyport.engine import FieldIds
    from polyport.store.layout import Home
    from polyport.store.manifest import Manifest


class LocalStaging:
    """A folder to write to, and field ids to write with. Made by `LocalStore.stage`."""

    def __init__(self, home: Home, run: str, newest: Callable[[], Manifest | None]) -> None:
        self.home = home
        self.run = run
        self.doubtful = False
        """A publish was cut off where it may have become visible."""
        self.kept: set[str] = set()
        """Files that were published, relative to the store's root."""
        self._newest = newest
        self._lock: int | None = _create(home, run)

    @property
    def folder(self) -> Path:
        """Where the run writes; on the disk of the store."""
        return self.home.staging(self.run)

    @property
    def is_open(self) -> bool:
        """Whether the run may still publish."""
        return self._lock is not None

    def field_ids(self, dataset: str, schema: pa.Schema) -> FieldIds:
        """The Iceberg field ids for `schema`: a column keeps its id from snapshot to snapshot.

        A column that the newest snapshot does not have gets an id that the dataset has never used; so does one
        whose type changed in a way that Iceberg does not take for the same column (text to number).
        """
        newest = self._newest()
        entry = newest.entries.get(dataset) if newest else None
        return assign(schema, entry.columns if entry else Columns()).field_ids

    def close(self, needed: Callable[[], frozenset[str]]) -> None:
        """Remove what was not published, and end the run. `needed` gives all files of all snapshots."""
        if self._lock is None:
            return
        try:
            # What cannot be removed now keeps its lock file, so the next run finds it and says why it fails.
            with suppress(OSError):
                kept = needed() if self.doubtful else self.kept
                name = self.folder.name
                sweep.remove(self.home, {name}, sweep.unused(self.home, {name}, kept))
                self.home.lock(self.run).unlink(missing_ok=True)
        finally:
            os.close(self._lock)
            self._lock = None


def _create(home: Home, run: str) -> int:
    """The run's lock and its folder."""
    folder = home.staging(run)
    if folder.exists():
        message = f"run {run!r} of product {home.product!r} has published already"
        raise StoreError(message, where=home.product, fix="give each run an id of its own")
    lock = locks.create(home.lock(run))
    if lock is None:
        message = f"run {run!r} of product {home.product!r} is going on already"
        raise StoreError(
            message, where=home.product, fix="wait for it, or give each run an id of its own"
        )
    folder.mkdir()
    return lock
