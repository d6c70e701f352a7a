"""Publish: what has changed becomes visible in one step; what has not is shared with the snapshot before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from polyport.errors import NotFoundError
from polyport.model import Files, Relation
from polyport.pipeline.quality import Before
from polyport.pipeline.same import same_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from polyport.engine import Engine
    from polyport.model import Dataset, Snapshot
    from polyport.store import Store, Table

HISTORY = 30
"""How many earlier snapshots the quality gate looks back."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is about to be published, against the snapshot before."""

    tables: Mapping[str, Table]
    changed: tuple[str, ...]
    """Datasets that are new or whose rows, columns or key differ."""
    gone: tuple[str, ...]
    """Datasets of the snapshot before that are not promised any more."""

    @property
    def any(self) -> bool:
        """Whether there is anything to publish."""
        return bool(self.changed or self.gone)

    @property
    def told(self) -> str:
        """For a person: `costs, rates; unchanged: films`."""
        unchanged = [name for name in self.tables if name not in self.changed]
        parts = [", ".join(self.changed)] if self.changed else []
        parts += [f"unchanged: {', '.join(unchanged)}"] if unchanged else []
        parts += [f"no longer published: {', '.join(self.gone)}"] if self.gone else []
        return "; ".join(parts)


def before(store: Store, previous: Snapshot | None) -> Before:
    """What the quality gate compares with: the previous snapshot and up to 30 earlier ones.

    Raises:
        StoreError: The store cannot be read.
    """
    if previous is None:
        return Before({}, {}, {})
    tables = {name: _published(store, previous, name) for name in previous.datasets}
    earlier = list(_back(store, previous, HISTORY))
    history = {
        n: [s.datasets[n].rows for s in reversed(earlier) if n in s.datasets] for n in tables
    }
    return Before(tables, history, {n: _updated_at(store, previous, n) for n in tables})


def _published(store: Store, snapshot: Snapshot, dataset: str) -> Relation:
    files = store.files(snapshot, dataset)
    return Relation(Files(tuple(files), schema=snapshot.datasets[dataset].schema))


def _back(store: Store, snapshot: Snapshot, most: int = 0) -> Iterator[Snapshot]:
    """The snapshot and those before it, newest first, as far as they are kept; `most` 0: all."""
    number = 0
    while True:
        yield snapshot
        number += 1
        if snapshot.parent is None or number == most:
            return
        try:
            snapshot = store.snapshot(snapshot.product, snapshot.parent)
        except NotFoundError:  # expired: history ends here
            return


def _updated_at(store: Store, newest: Snapshot, dataset: str) -> datetime:
    """When the dataset's rows last changed: it has had the same files since."""
    files, at = store.files(newest, dataset), newest.committed_at
    for snapshot in _back(store, newest):
        try:
            same = store.files(snapshot, dataset) == files
        except NotFoundError:  # it had no such dataset, or has just expired
            return at
        if not same:
            return at
        at = snapshot.committed_at
    return at


def compare(
    written: Mapping[str, Table], *, store: Store, previous: Snapshot | None, engine: Engine
) -> Change:
    """The tables to publish; one that equals the previous snapshot's has that one's files.

    Raises:
        QueryError: A file of the previous snapshot cannot be read.
    """
    if previous is None:
        return Change(written, tuple(written), ())
    tables: dict[str, Table] = {}
    for name, table in written.items():
        held = previous.datasets.get(name)
        shared = held and _equal(table, held, _published(store, previous, name), engine=engine)
        files = tuple(map(Path, store.files(previous, name))) if shared else table.files
        tables[name] = replace(table, files=files)
    changed = tuple(n for n, table in tables.items() if table.files == written[n].files)
    return Change(tables, changed, tuple(n for n in previous.datasets if n not in written))


def _equal(table: Table, held: Dataset, relation: Relation, *, engine: Engine) -> bool:
    """Whether the same rows are there, in whatever order; cheap questions first."""
    if (table.rows, table.key) != (held.rows, held.key) or not table.schema.equals(held.schema):
        return False
    here = Relation(Files(tuple(map(str, table.files)), schema=table.schema))
    return same_rows(here, relation, table.schema.names, engine)
