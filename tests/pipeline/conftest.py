"""A product in a folder, real engine and store, and input ports that give what a test puts in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv
import pytest

from polyport.descriptor.types import (
    Contract,
    DataProduct,
    Port,
    Property,
    SchemaObject,
    Settings,
)
from polyport.engine.duckdb import DuckDBEngine
from polyport.errors import InputError
from polyport.model import Files, Relation
from polyport.pipeline import Job, build
from polyport.ports.input import Received
from polyport.store.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class TextInput:
    """An input port that brings the files given, as CSV or as a reader."""

    name: str
    files: dict[str, bytes]
    form: str = "csv"
    fail: Exception | None = None
    asked: list[Any] = field(default_factory=list)

    def fetch(self, keep: Any, previous: Received | None) -> Received:
        self.asked.append(previous)
        if self.fail:
            raise self.fail
        objects = tuple(
            keep(name, [body[:3], body[3:]], origin=f"inputs/{name}", media_type="text/csv")
            for name, body in self.files.items()
        )
        digest = hashlib.sha256("".join(o.sha256 for o in objects).encode()).hexdigest()
        return Received(self.name, objects, f"sha256:{digest}", notes=("header in row 1",))

    def read(self, received: Received) -> Relation | pa.RecordBatchReader:
        for kept in received.objects:
            if b"garbage" in kept.path.read_bytes():
                raise InputError("not a table", where=kept.name)
        if self.form == "reader":
            table = pa.csv.read_csv(received.objects[0].path)
            return table.to_reader()
        return Relation(Files(tuple(str(o.path) for o in received.objects), "csv"))


@dataclass
class Workshop:
    """A product's folder, and all that a build of it needs."""

    home: Path
    state: Path
    engine: DuckDBEngine
    store: LocalStore
    objects: list[SchemaObject] = field(default_factory=list)
    inputs: dict[str, TextInput] = field(default_factory=dict)
    version: str = "1.0.0"
    product_id: str = "costs"
    runs: int = 0
    steps: list[Any] = field(default_factory=list)
    secrets: tuple[str, ...] = ()

    def file(self, name: str, text: str) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def input(self, name: str, body: str | bytes, **more: Any) -> TextInput:
        data = body.encode() if isinstance(body, str) else body
        self.inputs[name] = TextInput(name, {f"{name}.csv": data}, **more)
        return self.inputs[name]

    def promise(self, name: str, *columns: str | Property, **more: Any) -> None:
        """`promise("films", "id int key", "title")`."""
        self.objects.append(SchemaObject(name, tuple(map(_property, columns)), **more))

    @property
    def product(self) -> DataProduct:
        contract = Contract(
            "c", "1.0.0", "c", self.home / "contracts/c.odcs.yaml", tuple(self.objects)
        )
        ports = tuple(Port(name, "files") for name in self.inputs)
        return DataProduct(
            home=self.home,
            id=self.product_id,
            name="Costs",
            version=self.version,
            status="active",
            domain="produce-content",
            purpose="",
            inputs=ports,
            outputs=(Port("rest", "rest", contract_id="c"),),
            management=(),
            contracts={"c": contract},
            settings=Settings(),
        )

    def job(self, **more: Any) -> Job:
        self.runs += 1
        job = Job(
            product=self.product,
            store=self.store,
            engine=self.engine,
            state=self.state,
            inputs=dict(self.inputs),
            clock=self.clock,
            run=f"20260101T00{self.runs:04d}-abcdef",
            secrets=self.secrets,
        )
        return replace(job, **more)

    def clock(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=self.runs)

    def build(self, **more: Any) -> Any:
        self.steps = []
        return build(self.job(**more), self.steps.append)

    def rows(self, dataset: str, ref: str = "latest") -> list[dict[str, Any]]:
        snapshot = self.store.snapshot(self.product_id, ref)
        files = Files(tuple(self.store.files(snapshot, dataset)))
        with self.engine.query("SELECT * FROM d ORDER BY ALL", {"d": Relation(files)}) as reader:
            return reader.read_all().to_pylist()

    def log(self, run: str = "", kind: str = "log") -> Path:
        run = run or f"20260101T00{self.runs:04d}-abcdef"
        return self.state / "logs" / self.product_id / f"{run}.{kind}"


def _property(said: str | Property) -> Property:
    if isinstance(said, Property):
        return said
    name, *rest = said.split()
    key = "key" in rest
    types = [r for r in rest if r != "key"]
    return Property(name, physical_type=" ".join(types), primary_key=key, required=key)


@pytest.fixture(scope="session")
def pipeline_engine(tmp_path_factory):
    """One engine for all tests: nothing is left in it between queries."""
    scratch = tmp_path_factory.mktemp("spill")
    with DuckDBEngine(memory="512MB", threads=2, scratch=scratch) as engine:
        yield engine


@pytest.fixture
def shop(tmp_path, pipeline_engine):
    """An empty workshop."""
    home = tmp_path / "product"
    home.mkdir()
    store = LocalStore(tmp_path / "store", iceberg=False)
    return Workshop(home, tmp_path / "state", pipeline_engine, store)


FILMS = "id,title,budget\n1,Alien,11\n2,Brazil,15\n3,Crash,7\n"


def fill(shop, body=FILMS):
    """What builds: one CSV input, one SQL file, one promise."""
    shop.input("films", body)
    shop.file("transform/costs.sql", "SELECT id, title, budget FROM films")
    shop.promise("costs", "id BIGINT key", "title VARCHAR", "budget DECIMAL(18,2)")


@pytest.fixture
def films(shop):
    """A workshop that builds."""
    fill(shop)
    return shop
