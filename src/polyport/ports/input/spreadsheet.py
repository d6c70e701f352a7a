"""`spreadsheet`: workbooks as people keep them, xlsx, xlsb, xls and ods, put together as one table."""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport.errors import ConfigurationError, InputError
from polyport.ports.input import _expect, _sheet, _source, _workbook
from polyport.ports.input._infer import BATCH_ROWS, Shape, column, person_text, sql_type
from polyport.ports.input._settings import settings, suggest, where_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from polyport.ports.input import InputContext, Keep, RawObject, Received

_KNOWN = (
    "path", "sheet", "header", "columns", "totals", "skip_rows", "types", "options", "object",
)  # fmt: skip
_ADDED = {"_file": pa.string(), "_sheet": pa.string(), "_row": pa.int64()}
_CELLS_HELD = 2_000_000
"""Workbooks are read again for the second pass once those that are held have this many cells."""


class SpreadsheetInput:
    """Sheets of one or more workbooks. See `docs/input-ports.md` for the settings."""

    def __init__(self, context: InputContext) -> None:
        self.context = context
        self.where = where_of(context.spec.name)
        self.settings = settings(context.spec.settings, _KNOWN, where=self.where)
        self.settings.required("path", "inputs/*.xlsx")
        self.layout = _layout(context, self.where)
        self.types = {k: sql_type(str(v), self.where) for k, v in self._types().items()}
        self.wanted = _expect.expected(context)
        self._held: dict[tuple[str, str], list[_sheet.Sheet]] = {}

    def fetch(self, keep: Keep, previous: Received | None) -> Received:  # noqa: ARG002 - read anew
        """See `InputPort.fetch`."""
        options = self.settings.mapping("options")
        patterns = self.settings.texts("path")
        found = _source.find(patterns, self.context.home, where=self.where, options=options)
        kept = [
            keep(
                one.name,
                _source.content(one, self.where),
                origin=one.origin,
                media_type=mimetypes.guess_type(one.name)[0] or "application/octet-stream",
            )
            for one in found
        ]
        notes = [sheet.note for sheet in self._sheets(kept)]
        return _source.received(self.context.spec.name, kept, notes=notes)

    def read(self, received: Received) -> pa.RecordBatchReader:
        """See `InputPort.read`."""
        objects = received.objects
        shapes: dict[str, Shape] = {}
        nulls: dict[str, str] = {}
        rows = 0
        for sheet in self._sheets(objects):
            rows += _measure(sheet, shapes, nulls)
            for name in shapes.keys() - set(sheet.columns):
                nulls.setdefault(name, f"{sheet.label}, which has no such column")
        texts = _expect.text_columns(self.wanted)
        kinds = {name: _type(name, s, texts, self.types) for name, s in shapes.items()}
        self._check(shapes, kinds, rows, nulls)
        self._lost_types(kinds)
        schema = pa.schema([*kinds.items(), *_ADDED.items()])
        return pa.RecordBatchReader.from_batches(schema, self._batches(objects, schema))

    def _types(self) -> dict[str, Any]:
        return self.settings.mapping("types")

    def _lost_types(self, kinds: dict[str, pa.DataType]) -> None:
        for name in self.types:
            if name not in kinds:
                raise InputError(
                    f"no sheet has the column {name!r} that `types` names",
                    where=self.where,
                    fix=suggest(name, kinds),
                )

    def _check(
        self,
        shapes: dict[str, Shape],
        kinds: dict[str, pa.DataType],
        rows: int,
        nulls: dict[str, str],
    ) -> None:
        came = {
            name: _expect.Came(
                kinds[name] if shape.kinds else pa.null(),
                rows - shape.seen,
                nulls.get(name, ""),
            )
            for name, shape in shapes.items()
        }
        came |= {name: _expect.Came(kind) for name, kind in _ADDED.items()}
        _expect.check(self.wanted, _expect.Arrived(came, rows), self.context.spec.name)

    def _sheets(self, objects: Sequence[RawObject]) -> Iterator[_sheet.Sheet]:
        """The sheets of all workbooks, in order; small ones are kept for the next time."""
        for kept, label in zip(objects, _source.labels(objects), strict=True):
            known = self._held.get((kept.sha256, label))
            if known is not None:
                yield from known
                continue
            made = []
            for sheet in _workbook.sheets(kept.path, label, self.layout):
                made.append(sheet)
                yield sheet
            held = sum(s.cells for sheets in self._held.values() for s in sheets)
            if held + sum(s.cells for s in made) <= _CELLS_HELD:
                self._held[kept.sha256, label] = made

    def _batches(self, objects: Sequence[RawObject], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for sheet in self._sheets(objects):
            rows: list[tuple[int, list[Any]]] = []
            for row in sheet.rows():
                rows.append(row)
                if len(rows) == BATCH_ROWS:
                    yield self._batch(sheet, rows, schema)
                    rows = []
            if rows:
                yield self._batch(sheet, rows, schema)

    def _batch(
        self, sheet: _sheet.Sheet, rows: list[tuple[int, list[Any]]], schema: pa.Schema
    ) -> pa.RecordBatch:
        places = {name: index for index, name in enumerate(sheet.columns)}
        arrays = []
        for part in schema:
            if part.name == "_row":
                arrays.append(pa.array([number for number, _ in rows], pa.int64()))
            elif part.name in _ADDED:
                said = sheet.file if part.name == "_file" else sheet.name
                arrays.append(pa.repeat(pa.scalar(said, pa.string()), len(rows)))
            elif part.name in places:
                values = [cells[places[part.name]] for _, cells in rows]
                arrays.append(self._column(sheet, rows, values, part))
            else:
                arrays.append(pa.nulls(len(rows), part.type))
        return pa.record_batch(arrays, schema)

    def _column(
        self, sheet: _sheet.Sheet, rows: list[tuple[int, list[Any]]], values: list[Any], part: Any
    ) -> pa.Array:
        try:
            return column(values, part.type)
        except ValueError as error:
            index, value = error.args
            raise InputError(
                f"{sheet.label}, row {rows[index][0]}, column `{part.name}`: "
                f"{person_text(value)!r} is not {_expect.kind_name(part.type)}",
                where=self.where,
                fix=f"correct the cell, or leave `{part.name}` out of `types`",
            ) from error


def _measure(sheet: _sheet.Sheet, shapes: dict[str, Shape], nulls: dict[str, str]) -> int:
    """Adds the sheet's cells to `shapes`, and where a column first has none to `nulls`; its number of rows."""
    tracked = [shapes.setdefault(name, Shape()) for name in sheet.columns]
    count = 0
    for number, cells in sheet.rows():
        count += 1
        for name, shape, value in zip(sheet.columns, tracked, cells, strict=True):
            if value is None:
                if name not in nulls:
                    nulls[name] = f"{sheet.label}, row {number}"
            else:
                shape.add(value)
    return count


def _type(name: str, shape: Shape, texts: set[str], types: dict[str, pa.DataType]) -> pa.DataType:
    """As told, else as the contract says of texts, else what holds all cells; whole numbers are integers."""
    if name in types:
        return types[name]
    return pa.string() if name in texts else shape.type()


def _layout(context: InputContext, where: str) -> _sheet.Layout:
    given = settings(context.spec.settings, _KNOWN, where=where)
    header = given.values.get("header", "auto")
    if header != "auto" and (isinstance(header, bool) or not isinstance(header, int) or header < 1):
        raise ConfigurationError(
            f"header is {header!r}",
            where=where,
            fix="`auto`, or the row's number as the sheet shows it",
        )
    return _sheet.Layout(
        sheet=given.values.get("sheet", 0),
        header=0 if header == "auto" else header,
        skip_rows=given.integer("skip_rows", 0),
        columns=given.names("columns"),
        totals=_totals(given.values.get("totals", "auto"), where),
        where=where,
    )


def _totals(given: Any, where: str) -> tuple[str, ...] | None:
    """The words at the start of a totals row; None: as usual; empty: no row is one."""
    if given == "auto":
        return None
    if given == "keep":
        return ()
    words = given.get("skip") if isinstance(given, dict) and len(given) == 1 else None
    if not isinstance(words, list) or not all(isinstance(w, str) and w for w in words):
        raise ConfigurationError(
            "totals cannot be read", where=where, fix="`auto`, `keep`, or `{skip: [TOTAL, Sum]}`"
        )
    return tuple(words)
