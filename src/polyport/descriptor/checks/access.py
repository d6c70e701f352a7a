"""The access policy: datasets, columns and values that it names."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from polyport import expression
from polyport.descriptor.settings import filter_problem, mask_kind, sight_nodes
from polyport.descriptor.text import did_you_mean, error
from polyport.expression import Attribute, Compare, In, Like
from polyport.model import OWNER_ROLE, PLATFORM_ROLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from polyport.descriptor.checks.folder import Folder
    from polyport.descriptor.types import Property, SchemaObject
    from polyport.descriptor.yaml import Document
    from polyport.errors import Diagnostic
    from polyport.expression import Expression, Value

Steps = tuple[str | int, ...]
_WORD = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[^\W\d]\w*""")
_MASK_TYPES = {
    "year": ("date", "timestamp"), "month": ("date", "timestamp"), "round": ("number", "integer"),
    "partial": ("string",), "prefix": ("string",), "constant": ("string",),
}  # fmt: skip
_ASKER = Attribute("id")
_PHYSICAL = {
    "integer": re.compile(r"u?(tiny|small|medium|big|huge)?int(eger)?\d*|uinteger|long|short|byte"),
    "number": re.compile(r"(decimal|numeric|dec|number)\b.*|float\d?|real|double( precision)?"),
    "boolean": re.compile(r"bool(ean)?"),
    "date": re.compile(r"date"),
    "timestamp": re.compile(r"timestamp\b.*|timestamptz|timestamp_\w+|datetime"),
    "time": re.compile(r"time(\(\d\))?( without time zone)?|timetz"),
    "string": re.compile(r"(n?varchar|n?char|character|bpchar|text|string)\b.*(?<!\])"),
    "array": re.compile(r".*\[\d*\]"),
    "object": re.compile(r"struct\b.*(?<!\])"),
    "map": re.compile(r"map\b.*(?<!\])"),
}
"""Logical types, by how physical ones are written."""


def check(folder: Folder) -> Iterator[Diagnostic]:
    """What is wrong with who sees what."""
    if folder.settings is None or not folder.complete:
        return
    objects = {one.name: one for _, _, one in folder.promised()}
    yield from policy(folder.settings, objects)
    yield from _pushed(folder, folder.settings, objects)


def policy(settings: Document, objects: Mapping[str, SchemaObject]) -> Iterator[Diagnostic]:
    """What is wrong with the `access` block of `settings`, where `objects` are the datasets promised."""
    for role in (settings.get("access") or {}).get("roles") or {}:
        if role.partition(":")[0] in (OWNER_ROLE, PLATFORM_ROLE):
            place = settings.key_at(("access", "roles", role), "built in")
            fix = "choose another name: the owner sees everything, the platform no data"
            yield error("PP247", f"the role `{role}` is built in", place, fix=fix)
    for path, role, dataset, node in sight_nodes(settings.value):
        if dataset and dataset not in objects:
            place = settings.key_at(path, "not promised by an output port")
            fix = did_you_mean(dataset, objects, what="datasets")
            yield error("PP245", f"role `{role}` names no dataset: `{dataset}`", place, fix=fix)
            continue
        own = (settings["access"]["roles"][role] or {}).get("datasets") or {}
        seen = (
            [dataset] if dataset else [name for name in objects if name not in own] or list(objects)
        )
        if objects:
            yield from _sight(settings, path, node, [objects[name] for name in seen])


def _pushed(
    folder: Folder, settings: Document, objects: Mapping[str, SchemaObject]
) -> Iterator[Diagnostic]:
    for port in dict.fromkeys(port.name for port in folder.product.outputs):
        push = ((settings.get("ports") or {}).get(port) or {}).get("push") or {}
        named = push.get("datasets") or list(objects)
        if push.get("where"):
            path = ("ports", port, "push", "where")
            seen = [objects[name] for name in named if name in objects]
            yield from _filter(settings, path, push["where"], seen)


def _sight(
    document: Document, path: Steps, node: Mapping[str, Any], seen: Sequence[SchemaObject]
) -> Iterator[Diagnostic]:
    if "rows" in node:
        yield from _filter(document, (*path, "rows"), node["rows"], seen)
    for at, name in enumerate(node.get("columns") or ()):
        if not _having(seen, name):
            place = document.value_at((*path, "columns", at), _absent(seen))
            yield _unknown(name, seen, place)
    for name, mask in (node.get("mask") or {}).items():
        having = _having(seen, name)
        if not having:
            yield _unknown(name, seen, document.key_at((*path, "mask", name), _absent(seen)))
        else:
            yield from _mask(document, (*path, "mask", name), mask, having)


def _mask(
    document: Document, path: Steps, mask: str | None, having: Sequence[Property]
) -> Iterator[Diagnostic]:
    fitting = _MASK_TYPES.get(mask_kind(mask))
    for prop in having:
        other = next((kind for kind in _types(prop) if fitting and kind not in fitting), "")
        if fitting and other:
            place = document.value_at(path, f"`{prop.name}` is a {other}")
            message = f"the mask `{mask}` does not fit `{prop.name}`, a {other}"
            fix = f"it is for {' and '.join(fitting)} columns; `null` and `hash` fit all"
            yield error("PP243", message, place, fix=fix)
            return


def _types(prop: Property) -> tuple[str, ...]:
    """The logical types that the contract gives the column: as it says, and as its physical type says."""
    physical = prop.physical_type.strip().lower()
    known = (logical for logical, names in _PHYSICAL.items() if names.fullmatch(physical))
    return tuple(dict.fromkeys(kind for kind in (prop.logical_type, *known) if kind))


def _filter(
    document: Document, path: Steps, text: str, seen: Sequence[SchemaObject]
) -> Iterator[Diagnostic]:
    if filter_problem(document, path, text):
        return
    tree: Expression = expression.parse(text)
    for name in expression.columns(tree):
        lacking = [one for one in seen if name not in [p.name for p in one.properties]]
        if lacking:
            place = document.inside(path, _column_of(text, name), _absent(lacking))
            yield _unknown(name, lacking, place)
    for leaf in expression.leaves(tree):
        for prop in _having(seen, leaf.column):
            kind = next(iter(_types(prop)), "")
            if reason := _misfit(leaf, kind):
                place = document.inside(path, _column_of(text, leaf.column), f"a {kind}")
                message = f"`{prop.name}` is a {kind}: {reason}"
                yield error("PP244", message, place, fix=_write(kind))
                break


def _misfit(leaf: Any, logical: str) -> str:
    if isinstance(leaf, Like):
        return "`like` compares text" if logical not in ("string", "") else ""
    values: tuple[Value, ...] = ()
    if isinstance(leaf, Compare):
        values = (leaf.value,)
    elif isinstance(leaf, In):
        values = leaf.values
    for value in values:
        if value == _ASKER and logical not in ("string", ""):
            return "it is compared with principal.id, which is text"
        if not isinstance(value, Attribute) and not _comparable(value, logical):
            return f"it is compared with {_kind(value)}"
    return ""


def _comparable(value: Any, logical: str) -> bool:
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,), "integer": (int, Decimal), "number": (int, Decimal), "boolean": (bool,),
        "date": (date,), "timestamp": (date,),
    }  # fmt: skip
    if isinstance(value, bool):
        return logical not in kinds or logical == "boolean"
    return isinstance(value, kinds.get(logical, (object,)))


def _kind(value: Any) -> str:
    names: tuple[tuple[type, str], ...] = (
        (bool, "true or false"), (str, "text"), (datetime, "a timestamp"), (date, "a date"),
    )  # fmt: skip
    return next((name for kind, name in names if isinstance(value, kind)), "a number")


def _write(logical: str) -> str:
    forms = {
        "date": "write date '2020-01-31'", "timestamp": "write timestamp '2020-01-31T12:00:00Z'",
        "string": "write text in '...'", "boolean": "write true or false",
        "integer": "write a number without quotes", "number": "write a number without quotes",
    }  # fmt: skip
    return forms.get(logical, "")


def _having(seen: Sequence[SchemaObject], name: str) -> list[Property]:
    return [p for one in seen for p in one.properties if p.name == name]


def _absent(lacking: Sequence[SchemaObject]) -> str:
    names = ", ".join(f"`{one.name}`" for one in lacking)
    return f"not a column of {names}" if names else "the role sees no dataset"


def _unknown(name: str, lacking: Sequence[SchemaObject], place: Any) -> Diagnostic:
    columns = [p.name for one in lacking for p in one.properties]
    fix = did_you_mean(name, dict.fromkeys(columns), what="columns")
    if len(lacking) > 1 or (fix and "did you mean" not in fix):
        fix += "; say what differs by dataset under `datasets`"
    return error(
        "PP241", f"the policy names the unknown column `{name}`", place, fix=fix.lstrip("; ")
    )


def _column_of(text: str, name: str) -> int:
    """Where in a filter a column is named, from 1: the first place outside of quoted text."""
    for token in _WORD.finditer(text):
        if token[0] in (name, expression.quote(name)):
            return token.start() + 1
    return 1
