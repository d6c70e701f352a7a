"""The OpenAPI 3.1 document: each dataset typed as the principal sees it; its parameters are those that are read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from polyport.ports.http import PROBLEM
from polyport.ports.output.rest import schemas, sql
from polyport.ports.output.rest.ask import HAL, JSON
from polyport.ports.output.rest.relations import key, relations
from polyport.ports.output.rest.rows import WRITERS
from polyport.ports.query import (
    DEFAULT_LIMIT,
    LIMIT,
    groupable,
    measure_type,
    measures,
    parameters,
    sorts,
)
from polyport.ports.values import kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from polyport.access import View
    from polyport.ports.output.rest.ask import Ask

Schema = dict[str, Any]
_PARTS = "#/components"
_REFUSED = {
    "400": "The request is not one that can be run: an unknown, repeated, empty or wrong parameter.",
    "403": "The policy does not let you see this; says why.",
    "404": "No such row, dataset, snapshot or page.",
    "406": "None of the accepted media types is offered.",
    "414": "The address is too long.",
    "500": "The server failed.",
}


def document(ask: Ask) -> Schema:
    """The OpenAPI document of the port for who asks."""
    product, spec, view = ask.context.product, ask.context.spec, ask.view
    paths: Schema = {
        "/": _fixed("entry", "Where the links begin", "Entry"),
        "/openapi.json": _fixed("openapi", "This document", ""),
    }
    if product.contract(spec) is not None:
        paths["/contract.json"] = _fixed("contract", "The data contract (ODCS)", "")
    rows: Schema = {}
    for dataset in view.datasets:
        paths.update(_paths(ask, dataset))
        promised = ask.context.objects.get(dataset)
        rows[row_name(dataset)] = schemas.row(dataset, view, promised)
        rows[row_name(dataset) + ".page"] = _page(dataset)
        rows[row_name(dataset) + ".groups"] = _group_page()
    if ask.context.sql is not None:
        paths.setdefault("/sql", {})["post"] = _sql()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{product.name or product.id}: {spec.name}",
            "version": spec.version,
            "description": spec.description or product.purpose,
        },
        "servers": [{"url": ask.prefix or "/"}],
        "paths": paths,
        "components": {
            "schemas": {**_SHARED, **rows},
            "parameters": {"snapshot": _SNAPSHOT},
            "responses": _responses(),
            "headers": _HEADERS,
        },
    }


def row_name(dataset: str) -> str:
    """The name of a dataset's rows among the schemas."""
    return "row." + re.sub(r"[^A-Za-z0-9._-]", lambda found: f"_{ord(found[0]):x}_", dataset)


def _paths(ask: Ask, dataset: str) -> Schema:
    view, place = ask.view, f"/{quote(dataset, safe='')}"
    paths = {place: {"get": _list(dataset, view, [])}}
    identified = key(view, dataset)
    if not identified:
        return paths
    given = [_key(identified, view.schema(dataset))]
    paths[place + "/{key}"] = {"get": _row(dataset, view, given)}
    for name, relation in relations(dataset, view, ask.context.objects).items():
        operation = _list(relation.dataset, view, given)
        operation["operationId"] = f"{dataset}.related.{name}"
        operation["summary"] = f"The rows of {relation.dataset} that belong to a row of {dataset}"
        paths[f"{place}/{{key}}/{quote(name, safe='')}"] = {"get": operation}
    return paths


def _key(identified: Sequence[str], schema: pa.Schema) -> Schema:
    if len(identified) == 1:
        shape = schemas.asked(schema.field(identified[0]).type)
        words = f"`{identified[0]}` of the row."
    else:
        part = [_PATTERNS.get(kind(schema.field(name).type), "[^,]+") for name in identified]
        shape = {"type": "string", "pattern": f"^{','.join(part)}$"}
        words = f"`{','.join(identified)}` of the row; a comma within a part is written %2C."
    return {"name": "key", "in": "path", "required": True, "description": words, "schema": shape}


_PATTERNS = {
    "integer": "-?(0|[1-9][0-9]{0,17})",
    "number": r"-?(0|[1-9][0-9]*)(\.[0-9]+)?",
    "boolean": "(true|false)",
}


def _list(dataset: str, view: View, given: list[Schema]) -> Schema:
    schema = view.schema(dataset)
    filters = [schemas.parameter(p) for p in parameters(schema)]
    content: Schema = {media: {"schema": _either(dataset)} for media in (HAL, JSON)}
    content |= {media: {"schema": {"type": "string"}} for media in WRITERS}
    return {
        "operationId": f"{dataset}.list",
        "summary": f"Rows of {dataset}, or groups of them",
        "description": _LIST,
        "tags": [dataset],
        "parameters": [*given, *filters, *_shape(schema), _ref("parameters", "snapshot")],
        "responses": _answers(content),
    }


_LIST = (
    "Filters add up: a row must meet all of them. `group`, `agg` or a `having.` parameter asks for groups instead of"
    " rows; then `sort` names groups' columns and measures, and `fields` and `cursor` are not offered."
    " NDJSON, CSV and Arrow give all rows at once, unless `limit` is given."
)


def _shape(schema: pa.Schema) -> list[Schema]:
    listed = {"style": "form", "explode": False}
    integer = {"type": "integer", "minimum": 1, "maximum": LIMIT, "default": DEFAULT_LIMIT}
    cursor = {"type": "string", "minLength": 1}
    found = [
        ("sort", "The order: a minus for descending; nulls last.", _orders(schema), listed),
        ("fields", "The columns to show.", _names(schema.names), listed),
        ("limit", "How many rows at most.", integer, {}),
        ("cursor", "Where the page begins: from a `next` link.", cursor, {}),
        ("group", "One answer for each combination of these.", _names(groupable(schema)), listed),
        ("agg", "What to compute for each group.", _names(list(measures(schema))), listed),
        ("having", "Groups by their measures: `having.count.gt=1`.", _having(schema), _EXPLODED),
    ]
    return [
        {"name": name, "in": "query", "description": words, "schema": shape, **style}
        for name, words, shape, style in found
        if shape
    ]


_EXPLODED = {"style": "form", "explode": True}


def _names(names: Sequence[str]) -> Schema:
    plain = [name for name in names if "," not in name and '"' not in name]
    items = {"type": "string", "enum": plain}
    return {"type": "array", "items": items, "minItems": 1, "uniqueItems": True} if plain else {}


def _orders(schema: pa.Schema) -> Schema:
    """Columns; of groups, measures too."""
    labels = "|".join(re.escape(measure.label) for measure in measures(schema).values())
    columns = _names(sorts(schema))
    either = [columns["items"]] if columns else []
    items = {"anyOf": [*either, {"type": "string", "pattern": f"^-?({labels})$"}]}
    return {"type": "array", "items": items, "minItems": 1, "uniqueItems": True}


def _having(schema: pa.Schema) -> Schema:
    """Any of the `having.` parameters, each typed as its measure."""
    by_type: dict[str, tuple[Schema, list[str]]] = {}
    for measure in measures(schema).values():
        shape = schemas.asked(measure_type(measure, schema))
        by_type.setdefault(str(shape), (shape, []))[1].append(re.escape(measure.label))
    patterns = {
        rf"^having\.({'|'.join(labels)})(\.(ne|gt|ge|lt|le))?$": shape
        for shape, labels in by_type.values()
    }
    return {"type": "object", "patternProperties": patterns, "additionalProperties": False}


def _row(dataset: str, view: View, given: list[Schema]) -> Schema:
    columns = _names(view.schema(dataset).names)
    words = "The columns to show."
    shown = {
        "name": "fields",
        "in": "query",
        "description": words,
        "style": "form",
        "explode": False,
    }
    content = {media: {"schema": _ref("schemas", row_name(dataset))} for media in (HAL, JSON)}
    return {
        "operationId": f"{dataset}.row",
        "summary": f"One row of {dataset}",
        "tags": [dataset],
        "parameters": [*given, {**shown, "schema": columns}, _ref("parameters", "snapshot")],
        "responses": _answers(content),
    }


def _fixed(name: str, words: str, schema: str) -> Schema:
    shape: Schema = _ref("schemas", schema) if schema else {"type": "object"}
    media = (HAL, JSON) if schema else (JSON,)
    content = {m: {"schema": shape} for m in media}
    return {
        "get": {
            "operationId": name,
            "summary": words,
            "parameters": [_ref("parameters", "snapshot")],
            "responses": _answers(content),
        }
    }


def _sql() -> Schema:
    taken, given = sql.bodies()
    answers = _answers(dict(given))
    del answers["304"]
    for status, words in _REFUSED_SQL.items():
        answers[status] = {
            "description": words,
            "content": {PROBLEM: {"schema": _ref("schemas", "Problem")}},
        }
    return {
        "operationId": "sql",
        "summary": "The rows of one SELECT over the datasets",
        "description": _SQL,
        "parameters": [_ref("parameters", "snapshot")],
        "requestBody": {"required": True, "content": dict(taken)},
        "responses": answers,
    }


_SQL = (
    "Names are datasets; `polyport.snapshots`, `polyport.columns` and others tell of the product;"
    " `polyport.changes('DATASET', 1, 2)` gives what changed. Columns with the same name are numbered."
)
_REFUSED_SQL = {"413": "The body is too long.", "415": "The body is of another media type."}


def _ref(group: str, name: str) -> Schema:
    return {"$ref": f"{_PARTS}/{group}/{name}"}


def _either(dataset: str) -> Schema:
    return {
        "anyOf": [_ref("schemas", f"{row_name(dataset)}.{form}") for form in ("page", "groups")]
    }


def _page(dataset: str) -> Schema:
    rows = {"type": "array", "items": _ref("schemas", row_name(dataset))}
    return _hal({dataset: rows}, {})


def _group_page() -> Schema:
    groups = {"type": "array", "items": {"type": "object"}}
    complete = {"type": "boolean", "description": "Whether these are all groups."}
    return _hal({"groups": groups}, {"complete": complete})


def _hal(embedded: Schema, more: Schema) -> Schema:
    return {
        "type": "object",
        "required": ["_links", "snapshot", "count", "_embedded", *more],
        "properties": {
            "_links": _ref("schemas", "Links"),
            "snapshot": _ref("schemas", "Snapshot"),
            "count": {"type": "integer", "minimum": 0},
            "masked": {"type": "object", "additionalProperties": {"type": "string"}},
            **more,
            "_embedded": {
                "type": "object",
                "required": list(embedded),
                "properties": embedded,
                "additionalProperties": False,
            },
        },
        "additionalProperties": False,
    }


def _answers(content: Schema) -> Schema:
    refused = {status: _ref("responses", f"status{status}") for status in _REFUSED}
    shown = {name: _ref("headers", name) for name in _HEADERS}
    known = {"description": "You have it already.", "headers": shown}
    return {
        "200": {"description": "OK", "headers": shown, "content": content},
        "304": known,
        **refused,
    }


def _responses() -> Schema:
    content = {PROBLEM: {"schema": _ref("schemas", "Problem")}}
    return {
        f"status{s}": {"description": words, "content": content} for s, words in _REFUSED.items()
    }


_HEADERS: Schema = {
    "Polyport-Snapshot": {
        "description": "The snapshot that the answer comes from: `41; id=00000041-9f86d081`.",
        "schema": {"type": "string"},
    },
    "ETag": {"description": "For If-None-Match.", "schema": {"type": "string"}},
}
_SNAPSHOT: Schema = {
    "name": "snapshot",
    "in": "query",
    "description": "A snapshot's sequence or id, a tag, or an RFC 3339 time; without it, the latest.",
    "schema": {"type": "string", "minLength": 1, "pattern": r"\S"},
}
_SHARED: Schema = {
    "Problem": schemas.PROBLEM,
    "Link": schemas.LINK,
    "Links": schemas.LINKS,
    "Snapshot": schemas.SNAPSHOT,
    "Entry": {
        "type": "object",
        "required": ["_links", "snapshot", "datasets"],
        "properties": {
            "_links": _ref("schemas", "Links"),
            "product": {"type": "object"},
            "snapshot": _ref("schemas", "Snapshot"),
            "datasets": {"type": "array", "items": {"type": "object"}},
        },
    },
}
