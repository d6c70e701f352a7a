"""XLSX (ISO/IEC 29500, SpreadsheetML), written as a stream: types kept, no formula, memory of one batch.

A header that is bold, stays in sight and filters; columns as wide as their first rows; a dataset too long for one sheet
(1,048,576 rows) goes on in the next.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from polyport.errors import QueryError
from polyport.ports.formats import xlsx_parts as parts
from polyport.ports.formats.batches import even, joined_bytes
from polyport.ports.formats.nested import plain
from polyport.ports.formats.text import TEXT, join
from polyport.ports.formats.xlsx_cells import cells

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from polyport.ports.formats.xlsx_cells import Cells

SHEET_ROWS = 1_048_576
"""With the header."""
SHEET_COLUMNS = 16_384

_ROWS = 16_384
_XML_BYTES = 1_900 * 2**20
"""A part of 2 GiB needs ZIP64 headers that spreadsheet programs offer to repair: the next sheet goes on before that."""
_SAMPLE = 1_000
_NARROW, _WIDE = 8, 60


@dataclass(frozen=True, slots=True)
class Sheet:
    """One dataset of a workbook."""

    name: str
    open: Callable[[], pa.RecordBatchReader]
    """Its rows; asked for when the sheet's turn comes, closed after it."""


def write(reader: pa.RecordBatchReader, sink: BinaryIO) -> int:
    """Write all rows to `sink` as a workbook with the sheet `Rows`; how many there were.

    Raises:
        QueryError: There are more columns than a sheet has.
    """
    return workbook([Sheet("Rows", lambda: reader)], sink)[0]


def workbook(
    sheets: Iterable[Sheet],
    sink: BinaryIO,
    *,
    about: Sequence[tuple[str, str]] = (),
    created: datetime | None = None,
) -> tuple[int, ...]:
    """Write a workbook of several datasets to `sink`; the rows of each.

    `about`: name and value, shown on a last sheet `About` with the datasets and their rows; empty: no such sheet.
    The bytes depend on the arguments alone, not on the clock.

    Raises:
        QueryError: A dataset has more columns than a sheet.
    """
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        book = _Book(archive)
        rows = tuple(_write_dataset(book, sheet) for sheet in sheets)
        if about or not book.sheets:
            _write_about(book, about)
        for name, content in parts.documents(book.sheets, created):
            book.store(name, content)
    return rows


class _Book:
    """A workbook being written: its archive, and the sheets that are in it so far."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.sheets: list[parts.Written] = []
        self.datasets: list[tuple[str, int]] = []

    def part(self, name: str) -> zipfile.ZipInfo:
        """A part, dated the same at all times."""
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        # ZipFile.open takes the level from here, and from nowhere else, when it is given a ZipInfo
        info._compresslevel = self.archive.compresslevel  # type: ignore[attr-defined]  # noqa: SLF001
        return info

    def store(self, name: str, content: str) -> None:
        """Write a small part."""
        self.archive.writestr(self.part(name), content)

    def sheet(self) -> BinaryIO:
        """The next sheet, open to be written."""
        name = parts.sheet_part(len(self.sheets) + 1)
        return self.archive.open(self.part(name), "w")  # type: ignore[return-value]

    def done(self, name: str, rows: int, columns: int) -> str:
        """Remember a sheet that has been written, under a name that a workbook admits."""
        legal = parts.sheet_name(name, {sheet.name.casefold() for sheet in self.sheets})
        self.sheets.append(parts.Written(legal, rows, columns))
        return legal


def _write_dataset(book: _Book, sheet: Sheet) -> int:
    with sheet.open() as reader:
        schema = reader.schema
        if len(schema) > SHEET_COLUMNS:
            raise QueryError(
                f"{sheet.name!r} has {len(schema)} columns, and a sheet {SHEET_COLUMNS}",
                where=sheet.name,
                fix="choose some with `fields`, or take another format",
            )
        feed = _Feed(even(reader, _ROWS))
        total = _write_sheet(book, sheet.name, schema, feed)
        while not feed.ended:
            total += _write_sheet(book, sheet.name, schema, feed)
    book.datasets.append((sheet.name, total))
    return total


class _Feed:
    """Batches that can be taken in part, with a look at what comes next."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self.batches = batches
        self.next = next(batches, None)

    @property
    def ended(self) -> bool:
        """No row is left."""
        return self.next is None

    def take(self, limit: int) -> pa.RecordBatch | None:
        """The next rows, at most `limit`; None at the end."""
        found = self.next
        if found is None or limit == 0:
            return None
        if found.num_rows > limit:
            self.next = found.slice(limit)
            return found.slice(0, limit)
        self.next = next(self.batches, None)
        return found


def _write_sheet(book: _Book, name: str, schema: pa.Schema, feed: _Feed) -> int:
    rows = size = 0
    with book.sheet() as part:
        part.write(parts.sheet_head(_widths(schema, feed.next), selected=not book.sheets).encode())
        part.write(joined_bytes(_header(schema)))
        while size < _XML_BYTES and (batch := feed.take(SHEET_ROWS - 1 - rows)) is not None:
            xml = joined_bytes(_rows(batch, first=rows + 2))
            part.write(xml)
            rows, size = rows + batch.num_rows, size + len(xml)
        part.write(parts.sheet_tail(rows, len(schema)).encode())
    book.done(name, rows, len(schema))
    return rows


def _widths(schema: pa.Schema, batch: pa.RecordBatch | None) -> list[int]:
    longest = [len(name) + 3 for name in schema.names]
    if batch is not None:
        sample = batch.slice(0, _SAMPLE)
        found = [pc.max(pc.utf8_length(plain(column))).as_py() or 0 for column in sample.columns]
        longest = [max(pair) for pair in zip(longest, found, strict=True)]
    return [min(max(length + 1, _NARROW), _WIDE) for length in longest]


def _header(schema: pa.Schema) -> pa.Array:
    names = [cells(pa.array([name], TEXT)) for name in schema.names]
    styled = [found._replace(head=f' s="{parts.HEADER}"{found.head}') for found in names]
    return _row_xml(styled, pa.array(["1"], TEXT))


def _rows(batch: pa.RecordBatch, *, first: int) -> pa.Array:
    """`<row>` elements; the first one has the number `first`."""
    numbers = pc.cast(pa.arange(first, first + batch.num_rows), TEXT)
    return _row_xml([cells(column) for column in batch.columns], numbers)


def _row_xml(columns: Sequence[Cells], numbers: pa.Array) -> pa.Array:
    pieces: list[str | pa.Array] = ['<row r="', numbers, '">']
    for at, found in enumerate(columns):
        cell = [f'<c r="{parts.letters(at)}', numbers, f'"{found.head}', found.values, found.tail]
        if found.values.null_count:
            cell = [join(cell).fill_null("")]
        pieces += cell
    return join([*pieces, "</row>"])


def _write_about(book: _Book, about: Sequence[tuple[str, str]]) -> None:
    rows = [*about, *((f"Rows of {name}", f"{rows:,}") for name, rows in book.datasets)]
    columns = [pa.array(column, TEXT) for column in zip(*rows, strict=True)] if rows else []
    batch = pa.record_batch(columns, names=["Name", "Value"][: len(columns)])
    with book.sheet() as part:
        part.write(parts.sheet_head([28, 90], selected=not book.sheets).encode())
        part.write(joined_bytes(_header(pa.schema([("About", TEXT), ("Value", TEXT)]))))
        part.write(joined_bytes(_rows(batch, first=2)) if rows else b"")
        part.write(parts.sheet_tail(len(rows), 2).encode())
    book.done("About", len(rows), 2)
