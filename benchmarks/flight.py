"""10 M rows x 10 columns by Flight SQL, beside DuckDB in this process reading the same Parquet files into Arrow, and
beside DuckDB behind pyarrow's own Flight server without all that a port does (`flight_bare`).

All count what they read batch by batch and keep nothing. Policy and metering are on: who asks has a role with a row
filter that every row passes. Besides: the same rows asked for again, the wait for a small statement, and the server's memory after each.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import build
from benchmarks.processes import resident, tree

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT = 18440
ROWS = 10_000_000
RUNS = 5
SMALL = 300
ALL = "SELECT * FROM costs"
EXTRA = ", (range % 1000)::DOUBLE / 7 AS score, TIMESTAMP '2020-01-01' + to_seconds(range % 86400) AS seen"
ACCESS = """
access:
  agreements: optional
  roles:
    analyst: {rows: "gross >= 0"}
"""


def prepare(folder: Path, rows: int) -> Path:
    """A built product in `folder` with ten columns and a Flight port; the folder."""
    columns, build.COLUMNS = build.COLUMNS, build.COLUMNS.rstrip() + EXTRA
    try:
        build.prepare(folder, rows)
    finally:
        build.COLUMNS = columns
    for name, old, new in (
        ("dataproduct.odps.yaml", "{name: rest, type: rest,", "{name: flight, type: flight,"),
        ("transform/costs.sql", "imdb_id FROM", "imdb_id, score, seen FROM"),
    ):
        path = folder / name
        path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    contract = folder / "contracts" / "bench.odcs.yaml"
    more = (
        "      - {name: score, logicalType: number, physicalType: DOUBLE}\n"
        "      - {name: seen, logicalType: timestamp, physicalType: TIMESTAMP}\n"
    )
    contract.write_text(contract.read_text("utf-8") + more, "utf-8")
    settings = folder / "polyport.yaml"
    settings.write_text(settings.read_text("utf-8") + ACCESS, "utf-8")
    subprocess.run(
        [sys.executable, "-m", "polyport", "build", str(folder)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Serve the product; the server's process id."""
    command = [sys.executable, "-m", "polyport", "serve", str(folder), "--port", str(PORT)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            yield server.pid
        finally:
            server.terminate()


@contextmanager
def bare_server(folder: Path) -> Iterator[None]:
    """Serve the same files by `flight_bare`."""
    command = [sys.executable, "-m", "benchmarks.flight_bare", parquet(folder), str(PORT + 1)]
    with subprocess.Popen(command) as server:
        try:
            yield
        finally:
            server.terminate()


def connect(port: int, seconds: float = 60):
    """A connection of ADBC, as soon as the server answers."""
    import adbc_driver_flightsql.dbapi as flight
    from adbc_driver_manager import Error

    header = "adbc.flight.sql.rpc.call_header.polyport-"
    options = {header + "product": "bench", header + "role": "analyst"}
    end = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)):
                pass  # somebody listens
            return flight.connect(f"grpc://127.0.0.1:{port}", options, autocommit=True)
        except (Error, ConnectionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def by_flight(connection, sql: str) -> int:
    """How many rows ADBC reads."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return sum(batch.num_rows for batch in cursor.fetch_record_batch())


def parquet(folder: Path) -> str:
    """The files of the snapshot."""
    return str(next((folder / ".polyport").rglob("data/*/*.parquet")).parent / "*.parquet")


def in_process(folder: Path) -> int:
    """How many rows DuckDB reads into Arrow."""
    import duckdb

    sql = f"SELECT * FROM '{parquet(folder)}' WHERE gross >= 0"
    with duckdb.connect() as engine:
        reader = engine.sql(sql).to_arrow_reader(122_880)
        return sum(batch.num_rows for batch in reader)


def held(pid: int) -> float:
    """MiB of their own that a process and all that it started hold: a file that is mapped is not."""
    return sum(map(resident, tree(pid)))


def timed(work, wanted: int = 1) -> float:
    """The seconds in which `work` reads the rows that are wanted."""
    started = time.perf_counter()
    rows = work()
    if rows != wanted:
        raise SystemExit(f"{rows} rows were read, and {wanted} are wanted")
    return time.perf_counter() - started


def main() -> None:
    """Print ratios."""
    folder = Path(tempfile.mkdtemp(prefix="polyport-bench-"))
    try:
        prepare(folder, ROWS)
        with (
            serving(folder) as pid,
            bare_server(folder),
            connect(PORT + 33) as connection,
            connect(PORT + 1) as floor,
        ):
            small = [timed(lambda: by_flight(connection, "SELECT 1")) for _ in range(SMALL)]
            before = peak = held(pid)
            ours, again, least, bare = [], [], [], []
            for _ in range(2):  # from the second time on an answer is kept
                timed(lambda: by_flight(connection, ALL), ROWS)
            for number in range(RUNS):
                sql = f"{ALL} /* {number} */"  # another one, which nobody asked before
                ours.append(timed(lambda sql=sql: by_flight(connection, sql), ROWS))
                again.append(timed(lambda: by_flight(connection, ALL), ROWS))
                least.append(timed(lambda: by_flight(floor, ALL), ROWS))
                bare.append(timed(lambda: in_process(folder), ROWS))
                peak = max(peak, held(pid))
    finally:
        shutil.rmtree(folder)
    flight, kept, server, duck = map(statistics.median, (ours, again, least, bare))
    print(
        f"flight {ROWS:,} rows x 10: {flight / duck:.2f}x DuckDB in process ({flight:.2f} s, {duck:.2f} s);"
        f" {flight / server:.2f}x DuckDB behind a bare server ({server:.2f} s);"
        f" asked again {kept / duck:.2f}x ({kept:.2f} s);"
        f" the server and its workers at most {peak:.0f} MiB (before: {before:.0f} MiB)"
    )
    print(f"flight SELECT 1: {statistics.median(small) * 1000:.1f} ms by ADBC (four calls)")


if __name__ == "__main__":
    main()
