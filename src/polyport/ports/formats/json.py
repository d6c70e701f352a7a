"""Rows as JSON, column by column: every digit of a decimal and of a 64-bit integer, and nothing made up.

Numbers are JSON numbers; floats that are not finite are null, as JSON has none. Dates are ISO 8601, timestamps RFC 3339
(`Z` where they have a time zone), bytes base64. Lists and structs are arrays and objects; maps are objects, their keys
as text. A value of a union is written as one of its member.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from polyport.ports.formats.batches import joined_bytes
from polyport.ports.formats.listed import listed
from polyport.ports.formats.text import TEXT, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FEW, _SOME = 4, 1_000
"""Values of a column, and rows, up to which a kernel for each step costs more than the values themselves."""
_ROWS = 16_384
"""Rows rendered at once: so that the text of a batch stays in the processor's cache."""
_SPECIAL = r'["\\\x00-\x1f]'
_SHORT = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_CONTROL = r"[\x00-\x1f]"


def rows(reader: pa.RecordBatchReader) -> Iterator[bytes]:
    """The rows of `reader` as one JSON array of objects, piece by piece."""
    opening = b"["
    for batch in _small(reader):
        # Each row ends in a comma and a line end; the piece leaves out its last, and the next begins with it.
        yield opening + bytes(_joined(batch, ",\n")[:-2])
        opening = b",\n"
    yield b"[]\n" if opening == b"[" else b"]\n"


def ndjson(reader: pa.RecordBatchReader) -> Iterator[bytes]:
    """The rows of `reader` as JSON objects, one a line, piece by piece."""
    for batch in _small(reader):
        yield bytes(_joined(batch, "\n"))


def objects(batch: pa.RecordBatch) -> list[bytes]:
    """Each row of `batch` as a JSON object."""
    if batch.num_rows <= _SOME:
        return _one_by_one(batch)
    return bytes(_joined(batch, "\n")).split(b"\n")[: batch.num_rows]


def _one_by_one(batch: pa.RecordBatch) -> list[bytes]:
    """The same for some rows."""
    labels = [encode_basestring(name).replace("%", "%%") for name in batch.schema.names]
    whole = "{" + ",".join([label + ":%s" for label in labels]) + "}"
    columns = [_texts(column) for column in batch.columns]
    rows = zip(*columns, strict=True) if columns else [()] * batch.num_rows
    return [(whole % row).encode() for row in rows]


def _texts(column: pa.Array) -> list[str]:
    kind = column.type.id
    if len(column) > _FEW and kind in _MARKED:
        mark = _MARKED[kind]
        texts = text(column).to_pylist()
        return ["null" if each is None else f"{mark}{each}{mark}" for each in texts]
    if kind in _SIMPLE:
        write = _SIMPLE[kind]
        return ["null" if value is None else write(value) for value in listed(column)]
    found: list[str] = values(column).to_pylist()
    return found


_INTEGERS = (
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
    *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
)
_DECIMALS = (pa.decimal32(1), pa.decimal64(1), pa.decimal128(1), pa.decimal256(1))
_SIMPLE: dict[int, Callable[[Any], str]] = {
    pa.string().id: encode_basestring,
    pa.bool_().id: lambda value: "true" if value else "false",
    pa.date32().id: lambda value: f'"{value}"',
    **{kind.id: str for kind in _INTEGERS},
    **{kind.id: lambda value: f"{value:f}" for kind in _DECIMALS},
}
"""By the type's number: how a value is written."""
_MARKED = {pa.date32().id: '"', **{kind.id: "" for kind in _DECIMALS}}
"""What stands around the text of values of which Python makes objects that cost more than a kernel does."""


def _small(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        for at in range(0, batch.num_rows, _ROWS):
            yield batch.slice(at, _ROWS)


def _joined(batch: pa.RecordBatch, end: str) -> memoryview:
    fields = zip(batch.schema.names, batch.columns, strict=True)
    return joined_bytes(_members(list(fields), batch.num_rows, "}" + end))


def _members(fields: list[tuple[str, pa.Array]], length: int, end: str) -> pa.Array:
    """Objects of columns: `{"a":1,"b":"x"` and `end`."""
    if not fields:
        return pa.array(["{" + end] * length, TEXT)
    parts: list[Any] = []
    for name, column in fields:
        label = json.dumps(name, ensure_ascii=False) + ":"
        parts += [_scalar(("," if parts else "{") + label), values(column)]
    return pc.binary_join_element_wise(*parts, _scalar(end), _scalar(""))


def _scalar(value: str) -> pa.Scalar:
    return pa.scalar(value, TEXT)


def values(array: pa.Array) -> pa.Array:
    """Each value of `array` as JSON text (`large_string`), null as `null`."""
    return pc.fill_null(_values(array), _scalar("null"))


def _values(array: pa.Array) -> pa.Array:
    kind = array.type
    if pt.is_dictionary(kind):
        return _values(array.dictionary_decode())
    if isinstance(kind, pa.BaseExtensionType):
        return _values(array.storage)
    for applies, write in _KINDS:
        if applies(kind):
            return write(array)
    return quoted(text(array))


def quoted(texts: pa.Array) -> pa.Array:
    """Each text as a JSON string; null stays null."""
    texts = pc.cast(texts, TEXT)
    if pc.any(pc.match_substring_regex(texts, _SPECIAL)).as_py():
        texts = _escaped(texts)
    mark = _scalar('"')
    return pc.binary_join_element_wise(mark, texts, mark, _scalar(""))


def _escaped(texts: pa.Array) -> pa.Array:
    for character, escape in _SHORT.items():
        texts = pc.replace_substring(texts, character, escape)
    if pc.any(pc.match_substring_regex(texts, _CONTROL)).as_py():
        for code in range(32):
            texts = pc.replace_substring(texts, chr(code), f"\\u{code:04x}")
    return texts


def _float(array: pa.Array) -> pa.Array:
    if pt.is_float16(array.type):
        array = pc.cast(array, pa.float32())
    finite = pc.is_finite(array)
    if pc.all(finite).as_py() is False:
        array = pc.if_else(finite, array, pa.scalar(None, array.type))
    return pc.cast(array, TEXT)


def _list(array: pa.Array) -> pa.Array:
    if pt.is_fixed_size_list(array.type):
        array = pc.cast(array, pa.list_(array.type.value_field))
    return _between("[", _gathered(array, values(array.values)), "]", array)


def _map(array: pa.Array) -> pa.Array:
    keys = array.keys
    keys = quoted(values(keys) if pt.is_nested(keys.type) else text(keys))
    items = pc.binary_join_element_wise(keys, values(array.items), _scalar(":"))
    return _between("{", _gathered(array, items), "}", array)


def _gathered(array: pa.Array, items: pa.Array) -> pa.Array:
    """The texts of each list of `array`, with commas between."""
    offsets = pc.cast(array.offsets, pa.int64())
    return pc.binary_join(pa.LargeListArray.from_arrays(offsets, items), _scalar(","))


def _between(opening: str, inner: pa.Array, closing: str, array: pa.Array) -> pa.Array:
    whole = pc.binary_join_element_wise(_scalar(opening), inner, _scalar(closing), _scalar(""))
    return pc.if_else(array.is_valid(), whole, pa.scalar(None, TEXT))


def _struct(array: pa.Array) -> pa.Array:
    # `flatten()` would have Arrow end the process where a struct that is null holds a union.
    places = range(array.type.num_fields)
    fields = [(array.type.field(place).name, array.field(place)) for place in places]
    whole = _members(fields, len(array), "}")
    return pc.if_else(array.is_valid(), whole, pa.scalar(None, TEXT))


def _union(array: pa.Array) -> pa.Array:
    """Each value as that of the member that it is."""
    found = pa.nulls(len(array), TEXT)
    codes, places = _part(array, 1, pa.int8()), None
    if array.type.mode == "dense":
        places = _part(array, 2, pa.int32())
    for number in range(array.type.num_fields):
        chosen = pc.equal(codes, array.type.type_codes[number])
        member = array.field(number)
        if places is not None:
            member = member.take(pc.if_else(chosen, places, pa.scalar(None, pa.int32())))
        found = pc.if_else(chosen, _values(member), found)
    return found


def _part(array: pa.Array, number: int, kind: pa.DataType) -> pa.Array:
    """What one of its buffers says of its own rows: `type_codes` begins at the first of the buffer."""
    return pa.Array.from_buffers(
        kind, len(array), [None, array.buffers()[number]], offset=array.offset
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind))


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pt.is_integer(kind) or pt.is_boolean(kind))


_KINDS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]], ...] = (
    (_is_plain, lambda array: pc.cast(array, TEXT)),
    (pt.is_floating, _float),
    (pt.is_decimal, text),
    (pt.is_null, lambda array: pa.nulls(len(array), TEXT)),
    (_is_list, _list),
    (pt.is_map, _map),
    (pt.is_struct, _struct),
    (pt.is_union, _union),
)
