"""Where things lie in a local store: names of folders and files, and the way back.

<root>/<product>/snapshots/00000042.json     the manifest: what snapshot 42 consists of
<root>/<product>/data/<run>/*.parquet        rows, where the run wrote them
<root>/<product>/data/<run>.lock             there as long as the run, and locked as long as it lives
<root>/<product>/iceberg/<dataset>/<run>/    Iceberg metadata over the same Parquet files
<root>/<product>/tags/<name>                 a sequence and an id
<root>/<product>/lock                        taken by who publishes, tags or expires; never by readers
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from polyport.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UNSAFE = re.compile(rb"^\.|[^A-Za-z0-9._-]")
_ESCAPE = re.compile(rb"~([0-9A-F]{2})")
_MANIFEST = re.compile(r"([0-9]{8,})\.json")
_LONGEST = 200
"""Of a name, in bytes: a file system takes 255, and suffixes come on top."""


def safe(name: str) -> str:
    """A name as one part of a path: all but letters, digits and `._-` as `~XX`, `%` being for URLs, `=` for Hive.

    Raises:
        ConfigurationError: It is empty, or too long.
    """
    text = _UNSAFE.sub(lambda m: b"~%02X" % m.group()[0], name.encode("utf-8", "surrogatepass"))
    if not text or len(text) > _LONGEST:
        raise ConfigurationError(
            f"{name[:40]!r} cannot be the name of a folder: it has {len(text)} characters",
            fix=f"use a name of 1 to {_LONGEST} letters, digits, '.', '_' or '-'",
        )
    return text.decode("ascii")


def plain(text: str) -> str:
    """The name that `safe` made `text` from."""
    raw = _ESCAPE.sub(lambda m: bytes([int(m.group(1), 16)]), text.encode("ascii"))
    return raw.decode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Home:
    """One product's folder in a store."""

    root: Path
    """Absolute, without symbolic links."""
    product: str
    folder: Path
    snapshots: Path = field(init=False)
    """The folder of manifests."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "snapshots", self.folder / "snapshots")

    @classmethod
    def of(cls, root: Path, product: str) -> Home:
        """The folder of a product; it need not exist."""
        return cls(root, product, root / safe(product))

    @property
    def data(self) -> Path:
        """The folder of runs."""
        return self.folder / "data"

    @property
    def iceberg(self) -> Path:
        """The folder of Iceberg metadata."""
        return self.folder / "iceberg"

    @property
    def tags(self) -> Path:
        """The folder of tags."""
        return self.folder / "tags"

    @property
    def mutex(self) -> Path:
        """The lock file of who publishes, tags or expires."""
        return self.folder / "lock"

    @property
    def expiring(self) -> Path:
        """There while snapshots go: where it is found, one who removed them was cut off."""
        return self.folder / "expiring"

    def make(self) -> None:
        """Make the folders."""
        for folder in (self.snapshots, self.data, self.iceberg, self.tags):
            folder.mkdir(parents=True, exist_ok=True)

    def manifest(self, sequence: int) -> Path:
        """The manifest of a snapshot."""
        return _manifest(self.snapshots, sequence)

    def staging(self, run: str) -> Path:
        """The folder that a run writes to."""
        return self.data / safe(run)

    def lock(self, run: str) -> Path:
        """The lock file of a run."""
        return self.data / f"{safe(run)}.lock"

    def sequences(self) -> list[int]:
        """The sequences of all kept snapshots, oldest first: one directory listing."""
        try:
            names = os.listdir(self.snapshots)  # noqa: PTH208 - 1,000 names in a third of the time
        except FileNotFoundError:
            return []
        return sorted(int(found.group(1)) for name in names if (found := _MANIFEST.fullmatch(name)))

    def locks(self) -> list[Path]:
        """The lock files of runs that live or have crashed."""
        return sorted(self.data.glob("*.lock")) if self.data.is_dir() else []

    def runs(self) -> Iterator[tuple[str, Path]]:
        """Folder name of a run, and each folder with files of it."""
        places = [self.data, *(self.iceberg.iterdir() if self.iceberg.is_dir() else ())]
        for place in places:
            if place.is_dir():
                yield from ((path.name, path) for path in sorted(place.iterdir()) if path.is_dir())

    def of_run(self, name: str) -> Iterator[Path]:
        """Each folder with files of the run whose folder is called `name`."""
        places = [self.data, *(self.iceberg.iterdir() if self.iceberg.is_dir() else ())]
        yield from (place / name for place in places if (place / name).is_dir())

    def relative(self, path: Path) -> str:
        """A path as manifests hold it: relative to the store's root, with `/`."""
        return path.relative_to(self.root).as_posix()


@lru_cache(maxsize=4096)
def _manifest(folder: Path, sequence: int) -> Path:
    return folder / f"{sequence:08d}.json"
