"""The metadata port: what a product is, for people, programs and catalogues, each as it may see it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from starlette.responses import Response
from starlette.routing import Route

from polyport.errors import NotFoundError, QueryError
from polyport.ports.http import PERSONAL, chosen, guarded, pairs, ref_of, threaded
from polyport.ports.information.metadata import dcat
from polyport.ports.information.metadata.document import PARTS, contracts, document, odps
from polyport.ports.information.metadata.schema_org import croissant, schema_org
from polyport.ports.information.metadata.sight import Sight
from polyport.ports.information.metadata.statistics import statistics
from polyport.ports.information.metadata.turtle import turtle
from polyport.ports.management import Operation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from polyport.ports.management import Content, ManagementContext

HAL, JSON, LD, TURTLE = (
    "application/hal+json", "application/json", "application/ld+json", "text/turtle",
)  # fmt: skip
_OFFERED = (HAL, JSON, LD, TURTLE)


class MetadataPort:
    """`/products/{id}/metadata` and what lies below it; `/products/{id}` answers the same."""

    name: ClassVar[str] = "metadata"
    content: ClassVar[Content] = "discoverability"

    def __init__(self, context: ManagementContext) -> None:
        self.context = context

    @property
    def document(self) -> ASGIApp:
        """What answers `/products/{id}` itself."""
        return guarded(self._answering(_document))

    def routes(self) -> Sequence[Route]:
        """The document, its parts, and the other forms of it."""
        made: dict[str, Callable[[Sight, Request], Response]] = {
            "": _document,
            "/statistics": lambda sight, _: _json(statistics(sight), JSON),
            "/odps": lambda sight, _: _json(odps(sight), JSON),
            "/contracts": lambda sight, _: _json(contracts(sight), JSON),
            "/contracts/{contract}": _contract,
            "/dcat.jsonld": lambda sight, _: _json(dcat.document(dcat.product(sight)), LD),
            "/dcat.ttl": lambda sight, _: _turtle(dcat.product(sight)),
            "/schema-org.jsonld": lambda sight, _: _json(schema_org(sight), LD),
            "/croissant.json": lambda sight, _: _json(croissant(sight), LD),
        }
        return [Route(f"/metadata{p}", guarded(self._answering(make))) for p, make in made.items()]

    def operations(self) -> Sequence[Operation]:
        """See `Described.operations`."""
        asked = {"snapshot": "As of this snapshot", "include": f"Some of {', '.join(PARTS)}"}
        at = {"snapshot": asked["snapshot"]}
        told = {
            "": ("What the product is", HAL),
            "/statistics": ("Statistics of each column that you see", JSON),
            "/odps": ("The Bitol ODPS document", JSON),
            "/contracts": ("The Bitol ODCS contracts", JSON),
            "/contracts/{contract}": ("One of them", JSON),
            "/dcat.jsonld": ("DCAT 3 and DPROD as JSON-LD", LD),
            "/dcat.ttl": ("DCAT 3 and DPROD as Turtle", TURTLE),
            "/schema-org.jsonld": ("schema.org Dataset", LD),
            "/croissant.json": ("Croissant", LD),
        }
        return [
            Operation("GET", f"/metadata{path}", says, at if path else asked, media=media)
            for path, (says, media) in told.items()
        ]

    @contextmanager
    def sight(self, request: Request) -> Iterator[Sight]:
        """What the asker is to be told; of the snapshot that the query string names.

        Raises:
            AuthenticationError: It is not known who asks.
            NotFoundError: There is no such snapshot.
            QueryError: The query string cannot be read.
        """
        context = self.context
        principal, purpose = context.identify(request)
        ref, origin = ref_of(pairs(request)), str(request.base_url).rstrip("/")
        if not context.open.snapshots():
            yield Sight(context, principal, None, origin, context.around())
            return
        with context.open(principal, ref, purpose=purpose) as view:
            yield Sight(context, principal, view, origin, context.around())

    def _answering(
        self, make: Callable[[Sight, Request], Response]
    ) -> Callable[[Request], Awaitable[Response]]:
        def answered(request: Request) -> Response:
            with self.sight(request) as sight:
                return make(sight, request)

        return threaded(answered)


def catalog(ports: Sequence[MetadataPort], name: str) -> Callable[[Request], Awaitable[Response]]:
    """The handler of the node's catalogue: all products as DCAT, as the asker may see them.

    JSON-LD unless Turtle is asked for, by Accept or by the ending `.ttl`.
    """

    def answered(request: Request) -> Response:
        origin = str(request.base_url).rstrip("/")
        nodes: list[list[dict[str, Any]]] = []
        for port in ports:
            with port.sight(request) as sight:
                nodes.append(dcat.product(sight))
        every = dcat.catalog(origin, name, nodes)
        if request.url.path.endswith(".ttl"):
            return _turtle(every)
        media = LD if request.url.path.endswith(".jsonld") else chosen(request, (LD, JSON, TURTLE))
        return _turtle(every) if media == TURTLE else _json(dcat.document(every), media)

    return threaded(answered)


def glossary(ports: Sequence[MetadataPort]) -> Callable[[Request], Awaitable[Response]]:
    """The handler of `/glossary` and `/glossary/{term}`: the mesh's terms, and the columns that refer to them.

    Columns are those that the asker sees.
    """

    def answered(request: Request) -> Response:
        terms: dict[str, dict[str, Any]] = {}
        for port in ports:
            with port.sight(request) as sight:
                for name, term in sight.around.glossary.items():
                    terms.setdefault(name, _entry(name, term.label, term.definition, term.links))
                for name, used in sight.terms().items():
                    terms[name]["columns"] += [
                        {"product": sight.product.id, "dataset": d, "column": c} for d, c in used
                    ]
                    terms[name]["_links"]["product"].append({"href": port.context.base})
        wanted = request.path_params.get("term")
        if wanted is None:
            links = {"self": {"href": "/glossary"}, "up": {"href": "/"}}
            return _json({"_links": links, "_embedded": {"terms": [*terms.values()]}}, HAL)
        if wanted not in terms:
            known = ", ".join(terms) or "none"
            raise NotFoundError(f"no term {wanted!r} in the glossary", fix=f"terms: {known}")
        return _json(terms[wanted], HAL)

    return threaded(answered)


def _entry(name: str, label: str, definition: str, links: Sequence[str]) -> dict[str, Any]:
    at = {"href": f"/glossary/{quote(name, safe='')}"}
    told = [{"href": address} for address in links]
    return {
        "_links": {
            "self": at,
            "collection": {"href": "/glossary"},
            "product": [],
            "describedby": told,
        },
        "id": name,
        "label": label,
        "definition": definition,
        "columns": [],
    }


def _document(sight: Sight, request: Request) -> Response:
    media = chosen(request, _OFFERED)
    if media == TURTLE:
        return _turtle(dcat.product(sight))
    if media == LD:
        return _json(dcat.document(dcat.product(sight)), LD)
    return _json(document(sight, _included(request)), media)


def _included(request: Request) -> set[str]:
    given = [value for name, value in pairs(request) if name == "include"]
    wanted = {part.strip() for value in given for part in value.split(",")} - {""}
    unknown = sorted(wanted - {*PARTS})
    if unknown:
        raise QueryError(f"cannot include {unknown[0]!r}", fix=f"one or more of: {','.join(PARTS)}")
    return wanted


def _contract(sight: Sight, request: Request) -> Response:
    wanted = request.path_params["contract"]
    found = {contract.id: contract for contract in sight.contracts()}
    if wanted not in found:
        fix = f"contracts: {', '.join(found) or 'none that you may see'}"
        raise NotFoundError(f"no contract {wanted!r}", where=sight.product.id, fix=fix)
    return _json(sight.contract(found[wanted]), JSON)


def _json(body: object, media: str) -> Response:
    text = json.dumps(body, ensure_ascii=False, default=str, allow_nan=False)
    return Response(text.encode("utf-8", "replace"), headers=PERSONAL, media_type=media)


def _turtle(nodes: Sequence[dict[str, Any]]) -> Response:
    text = turtle(dcat.PREFIXES, nodes)
    return Response(text.encode("utf-8", "replace"), headers=PERSONAL, media_type=TURTLE)


__all__ = ["MetadataPort", "catalog", "glossary"]
