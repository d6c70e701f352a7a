"""Each Arrow value in PostgreSQL's binary format, column by column; the rare ones value by value."""

from __future__ import annotations

import struct
from array import array as machine
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from polyport.ports.output.sql import bytewise, numerics, texts, types
from polyport.ports.output.sql.bytewise import BINARY, big_endian
from polyport.ports.output.sql.calendar import (
    DATE_INFINITY,
    EPOCH_DAY,
    EPOCH_MICROSECOND,
    TIME_INFINITY,
)
from polyport.ports.output.sql.nested import as_list, dimensions, is_list, relisted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from polyport.ports.output.sql.types import PgType


def field(array: pa.Array, kind: PgType) -> bytewise.Field:
    """Each value of `array` after its length, as the type `kind`; null is the length -1."""
    if kind.element is None and pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    write = _FIXED.get(kind.oid)
    if write is not None and not pa.types.is_null(array.type):
        return bytewise.fixed_field(write(array), types.SIZES[kind.oid], array)
    if kind.oid == types.NUMERIC:
        return numerics.field(array)
    return bytewise.field(varying(array, kind))


def varying(array: pa.Array, kind: PgType) -> pa.Array:
    """Each value of `array`, which is no dictionary, as a type `kind` of varying size: binary or text."""
    if kind.element is not None:
        return _array(array, kind)
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), BINARY)
    if kind.oid == types.BYTEA:
        return array.cast(BINARY)
    if kind.oid == types.VARBIT:
        return _each(array, _bits)
    return texts.text(array, kind)


def _each(array: pa.Array, write: Callable[[Any], bytes]) -> pa.Array:
    return pa.array([None if v is None else write(v) for v in array.to_pylist()], BINARY)


def _bits(raw: bytes) -> bytes:
    shown = texts.bits(raw)
    filled = shown.ljust((len(shown) + 7) // 8 * 8, "0")
    packed = int(filled, 2).to_bytes(len(filled) // 8, "big") if filled else b""
    return struct.pack("!i", len(shown)) + packed


def _bool(array: pa.Array) -> bytes:
    return bytewise.native(pc.fill_null(array, False).cast(pa.uint8()))


def _integer(to: pa.DataType) -> Callable[[pa.Array], bytes]:
    return lambda array: big_endian(pc.cast(array, to))


def _date(array: pa.Array) -> bytes:
    days = pc.fill_null(array.cast(pa.int32()), 0)
    finite = pc.less(pc.abs(days), DATE_INFINITY)
    if pc.all(finite).as_py() is False:
        # what lies beyond is marked by the ends of the type, whose least is one less than the engine's
        moved = pc.subtract(pc.if_else(finite, days, 0), EPOCH_DAY)
        ends = pc.if_else(pc.greater(days, 0), DATE_INFINITY, -DATE_INFINITY - 1)
        return big_endian(pc.if_else(finite, moved, ends).cast(pa.int32()))
    return big_endian(pc.subtract(days, pa.scalar(EPOCH_DAY, pa.int32())))


def _timestamp(array: pa.Array) -> bytes:
    moments = pc.fill_null(texts.microseconds(array), 0)
    finite = pc.less(pc.abs(moments), TIME_INFINITY)
    if pc.all(finite).as_py() is False:
        moved = pc.subtract(pc.if_else(finite, moments, 0), EPOCH_MICROSECOND)
        ends = pc.if_else(pc.greater(moments, 0), TIME_INFINITY, -TIME_INFINITY - 1)
        return big_endian(pc.if_else(finite, moved, ends))
    return big_endian(pc.subtract(moments, EPOCH_MICROSECOND))


def _time(array: pa.Array) -> bytes:
    return big_endian(pc.cast(array, pa.time64("us"), safe=False).cast(pa.int64()))


def _uuid(array: pa.Array) -> bytes:
    return b"".join(
        bytes(16) if value is None else bytes.fromhex(value.replace("-", ""))
        for value in array.to_pylist()
    )


def _interval(array: pa.Array) -> bytes:
    pack = struct.Struct("!qii").pack
    return b"".join(
        bytes(16) if v is None else pack(v.nanoseconds // 1000, v.days, v.months)
        for v in array.to_pylist()
    )


_FIXED: Final[dict[int, Callable[[pa.Array], bytes]]] = {
    types.BOOL: _bool,
    types.INT2: _integer(pa.int16()),
    types.INT4: _integer(pa.int32()),
    types.INT8: _integer(pa.int64()),
    types.FLOAT4: _integer(pa.float32()),
    types.FLOAT8: _integer(pa.float64()),
    types.DATE: _date,
    types.TIME: _time,
    types.TIMESTAMP: _timestamp,
    types.TIMESTAMPTZ: _timestamp,
    types.UUID: _uuid,
    types.INTERVAL: _interval,
}


def _array(array: pa.Array, kind: PgType) -> pa.Array:
    """Lists: dimensions, whether there are nulls, the elements' OID, the sizes, the elements after their lengths."""
    if not is_list(array.type) or kind.element is None:
        return pa.nulls(len(array), BINARY)
    array = as_list(array)
    inner = array.values
    if is_list(inner.type) or inner.null_count:
        return _slowly(array, kind.element)
    elements = bytewise.joined(field(inner, kind.element))
    whole = pc.binary_join(
        pa.ListArray.from_arrays(array.offsets, elements), pa.scalar(b"", BINARY)
    )
    sizes = pc.fill_null(pc.list_value_length(array), 0)
    heads = machine("i", bytes(20 * len(array)))
    counts = machine("i", bytewise.native(sizes))
    one, oid = machine("i", [1]) * len(array), machine("i", [kind.element.oid]) * len(array)
    heads[0::5], heads[2::5], heads[3::5], heads[4::5] = one, oid, counts, one
    found = bytewise.joined(
        (bytewise.fixed_binary(bytewise.swapped(heads), 20, len(array)), pc.fill_null(whole, b""))
    )
    empty = struct.pack("!iii", 0, 0, kind.element.oid)
    found = pc.if_else(pc.equal(sizes, 0), pa.scalar(empty, BINARY), found)
    return pc.if_else(array.is_valid(), found, pa.scalar(None, BINARY))


def _slowly(array: pa.Array, element: PgType) -> pa.Array:
    """The same where there are nulls or several dimensions, value by value."""

    def encoded(leaves: pa.Array) -> pa.Array:
        found = bytewise.joined(field(leaves, element))
        return pc.if_else(leaves.is_valid(), found, pa.scalar(None, BINARY))

    return _each(relisted(array, encoded), lambda value: _one(value, element.oid))


def _one(value: Sequence[Any], oid: int) -> bytes:
    sizes, leaves = dimensions(value)
    flags = int(any(leaf is None for leaf in leaves))
    head = struct.pack("!iii", len(sizes), flags, oid)
    bounds = b"".join(struct.pack("!ii", size, 1) for size in sizes)
    return (
        head + bounds + b"".join(b"\xff\xff\xff\xff" if leaf is None else leaf for leaf in leaves)
    )
