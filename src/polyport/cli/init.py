"""`polyport init`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from polyport.cli import console
from polyport.cli.options import json_option


@click.command()
@click.argument("name")
@click.option(
    "--dir",
    "parent",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where to put its folder.",
)
@json_option
def init(name: str, parent: Path, as_json: bool) -> None:
    """Start a data product called NAME, in a folder of that name, that builds at once."""
    from polyport.descriptor.scaffold import scaffold

    home = scaffold(name, parent)
    files = sorted(p for p in home.rglob("*") if p.is_file())
    if as_json:
        console.say_json({"product": name, "folder": home, "files": files})
        return
    for path in files:
        console.say(f"  {console.good('+')} {path}")
    dataset = re.sub(r"\W", "_", name)
    at = console.pasted(home)
    console.talk(f"\nnext: polyport build {at}, then: polyport rows {dataset} {at}")
