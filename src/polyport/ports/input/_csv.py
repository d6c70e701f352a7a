"""Looking at CSV before the engine does: encoding, delimiter, header, and what a contract expects."""

from __future__ import annotations

import codecs
import csv
import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from polyport.errors import ConfigurationError, InputError
from polyport.ports.input._expect import Arrived, Came
from polyport.ports.input._settings import suggest
from polyport.ports.input._source import CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from polyport.descriptor.types import Property, SchemaObject

_DELIMITERS = ",;\t|"
_ENCODINGS = ("utf-8", "latin-1", "cp1252", "utf-16", "ascii")
_FIELD_LIMIT = 1 << 24


@contextmanager
def unpacked(path: Path) -> Iterator[Any]:
    """The bytes of `path`, decompressed where its suffix says that they are compressed."""
    packing = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower())
    with pa.input_stream(str(path), compression=packing) as stream:
        yield stream


def decoded(
    path: Path, label: str, encoding: str, *, where: str, scratch: Callable[[], Path]
) -> Path:
    """`path` if it is UTF-8, else a copy of it in UTF-8.

    Raises:
        InputError: The bytes are not in `encoding`; names the line, and the likely encoding.
        ConfigurationError: There is no such encoding.
    """
    try:
        codec = codecs.lookup(encoding).name
    except LookupError as error:
        raise ConfigurationError(
            f"there is no encoding {encoding!r}", where=where, fix=suggest(encoding, _ENCODINGS)
        ) from error
    try:
        if codec in ("utf-8", "ascii", "utf-8-sig"):
            _decode(path, "utf-8" if codec == "ascii" else codec, None)
            return path
        target = scratch() / (path.name.removesuffix(".gz").removesuffix(".zst"))
        with target.open("w", encoding="utf-8", newline="") as sink:
            _decode(path, codec, sink)
    except OSError as error:
        raise InputError(f"{label} cannot be read: {error}", where=where) from error
    except _WrongBytesError as error:
        raise InputError(
            f"{label} is not {encoding}: byte 0x{error.byte:02x} at byte {error.position:,}, "
            f"line {error.line:,}",
            where=where,
            fix=_likely(path, encoding),
        ) from error
    return target


class _WrongBytesError(ValueError):
    def __init__(self, position: int, line: int, byte: int) -> None:
        super().__init__(position, line, byte)
        self.position, self.line, self.byte = position, line, byte


def _decode(path: Path, codec: str, sink: io.TextIOBase | None) -> None:
    """Decode all of `path` into `sink`; with none: only see whether it can be done."""
    decoder = codecs.getincrementaldecoder(codec)()
    done, lines = 0, 1
    with unpacked(path) as stream:
        while True:
            chunk = stream.read(CHUNK)
            held = len(decoder.getstate()[0])
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                good = error.object[: error.start]
                raise _WrongBytesError(
                    done - held + error.start,
                    lines + good.count(b"\n"),
                    error.object[error.start] if error.start < len(error.object) else 0,
                ) from error
            if sink is not None:
                sink.write(text)
            if not chunk:
                return
            done += len(chunk)
            lines += chunk.count(b"\n")


_SIGNS = (
    (b"PK\x03\x04", "it is a ZIP archive or a spreadsheet: use `type: spreadsheet`, or unpack it"),
    (b"\xd0\xcf\x11\xe0", "it is an old Excel workbook: use `type: spreadsheet`"),
    (b"PAR1", "it is Parquet: write `format: parquet`"),
    (b"\xff\xfe", "write `encoding: utf-16`"),
    (b"\xfe\xff", "write `encoding: utf-16`"),
    (b"\x1f\x8b", "it is compressed with gzip: give it a name that ends in .gz"),
)


def _likely(path: Path, encoding: str) -> str:
    with unpacked(path) as stream:
        sample = stream.read(CHUNK)
    for sign, hint in _SIGNS:
        if sample.startswith(sign):
            return hint
    for candidate in ("utf-8", "cp1252", "latin-1"):
        if candidate != codecs.lookup(encoding).name:
            try:
                codecs.getincrementaldecoder(candidate)().decode(sample)
            except UnicodeDecodeError:
                continue
            return f"it is likely {candidate}: write `encoding: {candidate}`"
    return "ask for the file in UTF-8"


class First(NamedTuple):
    """How a CSV file begins."""

    cells: tuple[str, ...]
    """Of the first row that is not blank."""
    skip: int
    """Lines above it."""
    delimiter: str


def first_row(path: Path, given: str, quote: str, skip: int = 0) -> First:
    """The first row that is not blank, below the first `skip` lines; `given`: the delimiter, where it is known."""
    csv.field_size_limit(_FIELD_LIMIT)
    lines = list(io.StringIO(_sample(path), newline=""))
    while skip < len(lines) and not lines[skip].strip():
        skip += 1
    mark = given or _delimiter(lines[skip] if skip < len(lines) else "")
    rows = csv.reader(lines[skip:], delimiter=mark, quotechar=quote)
    return First(tuple(next(rows, ())), skip, mark)


def _sample(path: Path) -> str:
    with unpacked(path) as stream:
        raw: bytes = stream.read(CHUNK)
    return (
        codecs.getincrementaldecoder("utf-8")(errors="replace").decode(raw).removeprefix("\ufeff")
    )


def _delimiter(line: str) -> str:
    """The delimiter that parts the line into most cells; a comma where there is but one."""
    bare = "".join(line.split('"')[::2])
    return max(_DELIMITERS, key=bare.count)


def number(columns: tuple[str, ...], name: str) -> str:
    """The number that the engine gives to a column of a file without a header: as many digits as all need."""
    return f"{columns.index(name):0{len(str(len(columns) - 1))}}"


def arrived(
    path: Path,
    label: str,
    columns: tuple[str, ...],
    wanted: SchemaObject,
    options: Mapping[str, Any],
) -> Arrived:
    """What came in the columns that `wanted` names, from one pass over the text of all rows.

    Raises:
        InputError: The file is not CSV: a row has more or fewer cells than the header.
    """
    present = [p for p in wanted.properties if p.name in columns]
    tracked = {p.name: _Tracked(p, str(options.get("decimal", "."))) for p in present}
    rows = 0
    for batch in _batches(path, label, columns, options):
        for name, column in tracked.items():
            column.add(batch.column(name), rows)
        rows += batch.num_rows
    found = {name: Came(pa.null()) for name in columns}
    found |= {name: column.came(label) for name, column in tracked.items()}
    return Arrived(found, rows, label)


def _batches(
    path: Path, label: str, columns: tuple[str, ...], options: Mapping[str, Any]
) -> Iterator[pa.RecordBatch]:
    nulls = options.get("nulls", [""])
    read = pacsv.ReadOptions(
        column_names=list(columns),
        skip_rows=options["skip"] + options["header"],
        block_size=4 * CHUNK,
    )
    parse = pacsv.ParseOptions(
        delimiter=options["delimiter"], quote_char=options["quote"], newlines_in_values=True
    )
    convert = pacsv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()),
        null_values=nulls,
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    try:
        with (
            unpacked(path) as stream,
            pacsv.open_csv(
                stream, read_options=read, parse_options=parse, convert_options=convert
            ) as reader,
        ):
            yield from reader
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return
        said = str(error).splitlines()[0].removeprefix("CSV parse error: ")
        raise InputError(f"{label} is not well-formed CSV: {said}", where=label) from error


class _Tracked:
    """Nulls and misfits of one column, over all batches."""

    def __init__(self, wanted: Property, decimal: str) -> None:
        self.test = _TESTS.get(wanted.logical_type)
        self.decimal = decimal
        self.nulls = 0
        self.first_null = -1
        self.misfit = ""

    def add(self, values: pa.Array, before: int) -> None:
        if values.null_count:
            if self.first_null < 0:
                self.first_null = before + pc.index(pc.is_null(values), value=True).as_py()
            self.nulls += values.null_count
        if self.test is None or self.misfit:
            return
        clean = pc.utf8_trim_whitespace(values)
        clean = pc.replace_substring(clean, self.decimal, ".") if self.decimal != "." else clean
        good = pc.fill_null(pc.match_substring_regex(clean, self.test), fill_value=True)
        at = pc.index(good, value=False).as_py()
        if at >= 0:
            self.misfit = f"{values[at].as_py()!r} in data row {before + at + 1:,}"

    def came(self, label: str) -> Came:
        place = f"{label}, data row {self.first_null + 1:,}" if self.nulls else ""
        return Came(pa.string() if self.misfit else pa.null(), self.nulls, place, self.misfit)


_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_DAY = r"(\d{4}-\d{1,2}-\d{1,2}|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{8})"
_HOURS = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?"
_TESTS = {
    "number": _NUMBER,
    "integer": r"^[+-]?\d+$",
    "boolean": r"^(?i:true|false|t|f|yes|no|y|n|0|1)$",
    "date": f"^{_DAY}$",
    "timestamp": rf"^{_DAY}([T ]{_HOURS}(Z| ?[+-]\d{{2}}:?(\d{{2}})?)?)?$",
    "time": f"^{_HOURS}$",
    "object": r"^\{.*\}$",
    "array": r"^\[.*\]$",
}
"""What a text must look like to be read as a logical type: as lenient as the engine's own reading."""
