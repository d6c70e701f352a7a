"""A small product of films, costs and people, behind real views over Parquet files, asked over ASGI."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyport.access import View
from polyport.access.identity import local_owner
from polyport.access.policy import Policy
from polyport.descriptor.types import (
    Contract,
    DataProduct,
    Port,
    Property,
    Relationship,
    Role,
    RoleSettings,
    SchemaObject,
    Settings,
)
from polyport.engine.duckdb import DuckDBEngine
from polyport.errors import NotFoundError
from polyport.expression import parse
from polyport.model import LATEST, Dataset, Principal, Read, Ref, Snapshot
from polyport.ports.output import OutputContext
from polyport.ports.output.rest import RestPort

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp

FILMS = pa.table(
    {
        "id": pa.array(["tt1", "tt2", "tt,3", "tt4/x"], pa.string()),
        "title": pa.array(["Alien", 'The "Thing"', None, "Blade\nRunner é"], pa.string()),
        "year": pa.array([1979, 1982, 1990, 1982], pa.int32()),
        "rating": pa.array([8.5, float("nan"), None, 8.1], pa.float64()),
        "sequel_of": pa.array([None, "tt1", None, None], pa.string()),
        "tags": pa.array([["a"], [], None, ["b", "c"]], pa.list_(pa.string())),
    }
)
COSTS = pa.table(
    {
        "film": pa.array(["tt1", "tt1", "tt2", "gone"], pa.string()),
        "line": pa.array([1, 2, 1, 1], pa.int64()),
        "amount": pa.array(
            [Decimal("10.10"), Decimal("99999999.99"), Decimal("-0.01"), None], pa.decimal128(10, 2)
        ),
        "day": pa.array([date(2024, 1, 1), date(2024, 1, 2), None, date(2023, 12, 31)]),
        "at": pa.array(
            [
                datetime(2024, 1, 1, 12, tzinfo=UTC),
                None,
                datetime(2024, 1, 2, 0, 0, 0, 1000, tzinfo=UTC),
                None,
            ],
            pa.timestamp("us", "UTC"),
        ),
        "local": pa.array([datetime(2024, 1, 1), None, None, None], pa.timestamp("us")),
        "paid": pa.array([True, False, None, True]),
        "limit": pa.array(["x", "y", "z", None], pa.string()),
    }
)
NOTES = pa.table({"text": ["same", "same", "same", "other", None], "n": [1, 1, 1, None, None]})

OBJECTS = (
    SchemaObject(
        "films",
        (
            Property(
                "id", required=True, primary_key=True, description="IMDb id", examples=("tt1",)
            ),
            Property("title", business_name="Title", description="As first shown"),
            Property("year", unit="a", required=True),
        ),
        description="All films",
        relationships=(Relationship(("sequel_of",), "films", ("id",)),),
    ),
    SchemaObject(
        "costs",
        (
            Property("film", primary_key=True, primary_key_position=1),
            Property("line", primary_key=True, primary_key_position=2),
            Property("amount", unit="USD"),
        ),
        relationships=(Relationship(("film",), "films", ("id",)),),
    ),
    SchemaObject("notes", ()),
)
ROLES = {
    "partner": Role(
        "partner",
        RoleSettings(),
        {
            "films": RoleSettings(
                rows=parse("year < 1990"), columns=("id", "title", "year"), mask={"title": "hash"}
            ),
            "costs": RoleSettings(mask={"film": "hash"}),
        },
        only=True,
    ),
    "planner": Role("planner", RoleSettings(purposes=frozenset({"planning"}))),
}


@dataclass
class Shelf:
    """Snapshots of tables in a folder, and the reads of them."""

    folder: Path
    engine: DuckDBEngine
    keys: Mapping[str, Sequence[str]]
    roles: Mapping[str, Role] = field(default_factory=dict)
    reads: list[Read] = field(default_factory=list)
    states: list[Snapshot] = field(default_factory=list)
    opened: int = 0

    def publish(self, tables: Mapping[str, pa.Table]) -> Snapshot:
        sequence = len(self.states) + 1
        datasets = {}
        for name, table in tables.items():
            pq.write_table(table, self.folder / f"{sequence}-{len(datasets)}.parquet")
            datasets[name] = Dataset(
                name, table.schema, tuple(self.keys.get(name, ())), table.num_rows
            )
        at = datetime(2024, 5, sequence, tzinfo=UTC)
        self.states.append(
            Snapshot("shelf", f"{sequence:08d}-abcd1234", sequence, None, at, datasets)
        )
        return self.states[-1]

    def snapshots(self) -> Sequence[Snapshot]:
        return self.states

    def __call__(self, principal: Principal, ref: Ref = LATEST, *, purpose: str = "") -> View:
        named = {s.id: s for s in self.states} | {str(s.sequence): s for s in self.states}
        snapshot = {**named, LATEST: self.states[-1]}.get(ref)
        if snapshot is None:
            raise NotFoundError(f"no snapshot {ref!r}", fix="there are 1 and 2")
        self.opened += 1
        return View(
            snapshot, principal, "rest", purpose, Policy("shelf", self.roles, "salt"), self.engine,
            self._files, self.reads.append, self._closed,
        )  # fmt: skip

    def _files(self, snapshot: Snapshot, dataset: str) -> list[str]:
        place = list(snapshot.datasets).index(dataset)
        return [str(self.folder / f"{snapshot.sequence}-{place}.parquet")]

    def _closed(self) -> None:
        self.opened -= 1


DOCUMENT = {
    "apiVersion": "v3.2.0",
    "servers": [{"host": "secret.example"}],
    "slaProperties": [{"property": "latency", "element": "films.rating"}],
    "schema": [
        {
            "name": o.name,
            "quality": [{"query": "rating"}],
            "properties": [{"name": n} for n in t.schema.names],
        }
        for o, t in zip(OBJECTS, (FILMS, COSTS, NOTES), strict=True)
    ],
}


def product(home: Path) -> DataProduct:
    contract = Contract("c1", "1.0.0", "Films", home, OBJECTS, document=DOCUMENT)
    port = Port("api", "rest", "1.2.0", "c1", "The API")
    return DataProduct(
        home, "shelf", "Shelf", "1.0.0", "active", "produce", "Test", (), (port,), (), {"c1": contract}, Settings()
    )  # fmt: skip


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: Any) -> Iterator[Shelf]:
    keys = {"films": ["id"], "costs": ["film", "line"]}
    with DuckDBEngine() as engine:
        made = Shelf(tmp_path_factory.mktemp("shelf"), engine, keys, ROLES)
        made.publish({"films": FILMS.slice(0, 2), "costs": COSTS, "notes": NOTES})
        made.publish({"films": FILMS, "costs": COSTS, "notes": NOTES})
        yield made


@pytest.fixture(scope="session")
def port(shelf: Shelf) -> RestPort:
    declared = product(shelf.folder)
    return RestPort(OutputContext(declared, declared.outputs[0], shelf, local_owner))


class Client:
    """Asks an ASGI app, one request after the other."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def send(
        self, method: str, url: str, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, url, headers=headers)

        return asyncio.run(ask())

    def get(self, url: str, **headers: str) -> httpx.Response:
        return self.send(
            "GET", url, {name.replace("_", "-"): value for name, value in headers.items()}
        )

    def rows(self, url: str, **headers: str) -> list[dict[str, Any]]:
        """The rows of a page, which must be one."""
        response = self.get(url, **headers)
        assert response.status_code == 200, response.text
        return next(iter(response.json()["_embedded"].values()))


@pytest.fixture
def client(port: RestPort, shelf: Shelf) -> Iterator[Client]:
    yield Client(port.app())
    assert shelf.opened == 0, "a view was left open"


@pytest.fixture
def deprecated(port: RestPort) -> Client:
    spec = replace(port.context.spec, deprecated=True)
    return Client(RestPort(replace(port.context, spec=spec)).app())
