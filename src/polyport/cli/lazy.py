"""Groups of commands that are imported when they are called; their summaries stand with the group."""

from __future__ import annotations

import importlib
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Mapping


class Lazy(NamedTuple):
    """Where a command is, and what it does."""

    module: str
    """It holds the command under the command's own name."""
    summary: str
    attribute: str = ""
    """Its name in the module, where that is another."""


class LazyGroup(click.Group):
    """A group whose commands are imported one at a time."""

    def __init__(self, *args: Any, found: Mapping[str, Lazy], **given: Any) -> None:
        super().__init__(*args, **given)
        self.found = found

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """See click."""
        return list(self.found)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:  # noqa: ARG002
        """See click; an unknown name gets a suggestion."""
        if cmd_name not in self.found:
            near = get_close_matches(cmd_name, self.found, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"commands: {', '.join(self.found)}"
            raise click.UsageError(f"no command '{cmd_name}'; {hint}")
        meant = self.found[cmd_name]
        module = importlib.import_module(meant.module)
        command: click.Command = getattr(module, meant.attribute or cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The summaries, without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.summary) for name, each in self.found.items()])
