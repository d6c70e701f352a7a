"""SQL types as the engine names them, and the PostgreSQL types that clients know them by."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

BOOL: Final = 16
BYTEA: Final = 17
INT8: Final = 20
INT2: Final = 21
INT4: Final = 23
TEXT: Final = 25
JSON: Final = 114
FLOAT4: Final = 700
FLOAT8: Final = 701
UNKNOWN: Final = 705
BPCHAR: Final = 1042
VARCHAR: Final = 1043
DATE: Final = 1082
TIME: Final = 1083
TIMESTAMP: Final = 1114
TIMESTAMPTZ: Final = 1184
INTERVAL: Final = 1186
TIMETZ: Final = 1266
VARBIT: Final = 1562
NUMERIC: Final = 1700
UUID: Final = 2950
JSONB: Final = 3802
NAME: Final = 19
CHAR: Final = 18
OID: Final = 26

ARRAYS: Final = {
    BOOL: 1000, BYTEA: 1001, CHAR: 1002, NAME: 1003, INT2: 1005, INT4: 1007, TEXT: 1009, BPCHAR: 1014,
    VARCHAR: 1015, INT8: 1016, FLOAT4: 1021, FLOAT8: 1022, OID: 1028, TIMESTAMP: 1115, DATE: 1182, TIME: 1183,
    TIMESTAMPTZ: 1185, INTERVAL: 1187, NUMERIC: 1231, TIMETZ: 1270, VARBIT: 1563, JSON: 199, UUID: 2951,
    JSONB: 3807,
}  # fmt: skip
"""The OID of a type -> that of its array."""
ELEMENTS: Final = {array: element for element, array in ARRAYS.items()}
SIZES: Final = {
    BOOL: 1, INT2: 2, INT4: 4, OID: 4, INT8: 8, FLOAT4: 4, FLOAT8: 8, DATE: 4, TIME: 8, TIMETZ: 12,
    TIMESTAMP: 8, TIMESTAMPTZ: 8, INTERVAL: 16, UUID: 16,
}  # fmt: skip
"""Bytes of the types that have a fixed size (`typlen`)."""
_OIDS: Final = {
    "BOOLEAN": BOOL, "TINYINT": INT2, "SMALLINT": INT2, "UTINYINT": INT2, "USMALLINT": INT4, "INTEGER": INT4,
    "UINTEGER": INT8, "BIGINT": INT8, "UBIGINT": NUMERIC, "HUGEINT": NUMERIC, "UHUGEINT": NUMERIC,
    "BIGNUM": NUMERIC, "FLOAT": FLOAT4, "DOUBLE": FLOAT8, "VARCHAR": TEXT, "BLOB": BYTEA, "DATE": DATE,
    "TIME": TIME, "TIME_NS": TIME, "TIME WITH TIME ZONE": TIME, "TIMESTAMP": TIMESTAMP,
    "TIMESTAMP_S": TIMESTAMP, "TIMESTAMP_MS": TIMESTAMP, "TIMESTAMP_NS": TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": TIMESTAMPTZ, "INTERVAL": INTERVAL, "UUID": UUID, "JSON": JSON, "BIT": VARBIT,
}  # fmt: skip
"""The zone of a TIME WITH TIME ZONE does not come out of the engine."""
_NAMES: Final = {
    BOOL: "BOOLEAN", BYTEA: "BLOB", INT8: "BIGINT", INT2: "SMALLINT", INT4: "INTEGER", TEXT: "VARCHAR",
    JSON: "JSON", JSONB: "JSON", FLOAT4: "FLOAT", FLOAT8: "DOUBLE", BPCHAR: "VARCHAR", VARCHAR: "VARCHAR",
    NAME: "VARCHAR", CHAR: "VARCHAR", DATE: "DATE", TIME: "TIME", TIMETZ: "TIME WITH TIME ZONE", OID: "BIGINT",
    TIMESTAMP: "TIMESTAMP", TIMESTAMPTZ: "TIMESTAMP WITH TIME ZONE", INTERVAL: "INTERVAL", VARBIT: "BIT",
    UUID: "UUID",
}  # fmt: skip
_JSON: Final = ("STRUCT", "MAP", "UNION", "VARIANT", "OBJECT")
_DECIMAL: Final = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_LIST: Final = re.compile(r"\[\d*\]\Z")


@dataclass(frozen=True, slots=True)
class PgType:
    """A type as clients see it."""

    oid: int
    size: int = -1
    """Bytes; -1 where they vary."""
    modifier: int = -1
    """Of `numeric`: its precision and scale; -1: none."""
    element: PgType | None = None
    """Of an array."""


@lru_cache(maxsize=4096)
def pg_type(name: str) -> PgType:
    """The PostgreSQL type of a SQL type of the engine; lists of lists are one array, structs and maps `json`."""
    if found := _LIST.search(name):
        inner = pg_type(name[: found.start()])
        element = inner.element or inner
        if name.startswith(_JSON):
            return PgType(JSON)
        return PgType(ARRAYS[element.oid], modifier=element.modifier, element=element)
    if found := _DECIMAL.fullmatch(name):
        return PgType(NUMERIC, modifier=((int(found[1]) << 16) | int(found[2])) + 4)
    oid = JSON if name.startswith(_JSON) else _OIDS.get(name, TEXT)
    return PgType(oid, SIZES.get(oid, -1))


def sql_name(oid: int) -> str:
    """The engine's name of a PostgreSQL type; empty where the value itself tells it: text, numeric, unknown ones."""
    if oid in ELEMENTS and (inner := sql_name(ELEMENTS[oid])):
        return f"{inner}[]"
    return _NAMES.get(oid, "")
