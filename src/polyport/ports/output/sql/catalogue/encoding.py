"""Values of the built-in catalogue, as the protocol has them."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from polyport.ports.output.sql.catalogue.small import BOOL, INT2, INT4, INT8, OID

if TYPE_CHECKING:
    from collections.abc import Sequence

_PACKED = {BOOL: "!?", INT2: "!h", INT4: "!i", INT8: "!q", OID: "!I"}


def bound(rest: bytes) -> tuple[list[object], Sequence[int]]:
    """The values and the result formats of a Bind message, after its two names."""
    (count,) = struct.unpack_from("!h", rest)
    formats = struct.unpack_from(f"!{count}h", rest, 2)
    at = 2 + 2 * count
    (number,) = struct.unpack_from("!h", rest, at)
    at += 2
    values: list[object] = []
    for form in spread(formats, number):
        (length,) = struct.unpack_from("!i", rest, at)
        at += 4
        value = rest[at : at + max(length, 0)]
        values.append(None if length < 0 else _value(value, form))
        at += max(length, 0)
    (results,) = struct.unpack_from("!h", rest, at)
    return values, struct.unpack_from(f"!{results}h", rest, at + 2)


def _value(data: bytes, form: int) -> object:
    """A parameter's value. All are declared as text, so binary is text, too; digits compare with OIDs."""
    text = data.decode("utf-8", "replace")
    return int(text) if not form and re.fullmatch(r"-?\d{1,18}", text) else text


def spread(formats: Sequence[int], count: int) -> Sequence[int]:
    """A format for each of `count` values: none given is text, one given is for all."""
    return list(formats) if len(formats) == count else [formats[0] if formats else 0] * count


def row(
    values: Sequence[object], columns: Sequence[tuple[str, int]], formats: Sequence[int]
) -> bytes:
    """A DataRow."""
    parts = [struct.pack("!h", len(values))]
    for value, (_, oid), form in zip(values, columns, formats, strict=True):
        if value is None:
            parts.append(struct.pack("!i", -1))
            continue
        data = _binary(value, oid) if form else _as_text(value, oid)
        parts += [struct.pack("!i", len(data)), data]
    return b"".join(parts)


def _binary(value: object, oid: int) -> bytes:
    packed = _PACKED.get(oid)
    return struct.pack(packed, value) if packed else _as_text(value, oid)


def _as_text(value: object, oid: int) -> bytes:
    return (b"t" if value else b"f") if oid == BOOL else str(value).encode()
