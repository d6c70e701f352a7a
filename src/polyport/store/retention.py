"""Which snapshots are due for removal, and their removal: manifests first, so a crash leaves the kept ones whole."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from polyport.errors import ConfigurationError
from polyport.store import Expired, disk, locks, sweep

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from polyport.store.layout import Home
    from polyport.store.manifest import Manifest


def check(keep: int, before: datetime | None) -> None:
    """Nothing, if the limits make sense.

    Raises:
        ConfigurationError: `keep` is negative, or `before` has no time zone.
    """
    if keep < 0:
        raise ConfigurationError(
            f"cannot keep {keep} snapshots", fix="keep 1 or more, or 0 for no limit"
        )
    if before is not None and before.tzinfo is None:
        message = f"the time {before.isoformat()} has no time zone"
        raise ConfigurationError(message, fix="give one, as in 2026-01-31T00:00:00Z")


def due(
    kept: Mapping[int, Manifest], *, keep: int, before: datetime | None, tagged: Collection[int]
) -> list[int]:
    """The sequences to remove, oldest first: never the newest, never a tagged one."""
    sequences = sorted(kept)
    beyond = set(sequences[:-keep]) if keep else set()
    old = {n for n in sequences if before and kept[n].snapshot.committed_at < before}
    return sorted((beyond | old) - set(sequences[-1:]) - set(tagged))


def remove(
    home: Home,
    kept: Mapping[int, Manifest],
    sequences: list[int],
    *,
    also: frozenset[str] = frozenset(),
    dry_run: bool,
) -> Expired:
    """Remove the snapshots that nobody holds, and all files that nobody needs. Only under the product's lock.

    Files are looked through only where something goes, or was left by who was cut off: with each snapshot there are
    more of them.

    `also`: files that are needed besides those of kept snapshots.
    """
    if not (sequences or dry_run or home.expiring.exists() or home.locks()):
        return Expired((), (), 0, 0)
    if not dry_run:
        home.expiring.touch()
        disk.sync_folder(home.folder)
    gone = [number for number in sequences if _remove(home, number, dry_run=dry_run)]
    if gone and not dry_run:
        disk.sync_folder(home.snapshots)
    needed = also.union(*(kept[n].paths for n in kept if n not in gone))
    with sweep.crashed(home, tidy=not dry_run) as dead:
        living = sweep.live(home) - dead
        runs = {run for run, _ in home.runs()} - living
        files = sweep.unused(home, runs, needed)
        if not dry_run:
            sweep.remove(home, runs, files)
            home.expiring.unlink()
    held = tuple(number for number in sequences if number not in gone)
    return Expired(tuple(gone), held, len(files), sum(files.values()))


def _remove(home: Home, sequence: int, *, dry_run: bool) -> bool:
    path = home.manifest(sequence)
    lock = locks.seize(path)
    if lock is None:
        return False
    try:
        if not dry_run:
            path.unlink()
    finally:
        os.close(lock)
    return True
