"""How sessions are opened: what a product reaches of its mesh, for one principal through one type of port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from polyport.access import configuration
from polyport.access.opening import Door, Kept, count
from polyport.access.sql.names import Names
from polyport.access.sql.session import WalledSession
from polyport.access.sql.told import Teller
from polyport.engine.walled.universe import Walls
from polyport.errors import NotFoundError
from polyport.model import LATEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from polyport.access.mapping import Mapped
    from polyport.access.sql import Dialect
    from polyport.access.view import View
    from polyport.descriptor.types import Port, Settings
    from polyport.engine.walled.pool import Workers
    from polyport.model import Principal, Ref


class Openable(Kept, Protocol):
    """A product that views can be opened on."""

    def open(
        self,
        principal: Principal,
        ref: Ref = LATEST,
        *,
        port: str = "",
        purpose: str = "",
        mapping: Mapped | None = None,
    ) -> View:
        """See `Product.open`."""
        ...


@dataclass(frozen=True, slots=True)
class SqlDoor:
    """An `OpenSql`: for one port of a product, and the ports of the same type of the products around it."""

    home: Openable
    spec: Port
    around: Callable[[], Mapping[str, Openable]]
    """Every product in reach by its id, `home` too."""
    workers: Workers
    catalog: str

    def __call__(
        self,
        principal: Principal,
        ref: Ref = LATEST,
        *,
        purpose: str = "",
        dialect: Dialect = "duckdb",
        mesh: bool = False,
    ) -> WalledSession:
        """A session of `principal`; see `OpenSql`.

        Raises:
            NotFoundError: No such snapshot.
        """
        product = "" if mesh else self.home.spec.id
        session = WalledSession(
            product,
            principal,
            Names(product, _Reached(self, principal, purpose), self.catalog, dialect),
            self.workers,
            walls(configuration.running_settings(self.home.control, self.home.spec)),
        )
        session.at(ref)
        return session


@dataclass(frozen=True, slots=True)
class _Reached:
    """A `Reach`."""

    door: SqlDoor
    principal: Principal
    purpose: str

    def open(self, product: str, ref: Ref) -> View:
        kept, spec = self._at(product)
        return Door(kept, kept.open, spec.name, spec)(self.principal, ref, purpose=self.purpose)

    def newest(self, product: str, ref: Ref) -> str:
        kept, _ = self._at(product)
        return kept.store.snapshot(kept.spec.id, ref).content_id

    def asked(self, product: str) -> None:
        count(self._at(product)[0], self.principal)

    def products(self) -> Sequence[str]:
        around = self.door.around()
        return [name for name, kept in around.items() if self._port(kept)]

    def majors(self) -> Mapping[str, str]:
        around = self.door.around()
        return {
            f"{name}@{port.major}": name if port == self._port(kept) else f"{name}@{port.major}"
            for name, kept in around.items()
            for port in self._ports(kept)
        }

    def teller(self, product: str) -> Teller:
        kept, port = self._at(product)
        return Teller(
            kept.spec,
            lambda: kept.store.history(kept.spec.id),
            lambda snapshot: kept.ledger.report(kept.spec.id, snapshot),
            kept.spec.promised(port),
        )

    def _at(self, product: str) -> tuple[Openable, Port]:
        if product == self.door.home.spec.id:
            return self.door.home, self.door.spec
        around = self.door.around()
        name, _, major = product.rpartition("@")
        kept = around.get(product)
        spec = self._port(kept) if kept is not None else None
        if kept is None and name in around:
            kept = around[name]
            spec = next((p for p in self._ports(kept) if str(p.major) == major), None)
        if kept is None or spec is None:
            raise NotFoundError(
                f"{product!r} has no port of the type {self.door.spec.type!r}",
                fix=f"products that have: {', '.join(self.products())}",
            )
        return kept, spec

    def _port(self, kept: Openable) -> Port | None:
        """The newest port of the product that is of the same type."""
        if kept.spec.id == self.door.home.spec.id:
            return self.door.spec
        return max(self._ports(kept), key=lambda port: port.major, default=None)

    def _ports(self, kept: Openable) -> list[Port]:
        """The ports of the product that are of the same type: its majors."""
        return [p for p in kept.spec.outputs if p.type == self.door.spec.type]


def walls(settings: Settings) -> Walls:
    """What one statement may take, as the product's settings say."""
    return Walls(**settings.sql)
