"""Bitol ODCS documents (data contracts) as `Contract`s."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from polyport.descriptor import schema
from polyport.descriptor.glossary import definitions_of, terms_of
from polyport.descriptor.rules import custom, modern, old_rules, read_rules
from polyport.descriptor.types import Contract, Property, Relationship, SchemaObject, SlaProperty

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from polyport.descriptor.yaml import Document
    from polyport.errors import Diagnostic


EACH = "[]"
"""What stands for each item of a list, in the way to a nested property."""


@dataclass(frozen=True, slots=True)
class ContractFile:
    """A contract's document, and its view where the document is sound."""

    document: Document
    id: str
    contract: Contract | None


def examine(document: Document) -> tuple[ContractFile, tuple[Diagnostic, ...]]:
    """The contract in `document`, and what is wrong with it by itself."""
    read_as = replace(document, value=modern(document.value))
    found = schema.check(read_as, "contract")
    if str(document.get("apiVersion")).startswith("v3.0."):
        found = tuple(replace(d, severity="warning") if d.code == "PP101" else d for d in found)
    found = (*found, *old_rules(document))
    sound = not any(d.severity == "error" for d in found)
    view = contract(read_as, document.value) if sound else None
    return ContractFile(document, str(document.get("id", "")), view), found


def contract(document: Document, written: Mapping[str, Any]) -> Contract:
    """The view of a sound document; `written`: the document as it stands in the file."""
    taken: set[str] = set()
    value = document.value
    nodes: Sequence[Mapping[str, Any]] = value.get("schema") or ()
    objects = tuple(_object(node, nodes, taken) for node in nodes)
    said = value.get("description")
    return Contract(
        id=value["id"],
        version=value["version"],
        name=value.get("name") or value["id"],
        file=document.path,
        objects=objects,
        sla=tuple(_sla(entry) for entry in value.get("slaProperties") or ()),
        description=(said.get("purpose") or "") if isinstance(said, dict) else said or "",
        document=written,
    )


def resolve(reference: str, nodes: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """(dataset, column) that an ODCS reference means; None for one into another file.

    `reference` is `table.column` by names, or `/schema/<id>/properties/<id>` by ids (names are taken too).
    """
    if "#" in reference:
        file, _, reference = reference.partition("#")
        if file:
            return None
    if "/" not in reference:
        dataset, _, column = reference.partition(".")
        return dataset, column
    steps = reference.strip("/").split("/")[1::2]
    dataset, inside = _named(steps[0], nodes) if steps else ("", ())
    columns = []
    for step in steps[1:]:
        name, inside = _named(step, inside)
        columns.append(name)
    return dataset, ".".join(columns)


def references(value: Any) -> tuple[str, ...]:
    """The references in `from` or `to`: one, or a list of them."""
    return tuple(value) if isinstance(value, list) else (value,) if value else ()


def _named(
    step: str, nodes: Sequence[Mapping[str, Any]]
) -> tuple[str, Sequence[Mapping[str, Any]]]:
    by_id = (n for n in nodes if n.get("id") == step)
    node = next(by_id, None) or next((n for n in nodes if n.get("name") == step), {})
    return node.get("name", step), node.get("properties") or ()


def _object(
    node: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]], taken: set[str]
) -> SchemaObject:
    name = node["name"]
    return SchemaObject(
        name=name,
        properties=tuple(_property(p, name, taken) for p in node.get("properties") or ()),
        description=node.get("description") or "",
        business_name=node.get("businessName") or "",
        quality=read_rules(node.get("quality") or (), name, "", taken),
        relationships=tuple(_relationships(node, nodes)),
    )


def _property(
    node: Mapping[str, Any], dataset: str, taken: set[str], above: tuple[str, ...] = ()
) -> Property:
    """`above`: the way to what it lies in: a column, then the properties inside of it."""
    name = node.get("name") or EACH
    way = (*above, name)
    items = node.get("items")
    return Property(
        name=name,
        logical_type=node.get("logicalType") or "",
        physical_type=node.get("physicalType") or "",
        options=node.get("logicalTypeOptions") or {},
        required=node.get("required") is True,
        unique=node.get("unique") is True,
        primary_key=node.get("primaryKey") is True,
        primary_key_position=node.get("primaryKeyPosition", -1),
        valid_values=tuple(entry["value"] for entry in node.get("enum") or ()),
        quality=read_rules(node.get("quality") or (), dataset, way[0], taken, inside=way[1:]),
        semantic_type=node.get("semanticType") or "column",
        business_name=node.get("businessName") or "",
        description=node.get("description") or "",
        classification=node.get("classification") or "",
        tags=tuple(node.get("tags") or ()),
        unit=str(custom(node).get("unit") or ""),
        examples=tuple(node.get("examples") or ()),
        terms=terms_of(node),
        definitions=definitions_of(node),
        properties=tuple(_property(p, dataset, taken, way) for p in node.get("properties") or ()),
        items=_property({**items, "name": EACH}, dataset, taken, way) if items else None,
    )


def _relationships(
    node: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]
) -> Iterator[Relationship]:
    for prop in node.get("properties") or ():
        for entry in prop.get("relationships") or ():
            yield from _relationship((prop["name"],), entry, nodes)
    for entry in node.get("relationships") or ():
        ends = [resolve(r, nodes) for r in references(entry["from"])]
        columns = tuple(end[1] for end in ends if end and end[0] == node["name"])
        if len(columns) == len(ends):
            yield from _relationship(columns, entry, nodes)


def _relationship(
    columns: tuple[str, ...], entry: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]
) -> Iterator[Relationship]:
    ends = [resolve(r, nodes) for r in references(entry["to"])]
    inside = [end for end in ends if end]
    if len(inside) == len(ends) == len(columns) and len({dataset for dataset, _ in inside}) == 1:
        yield Relationship(columns, inside[0][0], tuple(column for _, column in inside))


def _sla(entry: Mapping[str, Any]) -> SlaProperty:
    return SlaProperty(
        property=entry["property"],
        value=entry["value"],
        unit=entry.get("unit") or "",
        element=entry.get("element") or "",
        description=entry.get("description") or "",
    )
