"""Rows that failed: those that a build set aside, and those that break a rule; under the policy, as all rows are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count as count_up
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.types as pt

from polyport.access.mapping import Shape
from polyport.access.statements import digest
from polyport.expression import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from polyport.access.view import View
    from polyport.model import Dataset, Principal, Relation, Snapshot


HELD = "held/"
"""What the names of tables begin with that hold the rows which held a build back: `held/costs`. The owner's."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """Rows that one table of a run set aside."""

    name: str
    """The dataset, `cleanse/STEP` for what a step refused, or `held/DATASET`."""
    dataset: str
    """The dataset whose policy speaks of them; empty where they never were rows of one: then only the owner's does."""
    rows: int


@dataclass(frozen=True, slots=True)
class Breaking:
    """The rows of a published dataset that break a rule."""

    dataset: str
    columns: tuple[str, ...]
    """The columns that the rule looks at: who is not shown them as they are cannot be told which rows break it."""
    sql: str
    """A SELECT of whole rows, over the datasets by name."""
    params: Mapping[str, Any] = field(default_factory=dict)
    groups: bool = False
    """Whether it gives more rows than the rule counts: all that are alike, not those alone that repeat another."""


class Failing(Protocol):
    """All that a management port is given to read failing rows by."""

    def set_aside(self, run: str) -> Sequence[SetAside]:
        """What the run set aside."""
        ...

    def open(self, principal: Principal, run: str, *, purpose: str = "") -> View:
        """A view whose datasets are what the run set aside, those of no dataset for the owner only; close it.

        Besides the dataset's columns each has two more, whose names `Part` says: the rule and the reason.
        """
        ...

    def snapshot(self, run: str) -> Snapshot:
        """The snapshot that the run published, or found unchanged.

        Raises:
            NotFoundError: There is none: it was held back, or it is not kept any more.
        """
        ...

    def breaking(self, snapshot: Snapshot, dataset: str, rule: str) -> Breaking:
        """The rows of the dataset that break the rule, as the contract says it now.

        Raises:
            NotFoundError: There is no such rule, or no single rows break it.
            QualityError: It cannot be run.
        """
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """What one table of a run set aside, as a relation with the columns of its dataset."""

    dataset: Dataset
    """As the policy knows it."""
    relation: Relation
    """The dataset's columns, then those two."""
    rule: str
    """What the column is called that says which rule set the row aside."""
    reason: str


@dataclass(frozen=True, slots=True)
class Aside(Shape):
    """Adds rule and reason to each row."""

    run: str
    parts: Mapping[str, Part]

    @property
    def digest(self) -> str:
        """See `Shape`."""
        return digest(self.run, sorted(self.parts))

    def shown(self, snapshot: Snapshot) -> Snapshot:
        """See `Shape`."""
        return replace(snapshot, datasets={n: _shown(n, p) for n, p in self.parts.items()})

    def source(self, snapshot: Snapshot, name: str) -> Dataset:  # noqa: ARG002
        """See `Shape`."""
        return self.parts[name].dataset

    def real(self, name: str, source: Dataset, columns: Iterable[str]) -> tuple[str, ...]:  # noqa: ARG002
        """See `Shape`."""
        return tuple(column for column in columns if column in source.schema.names)

    def relation(
        self, name: str, source: Dataset, secured: Relation, masked: Mapping[str, str]
    ) -> tuple[Relation, dict[str, str]]:
        """See `Shape`."""
        part = self.parts[name]
        columns = secured.columns or {n: quote(n) for n in source.schema.names}
        more = {n: quote(n) for n in (part.rule, part.reason)}
        return replace(secured, data=part.relation.data, columns={**columns, **more}), dict(masked)


def _shown(name: str, part: Part) -> Dataset:
    more = [pa.field(n, pa.string()) for n in (part.rule, part.reason)]
    return replace(part.dataset, name=name, schema=pa.schema([*part.dataset.schema, *more]))


def plain(view: View, dataset: str) -> frozenset[str]:
    """The columns of the dataset that the principal is shown as they are."""
    return frozenset(view.schema(dataset).names) - view.masked(dataset).keys()


def untold(view: View, wanted: Breaking) -> str:
    """Why the principal cannot be told which rows break a rule; empty where it can."""
    if wanted.dataset not in view.datasets:
        return "you see nothing of the dataset"
    if not plain(view, wanted.dataset).issuperset(wanted.columns):
        return "the rule looks at columns that you do not see as they are"
    return ""


def page(
    view: View, dataset: str, breaking: Breaking | None = None, *, limit: int, offset: int = 0
) -> pa.Table:
    """Rows of a dataset (where given: those that break a rule) in one order: what is alike, its key, the rest."""
    return counted_page(view, dataset, breaking, limit=limit, offset=offset)[0]


def counted_page(
    view: View, dataset: str, breaking: Breaking | None = None, *, limit: int, offset: int = 0
) -> tuple[pa.Table, int]:
    """The same, and how many such rows the principal sees, by one read."""
    shown = view.schema(dataset)
    alike = breaking.columns if breaking and breaking.groups else ()
    keys = (*alike, *view.dataset(dataset).key)
    first = [name for name in dict.fromkeys(keys) if name in shown.names]
    rest = [f.name for f in shown if f.name not in first and not pt.is_nested(f.type)]
    order = ", ".join(f"{quote(name)} NULLS LAST" for name in (*first, *rest))
    ordered = f" ORDER BY {order}" if order else ""
    number = next(n for n in (f"_all{'_' * i}" for i in count_up()) if n not in shown.names)
    counted = f"SELECT *, count(*) OVER () AS {quote(number)} FROM ({_rows(dataset, breaking)})"
    sql = f"{counted}{ordered} LIMIT {int(limit)} OFFSET {int(offset)}"
    found = _read(view, dataset, sql, breaking, tuple(shown.names), limit)
    whole = found[number][0].as_py() if found.num_rows else 0
    if not found.num_rows and offset:  # beyond the last row, none says how many there are
        whole = count(view, dataset, breaking)
    return found.drop_columns([number]), whole


def count(view: View, dataset: str, breaking: Breaking | None = None) -> int:
    """How many such rows the principal sees."""
    sql = f"SELECT count(*) AS n FROM ({_rows(dataset, breaking)})"
    read = breaking.columns if breaking else ()
    return int(_read(view, dataset, sql, breaking, read, 1)["n"][0].as_py())


def _rows(dataset: str, breaking: Breaking | None) -> str:
    return breaking.sql if breaking else f"SELECT * FROM {quote(dataset)}"


def _read(
    view: View,
    dataset: str,
    sql: str,
    breaking: Breaking | None,
    columns: tuple[str, ...],
    limit: int,
) -> pa.Table:
    params = breaking.params if breaking else {}
    return view.select(dataset, (sql, params), columns=columns, limit=limit).read_all()
