"""A contract as the principal may read it: what is hidden from it in the data is not named to it either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyport.access.mapping import Mapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from polyport.access import View
    from polyport.descriptor.types import DatasetMapping

_TELLING = ("quality", "relationships")
"""What may name other columns and datasets, or values, in SQL too: left out as soon as anything is hidden or masked."""
_VALUES = ("examples", "enum", "logicalTypeOptions", "customProperties")
"""What may name values of a column: left out where it is masked."""
_MAKING = ("transformSourceObjects", "transformLogic", "transformDescription")
"""How a column is made, and so perhaps of what: left out with the above."""


@dataclass(frozen=True, slots=True)
class _Hidden:
    """What of a contract a view does not show as it is."""

    datasets: frozenset[object] = frozenset()
    columns: frozenset[tuple[str, object]] = frozenset()
    masked: frozenset[tuple[str, object]] = frozenset()

    def __or__(self, other: _Hidden) -> _Hidden:
        return _Hidden(
            self.datasets | other.datasets,
            self.columns | other.columns,
            self.masked | other.masked,
        )

    def __bool__(self) -> bool:
        return bool(self.datasets or self.columns or self.masked)


def visible(document: Mapping[str, Any], view: View) -> dict[str, Any]:
    """The Bitol ODCS document with the schema objects and properties that the principal sees.

    The addresses of the servers behind the ports are left out for everybody.
    """
    return _reduced(document, _hidden(document, view))


def through(view: View, mapping: Mapping[str, DatasetMapping]) -> View:
    """`view` as a port with this `mapping` shows it: one that has a mapping is an older major."""
    return view.older(Mapped(mapping)) if mapping else view


def both_visible(
    old: tuple[Mapping[str, Any], View], new: tuple[Mapping[str, Any], View]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two documents of one contract, each with the view of a snapshot that it held for, as `visible` gives them.

    What either view hides is left out of both: nothing differs because of who looks.
    """
    hidden = _hidden(*old) | _hidden(*new)
    return _reduced(old[0], hidden), _reduced(new[0], hidden)


def _hidden(document: Mapping[str, Any], view: View) -> _Hidden:
    objects = document.get("schema") or []
    seen = [o for o in objects if o.get("name") in view.datasets]
    return _Hidden(
        frozenset(o.get("name") for o in objects if o not in seen),
        frozenset(pair for o in seen for pair in _unseen(o, view)),
        frozenset((o["name"], column) for o in seen for column in view.masked(o["name"])),
    )


def _unseen(declared: Mapping[str, Any], view: View) -> Iterator[tuple[str, object]]:
    columns = set(view.schema(declared["name"]).names)
    names = [p.get("name") for p in declared.get("properties") or []]
    return ((declared["name"], name) for name in names if name not in columns)


def _reduced(document: Mapping[str, Any], hidden: _Hidden) -> dict[str, Any]:
    rest = {name: value for name, value in document.items() if name != "servers"}
    if not hidden:
        return rest
    rest.pop("slaProperties", None)
    objects = document.get("schema") or []
    kept = [o for o in objects if o.get("name") not in hidden.datasets]
    return {**rest, "schema": [_shown(o, hidden) for o in kept]}


def _shown(declared: Mapping[str, Any], hidden: _Hidden) -> dict[str, Any]:
    name = declared["name"]
    seen = [
        p for p in declared.get("properties") or [] if (name, p.get("name")) not in hidden.columns
    ]
    properties = [
        _without(p, (*_TELLING, *_MAKING, *(_VALUES if (name, p["name"]) in hidden.masked else ())))
        for p in seen
    ]
    return {**_without(declared, (*_TELLING, *_MAKING)), "properties": properties}


def _without(declared: Mapping[str, Any], left_out: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in declared.items() if name not in left_out}
