"""`polyport erase`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from polyport.cli import console
from polyport.cli.options import folder_argument, json_option
from polyport.descriptor.text import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from polyport.mesh import Mesh
    from polyport.pipeline.erasure import Outcome, Preview, Request, Survey, Target
    from polyport.product import Product

SHOWN = 12


@click.command()
@click.argument("dataset", required=False, default="")
@folder_argument
@click.option("--where", default="", help="The rows that go: \"writer = 'Jane Doe'\".")
@click.option("--key", default="", help="The row with this key goes.")
@click.option("--value", default="", help="The rows with this value in --column go.")
@click.option(
    "--column",
    default="",
    help="Names, with commas between: whose values identify the person; default: those of the filter.",
)
@click.option(
    "--with",
    "others",
    multiple=True,
    metavar="DATASET:FILTER",
    help="More rows that go, of another dataset; may be repeated.",
)
@click.option(
    "--also", multiple=True, metavar="TEXT", help="Another spelling or name; may be repeated."
)
@click.option(
    "--everywhere", is_flag=True, help="Rows of any dataset go if a text cell is one of the values."
)
@click.option("--reason", default="", help="Why; is kept. Needed to erase.")
@click.option("--yes", is_flag=True, help="Do it; without, it only says what would go.")
@click.option("--dry-run", is_flag=True, help="Only say what would go, also with --yes.")
@click.option("--prove", is_flag=True, help="Only look whether any kept byte holds it.")
@click.option("--resume", is_flag=True, help="Finish an erasure that was cut off or had to wait.")
@click.option(
    "--wait",
    default=60,
    show_default=True,
    type=click.IntRange(min=0),
    help="Seconds to wait for runs and readers.",
)
@json_option
def erase(
    dataset: str,
    folder: Path,
    where: str,
    key: str,
    value: str,
    column: str,
    others: Sequence[str],
    also: Sequence[str],
    everywhere: bool,
    reason: str,
    yes: bool,
    dry_run: bool,
    prove: bool,
    resume: bool,
    wait: int,
    as_json: bool,
) -> None:
    """Remove a person's or entity's rows from all that is kept of the products in DIR, and prove it.

    DATASET with --where, --key or --value says which rows. Without --yes nothing is changed.
    """
    from pathlib import Path

    from polyport.errors import ConfigurationError
    from polyport.mesh import Mesh
    from polyport.pipeline.erasure import Request, Target

    if (prove or resume) and not any((where, key, value and column)) and Path(dataset).is_dir():
        dataset, folder = "", Path(dataset or folder)
    with Mesh.find(folder) as mesh:
        products = list(mesh.at(folder))
        if resume or (prove and not dataset):
            work = _resume if resume else _prove
            _end(
                [work(p, values=also or ((value,) if value else ()), wait=wait) for p in products],
                as_json,
            )
            return
        owners = [p for p in products if _has(p, dataset)]
        if len(owners) != 1:
            known = sorted({name for p in products for s in p.history() for name in s.datasets})
            raise ConfigurationError(
                f"{len(owners)} products in {folder} have a dataset {dataset!r}",
                where=str(folder),
                fix=f"name one: polyport erase DATASET DIR; datasets: {', '.join(known) or 'none'}",
            )
        columns = tuple(name.strip() for name in column.split(",") if name.strip())
        first = Target(dataset, _filter(owners[0], dataset, where, key, value, columns), columns)
        more = tuple(_other(text) for text in others)
        request = Request((first, *more), tuple(also), everywhere, reason, float(wait))
        really = yes and not dry_run
        told = _work(products, owners[0], request, really=really, prove=prove)
        _say_next(mesh, owners[0], products, done=really or prove)
        _end(told, as_json)


def _has(product: Product, dataset: str) -> bool:
    return any(dataset in snapshot.datasets for snapshot in product.history())


def _filter(
    product: Product, dataset: str, where: str, key: str, value: str, columns: tuple[str, ...]
) -> str:
    """The filter that the options say, in the filter language."""
    from polyport.errors import ConfigurationError
    from polyport.expression import quote

    if sum(map(bool, (where, key, value))) != 1:
        raise ConfigurationError(
            "it is not said which rows go",
            fix="give one of --where FILTER, --key VALUE, --value TEXT",
        )
    if where:
        return where
    newest = [s.datasets[dataset] for s in product.history() if dataset in s.datasets][-1]
    named = columns[:1] if value else newest.key
    if len(named) != 1 or named[0] not in newest.schema.names:
        raise ConfigurationError(
            f"dataset {dataset!r} has no such single column to compare with",
            where=dataset,
            fix="say --column NAME with --value; for a key of several columns --where FILTER",
        )
    return f"{quote(named[0])} = {_literal(value or key, str(newest.schema.field(named[0]).type))}"


def _literal(text: str, kind: str) -> str:
    numeric = kind.startswith(("int", "uint", "decimal", "float", "double"))
    return text if numeric else "'" + text.replace("'", "''") + "'"


def _other(text: str) -> Target:
    from polyport.errors import ConfigurationError
    from polyport.pipeline.erasure import Target

    dataset, _, where = text.partition(":")
    if not where.strip():
        raise ConfigurationError(
            f"--with {text!r} says no filter", fix="--with \"scripts: writer = 'Jane Doe'\""
        )
    return Target(dataset.strip(), where.strip())


def _work(
    products: list[Product], owner: Product, request: Request, *, really: bool, prove: bool
) -> list[dict[str, Any]]:
    """The owner first, then the other products of DIR by the values that were found there."""
    from dataclasses import replace

    from polyport.pipeline import erasure

    values = erasure.find(owner.erasing(), request).values
    told = []
    for product in sorted(products, key=lambda p: p is not owner):
        scene = product.erasing()
        mine = (
            request
            if product is owner
            else replace(request, targets=(), also=values, everywhere=True)
        )
        if prove:
            told.append(_proved(product, erasure.prove(scene, values)))
        elif really:
            told.append(_erased(product, erasure.erase(scene, mine)))
        else:
            told.append(_previewed(product, erasure.preview(scene, mine)))
    return told


def _resume(product: Product, *, values: Sequence[str], wait: int) -> dict[str, Any]:  # noqa: ARG001
    from polyport.pipeline import erasure

    scene = product.erasing()
    found = erasure.resume(scene, patience=float(wait)) if erasure.plans(scene) else []
    ended = [_erased(product, outcome) for outcome in found]
    return ended[-1] if ended else {"product": product.spec.id, "resumed": 0, "ok": True}


def _prove(product: Product, *, values: Sequence[str], wait: int) -> dict[str, Any]:  # noqa: ARG001
    from polyport.pipeline import erasure

    return _proved(product, erasure.prove(product.erasing(), tuple(values)))


# What is told


def _survey(survey: Survey) -> dict[str, Any]:
    return {
        "files": survey.files,
        "bytes": survey.bytes,
        "held_by": [asdict(found) for found in survey.found],
        "other_products": [asdict(found) for found in survey.elsewhere],
        "unread": list(survey.unread),
    }


def _proved(product: Product, survey: Survey) -> dict[str, Any]:
    return {"product": product.spec.id, "proof": _survey(survey), "ok": survey.proved}


def _previewed(product: Product, found: Preview) -> dict[str, Any]:
    return {
        "product": product.spec.id,
        "dry_run": True,
        "values": found.values,
        "rows": found.rows,
        "found": _survey(found.survey),
        "suggested": [asdict(one) for one in found.suggested],
        "ok": True,
    }


def _erased(product: Product, outcome: Outcome) -> dict[str, Any]:
    return {
        "product": product.spec.id,
        "erasure": outcome.id,
        "at": outcome.at,
        "rows": outcome.rows,
        "removed": outcome.removed,
        "readers": outcome.readers,
        "still_to_do_at": outcome.foreign,
        "proof": _survey(outcome.survey),
        "suggested": [asdict(one) for one in outcome.suggested],
        "ok": outcome.done,
    }


def _end(told: list[dict[str, Any]], as_json: bool) -> None:
    """Print it; exit status 1 where something holds it still, or could not be looked into."""
    if as_json:
        console.say_json(told)
    for one in [] if as_json else told:
        _show(one)
    if not all(one["ok"] for one in told):
        sys.exit(1)


def _show(told: Mapping[str, Any]) -> None:
    console.say(console.bold(told["product"]))
    for number, rows in told.get("rows", {}).items():
        counts = ", ".join(f"{plural(n, 'row')} of {name}" for name, n in rows.items())
        console.say(f"  snapshot {number}: {counts or 'its Iceberg history'}")
    for what, count in told.get("removed", {}).items():
        console.say(f"  {what}: {count:,}")
    for number, processes in told.get("readers", {}).items():
        who = ", ".join(map(str, processes)) or "unknown"
        console.say(
            console.bad(f"  old files of snapshot {number} are still read by process {who}")
        )
    for port in told.get("still_to_do_at", ()):
        console.say(console.warning(f"  port {port} wrote elsewhere: that is still to do"))
    if "found" in told:
        _show_found("  now held by", told["found"]["held_by"])
        _show_looked(told["found"])
        _show_suggested(told["suggested"])
    if "proof" in told:
        _show_found(console.bad("  still held by"), told["proof"]["held_by"])
        _show_looked(told["proof"])
        _show_suggested(told.get("suggested", ()))
        if told["ok"]:
            console.say(console.good("  no kept byte holds it"))


def _show_found(head: str, found: Sequence[Mapping[str, Any]]) -> None:
    for one in found[:SHOWN]:
        places = f" ({', '.join(one['where'])})" if one["where"] else ""
        console.say(f"{head} {one['path']}{places}")
    if len(found) > SHOWN:
        console.say(f"{head} {len(found) - SHOWN:,} more; --json lists them")


def _show_looked(survey: Mapping[str, Any]) -> None:
    for one in survey["unread"]:
        console.say(console.bad(f"  cannot be looked into: {one}"))
    others = sorted({one["product"] for one in survey["other_products"]})
    if others:
        console.say(console.warning(f"  still to do: held by product {', '.join(others)}, too"))
    looked = f"{plural(survey['files'], 'file')}, {console.size(survey['bytes'])}"
    console.say(console.dim(f"  looked through {looked}"))


def _show_suggested(found: Sequence[Mapping[str, Any]]) -> None:
    """What was not named."""
    for one in found[:SHOWN]:
        marked = ", personal data by its contract" if one["personal"] else ""
        place = f"{one['dataset']}.{one['column']}"
        mentions = "row mentions it" if one["rows"] == 1 else "rows mention it"
        console.say(
            console.warning(f"  not named: {place}{marked}: {one['rows']:,} {mentions};")
            + f" --with \"{one['dataset']}: {one['column']} = '...'\" lets them go, too"
        )


def _say_next(mesh: Mesh, owner: Product, products: Sequence[Product], *, done: bool) -> None:
    if not done:
        console.talk("Nothing was changed. To do it: the same with --reason TEXT --yes")
    given = {product.spec.id for product in products}
    readers = [name for name in mesh.readers(owner.spec.id) if name not in given]
    for name in readers:
        console.talk(f"{name} reads {owner.spec.id} and may hold copies: that is still to do")
    if readers:
        console.talk(f"All at once: the same with {console.pasted(mesh.root)} for DIR")
