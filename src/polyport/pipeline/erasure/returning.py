"""What was erased and comes again from a source does not get into a snapshot.

Rows are dropped from the dataset that they were erased from, and before that from the tables that their identifying
columns come from unchanged: all that is computed beside the dataset is what it were if the source did not send them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from polyport.expression import quote
from polyport.model import Query, Relation
from polyport.pipeline.erasure.tombstones import ANY
from polyport.pipeline.lineage.columns import unchanged
from polyport.pipeline.quality.aside import field_ids

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from polyport.engine import Engine, Written
    from polyport.pipeline.erasure.tombstones import Stone, Tombstones
    from polyport.pipeline.lineage.columns import Column
    from polyport.pipeline.plan import Plan


def drop(name: str, table: Written, erased: Tombstones, engine: Engine) -> Written:
    """The dataset without the rows that match a tombstone; written anew where there are any.

    Raises:
        QueryError: The engine failed.
        StoreError: No space, or no permission.
    """
    found = erased.condition(name, table.schema)
    if found is None:
        return table
    if not count(name, table.relation, table.schema, erased, engine):
        return table
    first = table.files[0]
    rest = replace(table.relation, where=f"NOT ({found.where})", params=found.params)
    written = engine.write(
        f"SELECT * FROM {quote(name)}",
        {name: rest},
        first.with_name(f"{first.stem}-without-erased.parquet"),
        field_ids=field_ids(pq.read_schema(first)),
    )
    for path in table.files:
        path.unlink()
    return written


def hidden(name: str, relation: Relation, schema: pa.Schema, erased: Tombstones) -> Relation:
    """The table of which `erased` speaks as `name`, as those see it that read it: without the same rows."""
    found = erased.condition(name, schema)
    if found is None:
        return relation
    return replace(_whole(relation), where=f"NOT ({found.where})", params=found.params)


def count(
    name: str, relation: Relation, schema: pa.Schema, erased: Tombstones, engine: Engine
) -> int:
    """How many rows `hidden` leaves out.

    Raises:
        QueryError: The engine failed.
    """
    found = erased.condition(name, schema)
    if found is None:
        return 0
    rows = replace(_whole(relation), where=found.where, params=found.params)
    with engine.query("SELECT count(*) AS n FROM held", {"held": rows}) as reader:
        return int(reader.read_all()["n"][0].as_py())


def _whole(relation: Relation) -> Relation:
    """The rows that `relation` shows, so that another condition can be set."""
    return Relation(Query("SELECT * FROM whole", {"whole": relation}))


def at_sources(
    plan: Plan,
    raw: Mapping[str, Sequence[str]],
    promised: Mapping[str, Sequence[str]],
    erased: Tombstones,
) -> Tombstones:
    """The same tombstones for the tables that the datasets' rows come from, by their keys.

    One stands only where its erasure was proved, or where no other dataset shows the same column: else rows would go
    from a dataset that was not named.

    Args:
        plan: The work of the build.
        raw: The columns of each input port's table, by key.
        promised: The columns of each dataset.
        erased: What was erased from the datasets.
    """
    found = _Sources(plan, promised, unchanged(plan, raw))
    return replace(erased, stones=tuple(s for one in erased.stones for s in found.of(one, erased)))


@dataclass(frozen=True, slots=True)
class _Sources:
    plan: Plan
    promised: Mapping[str, Sequence[str]]
    before: Mapping[Column, Column]

    def of(self, stone: Stone, erased: Tombstones) -> Iterator[Stone]:
        if stone.dataset not in self.plan.datasets:
            return
        anywhere = stone.columns == (ANY,)
        cells = [(name,) for name in self.promised[stone.dataset]]
        for columns in cells if anywhere else [stone.columns]:
            for key, named in self._furthest(stone.dataset, columns):
                others = [n for n in self.plan.datasets if n != stone.dataset]
                shown = [n for n in others if self._shows(n, key, named)]
                if stone.proved or all(_covered(stone, name, erased) for name in shown):
                    yield replace(stone, dataset=key, columns=(ANY, *named) if anywhere else named)

    def _furthest(self, dataset: str, columns: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
        """The table furthest back that has all the columns as they are, and their names there; none: []."""
        chains = [self._chain(dataset, column) for column in columns]
        for key in reversed(chains[0]):
            if all(key in chain for chain in chains):
                return [(key, tuple(chain[key] for chain in chains))]
        return []

    def _chain(self, dataset: str, column: str) -> dict[str, str]:
        """The tables that a dataset's column comes through as it is -> its name there, the nearest first."""
        at, made = (self.plan.datasets[dataset], column), dict[str, str]()
        while (at := self.before.get((at[0], at[1].lower()), ("", ""))) != ("", ""):
            made[at[0]] = at[1]
        return made

    def _shows(self, dataset: str, key: str, named: Sequence[str]) -> bool:
        """Whether a dataset has the columns `named` of the table `key` as they are."""
        names = self.promised[dataset]
        if self.plan.datasets[dataset] == key:
            return set(named) <= set(names)
        return set(named) <= {self._chain(dataset, name).get(key) for name in names}


def _covered(stone: Stone, dataset: str, erased: Tombstones) -> bool:
    """Whether the same went from another dataset, too."""
    return any(s.dataset == dataset and s.digests >= stone.digests for s in erased.stones)
