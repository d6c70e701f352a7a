"""A product's own steps, `cleanse/*` and `transform/*`: what there is, and what the names in it mean."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from polyport.descriptor.sql import Named, Problem, read_select
from polyport.descriptor.text import Source, source_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

Stage: TypeAlias = Literal["cleanse", "transform"]
STAGES: tuple[Stage, ...] = ("cleanse", "transform")
SUFFIXES = (".sql", ".py")
REPAIRED, REFUSED = MARKS = ("_repaired", "_refused")
"""Columns that a cleanse step says what it did by; they are not passed on."""


@dataclass(frozen=True, slots=True)
class StepFile:
    """One file: one table."""

    stage: Stage
    name: str
    path: Path
    kind: Literal["sql", "py"]

    @property
    def key(self) -> str:
        """`transform/cost_statement`."""
        return f"{self.stage}/{self.name}"


@dataclass(frozen=True, slots=True)
class Step:
    """A step as its text tells it."""

    file: StepFile
    source: Source
    text: str
    tables: tuple[Named, ...] = ()
    """The tables it names."""
    columns: tuple[Named, ...] | None = None
    """Of its result; None: not told by its text."""
    problem: Problem | None = None


def discover(home: Path) -> Mapping[str, StepFile]:
    """The step files of the product in `home`, by key (`cleanse/x`, `transform/x`), in order of stage and name.

    Of two files with one name in one stage, the SQL file; `duplicates` gives the others. Names that begin with `_` or
    `.`, and names with a second dot (`x.spark.sql`), are not steps.
    """
    found: dict[str, StepFile] = {}
    for step in _all(home):
        if step.key not in found or step.kind == "sql":
            found[step.key] = step
    return found


def duplicates(home: Path) -> tuple[StepFile, ...]:
    """The Python files beside a SQL file of the same stage and name."""
    kept = set(discover(home).values())
    return tuple(step for step in _all(home) if step not in kept)


def references(file: StepFile) -> Step:
    """What the text of `file` says.

    Raises:
        OSError: It cannot be read.
        UnicodeDecodeError: It is not UTF-8.
    """
    text = file.path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    source = source_of(file.path, text)
    return _sql(file, source, text) if file.kind == "sql" else _python(file, source, text)


def resolve(
    name: str,
    schema: str,
    *,
    within: StepFile,
    inputs: Collection[str],
    steps: Mapping[str, StepFile],
) -> str | None:
    """What `schema.name` means in the step `within`: `raw/<input>`, `cleanse/<x>` or `transform/<x>`; None: nothing.

    A bare name in `cleanse` is an input port, else another cleanse step; in `transform` a transform step, else a
    cleanse step, else an input port; never the step itself. `raw.x` is always input port x, `clean.x` always cleanse
    step x. The exact name goes before one that differs in case.
    """
    for stage in _stages(schema.lower(), within.stage):
        names = inputs if stage == "raw" else [s.name for s in steps.values() if s.stage == stage]
        others = [n for n in names if f"{stage}/{n}" != within.key]
        folded = [n for n in others if n.lower() == name.lower()]
        if name in others or folded:
            return f"{stage}/{name if name in others else folded[0]}"
    return None


def maker(dataset: str, *, inputs: Collection[str], steps: Mapping[str, StepFile]) -> str | None:
    """What makes `dataset`: a transform step, else a cleanse step, else an input port of that name."""
    keys = [f"transform/{dataset}", f"cleanse/{dataset}"]
    found = next((key for key in keys if key in steps), None)
    return found or (f"raw/{dataset}" if dataset in inputs else None)


def _stages(schema: str, stage: Stage) -> tuple[str, ...]:
    if schema:
        return {"raw": ("raw",), "clean": ("cleanse",)}.get(schema, ())
    return ("raw", "cleanse") if stage == "cleanse" else ("transform", "cleanse", "raw")


def _all(home: Path) -> list[StepFile]:
    return [
        StepFile(stage, path.stem, path, "sql" if path.suffix == ".sql" else "py")
        for stage in STAGES
        for path in sorted((home / stage).glob("*"))
        if path.suffix in SUFFIXES and path.name[0] not in "._" and "." not in path.stem
    ]


def _sql(file: StepFile, source: Source, text: str) -> Step:
    found = read_select(text)
    if isinstance(found, Problem):
        return Step(file, source, text, problem=found)
    return Step(file, source, text, found.tables, found.columns)


def _python(file: StepFile, source: Source, text: str) -> Step:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as failure:
        line, column = getattr(failure, "lineno", 1) or 1, getattr(failure, "offset", 1) or 1
        start = _offset(source, line, max(column, 1) - 1)
        message = getattr(failure, "msg", "") or str(failure)
        return Step(file, source, text, problem=Problem(message, start, 1, syntax=True))
    made = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    function = next((n for n in made if n.name == file.name), None)
    if function is None:
        start = _offset(source, made[0].lineno, made[0].col_offset + 4) if made else 0
        message = f"no function `{file.name}` in it"
        length = len(made[0].name) if made else 1
        return Step(file, source, text, problem=Problem(message, start, length, syntax=False))
    arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    tables = [Named(a.arg, _offset(source, a.lineno, a.col_offset), len(a.arg)) for a in arguments]
    return Step(file, source, text, tuple(tables))


def _offset(source: Source, line: int, column: int) -> int:
    return sum(len(text) + 1 for text in source.lines[: line - 1]) + column
