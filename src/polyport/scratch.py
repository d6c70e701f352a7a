"""A folder for as long as this process lives; if it is killed, the next process that wants one tidies up."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK = ".lock"


class Scratch:
    """A new folder, locked: who can take the lock of one knows that its process is gone."""

    def __init__(self, parent: Path | None, prefix: str) -> None:
        """Make one below `parent` (default: the system's folder for temporary files), and remove abandoned ones.

        `prefix`: what the names of such folders begin with.

        Raises:
            OSError: `parent` cannot be written.
        """
        where = Path(tempfile.gettempdir()) if parent is None else parent
        where.mkdir(parents=True, exist_ok=True)
        for folder, lock in _abandoned(where, prefix):
            with lock:
                shutil.rmtree(folder, ignore_errors=True)
        # locked before it has the name by which others find it
        made = Path(tempfile.mkdtemp(prefix=f".{prefix}", dir=where))
        self._lock = (made / _LOCK).open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.folder = made.rename(where / made.name.removeprefix("."))

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()


def _abandoned(where: Path, prefix: str) -> Iterator[tuple[Path, BinaryIO]]:
    """Folders of this user that no process holds, each with its lock taken."""
    for folder in where.glob(f"{prefix}*"):
        try:
            if folder.is_symlink() or folder.lstat().st_uid != os.getuid():
                continue
            lock = (folder / _LOCK).open("rb")
        except OSError:  # its process has just removed it
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
        else:
            yield folder, lock
