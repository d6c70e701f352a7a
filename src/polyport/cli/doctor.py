"""`polyport doctor`."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal

import click

from polyport.cli import console
from polyport.cli.options import folder_argument, json_option
from polyport.descriptor.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from polyport.model import Snapshot
    from polyport.product import Product

NEEDED = (
    "duckdb",
    "pyarrow",
    "sqlalchemy",
    "starlette",
    "uvicorn",
    "python-calamine",
    "httpx",
)
EXTRAS = {"ibis": "ibis", "adbc": "adbc_driver_manager", "oidc": "jwt"}
LITTLE_SPACE = 2_000_000_000
MARKS = {"ok": console.good("✓"), "note": console.dim("·"), "bad": console.bad("✗")}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    state: Literal["ok", "note", "bad"]
    what: str
    detail: str


@click.command()
@folder_argument
@json_option
def doctor(folder: Path, as_json: bool) -> None:
    """Is this machine ready, and is the state of the products in DIR well? Exit status 1 if something is not."""
    from polyport.errors import ConfigurationError
    from polyport.mesh import Mesh

    found = [*_machine(folder), *_packages(), *_walls()]
    try:
        with Mesh.find(folder) as mesh:
            products, wrong = mesh.readable(folder)
            for product in products:
                found += _product(product)
            found += (Finding("bad", name, error.message) for name, error in wrong.items())
    except ConfigurationError as error:
        found.append(Finding("note", "products", error.message))
    if as_json:
        console.say_json([asdict(f) for f in found])
    else:
        for finding in found:
            console.say(f"{MARKS[finding.state]} {finding.what.ljust(28)} {finding.detail}")
    if any(f.state == "bad" for f in found):
        raise click.exceptions.Exit(1)


def _machine(folder: Path) -> Iterator[Finding]:
    yield Finding("ok", "Python", f"{platform.python_version()}, {os.cpu_count()} cores")
    free = shutil.disk_usage(folder).free
    yield Finding(
        "ok" if free > LITTLE_SPACE else "bad", "disk", f"{console.size(free)} free at {folder}"
    )
    writable = os.access(folder, os.W_OK)
    yield Finding(
        "ok" if writable else "bad",
        "folder",
        "can be written" if writable else f"{folder} is read-only",
    )


def _packages() -> Iterator[Finding]:
    for name in NEEDED:
        try:
            yield Finding("ok", name, version(name))
        except PackageNotFoundError:
            yield Finding("bad", name, "is missing: pip install polyport")
    for extra, module in EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        yield Finding(
            "ok" if there else "note",
            f"extra {extra}",
            "installed" if there else f"pip install 'polyport[{extra}]'",
        )


def _walls() -> Iterator[Finding]:
    """What stands around consumers' SQL."""
    from polyport.engine.walled.standing import walls
    from polyport.errors import PolyportError

    try:
        for wall in walls():
            yield Finding("ok" if wall.stands else "note", f"wall: {wall.name}", wall.detail)
    except PolyportError as error:
        yield Finding("note", "walls", error.message)


def _product(product: Product) -> Iterator[Finding]:
    from polyport.errors import PolyportError

    name = product.spec.id
    try:
        history = product.history()
    except PolyportError as error:
        yield Finding("bad", name, f"{error.where}: {error.message}")
        return
    if not history:
        yield Finding("note", name, "no snapshot yet: polyport build")
        return
    damage = [found for snapshot in history for found in _damage(product, snapshot)]
    yield from (Finding("bad", name, found) for found in damage)
    if not damage:
        kept = plural(len(history), "snapshot")
        yield Finding(
            "ok", name, f"{kept}, newest {history[-1].sequence}; every file is there and whole"
        )


def _damage(product: Product, snapshot: Snapshot) -> Iterator[str]:
    """What is wrong with the files of a snapshot; only their footers are read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for dataset in snapshot.datasets.values():
        rows, broken = 0, False
        for file in product.store.files(snapshot, dataset.name):
            try:
                rows += pq.read_metadata(file).num_rows
            except (OSError, pa.ArrowException) as error:
                broken = True
                reason = "is missing" if isinstance(error, FileNotFoundError) else "is damaged"
                yield f"snapshot {snapshot.sequence}, {dataset.name}: {file} {reason}"
        if not broken and rows != dataset.rows:
            yield (
                f"snapshot {snapshot.sequence}, {dataset.name}: "
                f"the files hold {rows:,} rows instead of {dataset.rows:,}"
            )
