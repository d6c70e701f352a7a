"""`polyport rows`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from polyport.cli import console
from polyport.cli.options import folder_alone, folder_argument, json_option, one_product
from polyport.descriptor.text import plural

if TYPE_CHECKING:
    from pathlib import Path

    from polyport.expression import Expression


@click.command()
@click.argument("dataset", required=False, default="")
@folder_argument
@click.option(
    "--where", default="", help="A filter: \"release_year >= 1990 and distributor = 'Fox'\"."
)
@click.option("--columns", default="", help="Names, with commas between; default: all.")
@click.option(
    "--sort", default="", help="Names, with commas between; -name for descending. Default: the key."
)
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(min=0),
    help="Rows shown; 0: all.",
)
@click.option(
    "--snapshot", "ref", default="latest", metavar="REF", help="A sequence, an id, a tag or a time."
)
@json_option
def rows(
    dataset: str,
    folder: Path,
    where: str,
    columns: str,
    sort: str,
    limit: int,
    ref: str,
    as_json: bool,
) -> None:
    """Rows of DATASET (default: the first) of the product in DIR, as its owner sees them."""
    from polyport.access import Order
    from polyport.model import OWNER
    from polyport.ports.formats.listed import records

    dataset, folder = folder_alone(dataset, folder)
    with one_product(folder) as product, product.open(OWNER, ref, port="cli") as view:
        name = dataset or next(iter(view.snapshot.datasets))
        terms = [t for t in sort.split(",") if t] or list(view.dataset(name).key)
        with view.scan(
            name,
            columns=[c.strip() for c in columns.split(",") if c.strip()],
            where=_filter(where),
            order=[Order(t.lstrip("-"), t.startswith("-")) for t in terms],
            limit=limit or None,
        ) as reader:
            found = [row for batch in reader for row in records(batch)]
            names = reader.schema.names
        total = view.snapshot.datasets[name].rows
        if as_json:
            console.say_json(found)
            return
        cells = [[row[n] for n in names] for row in found]
        fit = len(names) if columns else console.fitting(names, cells)
        shown = [row[:fit] for row in cells]
        for line in console.table(names[:fit], shown, right=_numbers(names, found)):
            console.say(line)
        more = f"; not shown: {', '.join(names[fit:])}" if fit < len(names) else ""
        count = f"{len(found):,} of {plural(total, 'row')}, snapshot {view.snapshot.sequence}"
        console.talk(console.dim(count + more))


def _filter(text: str) -> Expression | None:
    from polyport.errors import QueryError
    from polyport.expression import parse

    try:
        return parse(text) if text else None
    except QueryError as error:
        error.where = f"--where {text!r}, column {error.column}"
        raise


def _numbers(names: list[str], found: list[dict[str, object]]) -> list[str]:
    from decimal import Decimal

    return [n for n in names if any(isinstance(row[n], int | float | Decimal) for row in found)]
