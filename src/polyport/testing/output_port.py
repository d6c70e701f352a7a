"""The output ports' conformance suite: subclass it, say how a consumer reads your port, and run it with pytest."""

from __future__ import annotations

import textwrap
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import pytest

from polyport.errors import PolyportError
from polyport.model import LATEST, OWNER, Principal
from polyport.product import Product

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from polyport.model import Ref

ACCOUNTANT = Principal("ann", frozenset({"accountant"}))
PARTNER = Principal("pat", frozenset({"partner"}), {"studio": "Fox"})
STRANGER = Principal("eve")

ROWS = [
    "1,Alien,1979-05-25,Fox,11.50",
    "2,Dune,1984-12-14,Universal,40.25",
    '3,"It\'s, ""Heat""",1995-12-15,Fox,',
    "4,Žižek — 東京,,Fox,0.10",
]

_FILES = {
    "dataproduct.odps.yaml": """
        apiVersion: v1.1.0
        kind: DataProduct
        id: films
        name: Films
        version: 1.0.0
        status: active
        domain: testing
        description: {purpose: What every output port must show alike.}
        inputPorts: [{name: sheet, version: 1.0.0, contractId: sheet-input}]
        outputPorts: [{name: PORT, type: PORT, version: 1.0.0, contractId: films}]
        team: {name: Testing, members: [{username: ann@example.com, role: owner}]}
        """,
    "contracts/films.odcs.yaml": """
        apiVersion: v3.2.0
        kind: DataContract
        id: films
        name: Films
        version: 1.0.0
        status: active
        schema:
          - name: films
            properties:
              - {name: id, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true}
              - {name: title, logicalType: string, physicalType: VARCHAR}
              - {name: released, logicalType: date, physicalType: DATE}
              - {name: studio, logicalType: string, physicalType: VARCHAR}
              - {name: cost, logicalType: number, physicalType: "DECIMAL(18,2)"}
        """,
    "polyport.yaml": """
        inputs:
          sheet: {type: files, path: inputs/*.csv}
        access:
          agreements: optional
          roles:
            accountant: {}
            partner: {rows: "studio = principal.studio", mask: {cost: 'null'}, columns: [id, title, cost]}
        """,
    "transform/films.sql": """
        SELECT id::BIGINT AS id, title, released::DATE AS released, studio, cost::DECIMAL(18,2) AS cost FROM sheet
        """,
}


def make_product(folder: Path, port: str) -> Product:
    """A small product in `folder` with one output port of type `port`, built once."""
    for name, text in _FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        body = textwrap.dedent(text).lstrip()
        if name.endswith(".odps.yaml"):
            body = body.replace("PORT", port).replace(", contractId: sheet-input", "")
        path.write_text(body, "utf-8")
    write_rows(folder, ROWS)
    product = Product.load(folder)
    product.build()
    return product


def write_rows(folder: Path, rows: list[str]) -> None:
    """Make `rows` (id, title, released, studio, cost) the product's input."""
    path = folder / "inputs" / "films.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["id,title,released,studio,cost", *rows, ""]), "utf-8")


class OutputPortTests(ABC):
    """Each test holds for every output port there is or will be."""

    port: str
    """The port's type, as registered."""

    @abstractmethod
    def read(self, product: Product, who: Principal, ref: Ref) -> list[dict[str, Any]]:
        """The rows of dataset `films` in key order, as a consumer gets them through the port's own protocol.

        Values as Python has them: int, str, date, Decimal, None.

        Raises:
            PolyportError: The port refused.
        """

    @pytest.fixture
    def product(self, tmp_path: Path) -> Iterator[Product]:
        """The product under test, with one snapshot."""
        with make_product(tmp_path / "films", self.port) as made:
            yield made

    def test_it_shows_the_rows_of_the_snapshot(self, product: Product) -> None:
        """A port shows what a plain scan of the same snapshot shows, value by value and type by type."""
        assert self.read(product, ACCOUNTANT, LATEST) == _scan(product, ACCOUNTANT)
        assert len(_scan(product, ACCOUNTANT)) == len(ROWS)

    def test_rows_are_filtered_and_columns_masked(self, product: Product) -> None:
        """The policy holds here as it does everywhere."""
        rows = self.read(product, PARTNER, LATEST)
        assert rows == _scan(product, PARTNER)
        assert [row["id"] for row in rows] == [1, 3, 4]
        assert {row["cost"] for row in rows} == {None}
        assert set(rows[0]) == {"id", "title", "cost"}

    def test_a_stranger_gets_nothing(self, product: Product) -> None:
        """No role, no rows; and the attempt is recorded."""
        with pytest.raises(PolyportError):
            self.read(product, STRANGER, LATEST)
        assert "denied" in {read["outcome"] for read in product.ledger.reads("films")}

    def test_a_pinned_snapshot_outlives_a_publish(self, product: Product) -> None:
        """Time travel: yesterday's rows are still there under yesterday's names."""
        first = product.history()[-1]
        before = self.read(product, ACCOUNTANT, LATEST)
        write_rows(product.spec.home, [*ROWS[1:], "9,New,2026-01-01,Fox,1.00"])
        product.build()
        for ref in (str(first.sequence), first.id, first.committed_at.isoformat()):
            assert self.read(product, ACCOUNTANT, ref) == before
        assert [row["id"] for row in self.read(product, ACCOUNTANT, LATEST)] == [2, 3, 4, 9]

    def test_bad_data_is_never_visible(self, product: Product) -> None:
        """A refused build leaves the old snapshot on the port."""
        before = self.read(product, ACCOUNTANT, LATEST)
        write_rows(product.spec.home, [*ROWS, ROWS[0]])
        with pytest.raises(PolyportError):
            product.build()
        assert self.read(product, ACCOUNTANT, LATEST) == before

    def test_an_unknown_snapshot_is_an_error(self, product: Product) -> None:
        """Never an empty answer."""
        with pytest.raises(PolyportError):
            self.read(product, ACCOUNTANT, "999")

    def test_each_read_is_metered(self, product: Product) -> None:
        """Usage is counted in one place, whatever the port: who, which port, which snapshot, how many rows."""
        self.read(product, ACCOUNTANT, LATEST)
        mine = [r for r in product.ledger.reads("films") if r["port"] == self.port and r["rows"]]
        assert mine
        assert {r["dataset"] for r in mine} == {"films"}
        assert sum(r["rows"] for r in mine) >= len(ROWS)
        assert {r["snapshot"] for r in mine} == {product.history()[-1].id}


def _scan(product: Product, who: Principal) -> list[dict[str, Any]]:
    from polyport.access import Order  # noqa: PLC0415 - keeps the suite's own imports to what a port needs

    with product.open(who, port="suite") as view:
        rows: list[dict[str, Any]] = view.scan("films", order=[Order("id")]).read_all().to_pylist()
    return rows


__all__ = [
    "ACCOUNTANT",
    "OWNER",
    "PARTNER",
    "STRANGER",
    "OutputPortTests",
    "make_product",
    "write_rows",
]
