"""Durable writes to a local disk, and `OSError` as `StoreError` with something to do about it."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from polyport.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_FOLDER = {errno.ENOTDIR, errno.EEXIST, errno.ENOENT}


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """A block in which an `OSError` becomes a `StoreError` about its own path, or else about `path`.

    Raises:
        StoreError: The block met an `OSError`.
    """
    try:
        yield
    except OSError as error:
        named = error.filename if isinstance(error.filename, str) else str(path)
        reason = error.strerror or str(error)
        message = f"the store at {str(path)!r} failed: {reason}"
        raise StoreError(message, where=named, fix=_fix(error.errno, named)) from error


def _fix(number: int | None, path: str) -> str:
    if number in _FULL:
        return "free some space, or expire old snapshots; what was begun is removed"
    if number in _FORBIDDEN:
        return f"make {path!r} writable for this user, or choose another folder for the store"
    if number in _NO_FOLDER:
        return f"choose a folder for the store in which {path!r} can exist"
    return "check the disk and its permissions"


def sync_file(path: Path) -> None:
    """Make the contents of a file survive a power cut."""
    _sync(path, os.O_RDONLY)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(files: Iterable[Path], top: Path) -> None:
    """Make files survive a power cut, with all folders between them and `top`."""
    folders: set[Path] = set()
    for file in files:
        sync_file(file)
        folders.update(parent for parent in file.parents if parent.is_relative_to(top))
    for folder in sorted(folders, reverse=True):
        sync_folder(folder)


def write(path: Path, data: bytes) -> None:
    """A new file that survives a power cut (its name only once its folder is synced).

    Raises:
        FileExistsError: There is one already.
    """
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def put_if_absent(path: Path, data: bytes, *, draft: Path) -> None:
    """The file `path`, whole or not at all; `draft` is a new name on the same disk, which stays.

    Raises:
        FileExistsError: Someone else has made it; nothing is changed.
        OSError: It could not be made; nothing is visible.
    """
    write(draft, data)
    os.link(draft, path)
    try:
        sync_folder(path.parent)
    except OSError:
        with suppress(FileNotFoundError):
            path.unlink()
        raise


def replace(path: Path, data: bytes, *, draft: Path) -> None:
    """The file `path` with new contents, the old ones until then. One writer at a time."""
    with suppress(FileNotFoundError):
        draft.unlink()
    write(draft, data)
    draft.replace(path)
    sync_folder(path.parent)
