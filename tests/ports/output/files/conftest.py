from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from types import SimpleNamespace

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from polyport.access import Policy, View
from polyport.descriptor.types import DataProduct, Port, Role, RoleSettings, Settings
from polyport.engine.duckdb import DuckDBEngine
from polyport.errors import NotFoundError
from polyport.expression import parse
from polyport.model import LATEST, OWNER, Dataset, Principal, Snapshot
from polyport.ports.output import OutputContext
from polyport.ports.output.files import FilesPort

FILMS = pa.table(
    {
        "id": pa.array(range(1, 301), pa.int64()),
        "title": [f"Film {n}, the {'é' * (n % 3)}" if n % 7 else None for n in range(1, 301)],
        "country": [("US", "GB", "FR")[n % 3] for n in range(1, 301)],
        "amount": pa.array([n * 1.5 for n in range(1, 301)]),
        "director": [f"D{n % 11}" for n in range(1, 301)],
    }
)
# No key, and an order that is not that of its values.
SALES = pa.table({"week": pa.array([3, 1, 2, 1]), "sold": pa.array([30, 11, 20, 10])})
ROLES = {
    "accountant": Role("accountant", RoleSettings()),
    "analyst": Role(
        "analyst", RoleSettings(rows=parse("country = 'US'"), mask={"director": "null"}), {"sales": RoleSettings()}
    ),
    "hasher": Role("hasher", RoleSettings(mask={"id": "null"}), {"sales": RoleSettings()}),
    "seller": Role("seller", RoleSettings(), {"sales": RoleSettings()}, only=True),
}  # fmt: skip


class Opener:
    """`Open` over snapshots that a test adds."""

    def __init__(self, engine, folder):
        self.engine, self.folder, self.reads, self.held = engine, folder, [], 0
        self.kept, self.files = [], {}
        self.roles, self.scans = ROLES, []

    def add(self, sequence, **tables):
        keys = {"films": ("id",)}
        datasets = {}
        for name, table in tables.items():
            path = self.folder / f"{sequence}-{len(self.files)}.parquet"
            pq.write_table(table, path)
            self.files[sequence, name] = str(path)
            datasets[name] = Dataset(name, table.schema, keys.get(name, ()), table.num_rows)
        at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=sequence)
        snapshot = Snapshot("film-costs", f"{sequence:08d}-abcdef01", sequence, None, at, datasets)
        self.kept.append(snapshot)
        return snapshot

    def snapshots(self):
        return self.kept

    def __call__(self, principal, ref=LATEST, *, purpose=""):
        found = [s for s in self.kept if ref in (s.id, str(s.sequence))] or (
            self.kept[-1:] if ref == LATEST else []
        )
        if not found:
            raise NotFoundError(f"no snapshot {ref!r}")
        self.held += 1

        def release():
            self.held -= 1

        return View(
            found[0], principal, "files", purpose, Policy("film-costs", self.roles, "salt"), self.engine,
            lambda s, d: [self.files[s.sequence, d]], self.reads.append, release,
        )  # fmt: skip


def identify(connection):
    role = connection.headers.get("x-role")
    if role is None:
        return OWNER, ""
    return Principal(connection.headers.get("x-name", "ann"), frozenset({role})), ""


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    with DuckDBEngine(scratch=tmp_path_factory.mktemp("spill")) as made:
        yield made


@pytest.fixture
def opener(engine, tmp_path):
    folder = tmp_path / "published"
    folder.mkdir()
    made = Opener(engine, folder)
    made.add(41, films=FILMS.slice(0, 10), sales=SALES)
    made.add(42, films=FILMS, sales=SALES)
    yield made
    assert made.held == 0, "a view was left open"


@pytest.fixture
def make_port(opener, tmp_path):
    ports = []

    def make(settings=None, roles=ROLES, **options):
        product = DataProduct(
            Path(),
            "film-costs",
            "Film costs",
            "1.2.0",
            "active",
            "content",
            "",
            (),
            (),
            (),
            {},
            Settings(roles=roles),
        )
        spec = Port("files", "files", "2.1.0", settings=settings or {})
        port = FilesPort(
            OutputContext(product, spec, opener, identify), cache=tmp_path / "cache", **options
        )
        ports.append(port)
        return port

    yield make
    for port in ports:
        port.close()
    assert list((tmp_path / "cache").glob("*")) == []


@pytest.fixture
def consts():
    return SimpleNamespace(FILMS=FILMS, SALES=SALES, ROLES=ROLES)


class InProcess(httpx.BaseTransport):
    """An ASGI app for a plain `httpx.Client`: no socket, each request to its end."""

    def __init__(self, app):
        self.asgi = httpx.ASGITransport(app)

    def handle_request(self, request):
        async def send():
            answer = await self.asgi.handle_async_request(request)
            return answer.status_code, answer.headers, await answer.aread()

        status, headers, content = asyncio.run(send())
        return httpx.Response(status, headers=headers, content=content)


@pytest.fixture
def client_of():
    """A client of an app, mounted where a server would mount it."""
    clients = []

    def make(app, mount="/products/film-costs/files/v2"):
        routes = Starlette(routes=[Mount(mount, app)])
        client = httpx.Client(transport=InProcess(routes), base_url=f"http://testserver{mount}")
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()
