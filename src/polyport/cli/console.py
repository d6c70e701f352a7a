"""How the commands talk: styles, tables, numbers, errors. Data goes to stdout, talk to stderr."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import unicodedata
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from polyport.errors import DescriptorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from typing import TextIO

    from polyport.errors import PolyportError

WIDEST = 110
READABLE = 16
"""Characters below which a cut column says little."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""What a terminal would obey instead of showing."""


def talk(text: str = "") -> None:
    """Say something to the person at the terminal."""
    click.echo(text, err=True, color=_color(sys.stderr))


def say(text: str = "") -> None:
    """Print a result."""
    click.echo(text, color=_color(sys.stdout))


def say_json(value: Any) -> None:
    """Print `value` as JSON; dates as ISO 8601, decimals with all their digits as text."""
    click.echo(json.dumps(value, default=plain, ensure_ascii=False, indent=2))


def dim(text: object) -> str:
    """Less important."""
    return click.style(str(text), dim=True)


def bold(text: object) -> str:
    """A title."""
    return click.style(str(text), bold=True)


def good(text: object) -> str:
    """It went well."""
    return click.style(str(text), fg="green")


def warning(text: object) -> str:
    """Worth a look."""
    return click.style(str(text), fg="yellow")


def bad(text: object) -> str:
    """It failed."""
    return click.style(str(text), fg="red")


def accent(text: object) -> str:
    """A name or a number that matters."""
    return click.style(str(text), fg="cyan")


def number(value: float | None) -> str:
    """`1,102`; fractions with two digits; `-` for None."""
    if value is None:
        return "-"
    return (
        f"{value:,}"
        if isinstance(value, int) or float(value).is_integer() is False
        else f"{int(value):,}"
    )


def size(count: float) -> str:
    """`1.4 MB`."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:  # noqa: PLR2004 - decimal units
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def cell(value: Any) -> str:
    """A value as a person reads it in a table."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.6g}" if abs(value) < 1e15 else repr(value)  # noqa: PLR2004 - no digits beyond
    if isinstance(value, Decimal):
        return f"{value:,}"
    if isinstance(value, dict | list):
        return json.dumps(value, default=plain, ensure_ascii=False)
    return CONTROL.sub(" ", str(value))


def plain(value: Any) -> Any:
    """`value` as JSON can hold it."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def pasted(path: Path) -> str:
    """`path` as a shell reads it: quoted where it holds a space or the like."""
    return shlex.quote(str(path))


def width() -> int:
    """How wide a line may be."""
    return min(shutil.get_terminal_size((WIDEST, 24)).columns, 140)


def table(
    header: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Iterable[str] = ()
) -> list[str]:
    """Lines of an aligned table; columns are cut so that a line fits the terminal. `right`: number columns."""
    texts = [[cell(v) for v in row] for row in rows]
    widths = [max(columns(t) for t in (h, *(r[i] for r in texts))) for i, h in enumerate(header)]
    if sys.stdout.isatty():  # a file or a pipe gets every character
        widths = _fit(widths, shutil.get_terminal_size((WIDEST, 24)).columns)
    flush = set(right)

    def line(cells: Sequence[str]) -> str:
        parts = [
            _padded(cut(c, w), w, right=h in flush)
            for c, w, h in zip(cells, widths, header, strict=True)
        ]
        return "  ".join(parts).rstrip()

    return [dim(line(header)), *map(line, texts)]


def fitting(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
    """How many of the columns fit the terminal with up to 16 characters each; all where it is no terminal."""
    if not sys.stdout.isatty():
        return len(header)
    room = shutil.get_terminal_size((WIDEST, 24)).columns
    for at, name in enumerate(header):
        widest = max(columns(text) for text in (name, *(cell(row[at]) for row in rows)))
        room -= min(widest, READABLE) + 2
        if room < 0:
            return max(at, 1)
    return len(header)


def show_error(error: PolyportError, *, as_json: bool = False) -> None:
    """The error as its class and place say, what to do, and what is unchanged."""
    if as_json:
        say_json({"error": error_document(error)})
        return
    if isinstance(error, DescriptorError) and error.diagnostics:
        from polyport.cli.diagnostics import render_text

        talk(render_text(error.diagnostics, color=colored(sys.stderr)))
    talk(f"{click.style('error', fg='red', bold=True)}[{error.code}]: {bold(error.message)}")
    if error.where:
        talk(f"  {accent('-->')} {error.where}")
    if error.fix:
        talk(f"  {accent('fix:')} {error.fix}")
    if error.unchanged:
        talk(f"\n{error.unchanged}")


def error_document(error: PolyportError) -> dict[str, Any]:
    """The error as `--json` says it; with the diagnostics, where it has some."""
    if not isinstance(error, DescriptorError) or not error.diagnostics:
        return error.record()
    from polyport.cli.diagnostics import to_json

    return {**error.record(), "diagnostics": to_json(error.diagnostics)}


def colored(stream: TextIO) -> bool:
    """Whether colours may go to `stream`: to a terminal, where nobody objects."""
    return stream.isatty() and "NO_COLOR" not in os.environ


def _color(stream: TextIO) -> bool | None:
    return None if colored(stream) else False  # None: click finds out by itself


def cut(text: str, width: int) -> str:
    """`text`, with an ellipsis where a terminal needs more than `width` columns for it."""
    if columns(text) <= width:
        return text
    while text and columns(text) > width - 1:
        text = text[: min(len(text) - 1, width - 1)]
    return text + "…"


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes: East Asian characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _padded(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - columns(text))
    return space + text if right else text + space


def _fit(widths: list[int], room: int) -> list[int]:
    """Narrow the widest columns until all fit."""
    room -= 2 * (len(widths) - 1)
    while sum(widths) > room and max(widths, default=0) > 8:  # noqa: PLR2004 - below, a column says nothing
        widest = widths.index(max(widths))
        widths[widest] -= 1
    return widths
