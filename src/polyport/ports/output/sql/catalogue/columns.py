"""PostgreSQL's types for those of the engine, by the names that SQL has for them: the same that rows are sent in."""

from __future__ import annotations

from typing import Final

from polyport.ports.output.sql import types

_NAMES: Final = {
    types.BOOL: "boolean",
    types.BYTEA: "bytea",
    types.INT2: "smallint",
    types.INT4: "integer",
    types.INT8: "bigint",
    types.TEXT: "text",
    types.JSON: "json",
    types.FLOAT4: "real",
    types.FLOAT8: "double precision",
    types.DATE: "date",
    types.TIME: "time",
    types.TIMESTAMP: "timestamp",
    types.TIMESTAMPTZ: "timestamptz",
    types.INTERVAL: "interval",
    types.NUMERIC: "numeric",
    types.UUID: "uuid",
    types.VARBIT: "varbit",
}
_MODIFIER_START = 4
"""What PostgreSQL adds to the precision and scale of a numeric."""


def postgres_type(name: str) -> str:
    """The PostgreSQL type for the engine's type called `name`: `numeric(18,2)` for `DECIMAL(18,2)`."""
    kind = types.pg_type(name)
    known = _NAMES.get((kind.element or kind).oid, "text")
    if kind.modifier >= 0:
        precision, scale = divmod(kind.modifier - _MODIFIER_START, 1 << 16)
        known = f"{known}({precision},{scale})"
    return f"{known}[]" if kind.element else known


def family(postgres: str) -> str:
    """Types of one family can be keys of each other; empty for those that cannot be keys."""
    bare = postgres.split("(", maxsplit=1)[0].removesuffix("[]")
    if bare == "json":
        return ""
    if postgres.endswith("[]"):
        return postgres
    if bare in {"smallint", "integer", "bigint", "numeric"}:
        return "number"
    return "float" if bare in {"real", "double precision"} else bare
