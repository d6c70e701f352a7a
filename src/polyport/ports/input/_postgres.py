"""What PostgreSQL says of its columns, and its values as it writes them where Python's types would lose something."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport.ports.input._infer import MOST_DIGITS

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlalchemy as sa

_AS_WRITTEN = (
    "json", "jsonb", "interval", "timetz", "int4range", "int8range", "numrange", "daterange",
    "tsrange", "tstzrange", "int4multirange", "int8multirange", "nummultirange", "datemultirange",
    "tsmultirange", "tstzmultirange",
)  # fmt: skip
"""1.10 in JSON is not 1.1, a month is not 30 days, and a time has its zone."""

_NUMERIC = 1700
_UNSAID = 0xFFFF
"""What psycopg2 gives as the precision of a `numeric` without one."""
_TYPES: dict[int, pa.DataType] = {
    16: pa.bool_(), 20: pa.int64(), 21: pa.int64(), 23: pa.int64(), 26: pa.int64(),
    700: pa.float64(), 701: pa.float64(), 17: pa.binary(), 1082: pa.date32(), 1083: pa.time64("us"),
    1114: pa.timestamp("us"), 1184: pa.timestamp("us", "UTC"),
    **dict.fromkeys((18, 19, 25, 114, 1042, 1043, 1186, 1266, 2950, 3802), pa.string()),
}  # fmt: skip
"""By OID, as in PostgreSQL's `pg_type.dat`."""
_LISTS = {
    1000: 16, 1005: 21, 1007: 23, 1016: 20, 1021: 700, 1022: 701, 1001: 17, 1182: 1082, 1183: 1083,
    1115: 1114, 1185: 1184, 1009: 25, 1015: 1043, 1014: 1042, 2951: 2950,
}  # fmt: skip
"""Of an array, the OID of its items. Arrays of `numeric` are as their values say."""


def prepare(connection: sa.Connection) -> None:
    """Let psycopg hand over as text what PostgreSQL writes and Python's types cut short."""
    if connection.dialect.driver != "psycopg":
        return
    loader = import_module("psycopg.types.string").TextLoader
    own: Any = connection.connection.driver_connection
    for name in _AS_WRITTEN:
        own.adapters.register_loader(name, loader)


def described(columns: Iterable[Any]) -> list[pa.DataType | None]:
    """The type of each column of a PEP 249 description; None where its values must say it."""
    return [_type(column) for column in columns]


def _type(column: Any) -> pa.DataType | None:
    oid, precision, scale = column[1], column[4], column[5]
    if oid == _NUMERIC:
        if precision is None or precision == _UNSAID:
            return None
        fits = precision <= MOST_DIGITS and 0 <= scale <= precision
        return pa.decimal128(precision, scale) if fits else pa.string()
    if oid in _LISTS:
        return pa.list_(_TYPES[_LISTS[oid]])
    return _TYPES.get(oid)
