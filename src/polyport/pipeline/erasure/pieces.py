"""What a kept file says, piece by piece: its bytes, and what they say once they are decoded, archives within archives.

A file is told by its first bytes, not by its name. Parquet, SQLite, Arrow, Avro, zip (so XLSX), tar, gzip, bzip2, xz,
Zstandard and LZ4 are looked into; a text is decoded; anything else is bytes. What cannot be looked into is an error.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import html
import lzma
import re
import shutil
import sqlite3
import tarfile
import tempfile
import zipfile
import zlib
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast

import pyarrow as pa
import pyarrow.parquet as pq

from polyport.pipeline.erasure import avro

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHUNK = 1 << 20
OVERLAP = 8_192
"""Bytes or characters that a chunk repeats of the one before: more than any form of a value has."""
_SPOOLED = 64 << 20
_DEEPEST = 6
_ROWS = 5_000
_HEAD = 512
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_ENDS = re.compile(r"</(?:\w+:)?(?:si|is|c|v|row|p|tr|td|li|title)>|<br", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")

Source: TypeAlias = "IO[bytes]"


class UnreadableError(Exception):
    """A file, or a part of it, that cannot be looked into."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of what a file says."""

    content: pa.Array | str | bytes
    """Cells (an array of strings), text, or bytes as they lie."""
    where: str = ""
    """`column title`, `xl/sharedStrings.xml`."""
    carried: int = 0
    """How many characters or bytes at the start the piece before had, too."""
    alone: bool = False
    """Bytes that nothing else tells of with certainty: each hit in them counts."""


def pieces(path: Path) -> Iterator[Piece]:
    """All pieces of a file.

    Raises:
        UnreadableError: It is damaged, encrypted, or nested too deeply.
        OSError: It cannot be read.
    """
    with path.open("rb") as source:
        yield from _pieces(source, path, 0)


def _pieces(source: Source, path: Path | None, depth: int) -> Iterator[Piece]:
    if depth > _DEEPEST:
        raise UnreadableError(f"archives in archives, more than {_DEEPEST} deep")
    head = source.read(_HEAD)
    kind = _kind(head)
    source.seek(0)
    if kind is None:
        yield from _plain(source)
        return
    yield from (Piece(chunk, carried=carried) for chunk, carried in _chunks(source))
    source.seek(0)
    try:
        yield from kind(source, path, depth)
    except (*_DAMAGED, RuntimeError) as error:
        raise UnreadableError(str(error) or type(error).__name__) from error


_DAMAGED = (
    pa.ArrowException, zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError,
    sqlite3.Error, gzip.BadGzipFile, NotImplementedError, ValueError, LookupError,
)  # fmt: skip


def _chunks(source: Source) -> Iterator[tuple[bytes, int]]:
    tail = b""
    while chunk := source.read(_CHUNK):
        yield tail + chunk, len(tail)
        tail = (tail + chunk)[-OVERLAP:]


# What is neither packed nor structured


def _plain(source: Source) -> Iterator[Piece]:
    encoding = _encoding(source)
    source.seek(0)
    if encoding != "utf-8":
        alone = encoding not in ("cp1252", "utf-16")  # bytes, or a guess
        yield from (Piece(c, carried=carried, alone=alone) for c, carried in _chunks(source))
        source.seek(0)
    if encoding:
        yield from _texts(source, encoding)


def _encoding(source: Source) -> str:
    """The encoding of a text; empty for anything else."""
    head = source.read(_CHUNK)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if _BINARY.search(head):
        return _wide(head)
    decoder = codecs.getincrementaldecoder("utf-8")()
    source.seek(0)
    try:
        while chunk := source.read(_CHUNK):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _wide(head: bytes) -> str:
    """UTF-16 without its mark: every second byte of a text in a Latin script is 0."""
    half = len(head) // 2 or 1
    if head[1::2].count(0) > half * 0.6:
        return "utf-16-le"
    return "utf-16-be" if head[::2].count(0) > half * 0.6 else ""


def _texts(source: Source, encoding: str) -> Iterator[Piece]:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    tail = ""
    while chunk := source.read(_CHUNK):
        text = decoder.decode(chunk)
        whole = tail + text
        yield Piece(whole, carried=len(tail))
        if "<" in whole:
            yield Piece(_stripped(whole), "text of markup")
        tail = whole[-OVERLAP:]


def _stripped(markup: str) -> str:
    """Text that is formatted in parts has tags between them: `<t>Jane</t></r><r><t> Doe</t>`."""
    return html.unescape(_TAG.sub("", _ENDS.sub(lambda m: f"\n{m[0]}", markup)))


# Packed


def _unpacked(stream: IO[bytes], where: str, depth: int) -> Iterator[Piece]:
    with tempfile.SpooledTemporaryFile(_SPOOLED) as spool:
        shutil.copyfileobj(stream, spool, _CHUNK)
        spool.seek(0)
        for piece in _pieces(cast("IO[bytes]", spool), None, depth + 1):
            yield replace(piece, where=": ".join(filter(None, (where, piece.where))))


def _gzip(source: Source, _: Path | None, depth: int) -> Iterator[Piece]:
    with gzip.GzipFile(fileobj=source, mode="rb") as stream:
        yield from _unpacked(cast("IO[bytes]", stream), "", depth)


def _bzip2(source: Source, _: Path | None, depth: int) -> Iterator[Piece]:
    with bz2.BZ2File(source) as stream:
        yield from _unpacked(stream, "", depth)


def _xz(source: Source, _: Path | None, depth: int) -> Iterator[Piece]:
    with lzma.LZMAFile(source) as stream:
        yield from _unpacked(stream, "", depth)


def _codec(name: str) -> Callable[[Source, Path | None, int], Iterator[Piece]]:
    def read(source: Source, _: Path | None, depth: int) -> Iterator[Piece]:
        with pa.CompressedInputStream(pa.PythonFile(source, "r"), name) as stream:
            yield from _unpacked(stream, "", depth)

    return read


def _zip(source: Source, _: Path | None, depth: int) -> Iterator[Piece]:
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            yield Piece(member.filename, "names")
            with archive.open(member) as stream:
                yield from _unpacked(stream, member.filename, depth)


def _tar(source: Source, _: Path | None, depth: int) -> Iterator[Piece]:
    with tarfile.open(fileobj=source) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if stream is not None:
                yield from _unpacked(stream, member.name, depth)


def _avro(source: Source, _: Path | None, depth: int) -> Iterator[Piece]:  # noqa: ARG001 - one shape for all
    yield from (Piece(block) for block in avro.blocks(source))


# Tables


def _parquet(source: Source, _: Path | None, depth: int) -> Iterator[Piece]:  # noqa: ARG001
    """Dictionaries as they lie in the file, so with entries that no row uses."""
    with pq.ParquetFile(source) as file:
        groups = [_coded(file.metadata.row_group(n)) for n in range(file.num_row_groups)]
    for number, coded in enumerate(groups):
        source.seek(0)
        with pq.ParquetFile(source, read_dictionary=coded) as file:
            yield from _table(file.read_row_group(number))


def _coded(group: pq.RowGroupMetaData) -> list[str]:
    """The columns of text that are written as places in a dictionary, and in no other way besides."""
    chunks = [group.column(place) for place in range(group.num_columns)]
    return [
        chunk.path_in_schema
        for chunk in chunks
        if chunk.physical_type == "BYTE_ARRAY"
        and any("DICTIONARY" in name for name in chunk.encodings)
        and not any("DELTA" in name for name in chunk.encodings)
    ]


def _table(table: pa.Table) -> Iterator[Piece]:
    for name, column in zip(table.column_names, table.columns, strict=True):
        for array in column.chunks:
            yield from (replace(piece, where=f"column {name}") for piece in _cells(array))


def _cells(array: pa.Array) -> Iterator[Piece]:
    """The strings in an array of any type."""
    kind = array.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        yield Piece(b"\0".join(v.as_py() for v in array if v.is_valid))
    elif inner := _inner(array):
        for child in inner:
            yield from _cells(child)
    elif not pa.types.is_null(kind) and not pa.types.is_nested(kind):
        yield Piece(_as_text(array))


def _inner(array: pa.Array) -> list[pa.Array]:
    """What an array is made of; nothing for a plain one."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return [array.storage]
    if pa.types.is_dictionary(kind):
        return [array.dictionary]
    if pa.types.is_struct(kind):
        return list(array.flatten())
    if pa.types.is_map(kind):
        return [array.keys, array.items]
    return [array.flatten()] if pa.types.is_nested(kind) else []


def _as_text(array: pa.Array) -> pa.Array:
    try:
        return array.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([None if v is None else str(v) for v in array.to_pylist()], pa.string())


def _arrow_file(source: Source, _: Path | None, depth: int) -> Iterator[Piece]:  # noqa: ARG001
    with pa.ipc.open_file(source) as reader:
        for number in range(reader.num_record_batches):
            yield from _table(pa.Table.from_batches([reader.get_batch(number)]))


def _arrow_stream(source: Source, _: Path | None, depth: int) -> Iterator[Piece]:  # noqa: ARG001
    with pa.ipc.open_stream(source) as reader:
        for batch in reader:
            yield from _table(pa.Table.from_batches([batch]))


def _sqlite(source: Source, path: Path | None, depth: int) -> Iterator[Piece]:  # noqa: ARG001
    """Its rows; what lies in free pages is among the bytes."""
    if path is not None:
        yield from _rows(path)
        return
    with tempfile.NamedTemporaryFile(suffix=".sqlite") as copy:
        shutil.copyfileobj(source, copy, _CHUNK)
        copy.flush()
        yield from _rows(Path(copy.name))


def _rows(path: Path) -> Iterator[Piece]:
    used = path.with_name(
        f"{path.name}-wal"
    ).exists()  # else opening it must leave no file beside it
    uri = f"{path.absolute().as_uri()}?mode=ro{'' if used else '&immutable=1'}"
    with closing(sqlite3.connect(uri, uri=True, timeout=10)) as database:
        database.text_factory = lambda data: data.decode("utf-8", "replace")
        tables = database.execute("SELECT name, sql FROM sqlite_master").fetchall()
        yield Piece(pa.array([sql for _, sql in tables], pa.string()), "schema")
        for name, sql in tables:
            if sql and sql.lstrip()[:12].upper() == "CREATE TABLE":
                cursor = database.execute(f'SELECT * FROM "{name.replace(chr(34), chr(34) * 2)}"')
                while rows := cursor.fetchmany(_ROWS):
                    yield from _row_cells(rows, f"table {name}")


def _row_cells(rows: list[tuple[Any, ...]], where: str) -> Iterator[Piece]:
    cells = [cell for row in rows for cell in row if cell is not None]
    texts = [str(cell) for cell in cells if not isinstance(cell, bytes)]
    yield Piece(pa.array(texts, pa.string()), where)
    if blobs := [cell for cell in cells if isinstance(cell, bytes)]:
        yield Piece(b"\0".join(blobs), where)


_KINDS: tuple[tuple[bytes, Callable[[Source, Path | None, int], Iterator[Piece]]], ...] = (
    (b"PAR1", _parquet),
    (b"PK\x03\x04", _zip),
    (b"PK\x05\x06", _zip),
    (b"SQLite format 3\0", _sqlite),
    (b"Obj\x01", _avro),
    (b"ARROW1\0\0", _arrow_file),
    (b"\xff\xff\xff\xff", _arrow_stream),
    (b"\x1f\x8b", _gzip),
    (b"BZh", _bzip2),
    (b"\xfd7zXZ\0", _xz),
    (b"\x28\xb5\x2f\xfd", _codec("zstd")),
    (b"\x04\x22\x4d\x18", _codec("lz4")),
)
_TAR_AT = 257


def _kind(head: bytes) -> Callable[[Source, Path | None, int], Iterator[Piece]] | None:
    if head[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return _tar
    return next((kind for magic, kind in _KINDS if head.startswith(magic)), None)
