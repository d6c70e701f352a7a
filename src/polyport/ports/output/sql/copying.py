"""COPY ... TO STDOUT: what is asked, and whole batches in the formats text, csv and binary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from polyport.expression import quote
from polyport.ports.output.sql import bytewise, rows, texts
from polyport.ports.output.sql.commands import Copy, Write
from polyport.ports.output.sql.messages import message
from polyport.ports.output.sql.states import StateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polyport.ports.output.sql.commands import Command, Reader
    from polyport.ports.output.sql.types import PgType

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = message(b"d", b"\xff\xff")
_TEXT: Final = pa.string()
_ESCAPES: Final = (
    ("\\", "\\\\"), ("\b", "\\b"), ("\f", "\\f"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), ("\v", "\\v"),
)  # fmt: skip


def asked(read: Reader) -> Command:
    """What COPY asks, its verb being read.

    Raises:
        QueryError: It is not written as COPY is, or asks for something else than to send rows.
    """
    query = read.inside() if read.peek("(") else _table(read)
    if read.took("from"):
        return Write("COPY FROM")
    read.expect("to")
    if not read.took("stdout"):
        raise StateError(
            "42501", "COPY can only send its rows to the client", fix="COPY ... TO STDOUT"
        )
    options = _options(read)
    read.end()
    return _copy(query, options)


def _table(read: Reader) -> str:
    parts = [read.name()]
    while read.took("."):
        parts.append(read.name())
    name = ".".join(map(quote, parts))
    if not read.peek("("):
        return f"SELECT * FROM {name}"
    return f"SELECT {read.inside()} FROM {name}"


def _options(read: Reader) -> dict[str, str]:
    read.took("with")
    if read.took("("):
        return _listed(read)
    found: dict[str, str] = {}
    while not read.done:
        word = read.next()
        match word.text:
            case "binary" | "csv" | "text":
                found["format"] = word.text
            case "header":
                found["header"] = "true"
            case "delimiter" | "null" | "quote" | "escape" | "encoding":
                read.took("as")
                found[word.text] = read.next().value
            case "force":
                read.expect("quote")
                found["force_quote"] = "*" if read.took("*") else _names(read)
            case _:
                read.at -= 1
                raise read.wrong()
    return found


def _names(read: Reader) -> str:
    found = [read.name()]
    while read.took(","):
        found.append(read.name())
    return "\0".join(found)


def _listed(read: Reader) -> dict[str, str]:
    found: dict[str, str] = {}
    while not read.took(")"):
        name = read.name()
        if read.peek("("):
            read.skip()
            found[name] = _names(read)
            read.expect(")")
        else:
            found[name] = "true" if read.peek(",", ")") else read.next().value
        if not read.peek(")"):
            read.expect(",")
    return found


_KNOWN: Final = frozenset(
    (
        "format",
        "delimiter",
        "null",
        "header",
        "quote",
        "escape",
        "force_quote",
        "encoding",
        "freeze",
        "oids",
    )
)


def _copy(query: str, options: dict[str, str]) -> Copy:
    for name in options:
        if name not in _KNOWN:
            raise StateError(
                "42601", f'option "{name}" not recognized', fix=", ".join(sorted(_KNOWN))
            )
    form = options.get("format", "text").lower()
    if form not in ("text", "csv", "binary"):
        raise StateError("22023", f'COPY format "{form}" not recognized', fix="text, csv or binary")
    if options.get("encoding", "utf8").lower().replace("-", "") not in ("utf8", "unicode"):
        raise StateError("0A000", "COPY is always in UTF8", fix="leave ENCODING out")
    csv = form == "csv"
    mark = _one(options, "quote", '"')
    return Copy(
        query,
        form,  # type: ignore[arg-type]
        _one(options, "delimiter", "," if csv else "\t"),
        options.get("null", "" if csv else "\\N"),
        options.get("header", "false").lower() in ("true", "on", "1", "match"),
        mark,
        _one(options, "escape", mark),
        tuple(options.get("force_quote", "").split("\0")) if "force_quote" in options else (),
    )


def _one(options: dict[str, str], name: str, default: str) -> str:
    found = options.get(name, default)
    if len(found.encode()) != 1 or found in "\r\n":
        raise StateError("22023", f"COPY {name} must be a single one-byte character")
    return found


def opening(copy: Copy, columns: int) -> bytes:
    """CopyOutResponse."""
    binary = int(copy.format == "binary")
    forms = binary.to_bytes(2, "big") * columns
    return message(b"H", bytes([binary]) + columns.to_bytes(2, "big") + forms)


def header(copy: Copy, names: Sequence[str]) -> bytes:
    """The line of names, where one is asked for."""
    if not copy.header or copy.format == "binary":
        return b""
    shown = [pa.array([name], _TEXT) for name in names]
    return bytes(_lines(copy, shown, names, 1))


def copied(copy: Copy, batch: pa.RecordBatch, kinds: Sequence[PgType], zone: str) -> memoryview:
    """The rows of a batch as CopyData messages, one a row."""
    if copy.format == "binary":
        return rows.written(b"d", batch, kinds, (1,) * len(kinds), zone)
    shown = [
        texts.text(column, kind, zone) for column, kind in zip(batch.columns, kinds, strict=True)
    ]
    return _lines(copy, shown, batch.schema.names, batch.num_rows)


def _lines(copy: Copy, shown: Sequence[pa.Array], names: Sequence[str], count: int) -> memoryview:
    if copy.format == "csv":
        alone = len(shown) == 1
        values = [
            _csv(copy, each, forced=name in copy.force or copy.force == ("*",), alone=alone)
            for each, name in zip(shown, names, strict=True)
        ]
    else:
        values = [_escaped(each, copy.delimiter) for each in shown]
    if not values:
        return bytewise.framed(b"d", [(pa.array([b"\n"] * count, bytewise.BINARY),)], count)
    line = pc.binary_join_element_wise(
        *values,
        pa.scalar(copy.delimiter, _TEXT),
        null_handling="replace",
        null_replacement=copy.null,
    )
    end = bytewise.fixed_binary(b"\n" * count, 1, count)
    return bytewise.framed(b"d", [(line.cast(bytewise.BINARY), end)], count)


def _escaped(values: pa.Array, delimiter: str) -> pa.Array:
    special = (
        r"[\\\x08\x0c\n\r\t\x0b" + ("" if delimiter == "\t" else f"\\x{ord(delimiter):02x}") + "]"
    )
    if not pc.any(pc.match_substring_regex(values, special)).as_py():
        return values
    for plain, escape in _ESCAPES:
        values = pc.replace_substring(values, plain, escape)
    if delimiter != "\t":
        values = pc.replace_substring(values, delimiter, f"\\{delimiter}")
    return values


def _csv(copy: Copy, values: pa.Array, *, forced: bool, alone: bool) -> pa.Array:
    r"""Values in quotes where they need them: those that look like null, too, and `\.` where it stands alone."""
    inside = "".join(f"\\x{ord(mark):02x}" for mark in (copy.delimiter, copy.quote, "\n", "\r"))
    special = pc.or_(pc.match_substring_regex(values, f"[{inside}]"), pc.equal(values, copy.null))
    if alone:
        special = pc.or_(special, pc.equal(values, "\\."))
    if not forced and not pc.any(special).as_py():
        return values
    escaped = values
    if copy.escape != copy.quote:
        escaped = pc.replace_substring(escaped, copy.escape, copy.escape * 2)
    escaped = pc.replace_substring(escaped, copy.quote, copy.escape + copy.quote)
    mark = pa.scalar(copy.quote, _TEXT)
    quoted = pc.binary_join_element_wise(mark, escaped, mark, pa.scalar("", _TEXT))
    return quoted if forced else pc.if_else(special, quoted, values)
