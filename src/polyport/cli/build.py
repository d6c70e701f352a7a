"""`polyport build`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from polyport.cli import console
from polyport.cli.options import folder_argument, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from polyport.model import QualityReport, RuleResult, Step
    from polyport.product import BuildResult, Product

MARKS = {"pass": ("✓", console.good), "listed": ("✓", console.good), "warn": ("!", console.warning)}


@click.command()
@folder_argument
@click.option(
    "--from-run", default="", metavar="RUN", help="Build again from the raw data of this run."
)
@json_option
def build(folder: Path, from_run: str, as_json: bool) -> None:
    """Read inputs, transform, check, publish a snapshot: of the product in DIR, or of each of a mesh, in order."""
    from polyport.ledger.records import as_document
    from polyport.mesh import Mesh

    with Mesh.find(folder) as mesh:
        runs = []
        products = mesh.at(folder)
        for at, product in enumerate(products, 1):
            with _telling_what_waits(products[at:]):
                result = show_build(product, from_run=from_run, quiet=as_json)
            runs.append(as_document(result.run))
        if as_json:
            console.say_json(runs)


@contextmanager
def _telling_what_waits(products: Sequence[Product]) -> Iterator[None]:
    """The products after the one that failed were not tried: the error says so."""
    from polyport.errors import PolyportError

    try:
        yield
    except PolyportError as error:
        if products:
            left = ", ".join(product.spec.id for product in products)
            error.unchanged = "; ".join(filter(None, (error.unchanged, f"not built: {left}")))
        raise


def show_build(product: Product, *, from_run: str = "", quiet: bool = False) -> BuildResult:
    """Build `product`, saying each step as it is done unless `quiet`; what it gave."""
    if quiet:
        return product.build(from_run=from_run)
    from polyport.errors import PolyportError, QualityError

    console.talk(f"\n{console.bold(product.spec.name)} {console.dim(product.spec.id)}\n")
    late: list[Step] = []

    def show(step: Step) -> None:
        if step.stage in ("publish", "push"):
            late.append(step)  # what the rules found is told first, and is known at the end
        else:
            _show_step(step)

    try:
        result = product.build(show, from_run=from_run)
    except QualityError as error:
        _show_rules(error.report)
        raise
    except PolyportError:
        for step in late:  # published, and then not pushed everywhere
            _show_step(step)
        raise
    _show_rules(result.report)
    for step in late:
        _show_step(step)
    _show_end(product, result)
    return result


def _show_step(step: Step) -> None:
    if step.stage == "raw":  # each is told again with its rows when it is read
        return
    mark, style = MARKS.get(step.status, ("✗", console.bad))
    seconds = f"{step.seconds:6.2f} s"
    room = max(console.width() - 46, 30)
    name = console.cut(step.name, 24).ljust(24)
    detail = console.cut(step.detail, room).ljust(room)
    console.talk(
        f"  {style(mark)} {console.accent(step.stage.ljust(9))} {name} {detail} {console.dim(seconds)}"
    )
    for word, counts in (("repaired", step.repaired), ("set aside", step.refused)):
        for reason, count in counts.items():
            text = console.cut(
                f"{console.plural(count, 'row')} {word}: {reason}", console.width() - 8
            )
            console.talk(f"      {console.dim(text)}")


def _show_rules(report: QualityReport | None) -> None:
    room = console.width() - 8
    for result in report.results if report else ():
        if result.status in ("warn", "fail", "error"):
            style = console.warning if result.status == "warn" else console.bad
            found = console.cut(_found(result), max(room - len(result.sentence), 20))
            console.talk(f"      {style(result.sentence)}  {found}")
        elif result.rows_refused:
            count = console.plural(result.rows_refused, "row")
            console.talk(f"      {console.dim(result.sentence)}  {count} set aside")


def _found(result: RuleResult) -> str:
    if result.kind == "library" or not result.expected:
        return result.reason
    return f"{result.reason}, expected {result.expected}"


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
    where = console.pasted(product.spec.home)
    compare = f"   or see what changed: polyport diff {where}" if result.previous else ""
    console.talk(f"{console.dim('Next:')} polyport serve {where}{compare}")


def _changes(product: Product, result: BuildResult) -> str:
    previous, snapshot = result.previous, result.snapshot
    if previous is None or snapshot is None:
        return ""
    counts = product.changes(previous.id, snapshot.id).values()
    total = {kind: sum(c.get(kind, 0) for c in counts) for kind in ("added", "removed", "changed")}
    return f"+{total['added']:,} -{total['removed']:,} ~{total['changed']:,} rows"
