"""`polyport serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from polyport.cli import console
from polyport.cli.options import folder_argument

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from polyport.product import Product


@click.command()
@folder_argument
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8400, show_default=True, type=click.IntRange(1, 65535))
def serve(folder: Path, host: str, port: int) -> None:
    """Open every output port of the product in DIR, or of each product of a mesh."""
    from polyport import server
    from polyport.mesh import Mesh

    with Mesh.find(folder) as mesh:
        products = mesh.at(folder)
        show_addresses(products, f"http://{host}:{port}")
        console.talk(console.dim("\nNo login: only this machine can reach it. Ctrl-C ends it."))
        server.serve(products, host=host, port=port)


def show_addresses(products: Sequence[Product], base: str) -> None:
    """For each product, a line a port that works when pasted."""
    from polyport import server

    for product in products:
        console.talk(
            f"\n{console.bold(product.spec.name)}  {base}{server.address(product.spec.id)}"
        )
        if not product.history():
            console.talk(
                f"  {console.warning('no snapshot yet')}: polyport build {product.spec.home}"
            )
        for name, line in server.client_lines(product, base).items():
            console.talk(f"  {console.accent(name.ljust(8))} {line}")
