"""What names mean in a session: the secured relations of products, as they are now."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from polyport.access import changes
from polyport.access.sql.told import SCHEMA, Teller, carried
from polyport.engine.walled.guard import folded
from polyport.engine.walled.universe import Named, Universe
from polyport.errors import AccessError, NotFoundError, QueryError, RetiredError
from polyport.model import LATEST, Relation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from polyport.access.sql import Dialect
    from polyport.access.view import View
    from polyport.model import Ref


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])")
"""What times begin with, and nothing else does: an id has eight digits or more before its `-`."""


class Reach(Protocol):
    """What a session reaches: products, as one principal through one type of port."""

    def open(self, product: str, ref: Ref) -> View:
        """A view of the product.

        Raises:
            NotFoundError: There is no such product with such a port, or no such snapshot.
        """
        ...

    def newest(self, product: str, ref: Ref) -> str:
        """The content id of the snapshot that `ref` names now."""
        ...

    def asked(self, product: str) -> None:
        """Count a statement against the limits of the product.

        Raises:
            LimitError: There were too many.
        """
        ...

    def products(self) -> Sequence[str]:
        """The ids of all products with such a port."""
        ...

    def majors(self) -> Mapping[str, str]:
        """Names like `films@1`, each of one major of such a port, and what to ask for instead of the product's id."""
        ...

    def teller(self, product: str) -> Teller:
        """What is told of the product in the schema `polyport`."""
        ...


@dataclass(frozen=True, slots=True)
class Table:
    """One table that a name means."""

    named: Named
    sources: tuple[tuple[View, str], ...]
    """The views and datasets that its rows come from; none for what the product tells of itself."""
    views: tuple[View, ...]
    """What has to hold for as long as it is read."""
    whole: bool = False
    """Whether its columns are not those of the dataset, so that each read is one of all of them."""

    @property
    def most(self) -> int:
        """How many rows one read of it may give; 0: any number."""
        return min((v.rows_limit for v, _ in self.sources if v.rows_limit), default=0)


@dataclass(frozen=True, slots=True)
class Seen:
    """All that the worker of a statement sees."""

    universe: Universe
    tables: Mapping[str, Sequence[Table]]
    """By the digests of their rows."""
    most: Mapping[str, int]
    """For those digests, of which one read may give so many rows only."""


@dataclass(slots=True)
class Names:
    """The tables that a session's statements have named so far, and the views that they are of."""

    product: str
    reach: Reach
    catalog: str
    dialect: Dialect = "duckdb"
    ref: Ref = LATEST
    pinned: bool = False
    began: Ref = ""
    """When a transaction began: what other products are seen as of. Empty: there is none."""
    tables: dict[tuple[str, ...], Table] = field(default_factory=dict)
    views: dict[tuple[str, Ref], View] = field(default_factory=dict)
    left: list[View] = field(default_factory=list)
    """Views that only open answers still need."""
    needed: Callable[[], Iterable[View]] = tuple
    """The views that open answers read."""
    _seen: Seen | None = None

    def seen(self) -> Seen:
        """All that has been named, for a worker."""
        if self._seen is None:
            self._seen = _seen(self.tables.values(), self.catalog, self.dialect)
        return self._seen

    def renew(self) -> None:
        """Outside a transaction: see what is current, and stand on what holds now."""
        if self.pinned:
            return
        if any(self._stale(view, product, ref) for (product, ref), view in self.views.items()):
            self.forget()
        if self.product and not self.tables:
            self._learn(self.product, self.view(self.product, self.ref_of(self.product)))

    def _stale(self, view: View, product: str, ref: Ref) -> bool:
        try:
            view.still()
        except AccessError:
            return True
        return (
            view.refusal is not None or self.reach.newest(product, ref) != view.snapshot.content_id
        )

    def begin(self, now: datetime) -> None:
        """From here on see what is current `now`.

        Raises:
            NotFoundError: There is no such snapshot.
        """
        self.renew()
        if self.product:
            self.view(self.product, self.ref)
        self.pinned, self.began = True, now.isoformat()

    def end(self) -> None:
        """See what is current, again."""
        began, self.pinned, self.began = self.began, False, ""
        if any(ref == began for _, ref in self.views):
            self.forget()

    def readable(self) -> Mapping[str, View]:
        """Views of all products in reach that are served, and have a snapshot."""
        found = {}
        for product in self.reach.products():
            # named by itself, it says why
            with suppress(NotFoundError, RetiredError, QueryError):
                found[product] = self.view(product, self.ref_of(product))
        return found

    def forget(self) -> None:
        """See everything anew; what open answers read stays open until they end."""
        self.left += self.views.values()
        self.views.clear()
        self.tables.clear()
        self._seen = None
        self.let_go()

    def let_go(self) -> None:
        """Close the views that nothing needs any more."""
        needed = {id(view) for view in self.needed()}
        for view in self.left:
            if id(view) not in needed:
                view.close()
        self.left = [view for view in self.left if id(view) in needed]

    def ref_of(self, product: str) -> Ref:
        """The snapshot of `product` that its datasets are seen as of.

        Raises:
            QueryError: The one that is asked for is of another product.
        """
        if product == self.product or (self.ref != LATEST and everywhere(self.ref)):
            return self.ref
        if self.ref != LATEST:
            raise QueryError(
                f"the snapshot {self.ref!r} that is asked for is of {self.product!r}, not of {product!r}",
                fix=f'say which of it: "{product}"."DATASET@{LATEST}"; or ask for a time, which is of all products',
            )
        return self.began or LATEST

    def view(self, product: str, ref: Ref) -> View:
        """The view of a product, opened once.

        Raises:
            NotFoundError: There is no such product with such a port, or no such snapshot.
        """
        if (product, ref) not in self.views:
            self.views[product, ref] = self.reach.open(product, ref)
        return self.views[product, ref]

    def _learn(self, product: str, view: View) -> None:
        """What can be named without being asked for: all of the session's own product."""
        self._seen = None
        alone = len(_alike(product, self.reach.products())) <= 1
        for dataset in view.datasets:
            if len(_alike(dataset, view.datasets)) == 1:  # else it says so where it is named
                names = ((dataset,), ("public", dataset), *(((product, dataset),) if alone else ()))
                self.tables[(folded(dataset),)] = self._table(view, dataset, names)

    def resolve(self, written: tuple[str, ...]) -> None:
        """Add the table that `written` means.

        Raises:
            NotFoundError: There is none.
            AccessError: The principal may see nothing of it.
            QueryError: It may mean two, or it is of another product than the snapshot that is asked for.
        """
        self._seen = None
        lowered = tuple(part.lower() for part in written)
        name = written[1:] if len(written) > 1 and lowered[0] == self.catalog.lower() else written
        schema, table = (name[0], name[-1]) if len(name) > 1 else ("", name[-1])
        if len(name) > 2:  # noqa: PLR2004 - schema and table
            raise NotFoundError(f"no table {'.'.join(written)!r}", fix="PRODUCT.DATASET")
        if schema.lower() == SCHEMA:
            self.tables[tuple(map(folded, name))] = self._told(table)
            return
        dataset, at, ref = table.partition("@")
        if at and not ref:
            raise NotFoundError(f"{table!r} names no snapshot", fix=f'"{dataset}@41"')
        product = self._product(schema, dataset, written)
        view = self.view(product, ref or self.ref_of(product))
        known = _one("dataset", dataset, view.datasets)
        found = known or _one("dataset", dataset, view.snapshot.datasets) or dataset
        self.tables[tuple(map(folded, name))] = self._table(view, found, (name,))

    def _product(self, schema: str, dataset: str, written: tuple[str, ...]) -> str:
        """The product that a table's schema means; without one, the session's own, or the only one that has it."""
        known = self.reach.products()
        if schema and schema.lower() != "public":
            names = {**self.reach.majors(), **{p: p for p in known}}
            found = names.get(_one("product", schema, names), "")
            if found:
                return found
            near = get_close_matches(schema, known, 1)
            raise NotFoundError(
                f"no product {schema!r} that can be asked here",
                where=".".join(written),
                fix=f"did you mean {near[0]!r}?" if near else f"products: {', '.join(known)}",
            )
        if self.product:
            return self.product
        having = [
            p for p, v in self.readable().items() if dataset.lower() in map(str.lower, v.datasets)
        ]
        if len(having) == 1:
            return having[0]
        several = " and ".join(f'"{p}"."{dataset}"' for p in having)
        raise NotFoundError(
            f"{dataset!r} is of several products" if having else f"no dataset {dataset!r}",
            where=".".join(written),
            fix=f"say which: {several}" if having else "SELECT * FROM polyport.datasets lists them",
        )

    def _table(self, view: View, dataset: str, names: tuple[tuple[str, ...], ...]) -> Table:
        digest = (
            f"{view.snapshot.product}/{view.snapshot.content_id}/{dataset}/{view.sight(dataset)}"
        )
        relation, rows = view.relation(dataset), view.snapshot.datasets[dataset].rows
        return Table(Named(digest, names, relation, rows), ((view, dataset),), (view,))

    def _told(self, table: str) -> Table:
        """A table of the schema `polyport`."""
        if table.startswith("changes|"):
            return self._changes(table)
        views: Iterable[View] = self.readable().values()
        if self.product:
            views = (self.view(self.product, self.ref),)
        rows = [self.reach.teller(v.snapshot.product).table(table, v) for v in views]
        seen = tuple(view for view in views if view.datasets)
        return Table(carried(table, pa.concat_tables(rows)), (), seen)

    def _changes(self, table: str) -> Table:
        """What turned a dataset of one snapshot into that of another."""
        _, dataset, *refs = table.split("|")
        if not 1 <= len(refs) <= 2:  # noqa: PLR2004 - before, after
            raise NotFoundError(f"no table {table!r}", fix="polyport.changes('DATASET', 41, 42)")
        before, *after = refs
        product = self._product("", dataset, (table,))
        old = self.view(product, before)
        new = self.view(product, after[0] if after else self.ref_of(product))
        digest = "/".join(
            (table, *(f"{v.snapshot.content_id}/{v.sight(dataset)}" for v in (old, new)))
        )
        relation = Relation(changes.rows(old, new, dataset))
        kept = (view.snapshot.datasets.get(dataset) for view in (old, new))
        rows = sum(each.rows for each in kept if each is not None)
        return Table(
            Named(f"{product}/{digest}", ((SCHEMA, table),), relation, rows),
            ((new, dataset),),
            (old, new),
            whole=True,
        )


def _seen(tables: Iterable[Table], catalog: str, dialect: str) -> Seen:
    found: dict[str, list[Table]] = {}
    for table in tables:
        found.setdefault(table.named.digest, []).append(table)
    named = tuple(
        replace(same[0].named, names=tuple(dict.fromkeys(n for t in same for n in t.named.names)))
        for same in found.values()
    )
    most = {
        digest: min((t.most for t in same if t.most), default=0) for digest, same in found.items()
    }
    return Seen(
        Universe(named, catalog, dialect), found, {digest: m for digest, m in most.items() if m}
    )


def everywhere(ref: Ref) -> bool:
    """Whether a ref means the same in every product: a time or `latest`, and no sequence, id or tag."""
    return ref == LATEST or _DATE.match(ref) is not None


def _alike(name: str, known: Iterable[str]) -> list[str]:
    """Those that SQL does not tell from `name`."""
    return [each for each in known if folded(each) == folded(name)]


def _one(what: str, name: str, known: Iterable[str]) -> str:
    """The one that `name` means; empty where there is none.

    Raises:
        QueryError: There are several.
    """
    found = _alike(name, known)
    if len(found) > 1:
        raise QueryError(
            f"the {what}s {' and '.join(map(repr, found))} differ by upper and lower case only",
            where=name,
            fix="SQL does not tell them apart: their owner renames one (polyport check)",
        )
    return found[0] if found else ""
