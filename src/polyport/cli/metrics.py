"""`polyport metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from polyport.cli import console
from polyport.cli.options import folder_argument, json_option, one_product

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


@click.command()
@folder_argument
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    default=None,
    metavar="DAY",
    help="Only from this day on: 2026-01-31.",
)
@json_option
def metrics(folder: Path, since: datetime | None, as_json: bool) -> None:
    """Who uses the product in DIR and how much, port by port, and what it costs."""
    from polyport.ledger import metrics as sums

    day = since.date() if since else None
    with one_product(folder) as product:
        found = sums.use(product.ledger, product.spec.id, day)
        ports = {one["port"]: one for one in sums.split(found, "port")}
        costs = sums.costs(product.ledger, product.spec.id, product.stored, day)
        if as_json:
            console.say_json(
                {
                    "totals": sums.totals(found),
                    "costs": costs,
                    **{
                        f"by_{by}": sums.split(found, by)
                        for by in ("day", "port", "consumer", "dataset", "column")
                    },
                }
            )
            return
        shown = ("requests", "errors", "reads", "rows", "bytes_sent", "downloads", "active_users")
        rows = [
            (n, *(v[s] for s in shown)) for n, v in [*ports.items(), ("all", sums.totals(found))]
        ]
        for line in console.table(("port", *shown), rows, right=shown):
            console.say(line)
        builds = ", ".join(f"{n} {outcome}" for outcome, n in costs["builds"].items()) or "none"
        console.say(
            f"\nbuilds: {builds}; {costs['build_seconds']:,.1f} s; stored: {costs['stored_bytes']:,} bytes"
        )
