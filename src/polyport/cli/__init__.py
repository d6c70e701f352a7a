"""The command line: each command calls one method of the library and prints what it returns.

Commands are imported when they are called, so that `polyport -h` is quick; their summaries stand here.
"""

from __future__ import annotations

import gc
import os
import sys

import click

from polyport import __version__
from polyport.cli.lazy import Lazy, LazyGroup

COMMANDS = {
    "init": "Start a data product that builds at once",
    "check": "Find mistakes before you build",
    "explain": "What a diagnostic code means, with a right and a wrong example",
    "build": "Read inputs, transform, check, publish a snapshot",
    "serve": "Open every output port",
    "demo": "Build and serve the Messflix example",
    "history": "The snapshots, newest first",
    "diff": "What changed between two snapshots",
    "rows": "Rows of a dataset",
    "quality": "What the quality rules found",
    "access": "Who may come in, and what they would see",
    "agreement": "Data sharing agreements: ask, decide, end",
    "feedback": "What consumers say, and your answers",
    "lineage": "What columns are made from, and what is made from them",
    "metrics": "Who uses it and how much, and what it costs",
    "erase": "Remove a person or entity from all that is kept, and prove it",
    "doctor": "Is this machine ready, and is the state well?",
}

_NEW = 50_000
"""New objects between two collections: imports make 200,000 that stay; to look at them again and again takes 0.2 s."""


class Commands(LazyGroup):
    """All commands, with a help of their own."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Usage and summaries, without importing a command."""
        formatter.write("Data products from a folder: build, check, publish, serve.\n\n")
        formatter.write(f"{click.style('Usage:', bold=True)} polyport COMMAND [OPTIONS] [DIR]\n\n")
        for name, summary in COMMANDS.items():
            formatter.write(f"  {click.style(name.ljust(9), fg='cyan')} {summary}\n")
        formatter.write(
            "\nDIR is the product's folder, or a mesh of them; the current one if left out.\n"
        )
        formatter.write("polyport COMMAND -h tells more. Data goes to stdout, talk to stderr.\n")


@click.group(
    cls=Commands,
    found={name: Lazy(f"polyport.cli.{name}", summary) for name, summary in COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="polyport")
def cli() -> None:
    """Build and serve data products."""


def _misuse(error: click.ClickException) -> None:
    """A wrong command line, in words; with `--json` as a document on stdout, like every other error."""
    if "--json" not in sys.argv:
        error.show()
        return
    from polyport.cli.console import show_error
    from polyport.errors import ConfigurationError

    path = getattr(getattr(error, "ctx", None), "command_path", "polyport")
    found = ConfigurationError(error.format_message(), fix=f"{path} --help")
    show_error(found, as_json=True)


def main() -> None:
    """Run the CLI; an error of ours is shown in one shape, and its class sets the exit status."""
    gc.set_threshold(_NEW)
    from polyport.errors import PolyportError

    try:
        status = cli(prog_name="polyport", standalone_mode=False)
    except PolyportError as error:
        from polyport.cli.console import show_error

        show_error(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except click.Abort:
        from polyport.cli.console import show_error

        stopped = PolyportError("interrupted")
        stopped.unchanged = "a run that was cut off published nothing"
        show_error(stopped, as_json="--json" in sys.argv)
        sys.exit(130)
    except click.ClickException as error:
        _misuse(error)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is not None:  # a file of ours: what reads or writes it says so itself
            raise
        from polyport.errors import StoreError

        click.echo(f"error[{StoreError.code}]: cannot write: {error.strerror}", err=True)
        os._exit(StoreError.exit_code)  # what is left in stdout's buffer cannot be written either
    sys.exit(status if isinstance(status, int) else 0)
