"""`polyport quality`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from polyport.cli import console
from polyport.cli.options import folder_argument, json_option, one_product
from polyport.descriptor.text import plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

    from polyport.access.failing import SetAside
    from polyport.model import QualityReport, RuleResult
    from polyport.ports.information.quality.promises import Promise
    from polyport.product import Product

MARKS = {
    "pass": console.good("✓"),
    "warn": console.warning("!"),
    "fail": console.bad("✗"),
    "error": console.bad("✗"),
    "listed": console.dim("·"),
    "kept": console.good("✓"),
    "broken": console.bad("✗"),
    "not measured": console.dim("·"),
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
@click.option(
    "--failing",
    metavar="NAME",
    help="The rows that break a rule, by its id, or that a dataset or cleanse/STEP set aside.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=20,
    show_default=True,
    metavar="N",
    help="With --failing: how many rows.",
)
@json_option
def quality(folder: Path, ref: str, failing: str | None, limit: int, as_json: bool) -> None:
    """What the quality rules found in the product in DIR. Exit status 3 if they held the data back."""
    from polyport.errors import NotFoundError

    with one_product(folder) as product:
        report = product.quality(ref)
        if report is None:
            raise NotFoundError(
                f"no quality report of {product.spec.id!r}", fix=f"polyport build {folder}"
            )
        if failing is not None:
            _say_rows(_rows(product, report, failing, limit), as_json)
            return
        promised = _promises(product) if ref == "latest" else []
        aside = product.failing().set_aside(report.run)
        if as_json:
            console.say_json(_document(report, promised, aside))
        else:
            _show(report, promised, aside)
        if report.stops:
            raise click.exceptions.Exit(3)


def _promises(product: Product) -> list[Promise]:
    from polyport.ports.information.quality.promises import gather, promises

    known = gather(product.ledger, product.spec.id, product.history(), product.clock())
    return promises(product.spec, known)


def _document(
    report: QualityReport, promised: Sequence[Promise], aside: Sequence[SetAside]
) -> dict[str, Any]:
    from dataclasses import asdict

    from polyport.ledger.records import as_document

    more = {"sla": [asdict(p) for p in promised], "set_aside": [asdict(s) for s in aside]}
    return {**as_document(report), **more}


def _rows(product: Product, report: QualityReport, name: str, limit: int) -> pa.Table:
    """The rows, as the owner sees them."""
    from polyport.access import failing
    from polyport.model import OWNER

    found = product.failing()
    if name in [kept.name for kept in found.set_aside(report.run)]:
        with found.open(OWNER, report.run) as view:
            return failing.page(view, name, limit=limit)
    result = _result(report, name, [kept.name for kept in found.set_aside(report.run)])
    snapshot = found.snapshot(report.run)
    wanted = found.breaking(snapshot, result.dataset, result.rule)
    with product.open(OWNER, snapshot.id) as view:
        return failing.page(view, result.dataset, wanted, limit=limit)


def _result(report: QualityReport, name: str, aside: Sequence[str]) -> RuleResult:
    from polyport.descriptor.text import did_you_mean
    from polyport.errors import NotFoundError

    rules = {r.rule: r for r in report.results}
    if name not in rules:
        broken = [r.rule for r in report.results if r.rows_failing]
        hint = did_you_mean(name, [*aside, *broken], what="with failing rows")
        raise NotFoundError(f"no rule and nothing set aside is called {name!r}", fix=hint)
    return rules[name]


def _say_rows(table: pa.Table, as_json: bool) -> None:
    rows = table.to_pylist()
    if as_json:
        console.say_json(rows)
        return
    texts = [[row[name] for name in table.column_names] for row in rows]
    shown = console.fitting(table.column_names, texts) if rows else len(table.column_names)
    for line in console.table(table.column_names[:shown], [text[:shown] for text in texts]):
        console.say(line)
    hidden = len(table.column_names) - shown
    more = f"; {plural(hidden, 'more column')} with --json" if hidden else ""
    console.talk(f"\n{plural(len(rows), 'row')}{more}")


def _why(result: RuleResult) -> str:
    """The reason; where rows break the rule, with how many may."""
    if not result.rows_failing:
        return result.reason
    limit = f"; allowed: {result.expected}" if result.expected != "= 0 rows" else ""
    return (result.reason or plural(result.rows_failing, "row")) + limit


def _show(report: QualityReport, promised: Sequence[Promise], aside: Sequence[SetAside]) -> None:
    held = "held back: nothing was published" if report.stops else "nothing had changed"
    state = f"snapshot {report.snapshot}" if report.snapshot else held
    console.say(
        f"{console.bold(report.product)}  {report.at:%Y-%m-%d %H:%M} UTC  {console.dim(state)}"
    )
    for name, facts in report.tables.items():
        before = f", {facts.rows_before:,} before" if facts.rows_before is not None else ""
        newest = f", newest {facts.newest}" if facts.newest else ""
        console.say(
            f"\n{console.bold(name)}  {plural(facts.rows, 'row')}{before}, "
            f"updated {facts.updated_at:%Y-%m-%d %H:%M}{newest}"
        )
        for gap in facts.gaps:
            console.say(f"  {console.warning('gap')} {gap}")
        for result in report.results:
            if result.dataset == name:
                why = _why(result)
                found = f"  {console.dim(why)}" if why else ""
                console.say(f"  {MARKS[result.status]} {result.sentence}{found}")
    _show_promises(promised)
    _show_aside(aside)
    kinds = [r.status for r in report.results]
    counts = ", ".join(f"{kinds.count(k)} {k}" for k in dict.fromkeys(kinds))
    console.say(f"\n{len(kinds)} rules: {counts}")


def _show_promises(promised: Sequence[Promise]) -> None:
    if promised:
        console.say(f"\n{console.bold('Promises')}  the contracts' SLA, as it stands now")
    for each in promised:
        of = f" of {each.dataset}" if each.dataset else ""
        found = "; ".join(filter(None, (each.measured, each.reason)))
        console.say(
            f"  {MARKS[each.status]} {each.property}{of}: {each.target}  {console.dim(found)}"
        )


def _show_aside(aside: Sequence[SetAside]) -> None:
    if aside:
        console.say(f"\n{console.bold('Set aside')}  to see the rows: --failing NAME")
    for each in aside:
        console.say(f"  {each.name}  {plural(each.rows, 'row')}")
