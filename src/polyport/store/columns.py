"""Columns of a dataset as Iceberg v2 sees them: types, and field ids that stay from snapshot to snapshot."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from polyport.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from polyport.engine import FieldIds

_UTC = {"UTC", "Etc/UTC", "+00:00", "Z"}
_DIGITS = 38
"""The most that an Iceberg decimal holds."""
_DECIMAL = re.compile(r"decimal\((\d+), (\d+)\)")
_WIDER = {("int", "long"), ("float", "double")}

_is = pa.types


def _is_list(kind: pa.DataType) -> bool:
    tests = (
        _is.is_list,
        _is.is_large_list,
        _is.is_fixed_size_list,
        _is.is_list_view,
        _is.is_large_list_view,
    )
    return any(test(kind) for test in tests)


_SIMPLE: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (_is.is_boolean, "boolean"),
    (lambda t: _is.is_int8(t) or _is.is_int16(t) or _is.is_int32(t), "int"),
    (_is.is_int64, "long"),
    (_is.is_float32, "float"),
    (_is.is_float64, "double"),
    (lambda t: _is.is_string(t) or _is.is_large_string(t) or _is.is_string_view(t), "string"),
    (lambda t: _is.is_binary(t) or _is.is_large_binary(t) or _is.is_binary_view(t), "binary"),
    (_is.is_date32, "date"),
    (lambda t: _is.is_time64(t) and t.unit == "us", "time"),
    (lambda t: _is.is_timestamp(t) and t.unit != "ns" and t.tz is None, "timestamp"),
    (lambda t: _is.is_timestamp(t) and t.unit != "ns" and t.tz in _UTC, "timestamptz"),
    (lambda t: isinstance(t, pa.UuidType), "uuid"),
    (_is.is_struct, "struct"),
    (_is.is_map, "map"),
    (_is_list, "list"),
)
_CASTS: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (_is.is_uint64, "DECIMAL(20, 0)"),
    (_is.is_unsigned_integer, "BIGINT"),
    (lambda t: _is.is_timestamp(t) and t.tz is not None, "TIMESTAMPTZ in UTC with microseconds"),
    (_is.is_timestamp, "TIMESTAMP (microseconds)"),
    (_is.is_time, "TIME (microseconds)"),
    (_is.is_date64, "DATE"),
    (_is.is_float16, "FLOAT"),
    (_is.is_decimal, f"DECIMAL({_DIGITS}, scale) or DOUBLE"),
    (_is.is_null, "the type that it is meant to have"),
    (lambda t: _is.is_duration(t) or _is.is_interval(t), "BIGINT (a number of seconds or days)"),
)


def _bare(kind: pa.DataType) -> pa.DataType:
    """The type without what only Arrow knows of: dictionaries, and extensions but for UUID."""
    if _is.is_dictionary(kind):
        return _bare(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.UuidType):
        return _bare(kind.storage_type)
    return kind


def children(kind: pa.DataType) -> tuple[tuple[str, pa.Field], ...]:
    """The fields of a nested type under their Iceberg names; none for others."""
    kind = _bare(kind)
    if _is.is_struct(kind):
        return tuple((kind.field(i).name, kind.field(i)) for i in range(kind.num_fields))
    if _is.is_map(kind):
        return (("key", kind.key_field), ("value", kind.item_field))
    return (("element", kind.value_field),) if _is_list(kind) else ()


def iceberg_type(kind: pa.DataType) -> str:
    """The name of the Iceberg v2 type that holds an Arrow type; empty where there is none."""
    kind = _bare(kind)
    if _is.is_decimal(kind):
        fits = kind.precision <= _DIGITS and 0 <= kind.scale <= kind.precision
        return f"decimal({kind.precision}, {kind.scale})" if fits else ""
    if _is.is_fixed_size_binary(kind):
        return f"fixed[{kind.byte_width}]"
    return next((name for test, name in _SIMPLE if test(kind)), "")


def _walk(name: str, kind: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    yield name, kind
    for child, inner in children(kind):
        yield from _walk(f"{name}.{child}", inner.type)


def paths(schema: pa.Schema) -> Iterator[tuple[str, pa.DataType]]:
    """Every column and nested field, as `column.field.element`, with its type."""
    for column in schema:
        yield from _walk(column.name, column.type)


def check(dataset: str, schema: pa.Schema) -> None:
    """Nothing, if Iceberg v2 can hold the columns.

    Raises:
        StoreError: It cannot; names all that it cannot hold.
    """
    bad = [(path, kind) for path, kind in paths(schema) if not iceberg_type(kind)]
    if bad:
        named = ", ".join(f"{path!r} ({kind})" for path, kind in bad)
        casts = dict.fromkeys(_cast(kind) for _, kind in bad)
        raise StoreError(
            f"Iceberg v2 has no type for {named} of dataset {dataset!r}",
            where=dataset,
            fix=f"cast it in the transform to {', '.join(casts)}",
        )


def _cast(kind: pa.DataType) -> str:
    return next((sql for test, sql in _CASTS if test(_bare(kind))), "VARCHAR")


def check_names(dataset: str, schema: pa.Schema, key: tuple[str, ...]) -> None:
    """Nothing, if the columns have names of their own and the key is among them.

    Raises:
        StoreError: They do not.
    """
    names = list(schema.names)
    known = Counter(path for path, _ in paths(schema))
    twice = sorted(path for path, count in known.items() if count > 1)
    if twice or any(_has_nameless(column) for column in schema):
        message = f"dataset {dataset!r} has columns of the same name or of none: {twice or names}"
        raise StoreError(message, where=dataset, fix="give each column a name of its own (AS)")
    missing = [name for name in key if name not in names]
    if missing:
        message = f"the key of dataset {dataset!r} names {missing[0]!r}, which is not a column"
        raise StoreError(message, where=dataset, fix=f"its columns are {', '.join(names)}")


def _has_nameless(column: pa.Field) -> bool:
    named = column.name and all(name for name, _ in children(column.type))
    return not named or any(
        _has_nameless(child) for _, child in children(column.type) if child.name
    )


@dataclass(frozen=True, slots=True)
class Columns:
    """What a snapshot says of a dataset's columns."""

    schema: pa.Schema = field(default_factory=lambda: pa.schema([]))
    field_ids: FieldIds = field(default_factory=dict)
    last_id: int = 0
    """The highest field id that the dataset has ever used."""


def assign(schema: pa.Schema, before: Columns) -> Columns:
    """Field ids for `schema`: the one from before by name and path, else a new one.

    A column whose type changed otherwise than Iceberg allows (int to long, float to double, more decimal digits)
    is a new column to Iceberg, so it gets a new id.
    """
    numbers = _Numbers(before.last_id)
    old = {column.name: column.type for column in before.schema}
    ids = {
        column.name: numbers.ids(
            column.type, old.get(column.name), before.field_ids.get(column.name)
        )
        for column in schema
    }
    return Columns(schema, ids, numbers.last)


@dataclass(slots=True)
class _Numbers:
    last: int

    def ids(
        self, kind: pa.DataType, old: pa.DataType | None, known: int | FieldIds | None
    ) -> int | FieldIds:
        if old is None or known is None or not may_become(old, kind):
            old, known = None, None
        own = self._next() if known is None else own_id(known)
        inner = children(kind)
        if not inner:
            return own
        types = {name: child.type for name, child in children(old)} if old is not None else {}
        below = cast("FieldIds", known) if known is not None else {}
        nested = {n: self.ids(child.type, types.get(n), below.get(n)) for n, child in inner}
        return {"": own, **nested}

    def _next(self) -> int:
        self.last += 1
        return self.last


def may_become(old: pa.DataType, new: pa.DataType) -> bool:
    """Whether Iceberg takes both types for the same column, or lets the old one become the new one."""
    before, after = iceberg_type(old), iceberg_type(new)
    if before == after:
        return bool(before) or old == new
    first, second = _DECIMAL.fullmatch(before), _DECIMAL.fullmatch(after)
    if first and second:
        return first[2] == second[2] and int(first[1]) <= int(second[1])
    return (before, after) in _WIDER


def own_id(ids: int | FieldIds) -> int:
    """The id of a column itself, not of what is nested in it."""
    return ids if isinstance(ids, int) else cast("int", ids[""])


def flat(ids: FieldIds) -> dict[str, int]:
    """Field id by path, as `paths` writes them."""
    found: dict[str, int] = {}
    for name, known in ids.items():
        if name:
            found[name] = own_id(known)
            below = {} if isinstance(known, int) else flat(known)
            found.update({f"{name}.{path}": number for path, number in below.items()})
    return found


def written_ids(schema: pa.Schema) -> dict[str, int]:
    """Field id by path as a Parquet file carries them; what has none is left out."""
    found: dict[str, int] = {}

    def visit(path: str, column: pa.Field) -> None:
        number = (column.metadata or {}).get(b"PARQUET:field_id")
        if number is not None and int(number) >= 0:
            found[path] = int(number)
        for name, child in children(column.type):
            visit(f"{path}.{name}", child)

    for column in schema:
        visit(column.name, column)
    return found


def iceberg_schema(columns: Columns, required: frozenset[str], schema_id: int) -> dict[str, Any]:
    """The Iceberg schema as its JSON; `required` columns are the identifier fields."""
    ids = columns.field_ids
    return {
        "type": "struct",
        "schema-id": schema_id,
        "identifier-field-ids": [
            own_id(ids[name]) for name in columns.schema.names if name in required
        ],
        "fields": [
            {
                "id": own_id(ids[column.name]),
                "name": column.name,
                "required": column.name in required,
                "type": _type_json(column.type, ids[column.name]),
            }
            for column in columns.schema
        ],
    }


def _type_json(kind: pa.DataType, ids: int | FieldIds) -> str | dict[str, Any]:
    name = iceberg_type(kind)
    if isinstance(ids, int):
        return name if name != "struct" else {"type": "struct", "fields": []}
    inner: Mapping[str, pa.Field] = dict(children(kind))
    types = {n: _type_json(child.type, ids[n]) for n, child in inner.items()}
    numbers = {n: own_id(ids[n]) for n in inner}
    if name == "struct":
        fields = [{"id": numbers[n], "name": n, "required": False, "type": types[n]} for n in inner]
        return {"type": "struct", "fields": fields}
    parts = {f"{n}-id": number for n, number in numbers.items()}
    optional = {"element-required": False} if name == "list" else {"value-required": False}
    return {"type": name, **parts, **types, **optional}


def name_mapping(columns: Columns) -> list[dict[str, Any]]:
    """Field ids by name, for files that carry none: Iceberg's `schema.name-mapping.default` as its JSON."""
    return [
        _mapped(column.name, column.type, columns.field_ids[column.name])
        for column in columns.schema
    ]


def _mapped(name: str, kind: pa.DataType, ids: int | FieldIds) -> dict[str, Any]:
    mapped: dict[str, Any] = {"names": [name], "field-id": own_id(ids)}
    if not isinstance(ids, int):
        mapped["fields"] = [_mapped(n, child.type, ids[n]) for n, child in children(kind)]
    return mapped
