"""Majors of an output port that stand side by side: addresses, mappings, dates of deprecation."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from polyport.descriptor.odps import day
from polyport.descriptor.text import did_you_mean, error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from polyport.descriptor.checks.folder import Folder
    from polyport.descriptor.types import DatasetMapping, Port, SchemaObject
    from polyport.descriptor.yaml import Document
    from polyport.errors import Diagnostic

_DATES = ("polyport.deprecatedOn", "polyport.sunset")


def check(folder: Folder) -> Iterator[Diagnostic]:
    """What is wrong with majors of one port."""
    yield from _addresses(folder)
    yield from _dates(folder)
    if folder.settings is not None and folder.settings_sound and folder.complete:
        for port in folder.product.outputs:
            if port.mapping:
                yield from _mapping(folder, folder.settings, port)


def _addresses(folder: Folder) -> Iterator[Diagnostic]:
    first: dict[tuple[str, int], int] = {}
    for at, port in enumerate(folder.product.outputs):
        before = first.setdefault((port.type, port.major), at)
        other = folder.product.outputs[before]
        if before != at and port.type and (port.name, port.version) != (other.name, other.version):
            places = (
                folder.document.value_at(("outputPorts", at, "name"), "again"),
                folder.document.value_at(("outputPorts", before, "name"), "first here"),
            )
            message = f"two `{port.type}` ports of major {port.major} would have one address"
            fix = (
                "give one of them another major version: a product has one port of a type and major"
            )
            yield error("PP281", message, *places, fix=fix)


def _dates(folder: Folder) -> Iterator[Diagnostic]:
    for at, node in enumerate(folder.document.get("outputPorts") or ()):
        for index, own in enumerate(node.get("customProperties") or ()):
            if own.get("property") in _DATES and day(node, own["property"]) is None:
                path = ("outputPorts", at, "customProperties", index, "value")
                place = folder.document.value_at(path, "not a date")
                message = f"`{own['property']}` is not a date"
                yield error("PP283", message, place, fix="write it as 2027-06-30")
        begun, ended = (day(node, name) for name in _DATES)
        if isinstance(begun, date) and isinstance(ended, date) and ended < begun:
            place = folder.document.key_at(("outputPorts", at), "ends before it is deprecated")
            message = f"output port `{node['name']}` has its sunset before its deprecation"
            yield error("PP283", message, place, fix="consumers need time between the two")


def _mapping(folder: Folder, settings: Document, port: Port) -> Iterator[Diagnostic]:
    path = ("ports", _key(settings, port), "mapping")
    promised = folder.product.promised(port)
    for name in promised.keys() - port.mapping.keys():
        place = settings.key_at(path, f"`{name}` is missing")
        message = f"the contract `{port.contract_id}` promises `{name}`, which is not mapped"
        yield error("PP282", message, place, fix=f"add `{name}: {{from: ..., columns: {{...}}}}`")
    for name, mapping in port.mapping.items():
        if name not in promised:
            place = settings.key_at((*path, name), f"not promised by `{port.contract_id}`")
            fix = did_you_mean(name, promised, what="datasets")
            yield error("PP282", f"no dataset `{name}` in the older contract", place, fix=fix)
            continue
        yield from _columns(
            settings, (*path, name), mapping, promised[name], folder.product.objects
        )


def _columns(
    settings: Document,
    path: tuple[str | int, ...],
    mapping: DatasetMapping,
    promised: SchemaObject,
    published: Mapping[str, SchemaObject],
) -> Iterator[Diagnostic]:
    source = published.get(mapping.source)
    if source is None:
        place = settings.value_at((*path, "from"), "not published")
        fix = did_you_mean(mapping.source, published, what="datasets")
        yield error("PP282", f"no dataset `{mapping.source}` is published", place, fix=fix)
        return
    older = [p.name for p in promised.properties]
    today = {p.name: p for p in source.properties}
    for name in [name for name in older if name not in mapping.columns]:
        place = settings.key_at((*path, "columns"), f"`{name}` is missing")
        message = f"the column `{name}` of the older contract is not mapped"
        yield error(
            "PP282", message, place, fix=f"add `{name}: column` or `{name}: {{value: ...}}`"
        )
    for name, given in mapping.columns.items():
        at = (*path, "columns", name)
        if name not in older:
            place = settings.key_at(at, "not in the older contract")
            fix = did_you_mean(name, older, what="columns")
            yield error("PP282", f"no column `{name}` in the older contract", place, fix=fix)
        elif isinstance(given, str) and given not in today:
            place = settings.value_at(at, f"not in `{source.name}`")
            fix = did_you_mean(given, today, what="columns")
            yield error("PP282", f"no column `{given}` in `{source.name}`", place, fix=fix)
        elif isinstance(given, str):
            before = next(p for p in promised.properties if p.name == name)
            yield from _types(settings, at, before.logical_type, today[given].logical_type)


def _types(
    settings: Document, path: tuple[str | int, ...], promised: str, given: str
) -> Iterator[Diagnostic]:
    if promised and given and promised != given:
        place = settings.value_at(path, f"is {given}")
        message = f"the older contract promises {promised}, and the column is {given}"
        yield error("PP282", message, place, fix="map it to a column of the same logicalType")


def _key(settings: Document, port: Port) -> str:
    """Under which name the port's settings stand."""
    own: Mapping[str, Any] = settings.get("ports") or {}
    exact = f"{port.name}@{port.major}"
    return exact if exact in own else port.name
