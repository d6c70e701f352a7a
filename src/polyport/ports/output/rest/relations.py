"""The ways from a row to rows of other datasets: the contract's relationships, in both directions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from polyport.ports.values import kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from polyport.access import View
    from polyport.descriptor.types import SchemaObject


@dataclass(frozen=True, slots=True)
class Relation:
    """A way from a row to the rows of `dataset` whose `theirs` equal the row's `ours`."""

    name: str
    """In the address: the other dataset, and the columns where there are several ways to it."""
    dataset: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    forward: bool
    """True: the row refers to one other; False: others refer to it."""


def relations(dataset: str, view: View, objects: Mapping[str, SchemaObject]) -> dict[str, Relation]:
    """The relations of `dataset` by name, as far as the principal sees both sides unmasked."""
    found = [r for r in _declared(dataset, objects) if _seen(dataset, r, view)]
    count = Counter(relation.name for relation in found)
    named = [_told_apart(r) if count[r.name] > 1 else r for r in found]
    return {relation.name: relation for relation in named}


def _declared(dataset: str, objects: Mapping[str, SchemaObject]) -> list[Relation]:
    own = objects[dataset].relationships if dataset in objects else ()
    forward = [
        Relation(r.to_dataset, r.to_dataset, r.columns, r.to_columns, forward=True) for r in own
    ]
    return forward + [
        Relation(name, name, r.to_columns, r.columns, forward=False)
        for name, other in objects.items()
        for r in other.relationships
        if r.to_dataset == dataset
    ]


def _told_apart(relation: Relation) -> Relation:
    columns = relation.ours if relation.forward else ("by", *relation.theirs)
    return replace(relation, name=f"{relation.name}.{'-'.join(columns)}")


def _seen(dataset: str, relation: Relation, view: View) -> bool:
    if relation.dataset not in view.datasets:
        return False
    sides = ((dataset, relation.ours), (relation.dataset, relation.theirs))
    return all(column in plain(view, name) for name, columns in sides for column in columns)


def plain(view: View, dataset: str) -> frozenset[str]:
    """The columns of `dataset` that the principal sees as they are."""
    return frozenset(view.schema(dataset).names) - set(view.masked(dataset))


def key(view: View, dataset: str) -> tuple[str, ...]:
    """The columns that identify a row for the principal; empty where one is hidden, masked or not to be written."""
    found = view.dataset(dataset).key
    if not set(found) <= plain(view, dataset):
        return ()
    schema = view.schema(dataset)
    return found if all(kind(schema.field(name).type) != "other" for name in found) else ()
