"""Types as promised, and what the step from one to another means for who reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from polyport.descriptor.compare.changes import breaking, patch, risky

if TYPE_CHECKING:
    from collections.abc import Mapping

    from polyport.descriptor.compare.changes import Judged

_TYPE = re.compile(
    r"\s*(?P<name>[A-Za-z_][\w ]*?)\s*(?:\((?P<sizes>\s*\d+\s*(?:,\s*\d+\s*)?)\))?\s*"
)
_NAMES: Mapping[str, str] = {
    "int1": "tinyint", "byte": "tinyint", "int2": "smallint", "short": "smallint", "int4": "integer",
    "int": "integer", "signed": "integer", "int8": "bigint", "long": "bigint", "int128": "hugeint",
    "utinyint": "utinyint", "float4": "real", "float": "real", "float8": "double",
    "double precision": "double", "numeric": "decimal", "dec": "decimal", "number": "decimal",
    "text": "varchar", "string": "varchar", "character varying": "varchar", "nvarchar": "varchar",
    "char": "varchar", "character": "varchar", "bpchar": "varchar", "nchar": "varchar",
    "bool": "boolean", "logical": "boolean", "datetime": "timestamp",
    "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz",
    "bytea": "blob", "binary": "blob", "varbinary": "blob", "bytes": "blob",
}  # fmt: skip
"""Another name of a type -> the one that is compared."""
_WIDTHS = (
    ("tinyint", "smallint", "integer", "bigint", "hugeint"),
    ("utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"),
    ("real", "double"),
)
"""Families of types, each type with room for all values of those before."""
_UNLIMITED = 1 << 31


class _Physical(NamedTuple):
    name: str
    sizes: tuple[int, ...]


def physical(old: str, new: str, what: str) -> Judged:
    """What it means that `what` has the SQL type `new` instead of `old`."""
    one, other = _read(old), _read(new)
    if one == other:
        return patch(f"the type of {what} is spelled `{new}` instead of `{old}`")
    change = f"the type of {what} changes from `{old}` to `{new}`"
    if one and other and _room(one, other):
        return risky(f"{change}: values may come that do not fit where the old type was used")
    if one and other and _room(other, one):
        return breaking(
            f"{change}: values that fitted are cut, rounded or refused, and typed readers fail"
        )
    return breaking(f"{change}: who reads it as the old type fails")


def logical(old: str, new: str, what: str) -> Judged:
    """The same for logical types."""
    return breaking(
        f"the logical type of {what} changes from `{old}` to `{new}`: who reads it as the old one fails"
    )


def _read(text: str) -> _Physical | None:
    """A simple type; None for one that is nested or of an unknown form."""
    found = _TYPE.fullmatch(text)
    if found is None:
        return _Physical(" ".join(text.lower().split()), ()) if text.strip() else None
    name = " ".join(found["name"].lower().split())
    sizes = tuple(int(size) for size in (found["sizes"] or "").split(",") if size.strip())
    name = _NAMES.get(name, name)
    return _Physical(name, (sizes[0], 0) if name == "decimal" and len(sizes) == 1 else sizes)


def _room(small: _Physical, large: _Physical) -> bool:
    """Whether every value of the one fits into the other, of the same family."""
    if small.name != large.name:
        families = [family for family in _WIDTHS if small.name in family and large.name in family]
        return any(f.index(small.name) < f.index(large.name) for f in families)
    if small.name == "decimal":
        (digits, scale), (more, finer) = (each.sizes or (18, 3) for each in (small, large))
        return more - finer >= digits - scale and finer >= scale
    lengths = [each.sizes[0] if each.sizes else _UNLIMITED for each in (small, large)]
    return lengths[0] <= lengths[1]
