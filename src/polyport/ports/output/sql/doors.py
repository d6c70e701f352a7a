"""From a database's name to a session, and to what its catalogue may show."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from polyport.errors import NotFoundError, PolyportError
from polyport.expression import quote
from polyport.model import LATEST
from polyport.ports.output.sql.catalogue.types import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from polyport.access import View
    from polyport.access.sql import Session
    from polyport.model import Principal
    from polyport.ports.output import OutputContext

_KEPT: Final = 4096
"""Datasets whose columns are remembered."""


@dataclass(slots=True)
class Doors:
    """The products that can be reached, each by its newest port."""

    contexts: Mapping[str, OutputContext]
    """By product."""
    mesh: str
    """The name of the database that has all of them."""
    _columns: OrderedDict[tuple[str, str, str, str], Mapping[str, str]] = field(
        default_factory=OrderedDict
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, contexts: Sequence[OutputContext], mesh: str) -> Doors:
        """Those that ports with `contexts` are for."""
        newest: dict[str, OutputContext] = {}
        for each in sorted(contexts, key=lambda context: context.spec.major):
            newest[each.product.id] = each
        return cls(newest, mesh)

    def database(self, asked: str, user: str) -> str:
        """The database that `asked` means: clients ask for the user's name where they are told none.

        Raises:
            NotFoundError: There is none.
        """
        if asked in self.contexts or asked == self.mesh:
            return asked
        if asked in ("", user, "postgres"):
            return self.mesh
        raise NotFoundError(
            f'database "{asked}" does not exist',
            fix=f"{self.mesh} (all products), or {', '.join(sorted(self.contexts))}",
        )

    def session(self, database: str, principal: Principal, ref: str, purpose: str) -> Session:
        """A session in a database that there is.

        Raises:
            NotFoundError: No such snapshot.
        """
        mesh = database not in self.contexts
        context = next(iter(self.contexts.values())) if mesh else self.contexts[database]
        if context.sql is None:
            raise NotFoundError("consumers' SQL is not available here")
        return context.sql(principal, ref or LATEST, purpose=purpose, dialect="postgres", mesh=mesh)

    def concerned(self, database: str, names: frozenset[str]) -> list[OutputContext]:
        """The ports that a statement with these names is a request to: in the database of all, those that it names."""
        if database in self.contexts:
            return [self.contexts[database]]
        return [
            context
            for product, context in self.contexts.items()
            if product.lower() in names or any(n.lower() in names for n in context.objects)
        ]

    def sees(self, session: Session, database: str, purpose: str, ref: str) -> list[Table]:
        """What the catalogue may show to the session's principal."""
        mesh = database not in self.contexts
        products = self.contexts if mesh else {database: self.contexts[database]}
        found: list[Table] = []
        for context in products.values():
            at = LATEST if mesh else ref or LATEST
            try:
                with context.open(session.principal, at, purpose=purpose) as view:
                    found += self._tables(session, context, view)
            except PolyportError:
                continue  # nothing of it can be read now: not published, or not to be seen
        return found

    def _tables(self, session: Session, context: OutputContext, view: View) -> Iterator[Table]:
        product = context.product
        objects = context.objects
        for dataset in view.datasets:
            if dataset not in objects:
                continue
            yield Table(
                product.id,
                objects[dataset],
                self._types(session, view, dataset),
                product.purpose,
                frozenset(view.masked(dataset)),
            )

    def _types(self, session: Session, view: View, dataset: str) -> Mapping[str, str]:
        """The columns of a dataset with their SQL types; the same for all of the same sight of the same snapshot."""
        snapshot = view.snapshot
        key = (snapshot.product, snapshot.content_id, dataset, view.policy_class)
        with self._lock:
            if key in self._columns:
                self._columns.move_to_end(key)
                return self._columns[key]
        told = session.describe(f"SELECT * FROM {quote(snapshot.product)}.{quote(dataset)}")
        found = dict(zip(told.columns.names, told.types, strict=True))
        with self._lock:
            self._columns[key] = found
            if len(self._columns) > _KEPT:
                self._columns.popitem(last=False)
        return found
