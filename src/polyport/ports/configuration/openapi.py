"""One OpenAPI document for all management ports that say what they can be asked. `/control/openapi.json`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from starlette.responses import JSONResponse
from starlette.routing import Route

from polyport import ports
from polyport.ports.http import PROBLEM, VARY, guarded
from polyport.ports.management import Described, Operation, steering

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from polyport.ports.management import Content, ManagementContext

_GROUPS: tuple[ports.Group, ...] = ("configuration", "information")
_VARIABLE = re.compile(r"\{(\w+)\}")
_JSON = "application/json"


class OpenApiPort:
    """What the management ports can be asked. For the owner and the platform."""

    name: ClassVar[str] = "openapi"
    content: ClassVar[Content] = "control"

    def __init__(self, context: ManagementContext) -> None:
        self.context = context

    def routes(self) -> Sequence[BaseRoute]:
        """See `ManagementPort.routes`."""
        return [Route("/control/openapi.json", guarded(self._document))]

    def operations(self) -> Sequence[Operation]:
        """See `Described.operations`."""
        return [Operation("GET", "/control/openapi.json", "This document")]

    async def _document(self, request: Request) -> Response:
        principal, _ = self.context.identify(request)
        steering(self.context, principal, "read how it is configured")
        headers = {"Vary": VARY, "Cache-Control": "private, no-cache"}
        return JSONResponse(self.document(), headers=headers)

    def document(self) -> dict[str, Any]:
        """The document, OpenAPI 3.1."""
        product = self.context.product
        paths: dict[str, dict[str, Any]] = {}
        schemas: dict[str, Any] = {"Problem": _PROBLEM}
        for port, each in self._operations():
            schemas.update(_hoisted((each.body or {}).get("$defs", {})))
            paths.setdefault(each.path, {})[each.method.lower()] = _operation(port, each)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": f"{product.name}: management ports",
                "version": product.version or "0",
                "description": "How the data product is configured, and what it tells of itself.",
            },
            "servers": [{"url": self.context.base}],
            "paths": paths,
            "components": {"schemas": schemas},
        }

    def _operations(self) -> Iterator[tuple[str, Operation]]:
        for group in _GROUPS:
            for name in ports.types(group):
                port = ports.load(group, name)(self.context)
                if isinstance(port, Described):
                    yield from ((name, each) for each in port.operations())


def _operation(port: str, each: Operation) -> dict[str, Any]:
    name = re.sub(r"\W+", "_", each.path.removeprefix("/control")).strip("_")
    found: dict[str, Any] = {
        "operationId": f"{each.method.lower()}_{name}",
        "summary": each.summary,
        "tags": [port],
        "parameters": list(_parameters(each)),
        "responses": {
            "201" if each.created else "200": {
                "description": each.summary,
                "content": {each.media: {"schema": {"type": _kind(each.media)}}},
            },
            "default": {
                "description": "What is wrong",
                "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    }
    if each.body is not None:
        schema = _hoisted({k: v for k, v in each.body.items() if k != "$defs"})
        found["requestBody"] = {"required": True, "content": {_JSON: {"schema": schema}}}
    return found


def _kind(media: str) -> str:
    return "object" if media.endswith("json") else "string"


def _parameters(each: Operation) -> Iterator[Mapping[str, Any]]:
    text = {"type": "string"}
    for name in _VARIABLE.findall(each.path):
        yield {"name": name, "in": "path", "required": True, "schema": text}
    for name, meaning in each.query.items():
        yield {"name": name, "in": "query", "description": meaning, "schema": text}
    if each.conditional:
        meaning = "The ETag of what is changed"
        yield {
            "name": "If-Match",
            "in": "header",
            "required": True,
            "description": meaning,
            "schema": text,
        }


def _hoisted(schema: Any) -> Any:
    """`schema` with what it refers to among the document's components."""
    if isinstance(schema, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/")
            if key == "$ref" and isinstance(value, str)
            else _hoisted(value)
            for key, value in schema.items()
        }
    return [_hoisted(part) for part in schema] if isinstance(schema, list) else schema


_PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "fix": {"type": "string"},
        "code": {"type": "string"},
        "where": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["type", "title", "status", "detail"],
}
