"""Protocol Buffers, as far as Flight SQL needs them: dataclasses whose fields say how they are written.

    class Ticket(Message):
        ticket: bytes = wire(1, "bytes")

Bytes come from anybody: what is not well formed is refused, never guessed at. Fields that are not declared are skipped,
so that a client may be newer than we are.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from polyport.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Kind: TypeAlias = Literal[
    "bool", "uint32", "int32", "int64", "sfixed64", "double", "string", "bytes"
]
Value: TypeAlias = "int | bytes"

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_WIRE = {"sfixed64": _FIXED64, "double": _FIXED64, "string": _LENGTH, "bytes": _LENGTH}
_LONGEST = 10
"""Bytes of a varint: 64 bits."""
_HIGHEST = (1 << 29) - 1
_ZERO: Mapping[str, Any] = {
    "bool": False, "uint32": 0, "int32": 0, "int64": 0, "sfixed64": 0, "double": 0.0, "string": "", "bytes": b"",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Spec:
    number: int
    kind: Kind | type[Message]
    repeated: bool = False
    optional: bool = False

    @property
    def wire(self) -> int:
        return _WIRE.get(self.kind, _VARINT) if isinstance(self.kind, str) else _LENGTH


def wire(
    number: int, kind: Kind | type[Message], *, repeated: bool = False, optional: bool = False
) -> Any:
    """A field of a `Message`. `repeated`: a tuple. `optional`: None where it is not sent; messages always are."""
    default: Any = _ZERO[kind] if isinstance(kind, str) else None
    if repeated:
        default = ()
    elif optional:
        default = None
    return field(
        default=default, kw_only=True, metadata={"wire": _Spec(number, kind, repeated, optional)}
    )


@dataclass(frozen=True)
class Message:
    """A message: its fields are made by `wire`."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The message that `data` holds.

        Raises:
            QueryError: It is not well formed.
        """
        found: dict[str, Any] = {}
        known: Mapping[int, tuple[str, _Spec]] = _specs(cls)  # type: ignore[arg-type]
        for number, kind, value in _fields(data):
            if number not in known:
                continue
            name, spec = known[number]
            values = _values(spec, kind, value)
            found[name] = (*found.get(name, ()), *values) if spec.repeated else values[-1]
        return cls(**found)

    def encode(self) -> bytes:
        """The bytes that stand for it; fields at their default are left out."""
        return b"".join(_written(self))


@cache
def _specs(message: type[Message]) -> Mapping[int, tuple[str, _Spec]]:
    declared = [(f.name, f.metadata["wire"]) for f in fields(message)]
    return {spec.number: (name, spec) for name, spec in declared}


# Reading


def _fields(data: bytes) -> Iterator[tuple[int, int, Value]]:
    """Number, wire type and value of each field."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if not 0 < number <= _HIGHEST:
            raise _malformed(f"there is no field {number}")
        value, at = _value(data, at, kind)
        yield number, kind, value


def _value(data: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind == _VARINT:
        return _varint(data, at)
    if kind == _LENGTH:
        size, at = _varint(data, at)
    elif kind in (_FIXED32, _FIXED64):
        size = 4 if kind == _FIXED32 else 8
    else:
        raise _malformed(f"there is no wire type {kind}")
    if at + size > len(data):
        raise _malformed("it ends within a field")
    return data[at : at + size], at + size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = 0
    for n in range(_LONGEST):
        if at + n >= len(data):
            raise _malformed("it ends within a number")
        byte = data[at + n]
        result |= (byte & 0x7F) << (7 * n)
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says that there is more
            return result & 0xFFFF_FFFF_FFFF_FFFF, at + n + 1
    raise _malformed("a number has more than 64 bits")


def _values(spec: _Spec, kind: int, value: Value) -> tuple[Any, ...]:
    """What a field holds: one value; of a packed one, all."""
    if kind == spec.wire:
        return (_read(spec, value),)
    if spec.repeated and kind == _LENGTH and spec.wire == _VARINT and isinstance(value, bytes):
        return tuple(_packed(spec, value))
    raise _malformed(f"field {spec.number} is of wire type {kind}")


def _packed(spec: _Spec, data: bytes) -> Iterator[Any]:
    at = 0
    while at < len(data):
        number, at = _varint(data, at)
        yield _read(spec, number)


def _read(spec: _Spec, value: Value) -> Any:
    if not isinstance(spec.kind, str):
        return spec.kind.parse(bytes(value))
    return _READERS[spec.kind](value)


def _text(value: Any) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError:
        raise _malformed("a text is not UTF-8") from None


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "bool": bool,
    "uint32": lambda v: v & 0xFFFF_FFFF,
    "int32": lambda v: _signed(v, 32),
    "int64": lambda v: _signed(v, 64),
    "sfixed64": lambda v: struct.unpack("<q", v)[0],
    "double": lambda v: struct.unpack("<d", v)[0],
    "string": _text,
    "bytes": bytes,
}


def _malformed(why: str) -> QueryError:
    return QueryError(
        f"this is no message of Flight SQL: {why}", fix="use a client that speaks Flight SQL"
    )


# Writing


def _written(message: Message) -> Iterator[bytes]:
    for each in fields(message):
        spec: _Spec = each.metadata["wire"]
        value = getattr(message, each.name)
        if spec.repeated:
            for one in value:
                yield _field(spec, one)
        elif value is not None and (spec.optional or value != each.default):
            yield _field(spec, value)


def _field(spec: _Spec, value: Any) -> bytes:
    key = _number(spec.number << 3 | spec.wire)
    if not isinstance(spec.kind, str):
        body: bytes = value.encode()
        return key + _number(len(body)) + body
    match spec.kind:
        case "string" | "bytes":
            body = value.encode() if isinstance(value, str) else bytes(value)
            return key + _number(len(body)) + body
        case "sfixed64":
            return key + struct.pack("<q", value)
        case "double":
            return key + struct.pack("<d", value)
    return key + _number(int(value) & 0xFFFF_FFFF_FFFF_FFFF)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
