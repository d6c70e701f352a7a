"""`polyport history`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from polyport.cli import console
from polyport.cli.options import folder_argument, json_option, one_product

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from polyport.product import Product


@click.command()
@folder_argument
@click.option("--runs", is_flag=True, help="The builds, also those that published nothing.")
@click.option(
    "--tag", default="", metavar="NAME", help="First give a snapshot this name: it does not expire."
)
@click.option("--untag", default="", metavar="NAME", help="First take this name away.")
@click.option(
    "--snapshot",
    "ref",
    default="latest",
    metavar="REF",
    help="Which one --tag names; default: latest.",
)
@json_option
def history(folder: Path, runs: bool, tag: str, untag: str, ref: str, as_json: bool) -> None:
    """The snapshots of the product in DIR, newest first; with --runs its builds."""
    with one_product(folder) as product:
        if untag:
            product.store.untag(product.spec.id, untag)
        if tag:
            product.store.tag(product.spec.id, tag, ref)
        if runs:
            _show_runs(product, as_json=as_json)
        else:
            _show_snapshots(product, as_json=as_json)


def _show_runs(product: Product, *, as_json: bool) -> None:
    from polyport.ledger.records import as_document

    found = product.runs()
    if as_json:
        console.say_json([as_document(run) for run in found])
        return
    builds = [(r.id, r.outcome, f"{r.seconds:.1f} s", r.snapshot or r.error) for r in found]
    _show(("run", "outcome", "took", "snapshot or reason"), builds)


def _show_snapshots(product: Product, *, as_json: bool) -> None:
    snapshots = list(reversed(product.history()))
    names: dict[int, list[str]] = {}
    for name, sequence in product.store.tags(product.spec.id).items():
        names.setdefault(sequence, []).append(name)
    if as_json:
        console.say_json(
            [
                {
                    "sequence": s.sequence,
                    "id": s.id,
                    "committed_at": s.committed_at,
                    "tags": names.get(s.sequence, []),
                    "version": s.version,
                    "run": s.run,
                    "rows": {d.name: d.rows for d in s.datasets.values()},
                    "inputs": dict(s.inputs),
                }
                for s in snapshots
            ]
        )
        return
    rows = [
        (
            s.sequence,
            f"{s.committed_at:%Y-%m-%d %H:%M:%S} UTC",
            ", ".join(f"{d.name} {d.rows:,}" for d in s.datasets.values()),
            ", ".join(names.get(s.sequence, [])),
            s.id,
        )
        for s in snapshots
    ]
    _show(("snapshot", "committed", "rows", "tag", "id"), rows)


def _show(header: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
    if not rows:
        console.talk("Nothing yet. Next: polyport build")
        return
    for line in console.table(header, rows, right=("snapshot",)):
        console.say(line)
