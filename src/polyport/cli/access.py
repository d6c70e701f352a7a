"""`polyport access`: who may come in, and what they would see."""

from __future__ import annotations

import click

from polyport.cli.lazy import Lazy, LazyGroup

SUBCOMMANDS: dict[str, Lazy] = {
    "key": Lazy("polyport.cli.access_keys", "API keys: create, list, rotate, revoke"),
    "explain": Lazy("polyport.cli.access_explain", "What somebody would see, and why"),
    "history": Lazy("polyport.cli.access_versions", "The versions of the policy"),
    "revert": Lazy("polyport.cli.access_versions", "Go back to a version of the policy"),
}


@click.group(cls=LazyGroup, found=SUBCOMMANDS)
def access() -> None:
    """Who may come in, and what they would see."""
