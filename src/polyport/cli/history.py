"""`polyport history`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from polyport.cli import console
from polyport.cli.options import folder_argument, json_option, one_product

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@click.command()
@folder_argument
@click.option("--runs", is_flag=True, help="The builds, also those that published nothing.")
@json_option
def history(folder: Path, runs: bool, as_json: bool) -> None:
    """The snapshots of the product in DIR, newest first; with --runs its builds."""
    from polyport.ledger.records import as_document

    with one_product(folder) as product:
        if runs:
            found = product.ledger.runs(product.spec.id)
            if as_json:
                console.say_json([as_document(run) for run in found])
                return
            builds = [(r.id, r.outcome, f"{r.seconds:.1f} s", r.snapshot or r.error) for r in found]
            _show(("run", "outcome", "took", "snapshot or reason"), builds)
            return
        snapshots = list(reversed(product.history()))
        if as_json:
            console.say_json(
                [
                    {
                        "sequence": s.sequence,
                        "id": s.id,
                        "committed_at": s.committed_at,
                        "version": s.version,
                        "run": s.run,
                        "rows": {d.name: d.rows for d in s.datasets.values()},
                        "inputs": dict(s.inputs),
                    }
                    for s in snapshots
                ]
            )
            return
        tags = {sequence: name for name, sequence in product.store.tags(product.spec.id).items()}
        rows = [
            (
                s.sequence,
                f"{s.committed_at:%Y-%m-%d %H:%M:%S} UTC",
                ", ".join(f"{d.name} {d.rows:,}" for d in s.datasets.values()),
                tags.get(s.sequence, ""),
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
