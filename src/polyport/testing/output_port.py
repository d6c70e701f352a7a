"""The output ports' conformance suite: subclass it, say how a consumer reads your port, and run it with pytest."""

from __future__ import annotations

import hashlib
import textwrap
from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from polyport.access import configuration, keys
from polyport.access.configuration import Change
from polyport.errors import AccessError, PolyportError
from polyport.model import LATEST, OWNER, Credential, Principal
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

    def test_an_older_snapshot_is_shown_by_the_policy_of_today(self, product: Product) -> None:
        """Who sees less now sees no more by asking for what was published when they saw more."""
        first = product.history()[-1]
        assert self.read(product, ACCOUNTANT, str(first.sequence)) == _scan(product, ACCOUNTANT)
        write_rows(product.spec.home, ROWS[1:])
        product.build()
        role = {"rows": "id >= 3", "columns": ["id", "title", "studio"], "mask": {"studio": "null"}}
        block = {"agreements": "optional", "roles": {"accountant": role}}
        journal = product.ledger.journal
        configuration.change(journal, product.spec, "access", block, Change(1, "owner"))
        found = self.read(product, ACCOUNTANT, str(first.sequence))
        assert [(row["id"], row["studio"]) for row in found] == [(3, None), (4, None)]
        assert set(found[0]) == {"id", "title", "studio"}

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
        with make_product(
            tmp_path / "p", self.port, agreements="required", rows=_many()
        ) as product:
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

    @pytest.fixture(scope="class")
    @classmethod
    def long(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
        """A product whose answer is not sent in one piece."""
        with make_product(tmp_path_factory.mktemp("long"), cls.port, rows=_many()) as made:
            yield made

    @pytest.mark.parametrize("how", ["revoked", "rotated", "expired", "grace over", "token"])
    def test_a_login_that_ends_ends_what_is_being_read(self, long: Product, how: str) -> None:
        """A key that is revoked, rotated or expired, and a token that is: the open answer breaks off."""
        end = datetime(2030, 1, 1, tzinfo=UTC)
        now = [end - timedelta(seconds=1)]
        long.clock = lambda: now[0]
        key, who = _login(long, end if how == "expired" else None)
        if how == "token":
            who = replace(who, credential=Credential(until=end))
        if how == "grace over":
            keys.rotate(long.control, key, grace=end - datetime.now(UTC), by="owner")
        begun = self.pieces(long, who)
        assert next(begun)
        if how == "revoked":
            keys.revoke(long.control, key, by="owner")
        elif how == "rotated":
            keys.rotate(long.control, key, by="owner")
        else:
            now[0] = end + timedelta(minutes=1)
        with pytest.raises(AccessError, match="login has ended"):
            list(begun)

    def test_a_rotation_with_a_grace_cuts_nothing(self, long: Product) -> None:
        """Nor does anything that happens to another key of the same principal."""
        long.clock = lambda: datetime.now(UTC)
        key, who = _login(long, datetime.now(UTC) + timedelta(days=1))
        other, _ = _login(long, None)
        begun = self.pieces(long, who)
        assert next(begun)
        keys.rotate(long.control, key, grace=timedelta(hours=1), by="owner")
        keys.revoke(long.control, other, by="owner")
        assert len([piece for _, piece in zip(range(3), begun, strict=False) if piece]) == 3


def _login(product: Product, end: datetime | None) -> tuple[str, Principal]:
    """The id of a new key of the accountant's, and who comes with it."""
    key, text = keys.create(product.control, ACCOUNTANT, expires=end, by="owner")
    return key.id, keys.authenticate(product.control, text)


def _many() -> list[str]:
    words = (hashlib.sha256(str(n).encode()).hexdigest() for n in range(MANY))
    return [f"{n},{word},,Fox,1.00" for n, word in enumerate(words)]


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
