"""What the engine's CSV reader complains of, in one sentence that names the line."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

if TYPE_CHECKING:
    from _csv import Reader

_SNIFFED = re.compile(r'Error when sniffing file "(.*)"\.')
_LINE = re.compile(r"CSV Error on Line: (\d+)")
_FILE = re.compile(r"^  file = (.*)$", re.MULTILINE)
_CELLS = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_VALUE = re.compile(
    r"Error when converting column \"(.*)\"\. Could not convert string (\".*\") to '(.*)'",
    re.DOTALL,
)
_DELIMITER = re.compile(r"Delimiter is set to '(.*?)'\. Consider", re.DOTALL)
_QUOTE = re.compile(r"Quote is set to '(.*?)'\. Consider")
_FIELD_LIMIT = 1 << 24
_ROWS = 1_000_000
"""How far a file is searched for the first odd row."""


class CsvError(NamedTuple):
    """One complaint."""

    message: str
    fix: str
    path: str
    """The file, as the engine was given it."""


def told(text: str) -> CsvError | None:
    """What the engine's message `text` says of a CSV file; None where it is about something else."""
    if sniffed := _SNIFFED.match(text):
        return _sniffed(sniffed[1], text)
    numbered = _LINE.match(text)
    if numbered is None:
        return None
    file = _FILE.search(text)
    what, fix = _said(text)
    return CsvError(f"line {int(numbered[1]):,}: {what}", fix, file[1] if file else "")


def _said(text: str) -> tuple[str, str]:
    if found := _VALUE.search(text):
        column, value, kind = found.groups()
        fix = f"types: {{{column}: VARCHAR}} reads the column as text"
        return f"{value} in column {column!r} is not a {kind}, as the rows before are", fix
    if found := _CELLS.search(text):
        return f"{found[2]} cells where the header has {found[1]}", _fix(found[2], found[1])
    if "unterminated quote" in text:
        return (
            "a quote is opened and never closed",
            "close it, or set `quote` to what quotes values",
        )
    lines = [line for line in text.splitlines()[1:] if not line.startswith("Original Line")]
    return (lines[0] if lines else "it is not well-formed CSV"), ""


def _sniffed(path: str, text: str) -> CsvError:
    delimiter, quote = _DELIMITER.search(text), _QUOTE.search(text)
    mark = delimiter[1] if delimiter else ","
    return _odd_row(path, mark, quote[1] if quote else '"') or CsvError(
        f"it is not CSV with {mark!r} between the cells", "set `delimiter` and `quote`", path
    )


def _odd_row(path: str, delimiter: str, quote: str) -> CsvError | None:
    """The first row with more or fewer cells than the first of all."""
    csv.field_size_limit(_FIELD_LIMIT)
    try:
        with pa.input_stream(path, compression="detect") as raw:
            lines = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
            return _compared(csv.reader(lines, delimiter=delimiter, quotechar=quote), path)
    except (OSError, csv.Error, TypeError):  # only the place is lost
        return None


def _compared(rows: Reader, path: str) -> CsvError | None:
    """What `_odd_row` gives, of rows that were parsed."""
    header, line = 0, 1
    for _, row in zip(range(_ROWS), rows, strict=False):
        header = header or len(row)
        if row and len(row) != header:
            return CsvError(
                f"line {line:,}: {len(row)} cells where the header has {header}",
                _fix(str(len(row)), str(header)),
                path,
            )
        line = rows.line_num + 1
    return None


def _fix(found: str, expected: str) -> str:
    if int(found) > int(expected):
        return "put quotes around text that holds the delimiter, or set `delimiter`"
    return "look for a quote that is not closed, or a line that is cut off"
