"""Snapshots on a local disk: any number of readers, and writers of whom one wins. `layout` says where things lie."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from polyport.errors import ConfigurationError, ConflictError, NotFoundError, StoreError
from polyport.model import LATEST, Snapshot
from polyport.store import (
    Expired,
    columns,
    disk,
    drafts,
    erase,
    iceberg,
    locks,
    manifest,
    refs,
    retention,
    sweep,
    tagging,
)
from polyport.store.layout import Home
from polyport.store.lookup import Lookup
from polyport.store.manifest import Manifest
from polyport.store.staging import LocalStaging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from polyport.model import Ref
    from polyport.store import Staging, Table
    from polyport.store.erase import Rewrite
    from polyport.store.manifest import Entry

_CACHED = 4096
"""Products whose places are kept in memory."""
_TICK = timedelta(microseconds=1)


class LocalStore:
    """A `Store` in a folder, with Iceberg metadata over the same Parquet files.

    Only advisory locks of the operating system are used, so the folder must be on a local disk (or on a file
    system whose `flock` works between its clients).
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        iceberg: bool = True,
        publishing: str = "polyport build",
    ) -> None:
        """A store in `root`, which need not exist yet. `publishing`: the command that publishes into it, for messages.

        Raises:
            ConfigurationError: Iceberg cannot address files below `root`.
        """
        self.root = Path(root).resolve()
        self._clock = clock
        self._iceberg = iceberg
        self._holds = locks.Holds()
        self._lookup = Lookup(self._holds, publishing)
        self._home = lru_cache(maxsize=_CACHED)(partial(Home.of, self.root))
        if iceberg and {"#", "?"} & set(str(self.root)):
            message = f"the store's folder {str(self.root)!r} has '#' or '?' in its name"
            raise ConfigurationError(message, fix="choose another folder: Iceberg takes addresses")

    # Reading

    def snapshot(self, product: str, ref: Ref) -> Snapshot:
        """The snapshot that `ref` names: `latest`, a sequence, an id, a tag, an RFC 3339 time or a date (its end, UTC).

        Raises:
            NotFoundError: There is none; says which there are.
            StoreError: Its manifest is damaged, or cannot be read.
        """
        return self._lookup.resolve(self._home(product), ref).snapshot

    def history(self, product: str) -> Sequence[Snapshot]:
        """All kept snapshots, oldest first; empty for a product never published.

        Raises:
            StoreError: A manifest is damaged, or cannot be read.
        """
        home = self._home(product)
        with disk.guarded(home.folder):
            return tuple(found.snapshot for found in self._lookup.kept(home).values())

    def files(self, snapshot: Snapshot, dataset: str) -> tuple[str, ...]:
        """The Parquet files of a dataset of a snapshot: absolute paths.

        Raises:
            NotFoundError: The snapshot has no such dataset, or has expired.
        """
        return tuple(str(self.root / file.path) for file in self._entry(snapshot, dataset).files)

    def iceberg(self, snapshot: Snapshot, dataset: str) -> str:
        """The location of the Iceberg table metadata of exactly this dataset of this snapshot: a `file:` URL.

        Raises:
            NotFoundError: As `files`; or the snapshot was published without Iceberg metadata.
        """
        table = self._entry(snapshot, dataset).iceberg
        if table is None:
            message = f"dataset {dataset!r} of snapshot {snapshot.sequence} has no Iceberg metadata"
            raise NotFoundError(
                message, where=dataset, fix="open the store with iceberg=True and publish again"
            )
        return f"file://{self.root / table.metadata}"

    @contextmanager
    def hold(self, product: str, ref: Ref) -> Iterator[Snapshot]:
        """The snapshot, held: expiry leaves it alone until exit, also from other processes; ends with the process.

        Raises:
            NotFoundError: As `snapshot`.
            StoreError: As `snapshot`.
        """
        with self._lookup.held(self._home(product), ref) as found:
            yield found.snapshot

    def tags(self, product: str) -> Mapping[str, int]:
        """Tag -> sequence, by name.

        Raises:
            StoreError: A tag is damaged, or cannot be read.
        """
        home = self._home(product)
        with disk.guarded(home.folder):
            return tagging.read(home)

    # Writing

    @contextmanager
    def stage(self, product: str, run: str) -> Iterator[LocalStaging]:
        """A staging area for the run; first clears what crashed runs left. What was not published is removed at exit.

        Raises:
            StoreError: The store cannot be written, or the run is going on already.
        """
        home = self._home(product)
        with disk.guarded(home.folder):
            home.make()
            with locks.exclusive(home.mutex):
                self._tidy(home)
                staging = LocalStaging(home, run, lambda: self._lookup.newest(home))
        try:
            yield staging
        finally:
            with disk.guarded(home.folder), locks.exclusive(home.mutex):
                staging.close(lambda: self._needed(home))

    def publish(
        self,
        product: str,
        tables: Mapping[str, Table],
        *,
        staging: Staging,
        inputs: Mapping[str, str],
        parent: str | None,
        version: str = "",
    ) -> Snapshot:
        """Make `tables` the product's newest snapshot, all of them or none. Durable when it returns.

        Raises:
            ConflictError: The newest snapshot is not `parent` any more; names the one that won.
            StoreError: No space, no permission, or files that do not hold what `tables` says. Nothing is visible.
        """
        home = self._home(product)
        own = _own(staging, home)
        with disk.guarded(home.folder), self._parent(home, parent) as before:
            made = self._draft(own, tables, before=before)
            snapshot = replace(made.snapshot, inputs=dict(inputs), version=version)
            self._commit(own, Manifest(snapshot, made.entries))
        return snapshot

    def tag(self, product: str, name: str, ref: Ref) -> Snapshot:
        """Give a snapshot a name of its own (moves the tag if it exists). Tagged snapshots do not expire.

        Raises:
            NotFoundError: As `snapshot`.
            ConfigurationError: The name is not `[A-Za-z][A-Za-z0-9._-]*`, or is `latest`, or is very long.
            StoreError: The tag cannot be written.
        """
        refs.check_tag(name)
        home = self._home(product)
        self._lookup.resolve(home, ref)  # says so before any lock, and before any folder is made
        with disk.guarded(home.tags), locks.exclusive(home.mutex):
            snapshot = self._lookup.resolve(home, ref).snapshot
            tagging.write(home, name, snapshot)
        return snapshot

    def untag(self, product: str, name: str) -> None:
        """Take a tag away; its snapshot may expire then.

        Raises:
            NotFoundError: There is no such tag.
            StoreError: The tag cannot be removed.
        """
        home = self._home(product)
        known = self.tags(product)
        if name not in known:
            raise NotFoundError(
                f"no tag {name!r}", where=product, fix=f"tags: {', '.join(known) or 'none'}"
            )
        with disk.guarded(home.tags), locks.exclusive(home.mutex):
            tagging.remove(home, name)

    def expire(
        self, product: str, *, keep: int = 0, before: datetime | None = None, dry_run: bool = False
    ) -> Expired:
        """Remove snapshots beyond the newest `keep` (0: no limit) and those committed before `before`.

        Never the newest, a tagged one, or one that is held; then the files that no kept snapshot refers to.

        Raises:
            ConfigurationError: `keep` is negative, or `before` has no time zone.
            StoreError: A manifest is damaged (then nothing is removed), or the store cannot be written.
        """
        retention.check(keep, before)
        home = self._home(product)
        with disk.guarded(home.folder):
            if not home.sequences():
                return Expired((), (), 0, 0)
            return self._expire(home, keep=keep, before=before, dry_run=dry_run)

    def erase(
        self, product: str, erasure: str, rewrite: Rewrite, *, patience: float = 0.0
    ) -> Mapping[int, Mapping[str, int]]:
        """Rows that `rewrite` leaves out go from every kept snapshot: sequence -> dataset -> rows. `retire` follows.

        Raises:
            ConflictError: A run was going on for longer than `patience` seconds; nothing was changed.
            StoreError: The store cannot be written.
        """
        home = self._home(product)
        with self.stage(product, erasure) as staging, disk.guarded(home.folder):
            work = erase.Work(
                home, staging, lambda: self._lookup.kept(home), rewrite, self._clock()
            )
            return erase.erase(work, patience=patience)

    def is_run(self, product: str, run: str) -> bool:
        """Whether a run of this name has files in the store."""
        return self._home(product).staging(run).exists()

    def retire(self, product: str, *, patience: float = 0.0) -> Mapping[int, tuple[int, ...]]:
        """Remove the files that only erased rows' readers need; sequence -> processes that still read after `patience`.

        Raises:
            StoreError: The store cannot be written.
        """
        home = self._home(product)
        deadline = time.monotonic() + patience
        with disk.guarded(home.folder):
            while True:
                if not home.snapshots.is_dir():
                    return {}
                with locks.exclusive(home.mutex):
                    held = erase.retire(home, lambda: self._lookup.published(home))
                if not held or time.monotonic() > deadline:
                    return held
                time.sleep(0.05)

    # Steps of the above

    def _expire(self, home: Home, *, keep: int, before: datetime | None, dry_run: bool) -> Expired:
        with locks.exclusive(home.mutex):
            kept = self._lookup.kept(home)
            if not dry_run:
                erase.retire(home, lambda: self._lookup.published(home))
            tagged = tagging.read(home).values()
            sequences = retention.due(kept, keep=keep, before=before, tagged=tagged)
            also = erase.needed(home)
            return retention.remove(home, kept, sequences, also=also, dry_run=dry_run)

    def _entry(self, snapshot: Snapshot, dataset: str) -> Entry:
        return self._lookup.entry(self._home(snapshot.product), snapshot, dataset)

    def _needed(self, home: Home) -> frozenset[str]:
        return self._lookup.published(home) | erase.needed(home)

    def _tidy(self, home: Home) -> None:
        with sweep.crashed(home) as dead:
            if dead:
                sweep.remove(home, dead, sweep.unused(home, dead, self._needed(home)))

    @contextmanager
    def _parent(self, home: Home, parent: str | None) -> Iterator[Manifest | None]:
        """The newest snapshot, held, so that what is taken over from it stays."""
        if not home.sequences():
            self._check_parent(home, parent)
            yield None
            return
        with self._lookup.held(home, LATEST) as found:
            self._check_parent(home, parent)
            yield found

    def _check_parent(self, home: Home, parent: str | None) -> None:
        newest = self._lookup.newest(home)
        if (newest.snapshot.id if newest else None) != parent:
            raise _conflict(home, parent, newest)

    def _draft(
        self, staging: LocalStaging, tables: Mapping[str, Table], *, before: Manifest | None
    ) -> Manifest:
        """The manifest to be; all that it refers to is written and durable."""
        home = staging.home
        snapshot = self._next(staging, before)
        desk = drafts.Desk(home, staging.folder, before, snapshot.sequence)
        if self._iceberg:
            for name, table in tables.items():
                columns.check(name, table.schema)
        entries = {name: drafts.entry(name, table, desk) for name, table in tables.items()}
        new = {home.root / f.path for e in entries.values() for f in e.files}
        disk.sync_all((path for path in new if path.is_relative_to(staging.folder)), home.folder)
        if self._iceberg:
            old = before.entries if before else {}
            entries = {n: _with_iceberg(home, e, snapshot, old.get(n)) for n, e in entries.items()}
        datasets = {name: entry.dataset for name, entry in entries.items()}
        return Manifest(replace(snapshot, datasets=datasets), entries)

    def _next(self, staging: LocalStaging, before: Manifest | None) -> Snapshot:
        """The snapshot to be, still without datasets. Times ascend even where the clock does not."""
        now = self._clock().astimezone(UTC)
        last = before.snapshot if before else None
        sequence = last.sequence + 1 if last else 1
        return Snapshot(
            product=staging.home.product,
            id=f"{sequence:08d}-{secrets.token_hex(4)}",
            sequence=sequence,
            parent=last.id if last else None,
            committed_at=max(now, last.committed_at + _TICK) if last else now,
            datasets={},
            run=staging.run,
        )

    def _commit(self, staging: LocalStaging, made: Manifest) -> None:
        """The one step that makes a snapshot visible."""
        home, snapshot = staging.home, made.snapshot
        path = home.manifest(snapshot.sequence)
        draft = staging.folder / f".{snapshot.id}.json"
        with locks.exclusive(home.mutex):
            self._check_parent(home, snapshot.parent)
            staging.doubtful = True
            try:
                disk.put_if_absent(path, manifest.encode(made), draft=draft)
            except FileExistsError as error:
                raise _conflict(home, snapshot.parent, self._lookup.newest(home)) from error
            staging.kept |= made.paths
        staging.doubtful = False


def _with_iceberg(home: Home, entry: Entry, snapshot: Snapshot, before: Entry | None) -> Entry:
    name = entry.dataset.name
    if entry.iceberg is not None and entry.iceberg.location == iceberg.location(home, name):
        return entry
    return replace(entry, iceberg=iceberg.commit(home, entry, snapshot=snapshot, before=before))


def _own(staging: Staging, home: Home) -> LocalStaging:
    if isinstance(staging, LocalStaging) and staging.is_open and staging.home == home:
        return staging
    message = f"the staging area {str(staging.folder)!r} is closed, or not of product {home.product!r} here"
    raise StoreError(
        message, where=home.product, fix="publish within `with store.stage(product, run)`"
    )


def _conflict(home: Home, parent: str | None, newest: Manifest | None) -> ConflictError:
    if newest is None:
        message = f"product {home.product!r} has no snapshot yet, so {parent} is not its newest"
        return ConflictError(
            message, where=home.product, fix="publish the first one with no parent"
        )
    won = newest.snapshot
    before = f"and was {parent}" if parent else "and there was none"
    return ConflictError(
        f"someone else published first: the newest snapshot of {home.product!r} is {won.id}"
        f" (run {won.run or 'unknown'}, {won.committed_at:%Y-%m-%dT%H:%M:%SZ}), {before} when this began",
        where=home.product,
        fix="build again on top of it",
    )
