"""The output ports' conformance suite: subclass it, say how a consumer reads your port, and run it with pytest."""

from __future__ import annotations

import hashlib
import textwrap
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from polyport.errors import AccessError, PolyportError
from polyport.model import LATEST, OWNER, Principal
from polyport.product import Product

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from polyport.access.agreements import Agreement
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
          agreements: AGREEMENTS
          roles:
            accountant: {}
            partner: {rows: "studio = principal.studio", mask: {cost: 'null'}, columns: [id, title, cost]}
        """,
    "transform/films.sql": """
        SELECT id::BIGINT AS id, title, released::DATE AS released, studio, cost::DECIMAL(18,2) AS cost FROM sheet
        """,
}


def make_product(
    folder: Path, port: str, *, agreements: str = "optional", rows: Sequence[str] = ROWS
) -> Product:
    """A small product in `folder` with one output port of type `port`, built once of `rows`."""
    for name, text in _FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        body = textwrap.dedent(text).lstrip().replace("AGREEMENTS", agreements)
        if name.endswith(".odps.yaml"):
            body = body.replace("PORT", port).replace(", contractId: sheet-input", "")
        path.write_text(body, "utf-8")
    write_rows(folder, rows)
    product = Product.load(folder)
    product.build()
    return product


def write_rows(folder: Path, rows: Sequence[str]) -> None:
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

    @abstractmethod
    def pieces(self, product: Product, who: Principal) -> Iterator[object]:
        """What the port hands over of all of `films`, piece by piece as it is asked for: pages, or parts of an answer.

        Raises:
            Exception: The port refused to go on, or broke off.
        """

    @pytest.fixture
    def agreed(self, tmp_path: Path) -> Iterator[Product]:
        """The product, which asks for a data sharing agreement."""
        with make_product(tmp_path / "agreed", self.port, agreements="required") as made:
            yield made

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

    def test_where_agreements_are_required_a_role_is_not_enough(self, agreed: Product) -> None:
        """Whoever has none is refused, told so, and metered as denied."""
        with pytest.raises(PolyportError, match="no data sharing agreement"):
            self.read(agreed, ACCOUNTANT, LATEST)
        assert {r["outcome"] for r in agreed.ledger.reads("films")} == {"denied"}

    def test_an_agreement_gives_its_role_rows_and_columns(self, agreed: Product) -> None:
        """And no more, whatever the principal's own roles are."""
        agree(agreed, PARTNER, "partner", columns=["id", "title"])
        found = self.read(
            agreed, Principal("pat", frozenset({"accountant"}), PARTNER.attributes), LATEST
        )
        assert [set(row) for row in found] == [{"id", "title"}] * 3
        assert [row["id"] for row in found] == [1, 3, 4]

    def test_a_revoked_agreement_stops_the_next_read(self, agreed: Product) -> None:
        """Nothing that was kept from the reads before is handed out."""
        found = agree(agreed, ACCOUNTANT, "accountant")
        assert len(self.read(agreed, ACCOUNTANT, LATEST)) == len(ROWS)
        agreed.desk().decide(found.id, "revoked", by="owner", note="the project ended")
        with pytest.raises(PolyportError, match="the project ended"):
            self.read(agreed, ACCOUNTANT, LATEST)

    def test_an_expired_agreement_stops_the_next_read(self, agreed: Product) -> None:
        """To the second, without anybody's doing."""
        end = datetime(2030, 1, 1, tzinfo=UTC)
        agree(agreed, ACCOUNTANT, "accountant", end=end)
        agreed.clock = lambda: end - timedelta(seconds=1)
        assert len(self.read(agreed, ACCOUNTANT, LATEST)) == len(ROWS)
        agreed.clock = lambda: end
        with pytest.raises(PolyportError, match="ended on 2030-01-01"):
            self.read(agreed, ACCOUNTANT, LATEST)

    @pytest.mark.parametrize("how", ["revoked", "expired"])
    @pytest.mark.parametrize("again", [False, True], ids=["first", "kept"])
    def test_what_is_being_read_does_not_go_on(self, tmp_path: Path, how: str, again: bool) -> None:
        """An open answer ends with an error, never as if it were the whole; one kept from before, too."""
        end = datetime(2030, 1, 1, tzinfo=UTC)
        words = (hashlib.sha256(str(n).encode()).hexdigest() for n in range(MANY))
        rows = [f"{n},{word},,Fox,1.00" for n, word in enumerate(words)]
        with make_product(tmp_path / "p", self.port, agreements="required", rows=rows) as product:
            now = [end - timedelta(seconds=1)]
            product.clock = lambda: now[0]
            found = agree(product, ACCOUNTANT, "accountant", end=end)
            if again:
                assert len(list(self.pieces(product, ACCOUNTANT))) > 1
            begun = self.pieces(product, ACCOUNTANT)
            assert next(begun)
            if how == "revoked":
                product.desk().decide(found.id, "revoked", by="owner", note="it ended")
            else:
                now[0] = end
            with pytest.raises(AccessError, match="ended"):
                list(begun)


MANY = 120_000
"""Rows of an answer that is not sent in one piece."""


def agree(
    product: Product,
    who: Principal,
    role: str,
    *,
    columns: Sequence[str] = (),
    end: datetime | None = None,
) -> Agreement:
    """An active agreement of `who` on all ports of `product`."""
    own = [{"property": "polyport.columns", "value": list(columns)}] if columns else []
    asked = {
        "description": {"purpose": "testing"},
        "provider": {"outputPortId": "*"},
        "consumer": {"userId": who.id},
        "roles": [{"role": role}],
        **({"customProperties": own} if own else {}),
        **({"endTimestamp": end.isoformat()} if end else {}),
    }
    made, _ = product.desk().request(asked, by=who.id)
    return product.desk().decide(made.id, "approved", by="owner")


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
    "agree",
    "make_product",
    "write_rows",
]
