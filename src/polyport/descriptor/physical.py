"""A contract's `physicalType` as a type of the engine, and whether a snapshot can hold it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.errors import SqlglotError

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = "VARCHAR, BIGINT, DOUBLE, DECIMAL(18,2), DATE, TIMESTAMP, BOOLEAN"
_DIGITS = 38
"""The most that an Iceberg decimal holds."""
_ODD = re.compile(r"--|;|/\*|^[^(]*\)")
"""What no type has: the parser reads a type and leaves the rest."""
_INSTEAD = {
    "UTINYINT": "SMALLINT",
    "USMALLINT": "INTEGER",
    "UINT": "BIGINT",
    "UBIGINT": "DECIMAL(20,0)",
    "UINT128": f"DECIMAL({_DIGITS},0), or VARCHAR where it has more digits",
    "TIMESTAMP_NS": "TIMESTAMP (microseconds)",
    "TIME_NS": "TIME (microseconds)",
    "INTERVAL": "BIGINT (a number of seconds or days)",
    "BIT": "VARCHAR or BLOB",
    "UNION": "a STRUCT with a field for each of them",
    "NULL": "the type that it is meant to have",
}
"""Types of the engine that Iceberg v2 or Parquet has not, as sqlglot names them -> what holds their values."""


def parsed(physical: str, dialect: str) -> exp.DataType | None:
    """The type that `physical` names in SQL of `dialect`; None where it names none."""
    if _ODD.search(physical):
        return None
    try:
        return exp.DataType.build(physical, dialect=dialect)
    except SqlglotError:
        return None


def unkept(kind: exp.DataType, dialect: str) -> Iterator[tuple[str, str]]:
    """Each type in `kind` that no snapshot can hold, and what to write instead."""
    for part in kind.find_all(exp.DataType):
        named = part.sql(dialect=dialect)
        if isinstance(part.this, exp.DataType.Type) and part.this.name in _INSTEAD:
            yield named, _INSTEAD[part.this.name]
        elif part.is_type(exp.DataType.Type.INT128) and part is not kind:
            yield named, f"DECIMAL({_DIGITS},0)"
        elif part.is_type(exp.DataType.Type.DECIMAL):
            digits = [int(one.name) for one in part.expressions if one.name.isdigit()]
            if digits and digits[0] > _DIGITS:
                scale = digits[1] if len(digits) > 1 else 0
                yield (
                    named,
                    f"DECIMAL({_DIGITS},{min(scale, _DIGITS)}), or VARCHAR where it has more digits",
                )
            elif len(digits) > 1 and digits[1] > digits[0]:
                yield named, f"DECIMAL({digits[1]},{digits[1]})"
