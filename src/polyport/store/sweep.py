"""Removes files that no snapshot refers to. Only under the product's lock, which stops publishing and staging."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from polyport.store import locks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from polyport.store.layout import Home


@contextmanager
def crashed(home: Home, *, tidy: bool = True) -> Iterator[frozenset[str]]:
    """The runs (folder names) that ended without tidying up; after the block they count as tidied up.

    They are locked within the block. If it fails, or without `tidy`, their locks stay for the next one to find.
    """
    taken: dict[Path, int] = {}
    try:
        for path in home.locks():
            descriptor = locks.seize(path)
            if descriptor is not None:
                taken[path] = descriptor
        yield frozenset(path.stem for path in taken)
        for path in taken if tidy else ():
            path.unlink()
    finally:
        for descriptor in taken.values():
            os.close(descriptor)


def live(home: Home) -> frozenset[str]:
    """The runs (folder names) that have a lock file, whoever holds it."""
    return frozenset(path.stem for path in home.locks())


def unused(home: Home, runs: Collection[str], needed: Collection[str]) -> dict[Path, int]:
    """Bytes of each file of `runs` that is not `needed` (relative to the store's root)."""
    files = [path for run in runs for folder in home.of_run(run) for path in _files(folder)]
    return {path: path.lstat().st_size for path in files if home.relative(path) not in needed}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]


def remove(home: Home, runs: Collection[str], files: Collection[Path]) -> None:
    """Remove `files`, then the folders of `runs` that are empty."""
    for path in files:
        path.unlink(missing_ok=True)
    for run in runs:
        for folder in home.of_run(run):
            _prune(folder)
    if home.iceberg.is_dir():
        for dataset in list(home.iceberg.iterdir()):
            _remove_empty(dataset)


def _prune(folder: Path) -> None:
    inner = sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True)
    for path in (*inner, folder):
        _remove_empty(path)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # not empty: somebody needs what is in it
        folder.rmdir()
