"""Avro object container files (Avro 1.11, "Object Container Files"), written: the types that Iceberg uses.

A `Kind` says both what a type's schema is and how a value is written, so the two cannot drift apart.
"""

from __future__ import annotations

import json
import secrets
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

_MAGIC = b"Obj\x01"
_SYNC = 16


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """An Avro type."""

    schema: Any
    """As its JSON."""
    encode: Callable[[T], bytes]
    """The binary form of a value."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record; a value that is None or missing is null, where the field may have one."""

    number: int
    """The field id that Iceberg finds it by."""
    name: str
    kind: Kind[Any]
    nullable: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """As its JSON."""
        default = {"default": None} if self.nullable else {}
        return {"name": self.name, "type": self.kind.schema, "field-id": self.number, **default}


def _long(value: int) -> bytes:
    """Zigzag, then seven bits a byte, the low ones first."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:  # noqa: PLR2004 - what seven bits hold
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _bytes(value: bytes) -> bytes:
    return _long(len(value)) + value


INT: Kind[int] = Kind("int", _long)
LONG: Kind[int] = Kind("long", _long)
BOOLEAN: Kind[bool] = Kind("boolean", lambda value: bytes([value]))
BYTES: Kind[bytes] = Kind("bytes", _bytes)
TEXT: Kind[str] = Kind("string", lambda value: _bytes(value.encode()))


def array(items: Kind[T], **attributes: object) -> Kind[Sequence[T]]:
    """A list; `attributes` are added to its schema."""

    def encode(values: Sequence[T]) -> bytes:
        block = _long(len(values)) + b"".join(map(items.encode, values)) if values else b""
        return block + _long(0)

    return Kind({"type": "array", "items": items.schema, **attributes}, encode)


def record(name: str, *fields: Field) -> Kind[Mapping[str, Any]]:
    """A record, as a mapping from the names of its fields."""

    def encode(values: Mapping[str, Any]) -> bytes:
        return b"".join(field.kind.encode(values.get(field.name)) for field in fields)

    schema = {"type": "record", "name": name, "fields": [field.schema for field in fields]}
    return Kind(schema, encode)


def required(number: int, name: str, kind: Kind[Any]) -> Field:
    """A field that is never null."""
    return Field(number, name, kind)


def optional(number: int, name: str, kind: Kind[T]) -> Field:
    """A field that may be null."""

    def encode(value: T | None) -> bytes:
        return _long(0) if value is None else _long(1) + kind.encode(value)

    return Field(number, name, Kind(["null", kind.schema], encode), nullable=True)


def numbered(key: int, value: int, kind: Kind[T]) -> Kind[Mapping[int, T]]:
    """A map from whole numbers; `key` and `value` are field ids. Avro's own maps have text for keys."""
    name = f"k{key}_v{value}"
    pair = record(name, required(key, "key", INT), required(value, "value", kind))
    pairs = array(pair, logicalType="map")
    return Kind(
        pairs.schema,
        lambda values: pairs.encode([{"key": k, "value": v} for k, v in values.items()]),
    )


def container(kind: Kind[T], rows: Sequence[T], metadata: Mapping[str, str]) -> bytes:
    """A whole file: header and, if there are rows, one deflated block of them."""
    sync = secrets.token_bytes(_SYNC)
    told = {**metadata, "avro.codec": "deflate", "avro.schema": json.dumps(kind.schema)}
    pairs = b"".join(TEXT.encode(key) + TEXT.encode(value) for key, value in told.items())
    header = _MAGIC + _long(len(told)) + pairs + _long(0) + sync
    if not rows:
        return header
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(b"".join(map(kind.encode, rows))) + packer.flush()
    return header + _long(len(rows)) + _bytes(packed) + sync
