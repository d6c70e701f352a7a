"""`polyport quality`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from polyport.cli import console
from polyport.cli.options import folder_argument, json_option, one_product

if TYPE_CHECKING:
    from pathlib import Path

    from polyport.model import QualityReport, RuleResult

MARKS = {
    "pass": console.good("✓"),
    "warn": console.warning("!"),
    "fail": console.bad("✗"),
    "error": console.bad("✗"),
    "listed": console.dim("·"),
}


@click.command()
@folder_argument
@click.option(
    "--snapshot",
    "ref",
    default="latest",
    metavar="REF",
    help="Default: the last build, published or not.",
)
@json_option
def quality(folder: Path, ref: str, as_json: bool) -> None:
    """What the quality rules found in the product in DIR. Exit status 3 if they held the data back."""
    from polyport.errors import NotFoundError
    from polyport.ledger.records import as_document

    with one_product(folder) as product:
        report = product.quality(ref)
        if report is None:
            raise NotFoundError(
                f"no quality report of {product.spec.id!r}", fix=f"polyport build {folder}"
            )
        if as_json:
            console.say_json(as_document(report))
        else:
            _show(report)
        if report.stops:
            raise click.exceptions.Exit(3)


def _why(result: RuleResult) -> str:
    """The reason; where rows break the rule, with how many may."""
    if not result.rows_failing:
        return result.reason
    limit = f"; allowed: {result.expected}" if result.expected != "= 0 rows" else ""
    return (result.reason or console.plural(result.rows_failing, "row")) + limit


def _show(report: QualityReport) -> None:
    held = "held back: nothing was published" if report.stops else "nothing had changed"
    state = f"snapshot {report.snapshot}" if report.snapshot else held
    console.say(
        f"{console.bold(report.product)}  {report.at:%Y-%m-%d %H:%M} UTC  {console.dim(state)}"
    )
    for name, facts in report.tables.items():
        before = f", {facts.rows_before:,} before" if facts.rows_before is not None else ""
        newest = f", newest {facts.newest}" if facts.newest else ""
        console.say(
            f"\n{console.bold(name)}  {facts.rows:,} rows{before}, updated {facts.updated_at:%Y-%m-%d %H:%M}{newest}"
        )
        for gap in facts.gaps:
            console.say(f"  {console.warning('gap')} {gap}")
        for result in report.results:
            if result.dataset == name:
                why = _why(result)
                found = f"  {console.dim(why)}" if why else ""
                console.say(f"  {MARKS[result.status]} {result.sentence}{found}")
    kinds = [r.status for r in report.results]
    counts = ", ".join(f"{kinds.count(k)} {k}" for k in dict.fromkeys(kinds))
    console.say(f"\n{len(kinds)} rules: {counts}")
