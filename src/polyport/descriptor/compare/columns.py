"""The verdict on changes of schema objects and properties: of what consumers name and read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyport.descriptor.compare import limits, quality, types
from polyport.descriptor.compare.changes import breaking, minor, patch, risky
from polyport.descriptor.compare.walk import pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from polyport.descriptor.compare.changes import Judged
    from polyport.descriptor.compare.walk import Edit, Node

_KEY = ("primaryKey", "primaryKeyPosition")
_TABLES = {"table", "view", "materialized view", "materializedview", "external table"}
_SECRECY = ("public", "internal", "restricted", "confidential", "secret")
"""Classifications from open to closed; what is not here cannot be ordered."""


def judge(edit: Edit) -> Judged:
    """The verdict on an edit below `schema`."""
    rest, what = inside(edit), named(edit)
    if not rest:
        return _element(edit, what)
    rule = _PARTS.get(rest[0])
    return rule(edit, rest, what) if rule else _field(edit, rest[-1], what)


def inside(edit: Edit) -> tuple[str, ...]:
    """The fields below the innermost object or property that the edit is about; empty: it is about that as a whole."""
    depth = 1
    while depth < len(edit.fields) and edit.fields[depth] in ("properties", "items"):
        depth += 1
    if not edit.item and depth == len(edit.fields):
        depth -= 1  # the order of a list, or a field that is no mapping
    return edit.fields[depth:]


def named(edit: Edit) -> str:
    """`films.title`, as the old document calls it; the object alone where the edit is about that."""
    nodes = edit.old_nodes if len(edit.old_nodes) >= len(edit.new_nodes) else edit.new_nodes
    depth = 1
    while depth < len(edit.fields) and edit.fields[depth] in ("properties", "items"):
        depth += 1
    names = [str(node.get("name") or "") for node in nodes[1 : depth + 1]]
    return f"`{'.'.join(filter(None, names))}`"


def custom(edit: Edit, rest: tuple[str, ...], what: str) -> Judged:
    """The verdict on a custom property: the unit changes what numbers mean."""
    old, new = _custom(edit.old_nodes, edit.old), _custom(edit.new_nodes, edit.new)
    name = str((new or old).get("property", ""))
    if name != "unit" or (len(rest) > 1 and rest[-1] != "value"):
        told = risky if name == "polyport.onFailure" else patch
        return told(f"the custom property `{name}` of {what} changes")
    if not old:
        return minor(f"the unit of {what} is told: `{new.get('value')}`")
    if not new:
        return risky(f"the unit of {what}, `{old.get('value')}`, is no longer told")
    before, after = old.get("value"), new.get("value")
    return breaking(
        f"the unit of {what} changes from `{before}` to `{after}`: the same number means something else"
    )


def _custom(nodes: tuple[Node, ...], value: Any) -> Node:
    """The custom property that an edit is about: itself, or the one that its field stands in."""
    if isinstance(value, dict) and "property" in value:
        return value
    return nodes[-1] if nodes and "property" in nodes[-1] else {}


def _element(edit: Edit, what: str) -> Judged:
    noun = "dataset" if len(edit.fields) == 1 else "column"
    if edit.type == "ADD":
        return minor(f"{noun} {what} is added")
    return breaking(f"{noun} {what} is removed: who reads it fails")


def _relationship(edit: Edit, _: tuple[str, ...], what: str) -> Judged:
    if edit.item and edit.type == "ADD":
        return minor(f"a relationship of {what} is added")
    if edit.item:
        return risky(f"a relationship of {what} is removed: rows may have no counterpart any more")
    if edit.fields[-1] in ("from", "to", "type"):
        return risky(f"a relationship of {what} leads elsewhere")
    return patch(f"the words of a relationship of {what} change")


def _enum(edit: Edit, _: tuple[str, ...], what: str) -> Judged:
    if not edit.item:
        return patch(f"the words of a valid value of {what} change")
    had, has = (bool(nodes[len(edit.fields) - 1].get("enum")) for nodes in _both(edit))
    value = (edit.new or edit.old).get("value")
    if edit.type == "ADD":
        if not had:
            return minor(f"{what} is limited to valid values, `{value}` among them")
        return risky(
            f"`{value}` becomes a valid value of {what}: who handles each value does not know it"
        )
    if not has:
        return risky(f"{what} is no longer limited to valid values: any value may come")
    return minor(f"`{value}` is no longer a valid value of {what}")


def _option(edit: Edit, rest: tuple[str, ...], what: str) -> Judged:
    return limits.option(rest[-1], edit.old, edit.new, what)


def _both(edit: Edit) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    return edit.old_nodes, edit.new_nodes


def _field(edit: Edit, name: str, what: str) -> Judged:
    if name in _KEY:
        return _key(edit, what)
    rule = _FIELDS.get(name)
    if rule is not None:
        return rule(edit, what)
    if name == "description":
        return patch(f"the description of {what} changes")
    told = f"`{name}` of {what} changes"
    return patch(told) if name in _PLAIN else risky(told)


def _name(edit: Edit, what: str) -> Judged:
    noun = "dataset" if len(edit.fields) == 2 else "column"  # noqa: PLR2004 - ("schema", "name")
    return breaking(f"{noun} {what} is renamed to `{edit.new}`: who reads it by its old name fails")


def _physical_name(edit: Edit, what: str) -> Judged:
    old, new = (
        str(nodes[-1].get("physicalName") or nodes[-1].get("name")) for nodes in _both(edit)
    )
    if old == new:
        return patch(f"the physical name of {what} is said, and is what it was")
    return breaking(
        f"the physical name of {what} changes from `{old}` to `{new}`: who reads it where it is stored fails"
    )


def _physical_type(edit: Edit, what: str) -> Judged:
    old, new = str(edit.old or ""), str(edit.new or "")
    if "properties" not in edit.fields:
        alike = {old.lower(), new.lower()} <= _TABLES or not old
        told = patch if alike else breaking
        return told(
            f"{what} becomes a `{new}`" if new else f"{what} is no longer said to be a `{old}`"
        )
    return _said(edit, "type", what) or types.physical(old, new, what)


def _logical_type(edit: Edit, what: str) -> Judged:
    return _said(edit, "logical type", what) or types.logical(str(edit.old), str(edit.new), what)


def _said(edit: Edit, noun: str, what: str) -> Judged | None:
    if not edit.old:
        return risky(
            f"the {noun} of {what} is now promised, `{edit.new}`: it may have been another"
        )
    if not edit.new:
        return risky(f"the {noun} of {what}, `{edit.old}`, is no longer promised")
    return None


def _required(edit: Edit, what: str) -> Judged:
    if edit.new is True:
        return minor(f"{what} is always filled from now on")
    return breaking(f"{what} is no longer always filled: who does not expect a missing value fails")


def _unique(edit: Edit, what: str) -> Judged:
    if edit.new is True:
        return minor(f"each value of {what} comes only once from now on")
    return breaking(f"values of {what} may come more than once: joins on it multiply rows")


def _key(edit: Edit, what: str) -> Judged:
    old_object, new_object = edit.old_nodes[1], edit.new_nodes[1]
    old, new = _key_of(old_object), _key_of(new_object)
    paired = pairs(
        "properties", old_object.get("properties") or [], new_object.get("properties") or []
    )
    same = [paired.get(at) for at in old] == [*new]
    if same:
        return patch(f"the place of {what} in the key is said otherwise")
    if not old:
        return minor(f"rows of `{old_object.get('name')}` get a key with {what}")
    return breaking(
        f"the key of `{old_object.get('name')}` changes by {what}: rows are addressed, joined and compared otherwise"
    )


def _key_of(one: Node) -> tuple[int, ...]:
    """The places of the key's columns, in the key's order."""
    found = [
        (at, p) for at, p in enumerate(one.get("properties") or []) if p.get("primaryKey") is True
    ]

    def rank(column: tuple[int, Mapping[str, Any]]) -> int:
        place = column[1].get("primaryKeyPosition")
        return place if isinstance(place, int) and place > 0 else 1_000

    return tuple(at for at, _ in sorted(found, key=rank))


def _classification(edit: Edit, what: str) -> Judged:
    old, new = str(edit.old or ""), str(edit.new or "")
    if not old:
        return risky(f"{what} is classified as `{new}`: access to it may become narrower")
    if not new:
        return risky(f"{what} is no longer classified as `{old}`")
    change = f"the classification of {what} changes from `{old}` to `{new}`"
    known = old.lower() in _SECRECY and new.lower() in _SECRECY
    if known and _SECRECY.index(new.lower()) < _SECRECY.index(old.lower()):
        return minor(f"{change}: it is more open")
    return risky(f"{change}: access to it may become narrower")


def _deprecated(edit: Edit, what: str) -> Judged:
    if edit.new is True:
        return risky(f"{what} is deprecated: stop using it before it goes")
    return minor(f"{what} is no longer deprecated")


def _critical(edit: Edit, what: str) -> Judged:
    if edit.new is True:
        return minor(f"{what} is treated as a critical data element")
    return risky(f"{what} is no longer treated as a critical data element")


def _granularity(edit: Edit, what: str) -> Judged:
    if not edit.old:
        return patch(f"it is told what a row of {what} stands for")
    return risky(f"what a row of {what} stands for is told otherwise: sums and counts may change")


def _order(_: Edit, what: str) -> Judged:
    return patch(f"the columns of {what} come in another order")


def _semantic(edit: Edit, what: str) -> Judged:
    return minor(f"{what} is a `{edit.new or 'column'}` instead of a `{edit.old or 'column'}`")


_PARTS: Mapping[str, Callable[[Edit, tuple[str, ...], str], Judged]] = {
    "quality": quality.judge,
    "relationships": _relationship,
    "enum": _enum,
    "logicalTypeOptions": _option,
    "customProperties": custom,
}
_FIELDS: Mapping[str, Callable[[Edit, str], Judged]] = {
    "name": _name,
    "physicalName": _physical_name,
    "physicalType": _physical_type,
    "logicalType": _logical_type,
    "required": _required,
    "unique": _unique,
    "classification": _classification,
    "deprecated": _deprecated,
    "criticalDataElement": _critical,
    "dataGranularityDescription": _granularity,
    "properties": _order,
    "semanticType": _semantic,
}
_PLAIN = (
    "id", "description", "businessName", "tags", "examples", "synonyms", "synonym", "locale", "source",
    "status", "authoritativeDefinitions", "type", "url", "transformSourceObjects", "transformLogic",
    "transformDescription", "partitioned", "partitionKeyPosition", "encryptedName", "context",
    "instructions", "constraint", "constraints", "verifiedStatements", "question", "answer",
)  # fmt: skip
"""Words, and how the data is made and kept: readers go on as before."""
