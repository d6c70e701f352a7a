"""Cleanse and transform: the steps, run in order. A table costs nothing until somebody must have it written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from polyport.descriptor.pipeline_files import MARKS
from polyport.descriptor.text import plural
from polyport.errors import QueryError
from polyport.model import Files, Query, Relation
from polyport.pipeline.cleanse import set_aside
from polyport.pipeline.erasure import returning
from polyport.pipeline.explain import explaining, step_error
from polyport.pipeline.folders import safe
from polyport.pipeline.plan import RAW
from polyport.pipeline.python_steps import PythonCode, run_arrow, run_ibis
from polyport.pipeline.shape import SOURCE, shape

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from polyport.descriptor.types import SchemaObject
    from polyport.engine import Engine, Written
    from polyport.pipeline.erasure.tombstones import Tombstones
    from polyport.pipeline.plan import Plan, Step
    from polyport.pipeline.progress import Entry, Recorder
    from polyport.ports.input import Received
    from polyport.store import Staging

_ALL = f"SELECT * FROM {SOURCE}"


@dataclass(frozen=True, slots=True)
class Bench:
    """What the steps of one run work with."""

    engine: Engine
    home: Path
    run: str
    scratch: Path
    quarantine: Path
    staging: Staging
    recorder: Recorder
    objects: Mapping[str, SchemaObject]
    """The promised datasets."""
    received: Mapping[str, Received]
    """What each input port received."""
    erased: Tombstones | None = None
    """What was erased before, and must not come back."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Dataset, or key of the table behind it -> rows of what was erased that were left out of it."""


@dataclass(slots=True)
class Tables:
    """The tables of one run, as they are made."""

    plan: Plan
    bench: Bench
    relations: dict[str, Relation]
    erased: Tombstones | None = None
    """What was erased, for the tables that the datasets' rows come from, by key."""
    lazy: dict[str, Step | None] = field(default_factory=dict)
    """Those that are not written: reading them can still fail. An input port has no step."""
    datasets: dict[str, Written] = field(default_factory=dict)

    def read_by(self, step: Step) -> dict[str, Relation]:
        """What the step's code reads, under the names that it uses."""
        return {called: self.relations[key] for called, key in step.tables.items()}

    def wanted_again(self, key: str) -> bool:
        """Whether more than one step or dataset reads the table, and it would be computed each time."""
        return key in self.lazy and self.plan.uses.get(key, 0) > 1

    def settle(self, key: str, written: Written) -> None:
        """From now on the table is what was written."""
        self.relations[key] = written.relation
        self.lazy.pop(key, None)


def run_steps(plan: Plan, inputs: Mapping[str, Relation], bench: Bench) -> dict[str, Written]:
    """All datasets of the plan, written to the staging folder, by name.

    Raises:
        TransformError: A step failed, or does not give what a contract promises.
        InputError: What an input port brought cannot be read to the end.
        StoreError: No space, or no permission.
    """
    relations = {f"{RAW}{name}": relation for name, relation in inputs.items()}
    tables = Tables(plan, bench, relations, _at_sources(plan, relations, bench))
    for key in tuple(relations):
        _hide(key, tables)
        _read(key, tables)
    for step in plan.steps:
        _run(step, tables)
    return {name: tables.datasets[name] for name in plan.datasets}


def _read(key: str, tables: Tables) -> None:
    """An input that several read is parsed once; one that is promised as it is becomes a dataset."""
    data = tables.relations[key].data
    if not isinstance(data, Files) or data.format != "parquet":
        tables.lazy[key] = None
    if key in tables.plan.datasets.values():
        with tables.bench.recorder.step("transform", _name(key)) as entry:
            _make_dataset(key, tables, entry)
    elif tables.wanted_again(key):
        _write_down(key, tables)


def _run(step: Step, tables: Tables) -> None:
    key = step.key
    with tables.bench.recorder.step(step.file.stage, step.file.name) as entry:
        if not tables.plan.uses.get(key):
            entry.status, entry.detail = "warn", "not run: no dataset uses it"
            if not step.calls_python:
                _look(step, tables)  # its mistakes are told all the same
            return
        _make(step, tables, entry)
        _hide(key, tables)
        if key in tables.plan.datasets.values():
            _make_dataset(key, tables, entry)
        elif tables.wanted_again(key):
            entry.rows = _write_down(key, tables).rows


def _make(step: Step, tables: Tables, entry: Entry) -> None:
    """The step's table among the others; not yet computed, where that is possible."""
    schema = _call(step, tables, entry) if step.calls_python else _look(step, tables)
    entry.detail = plural(len(schema.names), "column")
    if step.file.stage == "cleanse" and not {*MARKS}.isdisjoint(schema.names):
        _cleanse(step, tables, entry)


def _look(step: Step, tables: Tables) -> pa.Schema:
    """The columns that the step would give; it is computed when it is read."""
    relations = tables.read_by(step)
    if isinstance(step.code, PythonCode):
        bench = tables.bench
        with explaining(step.key, tables):
            relation = run_ibis(step.code, relations, engine=bench.engine, home=bench.home)
        sql = relation.data.sql if isinstance(relation.data, Query) else _ALL
    else:
        sql = step.code.text
        relation = Relation(Query(sql, relations))
    tables.relations[step.key] = relation
    tables.lazy[step.key] = step
    try:
        return tables.bench.engine.schema(sql, relations)
    except QueryError as error:
        raise step_error(step, error) from error


def _call(step: Step, tables: Tables, entry: Entry) -> pa.Schema:
    """Run Arrow in, Arrow out; its rows go straight to the scratch folder."""
    bench = tables.bench
    target = bench.scratch / f"{safe(step.key)}.parquet"
    made: list[Written] = []

    def save(reader: pa.RecordBatchReader) -> None:
        made.append(bench.engine.consume(reader, target))

    if isinstance(step.code, PythonCode):
        with explaining(step.key, tables):
            relations = tables.read_by(step)
            run_arrow(step.code, relations, engine=bench.engine, home=bench.home, save=save)
    tables.settle(step.key, made[0])
    entry.rows = made[0].rows
    return made[0].schema


def _cleanse(step: Step, tables: Tables, entry: Entry) -> None:
    key, bench = step.key, tables.bench
    written = _write(key, tables, bench.scratch / f"{safe(f'{key} marked')}.parquet")
    done = set_aside(
        written, _name(key), run=bench.run, engine=bench.engine, quarantine=bench.quarantine
    )
    tables.lazy.pop(key, None)
    tables.relations[key] = done.relation
    entry.rows, entry.repaired, entry.refused = done.rows, done.repaired, done.refused
    entry.detail = f"{plural(done.rows, 'row')} passed on, {sum(done.refused.values()):,} set aside"


def _make_dataset(key: str, tables: Tables, entry: Entry) -> None:
    """The promised columns, written where the snapshot will have them."""
    bench, promised = tables.bench, tables.bench.objects[_name(key)]
    where = tables.plan.where(key)
    with explaining(key, tables):
        fit = shape(promised, tables.relations[key], engine=bench.engine, where=where)
    again = tables.wanted_again(key)
    if again and not fit.same:
        _write_down(key, tables)
    target = bench.staging.folder / f"{safe(_name(key))}.parquet"
    ids = bench.staging.field_ids(_name(key), fit.schema)
    with explaining(key, tables, fit):
        written = bench.engine.write(
            fit.sql, {SOURCE: tables.relations[key]}, target, field_ids=ids
        )
    written = _without_erased(key, tables, written, same=fit.same)
    tables.datasets[_name(key)] = written
    if again and fit.same:
        tables.settle(key, written)
    entry.rows = written.rows
    size = f"{plural(written.rows, 'row')}, {plural(len(written.schema.names), 'column')}"
    entry.detail = (
        f"{size}; not promised, not published: {', '.join(fit.extra)}" if fit.extra else size
    )
    entry.status = "warn" if fit.extra else entry.status


def _at_sources(plan: Plan, relations: Mapping[str, Relation], bench: Bench) -> Tombstones | None:
    if bench.erased is None or not bench.erased.stones:
        return None
    raw = {key: _schema(relation, bench).names for key, relation in relations.items()}
    promised = {n: [p.name for p in o.properties] for n, o in bench.objects.items()}
    return returning.at_sources(plan, raw, promised, bench.erased)


def _hide(key: str, tables: Tables) -> None:
    """Take what was erased out of the table, before anything is computed from it."""
    relation, bench = tables.relations[key], tables.bench
    if tables.erased is None or not tables.erased.speaks_of(key):
        return
    with explaining(key, tables):
        schema = _schema(relation, bench)
        rest = returning.hidden(key, relation, schema, tables.erased)
        if gone := returning.count(key, relation, schema, tables.erased, bench.engine):
            bench.left_out[key] = gone
            tables.relations[key] = rest


def _schema(relation: Relation, bench: Bench) -> pa.Schema:
    return bench.engine.schema(_ALL, {SOURCE: relation})


def _without_erased(key: str, tables: Tables, written: Written, *, same: bool) -> Written:
    """The dataset without what was erased, for those that read it, too: sums must be those of the rows."""
    bench, name = tables.bench, _name(key)
    if bench.erased is None:
        return written
    rest = returning.drop(name, written, bench.erased, bench.engine)
    if rest.rows < written.rows:
        bench.left_out[name] = written.rows - rest.rows
        if same:
            tables.settle(key, rest)
        else:
            relation = tables.relations[key]
            schema = _schema(relation, bench)
            tables.relations[key] = returning.hidden(name, relation, schema, bench.erased)
    return rest


def _write_down(key: str, tables: Tables) -> Written:
    written = _write(key, tables, tables.bench.scratch / f"{safe(key)}.parquet")
    tables.settle(key, written)
    return written


def _write(key: str, tables: Tables, target: Path) -> Written:
    with explaining(key, tables):
        return tables.bench.engine.write(_ALL, {SOURCE: tables.relations[key]}, target)


def _name(key: str) -> str:
    return key.partition("/")[2]
