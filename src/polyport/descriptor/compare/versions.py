"""Semantic versions, as far as contracts and ports use them."""

from __future__ import annotations

import re
from typing import NamedTuple

_VERSION = re.compile(r"[vV]?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:[-+].*)?", re.DOTALL)


class Version(NamedTuple):
    """`major.minor.patch`; what follows is not compared."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return ".".join(map(str, self))


def read(text: object) -> Version | None:
    """The version that `text` is: `1.4.0`, `v1.4`, `1`; None for anything else."""
    found = _VERSION.fullmatch(str(text).strip())
    return Version(*(int(part or 0) for part in found.groups())) if found else None


def raised(text: str, level: str | None) -> str:
    """`text` with its part `level` (MAJOR, MINOR, PATCH) raised by one; None: as it is. Empty for no version."""
    version = read(text)
    if version is None:
        return ""
    match level:
        case "MAJOR":
            return str(Version(version.major + 1, 0, 0))
        case "MINOR":
            return str(Version(version.major, version.minor + 1, 0))
        case "PATCH":
            return str(Version(version.major, version.minor, version.patch + 1))
        case _:
            return str(version)
