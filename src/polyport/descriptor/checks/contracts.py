"""Contracts: names, keys, relationships, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyport.descriptor import physical
from polyport.descriptor.odcs import references, resolve
from polyport.descriptor.rules import schema_nodes
from polyport.descriptor.text import did_you_mean, error, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from polyport.descriptor.checks.folder import Folder
    from polyport.descriptor.odcs import ContractFile
    from polyport.descriptor.types import Contract, SchemaObject
    from polyport.descriptor.yaml import Document
    from polyport.errors import Diagnostic

_OBJECT = 2
"""How long the path of a schema object is."""
Steps = tuple[str | int, ...]
_LIMITS = (
    ("minimum", "maximum"), ("exclusiveMinimum", "exclusiveMaximum"), ("minLength", "maxLength"),
    ("minItems", "maxItems"), ("minProperties", "maxProperties"),
)  # fmt: skip


def check_alone(file: ContractFile) -> Iterator[Diagnostic]:
    """What is wrong with a sound contract by itself."""
    yield from _twice(file.document)
    yield from _limits(file.document)
    for at, one in enumerate(file.contract.objects if file.contract else ()):
        yield from _key_order(file.document, at, one)


def keyless(file: ContractFile, at: int, one: SchemaObject) -> Iterator[Diagnostic]:
    """A warning if the object `one`, the `at`-th of its contract, has no key."""
    if one.properties and not one.key:
        place = file.document.value_at(("schema", at, "name"), "no property of it is a primaryKey")
        fix = "add `primaryKey: true` to the properties that identify a row"
        message = (
            f"rows of `{one.name}` have no key: they cannot be addressed, compared or streamed"
        )
        yield warning("PP215", message, place, fix=fix)


def check(folder: Folder) -> Iterator[Diagnostic]:
    """What is wrong with the contracts among each other."""
    for file in folder.contracts:
        if file.contract:
            others = [c.contract for c in folder.contracts if c.contract]
            yield from relationships(file, others, complete=folder.complete)
    for file, at, one in folder.promised():
        yield from keyless(file, at, one)
        yield from _types(file.document, at, folder.product.settings.engine)
    yield from _promised_twice(folder)


def relationships(
    file: ContractFile, contracts: Sequence[Contract], *, complete: bool
) -> Iterator[Diagnostic]:
    """What is wrong with the relationships of `file`, whose targets may stand in any of `contracts`.

    Where not all contracts are at hand (`complete` is False), targets that are not found are let pass.
    """
    nodes: Any = file.document.get("schema") or ()
    own = file.contract.objects if file.contract else ()
    objects = {o.name: o for contract in contracts for o in contract.objects} | {
        o.name: o for o in own
    }
    for at, node in enumerate(nodes):
        for path, entry, ends in _relations(node, ("schema", at), nodes):
            yield from _relation(file.document, path, entry, ends, (objects, nodes, complete))


_Ends = tuple[tuple[str, str] | None, ...]


def _relations(
    node: Mapping[str, Any], path: Steps, nodes: Any
) -> Iterator[tuple[Steps, Mapping[str, Any], _Ends]]:
    for i, prop in enumerate(node.get("properties") or ()):
        for j, entry in enumerate(prop.get("relationships") or ()):
            yield (
                (*path, "properties", i, "relationships", j),
                entry,
                ((node["name"], prop["name"]),),
            )
    for j, entry in enumerate(node.get("relationships") or ()):
        ends = tuple(resolve(r, nodes) for r in references(entry["from"]))
        yield (*path, "relationships", j), entry, ends


def _relation(
    document: Document,
    path: Steps,
    entry: Mapping[str, Any],
    ends: _Ends,
    known: tuple[Any, Any, bool],
) -> Iterator[Diagnostic]:
    objects, nodes, complete = known
    targets = tuple(resolve(r, nodes) for r in references(entry["to"]))
    if len(targets) != len(ends):
        place = document.value_at(
            (*path, "to"), f"{len(targets)} here, {len(ends)} at the other end"
        )
        fix = "name as many columns on both ends, in the same order"
        yield error("PP218", "the ends of the relationship differ in length", place, fix=fix)
        return
    wrong = False
    for side, many in (("from", ends), ("to", targets)):
        for at, end in enumerate(many if side in entry else ()):
            where = (*path, side, at) if isinstance(entry[side], list) else (*path, side)
            for problem in _end(document, where, end, objects, complete=complete):
                wrong = True
                yield problem
    if not wrong:
        yield from _fit(document, path, tuple(zip(ends, targets, strict=True)), objects)


def _end(
    document: Document,
    path: Steps,
    end: tuple[str, str] | None,
    objects: Mapping[str, SchemaObject],
    *,
    complete: bool,
) -> Iterator[Diagnostic]:
    if end is None:
        return
    dataset, column = end
    if dataset not in objects:
        if complete:
            place = document.value_at(path, "no such schema object")
            fix = did_you_mean(dataset, objects, what="schema objects")
            message = f"a relationship names the unknown dataset `{dataset}`"
            yield error("PP217", message, place, fix=fix)
        return
    columns = [p.name for p in objects[dataset].properties]
    if column not in columns and column.partition(".")[0] not in columns:
        place = document.value_at(path, f"`{dataset}` has no such property")
        message = f"a relationship names the unknown column `{dataset}.{column}`"
        yield error("PP217", message, place, fix=did_you_mean(column, columns, what="properties"))


def _fit(
    document: Document,
    path: Steps,
    pairs: tuple[tuple[tuple[str, str] | None, tuple[str, str] | None], ...],
    objects: Mapping[str, SchemaObject],
) -> Iterator[Diagnostic]:
    for one, other in pairs:
        types = [_type(objects, end) for end in (one, other) if end]
        if len(types) == len(pairs[0]) and all(types) and types[0] != types[1]:
            place = document.value_at(
                (*path, "to"), f"{types[1]} here, {types[0]} at the other end"
            )
            yield warning(
                "PP218",
                f"the ends of the relationship differ in type: {types[0]} and {types[1]}",
                place,
                fix="give both the same logicalType",
            )


def _type(objects: Mapping[str, SchemaObject], end: tuple[str, str]) -> str:
    properties = objects[end[0]].properties if end[0] in objects else ()
    return next((p.logical_type for p in properties if p.name == end[1]), "")


def _twice(document: Document) -> Iterator[Diagnostic]:
    for parent, name in _named_lists(document):
        seen: dict[str, Steps] = {}
        for path in parent:
            own = _at(document.value, path).get("name", "")
            first = seen.setdefault(own.lower(), path)
            if first is not path:
                places = (
                    document.value_at((*path, "name"), "again"),
                    document.value_at((*first, "name"), "first here"),
                )
                fix = "SQL does not tell upper from lower case: names differ otherwise"
                yield error("PP214", f"two {name} are called `{own}`", *places, fix=fix)


def _named_lists(document: Document) -> Iterator[tuple[list[Steps], str]]:
    lists: dict[Steps, list[Steps]] = {}
    for path, _ in schema_nodes(document.value):
        lists.setdefault(path[:-1], []).append(path)
    for parent, paths in lists.items():
        yield paths, "schema objects" if parent == ("schema",) else "properties"


def _at(value: Any, path: Steps) -> Any:
    for step in path:
        value = value[step]
    return value


def _key_order(document: Document, at: int, one: SchemaObject) -> Iterator[Diagnostic]:
    seen: dict[int, int] = {}
    for i, prop in enumerate(one.properties):
        path: Steps = ("schema", at, "properties", i, "primaryKeyPosition")
        position = prop.primary_key_position
        if position > 0 and not prop.primary_key:
            place = document.key_at(path, "without `primaryKey: true`")
            message = f"`{prop.name}` has a place in the key and is not part of it"
            yield warning("PP216", message, place, fix="add `primaryKey: true`, or remove it")
        elif position > 0 and seen.setdefault(position, i) != i:
            first = ("schema", at, "properties", seen[position], "primaryKeyPosition")
            places = (document.value_at(path, "again"), document.value_at(first, "first here"))
            message = f"two columns have place {position} in the key of `{one.name}`"
            yield error("PP216", message, *places, fix="number them 1, 2, 3, ...")


def _types(document: Document, at: int, dialect: str) -> Iterator[Diagnostic]:
    """Types of the `at`-th object that the engine or a snapshot has not: a build casts to them."""
    for path, node in schema_nodes(document.value):
        written = node.get("physicalType")
        if path[:2] != ("schema", at) or len(path) <= _OBJECT or not written or dialect != "duckdb":
            continue
        kind = physical.parsed(str(written), dialect)
        place = document.value_at((*path, "physicalType"), "not a type here")
        if kind is None:
            message = f"physicalType `{written}` is not a type of the engine ({dialect})"
            fix = f"a SQL type such as {physical.EXAMPLES}"
            yield error("PP253", message, place, fix=fix)
            continue
        for name, instead in physical.unkept(kind, dialect):
            message = f"physicalType `{written}`: no snapshot can hold {name}"
            yield error("PP253", message, place, fix=f"write {instead}")


def _limits(document: Document) -> Iterator[Diagnostic]:
    for path, node in schema_nodes(document.value):
        options = node.get("logicalTypeOptions") or {}
        for low, high in _LIMITS:
            least, most = options.get(low), options.get(high)
            if type(least) is type(most) and least is not None and least > most:
                places = (
                    document.value_at((*path, "logicalTypeOptions", high), f"below `{low}`"),
                    document.value_at((*path, "logicalTypeOptions", low), "above it"),
                )
                message = (
                    f"no value of `{node.get('name')}` can be right: {low} {least} > {high} {most}"
                )
                yield error("PP236", message, *places, fix="exchange them")


def _promised_twice(folder: Folder) -> Iterator[Diagnostic]:
    first: dict[str, tuple[ContractFile, int]] = {}
    for file, at, one in folder.promised():
        before, index = first.setdefault(one.name.lower(), (file, at))
        if before is file:
            continue  # in one contract: see PP214 above
        there = before.document.value_at(("schema", index, "name"), "first promised here")
        if before.contract and before.contract.objects[index].name != one.name:
            here = file.document.value_at(("schema", at, "name"), "again")
            message = f"two datasets are called `{one.name}`, but for upper and lower case"
            fix = "SQL does not tell upper from lower case: names differ otherwise"
            yield error("PP214", message, here, there, fix=fix)
        else:
            places = (
                file.document.value_at(("schema", at, "name"), "this one is used"),
                there,
            )
            message = f"dataset `{one.name}` is promised by two contracts"
            yield warning("PP213", message, *places, fix="keep them alike, or rename one")
