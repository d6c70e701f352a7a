"""`polyport serve`."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from polyport.cli import console
from polyport.cli.options import folder_argument

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from polyport.product import Product


@click.command()
@folder_argument
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="An address of this machine only: there is no login yet.",
)
@click.option(
    "--port",
    default=8400,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Where to listen.",
)
def serve(folder: Path, host: str, port: int) -> None:
    """Open every output port of the product in DIR, or of each product of a mesh."""
    from polyport import server
    from polyport.mesh import Mesh

    with ended_by_signal(), Mesh.find(folder) as mesh:
        products = mesh.at(folder)
        server.check_address(host, port)
        show_addresses(products, f"http://{host}:{port}")
        console.talk(console.dim("\nNo login: only this machine can reach it. Ctrl-C ends it."))
        server.serve(products, host=host, port=port)


@contextmanager
def ended_by_signal() -> Iterator[None]:
    """Lets SIGTERM end the block as Ctrl-C does: the ledger is written, temporary folders go, the exit status is 0."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def show_addresses(products: Sequence[Product], base: str) -> None:
    """For each product, a line a port that works when pasted."""
    from polyport import server

    for product in products:
        console.talk(
            f"\n{console.bold(product.spec.name)}  {base}{server.address(product.spec.id)}"
        )
        if not product.history():
            console.talk(
                f"  {console.warning('no snapshot yet')}: polyport build {console.pasted(product.spec.home)}"
            )
        for name, line in server.client_lines(product, base).items():
            console.talk(f"  {console.accent(name.ljust(8))} {line}")
