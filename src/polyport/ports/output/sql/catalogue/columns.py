"""PostgreSQL's types for those of the engine."""

from __future__ import annotations

import re

_SIMPLE = {
    "BOOLEAN": "boolean",
    "TINYINT": "smallint",
    "SMALLINT": "smallint",
    "UTINYINT": "smallint",
    "USMALLINT": "integer",
    "INTEGER": "integer",
    "UINTEGER": "bigint",
    "BIGINT": "bigint",
    "UBIGINT": "numeric",
    "HUGEINT": "numeric",
    "UHUGEINT": "numeric",
    "FLOAT": "real",
    "DOUBLE": "double precision",
    "VARCHAR": "text",
    "BLOB": "bytea",
    "DATE": "date",
    "TIME": "time",
    "TIME WITH TIME ZONE": "timetz",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP_NS": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "INTERVAL": "interval",
    "UUID": "uuid",
    "JSON": "json",
    "BIT": "varbit",
}
_OTHER_NAMES = {
    "BOOL": "BOOLEAN",
    "INT": "INTEGER",
    "REAL": "FLOAT",
    "TEXT": "VARCHAR",
    "STRING": "VARCHAR",
    "BYTEA": "BLOB",
    "TIMETZ": "TIME WITH TIME ZONE",
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
    "DATETIME": "TIMESTAMP",
    "NUMERIC": "DECIMAL(18,3)",
    "DECIMAL": "DECIMAL(18,3)",
}
_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC)\((\d+)(?:,\s*(\d+))?\)")
_LIST = re.compile(r"(.*)\[\d*\]", re.DOTALL)
_NESTED = ("STRUCT", "MAP", "UNION", "VARIANT")


def postgres_type(name: str) -> str:
    """The PostgreSQL type for the engine's type called `name`: `numeric(18,2)` for `DECIMAL(18,2)`.

    A list is an array; lists of lists and other nested values are `json`; what is not known is `text`.
    """
    known = name.strip()
    upper = known.upper()
    upper = _OTHER_NAMES.get(upper, upper)
    inner = _LIST.fullmatch(known)
    if inner:
        element = postgres_type(inner[1])
        nested = element.endswith("[]") or element == "json"
        return "json" if nested else f"{element}[]"
    if upper.startswith(_NESTED):
        return "json"
    decimal = _DECIMAL.fullmatch(upper)
    if decimal:
        return f"numeric({decimal[1]},{decimal[2] or 0})"
    return _SIMPLE.get(upper, "text")


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
