"""Where clients lie that are no package of this environment; a test of one that is missing skips, and says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FETCHED = Path(__file__).parents[1] / ".clients"
"""What `make clients` and `.ci/run` fetch."""
NODE_MODULES = "POLYPORT_NODE_MODULES"
"""A folder with the npm package `pg`."""
OLD_DUCKDB = "POLYPORT_DUCKDB_1_5"
"""A folder with duckdb 1.5.5 and duckdb-extension-postgres-scanner, as `pip install --target` makes it."""


def program(name: str) -> str:
    return shutil.which(name) or pytest.skip(f"{name} is not installed")


def run(*command: object, **environment: str) -> str:
    """What a program says that ended well."""
    ran = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return ran.stdout


def node_modules() -> Path:
    places = (os.environ.get(NODE_MODULES, ""), FETCHED / "usr/share/nodejs", "/usr/share/nodejs")
    for place in map(Path, filter(None, places)):
        if (place / "pg").is_dir():
            return place
    return pytest.skip(f"Debian's node-pg is not installed, and {NODE_MODULES} names no folder")


def old_duckdb(script: str, *arguments: object) -> str:
    """What a script says in DuckDB 1.5.5: the extension does not load into DuckDB 2."""
    place = Path(os.environ.get(OLD_DUCKDB) or FETCHED / "duckdb-1.5")
    if not (place / "duckdb").is_dir():
        pytest.skip(f"`make clients` has not run, and {OLD_DUCKDB} names no folder")
    return run(sys.executable, "-c", script, *arguments, PYTHONPATH=str(place))
