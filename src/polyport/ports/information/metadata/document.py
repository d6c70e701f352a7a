"""The metadata document: the product as JSON with links (HAL), as its asker may see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.routing import Route

from polyport.model import OWNER_ROLE
from polyport.ports.information.metadata.statistics import statistics
from polyport.ports.output import Served, Snippets

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from polyport.descriptor.types import Port
    from polyport.model import Snapshot
    from polyport.ports.information.metadata.sight import Sight
    from polyport.ports.management import ManagementPort
    from polyport.ports.output import OutputPort

Json = dict[str, Any]
PARTS = ("statistics", "contracts", "odps")
"""What `?include=` adds; each has an address of its own, too."""
_PUBLIC = (
    "apiVersion", "kind", "id", "name", "version", "status", "domain", "type", "tenant", "description",
    "tags", "synonyms", "deprecated", "team", "support", "productCreatedTs",
)  # fmt: skip
"""Of the ODPS document, what everybody may read; the rest may quote rows (`context`) or name what is hidden."""
_PORT = ("name", "type", "version", "description", "contractId", "tags", "deprecated")


def document(sight: Sight, include: Collection[str] = ()) -> Json:
    """The document, with the parts that are asked for."""
    spec = sight.product
    history = sight.context.open.snapshots()
    made = {"statistics": statistics, "contracts": contracts, "odps": odps}
    return {
        "_links": _links(sight),
        "id": spec.id,
        "identifier": sight.context.identifier,
        "name": spec.name,
        "domain": spec.domain,
        "type": spec.document.get("type", ""),
        "version": spec.version,
        "status": spec.status,
        "purpose": spec.purpose,
        "description": _description(sight),
        "tags": spec.document.get("tags") or [],
        "team": spec.document.get("team") or {},
        "support": spec.document.get("support") or [],
        "ports": _ports(sight),
        "datasets": [_dataset(sight, name) for name in sight.datasets],
        "glossary": [_term(sight, name) for name in sight.terms()],
        "snapshots": [_snapshot(s, sight) for s in reversed(history)],
        "clients": _clients(sight),
        **{name: made[name](sight) for name in PARTS if name in include},
    }


def odps(sight: Sight) -> Json:
    """The ODPS document: whole to the owner, to others what names nothing that may be hidden."""
    whole = sight.product.document
    if sight.owner:
        return dict(whole)
    kept: Json = {name: whole[name] for name in _PUBLIC if name in whole}
    seen = {contract.id for contract in sight.contracts()}
    for group in ("inputPorts", "outputPorts", "managementPorts"):
        for port in whole.get(group) or ():
            told = {name: port[name] for name in _PORT if name in port}
            if told.get("contractId") not in seen:
                told.pop("contractId", None)
            kept.setdefault(group, []).append(told)
    return kept


def contracts(sight: Sight) -> list[Json]:
    """The contracts as the asker may read them."""
    return [dict(sight.contract(contract)) for contract in sight.contracts()]


def _description(sight: Sight) -> Json:
    found = sight.product.document.get("description")
    return dict(found) if isinstance(found, dict) else {}


def _links(sight: Sight) -> Json:
    at = f"{sight.context.base}/metadata"
    listed = [
        {"href": f"{at}/contracts/{quote(c.id, safe='')}", "name": c.id, "title": c.name}
        for c in sight.contracts()
    ]
    dcat = [
        {"href": f"{at}/{name}", "type": media, "title": title} for name, media, title in DOCUMENTS
    ]
    return {
        "self": {"href": sight.context.base},
        "canonical": {"href": at},
        "up": {"href": "/"},
        "port": [_port_link(sight, port) for port in sight.served],
        "service-desc": [
            {"href": f"{sight.context.base}{p.mount}/openapi.json", "name": sight.label(p)}
            for p in sight.served
            if p.context.spec.type == "rest" and sight.view
        ],
        "management": list(_management(sight)),
        "describedby": dcat,
        "statistics": {"href": f"{at}/statistics"},
        "odps": {"href": f"{at}/odps"},
        "contract": listed,
        "collection": {"href": "/catalog"},
        "glossary": {"href": "/glossary"},
    }


DOCUMENTS = (
    ("dcat.jsonld", "application/ld+json", "DCAT 3 and DPROD as JSON-LD"),
    ("dcat.ttl", "text/turtle", "DCAT 3 and DPROD as Turtle"),
    ("schema-org.jsonld", "application/ld+json", "schema.org Dataset"),
    ("croissant.json", "application/ld+json", "Croissant"),
)


def _port_link(sight: Sight, port: Served) -> Json:
    spec = port.context.spec
    href = f"{sight.context.base}{port.mount}/"
    return {"href": href, "name": sight.label(port), "title": spec.description}


def _management(sight: Sight) -> Iterator[Json]:
    """Each management port's first address that needs nothing to be filled in and that it is called by."""
    for port in sight.context.management:
        path = _first(port)
        if path and (port.content != "control" or sight.principal.steers(sight.product.id)):
            yield {"href": sight.context.base + path, "name": port.name, "title": port.content}


def _first(port: ManagementPort) -> str:
    """`/lineage`, `/control/access`; empty where it has no such address."""
    paths = {route.path for route in port.routes() if isinstance(route, Route)}
    return next((p for p in (f"/{port.name}", f"/control/{port.name}") if p in paths), "")


def _ports(sight: Sight) -> Json:
    reached = {
        (p.context.spec.name, p.context.spec.version): p for p in (*sight.served, *sight.listening)
    }
    outputs = [
        _port(sight, spec, reached.get((spec.name, spec.version))) for spec in sight.product.outputs
    ]
    inputs = [{"name": p.name, "type": p.type, "version": p.version} for p in sight.product.inputs]
    return {"input": inputs if sight.owner else [_named(i) for i in inputs], "output": outputs}


def _named(told: Json) -> Json:
    return {"name": told["name"], "version": told["version"]}


def _port(sight: Sight, spec: Port, port: OutputPort | None) -> Json:
    found: Json = {
        "name": spec.name,
        "type": spec.type,
        "version": spec.version,
        "description": spec.description,
        "state": _state(sight, spec, port),
    }
    if port is not None:
        found["address"] = sight.told(port)
        for dataset in _first_seen(sight, port):
            found["clients"] = _snippets(sight, port, dataset)
    return found


def _state(sight: Sight, spec: Port, port: OutputPort | None) -> str:
    if not sight.context.open.snapshots():
        return "empty"
    if spec.deprecated:
        return "deprecated"
    return "open" if port is not None else "pushed"


def _snippets(sight: Sight, port: OutputPort, dataset: str) -> Json:
    more = port.snippets(sight.login(port), dataset) if isinstance(port, Snippets) else {}
    line = port.client_line(sight.login(port), dataset)
    return {"curl" if isinstance(port, Served) else "shell": line, **more}


def _clients(sight: Sight) -> Json:
    """For each served port the line that reads the first dataset."""
    return {
        sight.label(p): p.client_line(sight.login(p), d)
        for p in (*sight.served, *sight.listening)
        for d in _first_seen(sight, p)
    }


def _first_seen(sight: Sight, port: OutputPort) -> tuple[str, ...]:
    """The first dataset that the asker sees through the port, if any, as the port calls it."""
    view = sight.through(port)
    return view.datasets[:1] if view else ()


def _dataset(sight: Sight, name: str) -> Json:
    promised = sight.product.objects.get(name)
    columns = [_column(sight, told) for told in sight.columns(name)]
    found = sight.view.dataset(name) if sight.view else None
    key = list(found.key) if found else []
    told = {"rows": found.rows} if found and OWNER_ROLE in _roles(sight) else {}
    return {
        "name": name,
        "title": promised.business_name if promised else "",
        "description": promised.description if promised else "",
        "key": key if {*key} <= {column["name"] for column in columns} else [],
        **told,
        "columns": columns,
    }


def _roles(sight: Sight) -> frozenset[str]:
    return sight.view.principal.roles if sight.view else frozenset()


def _column(sight: Sight, told: tuple[str, str, Any, str]) -> Json:
    name, kind, said, masked = told
    found: Json = {"name": name, "type": kind}
    if said is not None:
        found |= {
            "title": said.business_name,
            "description": said.description,
            "unit": said.unit,
            "classification": said.classification,
            "tags": list(said.tags),
            "definitions": list(said.definitions),
        }
        known = [term for term in said.terms if term in sight.around.glossary]
        found["_links"] = {"term": [_term_link(sight, term) for term in known]} if known else {}
    return {n: v for n, v in {**found, "masked": masked}.items() if v not in ("", [], {})}


def _term_link(sight: Sight, name: str) -> Json:
    path = sight.term(name).removeprefix(sight.origin)
    return {"href": path, "name": name, "title": sight.around.glossary[name].label}


def _term(sight: Sight, name: str) -> Json:
    term = sight.around.glossary[name]
    used = [{"dataset": d, "column": c} for d, c in sight.terms()[name]]
    link = {"href": sight.term(name).removeprefix(sight.origin)}
    return {
        "_links": {"self": link},
        "id": name,
        "label": term.label,
        "definition": term.definition,
        "columns": used,
    }


def _snapshot(snapshot: Snapshot, sight: Sight) -> Json:
    rows = {d.name: d.rows for d in snapshot.datasets.values()}
    return {
        "sequence": snapshot.sequence,
        "id": snapshot.id,
        "committed_at": snapshot.committed_at.isoformat(),
        **({"rows": rows} if OWNER_ROLE in _roles(sight) else {}),
    }
