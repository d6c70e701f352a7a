"""Conformance material that is kept beside the repository, where it is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def conformance(*parts: str) -> Path:
    """A file or folder of the standards' own material; the test is skipped where it is not there."""
    given = os.environ.get("POLYPORT_CONFORMANCE")
    roots = [Path(given)] if given else []
    roots += [above / "shared/conformance" for above in Path(__file__).resolve().parents]
    for root in roots:
        if root.joinpath(*parts).exists():
            return root.joinpath(*parts)
    pytest.skip(f"no shared/conformance/{'/'.join(parts)} above the repository")
