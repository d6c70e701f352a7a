"""A difference as a document of the Bitol RFC-0039 draft OMDS, `kind: MetadataDifference`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.descriptor.compare.changes import Change, Difference

VERSION = "v1.0.0"


def document(
    difference: Difference, *, places: Sequence[str] = (), more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The document of `difference`; what the draft has no field for stands in `customProperties`.

    Args:
        difference: What to tell.
        places: For each change where it stands, `file:line:column`; empty where it is not known.
        more: Further custom properties by name, such as who is affected.
    """
    found: dict[str, Any] = {
        "apiVersion": VERSION,
        "kind": "MetadataDifference",
        "sourceKind": difference.kind,
        "source1": {"id": difference.old.id, "version": difference.old.version},
        "source2": {"id": difference.new.id, "version": difference.new.version},
        "scope": "all",
        "impact": {level.lower(): count for level, count in difference.levels.items()},
    }
    if difference.suggested:
        found["suggestedVersion"] = difference.suggested
    found["diffs"] = [_entry(change) for change in difference.changes]
    custom = {
        "polyport.verdicts": [
            _verdict(change, places[at] if places else "")
            for at, change in enumerate(difference.changes)
        ],
        **(more or {}),
    }
    found["customProperties"] = [{"property": k, "value": v} for k, v in custom.items()]
    return found


def _entry(change: Change) -> dict[str, Any]:
    sides = {"value1": change.old, "value2": change.new}
    gone = {"ADD": "value1", "REMOVE": "value2"}.get(change.type)
    return {
        "type": change.type,
        "section": change.section,
        "field": change.field,
        "path": change.path,
        **{name: value for name, value in sides.items() if name != gone},
        "message": change.reason,
        "impactLevel": change.level,
    }


def _verdict(change: Change, place: str) -> dict[str, str]:
    """The verdict on the entry of `diffs` with the same path and type: `risky` is none of the draft's levels."""
    told = {"path": change.path, "type": change.type, "verdict": change.verdict}
    return {**told, "place": place} if place else told
