"""Two documents side by side: items of lists are paired by their ids and names, and each leaf that differs is told."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from polyport.descriptor.compare import paths, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from polyport.descriptor.compare.changes import Type
    from polyport.descriptor.yaml import Steps

Node: TypeAlias = "Mapping[str, Any]"
DEFAULTS: Node = {
    "required": False, "unique": False, "primaryKey": False, "primaryKeyPosition": -1,
    "partitioned": False, "partitionKeyPosition": -1, "criticalDataElement": False,
    "deprecated": False, "semanticType": "column",
}  # fmt: skip
"""What a field says where it is left out."""
_PORTS = ("outputPorts", "inputPorts")


@dataclass(frozen=True, slots=True)
class Edit:
    """One difference, not judged yet."""

    type: Type
    fields: tuple[str, ...]
    """The fields on the way to it: `("schema", "properties", "required")`."""
    item: bool
    """Whether it is an item of the list that the last field names, as a whole."""
    old: Any
    new: Any
    old_path: str
    new_path: str
    at: Steps
    """In the new document: its place, or that of what was around it."""
    old_nodes: tuple[Node, ...]
    """The mappings around it in the old document, from the root inwards; of an item, also the item."""
    new_nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class _Where:
    """A pair of mappings that are being compared."""

    fields: tuple[str, ...] = ()
    old_path: str = ""
    new_path: str = ""
    at: Steps = ()
    old_nodes: tuple[Node, ...] = ()
    new_nodes: tuple[Node, ...] = ()


def edits(old: Node, new: Node, *, skip: Sequence[str] = ()) -> Iterator[Edit]:
    """All differences but those of the top-level fields `skip`."""
    left = {name: value for name, value in old.items() if name not in skip}
    right = {name: value for name, value in new.items() if name not in skip}
    yield from _mappings(left, right, _Where(old_nodes=(old,), new_nodes=(new,)))


def pairs(field: str, old: Sequence[Any], new: Sequence[Any]) -> dict[int, int]:
    """Which items of `old` are which of `new`, by their places: by id, then by name; of ports, name and major first."""
    found: dict[int, int] = {}
    by_name, by_id = _named(field), _id
    for identity in (
        (by_name, by_id) if field in _PORTS else (by_id, by_name, *_ALIKE.get(field, ()))
    ):
        waiting: dict[Hashable, list[int]] = defaultdict(list)
        for at, one in enumerate(new):
            if at not in found.values() and (name := identity(one)) is not None:
                waiting[name].append(at)
        for at, one in enumerate(old):
            if at not in found and (alike := waiting.get(identity(one))):
                found[at] = alike.pop(0)
    return found


def same(one: Any, other: Any) -> bool:
    """Whether two values say the same; `true` is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _mappings(old: Node, new: Node, where: _Where) -> Iterator[Edit]:
    for name in dict.fromkeys((*new, *old)):
        left, right = old.get(name), new.get(name)
        if _lists(left, right):
            yield from _items(name, left or [], right or [], where)
        elif _nested(left, right):
            yield from _mappings(left or {}, right or {}, _into(where, name, left, right))
        elif not same(_said(name, left), _said(name, right)):
            kind: Type = (
                "CHANGE" if name in old and name in new else "ADD" if name in new else "REMOVE"
            )
            yield _edit(kind, name, (left, right), where)


def _items(name: str, old: list[Any], new: list[Any], where: _Where) -> Iterator[Edit]:
    paired = pairs(name, old, new)
    back = {right: left for left, right in paired.items()}
    gone, there = paths.items(name, old), paths.items(name, new)
    for at, one in enumerate(new):
        if at in back:
            before = old[back[at]]
            inner = _into(where, name, before, one)
            inner = replace(
                inner,
                old_path=where.old_path + gone[back[at]],
                new_path=where.new_path + there[at],
                at=(*where.at, name, at),
            )
            yield from _mappings(before, one, inner)
        else:
            path = where.new_path + there[at]
            yield _whole("ADD", name, one, where, path, (*where.at, name, at))
    for at, one in enumerate(old):
        if at not in paired:
            path = where.old_path + gone[at]
            yield _whole("REMOVE", name, one, where, path, where.at)
    order = [paired[at] for at in sorted(paired)]
    if name == "properties" and order != sorted(order):
        names = (
            [old[at].get("name") for at in sorted(paired)],
            [new[at].get("name") for at in sorted(order)],
        )
        yield _edit("CHANGE", name, names, where)


def _edit(kind: Type, name: str, values: tuple[Any, Any], where: _Where) -> Edit:
    return Edit(
        kind,
        (*where.fields, name),
        item=False,
        old=values[0],
        new=values[1],
        old_path=where.old_path + paths.key(name),
        new_path=where.new_path + paths.key(name),
        at=where.at if kind == "REMOVE" else (*where.at, name),
        old_nodes=where.old_nodes,
        new_nodes=where.new_nodes,
    )


def _whole(kind: Type, name: str, one: Node, where: _Where, path: str, at: Steps) -> Edit:
    gone = kind == "REMOVE"
    return Edit(
        kind,
        (*where.fields, name),
        item=True,
        old=one if gone else None,
        new=None if gone else one,
        old_path=path,
        new_path=path,
        at=at,
        old_nodes=(*where.old_nodes, one) if gone else where.old_nodes,
        new_nodes=where.new_nodes if gone else (*where.new_nodes, one),
    )


def _into(where: _Where, name: str, old: Any, new: Any) -> _Where:
    step = paths.key(name)
    return _Where(
        (*where.fields, name),
        where.old_path + step,
        where.new_path + step,
        (*where.at, name) if new is not None else where.at,
        (*where.old_nodes, old or {}),
        (*where.new_nodes, new or {}),
    )


def _lists(left: Any, right: Any) -> bool:
    """Whether both are lists of mappings, or one is and the other is not there."""
    there = [side for side in (left, right) if side is not None]
    full = [side for side in there if side != []]
    return bool(full) and all(
        isinstance(side, list) and all(isinstance(one, dict) for one in side) for side in there
    )


def _nested(left: Any, right: Any) -> bool:
    there = [side for side in (left, right) if side is not None]
    return bool(there) and all(isinstance(side, dict) for side in there)


def _said(name: str, value: Any) -> Any:
    """The value with what it says when it is left out; nothing at all where it is empty."""
    return DEFAULTS.get(name) if value is None or value in ("", [], {}) else value


def _id(one: Node) -> Hashable | None:
    found = one.get("id")
    return found if isinstance(found, str) else None


def _named(field: str) -> Callable[[Node], Hashable | None]:
    def identity(one: Node) -> Hashable | None:
        told = [one.get(name) for name in paths.NAMES.get(field, ("name",))]
        if field in _PORTS:
            version = versions.read(one.get("version") or "1.0.0")
            told[1] = version.major if version else one.get("version")
        return repr(told) if any(part is not None for part in told) else None

    return identity


def _rule(one: Node) -> Hashable | None:
    """What a quality rule without a name measures."""
    parts = [one.get(name) for name in ("type", "metric", "rule", "query", "engine")]
    return repr(parts) if any(parts) else None


def _measured(one: Node) -> Hashable | None:
    return repr((one.get("type"), one.get("metric"), one.get("engine")))


def _service(one: Node) -> Hashable | None:
    return repr(one.get("property"))


_ALIKE: Mapping[str, tuple[Callable[[Node], Hashable | None], ...]] = {
    "quality": (_rule, _measured),
    "slaProperties": (_service,),
}
"""By what else items of a list are paired, where neither id nor name does it."""
