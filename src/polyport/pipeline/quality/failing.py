"""Rows that failed, found again: what a run set aside, and the SQL of those that break a rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import pyarrow.parquet as pq

from polyport.access.failing import HELD, Aside, Breaking, Part, SetAside
from polyport.engine import Written
from polyport.errors import NotFoundError
from polyport.expression import quote
from polyport.model import Dataset, Files, Query, Relation, Snapshot
from polyport.pipeline.folders import safe
from polyport.pipeline.quality import aside, held
from polyport.pipeline.quality.checks import Duplicates, Rows
from polyport.pipeline.quality.compile import compile_checks
from polyport.pipeline.quality.types import Candidate
from polyport.pipeline.shape import sql_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from polyport.access.view import View
    from polyport.descriptor.types import DataProduct, SchemaObject
    from polyport.engine import Engine
    from polyport.ledger import Ledger
    from polyport.model import Principal, Run
    from polyport.pipeline.quality.checks import Check
    from polyport.store import Store

See: TypeAlias = "Callable[[Principal, str, Snapshot, Aside], View]"
"""Gives a view for a principal and a purpose: of the parts instead of the snapshot's datasets."""
_SOURCE = "source"


@dataclass(frozen=True, slots=True)
class FailingRows:
    """`access.failing.Failing` for one product."""

    product: DataProduct
    quarantine: Path
    """The product's folder of it."""
    engine: Engine
    store: Store
    ledger: Ledger
    see: See
    compiled: dict[tuple[str, str], tuple[Check, ...]] = field(default_factory=dict)
    """By snapshot and dataset: the newest snapshot's only."""

    def set_aside(self, run: str) -> Sequence[SetAside]:
        """What the run set aside, each table that did once."""
        return [
            SetAside(f.name, f.dataset, pq.read_metadata(f.path).num_rows)
            for f in self._files(self._run(run))
        ]

    def open(self, principal: Principal, run: str, *, purpose: str = "") -> View:
        """See `access.failing.Failing`.

        Raises:
            NotFoundError: There is no such run.
        """
        found = self._run(run)
        whole = principal.owns(self.product.id)
        parts = {
            f.name: self._part(f, whole=whole)
            for f in self._files(found)
            if whole or f.dataset in self.product.objects
        }
        datasets = {name: part.dataset for name, part in parts.items()}
        stands_for = Snapshot(self.product.id, run, 0, None, found.started_at, datasets, run=run)
        return self.see(principal, purpose, stands_for, Aside(run, parts))

    def snapshot(self, run: str) -> Snapshot:
        """See `access.failing.Failing`."""
        found = self._run(run)
        if found.outcome not in ("published", "unchanged") or not found.snapshot:
            raise NotFoundError(
                f"the run {run!r} published nothing, and its rows were not kept",
                where=self.product.id,
                fix="those that held it back are kept as held/DATASET, for the owner",
            )
        return self.store.snapshot(self.product.id, found.snapshot)

    def breaking(self, snapshot: Snapshot, dataset: str, rule: str) -> Breaking:
        """See `access.failing.Failing`."""
        checks = {c.rule: c for c in self._checks(snapshot, dataset)}
        if rule not in checks:
            raise NotFoundError(
                f"the contract has no rule {rule!r} of {dataset!r} any more",
                where=self.product.id,
                fix="the report of the next build is of the rules as they are now",
            )
        made = _breaking(checks[rule])
        if made is None:
            raise NotFoundError(
                f"no single rows break {rule!r}", where=self.product.id, fix="the report says why"
            )
        return made

    def _run(self, run: str) -> Run:
        found = self.ledger.run(self.product.id, run)
        if found is None:
            raise NotFoundError(f"no run {run!r}", where=self.product.id)
        return found

    def _checks(self, snapshot: Snapshot, dataset: str) -> tuple[Check, ...]:
        key = snapshot.content_id, dataset
        if key not in self.compiled:
            candidates = {
                n: self._candidate(snapshot, thing)
                for n, thing in self.product.objects.items()
                if n in snapshot.datasets
            }
            if dataset not in candidates:
                raise NotFoundError(f"no dataset {dataset!r}", where=self.product.id)
            for old in [k for k in self.compiled if k[0] != snapshot.content_id]:
                self.compiled.pop(old, None)
            found = compile_checks(candidates[dataset], datasets=candidates, engine=self.engine)
            self.compiled[key] = found
        return self.compiled[key]

    def _candidate(self, snapshot: Snapshot, thing: SchemaObject) -> Candidate:
        """A published dataset as the gate saw it; a rule's SQL is written from its columns, not from its files."""
        held = snapshot.datasets[thing.name]
        return Candidate(thing, Written((), held.schema, held.rows, 0))

    def _files(self, run: Run) -> Iterator[_File]:
        folder = self.quarantine / safe(run.id)
        by_rules = {aside.file_name(n, run.id): n for n in self.product.objects}
        by_steps = {f"{safe(s.name)}.parquet": s.name for s in run.steps if s.stage == "cleanse"}
        for path in sorted(folder.glob("*.parquet")) if folder.is_dir() else ():
            if path.name in by_rules:
                yield _File(path, by_rules[path.name], by_rules[path.name])
            else:
                yield self._by_step(path, by_steps.get(path.name, ""), run)

    def _by_step(self, path: Path, step: str, run: Run) -> _File:
        """What a step refused; else of a dataset that no contract promises any more, which no policy speaks of."""
        if not step:
            rest = path.stem.removesuffix(held.SUFFIX)
            name = rest.removesuffix(f"-{run.id}")
            return _File(path, f"{HELD}{name}" if path.stem.endswith(held.SUFFIX) else name, "")
        return _File(path, f"cleanse/{step}", self._published_by(run, step))

    def _published_by(self, run: Run, step: str) -> str:
        """The dataset that the cleanse step's table became as it was in that run; empty where there is none.

        Behind a transform its rows are not yet those of a dataset: what that would have left out, hidden or made of
        them is not known, so no policy of a dataset speaks of them.
        """
        transformed = any(s.stage == "transform" and s.name == step for s in run.steps)
        return step if step in self.product.objects and not transformed else ""

    def _part(self, file: _File, *, whole: bool) -> Part:
        files = Files((str(file.path),), schema=pq.read_schema(file.path))
        promised = self.product.objects.get(file.dataset)
        if promised is None or (whole and file.by_step):
            columns = {n: quote(n) for n in _own(files.schema)}
        elif file.by_step:
            columns = _cast(promised, files.schema, self.engine.dialect)
        else:
            columns = _given_back(promised, files.schema)
        return self._made(file, promised, files, columns)

    def _made(
        self,
        file: _File,
        promised: SchemaObject | None,
        files: Files,
        columns: Mapping[str, str],
    ) -> Part:
        rule, reason = _free("_rule", columns), _free("_reason", columns)
        listed = {**columns, rule: quote("_rule"), reason: quote("_reason")}
        sql = ", ".join(f"{made} AS {quote(name)}" for name, made in listed.items())
        data = Query(f"SELECT {sql} FROM {_SOURCE}", {_SOURCE: Relation(files)})
        made = self.engine.schema(data.sql, data.relations)
        schema = made.remove(made.get_field_index(rule))
        schema = schema.remove(schema.get_field_index(reason))
        key = tuple(k for k in promised.key if k in columns) if promised else ()
        dataset = Dataset(file.dataset or file.name, schema, key, 0)
        return Part(dataset, Relation(data), rule, reason)


@dataclass(frozen=True, slots=True)
class _File:
    """A quarantine file of a run."""

    path: Path
    name: str
    dataset: str
    """The dataset of whose rows they are; empty: of none."""

    @property
    def by_step(self) -> bool:
        """Whether a step refused its rows; else a rule of the contract did."""
        return self.name != self.dataset


def _own(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if name not in aside.ADDED]


def _given_back(promised: SchemaObject, schema: pa.Schema) -> dict[str, str]:
    """The columns as the dataset calls them: one that is called `_rule` itself was written as `_rule_`."""
    called = {f"{n}_": n for n in aside.ADDED if any(p.name == n for p in promised.properties)}
    return {called.get(name, name): quote(name) for name in _own(schema)}


def _cast(promised: SchemaObject, schema: pa.Schema, dialect: str) -> dict[str, str]:
    """The promised columns among those of a step, typed as promised: what does not fit is null, and fits no filter."""
    folded = {name.casefold(): name for name in reversed(_own(schema))}
    columns = {}
    for each in promised.properties:
        name = each.name if each.name in schema.names else folded.get(each.name.casefold())
        if name is not None:
            kind = sql_type(each.physical_type, f"{promised.name}.{each.name}", dialect)
            columns[each.name] = f"TRY_CAST({quote(name)} AS {kind})" if kind else quote(name)
    return columns


def _free(name: str, taken: Mapping[str, str]) -> str:
    while name in taken:
        name += "_"
    return name


def _breaking(check: Check) -> Breaking | None:
    """The rows that break a compiled rule; None for a rule that is not one of single rows."""
    found = held.broken(check)
    if found is None or not isinstance(check.how, Rows | Duplicates):
        return None
    groups = isinstance(check.how, Duplicates)
    return Breaking(check.dataset, check.how.columns, *found, groups=groups)
