"""What changed between two Bitol ODCS or ODPS documents, and what that does to those who read the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyport.descriptor.compare import columns, ports, terms
from polyport.descriptor.compare.changes import (
    VERDICTS,
    Change,
    Difference,
    Kind,
    Level,
    Source,
    Verdict,
)
from polyport.descriptor.compare.walk import edits
from polyport.descriptor.rules import modern
from polyport.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from polyport.descriptor.compare.changes import Judged
    from polyport.descriptor.compare.walk import Edit

_TOLD = ("version", "kind")
"""Fields that the sides of the comparison tell."""


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    """All changes from the document `old` to `new`, each judged from the side of the data's consumers.

    Both are sound documents of one kind, of any version of their standard.

    Raises:
        ConfigurationError: One is a contract and the other is not.
    """
    kinds = {_kind(document) for document in (old, new)}
    if len(kinds) != 1:
        raise ConfigurationError(
            "a data contract cannot be compared with a data product",
            where="compare",
            fix="name two ODCS documents, or two ODPS documents",
        )
    kind = kinds.pop()
    pair = (modern(dict(old)), modern(dict(new))) if kind == "DataContract" else (old, new)
    changes = tuple(_change(edit, kind) for edit in edits(*pair, skip=_TOLD))
    return Difference(kind, _source(old), _source(new), changes)


def _kind(document: Mapping[str, Any]) -> Kind:
    return "DataProduct" if document.get("kind") == "DataProduct" else "DataContract"


def _source(document: Mapping[str, Any]) -> Source:
    return Source(str(document.get("id") or ""), str(document.get("version") or ""))


def _change(edit: Edit, kind: Kind) -> Change:
    judged = _judge(edit, kind)
    old_path = edit.type == "REMOVE" or (edit.type == "CHANGE" and edit.fields[-1] == "name")
    dataset, column = _element(edit) if edit.fields[0] == "schema" else ("", "")
    return Change(
        type=edit.type,
        verdict=judged.verdict,
        level=judged.level,
        reason=judged.reason,
        section=edit.fields[0],
        field=edit.fields[-1],
        path=edit.old_path if old_path else edit.new_path,
        old=edit.old,
        new=edit.new,
        at=edit.at,
        dataset=dataset,
        column=column,
    )


def _judge(edit: Edit, kind: Kind) -> Judged:
    if kind == "DataProduct":
        return ports.judge(edit)
    return columns.judge(edit) if edit.fields[0] == "schema" else terms.judge(edit)


def _element(edit: Edit) -> tuple[str, str]:
    """The dataset and the column that an edit of the schema is about, by their old names where they have one."""
    nodes = edit.old_nodes if len(edit.old_nodes) >= len(edit.new_nodes) else edit.new_nodes
    names = [str(node.get("name") or "") for node in nodes[1:]]
    has_column = edit.fields[1:2] == ("properties",) and len(names) > 1
    return (names[0] if names else "", names[1] if has_column else "")


__all__ = ["VERDICTS", "Change", "Difference", "Kind", "Level", "Verdict", "compare"]
