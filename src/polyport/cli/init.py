"""`polyport init`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from polyport.cli import console


@click.command()
@click.argument("name")
@click.option(
    "--dir",
    "parent",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where to put its folder.",
)
def init(name: str, parent: Path) -> None:
    """Start a data product called NAME, in a folder of that name, that builds at once."""
    from polyport.descriptor.scaffold import scaffold

    home = scaffold(name, parent)
    for path in sorted(p for p in home.rglob("*") if p.is_file()):
        console.say(f"  {console.good('+')} {path}")
    dataset = re.sub(r"\W", "_", name)
    at = console.pasted(home)
    console.talk(f"\nnext: polyport build {at}, then: polyport rows {dataset} {at}")
