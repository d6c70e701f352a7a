"""The contract as the principal may read it: what is hidden from it in the data is not named to it either."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.access import View

_TELLING = ("quality", "relationships")
"""What may name other columns and datasets, or values, in SQL too: left out as soon as anything is hidden or masked."""
_VALUES = ("examples", "enum", "logicalTypeOptions", "customProperties")
"""What may name values of a column: left out where it is masked."""
_MAKING = ("transformSourceObjects", "transformLogic", "transformDescription")
"""How a column is made, and so perhaps of what: left out with the above."""


def visible(document: Mapping[str, Any], view: View) -> dict[str, Any]:
    """The Bitol ODCS document with the schema objects and properties that the principal sees.

    The addresses of the servers behind the ports are left out for everybody.
    """
    rest = {name: value for name, value in document.items() if name != "servers"}
    objects = document.get("schema") or []
    kept = [o for o in objects if o.get("name") in view.datasets]
    if len(kept) == len(objects) and not any(_hidden(o, view) for o in kept):
        return rest
    rest.pop("slaProperties", None)
    return {**rest, "schema": [_shown(o, view) for o in kept]}


def _seen(declared: Mapping[str, Any], view: View) -> Sequence[Mapping[str, Any]]:
    columns = set(view.schema(declared["name"]).names)
    return [p for p in declared.get("properties") or [] if p.get("name") in columns]


def _hidden(declared: Mapping[str, Any], view: View) -> bool:
    whole = len(_seen(declared, view)) == len(declared.get("properties") or [])
    return not whole or bool(view.masked(declared["name"]))


def _shown(declared: Mapping[str, Any], view: View) -> dict[str, Any]:
    masked = view.masked(declared["name"])
    properties = [
        _without(p, (*_TELLING, *_MAKING, *(_VALUES if p["name"] in masked else ())))
        for p in _seen(declared, view)
    ]
    return {**_without(declared, (*_TELLING, *_MAKING)), "properties": properties}


def _without(declared: Mapping[str, Any], left_out: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in declared.items() if name not in left_out}
