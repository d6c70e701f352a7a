"""A build that kills its own process at a given moment; run by test_failures in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pyarrow as pa

from conftest import FILMS, Workshop, fill
from polyport.engine.duckdb import DuckDBEngine
from polyport.store.local import LocalStore


def die(*_args, **_more):
    os.kill(os.getpid(), signal.SIGKILL)


def receive(shop):
    def chunks():
        yield b"half"
        die()

    port = shop.inputs["films"]
    port.fetch = lambda keep, _: keep("films.csv", chunks(), origin="x")


def read(shop):
    def batches():
        yield pa.record_batch({"id": [1], "title": ["a"], "budget": [1]})
        die()

    schema = pa.schema({"id": pa.int64(), "title": pa.string(), "budget": pa.int64()})
    port = shop.inputs["films"]
    port.read = lambda _: pa.RecordBatchReader.from_batches(schema, batches())


def cleanse(shop):
    python(shop, "cleanse/films.py", "films")


def transform(shop):
    (shop.home / "transform/costs.sql").unlink()
    python(shop, "transform/costs.py", "costs")


def python(shop, file, name):
    shop.file(
        file,
        "import os, signal\nimport pyarrow as pa\n"
        f"def {name}(films: pa.Table) -> pa.Table:\n    os.kill(os.getpid(), signal.SIGKILL)\n",
    )


def run(folder, moment):
    folder = Path(folder)
    with DuckDBEngine(memory="256MB", threads=1, scratch=folder / "spill") as engine:
        store = LocalStore(folder / "store", iceberg=False)
        shop = Workshop(folder / "product", folder / "state", engine, store, runs=50)
        fill(shop, FILMS.replace("Crash", "Cube"))
        globals()[moment](shop)
        shop.build()
