"""`polyport explain`."""

from __future__ import annotations

import click

from polyport.cli import console
from polyport.cli.options import json_option


@click.command()
@click.argument("code", required=False)
@json_option
def explain(code: str | None, as_json: bool) -> None:
    """What a diagnostic CODE means, with a wrong and a right example; without CODE: all codes."""
    from polyport.descriptor import codes

    if code is None:
        entries = sorted((*codes.classes(), *codes.diagnostics()))
        if as_json:
            console.say_json([entry._asdict() for entry in entries])
            return
        for entry in entries:
            console.say(f"{console.accent(entry.code)}  {entry.title}")
        return
    entry = codes.explain(code)
    if as_json:
        console.say_json(entry._asdict())
        return
    console.say(f"{console.accent(entry.code)} {console.bold(entry.title)}\n\n{entry.text}")
    for heading, example, style in (
        ("Wrong", entry.wrong, console.bad),
        ("Right", entry.right, console.good),
    ):
        if example:
            lines = "\n".join(f"  {line}" for line in example.splitlines())
            console.say(f"\n{style(heading)}\n{lines}")
