"""REST reads of a million rows beside ROAPI and Datasette: a row by key, a page of 100, a group-by, the whole as CSV.

`group` asks the same group-by again and again, as a dashboard does; `fresh` one with another filter each time.

One client, one connection at a time, the servers in turn, in several rounds. Figures are the medians of the server's
CPU per request and of the client's wait, and of the ratios of each round. The peers
are not dependencies of the project: they are looked for in the environment variable PEERS, the `bin` folder of a
virtual environment with `roapi` and `datasette`; without it, only Polyport is measured. Policy and metering are on.
"""

from __future__ import annotations

import http.client
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from benchmarks.build import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Request: TypeAlias = tuple[str, dict[str, str], str | None]
"""Path, headers, body."""
ROWS = 1_000_000
STUDIOS = ["Warner", "Fox", "Universal", "Sony", "MGM"]
OURS, ROAPI, DATASETTE = 18400, 18401, 18402
ROUNDS = 5
COUNTS = {"point": 500, "page": 100, "group": 20, "fresh": 20, "csv": 1}


@dataclass(frozen=True)
class Server:
    """A server under test."""

    name: str
    port: int
    command: list[str]
    paths: dict[str, Callable[[], Request]]
    """Workload -> a function that gives a request."""
    environment: dict[str, str] = field(default_factory=dict)


def point() -> int:
    """A random key."""
    return random.randrange(ROWS)


def page() -> tuple[str, int]:
    """A random filter."""
    return random.choice(STUDIOS), random.randrange(1, 9_000)


def ours(folder: Path) -> Server:
    """Polyport, asked as a role with a policy."""
    base = "/products/bench/rest/v1/costs"
    role = {"Polyport-Role": "analyst"}
    return Server(
        "polyport",
        OURS,
        [sys.executable, "-m", "polyport", "serve", str(folder), "--port", str(OURS)],
        {
            "point": lambda: (f"{base}/{point()}", role, None),
            "page": lambda: (
                "{}?studio={}&cost.gt={}&sort=-cost&limit=100".format(base, *page()),
                role,
                None,
            ),
            "group": lambda: (f"{base}?group=studio&agg=sum:cost,count", role, None),
            "fresh": lambda: (
                f"{base}?group=studio&agg=sum:cost,count&id.gt={point()}",
                role,
                None,
            ),
            "csv": lambda: ("/products/bench/files/v1/costs.csv", role, None),
        },
    )


def roapi(folder: Path, peers: Path) -> Server:
    """ROAPI over the same Parquet file, in memory."""
    (folder / "roapi.yaml").write_text(
        f"addr: {{http: '127.0.0.1:{ROAPI}', postgres: '127.0.0.1:18403', flight_sql: '127.0.0.1:18404'}}\n"
        f"tables:\n  - name: costs\n    uri: {folder / 'inputs' / 'source.parquet'}\n"
        "    option: {format: parquet, use_memory_table: true}\n",
        "utf-8",
    )
    base = "/api/tables/costs"
    sql = "select studio, sum(cost) s, count(*) n from costs group by studio"

    def a_page() -> tuple[str, dict[str, str], None]:
        studio, cost = page()
        query = f"filter%5Bstudio%5D=%27{studio}%27&filter%5Bcost%5Dgt={cost}&sort=-cost&limit=100"
        return f"{base}?{query}", {}, None

    return Server(
        "roapi",
        ROAPI,
        [str(peers / "roapi"), "-c", str(folder / "roapi.yaml")],
        {
            "point": lambda: (f"{base}?filter%5Bid%5D={point()}", {}, None),
            "page": a_page,
            "group": lambda: ("/api/sql", {}, sql),
            "fresh": lambda: ("/api/sql", {}, sql.replace("group", f"where id > {point()} group")),
            "csv": lambda: (base, {"Accept": "application/csv"}, None),
        },
        {"RUST_LOG": "error"},
    )


def datasette(folder: Path, peers: Path) -> Server:
    """Datasette over a SQLite file with the same rows and an index for the page."""
    path = folder / "bench.sqlite"
    import duckdb

    with duckdb.connect() as engine, sqlite3.connect(path) as target:
        rows = engine.execute(
            "SELECT id, title, studio, released::VARCHAR, cost::DOUBLE, gross::DOUBLE, rating, imdb_id"
            f" FROM '{folder / 'inputs' / 'source.parquet'}'"
        )
        target.execute(
            "CREATE TABLE costs(id INTEGER PRIMARY KEY, title TEXT, studio TEXT, released TEXT, cost REAL, gross REAL,"
            " rating INT, imdb_id TEXT)"
        )
        while batch := rows.fetchmany(50_000):
            target.executemany("INSERT INTO costs VALUES (?,?,?,?,?,?,?,?)", batch)
        target.execute("CREATE INDEX by_studio ON costs(studio, cost)")
    target.close()
    sql = "select studio, sum(cost) s, count(*) n from costs group by studio"

    def a_page() -> tuple[str, dict[str, str], None]:
        studio, cost = page()
        query = f"studio__exact={studio}&cost__gt={cost}&_sort_desc=cost&_size=100&_nocount=1&_nofacet=1"
        return f"/bench/costs.json?_shape=array&{query}", {}, None

    return Server(
        "datasette",
        DATASETTE,
        [
            *(
                str(peers / "datasette"),
                "serve",
                "-i",
                str(path),
                "--host",
                "127.0.0.1",
                "--port",
                str(DATASETTE),
            ),
            *("--setting", "sql_time_limit_ms", "60000", "--setting", "max_csv_mb", "0"),
            *("--setting", "max_returned_rows", "2000"),
        ],
        {
            "point": lambda: (f"/bench/costs/{point()}.json?_shape=array", {}, None),
            "page": a_page,
            "group": lambda: (f"/bench.json?_shape=array&sql={urllib.parse.quote(sql)}", {}, None),
            "fresh": lambda: (
                "/bench.json?_shape=array&sql="
                + urllib.parse.quote(sql.replace("group", f"where id > {point()} group")),
                {},
                None,
            ),
            "csv": lambda: ("/bench/costs.csv?_stream=on&_size=max", {}, None),
        },
    )


@contextmanager
def running(server: Server):
    """The server as a process, ready to answer."""
    process = subprocess.Popen(
        server.command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **server.environment},
    )
    try:
        for _ in range(600):
            try:
                http.client.HTTPConnection("127.0.0.1", server.port, timeout=60).connect()
                break
            except OSError:
                time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait()


def ask(connection: http.client.HTTPConnection, request: Request) -> int:
    """Send one request and read the answer; its size."""
    path, headers, body = request
    connection.request("POST" if body else "GET", path, body=body, headers=headers)
    reply = connection.getresponse()
    size = 0
    while chunk := reply.read(1 << 20):
        size += len(chunk)
    if reply.status != 200:
        raise SystemExit(f"{path}: {reply.status}")
    return size


def cpu(pid: int) -> float:
    """Seconds of CPU that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(servers: Sequence[Server]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Workload -> server -> (CPU ms per request, median ms) of each round; in turn, for the machine's speed changes."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {
        work: {server.name: [] for server in servers} for work in COUNTS
    }
    with ExitStack() as ending:
        processes = {server.name: ending.enter_context(running(server)) for server in servers}
        for server in servers:
            if server.name == "polyport":
                # Its keyed index and its table in memory are made in the background after the first reads; ROAPI loads
                # its table before it listens.
                with closing(connected(server)) as connection:
                    for name in ("point", "fresh", "fresh"):
                        ask(connection, server.paths[name]())
                wait_until_idle(processes[server.name].pid)
        for turn in range(ROUNDS):
            for work, count in COUNTS.items():
                for server in servers:
                    if work == "csv" and turn:
                        continue  # a whole export is kept once it was made: the first is what is measured
                    with closing(connected(server)) as connection:
                        found[work][server.name].append(
                            asked(connection, server.paths[work], count, processes[server.name].pid)
                        )
    return found


def connected(server: Server) -> http.client.HTTPConnection:
    """A new connection: some servers close those that rest for a while."""
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)


def asked(
    connection: http.client.HTTPConnection, make: Callable[[], Request], count: int, pid: int
) -> tuple[float, float]:
    """CPU ms of the process, and median ms, of `count` requests."""
    if count > 1:
        ask(connection, make())
    waits = []
    before = cpu(pid)
    for _ in range(count):
        started = time.perf_counter()
        ask(connection, make())
        waits.append(time.perf_counter() - started)
    return (cpu(pid) - before) / count * 1000, statistics.median(waits) * 1000


def wait_until_idle(pid: int) -> None:
    """Return when the process has used no CPU for a second."""
    last = -1.0
    while (now := cpu(pid)) - last > 0.02:
        last = now
        time.sleep(1)


def main() -> None:
    """Print each workload's figures, and how many times ours the peers' are."""
    folder = Path(tempfile.mkdtemp(prefix="polyport-bench-"))
    try:
        prepare(folder, ROWS)
        with (folder / "polyport.yaml").open("a", encoding="utf-8") as file:
            file.write('access: {agreements: optional, roles: {analyst: {rows: "rating >= 0"}}}\n')
            file.write("ports: {rest: {index: {costs: [[studio, cost]]}}}\n")
        subprocess.run(
            [sys.executable, "-m", "polyport", "build", str(folder)],
            check=True,
            capture_output=True,
        )
        servers = [ours(folder)]
        if peers := os.environ.get("PEERS"):
            servers += [roapi(folder, Path(peers)), datasette(folder, Path(peers))]
        figures = measure(servers)
    finally:
        shutil.rmtree(folder)
    for work, found in figures.items():
        mine = found["polyport"]
        used, wait = (statistics.median(column) for column in zip(*mine, strict=True))
        line = f"REST {work:6} polyport {used:9.2f} ms CPU {wait:9.2f} ms"
        for name, theirs in found.items():
            if name != "polyport":
                line += f" | {name} {times(mine, theirs, 0)} CPU {times(mine, theirs, 1)} time"
        print(line)


def times(
    mine: Sequence[tuple[float, float]], theirs: Sequence[tuple[float, float]], which: int
) -> str:
    """How many times ours theirs is, round by round: the median, and the least and most."""
    ratios = [b[which] / max(a[which], 1e-3) for a, b in zip(mine, theirs, strict=True)]
    return f"{statistics.median(ratios):6.1f}x ({min(ratios):.1f} to {max(ratios):.1f})"


if __name__ == "__main__":
    main()
