"""`polyport lineage`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from polyport.cli import console
from polyport.cli.options import folder_alone, folder_argument, json_option, one_product

if TYPE_CHECKING:
    from pathlib import Path

    from polyport.ledger.lineage import Direction, Graph, Node
    from polyport.product import Product


@click.command()
@click.argument("what", default="", metavar="[DATASET[.COLUMN]]")
@folder_argument
@click.option("--up", is_flag=True, help="Only what it is made from.")
@click.option("--down", is_flag=True, help="Only what is made from it.")
@click.option("--depth", default=0, metavar="N", help="At most N edges away; default: all the way.")
@json_option
def lineage(what: str, folder: Path, up: bool, down: bool, depth: int, as_json: bool) -> None:
    """What a dataset or column is made from, and what is made from it, also in other products."""
    from polyport.ledger import lineage as graphs

    what, folder = folder_alone(what, folder)
    direction: Direction = "both" if up == down else "up" if up else "down"
    with one_product(folder) as product:
        whole, start = _found(product, what)
        shown = graphs.walk(whole, start, direction=direction, depth=depth)
        if as_json:
            console.say_json(graphs.as_document(shown))
            return
        for node in start:
            console.say(console.bold(_name(node, product)))
            for way in ("up", "down"):
                if direction in (way, "both"):
                    _tree(shown, node, product, up=way == "up")


def _found(product: Product, what: str) -> tuple[Graph, list[Node]]:
    from polyport.errors import NotFoundError
    from polyport.ledger import lineage as graphs

    dataset, _, column = what.partition(".")
    whole = graphs.Standing(product.ledger.journal).graph()
    start = graphs.chosen(whole, product.identifier, dataset=dataset, column=column)
    if not start:
        raise NotFoundError(
            f"no lineage of {what or product.spec.id!r}",
            fix=f"datasets: {', '.join(product.spec.objects)}; polyport build makes it",
        )
    return whole, start


def _tree(
    shown: Graph, node: Node, product: Product, *, up: bool, above: tuple[Node, ...] = ()
) -> None:
    edges = [e for e in shown.edges if (e.target if up else e.source) == node]
    for edge in sorted(edges):
        end = edge.source if up else edge.target
        if bool(end.column) != bool(node.column) or end in above:
            continue
        kind = f"  {console.dim(edge.kind.lower())}" if edge.kind else ""
        console.say(f"{'  ' * (len(above) + 1)}{'←' if up else '→'} {_name(end, product)}{kind}")
        _tree(shown, end, product, up=up, above=(*above, node))


def _name(node: Node, product: Product) -> str:
    name = ".".join(filter(None, (node.name, node.column)))
    return name if node.namespace == product.identifier else f"{node.namespace}  {name}"
