"""Erasure: the one thing that changes a published snapshot. Its files are written anew without some rows.

1. New Parquet files and Iceberg metadata are written where no reader looks, in the folder of the erasure's own run.
2. Under the product's lock, when no other run is going on, each manifest is replaced by one over the new files. The
   old manifest keeps a second name, `snapshots/.superseded-<sequence>-<run>`, which readers that hold it still lock.
3. When nobody holds a superseded manifest any more, the files that only it needs are removed, and then itself.

A kill at any moment leaves each snapshot as it was or as it will be. Running the erasure again finishes it: rows that
are gone are not found again, and what was written in vain is collected like that of any crashed run.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from polyport.errors import ConflictError
from polyport.store import disk, iceberg, locks, manifest, sweep
from polyport.store.layout import safe
from polyport.store.manifest import DataFile, Erased

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from polyport.engine import FieldIds, Written
    from polyport.model import Dataset, Snapshot
    from polyport.store.layout import Home
    from polyport.store.manifest import Entry, Manifest
    from polyport.store.staging import LocalStaging

_SUPERSEDED = re.compile(r"\.superseded-([0-9]{8,})-.+")
_LOOK_AGAIN = 0.05
"""Seconds."""


class Rewrite(Protocol):
    """Says what is left of a dataset's files."""

    def __call__(
        self,
        snapshot: Snapshot,
        dataset: str,
        files: Sequence[str],
        *,
        target: Path,
        field_ids: FieldIds,
    ) -> Written | None:
        """The rows that stay, written to `target`; None, and nothing written, where all of them do."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """What the steps of one erasure share."""

    home: Home
    staging: LocalStaging
    kept: Callable[[], dict[int, Manifest]]
    rewrite: Rewrite
    at: datetime
    made: dict[tuple[str, tuple[DataFile, ...]], tuple[DataFile, ...] | None] = field(
        default_factory=dict
    )
    """By dataset and old files: the new ones, or None where no row goes."""


def erase(work: Work, *, patience: float) -> Mapping[int, Mapping[str, int]]:
    """For each snapshot that was changed, the rows that went from its datasets. The old files are still there.

    Raises:
        ConflictError: Another run was going on for longer than `patience` seconds; nothing was changed.
    """
    deadline = time.monotonic() + patience
    while True:
        before = work.kept()
        drafts = _drafts(work, before)  # the long part: nobody waits for it
        with locks.exclusive(work.home.mutex):
            others = _others(work)
            if not others and _same(before, work.kept()):
                return _swap(work, before, drafts)
        if others and time.monotonic() > deadline:
            raise ConflictError(
                f"a run of {work.home.product!r} is going on: {', '.join(others)}",
                where=work.home.product,
                fix="wait until it has ended, then: polyport erase --resume",
            )
        if others:
            time.sleep(_LOOK_AGAIN)


def _others(work: Work) -> list[str]:
    """The runs that are going on, besides this one."""
    with sweep.crashed(work.home, tidy=False) as dead:
        return sorted(sweep.live(work.home) - dead - {safe(work.staging.run)})


def _same(before: Mapping[int, Manifest], now: Mapping[int, Manifest]) -> bool:
    ids = [{n: m.snapshot.content_id for n, m in kept.items()} for kept in (before, now)]
    return ids[0] == ids[1]


def _drafts(work: Work, kept: Mapping[int, Manifest]) -> dict[int, Manifest]:
    """The manifests that are to be replaced, as they will be; what they refer to is written and durable."""
    before: dict[str, tuple[Entry, Entry]] = {}
    drafts: dict[int, Manifest] = {}
    for number, old in sorted(kept.items()):
        entries = {n: _entry(work, old, e, before.get(n)) for n, e in old.entries.items()}
        before |= {n: (old.entries[n], e) for n, e in entries.items()}
        if entries != old.entries:
            drafts[number] = _draft(work, old, entries)
    new = {work.home.root / f.path for files in work.made.values() for f in files or ()}
    disk.sync_all(new, work.home.folder)
    return drafts


def _draft(work: Work, old: Manifest, entries: Mapping[str, Entry]) -> Manifest:
    rows = {n: old.entries[n].dataset.rows - e.dataset.rows for n, e in entries.items()}
    gone = {n: count for n, count in rows.items() if count}
    erased = (*old.erased, Erased(work.staging.run, work.at, gone))
    datasets = {name: entry.dataset for name, entry in entries.items()}
    snapshot = replace(old.snapshot, datasets=datasets, erasures=len(erased))
    return replace(old, snapshot=snapshot, entries=entries, erased=erased)


def _entry(work: Work, old: Manifest, entry: Entry, before: tuple[Entry, Entry] | None) -> Entry:
    """The dataset as it will be in the snapshot `old`; `before`: as it was and will be in the one before it."""
    files = _files(work, old.snapshot, entry)
    rows = sum(file.rows for file in files)
    new = replace(entry, files=files, dataset=_with_rows(entry.dataset, rows))
    history_changed = before is not None and before[0] != before[1]
    if entry.iceberg is None or (new == entry and not history_changed):
        return new
    if before is not None and before[0].iceberg == entry.iceberg:
        return replace(new, iceberg=before[1].iceberg)
    table = iceberg.commit(
        work.home,
        new,
        snapshot=old.snapshot,
        before=before[1] if before else None,
        run=work.staging.run,
    )
    return replace(new, iceberg=table)


def _with_rows(dataset: Dataset, rows: int) -> Dataset:
    return dataset if dataset.rows == rows else replace(dataset, rows=rows)


def _files(work: Work, snapshot: Snapshot, entry: Entry) -> tuple[DataFile, ...]:
    asked = (entry.dataset.name, entry.files)
    if asked not in work.made:
        work.made[asked] = _rewritten(work, snapshot, entry)
    found = work.made[asked]
    return entry.files if found is None else found


def _rewritten(work: Work, snapshot: Snapshot, entry: Entry) -> tuple[DataFile, ...] | None:
    name, home = entry.dataset.name, work.home
    target = work.staging.folder / f"{safe(name)}-{len(work.made)}.parquet"
    old = [str(home.root / file.path) for file in entry.files]
    written = work.rewrite(snapshot, name, old, target=target, field_ids=entry.columns.field_ids)
    if written is None:
        return None
    rows = written.rows
    return tuple(DataFile(home.relative(f), f.stat().st_size, rows) for f in written.files)


def _swap(
    work: Work, before: Mapping[int, Manifest], drafts: Mapping[int, Manifest]
) -> dict[int, Mapping[str, int]]:
    """Replace the manifests, one after the other."""
    home, staging = work.home, work.staging
    staging.doubtful = True
    for number, made in drafts.items():
        path = home.manifest(number)
        second = home.snapshots / f".superseded-{number:08d}-{safe(staging.run)}"
        second.unlink(missing_ok=True)
        os.link(path, second)
        disk.replace(path, manifest.encode(made), draft=staging.folder / f".{number}.json")
        staging.kept |= made.paths
    staging.doubtful = False
    return {n: _rows(before[n], made) for n, made in drafts.items()}


def _rows(old: Manifest, new: Manifest) -> dict[str, int]:
    counts = {n: e.dataset.rows - new.entries[n].dataset.rows for n, e in old.entries.items()}
    return {name: rows for name, rows in counts.items() if rows}


# What was superseded


def superseded(home: Home) -> Iterator[tuple[Path, int]]:
    """The manifests that an erasure replaced and whose files are still there, with their sequences."""
    for path in sorted(home.snapshots.glob(".superseded-*")):
        if found := _SUPERSEDED.fullmatch(path.name):
            yield path, int(found.group(1))


def needed(home: Home) -> frozenset[str]:
    """The files that superseded manifests refer to, relative to the store's root."""
    found = (manifest.read(p, product=home.product, sequence=n).paths for p, n in superseded(home))
    return frozenset().union(*found)


def retire(home: Home, kept: Callable[[], frozenset[str]]) -> dict[int, tuple[int, ...]]:
    """Remove what superseded manifests need and nobody holds; sequence -> processes that hold the others.

    `kept` gives the files of all kept snapshots. Only under the product's lock.
    """
    held: dict[int, tuple[int, ...]] = {}
    free: dict[Path, int] = {}
    for path, number in superseded(home):
        current = home.manifest(number)
        if current.exists() and path.samefile(current):  # a kill came before the replacement
            path.unlink()
        elif _is_held(path):
            held[number] = locks.holders(path)
        else:
            free[path] = number
    if not free:
        return held
    old = {p: manifest.read(p, product=home.product, sequence=n).paths for p, n in free.items()}
    still = kept().union(
        *(
            manifest.read(p, product=home.product, sequence=n).paths
            for p, n in superseded(home)
            if p not in free
        )
    )
    gone = frozenset().union(*old.values()) - still
    runs = {run for run, _ in home.runs()} - sweep.live(home)
    sweep.remove(home, runs, [home.root / path for path in gone])
    for path in free:
        path.unlink()
    disk.sync_folder(home.snapshots)
    return held


def _is_held(path: Path) -> bool:
    lock = locks.seize(path)
    if lock is None:
        return True
    os.close(lock)
    return False
