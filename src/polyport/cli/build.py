"""`polyport build`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from polyport.cli import console

if TYPE_CHECKING:
    from polyport.model import QualityReport, RuleResult, Step
    from polyport.product import BuildResult, Product

MARKS = {"pass": ("✓", console.good), "listed": ("✓", console.good), "warn": ("!", console.warning)}


@click.command()
@click.argument(
    "folder", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path()
)
@click.option(
    "--from-run", default="", metavar="RUN", help="Build again from the raw data of this run."
)
@click.option("--json", "as_json", is_flag=True, help="The runs as JSON.")
def build(folder: Path, from_run: str, as_json: bool) -> None:
    """Read inputs, transform, check, publish a snapshot: of the product in FOLDER, or of each of a mesh, in order."""
    from polyport.ledger.records import as_document
    from polyport.mesh import Mesh

    with Mesh.find(folder) as mesh:
        runs = []
        for product in mesh.at(folder):
            result = show_build(product, from_run=from_run, quiet=as_json)
            runs.append(as_document(result.run))
        if as_json:
            console.say_json(runs)


def show_build(product: Product, *, from_run: str = "", quiet: bool = False) -> BuildResult:
    """Build `product`, saying each step as it is done; what it gave."""
    from polyport.errors import QualityError

    spec = product.spec
    if not quiet:
        console.talk(f"\n{console.bold(spec.name)} {console.dim(spec.id)}\n")
    try:
        result = product.build(None if quiet else _show_step, from_run=from_run)
    except QualityError as error:
        if not quiet:
            _show_rules(getattr(error, "report", None))
        raise
    if not quiet:
        _show_rules(result.report)
        _show_end(product, result)
    return result


def _show_step(step: Step) -> None:
    mark, style = MARKS.get(step.status, ("✗", console.bad))
    seconds = f"{step.seconds:6.2f} s"
    name = console.accent(step.stage.ljust(9))
    line = f"  {style(mark)} {name} {step.name.ljust(22)} "
    console.talk(line + step.detail.ljust(48) + console.dim(seconds))


def _show_rules(report: QualityReport | None) -> None:
    for result in report.results if report else ():
        if result.status in ("warn", "fail", "error"):
            style = console.warning if result.status == "warn" else console.bad
            console.talk(f"      {style(result.sentence)}  {_found(result)}")
        elif result.rows_refused:
            console.talk(
                f"      {console.dim(result.sentence)}  {console.plural(result.rows_refused, 'row')} set aside"
            )


def _found(result: RuleResult) -> str:
    if result.rows_failing:
        return f"{console.plural(result.rows_failing, 'row')}: {result.reason}"
    return result.reason or f"{result.measured}, expected {result.expected}"


def _show_end(product: Product, result: BuildResult) -> None:
    run, snapshot = result.run, result.snapshot
    seconds = console.dim(f"{run.seconds:.1f} s")
    if run.outcome == "unchanged" and snapshot:
        console.talk(
            f"\n{console.bold('Nothing changed')}: snapshot {snapshot.sequence} stays   {seconds}"
        )
        return
    if snapshot is None:
        return
    changed = (
        f"  {_changes(product, result)} since {result.previous.sequence}" if result.previous else ""
    )
    head = console.good(f"Published snapshot {snapshot.sequence}")
    console.talk(f"\n{head}{changed}   {seconds}\n")
    where = product.spec.home
    compare = f"   or see what changed: polyport diff {where}" if result.previous else ""
    console.talk(f"{console.dim('Next:')} polyport serve {where}{compare}")


def _changes(product: Product, result: BuildResult) -> str:
    previous, snapshot = result.previous, result.snapshot
    if previous is None or snapshot is None:
        return ""
    counts = product.changes(previous.id, snapshot.id).values()
    total = {kind: sum(c.get(kind, 0) for c in counts) for kind in ("added", "removed", "changed")}
    return f"+{total['added']:,} -{total['removed']:,} ~{total['changed']:,} rows"
