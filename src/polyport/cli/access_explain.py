"""`polyport access explain`: what a principal would see, and why."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from polyport.cli import console
from polyport.cli.options import folder_argument, json_option, one_product

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from polyport.access.explain import DatasetSeen, Explanation, Who
    from polyport.model import Dataset, Principal
    from polyport.product import Product


@click.command()
@click.argument("principal")
@folder_argument
@click.option("--role", "roles", multiple=True, metavar="ROLE", help="A role it has; repeatable.")
@click.option("--team", "teams", multiple=True, metavar="TEAM", help="A team it is in; repeatable.")
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    metavar="NAME=VALUE",
    help="What filters call principal.NAME; repeatable.",
)
@click.option("--purpose", default="", metavar="TEXT", help="The purpose it states.")
@click.option("--port", default="", metavar="NAME", help="The output port; default: the first.")
@click.option("--dataset", default="", metavar="NAME", help="Only this dataset.")
@json_option
def explain(
    principal: str,
    folder: Path,
    roles: tuple[str, ...],
    teams: tuple[str, ...],
    attributes: tuple[str, ...],
    purpose: str,
    port: str,
    dataset: str,
    as_json: bool,
) -> None:
    """What PRINCIPAL would see of the product in DIR, and why.

    PRINCIPAL is its id, or that of a key. What it has is looked up in the keys, unless it is said here.
    """
    from polyport.access import configuration
    from polyport.access.explain import Question
    from polyport.access.explain import explain as explained

    said = (frozenset(roles), _attributes(attributes), frozenset(teams))
    with one_product(folder) as product:
        asked, known = _who(product, principal, said)
        first = next((p.name for p in product.spec.outputs), "library")
        found = explained(
            product.spec,
            configuration.admissions(product.control, product.spec, lambda: datetime.now(UTC)),
            product.policy,
            _datasets(product, dataset),
            Question(asked, port or first, purpose, known),
        )
    if as_json:
        console.say_json(asdict(found))
    else:
        _show(found)


def _who(
    product: Product, name: str, said: tuple[frozenset[str], Mapping[str, str], frozenset[str]]
) -> tuple[Principal, str]:
    """Who is asked about, and from where that is known."""
    from polyport.access import keys, known
    from polyport.model import Principal

    if keys.is_key(name):
        raise click.UsageError("a key is a secret: ask by its id (polyport access key list)")
    if any(said):
        return Principal(name, *said), "what was given"
    found = known.known(product.control, name)
    return found.principal, found.by


def _attributes(given: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name in ("", "id"):
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--attribute")
        found[name] = value
    return found


def _datasets(product: Product, only: str) -> Sequence[Dataset]:
    from polyport.errors import NotFoundError

    history = product.history()
    kept = history[-1].datasets if history else {}
    if only and only not in kept:
        fix = f"datasets: {', '.join(kept)}" if kept else "polyport build"
        raise NotFoundError(f"no dataset {only!r}", where=product.spec.id, fix=fix)
    return [kept[only]] if only else list(kept.values())


def _show(found: Explanation) -> None:
    through = f"through {found.port}" + (f" for {found.purpose}" if found.purpose else "")
    verdict = console.good("is let in") if found.admitted else console.bad("is not let in")
    console.say(f"{console.bold(found.principal)} {verdict} to {found.product} {through}")
    console.say(f"  {_having(found.who)}, by {found.who.known}")
    if found.reason:
        console.say(f"  {found.reason}")
    if found.fix:
        console.say(f"  {console.accent('fix:')} {found.fix}")
    for one in found.agreements:
        if one.counts:
            console.say(f"  agreement {console.accent(one.id)} is {one.state}: counts")
        elif one.reason not in found.reason:
            named = "" if one.id in one.reason else f"agreement {console.accent(one.id)}: "
            console.say(f"  {named}{one.reason}")
    for dataset in found.datasets if found.admitted else ():  # else each says the same again
        _show_dataset(dataset)
    if not found.datasets:
        console.talk("Nothing is published yet. Next: polyport build")


def _having(who: Who) -> str:
    attributes = tuple(f"{name}={value}" for name, value in who.attributes.items())
    parts = (("roles", who.roles), ("teams", who.teams), ("attributes", attributes))
    return "; ".join(f"{name}: {', '.join(has)}" for name, has in parts if has) or "no role"


def _show_dataset(found: DatasetSeen) -> None:
    rows = f"rows: {found.rows}" if found.seen else found.reason
    console.say(f"\n{console.bold(found.dataset)}  {rows}")
    for role in found.roles:
        counts = f"counts, {role.rows}" if role.counts else "does not count"
        why = f": {role.reason}" if role.reason else ""
        console.say(f"  role {console.accent(role.role)} {counts}{why}")
    if not found.seen:
        return
    lines = [(c.column, c.verdict, c.reason) for c in found.columns]
    for line in console.table(("column", "is", "why"), lines):
        console.say(f"  {line}")
