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

    from polyport.access.explain import AgreementSeen, DatasetSeen, Explanation, Who
    from polyport.model import Principal
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
    from polyport.access.admission import admissions
    from polyport.access.explain import Question
    from polyport.access.explain import explain as explained

    said = (frozenset(roles), _attributes(attributes), frozenset(teams))
    with one_product(folder) as product:
        asked, known = _who(product, principal, said)
        found = explained(
            product.spec,
            admissions(product.control, product.spec, lambda: datetime.now(UTC)),
            product.policy,
            product.history(),
            Question(asked, port, purpose, dataset, known),
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


def _show(found: Explanation) -> None:
    through = f"through {found.port}" + (f" for {found.purpose}" if found.purpose else "")
    verdict = console.good("is let in") if found.admitted else console.bad("is not let in")
    console.say(f"{console.bold(found.principal)} {verdict} to {found.product} {through}")
    console.say(f"  {_having(found.who)}")
    if found.reason:
        console.say(f"  {found.reason}")
    if found.fix:
        console.say(f"  {console.accent('fix:')} {found.fix}")
    for one in found.agreements:
        _show_agreement(one, found.reason)
    for dataset in found.datasets if found.admitted else ():  # else each says the same again
        _show_dataset(dataset)
    unknown = {
        name for dataset in found.datasets for role in dataset.roles for name in role.unknown
    }
    for name in sorted(unknown):
        console.say()
        console.talk(
            f"principal.{name}: a key or token gives it; to see with it: --attribute {name}=VALUE"
        )
    if not found.datasets:
        console.talk("Nothing is published yet. Next: polyport build")


def _show_agreement(one: AgreementSeen, said: str) -> None:
    """What becomes of an agreement; nothing where that was `said`."""
    if one.counts:
        console.say(f"  agreement {console.accent(one.id)} is {one.state}: counts")
    elif one.reason not in said:
        named = "" if one.id in one.reason else f"agreement {console.accent(one.id)}: "
        console.say(f"  {named}{one.reason}")


def _having(who: Who) -> str:
    from polyport.access.known import UNKNOWN

    attributes = tuple(f"{name}={value}" for name, value in who.attributes.items())
    parts = (("roles", who.roles), ("teams", who.teams), ("attributes", attributes))
    had = "; ".join(f"{name}: {', '.join(has)}" for name, has in parts if has)
    if who.known == UNKNOWN:
        return "no key stands for it: say what it has by --role, --team and --attribute"
    return f"{had or 'no role'}, by {who.known}"


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
