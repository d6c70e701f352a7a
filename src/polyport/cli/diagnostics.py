"""Diagnostics as text for a person, and as JSON, SARIF and GitHub workflow commands for tools."""

from __future__ import annotations

import unicodedata
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from polyport.errors import Diagnostic, Place

_COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}
_WIDEST = 160
_BEFORE = 60
"""Of a line too long to show: what stands before the caret."""


def render_text(diagnostics: Sequence[Diagnostic], *, color: bool) -> str:
    """The diagnostics like a compiler's: the line, a caret, what to do; a blank line after each."""
    text = "\n".join("\n".join((*_block(each), "")) for each in diagnostics)
    return text if color else click.unstyle(text)


def to_json(diagnostics: Sequence[Diagnostic]) -> list[dict[str, Any]]:
    """One mapping for each diagnostic; the first of its places is where the problem is."""
    return [
        {
            "code": each.code,
            "severity": each.severity,
            "message": each.message,
            "fix": each.fix,
            "places": [
                {
                    "file": place.file,
                    "line": place.line,
                    "column": place.column,
                    "end_column": place.end_column,
                    "label": place.label,
                }
                for place in each.places
            ],
        }
        for each in diagnostics
    ]


def to_sarif(diagnostics: Sequence[Diagnostic], version: str) -> dict[str, Any]:
    """A SARIF 2.1.0 log. `version`: Polyport's."""
    from polyport.descriptor import codes

    used = [codes.explain(code) for code in dict.fromkeys(d.code for d in diagnostics)]
    rules = [
        {
            "id": entry.code,
            "shortDescription": {"text": entry.title},
            "fullDescription": {"text": entry.text},
        }
        for entry in used
    ]
    index = {entry.code: at for at, entry in enumerate(used)}
    driver = {"name": "polyport", "semanticVersion": version, "rules": rules}
    results = [_result(each, index[each.code]) for each in diagnostics]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }


def to_github(diagnostics: Sequence[Diagnostic]) -> list[str]:
    """One workflow command for each diagnostic: GitHub shows them at their lines."""
    return [_command(each) for each in diagnostics]


def _block(each: Diagnostic) -> Iterator[str]:
    colour = _COLOURS[each.severity]
    head = click.style(f"{each.severity}[{each.code}]", fg=colour, bold=True)
    yield f"{head}{click.style(f': {each.message}', bold=True)}"
    width = len(str(max((place.line for place in each.places), default=0)))
    margin, bar = " " * width, _blue("|")
    if each.places:
        yield f"{margin}{_blue('-->')} {each.places[0]}"
    lined = [place for place in each.places if place.line]
    if lined:
        yield f"{margin} {bar}"
        yield from _lines(lined, each.places[0], colour, width)
        yield f"{margin} {bar}"
    for place in each.places[1:]:
        if not place.line:
            yield f"{margin} {_blue('=')} {_blue('also')}: {place}" + (
                f" ({place.label})" if place.label else ""
            )
    if each.fix:
        yield f"{margin} {_blue('=')} {click.style('help', fg='cyan', bold=True)}: {each.fix}"


def _lines(places: Sequence[Place], first: Place, colour: str, width: int) -> Iterator[str]:
    """The lines with their carets: those of one file in its order, the problem's own file first."""
    order = {file: rank for rank, file in enumerate(dict.fromkeys(p.file for p in places))}
    ordered = sorted(places, key=lambda p: (order[p.file], p.line, p.column))
    before: Place | None = None
    for place in ordered:
        if before is not None and place.file != before.file:
            yield f"{' ' * width}{_blue(':::')} {place}"
        elif before is not None and place.line > before.line + 1:
            yield _blue("...")
        if before is None or (place.file, place.line) != (before.file, before.line):
            yield f"{_blue(f'{place.line:>{width}} |')} {_shown(place)[0]}"
        yield f"{' ' * width} {_blue('|')} {_caret(place, colour if place is first else 'blue', place is first)}"
        before = place


def _caret(place: Place, colour: str, primary: bool) -> str:
    text, column = _shown(place)
    length = max(place.end_column - place.column, 1)
    marked = text[column - 1 : column - 1 + length]
    blank = "".join("\t" if sign == "\t" else " " * _cells(sign) for sign in text[: column - 1])
    blank += " " * (column - 1 - len(text))
    mark = ("^" if primary else "-") * max(sum(map(_cells, marked)), 1)
    return blank + click.style(f"{mark} {place.label}".rstrip(), fg=colour, bold=primary)


def _shown(place: Place) -> tuple[str, int]:
    """The part of the line that fits, and the column in it."""
    text, column = place.source.rstrip(), place.column
    if column > _WIDEST - _BEFORE:
        cut = column - _BEFORE
        text, column = "..." + text[cut:], column - cut + 3
    return (text if len(text) <= _WIDEST else text[:_WIDEST] + "..."), column


def _cells(sign: str) -> int:
    """How many columns of a terminal a character takes."""
    if unicodedata.combining(sign):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def _blue(text: str) -> str:
    return click.style(text, fg="blue", bold=True)


def _result(each: Diagnostic, rule: int) -> dict[str, Any]:
    text = each.message + (f" ({each.fix})" if each.fix else "")
    result: dict[str, Any] = {
        "ruleId": each.code,
        "ruleIndex": rule,
        "level": _LEVELS[each.severity],
        "message": {"text": text},
        "locations": [_location(place) for place in each.places[:1]],
    }
    related = [
        {"id": at, **_location(place), "message": {"text": place.label or "related"}}
        for at, place in enumerate(each.places[1:], 1)
    ]
    return result | ({"relatedLocations": related} if related else {})


def _location(place: Place) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(place.file)}}
    if place.line:
        physical["region"] = {
            "startLine": place.line,
            "startColumn": place.column,
            "endColumn": max(place.end_column, place.column + 1),
        }
    return {"physicalLocation": physical}


def _uri(file: str) -> str:
    from urllib.parse import quote

    path = PurePath(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _command(each: Diagnostic) -> str:
    place = each.places[0] if each.places else None
    parts = []
    if place is not None:
        parts.append(f"file={_property(place.file)}")
        if place.line:
            parts += [f"line={place.line}", f"col={place.column}"]
            parts.append(f"endColumn={max(place.end_column, place.column + 1)}")
    parts.append(f"title={each.code}")
    text = each.message + (f": {each.fix}" if each.fix else "")
    return f"::{_COMMANDS[each.severity]} {','.join(parts)}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
