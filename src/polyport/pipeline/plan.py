"""What a build is going to do: the product's steps in order, and the table behind each dataset."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from polyport.descriptor.pipeline_files import discover, duplicates, maker, references, resolve
from polyport.descriptor.text import did_you_mean, error
from polyport.errors import TransformError
from polyport.pipeline.python_steps import PythonCode, read_python
from polyport.pipeline.sql_steps import SCHEMAS, Names, SqlCode, line_column, read_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from polyport.descriptor.pipeline_files import Step as Read
    from polyport.descriptor.pipeline_files import StepFile
    from polyport.descriptor.sql import Named
    from polyport.descriptor.types import DataProduct
    from polyport.errors import Diagnostic, Place

RAW = "raw/"
"""How the key of an input port's table begins; a step's is `cleanse/x` or `transform/x`."""


_WORD = re.compile(r"[\w.\[\]]+")


@dataclass(frozen=True, slots=True)
class Step:
    """One file of `cleanse/` or `transform/`, read."""

    file: StepFile
    where: str
    """The file as its errors name it: `transform/costs.sql`."""
    code: SqlCode | PythonCode
    tables: Mapping[str, str]
    """What its code calls a table -> the table's key."""

    @property
    def key(self) -> str:
        """The key of the table that it makes."""
        return self.file.key

    @property
    def calls_python(self) -> bool:
        """Whether it must be run to know its columns: Arrow in, Arrow out."""
        return isinstance(self.code, PythonCode) and self.code.gives != "ibis"


@dataclass(frozen=True, slots=True)
class Plan:
    """The work of one build."""

    steps: tuple[Step, ...]
    """Each after all that it reads."""
    datasets: Mapping[str, str]
    """Promised dataset -> the key of the table that it is made from."""
    uses: Mapping[str, int]
    """How many steps and datasets read a table, by key."""

    def where(self, key: str) -> str:
        """The file behind a table, or the input port."""
        found = next((s.where for s in self.steps if s.key == key), "")
        return found or f"input port {key.removeprefix(RAW)}"


def plan(product: DataProduct, *, dialect: str) -> Plan:
    """The steps of `product` in order.

    Raises:
        TransformError: A step cannot be understood, names an unknown table or depends on itself, or a promised
            dataset is made by nothing.
    """
    for extra in duplicates(product.home):
        raise TransformError(
            f"two files make the table {extra.key}",
            where=f"{extra.stage}/{extra.path.name}",
            fix=f"keep it or {extra.stage}/{extra.name}.sql",
        )
    files = discover(product.home)
    inputs = [port.name for port in product.inputs]
    steps = {key: _step(file, product, files, dialect) for key, file in files.items()}
    datasets = {name: _maker(name, inputs, files) for name in product.objects}
    if not datasets:
        raise TransformError(
            f"{product.id} promises no dataset, so there is nothing to publish",
            where=str(product.file or product.home),
            fix="let an output port's contractId name a contract with a schema object",
        )
    uses = Counter(key for step in steps.values() for key in set(step.tables.values()))
    uses.update(datasets.values())
    return Plan(tuple(_ordered(steps)), datasets, uses)


def mistakes(home: Path, *, dialect: str) -> Iterator[Diagnostic]:
    """What a build would refuse in the steps of the product in `home`, beyond what `descriptor.examine` tells."""
    for file in discover(home).values():
        try:
            read = references(file)
        except (OSError, UnicodeDecodeError):
            continue  # told by the descriptor, with its place
        try:
            if read.problem is None:
                _code(file, read, f"{file.stage}/{file.path.name}", dialect)
        except TransformError as failure:
            yield error("PP280", failure.message, _told_at(failure, read), fix=failure.fix)


def _told_at(failure: TransformError, read: Read) -> Place:
    """The word that the error is about; the file as a whole where it names no line."""
    _, line, column = (*failure.where.split(":"), "", "")[:3]
    if not line:
        return read.source.whole()
    at = int(column or 1)
    word = _WORD.match(read.source.lines[int(line) - 1], at - 1)
    return read.source.place(int(line), at, word.end() + 1 if word else 0)


def _code(file: StepFile, read: Read, where: str, dialect: str) -> SqlCode | PythonCode:
    if file.kind == "py":
        return read_python(file.path, read.text, where)
    return read_sql(read.text, where, tables=read.tables, dialect=dialect)


def _step(
    file: StepFile, product: DataProduct, files: Mapping[str, StepFile], dialect: str
) -> Step:
    where = f"{file.stage}/{file.path.name}"
    read = _read(file, where)
    code = _code(file, read, where, dialect)
    names = code.names if isinstance(code, SqlCode) else Names()
    named = {names.of(t.name, t.schema).lower(): t for t in reversed(read.tables)}
    inputs = [port.name for port in product.inputs]
    tables = {}
    for table in reversed(named.values()):
        found = resolve(table.name, table.schema, within=file, inputs=inputs, steps=files)
        if found is None:
            raise _unknown(table, read, where, known=[*inputs, *(f.name for f in files.values())])
        tables[names.of(table.name, table.schema)] = found
    return Step(file, where, code, tables)


def _read(file: StepFile, where: str) -> Read:
    try:
        read = references(file)
    except UnicodeDecodeError as error:
        line = file.path.read_bytes()[: error.start].count(b"\n") + 1
        byte = error.object[error.start]
        raise TransformError(
            f"not UTF-8: byte 0x{byte:02x}", where=f"{where}:{line}", fix="save it as UTF-8"
        ) from error
    except OSError as error:
        raise TransformError(f"cannot be read: {error.strerror}", where=where) from error
    if read.problem is not None:
        language = "SQL" if file.kind == "sql" else "Python"
        said = f"not valid {language}: {read.problem.message}"
        raise TransformError(
            said if read.problem.syntax else read.problem.message,
            where=_place(read, read.problem.start, where),
            fix="" if read.problem.syntax else _expected(file),
        )
    return read


def _expected(file: StepFile) -> str:
    return "write one SELECT" if file.kind == "sql" else f"define {file.name}()"


def _unknown(table: Named, read: Read, where: str, *, known: list[str]) -> TransformError:
    place = _place(read, table.start, where)
    if table.schema and table.schema.lower() not in SCHEMAS:
        return TransformError(
            f"no schema {table.schema!r}",
            where=place,
            fix="write a bare name, raw.<input port> or clean.<cleanse step>",
        )
    hint = did_you_mean(table.name, dict.fromkeys(known), what="tables here")
    return TransformError(
        f"no table {Names().of(table.name, table.schema)!r}", where=place, fix=hint
    )


def _place(read: Read, start: int, where: str) -> str:
    line, column = line_column(read.text, start)
    return f"{where}:{line}:{column}"


def _maker(dataset: str, inputs: list[str], files: Mapping[str, StepFile]) -> str:
    found = maker(dataset, inputs=inputs, steps=files)
    if found is None:
        names = dict.fromkeys([*(f.name for f in files.values()), *inputs])
        raise TransformError(
            f"nothing makes the promised dataset {dataset!r}",
            where=f"transform/{dataset}.sql",
            fix=did_you_mean(dataset, names, what="tables here") or "write this file",
        )
    return found


def _ordered(steps: Mapping[str, Step]) -> Iterator[Step]:
    done: set[str] = set()
    for key in steps:
        yield from _before(key, steps, done, ())


def _before(
    key: str, steps: Mapping[str, Step], done: set[str], path: tuple[str, ...]
) -> Iterator[Step]:
    if key in done or key not in steps:
        return
    if key in path:
        circle = " -> ".join((*path[path.index(key) :], key))
        raise TransformError(
            f"steps need each other: {circle}",
            where=steps[key].where,
            fix="take one of the references away, or split a step in two",
        )
    for needed in steps[key].tables.values():
        yield from _before(needed, steps, done, (*path, key))
    done.add(key)
    yield steps[key]
