"""The verdict on changes of a Bitol ODPS document: its output ports are what consumers hold on to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyport.descriptor.compare import terms, versions
from polyport.descriptor.compare.changes import breaking, minor, patch, risky

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from polyport.descriptor.compare.changes import Judged
    from polyport.descriptor.compare.walk import Edit, Node


def judge(edit: Edit) -> Judged:
    """The verdict on any edit of the document."""
    rule = _SECTIONS.get(edit.fields[0])
    if rule:
        return rule(edit)
    return (
        patch(f"`{'.'.join(edit.fields)}` is said")
        if edit.type == "ADD"
        else minor(f"`{'.'.join(edit.fields)}` changes")
    )


def _output(edit: Edit) -> Judged:
    old, new = edit.old_nodes, edit.new_nodes
    if edit.item and len(edit.fields) == 1:
        port = f"output port {_named(new[-1] if edit.type == 'ADD' else old[-1])}"
        if edit.type == "ADD":
            return minor(f"{port} is added")
        return breaking(f"{port} is removed: who reads through it fails")
    port, field = f"output port {_named(old[1])}", edit.fields[1]
    if field in _BREAKS:
        return breaking(
            f"`{field}` of {port} changes from `{edit.old}` to `{edit.new}`: {_BREAKS[field]}"
        )
    rule = _FIELDS.get(field)
    return rule(edit, port) if rule else patch(f"`{field}` of {port} changes")


def _port_deprecated(edit: Edit, port: str) -> Judged:
    if edit.new is True:
        return risky(f"{port} is deprecated: move to its successor")
    return minor(f"{port} is no longer deprecated")


def _made_from(_: Edit, port: str) -> Judged:
    return minor(f"what {port} is made from changes")


_BREAKS = {
    "name": "who reads through it fails",
    "type": "its clients no longer understand it",
    "contractId": "what it promises is another contract; compare the two",
}


def _version(edit: Edit, port: str) -> Judged:
    old, new = versions.read(edit.old or "1.0.0"), versions.read(edit.new or "1.0.0")
    told = f"{port} has the version `{edit.new}` instead of `{edit.old}`"
    if old and new and old.major == new.major:
        return patch(told)
    return breaking(f"{told}: its address changes")


def _custom(edit: Edit, port: str) -> Judged:
    nodes = [n for n in (edit.new_nodes[-1], edit.old_nodes[-1]) if "property" in n]
    name = str(nodes[0].get("property")) if nodes else ""
    if name == "polyport.sunset" and edit.type != "REMOVE":
        return risky(f"{port} ends on `{nodes[0].get('value')}`")
    return patch(f"the custom property `{name}` of {port} changes")


def _input(edit: Edit) -> Judged:
    if edit.type == "ADD":
        return patch("an input port is added, or more is said of it")
    return minor("an input port changes: what the product is made from may change")


def _management(edit: Edit) -> Judged:
    if edit.item and edit.type == "ADD":
        return minor(f"management port {_named(edit.new_nodes[-1])} is added")
    if edit.item and len(edit.fields) == 1:
        return risky(f"management port {_named(edit.old_nodes[-1])} is removed")
    told = f"`{edit.fields[-1]}` of management port {_named(edit.old_nodes[1])} changes"
    return minor(told) if edit.fields[-1] in ("url", "channel", "content", "type") else patch(told)


def _named(port: Node) -> str:
    version = versions.read(port.get("version") or "1.0.0")
    return (
        f"`{port.get('name')}` {version or port.get('version')}"
        if "contractId" in port
        else f"`{port.get('name')}`"
    )


def _words(_: Edit) -> Judged:
    return patch("what the product is for is described otherwise")


def _name(edit: Edit) -> Judged:
    return minor(f"the product is called `{edit.new}` instead of `{edit.old}`")


def _tags(_: Edit) -> Judged:
    return patch("the product's tags change")


def _deprecated(edit: Edit) -> Judged:
    told = "the product is deprecated: stop using it before it goes"
    return risky(told) if edit.new is True else minor("the product is no longer deprecated")


_FIELDS: Mapping[str, Callable[[Edit, str], Judged]] = {
    "version": _version,
    "deprecated": _port_deprecated,
    "customProperties": _custom,
    "inputContracts": _made_from,
}
_SECTIONS: Mapping[str, Callable[[Edit], Judged]] = {
    "id": terms.identity,
    "status": terms.status,
    "outputPorts": _output,
    "inputPorts": _input,
    "managementPorts": _management,
    "description": _words,
    "name": _name,
    "tags": _tags,
    "deprecated": _deprecated,
    "productCreatedTs": _words,
}
