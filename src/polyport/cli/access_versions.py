"""`polyport access history` and `polyport access revert`: versions of the policy and the settings."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from polyport.cli import console
from polyport.cli.options import folder_argument, json_option, one_product

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from polyport.access.configuration import Part


def _part_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--of",
        "part",
        type=click.Choice(["access", "settings"]),
        default="access",
        show_default=True,
        help="The policy, or schedule, retention, engine and limits.",
    )(command)


@click.command()
@folder_argument
@_part_option
@json_option
def history(folder: Path, part: Part, as_json: bool) -> None:
    """The versions of the policy of the product in DIR, newest first, and what each changed."""
    from polyport.access import configuration
    from polyport.access.difference import difference

    with one_product(folder) as product:
        kept = configuration.versions(product.ledger.journal, product.spec, part)
        changes = [
            difference(product.spec, part, kept[at - 1], version) if at else ()
            for at, version in enumerate(kept)
        ]
    pairs = list(reversed(list(zip(kept, changes, strict=True))))
    if as_json:
        console.say_json([{**asdict(v), "difference": [asdict(c) for c in cs]} for v, cs in pairs])
        return
    for version, changed in pairs:
        note = f"  {version.note}" if version.note else ""
        when = f"{version.at:%Y-%m-%d %H:%M} UTC" if version.at else ""
        console.say(
            f"{console.bold(version.number)}  {when}  {version.origin} by {version.by}{console.dim(note)}"
        )
        for each in changed:
            console.say(f"  {_sign(each.effect)} {each.where}: {each.sentence}")


@click.command()
@click.argument("version", type=click.IntRange(min=1))
@folder_argument
@_part_option
@click.option("--note", default="", metavar="TEXT", help="Why.")
@json_option
def revert(version: int, folder: Path, part: Part, note: str, as_json: bool) -> None:
    """Go back to VERSION of the policy of the product in DIR: it becomes the newest version."""
    from polyport.access import configuration
    from polyport.access.configuration import Change
    from polyport.model import OWNER

    with one_product(folder) as product:
        holding = configuration.current(product.control, product.spec, part).number
        journal = product.ledger.journal
        made = configuration.revert(
            journal, product.spec, part, version, Change(holding, OWNER.id, note)
        )
    if as_json:
        console.say_json(asdict(made))
    elif made.number == holding:
        console.talk(f"Version {holding} says the same already; nothing was changed.")
    else:
        console.talk(f"Version {made.number} of {part} holds now; it says what {version} said.")


def _sign(effect: str) -> str:
    signs = {"more": console.warning("+"), "less": console.good("-")}
    return signs.get(effect, "~")
