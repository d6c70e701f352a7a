"""JSON Schemas of columns, parameters and answers."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.types as pt

from polyport.ports.values import CLOCK, NAIVE, kind, limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from polyport.access import View
    from polyport.descriptor.types import Property, SchemaObject
    from polyport.ports.query import Parameter

Schema = dict[str, Any]
_TIME = f"^{CLOCK}$"
PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "The kind of error: a stable name."},
        "title": {"type": "string", "description": "The same for each type."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong this time, in one sentence."},
        "fix": {"type": "string", "description": "What to do about it."},
        "code": {"type": "string", "examples": ["PP420"]},
        "where": {"type": "string"},
    },
}
LINK: Schema = {
    "type": "object",
    "required": ["href"],
    "properties": {
        "href": {"type": "string"},
        "name": {"type": "string"},
        "title": {"type": "string"},
        "type": {"type": "string"},
        "templated": {"type": "boolean"},
    },
}
LINKS: Schema = {
    "type": "object",
    "additionalProperties": {
        "oneOf": [
            {"$ref": "#/components/schemas/Link"},
            {"type": "array", "items": {"$ref": "#/components/schemas/Link"}},
        ]
    },
}
SNAPSHOT: Schema = {
    "type": "object",
    "description": "The immutable published state that the answer comes from.",
    "required": ["sequence", "id", "committed_at"],
    "properties": {
        "sequence": {"type": "integer", "minimum": 1},
        "id": {"type": "string"},
        "committed_at": {"type": "string", "format": "date-time"},
    },
}


def asked(data_type: pa.DataType) -> Schema:
    """What a parameter may say of a column of `data_type`."""
    match kind(data_type):
        case "integer" | "number" as name:
            low, high = limits(data_type)
            return {
                "type": name,
                **_format(data_type),
                "minimum": _bound(low),
                "maximum": _bound(high),
            }
        case "boolean":
            return {"type": "boolean"}
        case "timestamp":
            return _moment(data_type)
        case "string":
            return {"type": "string", "minLength": 1}
        case _:
            return value(data_type)


def _bound(number: int | Decimal) -> int | float:
    return float(number) if isinstance(number, Decimal) else number


def _moment(data_type: pa.DataType) -> Schema:
    if data_type.tz is None:
        return {"type": "string", "pattern": NAIVE, "examples": ["2024-12-31T23:59:59"]}
    formats = [{"format": "date-time"}, {"format": "date"}]
    return {"type": "string", "anyOf": formats}


def parameter(filtered: Parameter) -> Schema:
    """An OpenAPI parameter that filters rows."""
    schema: Schema = asked(filtered.type)
    extra: Schema = {}
    if filtered.operator == "null":
        schema = {"type": "boolean"}
    elif filtered.operator == "in":
        schema = {"type": "array", "items": schema, "minItems": 1}
        extra = {"style": "form", "explode": False}
    words = _WORDS[filtered.operator].format(filtered.asked)
    return {"name": filtered.name, "in": "query", "description": words, "schema": schema, **extra}


_WORDS = {
    "": "Rows whose `{}` equals the value.",
    "ne": "Rows whose `{}` is another value (and not null).",
    "gt": "Rows whose `{}` is greater.",
    "ge": "Rows whose `{}` is greater or equal.",
    "lt": "Rows whose `{}` is less.",
    "le": "Rows whose `{}` is less or equal.",
    "in": "Rows whose `{}` is one of the values; one with a comma in it stands in double quotes.",
    "like": "Rows whose `{}` fits the pattern: `%` any text, `_` one character.",
    "has": "Rows whose list `{}` has the value as an item.",
    "null": "true: rows without `{}`; false: rows with one.",
}


def value(data_type: pa.DataType) -> Schema:
    """How a value of `data_type` is written, where it is not null."""
    if pt.is_dictionary(data_type):
        return value(data_type.value_type)
    for test, schema in _SIMPLE:
        if test(data_type):
            return {**schema, **_format(data_type)}
    return _nested(data_type)


def _format(data_type: pa.DataType) -> Schema:
    """OpenAPI's `format`, where it has one for numbers of this type."""
    name = _FORMATS.get(str(data_type))
    return {"format": name} if name else {}


def _nested(data_type: pa.DataType) -> Schema:
    if pt.is_struct(data_type):
        fields = [data_type.field(place) for place in range(data_type.num_fields)]
        return {"type": "object", "properties": {f.name: nullable(value(f.type)) for f in fields}}
    if pt.is_map(data_type):
        return {"type": "object", "additionalProperties": nullable(value(data_type.item_type))}
    if pt.is_list(data_type) or pt.is_large_list(data_type) or pt.is_fixed_size_list(data_type):
        return {"type": "array", "items": nullable(value(data_type.value_type))}
    return {"type": "string"}


_FORMATS = {"int32": "int32", "int64": "int64", "float": "float", "double": "double"}
_SIMPLE: tuple[tuple[Any, Schema], ...] = (
    (pt.is_boolean, {"type": "boolean"}),
    (pt.is_integer, {"type": "integer"}),
    (lambda t: pt.is_floating(t) or pt.is_decimal(t), {"type": "number"}),
    (pt.is_date, {"type": "string", "format": "date"}),
    (lambda t: pt.is_timestamp(t) and t.tz is not None, {"type": "string", "format": "date-time"}),
    (pt.is_timestamp, {"type": "string", "pattern": NAIVE}),
    (pt.is_time, {"type": "string", "pattern": _TIME}),
    (lambda t: isinstance(t, pa.UuidType), {"type": "string", "format": "uuid"}),
    (
        lambda t: pt.is_binary(t) or pt.is_large_binary(t),
        {"type": "string", "contentEncoding": "base64"},
    ),
    (pt.is_null, {"type": "null"}),
)


def nullable(schema: Schema) -> Schema:
    """The schema, or null."""
    return {**schema, "type": [schema["type"], "null"]} if schema["type"] != "null" else schema


def row(dataset: str, view: View, promised: SchemaObject | None) -> Schema:
    """A row of `dataset` as the principal sees it, with what the contract says of its columns."""
    said = {p.name: p for p in promised.properties} if promised else {}
    masked = view.masked(dataset)
    properties = {
        column.name: _column(column, said.get(column.name), masked.get(column.name, ""))
        for column in view.schema(dataset)
    }
    described = {"description": promised.description} if promised and promised.description else {}
    links = {} if "_links" in properties else {"_links": {"$ref": "#/components/schemas/Links"}}
    return {
        "type": "object",
        **described,
        "properties": {**properties, **links},
        "additionalProperties": False,
    }


def _column(column: pa.Field, said: Property | None, masked: str) -> Schema:
    schema = value(column.type)
    filled = said is not None and (said.required or said.primary_key)
    # A float may be NaN, which JSON writes as null.
    if masked or not filled or pt.is_floating(column.type):
        schema = nullable(schema)
    meaning = dict(_meaning(said)) if said else {}
    if masked:
        meaning.pop("examples", None)  # they are values as they are
        meaning["x-masked"] = masked
    return {**schema, **meaning}


def _meaning(said: Property) -> Mapping[str, Any]:
    found = {
        "title": said.business_name,
        "description": said.description,
        "examples": list(said.examples),
        "x-unit": said.unit,
        "x-classification": said.classification,
        "x-tags": list(said.tags),
    }
    return {name: text for name, text in found.items() if text}
