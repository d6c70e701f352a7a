"""Folders and files that a build writes: safe names, atomic documents, a scratch folder that ends with its run."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as percent
from uuid import uuid4

from polyport.errors import ConflictError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def safe(name: str) -> str:
    """`name` as one file or folder name; different names give different ones."""
    quoted = percent(name, safe=" ")
    return quoted.replace(".", "%2E") if not quoted.strip(". ") or quoted[0] == "." else quoted


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A block in which an `OSError` becomes a `StoreError` that names `path` and what to do.

    Raises:
        StoreError: The block met an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write: {error.strerror or error}", where=str(path), fix=_remedy(error)
        ) from error


def _remedy(error: OSError) -> str:
    if error.errno in _FULL:
        return "free some space, then build again"
    if error.errno in _FORBIDDEN:
        return "make the folder writable for whoever builds"
    return "check the folder, then build again"


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Put `document` at `path` as JSON: whole or not at all, and durable when it returns.

    Raises:
        StoreError: No space, or no permission.
    """
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("w", encoding="utf-8") as file:
                json.dump(document, file, ensure_ascii=False, indent=1)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def scratch_folder(root: Path, run: str) -> Iterator[Path]:
    """An empty folder `root/<run>`, gone at exit; first clears those whose process has died.

    Raises:
        StoreError: No space, or no permission.
        ConflictError: The run is already going on.
    """
    folder = root / safe(run)
    lock = root / f"{folder.name}.lock"
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        for stale in root.glob("*.lock"):
            _clear(stale)
        descriptor = _lock(lock)
    if descriptor is None:
        raise ConflictError(f"run {run} is going on in another process", where=str(folder))
    try:
        with writing(folder):
            folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _clear(lock: Path) -> None:
    descriptor = _lock(lock)
    if descriptor is None:
        return
    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
    lock.unlink(missing_ok=True)
    os.close(descriptor)


def _lock(path: Path) -> int | None:
    """A descriptor that holds `path` alone until it is closed or the process ends; None: another holds it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        # Someone may have removed the file between the two calls: then the lock is on nothing.
        with suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        os.close(descriptor)
