"""Steps: what `cleanse/` and `transform/` make, and what the contracts promise."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from polyport.descriptor import pipeline_files
from polyport.descriptor.checks import ports
from polyport.descriptor.text import did_you_mean, error, shown_path, source_of, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from polyport.descriptor.checks.folder import Folder
    from polyport.descriptor.odcs import ContractFile
    from polyport.descriptor.pipeline_files import Step, StepFile
    from polyport.descriptor.sql import Named
    from polyport.descriptor.types import SchemaObject
    from polyport.errors import Diagnostic, Place


def check(folder: Folder) -> Iterator[Diagnostic]:
    """What is wrong with the steps, and between them and the contracts."""
    inputs = _inputs(folder)
    files = pipeline_files.discover(folder.home)
    steps: dict[str, Step] = {}
    for key, file in files.items():
        step, problems = read(file)
        yield from problems
        if step:
            steps[key] = step
    yield from _named_twice(folder)
    needs: dict[str, dict[str, Place]] = {}
    for key, step in steps.items():
        needs[key] = {}
        for table in step.tables:
            target = pipeline_files.resolve(
                table.name, table.schema, within=step.file, inputs=inputs, steps=files
            )
            place = step.source.at_offset(table.start, table.length, label="no such table")
            if target is None:
                yield _unknown_table(table, place, step.file, inputs, files)
            else:
                needs[key].setdefault(target, replace(place, label=f"reads {target}"))
    yield from _cycles(needs)
    if folder.complete:
        yield from _promises(folder, inputs, files, steps)
        yield from _unused(folder, inputs, files, needs)


def _inputs(folder: Folder) -> list[str]:
    """The input ports' names; those of `polyport.yaml` too, where a port that lacks its name may be one of them."""
    found = [port.name for port in folder.product.inputs if port.name]
    if folder.settings is not None and not ports.all_named(folder, "inputPorts"):
        found += folder.settings.get("inputs") or {}
    return list(dict.fromkeys(found))


def read(file: StepFile) -> tuple[Step | None, tuple[Diagnostic, ...]]:
    """What the text of a step says; no step where it cannot be told."""
    try:
        step = pipeline_files.references(file)
    except (OSError, UnicodeDecodeError) as failure:
        return None, (_unreadable(file, failure),)
    if step.problem is None:
        return step, ()
    problem = step.problem
    place = step.source.at_offset(problem.start, problem.length, label="here")
    if file.kind == "py":
        fix = "" if problem.syntax else f"write `def {file.name}(...)`: its parameters are tables"
        return None, (error("PP226", f"{file.path.name}: {problem.message}", place, fix=fix),)
    if problem.syntax:
        return None, (error("PP220", f"{file.path.name} is not SQL: {problem.message}", place),)
    fix = "write one SELECT: its rows become the table"
    return None, (error("PP221", f"{file.path.name}: {problem.message}", place, fix=fix),)


def _unreadable(file: StepFile, failure: OSError | UnicodeDecodeError) -> Diagnostic:
    whole = source_of(file.path, "").whole()
    if isinstance(failure, OSError):
        reason = failure.strerror or type(failure).__name__
        return error("PP011", f"cannot read {file.path.name}: {reason}", whole)
    before = failure.object[: failure.start]
    source = source_of(file.path, failure.object.decode("utf-8", "replace"))
    byte = f"byte 0x{failure.object[failure.start]:02X}"
    column = failure.start - before.rfind(b"\n")
    place = source.place(before.count(b"\n") + 1, column, label=byte)
    message = f"{file.path.name} is not UTF-8: {byte} at offset {failure.start:,}"
    return error("PP004", message, place, fix="save the file as UTF-8")


def _named_twice(folder: Folder) -> Iterator[Diagnostic]:
    for file in pipeline_files.duplicates(folder.home):
        places = (
            source_of(file.path, "").whole("not used"),
            source_of(file.path.with_suffix(".sql"), "").whole("this one makes the table"),
        )
        yield error("PP228", f"two files make `{file.key}`", *places, fix="keep one of them")


def _unknown_table(
    table: Named, place: Place, step: StepFile, inputs: list[str], files: Mapping[str, StepFile]
) -> Diagnostic:
    cleanse = [f.name for f in files.values() if f.stage == "cleanse"]
    known = {"raw": inputs, "clean": cleanse}.get(table.schema.lower())
    if known is None:
        transform = [f.name for f in files.values() if f.stage == "transform"]
        known = [*inputs, *cleanse, *(transform if step.stage == "transform" else ())]
    known = [name for name in dict.fromkeys(known) if name != step.name]
    shown = f"{table.schema}.{table.name}" if table.schema else table.name
    fix = did_you_mean(table.name, known, what="tables") or "declare an input port"
    return error("PP222", f"no table `{shown}`", place, fix=fix)


def _cycles(needs: Mapping[str, Mapping[str, Place]]) -> Iterator[Diagnostic]:
    done: set[str] = set()
    for start in needs:
        if start not in done and (path := _cycle(start, needs, done)):
            places = [needs[a][b] for a, b in pairwise(path)]
            fix = "take one of the references out"
            yield error("PP223", f"steps need each other: {' -> '.join(path)}", *places, fix=fix)


def _cycle(start: str, needs: Mapping[str, Mapping[str, Place]], done: set[str]) -> list[str]:
    """A path from a step back to itself; `done` gets what is known to be in order."""
    path: list[str] = []
    waiting: list[tuple[str, bool]] = [(start, False)]
    found: list[str] = []
    while waiting:
        step, left = waiting.pop()
        if left:
            done.add(path.pop())
        elif step in path:
            found = found or [*path[path.index(step) :], step]
        elif step not in done and step in needs:
            path.append(step)
            waiting.append((step, True))
            waiting += [(need, False) for need in needs[step]]
    return found


def _promises(
    folder: Folder, inputs: list[str], files: Mapping[str, StepFile], steps: Mapping[str, Step]
) -> Iterator[Diagnostic]:
    for contract, at, one in folder.promised():
        key = pipeline_files.maker(one.name, inputs=inputs, steps=files)
        if key is None:
            place = contract.document.value_at(("schema", at, "name"), "nothing makes it")
            names = [f.name for f in files.values()] + inputs
            path = shown_path(folder.home / "transform" / f"{one.name}.sql")
            near = did_you_mean(one.name, names)
            fix = f"write {path}" + (f"; {near}" if "did you mean" in near else "")
            if "." in one.name:
                fix = "call it by a name without a dot: files with a second dot in their name are passed over"
            yield error("PP219", f"nothing makes the dataset `{one.name}`", place, fix=fix)
        elif key in steps and steps[key].columns is not None:
            yield from _columns(contract, at, one, steps[key], _older(folder, contract))


def _older(folder: Folder, contract: ContractFile) -> str:
    """What maps the contract, where it is that of an older major of a port alone; empty where it is not."""
    behind = [port for port in folder.product.outputs if port.contract_id == contract.id]
    if not behind or not all(map(folder.product.successor, behind)):
        return ""
    named = f"{behind[0].name}@{behind[0].major}"
    return f'map the older major: `ports: {{"{named}": {{mapping: ...}}}}` in polyport.yaml'


def _columns(
    contract: ContractFile, at: int, one: SchemaObject, step: Step, older: str
) -> Iterator[Diagnostic]:
    given = {column.name.lower(): column for column in step.columns or ()}
    whole = step.source.place(
        1, 1, label=f"gives: {', '.join(c.name or '?' for c in step.columns or ())}"
    )
    for i, prop in enumerate(one.properties):
        if prop.name.lower() not in given:
            path = ("schema", at, "properties", i, "name")
            places = (contract.document.value_at(path, "promised here"), whole)
            promised = {p.name.lower() for p in one.properties}
            left = [c.name for c in given.values() if c.name and c.name.lower() not in promised]
            near = did_you_mean(prop.name, left) if left else ""
            fix = near if "did you mean" in near else f"select it in {step.file.path.name}"
            fix = older or fix
            message = f"{step.file.path.name} gives no column `{prop.name}`"
            yield error("PP224", message, *places, fix=fix)
    yield from _extra(one, step)


def _extra(one: SchemaObject, step: Step) -> Iterator[Diagnostic]:
    promised = {prop.name.lower() for prop in one.properties}
    hidden = pipeline_files.MARKS if step.file.stage == "cleanse" else ()
    for column in step.columns or ():
        if column.name.lower() in promised or column.name in hidden:
            continue
        place = step.source.at_offset(column.start, column.length, label="not in the contract")
        if column.name:
            message = f"column `{column.name}` is not promised and will not be published"
            fix = f"add it to `{one.name}` in the contract, or do not select it"
            if column.name in pipeline_files.MARKS:
                fix = "it means something in cleanse/ only: mend rows and set them aside there"
        else:
            message = "a column has no name and will not be published"
            fix = "name it: `... AS name`"
        yield warning("PP225", message, place, fix=fix)


def _unused(
    folder: Folder,
    inputs: list[str],
    files: Mapping[str, StepFile],
    needs: Mapping[str, Mapping[str, Place]],
) -> Iterator[Diagnostic]:
    if len(needs) < len(files):
        return
    datasets = [one.name for _, _, one in folder.promised()]
    made = {pipeline_files.maker(name, inputs=inputs, steps=files) for name in datasets}
    used = made | {target for targets in needs.values() for target in targets}
    for key, file in files.items():
        if datasets and key not in used:
            place = source_of(file.path, "").whole()
            near = did_you_mean(file.name, datasets) if datasets else ""
            fix = near if "did you mean" in near else "promise it in a contract, or remove the file"
            yield warning("PP227", f"nothing uses `{key}`", place, fix=fix)
