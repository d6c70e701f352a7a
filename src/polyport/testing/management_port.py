"""The management ports' conformance suite: what holds for every information and configuration port."""

from __future__ import annotations

import json
from abc import ABC
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

import pytest
from starlette.routing import Route

from polyport import ports
from polyport.errors import AuthenticationError
from polyport.model import OWNER, PLATFORM_ROLE, Principal
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.output_port import ACCOUNTANT, agree, make_product

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.requests import HTTPConnection

    from polyport.access.identity import Identify
    from polyport.ports import Group
    from polyport.ports.management import ManagementPort
    from polyport.product import Product

PLATFORM = Principal("steering", frozenset({PLATFORM_ROLE}))
NOBODY = Principal("nobody")
VALUES = ("Universal", "Žižek", "40.25", "1984-12-14")
"""What stands in the rows of the suite's product, and nowhere in its files' descriptions."""
COLUMNS = ("released", "studio", "cost")
"""Of the suite's dataset; documents of every port have other words but these."""


def asking(principal: Principal) -> Identify:
    """Everybody who asks is `principal`."""
    return lambda _: (principal, "")


def anonymous(_: HTTPConnection) -> tuple[Principal, str]:
    """Nobody is known."""
    raise AuthenticationError("no credentials", fix="send a key")


class ManagementPortTests(ABC):
    """Each test holds for every management port there is or will be."""

    group: ClassVar[Group]
    port: ClassVar[str]
    """As registered."""
    by_sight: ClassVar[bool] = False
    """Whether it tells more of the data to whom it may be shown to."""

    @pytest.fixture
    def product(self, tmp_path: Path) -> Iterator[Product]:
        """A small product with one snapshot."""
        with make_product(tmp_path / "films", "rest") as made:
            yield made

    def made(self, product: Product) -> ManagementPort:
        """The port under test."""
        found = [
            each
            for each in product.management(asking(OWNER), product.ports())
            if each.name == self.port
        ]
        assert len(found) == 1
        return found[0]

    def addresses(self, product: Product) -> list[str]:
        """Its addresses that need nothing to be filled in."""
        routes = [route for route in self.made(product).routes() if isinstance(route, Route)]
        return [f"/products/films{route.path}" for route in routes if "{" not in route.path]

    def get(self, product: Product, principal: Principal, address: str) -> tuple[int, str, str]:
        """(status, media type, text)."""
        reply = Client(create_app([product], identify=asking(principal))).get(address)
        return reply.status_code, reply.headers.get("content-type", ""), reply.text

    def test_its_name_place_and_content_fit_its_group(self, product: Product) -> None:
        """Control ports are the configuration ports, and lie below `control/`."""
        port = self.made(product)
        assert (port.content == "control") == (self.group == "configuration")
        prefix = "/control/" if self.group == "configuration" else "/"
        for route in port.routes():
            assert isinstance(route, Route)
            assert (
                route.path.startswith(prefix + self.port) or route.path == "/control/openapi.json"
            )
        assert self.addresses(product)

    def test_the_owner_gets_documents(self, product: Product) -> None:
        """JSON that parses, or a media type that says what else it is."""
        for address in self.addresses(product):
            status, media, text = self.get(product, OWNER, address)
            assert status == 200, (address, text)
            if media.partition(";")[0].endswith("json"):
                json.loads(text)
            else:
                assert media.startswith(("text/", "application/"))

    def test_who_is_not_known_gets_nothing(self, product: Product) -> None:
        """Not even a description."""
        client = Client(create_app([product], identify=anonymous))
        for address in self.addresses(product):
            reply = client.get(address)
            assert (reply.status_code, reply.json()["code"]) == (401, "PP401"), address
            assert "www-authenticate" in reply.headers

    @pytest.mark.parametrize("principal", [PLATFORM, NOBODY], ids=lambda p: p.id)
    def test_no_value_of_a_row_reaches_who_may_read_none(
        self, product: Product, principal: Principal
    ) -> None:
        """Whatever a document tells, it is not the data."""
        for address in self.addresses(product):
            status, _, text = self.get(product, principal, address)
            assert status in (200, 403), (address, text)
            assert not [value for value in VALUES if value in text], address

    @pytest.mark.parametrize("how", ["revoked", "expired"])
    def test_an_agreement_that_ends_stops_the_next_read(self, tmp_path: Path, how: str) -> None:
        """What it let its consumer be told is told no more, whatever was kept of the documents before."""
        end = datetime(2030, 1, 1, tzinfo=UTC)
        now = [end - timedelta(seconds=1)]
        with make_product(tmp_path / "agreed", "rest", agreements="required") as product:
            product.clock = lambda: now[0]
            client = Client(create_app([product], identify=asking(ACCOUNTANT)))
            before = self.told(client, product)
            found = agree(product, ACCOUNTANT, "accountant", end=end)
            agreed = self.told(client, product)
            assert all(words <= agreed[address] for address, words in before.items())
            assert not self.by_sight or any(agreed[a] > before[a] for a in before)
            tags = {a: client.get(a).headers.get("etag") for a in before}
            if how == "revoked":
                product.desk().decide(found.id, "revoked", by="owner", note="it ended")
            else:
                now[0] = end
            assert self.told(client, product) == before
            for address, tag in tags.items():
                if tag and agreed[address] != before[address]:
                    kept = client.get(address, headers={"If-None-Match": tag})
                    assert kept.status_code != 304, address

    def told(self, client: Client, product: Product) -> dict[str, frozenset[str]]:
        """Address -> the columns of the dataset that are named there."""
        texts = {address: client.get(address).text for address in self.addresses(product)}
        return {a: frozenset(c for c in COLUMNS if c in text) for a, text in texts.items()}

    def test_a_method_that_is_not_offered_is_refused(self, product: Product) -> None:
        """With what is."""
        client = Client(create_app([product], identify=asking(OWNER)))
        for address in self.addresses(product):
            reply = client.send("PATCH", address)
            assert reply.status_code == 405, address
            assert "allow" in reply.headers

    def test_its_requests_are_counted(self, product: Product) -> None:
        """By port and principal, as those of every port."""
        address = self.addresses(product)[0]
        self.get(product, OWNER, address)
        mine = [r for r in product.ledger.usage.requests("films") if r["port"] == self.port]
        assert [(r["principal"], r["status"], r["requests"]) for r in mine] == [("owner", "200", 1)]


def registered() -> list[tuple[Group, str]]:
    """All management ports, as (group, name)."""
    groups: tuple[Group, ...] = ("information", "configuration")
    return [(group, name) for group in groups for name in ports.types(group)]


__all__ = ["ManagementPortTests", "anonymous", "asking", "registered"]
