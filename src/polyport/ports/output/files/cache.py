"""Rendered files, each made once: a folder bounded in bytes, the least recently used ones going first."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import weakref
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from polyport.errors import StoreError
from polyport.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

LIMIT = 2 * 2**30


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Path
    size: int
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Held:
    """A rendered file, open to be read: it stays whole until it is closed, whatever the cache does. Close `file`."""

    file: BinaryIO
    size: int
    rows: Mapping[str, int]
    """Dataset -> rows that are in it."""
    fresh: bool
    """It was rendered for this very request."""


class Cache:
    """Files by key. Safe over threads: of several that ask for the same, one renders and the others wait."""

    def __init__(self, folder: Path | None = None, *, limit: int = LIMIT) -> None:
        """An empty cache in a new folder below `folder` (default: the system's for temporary files).

        The new folder goes away at `close`, or at the latest with the cache itself.
        """
        self._parent = folder
        self._limit = limit
        self._folder: Path | None = None
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._digests: dict[str, str] = {}
        self._turns: dict[str, tuple[threading.Lock, int]] = {}
        self._guard = threading.Lock()
        self._made = 0
        self._finalizer: weakref.finalize[..., Cache] | None = None

    @property
    def bytes(self) -> int:
        """What the files in it come to."""
        return sum(entry.size for entry in list(self._entries.values()))

    def size(self, key: str) -> int | None:
        """The size of the file `key`; None where it is not there."""
        with self._guard:
            entry = self._entries.get(key)
        return None if entry is None else entry.size

    def sha256(self, key: str) -> str:
        """The digest of the file `key`, in hexadecimal; empty where it is not there. Made once."""
        with self._guard:
            entry = self._entries.get(key)
            known = self._digests.get(key, "")
        if entry is None or known:
            return known if entry else ""
        try:
            with entry.path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:  # it went while we came
            return ""
        with self._guard:
            self._digests[key] = found
            self._digests = {k: d for k, d in self._digests.items() if k in self._entries}
        return found

    def get(self, key: str, render: Callable[[BinaryIO], Mapping[str, int]]) -> Held:
        """The file `key`, rendered if it is not there yet; `render` writes it and says the rows of each dataset.

        Raises:
            StoreError: It cannot be written: no space, or no permission.
        """
        return self._held(key) or self._waited(key, render)

    def close(self) -> None:
        """Remove all files. Those that are being read stay readable."""
        with self._guard:
            self._entries.clear()
            self._folder = None
            if self._finalizer is not None:
                self._finalizer()

    def _held(self, key: str) -> Held | None:
        with self._guard:
            entry = self._entries.get(key)
            if entry is None:
                return None
            try:
                file = entry.path.open("rb")
            except FileNotFoundError:  # an erasure removed it
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return Held(file, entry.size, entry.rows, fresh=False)

    def _waited(self, key: str, render: Callable[[BinaryIO], Mapping[str, int]]) -> Held:
        with self._turn(key):
            return self._held(key) or self._rendered(key, render)

    @contextmanager
    def _turn(self, key: str) -> Iterator[None]:
        """One at a time for each key; a lock lives as long as somebody wants it."""
        with self._guard:
            lock, wanted = self._turns.get(key, (threading.Lock(), 0))
            self._turns[key] = lock, wanted + 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, wanted = self._turns.pop(key)
                if wanted > 1:
                    self._turns[key] = lock, wanted - 1

    def _rendered(self, key: str, render: Callable[[BinaryIO], Mapping[str, int]]) -> Held:
        try:
            return self._written(key, render)
        except OSError as error:
            raise StoreError(
                f"an export cannot be written: {error.strerror or error}",
                where=str(self._folder or self._parent or tempfile.gettempdir()),
                fix="free some space there, or set TMPDIR to another folder",
            ) from error

    def _written(self, key: str, render: Callable[[BinaryIO], Mapping[str, int]]) -> Held:
        path = self._new_path()
        begun = path.with_suffix(".part")
        try:
            with begun.open("wb") as sink:
                rows = render(sink)
            begun.replace(path)
        finally:
            begun.unlink(missing_ok=True)
        file = path.open("rb")
        entry = _Entry(path, path.stat().st_size, rows)
        self._admit(key, entry)
        return Held(file, entry.size, rows, fresh=True)

    def _new_path(self) -> Path:
        with self._guard:
            if self._folder is None:
                scratch = Scratch(self._parent, "polyport-files-")
                self._folder = scratch.folder
                self._finalizer = weakref.finalize(self, scratch.remove)
            self._made += 1
            return self._folder / f"{self._made:08d}"

    def _admit(self, key: str, entry: _Entry) -> None:
        with self._guard:
            if self._folder != entry.path.parent:
                entry.path.unlink(missing_ok=True)
                return
            self._entries[key] = entry
            total = sum(e.size for e in self._entries.values())
            while total > self._limit:
                _, oldest = self._entries.popitem(last=False)
                oldest.path.unlink(missing_ok=True)
                total -= oldest.size
