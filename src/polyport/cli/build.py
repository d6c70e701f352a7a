"""`polyport build`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.exceptions import Exit

from polyport.cli import console
from polyport.cli.options import folder_argument, json_option
from polyport.descriptor.text import plural

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from polyport.errors import PolyportError
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
        products, wrong = mesh.readable(folder)
        if len(products) + len(wrong) > 1:
            _build_each(products, wrong, from_run=from_run, as_json=as_json)
            return
        for error in wrong.values():
            raise error
        runs = [show_build(p, from_run=from_run, quiet=as_json).run for p in products]
        if as_json:
            console.say_json([as_document(run) for run in runs])


def _build_each(
    products: Sequence[Product],
    wrong: Mapping[str, PolyportError],
    *,
    from_run: str,
    as_json: bool,
) -> None:
    """Build all but those that read one that failed; the exit status is the first failure's.

    `wrong`: what is wrong with the files of those that could not be loaded. They have failed already.
    """
    from polyport.mesh import reads

    failed: dict[str, PolyportError] = {}
    skipped: dict[str, list[str]] = {}
    runs = [_failed(failed, name, error, as_json=as_json) for name, error in wrong.items()]
    for product in products:
        name = product.spec.id
        if missing := sorted(reads(product) & (failed.keys() | skipped.keys())):
            skipped[name] = missing
            runs.append({"product": name, "outcome": "skipped", "reads": missing})
        else:
            runs.append(_attempt(product, failed, from_run=from_run, as_json=as_json))
            for each in products:
                if each.spec.id in {name, *reads(product)}:  # else a large mesh fills the memory
                    each.rest()
    if as_json:
        console.say_json(runs)
    elif failed:
        _show_rest(len(products) + len(wrong), failed, skipped)
    if failed:
        raise Exit(next(iter(failed.values())).exit_code)


def _attempt(
    product: Product, failed: dict[str, PolyportError], *, from_run: str, as_json: bool
) -> dict[str, object]:
    """Build one of several; the run as a document."""
    from polyport.errors import PolyportError
    from polyport.ledger.records import as_document

    try:
        return as_document(show_build(product, from_run=from_run, quiet=as_json).run)
    except PolyportError as error:
        return _failed(failed, product.spec.id, error, as_json=as_json)


def _failed(
    failed: dict[str, PolyportError], name: str, error: PolyportError, *, as_json: bool
) -> dict[str, object]:
    """Tell of a product that failed; its run as a document."""
    from polyport.ledger.records import as_document

    failed[name] = error
    if not as_json:
        console.show_error(error)
    document = as_document(error.run) if error.run else {}
    told = console.error_document(error)
    return {"product": name, "outcome": "failed", **document, "error": told}


def _show_rest(
    number: int, failed: Collection[str], skipped: Mapping[str, Collection[str]]
) -> None:
    built = number - len(failed) - len(skipped)
    console.talk(f"\n{console.bold(f'{built} of {number} data products built')}")
    for name in failed:
        console.talk(f"  {console.bad('✗')} {name} failed")
    for name, missing in skipped.items():
        console.talk(f"  {console.warning('!')} {name} was skipped: it reads {', '.join(missing)}")


def show_build(product: Product, *, from_run: str = "", quiet: bool = False) -> BuildResult:
    """Build `product`, saying each step as it is done unless `quiet`; what it gave."""
    if quiet:
        return product.build(from_run=from_run)
    from polyport.cli.activity import shown
    from polyport.errors import PolyportError, QualityError

    console.talk(f"\n{console.bold(product.spec.name)} {console.dim(product.spec.id)}\n")
    late: list[Step] = []

    def show(step: Step) -> None:
        if step.stage in ("publish", "push"):
            late.append(step)  # what the rules found is told first, and is known at the end
        else:
            _show_step(step)

    try:
        with shown() as working:
            result = product.build(show, from_run=from_run, working=working)
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
            text = console.cut(f"{plural(count, 'row')} {word}: {reason}", console.width() - 8)
            console.talk(f"      {console.dim(text)}")


def _show_rules(report: QualityReport | None) -> None:
    room = console.width() - 8
    for result in report.results if report else ():
        if result.status in ("warn", "fail", "error"):
            style = console.warning if result.status == "warn" else console.bad
            found = console.cut(_found(result), max(room - len(result.sentence), 20))
            console.talk(f"      {style(result.sentence)}  {found}")
        elif result.rows_refused:
            count = plural(result.rows_refused, "row")
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
