"""The parameters of a statement: how many, and of which types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from polyport.ports.output.sql import types
from polyport.ports.output.sql.states import StateError

if TYPE_CHECKING:
    from polyport.ports.output.sql.portal import Prepared


MOST: Final = 65_535
"""As many as the protocol can count."""


def used(prepared: Prepared) -> int:
    """The highest `$n`."""
    if prepared.statement is None:
        return 0
    numbers = (int(t.text[1:]) for t in prepared.statement.tokens if t.kind == "parameter")
    found = max(numbers, default=0)
    if found > MOST:
        raise StateError("42P02", f"there is no parameter ${found}")
    return found


def oid(name: str) -> int:
    """The OID of a type as PREPARE names it."""
    plain = " ".join(name.lower().split()).partition("(")[0].strip()
    found = _NAMES.get(plain)
    if found is None:
        raise StateError("42704", f'type "{name}" does not exist', fix=", ".join(sorted(_NAMES)))
    return found


_NAMES: Final = {
    "bool": types.BOOL, "boolean": types.BOOL, "bytea": types.BYTEA, "int8": types.INT8, "bigint": types.INT8,
    "int2": types.INT2, "smallint": types.INT2, "int4": types.INT4, "int": types.INT4, "integer": types.INT4,
    "text": types.TEXT, "varchar": types.TEXT, "character varying": types.TEXT, "json": types.JSON,
    "jsonb": types.JSONB, "float4": types.FLOAT4, "real": types.FLOAT4, "float8": types.FLOAT8,
    "double precision": types.FLOAT8, "date": types.DATE, "time": types.TIME, "timestamp": types.TIMESTAMP,
    "timestamptz": types.TIMESTAMPTZ, "timestamp with time zone": types.TIMESTAMPTZ,
    "interval": types.INTERVAL, "numeric": types.NUMERIC, "decimal": types.NUMERIC, "uuid": types.UUID,
    "unknown": 0,
}  # fmt: skip
