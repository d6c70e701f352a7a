"""Types of columns between SQL, Arrow and ODBC."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

_UTC = pa.timestamp("us", "UTC")
ARROW: dict[str, pa.DataType] = {
    "BOOLEAN": pa.bool_(), "TINYINT": pa.int8(), "SMALLINT": pa.int16(), "INTEGER": pa.int32(),
    "BIGINT": pa.int64(), "UTINYINT": pa.uint8(), "USMALLINT": pa.uint16(),
    "UINTEGER": pa.uint32(), "UBIGINT": pa.uint64(), "FLOAT": pa.float32(), "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(), "BLOB": pa.binary(), "DATE": pa.date32(), "TIME": pa.time64("us"),
    "TIMESTAMP": pa.timestamp("us"), "TIMESTAMP WITH TIME ZONE": _UTC, "UUID": pa.string(),
    "JSON": pa.string(),
}  # fmt: skip
"""SQL type -> that of Arrow."""
_NAMES = {str(kind): name for name, kind in reversed(ARROW.items())}
_NAMES |= {"large_string": "VARCHAR", "string_view": "VARCHAR", "large_binary": "BLOB"}
_NAMES |= {
    "timestamp[ns]": "TIMESTAMP_NS",
    "timestamp[ms]": "TIMESTAMP_MS",
    "timestamp[s]": "TIMESTAMP_S",
}
_DECIMAL = re.compile(r"DECIMAL\((\d{1,2}),\s*(\d{1,2})\)")


def plain(kind: pa.DataType) -> pa.DataType:
    """The type with values in place of dictionaries (ENUM): some clients take none that begin within a stream."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(plain(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(plain(kind.key_type), plain(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(plain(kind.value_type)))
    return kind


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The same columns, each of a `plain` type."""
    return pa.schema([f.with_type(plain(f.type)) for f in schema], schema.metadata)


def arrow(name: str) -> pa.DataType:
    """The Arrow type of a parameter of the SQL type `name`: text, where the statement leaves it open."""
    if name.endswith("[]"):
        return pa.list_(arrow(name[:-2]))
    if found := _DECIMAL.fullmatch(name):
        return pa.decimal128(int(found[1]), int(found[2]))
    return ARROW.get(name, pa.string())


def sql(kind: pa.DataType) -> str:
    """The SQL type of a column that is `kind` in Arrow, as the engine names it."""
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"{sql(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        inner = ", ".join(f'"{f.name}" {sql(f.type)}' for f in kind)
        return f"STRUCT({inner})"
    if pa.types.is_map(kind):
        return f"MAP({sql(kind.key_type)}, {sql(kind.item_type)})"
    if pa.types.is_dictionary(kind):
        return sql(kind.value_type)
    return _NAMES.get(str(kind), str(kind).upper())


XDBC = pa.schema(
    [
        pa.field("type_name", pa.string(), nullable=False),
        pa.field("data_type", pa.int32(), nullable=False),
        pa.field("column_size", pa.int32()),
        pa.field("literal_prefix", pa.string()),
        pa.field("literal_suffix", pa.string()),
        pa.field("create_params", pa.list_(pa.field("item", pa.string(), nullable=False))),
        pa.field("nullable", pa.int32(), nullable=False),
        pa.field("case_sensitive", pa.bool_(), nullable=False),
        pa.field("searchable", pa.int32(), nullable=False),
        pa.field("unsigned_attribute", pa.bool_()),
        pa.field("fixed_prec_scale", pa.bool_(), nullable=False),
        pa.field("auto_increment", pa.bool_()),
        pa.field("local_type_name", pa.string()),
        pa.field("minimum_scale", pa.int32()),
        pa.field("maximum_scale", pa.int32()),
        pa.field("sql_data_type", pa.int32(), nullable=False),
        pa.field("datetime_subcode", pa.int32()),
        pa.field("num_prec_radix", pa.int32()),
        pa.field("interval_precision", pa.int32()),
    ]
)
"""What is told of each type."""
_DATETIME = 9
_TYPES = (  # name, code of ODBC, size, its subcode as a time
    ("BIGINT", -5, 19, None), ("BLOB", -3, None, None), ("BOOLEAN", -7, 1, None),
    ("DATE", 91, 10, 1), ("DECIMAL", 3, 38, None), ("DOUBLE", 8, 53, None),
    ("FLOAT", 7, 24, None), ("INTEGER", 4, 10, None), ("SMALLINT", 5, 5, None),
    ("TIME", 92, 15, 2), ("TIMESTAMP", 93, 26, 3), ("TIMESTAMP WITH TIME ZONE", 93, 32, 5),
    ("TINYINT", -6, 3, None), ("UBIGINT", -5, 20, None), ("UINTEGER", 4, 10, None),
    ("USMALLINT", 5, 5, None), ("UTINYINT", -6, 3, None), ("UUID", 12, 36, None),
    ("VARCHAR", 12, None, None),
)  # fmt: skip
_EXACT = {-6, 5, 4, -5, 3}
_ABOUT = {7, 8}


def xdbc(asked: int | None) -> Iterator[tuple[Any, ...]]:
    """The types that columns have, by code and name: all, or those of the code `asked`."""
    for name, code, size, subcode in sorted(_TYPES, key=lambda t: (t[1], t[0])):
        if asked is None or asked == code:
            yield _type(name, code, size, subcode)


def _type(name: str, code: int, size: int | None, subcode: int | None) -> tuple[Any, ...]:
    number, text = code in _EXACT | _ABOUT, code == 12  # noqa: PLR2004 - ODBC's VARCHAR
    quoted = "'" if text or subcode else None
    decimal = name == "DECIMAL"
    scale = (0, 38 if decimal else 0) if code in _EXACT else (None, None)
    radix = 10 if code in _EXACT else 2 if code in _ABOUT else None
    return (
        *(name, code, size, quoted, quoted, ["precision", "scale"] if decimal else None),
        *(1, name == "VARCHAR", 3 if text else 2, name.startswith("U") if number else None),
        *(code in _EXACT and not decimal, False if number else None, name, *scale),
        *(_DATETIME if subcode else code, subcode, radix, None),
    )
