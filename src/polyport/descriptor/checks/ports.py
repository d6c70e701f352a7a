"""Ports: contracts that they name, types, settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyport.descriptor.checks import majors
from polyport.descriptor.text import did_you_mean, error, warning
from polyport.model import OWNER_ROLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from polyport.descriptor.checks.folder import Folder
    from polyport.descriptor.odcs import ContractFile
    from polyport.descriptor.yaml import Document
    from polyport.errors import Diagnostic


def check(folder: Folder) -> Iterator[Diagnostic]:
    """What is wrong with the product's ports."""
    yield from _contracts(folder)
    yield from _output_types(folder)
    yield from _output_keys(folder.document)
    yield from majors.check(folder)
    yield from _management(folder)
    yield from ids(folder.document)
    yield from _contract_ids(folder)
    if folder.settings is not None:
        yield from _undeclared(folder, folder.settings)
        yield from _pushes(folder, folder.settings)
    if folder.settings_sound:
        yield from _inputs(folder)


def ids(document: Document) -> Iterator[Diagnostic]:
    """An error for each `id` that two items of one list share."""
    yield from _same_ids(document, document.value, ())


def _nodes(folder: Folder, key: str) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    for at, node in enumerate(folder.document.get(key) or ()):
        yield (key, at), node


def _named(folder: Folder, key: str) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """Those of `_nodes` that have a name; where one has none, that was told."""
    yield from ((path, node) for path, node in _nodes(folder, key) if node["name"] is not None)


def all_named(folder: Folder, key: str) -> bool:
    """Whether each port of `key` has a name, so that a name that is not there is missing indeed."""
    return len(list(_named(folder, key))) == len(list(_nodes(folder, key)))


def _contracts(folder: Folder) -> Iterator[Diagnostic]:
    known = [file.id for file in folder.contracts if file.id]
    all_known = not folder.unread and len(known) == len(folder.contracts)
    for key in ("inputPorts", "outputPorts"):
        for path, node in _nodes(folder, key):
            named = node.get("contractId")
            if named and named not in known and all_known:
                place = folder.document.value_at((*path, "contractId"), "no contract has this id")
                fix = (
                    did_you_mean(named, known, what="ids in contracts/")
                    or "add contracts/*.odcs.yaml"
                )
                yield error("PP201", f"no contract `{named}` in contracts/", place, fix=fix)
            elif (
                key == "outputPorts"
                and node["name"] is not None
                and node.get("contractId", "") == ""
            ):
                place = folder.document.key_at(path, "`contractId` is needed here")
                fix = "add `contractId: ...`" + (
                    f"; contracts/ has: {', '.join(known)}" if known else ""
                )
                message = f"output port `{node['name']}` promises nothing: it has no contract"
                yield error("PP202", message, place, fix=fix)


def _output_types(folder: Folder) -> Iterator[Diagnostic]:
    known = folder.port_types.get("output", ())
    for path, node in _nodes(folder, "outputPorts"):
        kind = node.get("type", "")
        if kind == "" and node["name"] is not None:
            place = folder.document.key_at(path, "`type` is needed here")
            fix = "add `type: ...`" + (f", one of: {', '.join(known)}" if known else "")
            yield error("PP204", f"output port `{node['name']}` has no type", place, fix=fix)
        elif kind and known and kind not in known:
            place = folder.document.value_at((*path, "type"), f"one of: {', '.join(known)}")
            yield error(
                "PP203", f"no output port type `{kind}`", place, fix=did_you_mean(kind, known)
            )


def _management(folder: Folder) -> Iterator[Diagnostic]:
    """Management ports that Polyport serves are named as it names them, with the content that they have."""
    telling = folder.port_types.get("information", ())
    steering = folder.port_types.get("configuration", ())
    for path, node in _nodes(folder, "managementPorts"):
        name, content = node["name"], node.get("content")
        if not (telling or steering) or node.get("url") or node.get("type") == "topic":
            continue
        if name not in (*telling, *steering):
            place = folder.document.value_at((*path, "name"), "served by nothing")
            fix = did_you_mean(name, [*telling, *steering], what="management ports")
            fix += "; a port that something else serves has a `url`"
            yield error("PP284", f"no management port `{name}`", place, fix=fix)
        elif (content == "control") != (name in steering):
            place = folder.document.value_at((*path, "content"), "another content")
            right = "control" if name in steering else "discoverability or observability"
            yield error(
                "PP284",
                f"the port `{name}` is not one of `{content}`",
                place,
                fix=f"content: {right}",
            )


def _output_keys(document: Document) -> Iterator[Diagnostic]:
    for key in ("outputPorts", "inputPorts"):
        seen: dict[tuple[str, str], int] = {}
        for at, node in enumerate(document.get(key) or ()):
            if node["name"] is None:
                continue
            version = str(node.get("version") or "1.0.0") if key == "outputPorts" else ""
            first = seen.setdefault((node["name"], version), at)
            if first != at:
                places = (
                    document.value_at((key, at, "name"), "again"),
                    document.value_at((key, first, "name"), "first here"),
                )
                kind = key.removesuffix("Ports")
                what = f"{kind} port `{node['name']}`" + (f" version {version}" if version else "")
                fix = "give it another name" + (" or version" if version else "")
                yield error("PP208", f"{what} is declared twice", *places, fix=fix)


def _same_ids(document: Document, value: Any, path: tuple[str | int, ...]) -> Iterator[Diagnostic]:
    if isinstance(value, dict):
        for key, part in value.items():
            if isinstance(part, dict | list):
                yield from _same_ids(document, part, (*path, key))
    elif isinstance(value, list):
        seen: dict[str, int] = {}
        for at, part in enumerate(value):
            own = part.get("id") if isinstance(part, dict) else None
            if isinstance(own, str) and seen.setdefault(own, at) != at:
                places = (
                    document.value_at((*path, at, "id"), "again"),
                    document.value_at((*path, seen[own], "id"), "first here"),
                )
                yield error(
                    "PP209", f"the id `{own}` is given twice", *places, fix="ids are unique"
                )
            yield from _same_ids(document, part, (*path, at))


def _contract_ids(folder: Folder) -> Iterator[Diagnostic]:
    first: dict[str, ContractFile] = {}
    document = folder.document
    used = {
        node.get("contractId", "")
        for key in ("inputPorts", "outputPorts")
        for _, node in _nodes(folder, key)
    }
    for node in document.get("outputPorts") or ():
        used |= {entry.get("id") for entry in node.get("inputContracts") or ()}
    told = all_named(folder, "outputPorts") and None not in used
    for file in folder.contracts:
        if not file.id:
            continue
        if first.setdefault(file.id, file) is not file:
            places = (
                file.document.value_at(("id",), "again"),
                first[file.id].document.value_at(("id",), "first here"),
            )
            yield error(
                "PP211", f"two contracts have the id `{file.id}`", *places, fix="ids are unique"
            )
        elif file.id not in used and told:
            place = file.document.value_at(("id",), "no port names it")
            fix = "name it as a port's `contractId`, or remove the file"
            yield warning("PP212", f"contract `{file.id}` is not used", place, fix=fix)


def _inputs(folder: Folder) -> Iterator[Diagnostic]:
    inputs = (folder.settings.get("inputs") if folder.settings else None) or {}
    for path, node in _named(folder, "inputPorts"):
        if node["name"] not in inputs:
            place = folder.document.value_at((*path, "name"), "its rows come from nowhere")
            message = f"input port `{node['name']}` has no settings in polyport.yaml"
            free = [
                n for n in inputs if n not in {p["name"] for _, p in _nodes(folder, "inputPorts")}
            ]
            near = did_you_mean(node["name"], free) if free else ""
            fix = f"add `inputs: {{{node['name']}: {{type: files, path: ...}}}}`"
            yield error(
                "PP205", message, place, fix=f"{near} or {fix}" if "did you" in near else fix
            )


def _undeclared(folder: Folder, settings: Document) -> Iterator[Diagnostic]:
    declared = [node["name"] for _, node in _nodes(folder, "inputPorts")]
    known = folder.port_types.get("input", ())
    for name, node in (settings.get("inputs") or {}).items():
        if name not in declared and all_named(folder, "inputPorts"):
            place = settings.key_at(("inputs", name), "not an input port of the ODPS document")
            fix = did_you_mean(name, declared, what="input ports")
            fix = f"add `- name: {name}` to `inputPorts` in {folder.document.path.name}" + (
                f"; {fix}" if fix else ""
            )
            yield error("PP206", f"no input port `{name}` is declared", place, fix=fix)
        kind = node.get("type")
        if known and kind and kind not in known:
            place = settings.value_at(("inputs", name, "type"), f"one of: {', '.join(known)}")
            yield error(
                "PP203", f"no input port type `{kind}`", place, fix=did_you_mean(kind, known)
            )
    outputs = list(dict.fromkeys(port.name for port in folder.product.outputs))
    outputs += [f"{port.name}@{port.major}" for port in folder.product.outputs]
    for name in settings.get("ports") or {}:
        if name not in outputs and all_named(folder, "outputPorts"):
            place = settings.key_at(("ports", name), "not an output port of the ODPS document")
            fix = did_you_mean(name, outputs, what="output ports")
            yield error("PP207", f"no output port `{name}` is declared", place, fix=fix)


def _pushes(folder: Folder, settings: Document) -> Iterator[Diagnostic]:
    roles = [*((settings.get("access") or {}).get("roles") or {}), OWNER_ROLE]
    datasets = [one.name for _, _, one in folder.promised()]
    for name, node in (settings.get("ports") or {}).items():
        push = (node or {}).get("push")
        path = ("ports", name, "push")
        if not isinstance(push, dict):
            continue
        if not push.get("role"):
            place = settings.key_at(path, "`role` is needed here")
            fix = f"add `role: ...`, one of: {', '.join(roles)}"
            yield error("PP251", "files are pushed, and no role says what of", place, fix=fix)
        elif folder.settings_sound and push["role"] not in roles:
            place = settings.value_at((*path, "role"), "not a role of this product")
            fix = (
                did_you_mean(push["role"], roles, what="roles")
                or "add it under `access: {roles: ...}`"
            )
            yield error("PP246", f"no role `{push['role']}`", place, fix=fix)
        for at, dataset in enumerate(push.get("datasets") or ()):
            if folder.complete and dataset not in datasets:
                place = settings.value_at((*path, "datasets", at), "not promised by an output port")
                fix = did_you_mean(dataset, datasets, what="datasets")
                yield error("PP245", f"no dataset `{dataset}`", place, fix=fix)
