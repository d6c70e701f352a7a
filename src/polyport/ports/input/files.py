"""`files`: CSV, JSON, NDJSON and Parquet files, by glob or URL; the engine reads them where they are kept."""

from __future__ import annotations

import codecs
import mimetypes
import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from polyport.errors import ConfigurationError, InputError
from polyport.expression import quote
from polyport.model import Files, Query, Relation
from polyport.ports.input import _csv, _documents, _expect, _source
from polyport.ports.input._infer import sql_type
from polyport.ports.input._settings import listed, settings, suggest, where_of
from polyport.ports.input._union import union

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.ports.input import InputContext, Keep, RawObject, Received

Format = Literal["csv", "json", "ndjson", "parquet"]
_SUFFIXES: Mapping[str, Format] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".json": "json", ".ndjson": "ndjson",
    ".jsonl": "ndjson", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
_PACKED = (".gz", ".zst")
_CSV = (
    "delimiter",
    "header",
    "encoding",
    "quote",
    "decimal",
    "date_format",
    "nulls",
    "all_text",
    "skip_rows",
)
_MARKS = (b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_KNOWN = ("path", "format", "types", "filename", "columns", "options", "object", *_CSV)


@dataclass(frozen=True, slots=True)
class _File:
    """One kept file, as it is to be read."""

    label: str
    path: Path
    """In UTF-8: the kept file, or its transcoded copy."""
    columns: tuple[str, ...]
    """As its header or its schema says; empty where only the engine finds out."""
    skip: int = 0
    """CSV: lines above the first row."""
    delimiter: str = ","


class FilesInput:
    """Files of one format. See `docs/input-ports.md` for the settings."""

    def __init__(self, context: InputContext) -> None:
        self.context = context
        self.where = where_of(context.spec.name)
        self.settings = settings(context.spec.settings, _KNOWN, where=self.where)
        self.settings.required("path", "inputs/*.csv")
        self.wanted = _expect.expected(context)
        self.types = {str(k): str(v) for k, v in self.settings.mapping("types").items()}
        for kind in self.types.values():
            sql_type(kind, self.where)
        self._scratch: Path | None = None

    def fetch(self, keep: Keep, previous: Received | None) -> Received:  # noqa: ARG002 - read anew
        """See `InputPort.fetch`."""
        options = self.settings.mapping("options")
        patterns = self.settings.texts("path")
        found = _source.find(patterns, self.context.home, where=self.where, options=options)
        self._format([one.name for one in found])
        kept = [
            keep(
                one.name,
                _source.content(one, self.where),
                origin=one.origin,
                media_type=mimetypes.guess_type(one.name)[0] or "application/octet-stream",
            )
            for one in found
        ]
        return _source.received(self.context.spec.name, kept)

    def read(self, received: Received) -> Relation | pa.RecordBatchReader:
        """See `InputPort.read`."""
        form = self._format([o.name for o in received.objects])
        named = zip(received.objects, _source.labels(received.objects), strict=True)
        files = [self._file(kept, label, form) for kept, label in named]
        self._check(files, form)
        return self._relation(files, form)

    def _format(self, names: Sequence[str]) -> Format:
        if "format" in self.settings.values:
            return cast("Format", self.settings.choice("format", get_args(Format), ""))
        found = {name: _format_of(name) for name in names}
        kinds = {kind for kind in found.values() if kind}
        unknown = [name for name, kind in found.items() if not kind]
        if unknown:
            raise ConfigurationError(
                f"the name {unknown[0]!r} does not say which format it has",
                where=self.where,
                fix=_format_hint(unknown[0]),
            )
        if len(kinds) > 1:
            first = {kind: next(n for n, k in found.items() if k == kind) for kind in sorted(kinds)}
            raise InputError(
                f"the files are of several formats: {listed(first.values())}",
                where=self.where,
                fix="make one input port for each, or narrow `path`",
            )
        return kinds.pop()

    def _file(self, kept: RawObject, label: str, form: Format) -> _File:
        self._filled(kept, label)
        if form == "parquet":
            return _File(label, kept.path, _documents.parquet_columns(kept.path, label, self.where))
        if form in ("json", "ndjson"):
            _documents.check_whole(kept.path, label, form=form, where=self.where)
            return _File(label, kept.path, ())
        encoding = self.settings.text("encoding", "utf-8")
        path = _csv.decoded(kept.path, label, encoding, where=self.where, scratch=self.scratch)
        first = _csv.first_row(
            path,
            self.settings.text("delimiter"),
            self._quote,
            self.settings.integer("skip_rows", 0),
        )
        return _File(label, path, self._header(first.cells, label), first.skip, first.delimiter)

    def _filled(self, kept: RawObject, label: str) -> None:
        bare = kept.bytes <= len(codecs.BOM_UTF8) and kept.path.read_bytes() in _MARKS
        if bare:
            said = f"{kept.bytes} bytes" if kept.bytes == 0 else "only a byte order mark"
            raise InputError(
                f"{label} is empty ({said})", where=self.where, fix="deliver the file again"
            )

    def _header(self, first: tuple[str, ...], label: str) -> tuple[str, ...]:
        names = self.settings.texts("columns")
        if self.settings.flag("header", default=True):
            found = first
        else:
            found = names or tuple(f"column{i}" for i in range(len(first)))
        if names and len(names) != len(first):
            raise InputError(
                f"{label} has {len(first)} columns, `columns` names {len(names)}", where=self.where
            )
        lost = [name for name in self.types if name not in found]
        if lost:
            fix = suggest(lost[0], found)
            raise InputError(
                f"{label} has no column {lost[0]!r} that `types` names", where=self.where, fix=fix
            )
        return found

    def _check(self, files: Sequence[_File], form: Format) -> None:
        if self.wanted is None:
            return
        for one in files:
            if form == "csv":
                came = _csv.arrived(
                    one.path, one.label, one.columns, self.wanted, self._options(one)
                )
            elif form == "parquet":
                came = _documents.parquet_arrived(one.path, one.label)
            else:
                came = _documents.arrived(one.path, one.label, form, self.where)
            _expect.check(self.wanted, came, self.context.spec.name)

    def _relation(self, files: Sequence[_File], form: Format) -> Relation:
        """One relation over all files; those whose columns differ are put together by name.

        Equal files are kept once: where one comes again, it is a part of its own.
        """
        groups: dict[tuple[object, ...], list[_File]] = {}
        times: dict[Path, int] = {}
        for one in files:
            times[one.path] = times.get(one.path, 0) + 1
            alike = (one.columns, one.skip, one.delimiter, times[one.path])
            groups.setdefault(alike, []).append(one)
        parts = [self._group(group, form) for group in groups.values()]
        firsts = [group[0].path for group in groups.values()] if form == "parquet" else []
        held = [pq.read_schema(path) for path in firsts]
        return union(parts, [pa.schema(f for f in s if f.name not in self.types) for s in held])

    def _group(self, files: Sequence[_File], form: Format) -> Relation:
        uris = tuple(str(one.path) for one in files)
        inner = Relation(Files(uris, form, self._options(files[0], form)))
        replaced = self._casts(form)
        if self.settings.flag("filename"):
            cases = " ".join(f"WHEN {_text(str(f.path))} THEN {_text(f.label)}" for f in files)
            replaced.append(f"CASE _file {cases} END AS _file")
        shown = f"* REPLACE ({', '.join(replaced)})" if replaced else "*"
        source = "kept"
        if self._renamed(form):
            source = f"kept AS kept({', '.join(map(quote, files[0].columns))}{self._tail})"
        if shown == "*" and source == "kept":
            return inner
        return Relation(Query(f"SELECT {shown} FROM {source}", {"kept": inner}))

    def _casts(self, form: Format) -> list[str]:
        """Where the engine's reader cannot be told the type of one column alone."""
        if form == "csv":
            return []
        return [f"CAST({quote(n)} AS {t}) AS {quote(n)}" for n, t in self.types.items()]

    def _renamed(self, form: Format) -> bool:
        return form == "csv" and bool(self.settings.texts("columns"))

    @property
    def _tail(self) -> str:
        return ", _file" if self.settings.flag("filename") else ""

    @property
    def _quote(self) -> str:
        return self.settings.text("quote", '"')

    def _options(self, one: _File, form: Format = "csv") -> dict[str, Any]:
        """The engine's reader options. Whatever can be said is said, so that little is left to guessing."""
        made: dict[str, Any] = {"filename": True} if self.settings.flag("filename") else {}
        if form != "csv":
            return made
        given = self.settings
        made |= {k: given.text(k) for k in ("decimal", "date_format") if k in given.values}
        made["header"] = given.flag("header", default=True)
        made["quote"] = self._quote
        made |= {"delimiter": one.delimiter, "skip": one.skip}
        if "nulls" in given.values:
            made["nulls"] = list(given.texts("nulls"))
        if given.flag("all_text"):
            made["all_text"] = True
        texts = _expect.text_columns(self.wanted) & set(one.columns)
        types = dict.fromkeys(sorted(texts), "VARCHAR") | self.types
        if types and not self._renamed("csv"):
            made["types"] = types
        elif types:
            made["types"] = {f"column{_csv.number(one.columns, n)}": t for n, t in types.items()}
        return made

    def scratch(self) -> Path:
        """A folder for transcoded copies; it goes when the port goes."""
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="polyport-", dir=self.context.scratch))
            weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        return self._scratch


def _format_of(name: str) -> Format | None:
    path = Path(name.lower())
    if path.suffix in _PACKED:
        path = path.with_suffix("")
    return _SUFFIXES.get(path.suffix)


def _format_hint(name: str) -> str:
    if Path(name).suffix.lower() in (".xlsx", ".xls", ".ods", ".xlsb", ".xlsm"):
        return "use an input port of `type: spreadsheet`"
    return f"write `format:`, {suggest('', get_args(Format))}"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
