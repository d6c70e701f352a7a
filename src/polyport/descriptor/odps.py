"""Bitol ODPS documents as the head and the ports of a `DataProduct`."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from polyport.descriptor import schema
from polyport.descriptor.text import nearest
from polyport.descriptor.types import Constant, DataProduct, DatasetMapping, Port, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from polyport.descriptor.types import Contract
    from polyport.descriptor.yaml import Document
    from polyport.errors import Diagnostic

NAME = "dataproduct.odps.yaml"
_TEXTS = ("name", "type", "version", "contractId")


def examine(document: Document) -> tuple[Diagnostic, ...]:
    """What is wrong with the document by itself. Older ones (0.9, 1.0) are subsets of 1.1."""
    return schema.check(document, "product")


def outline(document: Document) -> Document | None:
    """The part of an unsound document that other files are checked against; None where its ports cannot be told.

    Ports stay in their order, so that places stay right. None stands for a text that is there and wrong, or for a name
    that is not there: that was told. A misspelt field counts as the one that was meant.
    """
    value: dict[str, Any] = {"id": str(document.get("id") or "")}
    for key in ("inputPorts", "outputPorts"):
        ports = document.get(key) or []
        if not isinstance(ports, list):
            return None
        value[key] = [_outlined(p if isinstance(p, dict) else {}) for p in ports]
    return replace(document, value=value)


def _outlined(port: Mapping[str, Any]) -> dict[str, str | None]:
    meant = {nearest(str(key), _TEXTS): text for key, text in port.items() if key not in _TEXTS}
    said = {**meant, **{key: port[key] for key in _TEXTS if key in port}}
    found = {
        key: said[key] if isinstance(said[key], str) else None for key in _TEXTS if key in said
    }
    return {"name": None, **found}


def product(
    document: Document, home: Path, *, contracts: Iterable[Contract], settings: Settings
) -> DataProduct:
    """The view of a sound document with its contracts and settings."""
    value: Mapping[str, Any] = document.value
    said = value.get("description")
    inputs: Mapping[str, Any] = settings.document.get("inputs") or {}
    ports: Mapping[str, Any] = settings.document.get("ports") or {}
    return DataProduct(
        home=home,
        id=value["id"],
        name=value.get("name") or value["id"],
        version=value.get("version") or "",
        status=value.get("status") or "",
        domain=value.get("domain") or "",
        purpose=(said.get("purpose") or "") if isinstance(said, dict) else "",
        inputs=tuple(_input(node, inputs) for node in value.get("inputPorts") or ()),
        outputs=tuple(_output(node, ports) for node in value.get("outputPorts") or ()),
        management=tuple(_output(node, {}) for node in value.get("managementPorts") or ()),
        contracts={contract.id: contract for contract in contracts},
        settings=settings,
        document=value,
        file=document.path,
    )


def _input(node: Mapping[str, Any], settings: Mapping[str, Any]) -> Port:
    own = dict(settings.get(node["name"] or "") or {})
    return _port(node, str(own.pop("type", "")), own)


def _output(node: Mapping[str, Any], settings: Mapping[str, Any]) -> Port:
    port = _port(node, node.get("type") or "", {})
    own = settings.get(f"{port.name}@{port.major}", settings.get(port.name)) or {}
    return replace(
        port,
        settings={name: value for name, value in own.items() if name != "mapping"},
        mapping={old: dataset_mapping(given) for old, given in (own.get("mapping") or {}).items()},
        deprecated_on=day(node, "polyport.deprecatedOn"),
        sunset=day(node, "polyport.sunset"),
    )


def day(node: Mapping[str, Any], name: str) -> date | None:
    """The date in the custom property `name`; None where there is none, or it is no date."""
    given = [p.get("value") for p in node.get("customProperties") or () if p["property"] == name]
    try:
        return date.fromisoformat(str(given[0])) if given else None
    except ValueError:
        return None


def dataset_mapping(node: Mapping[str, Any]) -> DatasetMapping:
    """What `ports.<name@major>.mapping.<dataset>` says."""
    columns = {
        old: Constant(given["value"]) if isinstance(given, dict) else given
        for old, given in node["columns"].items()
    }
    return DatasetMapping(node["from"], columns)


def _port(node: Mapping[str, Any], kind: str, settings: Mapping[str, Any]) -> Port:
    return Port(
        name=node["name"] or "",
        type=kind,
        version=node.get("version") or "1.0.0",
        contract_id=node.get("contractId") or "",
        description=node.get("description") or "",
        deprecated=node.get("deprecated") is True,
        settings=settings,
        document=node,
    )
