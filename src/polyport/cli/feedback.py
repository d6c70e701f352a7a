"""`polyport feedback`: what consumers say, and the owner's answers."""

from __future__ import annotations

import click

from polyport.cli.lazy import Lazy, LazyGroup

SUBCOMMANDS: dict[str, Lazy] = {
    "list": Lazy("polyport.cli.feedback_commands", "What consumers say, newest first"),
    "answer": Lazy("polyport.cli.feedback_commands", "Answer one of them"),
}


@click.group(cls=LazyGroup, found=SUBCOMMANDS)
def feedback() -> None:
    """What consumers say of the product, and what its owner answers."""
