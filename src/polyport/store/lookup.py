"""Finding manifests while others expire, erase and publish: what was listed may be gone when it is read."""

from __future__ import annotations

import difflib
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from polyport.errors import NotFoundError, StoreError
from polyport.store import disk, manifest, refs, tagging

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from polyport.model import Ref, Snapshot
    from polyport.store import locks
    from polyport.store.layout import Home
    from polyport.store.manifest import Entry, Manifest

_CACHED = 4096
"""Parsed manifests kept in memory."""
_ATTEMPTS = 100
"""How often a reader looks again when what it found was removed under its hands."""


class Lookup:
    """Finds the manifests of a store."""

    def __init__(self, holds: locks.Holds, publishing: str) -> None:
        self._holds, self._publishing = holds, publishing
        self._parsed = lru_cache(maxsize=_CACHED)(_parse)

    def resolve(self, home: Home, ref: Ref) -> Manifest:
        """The manifest of the snapshot that `ref` names.

        Raises:
            NotFoundError: There is none; says which there are.
            StoreError: It is damaged, or cannot be read.
        """
        with disk.guarded(home.folder):
            for _ in range(_ATTEMPTS):
                with suppress(FileNotFoundError):  # expired since it was listed
                    return refs.resolve(
                        ref,
                        home.sequences(),
                        product=home.product,
                        tags=lambda: tagging.read(home),
                        read=lambda sequence: self._read(home, sequence),
                        publishing=self._publishing,
                    )
        raise _restless(home)

    @contextmanager
    def held(self, home: Home, ref: Ref) -> Iterator[Manifest]:
        """As `resolve`; expiry leaves the snapshot alone until exit."""
        found, held = self._take(home, ref)
        try:
            yield found
        finally:
            self._holds.drop(held)

    def newest(self, home: Home) -> Manifest | None:
        """The newest manifest; None for a product never published."""
        with disk.guarded(home.folder):
            for _ in range(_ATTEMPTS):
                sequences = home.sequences()
                if not sequences:
                    return None
                with suppress(FileNotFoundError):  # expired since it was listed
                    return self._read(home, sequences[-1])
        raise _restless(home)

    def kept(self, home: Home) -> dict[int, Manifest]:
        """Sequence -> manifest, oldest first."""
        found: dict[int, Manifest] = {}
        for sequence in home.sequences():
            with suppress(FileNotFoundError):  # expired since it was listed
                found[sequence] = self._read(home, sequence)
        return found

    def published(self, home: Home) -> frozenset[str]:
        """All files that kept manifests refer to."""
        return frozenset().union(*(found.paths for found in self.kept(home).values()))

    def entry(self, home: Home, snapshot: Snapshot, dataset: str) -> Entry:
        """What the snapshot's manifest says of `dataset`.

        Raises:
            NotFoundError: It has no such dataset, or has expired.
        """
        found = self._again(home, snapshot)
        if dataset not in found.entries:
            known = sorted(found.entries)
            near = difflib.get_close_matches(dataset, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise NotFoundError(
                f"snapshot {snapshot.sequence} of {snapshot.product!r} has no dataset {dataset!r}",
                where=snapshot.product,
                fix=f"{hint}it has {', '.join(known) or 'none'}",
            )
        return found.entries[dataset]

    def _read(self, home: Home, sequence: int) -> Manifest:
        path = home.manifest(sequence)
        found = path.stat()
        mark = (found.st_ino, found.st_mtime_ns, found.st_size)
        return self._parsed(path, home.product, sequence, mark)

    def _take(self, home: Home, ref: Ref) -> tuple[Manifest, locks.Held]:
        for _ in range(_ATTEMPTS):
            found = self.resolve(home, ref)
            path = home.manifest(found.snapshot.sequence)
            with disk.guarded(path):
                held = self._holds.take(path)
                if held is not None and self._is_still(home, found.snapshot):
                    return found, held
                if held is not None:
                    self._holds.drop(held)
        raise _restless(home)

    def _is_still(self, home: Home, snapshot: Snapshot) -> bool:
        """Whether no erasure came between reading the manifest and holding it."""
        with suppress(FileNotFoundError):  # expired since
            return self._read(home, snapshot.sequence).snapshot.content_id == snapshot.content_id
        return False

    def _again(self, home: Home, snapshot: Snapshot) -> Manifest:
        with suppress(OSError):  # the long way says what is wrong
            found = self._read(home, snapshot.sequence)
            if found.snapshot.id == snapshot.id:
                return found
        return self.resolve(home, snapshot.id)


def _parse(path: Path, product: str, sequence: int, _mark: tuple[int, int, int]) -> Manifest:
    return manifest.read(path, product=product, sequence=sequence)


def _restless(home: Home) -> StoreError:
    message = f"snapshots of {home.product!r} were removed as fast as they could be found"
    return StoreError(message, where=str(home.folder), fix="expire less often, or keep more")
