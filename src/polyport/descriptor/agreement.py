"""Bitol OAAS documents (`kind: AccessAgreement`; RFC-0056, a draft): data sharing agreements, read and checked."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyport.descriptor import schema, yaml
from polyport.descriptor.text import did_you_mean, error, source_of, warning
from polyport.descriptor.write import dump

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from polyport.descriptor.types import DataProduct, Role
    from polyport.descriptor.yaml import Document
    from polyport.errors import Diagnostic

KIND, API_VERSION, FOLDER = "AccessAgreement", "v0.9.0", "agreements"
PORTS, COLUMNS, STATE, HISTORY = (
    "polyport.ports", "polyport.columns", "polyport.state", "polyport.history",
)  # fmt: skip
ANY_PORT = "*"
BUILT_IN = ("owner", "platform")
"""Roles, whole or before a colon, that no agreement gives: it shares data, it does not hand over the product."""
_TIMES = ("startTimestamp", "endTimestamp", "nextReassessmentTimestamp")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_SUFFIXES = (".yaml", ".yml", ".json")


def agreement_files(home: Path) -> tuple[Path, ...]:
    """The agreements of the product in `home`, by name."""
    found = (home / FOLDER).glob("*.oaas.*")
    return tuple(sorted(p for p in found if p.suffix in _SUFFIXES and p.is_file()))


def stray_files(home: Path) -> Iterator[Diagnostic]:
    """Files in `agreements/` that are not read because of their names."""
    for path in sorted((home / FOLDER).glob("*")):
        if path.suffix in _SUFFIXES and ".oaas." not in path.name:
            place = source_of(path, "").whole()
            fix = f"rename it to {path.stem}.oaas{path.suffix}"
            yield error("PP015", f"{path.name} in {FOLDER}/ is not read", place, fix=fix)


def as_document(value: Mapping[str, Any]) -> tuple[Document | None, tuple[Diagnostic, ...]]:
    """An agreement that came by another way than a file, with places in its YAML text."""
    path = Path("agreement")
    try:
        text = dump(value)
    except RecursionError:
        deep = f"nested more than {yaml.DEEPEST} levels deep"
        return None, (error("PP013", deep, source_of(path, "").whole()),)
    return yaml.parse(path, text)


def moment(text: Any) -> datetime | None:
    """The RFC 3339 time that `text` is; None where it is none."""
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def own_properties(value: Mapping[str, Any]) -> dict[str, Any]:
    """The custom properties of a sound document, by name."""
    return {p["property"]: p.get("value") for p in value.get("customProperties") or ()}


def examine(document: Document) -> tuple[Diagnostic, ...]:
    """What is wrong with the document by itself."""
    found = schema.check(document, "agreement")
    if any(d.severity == "error" for d in found):
        return found
    return (*found, *_consumer(document), *_times(document), *_properties(document))


def check(
    document: Document, product: DataProduct, roles: Mapping[str, Role] | None
) -> Iterator[Diagnostic]:
    """What is wrong between a sound document and the product that provides the data; `roles` None: not known."""
    yield from _provider(document, product)
    yield from _ports(document, [port.name for port in product.outputs])
    if product.objects:
        yield from _columns(document, product)
    if roles is not None:
        yield from _roles(document, roles)


def _consumer(document: Document) -> Iterator[Diagnostic]:
    consumer = document["consumer"]
    if not any(consumer.get(key) for key in ("teamId", "dataProductId", "userId")):
        place = document.key_at(("consumer",), "nobody is named")
        fix = "add `teamId`, `userId`, or `teamId` and `dataProductId`"
        yield error("PP270", "the agreement names no consumer", place, fix=fix)
    elif consumer.get("dataProductId") and not consumer.get("teamId"):
        place = document.value_at(("consumer", "dataProductId"), "whose product is it?")
        fix = "add `teamId`, the team that owns the consuming product"
        yield error("PP270", "a consuming data product needs its team", place, fix=fix)


def _times(document: Document) -> Iterator[Diagnostic]:
    found = {name: moment(document.get(name)) for name in _TIMES}
    for name, time in found.items():
        if name in document.value and time is None:
            place = document.value_at((name,), "not a time")
            message = f"`{name}` is not an RFC 3339 time: `{document.get(name)}`"
            yield error("PP271", message, place, fix="write 2026-07-01T00:00:00Z")
    start, end = found["startTimestamp"], found["endTimestamp"]
    if start is not None and end is not None and end <= start:
        places = (
            document.value_at(("endTimestamp",), "not after the start"),
            document.value_at(("startTimestamp",), "the start"),
        )
        yield error("PP272", "the agreement ends before it starts", *places, fix="swap the two")


def _properties(document: Document) -> Iterator[Diagnostic]:
    """`polyport.ports` and `polyport.columns` limit what is shared: they count as written or not at all."""
    seen: set[str] = set()
    for at, node in enumerate(document.get("customProperties") or ()):
        name, value = node["property"], node.get("value")
        if name not in (PORTS, COLUMNS):
            continue
        path = ("customProperties", at)
        texts = isinstance(value, list) and all(isinstance(v, str) and v for v in value)
        if name in seen:
            place = document.value_at((*path, "property"), "again")
            yield error("PP273", f"`{name}` stands twice", place, fix="make one list of both")
        elif not texts or not value:
            place = document.key_at((*path, "value"), "a list of names is needed")
            yield error("PP273", f"`{name}` is not a list of names", place, fix="value: [a, b]")
        seen.add(name)


def _provider(document: Document, product: DataProduct) -> Iterator[Diagnostic]:
    named = document["provider"]["dataProductId"]
    if named != product.id:
        place = document.value_at(("provider", "dataProductId"), f"this is {product.id}")
        message = f"the agreement is on another data product: `{named}`"
        yield error("PP274", message, place, fix=f"dataProductId: {product.id}")


def _ports(document: Document, known: Sequence[str]) -> Iterator[Diagnostic]:
    for path, name in _named(document, PORTS, (("provider", "outputPortId"),)):
        if name != ANY_PORT and name not in known:
            place = document.value_at(path, "no output port of the product")
            fix = did_you_mean(name, known, what="output ports")
            yield error("PP275", f"no output port `{name}`", place, fix=fix)


def _columns(document: Document, product: DataProduct) -> Iterator[Diagnostic]:
    known = {
        name
        for one in product.objects.values()
        for prop in one.properties
        for name in (prop.name, f"{one.name}.{prop.name}")
    }
    for path, name in _named(document, COLUMNS):
        if name not in known:
            place = document.value_at(path, "not a column of the product")
            fix = did_you_mean(name, sorted(known), what="columns")
            yield error("PP277", f"no column `{name}`", place, fix=fix)


def _roles(document: Document, roles: Mapping[str, Role]) -> Iterator[Diagnostic]:
    for at, node in enumerate(document.get("roles") or ()):
        name, path = node["role"], ("roles", at, "role")
        if name.partition(":")[0].casefold() in BUILT_IN:
            place = document.value_at(path, "a built-in role")
            message = f"no agreement gives the built-in role `{name}`"
            yield error("PP276", message, place, fix=did_you_mean(name, roles, what="roles"))
        elif name not in roles:
            place = document.value_at(path, "not a role of the product's policy")
            fix = did_you_mean(name, roles, what="roles") or "the product's policy has no role yet"
            yield error("PP276", f"the product has no role `{name}`", place, fix=fix)
        elif purposes := _purposes(roles[name]):
            yield from _purpose(document, name, purposes)


def _purpose(document: Document, role: str, purposes: Collection[str]) -> Iterator[Diagnostic]:
    purpose = document["description"]["purpose"]
    if purpose.casefold() not in {each.casefold() for each in purposes}:
        place = document.value_at(("description", "purpose"), "another purpose")
        listed = ", ".join(sorted(purposes))
        message = f"role `{role}` shows nothing for the purpose `{purpose}`: it is for {listed}"
        yield warning("PP278", message, place, fix="name one of these, or change the role")


def _purposes(role: Role) -> set[str]:
    """The purposes without which the role shows nothing at all; empty where some of it has no such bound."""
    seen = [*([] if role.only else [role.default]), *role.datasets.values()]
    if not all(sight.purposes for sight in seen):
        return set()
    return {purpose for sight in seen for purpose in sight.purposes}


def _named(
    document: Document, own: str, more: Sequence[tuple[str | int, ...]] = ()
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(path, name) of what the document names under `more` and in the custom property `own`."""
    for path in more:
        yield path, document[str(path[0])][path[1]]
    for at, node in enumerate(document.get("customProperties") or ()):
        if node["property"] == own:
            for nth, name in enumerate(node["value"]):
                yield ("customProperties", at, "value", nth), name


__all__ = [
    "ANY_PORT", "API_VERSION", "BUILT_IN", "COLUMNS", "FOLDER", "HISTORY", "KIND", "PORTS", "STATE", "agreement_files",
    "as_document", "check", "examine", "moment", "own_properties", "stray_files",
]  # fmt: skip
