"""`polyport access`: who may come in, and what they would see."""

from __future__ import annotations

import click

from polyport.cli.lazy import Lazy, LazyGroup

SUBCOMMANDS: dict[str, Lazy] = {}


@click.group(cls=LazyGroup, found=SUBCOMMANDS)
def access() -> None:
    """Who may come in, and what they would see."""
