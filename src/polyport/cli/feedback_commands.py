"""`polyport feedback list` and `polyport feedback answer`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from polyport.cli import console
from polyport.cli.options import folder_argument, json_option, one_product

if TYPE_CHECKING:
    from pathlib import Path

    from polyport.ledger.feedback import Feedback


@click.command("list")
@folder_argument
@json_option
def list_(folder: Path, as_json: bool) -> None:
    """What consumers say of the product in DIR, newest first."""
    from polyport.ledger import feedback

    with one_product(folder) as product:
        said = feedback.feedback(product.ledger.journal, product.spec.id)
    total = feedback.summary(said)
    if as_json:
        console.say_json({"summary": asdict(total), "feedback": [asdict(each) for each in said]})
        return
    if not said:
        console.talk("Nobody said anything yet.")
        return
    mean = f", {total.mean} of {feedback.BEST} on average" if total.mean is not None else ""
    console.say(f"{total.count} said something{mean}")
    for each in said:
        _show(each)


@click.command()
@click.argument("id")
@click.argument("text")
@folder_argument
@json_option
def answer(id: str, text: str, folder: Path, as_json: bool) -> None:  # noqa: A002 - as it is called
    """Answer the feedback ID with TEXT, as the owner of the product in DIR."""
    from polyport.ledger import feedback
    from polyport.model import OWNER

    with one_product(folder) as product:
        journal = product.ledger.journal
        made = feedback.answer(journal, product.spec.id, OWNER, id, text)
    if as_json:
        console.say_json(asdict(made))
    else:
        console.talk(f"{made.by} finds the answer with {made.id}.")


def _show(each: Feedback) -> None:
    stars = f"  {each.rating} of 5" if each.rating is not None else ""
    shown = "" if each.public else console.dim("  not public")
    console.say(
        f"\n{console.accent(each.id)}  {each.at:%Y-%m-%d}  {console.cell(each.by)}{stars}{shown}"
    )
    for name, text in (("", each.comment), ("asks: ", each.request), ("answer: ", each.answer)):
        if text:
            console.say(f"  {name}{console.cell(text)}")


list = list_  # noqa: A001 - commands stand under their own names
