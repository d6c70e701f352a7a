"""From a database's name to a session, and to what its catalogue may show."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from polyport.errors import NotFoundError, PolyportError
from polyport.expression import quote
from polyport.model import LATEST
from polyport.ports.output.majors import Majors, ending
from polyport.ports.output.sql.catalogue.types import Table
from polyport.ports.output.sql.messages import Said

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from polyport.access import View
    from polyport.access.sql import Session
    from polyport.model import Principal
    from polyport.ports.output import OutputContext

_KEPT: Final = 4096
"""Datasets whose columns are remembered."""


@dataclass(slots=True)
class Doors:
    """The products that can be reached: each by its newest port, and older majors by their names."""

    majors: Majors
    mesh: str
    """The name of the database that has all of them."""
    _columns: OrderedDict[tuple[str, str, str, str], Mapping[str, str]] = field(
        default_factory=OrderedDict
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, contexts: Sequence[OutputContext], mesh: str) -> Doors:
        """Those that ports with `contexts` are for."""
        return cls(Majors.of(contexts), mesh)

    @property
    def databases(self) -> list[str]:
        """The names of all databases."""
        return [self.mesh, *self.majors.listed]

    def database(self, asked: str, user: str) -> str:
        """The database that `asked` means: clients ask for the user's name where they are told none.

        Raises:
            NotFoundError: There is none.
        """
        if self.majors.find(asked) or asked == self.mesh:
            return asked
        if asked in ("", user, "postgres"):
            return self.mesh
        near = get_close_matches(asked, self.databases, 1)
        known = f"{self.mesh} (all products), or {', '.join(self.majors.listed)}"
        raise NotFoundError(
            f'database "{asked}" does not exist',
            fix=f'did you mean "{near[0]}"? There are {known}' if near else f"there are {known}",
        )

    def session(self, database: str, principal: Principal, ref: str, purpose: str) -> Session:
        """A session in a database that there is.

        Raises:
            NotFoundError: No such snapshot.
            RetiredError: That major of the port is not served any more.
        """
        own = self.majors.find(database)
        context = own or next(iter(self.majors.newest.values()))
        if context.sql is None:
            raise NotFoundError("consumers' SQL is not available here")
        return context.sql(
            principal, ref or LATEST, purpose=purpose, dialect="postgres", mesh=own is None
        )

    def concerned(self, database: str, names: frozenset[str]) -> list[OutputContext]:
        """The ports that a statement with these names is a request to: in the database of all, those that it names."""
        own = self.majors.find(database)
        if own is not None:
            return [own]
        named = [c for name, c in self.majors.each.items() if name.lower() in names]
        newest = [
            context
            for product, context in self.majors.newest.items()
            if context not in named
            and (product.lower() in names or any(n.lower() in names for n in context.objects))
        ]
        return [*newest, *named]

    def endings(self, contexts: Iterable[OutputContext]) -> Iterator[tuple[str, Said]]:
        """Of each of these ports that is deprecated, its name, and what its users are told."""
        for context in contexts:
            found = ending(context)
            if found is not None:
                name = f"{context.product.id}@{context.spec.major}"
                yield name, Said("01P01", found.message, found.fix, severity="NOTICE")

    def own(self, database: str) -> list[OutputContext]:
        """The port that a database is of; none for that of all products."""
        found = self.majors.find(database)
        return [] if found is None else [found]

    def sees(self, session: Session, database: str, purpose: str, ref: str) -> list[Table]:
        """What the catalogue may show to the session's principal."""
        own = self.majors.find(database)
        found: list[Table] = []
        for name, context in (self.majors.listed if own is None else {database: own}).items():
            at = LATEST if own is None else ref or LATEST
            try:
                with context.open(session.principal, at, purpose=purpose) as view:
                    found += self._tables(session, name, context, view)
            except PolyportError:
                continue  # nothing of it can be read now: not published, retired, or not to be seen
        return found

    def _tables(
        self, session: Session, name: str, context: OutputContext, view: View
    ) -> Iterator[Table]:
        objects, end = context.objects, ending(context)
        about = context.product.purpose
        if end is not None:
            about = f"{about}\n{end.message}: {end.fix}".strip()
        for dataset in view.datasets:
            if dataset not in objects:
                continue
            yield Table(
                name,
                objects[dataset],
                self._types(session, name, view, dataset),
                about,
                frozenset(view.masked(dataset)),
            )

    def _types(self, session: Session, name: str, view: View, dataset: str) -> Mapping[str, str]:
        """The columns of a dataset with their SQL types; the same for all of the same sight of the same snapshot."""
        snapshot = view.snapshot
        key = (name, snapshot.content_id, dataset, view.policy_class)
        with self._lock:
            if key in self._columns:
                self._columns.move_to_end(key)
                return self._columns[key]
        told = session.describe(f"SELECT * FROM {quote(name)}.{quote(dataset)}")
        found = dict(zip(told.columns.names, told.types, strict=True))
        with self._lock:
            self._columns[key] = found
            if len(self._columns) > _KEPT:
                self._columns.popitem(last=False)
        return found
