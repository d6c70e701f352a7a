"""One sheet as a table: where its header is, what its columns are called, and which rows are data."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from polyport.errors import InputError
from polyport.ports.input._infer import person_text, unique
from polyport.ports.input._settings import listed, suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LOOKED_AT = 100
"""Rows in which a header is looked for."""
_ERRORS = {"#N/A", "#VALUE!", "#REF!", "#DIV/0!", "#NUM!", "#NAME?", "#NULL!", "#SPILL!", "#CALC!"}
_TOTAL = re.compile(r"(grand\s+|sub[\s-]?)?(totals?|sums?)\b", re.IGNORECASE)
_TOTAL_ONLY = re.compile(r"(grand\s+|sub[\s-]?)?(totals?|sums?)\s*:?", re.IGNORECASE)
_BELOW = 20
"""Rows below a possible header that say how wide the table is."""
_EXACT = 2**53
_NAMED = 5

Cell = Any
Row = list[Cell]
Merge = tuple[tuple[int, int], tuple[int, int]]
"""(row, column) of the first and of the last cell, counted from 0."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the settings say that sheets look."""

    sheet: Any = 0
    header: int = 0
    """The header's 1-based row; 0: to be found."""
    skip_rows: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)
    totals: tuple[str, ...] | None = None
    where: str = ""


@dataclass(slots=True)
class Counted:
    """How many cells of a kind there are, and the first of them."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, reference: str) -> None:
        """One more, at `reference` (`C3`; empty: not known)."""
        self.count += 1
        if reference and len(self.first) < _NAMED:
            self.first.append(reference)

    @property
    def at(self) -> str:
        """` (C3, C4)`; empty where it is not known."""
        return f" ({', '.join(self.first)})" if self.first else ""


@dataclass(frozen=True, slots=True)
class Odd:
    """Cells that are read as empty, and are not."""

    errors: Counted = field(default_factory=Counted)
    uncalculated: Counted = field(default_factory=Counted)
    """Formulas that were written by a program which does not calculate."""


@dataclass(slots=True)
class Sheet:
    """A sheet, laid out. Its cells stay in the reader's own compact form; rows are made as they are asked for."""

    source: Any
    file: str
    name: str
    header: int
    """1-based row."""
    columns: tuple[str, ...]
    at: tuple[int, ...]
    """For each column, its index in a row."""
    totals: tuple[str, ...] | None
    filled: Mapping[int, tuple[tuple[int, int], ...]]
    """First row of a merge that goes down -> its column index and last row."""
    cells: int
    note: str = ""

    @property
    def label(self) -> str:
        """`warner.xlsx, sheet Costs`."""
        return f"{self.file}, sheet {self.name}"

    def rows(self) -> Iterator[tuple[int, Row]]:
        """The data rows: the 1-based number in the sheet, and the cells in the order of `columns`."""
        for number, cells, dropped in self.walk():
            if not dropped:
                yield number, [_value(cells[i]) for i in self.at]

    def walk(self) -> Iterator[tuple[int, Row, str]]:
        """Every row below the header, merges filled in, and why it is dropped: `blank`, `total`, or empty."""
        pending: dict[int, tuple[int, Cell]] = {}
        for index, cells in enumerate(self.source.iter_rows()):
            if index < self.header:
                continue
            dropped = _dropped(cells, self.totals)
            for column, (last, value) in list(pending.items()):
                if index > last:
                    del pending[column]
                elif cells[column] == "":
                    cells[column] = value
            for column, last in self.filled.get(index, ()):
                pending[column] = (last, cells[column])
            yield index + 1, cells, dropped


def lay_out(source: Any, file: str, layout: Layout, odd: Odd) -> Sheet:
    """The sheet `source` (a calamine sheet), laid out. `odd`: its cells that are not as empty as they seem.

    Raises:
        InputError: It is empty, no header can be found, or `columns` names one that is not there.
    """
    label = f"{file}, sheet {source.name}"
    if source.start is None or source.end is None:
        raise InputError(f"{label} is empty", where=layout.where, fix="fill it, or choose another")
    merges = source.merged_cell_ranges or []
    header = _header(source, label, layout, merges)
    cells = next(islice(source.iter_rows(), header - 1, None))
    names = _header_names(cells, header - 1, source.start[1], merges)
    used = _used(source, header, len(cells))
    at = tuple(i for i in range(len(cells)) if names[i] or i in used)
    columns = _columns([(names[i], i + source.start[1]) for i in at], label, layout)
    filled: dict[int, tuple[tuple[int, int], ...]] = {}
    for (top, left), (bottom, _) in merges:
        if bottom > top >= header and 0 <= left - source.start[1] < len(cells):
            filled[top] = (*filled.get(top, ()), (left - source.start[1], bottom))
    size = source.height * source.width
    made = Sheet(source, file, source.name, header, columns, at, layout.totals, filled, size)
    made.note = _note(made, odd)
    return made


def _header(source: Any, label: str, layout: Layout, merges: Sequence[Merge]) -> int:
    """The header's 1-based row."""
    last = source.end[0] + 1
    if layout.header:
        if layout.header > last:
            raise InputError(
                f"{label} has no row {layout.header} for a header: its last is {last}",
                where=layout.where,
                fix="correct `header`, or write `header: auto`",
            )
        return layout.header
    rows = list(islice(source.iter_rows(), layout.skip_rows, layout.skip_rows + _LOOKED_AT))
    left = source.start[1]
    for index, cells in enumerate(rows, layout.skip_rows):
        below = rows[index - layout.skip_rows + 1 :][:_BELOW]
        if _is_header(cells, _header_names(cells, index, left, merges), below):
            return index + 1
    raise InputError(
        f"{label}: no row among the first {len(rows)} looks like a header",
        where=layout.where,
        fix="write `header: N` with the row's number as the sheet shows it",
    )


def _is_header(cells: Row, names: list[str], below: Sequence[Row]) -> bool:
    """True if most of the table's columns have a text here, mostly different ones, and data comes below."""
    filled = [_count(row) for row in below if _count(row)]
    if not filled:
        return False
    width = max([*filled, _count(cells)])
    others = sum(1 for cell in cells if not isinstance(cell, str))
    texts = [name for name in names if name]
    most = (len(texts) - others) * 2 > max(width, _count(cells))
    return most and len(set(texts)) * 2 > len(texts)


def _count(cells: Row) -> int:
    return sum(1 for cell in cells if not _blank(cell))


def _blank(cell: Cell) -> bool:
    return isinstance(cell, str) and not cell.strip()


def _header_names(cells: Row, row: int, left: int, merges: Sequence[Merge]) -> list[str]:
    """The header's texts, those of merged cells over all their columns."""
    names = [person_text(cell).strip() for cell in cells]
    for (top, first), (bottom, last) in merges:
        if top <= row <= bottom and 0 <= first - left < len(names):
            for column in range(first - left, min(last - left + 1, len(names))):
                names[column] = names[column] or names[first - left]
    return names


def _used(source: Any, header: int, width: int) -> set[int]:
    """The columns that have a cell below the header."""
    used: set[int] = set()
    for cells in islice(source.iter_rows(), header, None):
        used.update(i for i, cell in enumerate(cells) if not _blank(cell))
        if len(used) == width:
            break
    return used


def _columns(found: list[tuple[str, int]], label: str, layout: Layout) -> tuple[str, ...]:
    texts = [text for text, _ in found]
    for name in layout.columns:
        if name not in texts:
            raise InputError(
                f"{label} has no column {name!r} that `columns` names",
                where=layout.where,
                fix=suggest(name, [t for t in texts if t]),
            )
    plain = [
        layout.columns.get(text) or snake(text) or f"column_{letters(at).lower()}"
        for text, at in found
    ]
    return tuple(unique(plain))


def snake(text: str) -> str:
    """` Budget (USD)` -> `budget_usd`; `BoxOffice` -> `box_office`. Empty where there is no letter or digit."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    name = re.sub(r"[^\w]+|_+", "_", parted).strip("_").lower()
    return f"n{name}" if name[:1].isdigit() else name


def letters(index: int) -> str:
    """A column's letters: 0 -> A, 26 -> AA."""
    text = ""
    number = index + 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(65 + rest) + text
    return text


def _dropped(cells: Row, totals: tuple[str, ...] | None) -> str:
    filled = [cell for cell in cells if not _blank(cell)]
    if not filled:
        return "blank"
    first = filled[0]
    if isinstance(first, str) and _is_total(first.strip(), filled[1:], totals):
        return "total"
    return ""


def _is_total(first: str, rest: Row, totals: tuple[str, ...] | None) -> bool:
    """True for `Total`, and for `Total 2019` if but numbers follow: `Total Recall` is a film."""
    if totals is not None:
        starts = (re.match(rf"{re.escape(word)}(\b|\W|$)", first, re.IGNORECASE) for word in totals)
        return any(starts)
    if _TOTAL_ONLY.fullmatch(first):
        return True
    numbers = all(isinstance(c, int | float) and not isinstance(c, bool) for c in rest)
    return bool(rest) and numbers and bool(_TOTAL.match(first))


def _value(cell: Cell) -> Cell:
    """A cell as a value: blank and error cells are None, a whole number is an int."""
    if isinstance(cell, str):
        return None if not cell or cell in _ERRORS or not cell.strip() else cell
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _EXACT:
        return int(cell)
    return cell


def _note(sheet: Sheet, odd: Odd) -> str:
    counts: Counter[str] = Counter()
    dropped: list[str] = []
    texts = 0
    for number, cells, reason in sheet.walk():
        counts[reason] += 1
        if reason == "total":
            dropped.append(str(number))
        texts += sum(1 for c in cells if isinstance(c, str) and c in _ERRORS)
    parts = [f"{sheet.label}: header in row {sheet.header}", f"{counts['']:,} rows"]
    if dropped:
        word = "row" if len(dropped) == 1 else "rows"
        parts.append(f"{len(dropped)} totals {word} skipped (row {listed(dropped, 5)})")
    if counts["blank"]:
        parts.append(f"{counts['blank']:,} blank rows skipped")
    if odd.errors.count + texts:
        parts.append(f"{odd.errors.count + texts:,} error cells read as empty{odd.errors.at}")
    if odd.uncalculated.count:
        parts.append(
            f"{odd.uncalculated.count:,} formulas without a value read as empty{odd.uncalculated.at}: "
            "open it in a spreadsheet program and save it"
        )
    return ", ".join(parts)
