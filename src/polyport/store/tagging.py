"""Tags: names that people give to snapshots, one small file each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from polyport.errors import StoreError
from polyport.store import disk

if TYPE_CHECKING:
    from pathlib import Path

    from polyport.model import Snapshot
    from polyport.store.layout import Home


def read(home: Home) -> dict[str, int]:
    """Tag -> sequence, by name.

    Raises:
        StoreError: A tag's file is damaged.
    """
    if not home.tags.is_dir():
        return {}
    paths = sorted(path for path in home.tags.iterdir() if not path.name.startswith("."))
    return {path.name: _sequence(path) for path in paths}


def _sequence(path: Path) -> int:
    text = path.read_bytes()
    try:
        return int(json.loads(text)["sequence"])
    except (ValueError, LookupError, TypeError) as error:
        message = f"the tag {path.name!r} is damaged: {error}"
        raise StoreError(message, where=str(path), fix="tag the snapshot again") from error


def write(home: Home, name: str, snapshot: Snapshot) -> None:
    """Make `name` a tag of the snapshot. Only under the product's lock, so that it cannot expire meanwhile."""
    data = json.dumps({"sequence": snapshot.sequence, "id": snapshot.id}).encode() + b"\n"
    disk.replace(home.tags / name, data, draft=home.tags / ".draft")


def remove(home: Home, name: str) -> None:
    """Take the tag `name` away. Only under the product's lock."""
    (home.tags / name).unlink(missing_ok=True)
