"""A product as DCAT 3 and DPROD: flat JSON-LD nodes with an inline context, which Turtle is written from, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from polyport.ports.output import kinds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from polyport.ports.information.metadata.sight import Sight
    from polyport.ports.output import Download, OutputPort, Served

Node = dict[str, Any]
PREFIXES = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "dprod": "https://ekgf.github.io/dprod/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "prov": "http://www.w3.org/ns/prov#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "spdx": "http://spdx.org/rdf/terms#",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
_MEDIA = "https://www.iana.org/assignments/media-types/"
_SHA256 = "http://spdx.org/rdf/terms#checksumAlgorithm_sha256"


def document(nodes: Sequence[Node]) -> Node:
    """The nodes as one JSON-LD document."""
    return {"@context": PREFIXES, "@graph": list(nodes)}


def catalog(origin: str, name: str, products: Sequence[Sequence[Node]]) -> list[Node]:
    """The node's catalogue of products (the nodes of each), and all that they tell."""
    nodes = [node for each in products for node in each]
    publisher = f"{origin}/catalog#publisher"
    listed: Node = {
        "@id": f"{origin}/catalog",
        "@type": "dcat:Catalog",
        "dct:title": f"Data products of {name}",
        "dct:description": f"The data products that this node of {name} serves.",
        "dct:publisher": [_ref(publisher)],
        "dcat:dataset": [_ref(n["@id"]) for n in nodes if n["@type"] == "dcat:Dataset"],
        "dcat:service": [_ref(n["@id"]) for n in nodes if n["@type"] == "dcat:DataService"],
        "dcat:resource": [_ref(n["@id"]) for n in nodes if "dprod:DataProduct" in n["@type"]],
    }
    return _unique([_filled(listed), _agent(publisher, name), *nodes])


def product(sight: Sight) -> list[Node]:
    """The product, its people, ports, datasets, distributions, contracts and terms."""
    nodes = [_product(sight), *_people(sight), _status(sight)]
    files: list[Node] = []
    for port in sight.served:
        service = _service(sight, port)
        nodes += [service, *_resources(service)]
        files += _distributions(sight, port)
    nodes += files
    for listening in sight.listening:
        service = _service(sight, listening)
        nodes += [service, *_resources(service)]
    for dataset in sight.datasets:
        nodes.append(_dataset(sight, dataset, files))
    nodes += _contracts(sight)
    nodes += [_concept(sight, name) for name in sight.terms()]
    return _unique(nodes)


def _product(sight: Sight) -> Node:
    spec = sight.product
    identifier = sight.context.identifier
    return _filled({
        "@id": identifier,
        "@type": ["dprod:DataProduct", "dcat:Resource"],
        "rdfs:label": spec.name or spec.id,
        "dct:title": spec.name or spec.id,
        "dct:description": spec.purpose or spec.name or spec.id,
        "dct:identifier": identifier,
        "dprod:purpose": spec.purpose,
        "dprod:domain": [_ref(sight.part("domain", spec.domain))] if spec.domain else [],
        "dprod:dataProductOwner": [_ref(sight.part("team", _team(sight)))],
        "dct:publisher": [_ref(sight.part("team", _team(sight)))],
        "dcat:contactPoint": [_ref(i["@id"]) for i in _contacts(sight)],
        "dprod:lifecycleStatus": [_ref(sight.part("status", spec.status or "unknown"))],
        "dcat:keyword": [str(tag) for tag in spec.document.get("tags") or ()],
        "dcat:landingPage": [_ref(sight.base)],
        "dcat:version": spec.version,
        "dprod:outputPort": [
            _ref(sight.part("port", sight.label(p))) for p in (*sight.served, *sight.listening)
        ],
        "dprod:outputDataset": [_ref(sight.part("dataset", d)) for d in sight.datasets],
    })  # fmt: skip


def _team(sight: Sight) -> str:
    team = sight.product.document.get("team")
    return str((team.get("name") if isinstance(team, dict) else "") or sight.product.id)


def _people(sight: Sight) -> Iterator[Node]:
    yield _agent(sight.part("team", _team(sight)), _team(sight))
    yield from _contacts(sight)
    if sight.product.domain:
        yield {
            "@id": sight.part("domain", sight.product.domain),
            "@type": "skos:Concept",
            "skos:prefLabel": sight.product.domain,
        }
    page = {"@id": sight.base, "@type": "foaf:Document"}
    yield page


def _agent(identifier: str, name: str) -> Node:
    return {"@id": identifier, "@type": ["foaf:Agent", "prov:Agent"], "foaf:name": name}


def _contacts(sight: Sight) -> Iterator[Node]:
    for at, entry in enumerate(sight.product.document.get("support") or ()):
        address = str(entry.get("url") or "")
        if not address.startswith(("mailto:", "http://", "https://")):
            continue
        key = "vcard:hasEmail" if address.startswith("mailto:") else "vcard:hasURL"
        name = str(entry.get("channel") or "support")
        node = {"@id": sight.part("support", str(at + 1)), "@type": "vcard:Kind"}
        yield {**node, "vcard:fn": name, key: [_ref(address)]}


def _status(sight: Sight) -> Node:
    status = sight.product.status or "unknown"
    node = {"@id": sight.part("status", status), "@type": "dprod:DataProductLifecycleStatus"}
    return {**node, "rdfs:label": status}


def _service(sight: Sight, port: OutputPort) -> Node:
    spec = port.context.spec
    described = f"{sight.at(port)}/openapi.json" if spec.type == "rest" else ""
    return _filled({
        "@id": sight.part("port", sight.label(port)),
        "@type": "dcat:DataService",
        "rdfs:label": sight.label(port),
        "dct:title": f"{sight.product.name}: {sight.label(port)}",
        "dct:description": spec.description,
        "dcat:version": spec.version,
        "dcat:endpointURL": [_ref(sight.told(port))],
        "dcat:endpointDescription": [_ref(described)] if described else [],
        "dcat:servesDataset": [_ref(sight.part("dataset", d)) for d in sight.datasets],
    })  # fmt: skip


def _resources(service: Node) -> Iterator[Node]:
    """Where the service is: DCAT-AP wants it said that an address is a resource."""
    for key in ("dcat:endpointURL", "dcat:endpointDescription"):
        for address in service.get(key, []):
            yield {**address, "@type": "rdfs:Resource"}


def _distributions(sight: Sight, port: Served) -> Iterator[Node]:
    """A file each where the port has files, else one a dataset."""
    view = sight.through(port)
    if view is None:
        return
    if kinds.downloadable(port):
        for file in port.downloads(view):
            yield from _file(sight, port, file)
        return
    for dataset in view.datasets:
        address = f"{sight.at(port)}/{quote(dataset, safe='')}"
        yield _distribution(sight, port, (dataset, address, ""), [])


def _file(sight: Sight, port: Served, file: Download) -> Iterator[Node]:
    address = sight.at(port) + file.path
    media = _MEDIA + file.media_type.partition(";")[0]
    digest = f"{address}#sha256"
    node = _distribution(
        sight, port, (file.dataset, address, file.title), [_ref(digest)] if file.sha256 else []
    )
    size = {"@value": str(file.size), "@type": "xsd:nonNegativeInteger"}
    yield {
        **node,
        "dcat:downloadURL": [_ref(address)],
        "dcat:mediaType": [_ref(media)],
        **({"dcat:byteSize": [size]} if file.size is not None else {}),
    }
    yield {"@id": media, "@type": "dct:MediaType"}
    if file.sha256:
        yield {
            "@id": digest,
            "@type": "spdx:Checksum",
            "spdx:algorithm": [_ref(_SHA256)],
            "spdx:checksumValue": [{"@value": file.sha256, "@type": "xsd:hexBinary"}],
        }
        yield {"@id": _SHA256, "@type": "spdx:ChecksumAlgorithm"}


def _distribution(
    sight: Sight, port: Served, told: tuple[str, str, str], checksum: list[Node]
) -> Node:
    dataset, address, title = told
    name, mapping = sight.label(port), port.context.spec.mapping
    today = mapping[dataset].source if mapping else dataset
    return _filled({
        "@id": f"{address}#distribution",
        "@type": "dcat:Distribution",
        "dct:title": f"{dataset}: {title or name}",
        "dcat:accessURL": [_ref(address)],
        "dcat:accessService": [_ref(sight.part("port", name))],
        "dprod:isDistributionOf": [_ref(sight.part("dataset", today))],
        "dct:conformsTo": _conforming(sight, dataset),
        "spdx:checksum": checksum,
    })  # fmt: skip


def _conforming(sight: Sight, dataset: str) -> list[Node]:
    return [_ref(_contract(sight, c.id)) for c in sight.contracts() if c.object(dataset)]


def _contract(sight: Sight, name: str) -> str:
    return f"{sight.base}/metadata/contracts/{quote(name, safe='')}"


def _contracts(sight: Sight) -> Iterator[Node]:
    for contract in sight.contracts():
        yield {
            "@id": _contract(sight, contract.id),
            "@type": "dct:Standard",
            "rdfs:label": contract.name,
            "dct:title": f"{contract.name} {contract.version}",
        }


def _dataset(sight: Sight, dataset: str, distributions: Sequence[Node]) -> Node:
    promised = sight.product.objects.get(dataset)
    title = (promised.business_name if promised else "") or dataset
    description = (promised.description if promised else "") or f"{title} of {sight.product.name}."
    meant = {term for term, used in sight.terms().items() if any(d == dataset for d, _ in used)}
    committed = sight.view.snapshot.committed_at.isoformat() if sight.view else ""
    shown = [each["@id"] for each in distributions if _of(each, sight, dataset)]
    return _filled({
        "@id": sight.part("dataset", dataset),
        "@type": "dcat:Dataset",
        "rdfs:label": title,
        "dct:title": title,
        "dct:description": description,
        "dct:identifier": sight.part("dataset", dataset),
        "dct:publisher": [_ref(sight.part("team", _team(sight)))],
        "dcat:contactPoint": [_ref(i["@id"]) for i in _contacts(sight)],
        "dct:modified": [{"@value": committed, "@type": "xsd:dateTime"}] if committed else [],
        "dcat:keyword": [str(tag) for tag in sight.product.document.get("tags") or ()],
        "dcat:theme": [_ref(sight.term(name)) for name in sorted(meant)],
        "dct:conformsTo": _conforming(sight, dataset),
        "dcat:distribution": [_ref(identifier) for identifier in shown],
    })  # fmt: skip


def _of(node: Node, sight: Sight, dataset: str) -> bool:
    return bool(node.get("dprod:isDistributionOf") == [_ref(sight.part("dataset", dataset))])


def _concept(sight: Sight, name: str) -> Node:
    term = sight.around.glossary[name]
    node: Node = {"@id": sight.term(name), "@type": "skos:Concept"}
    return {**node, "skos:prefLabel": term.label, "skos:definition": term.definition}


def _ref(identifier: str) -> Node:
    return {"@id": identifier}


def _filled(node: Node) -> Node:
    return {name: value for name, value in node.items() if value not in ("", [], None)}


def _unique(nodes: Sequence[Node]) -> list[Node]:
    """Each subject once: what several products tell alike is told once."""
    found: dict[str, Node] = {}
    for node in nodes:
        found.setdefault(node["@id"], node)
    return list(found.values())
