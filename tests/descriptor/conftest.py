"""A small, good product folder, and what is done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

TYPES = {
    "input": ("files", "spreadsheet", "http", "database", "product"),
    "output": ("rest", "files"),
}


@pytest.fixture
def write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Mapping[str, str | bytes | None]], Path]:
    """Writes files below the working folder (None: removes one); that folder."""
    monkeypatch.chdir(tmp_path)

    def written(files: Mapping[str, str | bytes | None]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return written
