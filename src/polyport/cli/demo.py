"""`polyport demo`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from polyport.cli import console

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from polyport.product import Product

SHOWN = 6
IGNORED = shutil.ignore_patterns(".polyport", "__pycache__", "drive", "make_inputs.py")


@click.command()
@click.argument(
    "folder", type=click.Path(path_type=Path), default=Path("messflix-demo"), metavar="[DIR]"
)
@click.option("--no-serve", is_flag=True, help="Build, print, and end.")
@click.option(
    "--next", "second", is_flag=True, help="First bring in the second state of the inputs."
)
@click.option(
    "--port",
    default=8400,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Where to listen.",
)
@click.option("--json", "as_json", is_flag=True, help="The runs as JSON.")
def demo(folder: Path, no_serve: bool, second: bool, port: int, as_json: bool) -> None:
    """Build the three Messflix products in DIR from real film data, say what was done, and serve them."""
    from polyport import server
    from polyport.cli.build import show_build
    from polyport.cli.serve import ended_by_signal
    from polyport.ledger.records import as_document
    from polyport.mesh import Mesh

    started = time.perf_counter()
    source = _source()
    if not folder.exists():
        shutil.copytree(source, folder, ignore=IGNORED)
    if second:
        _bring_in_next(folder)
    week = 2 if (folder / ".second-state").exists() else 1
    if not no_serve:
        server.check_address(server.Listening(port=port))
    with ended_by_signal(), _popularity_service(folder, week), Mesh.find(folder) as mesh:
        products = mesh.at(folder)
        results = [show_build(product, quiet=as_json) for product in products]
        if as_json:
            console.say_json([as_document(result.run) for result in results])
            return
        _show_summary(products, time.perf_counter() - started)
        if no_serve:
            console.talk(f"\n{console.dim('Next:')} polyport serve {folder}")
            return
        _show_addresses(products, f"http://127.0.0.1:{port}")
        server.serve(products, server.Listening(port=port))


def _source() -> Path:
    """The example: in a checkout, or in the installed package."""
    import polyport

    package = Path(polyport.__file__).parent
    checkout = package.parents[1] / "examples" / "messflix"
    return checkout if checkout.is_dir() else package / "examples" / "messflix"


def _bring_in_next(folder: Path) -> None:
    """Copy each `inputs-next` over the `inputs` beside it, removing what its `REMOVED` file lists."""
    for newer in folder.rglob("inputs-next"):
        target = newer.with_name("inputs")
        shutil.copytree(newer, target, dirs_exist_ok=True)
        removed = newer / "REMOVED"
        for name in removed.read_text("utf-8").split() if removed.exists() else ():
            (target / name).unlink(missing_ok=True)
    (folder / ".second-state").touch()


@contextmanager
def _popularity_service(folder: Path, week: int) -> Iterator[None]:
    """The outside API of the example, as a process of its own on a free port of this machine."""
    command = [
        sys.executable,
        str(folder / "api" / "server.py"),
        "--port",
        "0",
        "--week",
        str(week),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - the example's own file
        try:
            line = process.stdout.readline() if process.stdout else ""
            os.environ["POPULARITY_API_URL"] = line.strip()
            yield
        finally:
            process.terminate()


def _show_summary(products: Sequence[Product], seconds: float) -> None:
    from polyport.access import Order
    from polyport.model import OWNER

    product = products[0]
    with product.open(OWNER, port="cli") as view:
        name = next(iter(view.snapshot.datasets))
        names = [n for n in _columns(product, name) if n in view.schema(name).names]
        measure = next(
            (p.name for p in product.spec.objects[name].properties if p.semantic_type == "measure"),
            "",
        )
        order = [Order(measure, descending=True)] if measure in names else []
        with view.scan(name, columns=names, order=order, limit=SHOWN) as reader:
            rows = reader.read_all().to_pylist()
    console.talk(
        f"\n{console.bold(name)} {console.dim(f'of {product.spec.name}, the largest {SHOWN}')}\n"
    )
    for line in console.table(names, [list(row.values()) for row in rows], right=(names[-1],)):
        console.say("  " + line)
    repaired, refused = _totals(products)
    built = ", ".join(f"{p.spec.name} {p.history()[-1].sequence}" for p in products)
    console.talk(
        f"\n{console.good('✓')} {repaired:,} rows repaired, {refused:,} set aside; snapshots: {built}"
    )
    console.talk(console.dim(f"  {seconds:.1f} s in all"))


def _columns(product: Product, dataset: str) -> list[str]:
    """The key, and what a person looks at first: dimensions, then measures; at most six."""
    properties = product.spec.objects[dataset].properties
    first = [p.name for p in properties if p.name in ("title", "release_date", "distributor")]
    measures = [p.name for p in properties if p.semantic_type == "measure"]
    return list(dict.fromkeys([*first, *measures]))[:SHOWN] or [p.name for p in properties][:SHOWN]


def _totals(products: Sequence[Product]) -> tuple[int, int]:
    """Rows repaired and rows set aside in the newest run of each product that published."""
    repaired = refused = 0
    for product in products:
        for run in product.ledger.runs(product.spec.id, limit=1):
            repaired += sum(sum(step.repaired.values()) for step in run.steps)
            refused += sum(sum(step.refused.values()) for step in run.steps)
    return repaired, refused


def _show_addresses(products: Sequence[Product], base: str) -> None:
    from polyport.cli.serve import show_addresses

    show_addresses(products, base)
    home = products[0].spec.home
    console.talk(
        f"\n{console.dim('In another terminal:')} polyport demo --next --no-serve, then polyport diff {home}"
    )
    console.talk(console.dim("No login: only this machine can reach it. Ctrl-C ends it."))
