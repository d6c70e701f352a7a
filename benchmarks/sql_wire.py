"""The SQL port (PostgreSQL wire) beside a real PostgreSQL with the same rows, asked in turn by the same clients.

The client is a socket that reads to the end and looks at nothing: what is measured is the server, its CPU that of all
its processes. Both send to 127.0.0.1 without TLS. PostgreSQL has its default settings but 512 MB of shared buffers and
no fsync; its table was vacuumed and has the key as its index. Where PostgreSQL is not installed, only our own figures
are printed. `ROWS=`,
`ROUNDS=`, `ONLY=simple,copy,latency,fresh,crowd,memory` choose less; `PORT=` is ours, the next is PostgreSQL's.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.build import prepare
from benchmarks.measure import Figures, median
from benchmarks.processes import cpu, watched
from benchmarks.wire_client import Client, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = int(os.environ.get("ROWS", "10_000_000"))
ONLY = os.environ.get("ONLY", "simple,copy,latency,fresh,crowd,memory").split(",")
PORT = int(os.environ.get("PORT", "18432"))
PORTS = {"ours": PORT, "postgres": PORT + 1}
DATABASES = {"ours": "bench", "postgres": "postgres"}
ROUNDS = int(os.environ.get("ROUNDS", "3"))
CLIENTS, EACH = 32, 4
NUMBERS = itertools.count()
SLOW_SECONDS = 20.0
ALL = "SELECT * FROM costs /* {} */"
"""With another number each time: what was asked before may be kept."""
COPY = f"COPY ({ALL}) TO STDOUT (FORMAT binary)"
SMALL = (
    "SELECT studio, count(*), sum(cost) FROM costs WHERE rating = {} GROUP BY studio ORDER BY studio",
    "SELECT rating, count(imdb_id), max(gross) FROM costs WHERE id % 97 = {} GROUP BY rating ORDER BY rating",
    "SELECT extract(year FROM released) AS y, sum(gross - cost) FROM costs WHERE rating > {} GROUP BY y ORDER BY y",
    "SELECT sold, studio, min(released), max(imdb_id) FROM costs WHERE cost < 10 * {} GROUP BY sold, studio ORDER BY 1, 2",
)
SELECT = (
    "SELECT id, title, studio, released, cost, gross, rating, imdb_id, released::TIMESTAMP + to_seconds(id % 86400) AS at,"
    " id % 3 = 0 AS sold FROM source"
)
MORE = """
      - {name: at, logicalType: timestamp, physicalType: TIMESTAMP}
      - {name: sold, logicalType: boolean, physicalType: BOOLEAN}
"""


def main() -> None:
    """Print each workload's ratio."""
    folder = Path(tempfile.mkdtemp(prefix="polyport-wire-"))
    folder.chmod(0o755)
    try:
        product = folder / "product"
        made(product)
        command = [sys.executable, "-m", "benchmarks.sql_wire", str(product)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as ours:
            try:
                wait_for(PORTS["ours"], DATABASES["ours"])
                with postgres(folder) as real:
                    compare(ours.pid, real)
            finally:
                ours.terminate()
    finally:
        shutil.rmtree(folder)


def made(folder: Path) -> None:
    """The product with its rows."""
    from polyport.product import Product

    prepare(folder, ROWS)
    (folder / "transform" / "costs.sql").write_text(SELECT + "\n", "utf-8")
    contract = folder / "contracts" / "bench.odcs.yaml"
    contract.write_text(contract.read_text("utf-8").rstrip() + MORE, "utf-8")
    declared = folder / "dataproduct.odps.yaml"
    port = "{name: sql, type: sql, version: 1.0.0, contractId: bench}, {name: rest,"
    declared.write_text(declared.read_text("utf-8").replace("{name: rest,", port), "utf-8")
    with Product.load(folder) as product:
        product.build()


def serve(folder: Path) -> None:
    """Be our server."""
    from polyport.ports.output import Endpoint
    from polyport.ports.output.sql import SqlPort
    from polyport.product import Product

    with Product.load(folder) as product:
        ports = [port for port in product.ports() if isinstance(port, SqlPort)]
        server = SqlPort.listen(ports, Endpoint(port=PORTS["ours"]))
        try:
            threading.Event().wait()
        finally:
            server.close()


@contextmanager
def postgres(folder: Path) -> Iterator[int | None]:
    """A PostgreSQL with the same rows, taken from ours; its process id, or None where there is none."""
    from polyport.ports.output.sql.catalogue.programs import find, unprivileged

    programs = find()
    if programs is None:
        print("PostgreSQL is not installed: no comparison")
        yield None
        return
    home, who = folder / "postgres", unprivileged()
    home.mkdir()
    as_user = {}
    if who:
        os.chown(home, *who)
        as_user = {"user": who[0], "group": who[1], "extra_groups": []}
    data, bin_ = home / "data", programs.bin
    subprocess.run(
        [bin_ / "initdb", "-D", data, "-A", "trust", "-U", "owner", "-E", "UTF8", "--locale=C"],
        check=True, stdout=subprocess.DEVNULL, cwd=home, **as_user,
    )  # fmt: skip
    settings = f"port={PORTS['postgres']}\nunix_socket_directories='{home}'\nshared_buffers=512MB\nfsync=off\n"
    with (data / "postgresql.conf").open("a") as file:
        file.write(settings + "timezone='UTC'\nmax_wal_size=8GB\n")
    with subprocess.Popen(
        [bin_ / "postgres", "-D", data],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home, **as_user,
    ) as process:  # fmt: skip
        try:
            wait_for(PORTS["postgres"], DATABASES["postgres"])
            load()
            yield process.pid
        finally:
            process.send_signal(signal.SIGINT)  # whoever is connected still is not waited for


def load() -> None:
    """Copy the rows from ours to PostgreSQL."""
    table = (
        "CREATE TABLE costs (id bigint PRIMARY KEY, title text, studio text, released date, cost numeric(12,2),"
        " gross numeric(12,2), rating int, imdb_id text, at timestamp, sold boolean)"
    )
    real = Client(PORTS["postgres"], "postgres")
    real.run(table)
    ours = Client(PORTS["ours"], "bench")
    real.ask("COPY costs FROM STDIN (FORMAT binary)")
    ours.ask(COPY.format(0))
    source = ours.socket.makefile("rb", buffering=1 << 20)
    while True:
        head = source.read(5)
        body = source.read(struct.unpack("!i", head[1:])[0] - 4)
        if head[:1] in (b"d", b"c"):
            real.socket.sendall(head + body)
        elif head[:1] == b"E":
            raise SystemExit(body)
        elif head[:1] == b"Z":
            break
    real.finish()
    real.run("VACUUM ANALYZE costs")
    real.run("CHECKPOINT")


def connected(who: str) -> Client:
    """A warm connection."""
    client = Client(PORTS[who], DATABASES[who])
    client.run("SELECT 1")
    client.run("SELECT id, cost FROM costs LIMIT 10")
    return client


def whole(sql: str) -> Callable[[str, int], Figures]:
    """The work of reading one large answer."""

    def work(who: str, pid: int) -> Figures:
        client = connected(who)
        found = figures(pid, lambda: client.run(sql.format(next(NUMBERS))))
        client.close()
        return found

    return work


def latency(sql: str) -> Callable[[str, int], Figures]:
    """The work of one client that asks for hardly anything, again and again; `{}` is another number each time."""

    def work(who: str, pid: int) -> Figures:
        client = connected(who)

        def some(count: int) -> None:
            for _ in range(count):
                client.run(sql.format(next(NUMBERS)))

        some(50)
        found = figures(pid, lambda: some(500), 500)
        client.close()
        return found

    return work


def crowd(who: str, pid: int) -> Figures:
    """Many warm clients that each ask for a few small aggregates, no two of them the same."""
    clients = [connected(who) for _ in range(CLIENTS)]

    def work(client: Client, number: int) -> None:
        for turn in range(EACH):
            client.run(anew(number * EACH + turn))

    def all_at_once() -> None:
        threads = [threading.Thread(target=work, args=(c, n)) for n, c in enumerate(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    for client, group in zip(clients, range(CLIENTS), strict=True):
        client.run(anew(group))
    found = figures(pid, all_at_once, CLIENTS * EACH)
    for client in clients:
        client.close()
    return found


def small(number: int) -> str:
    """One of the small aggregates."""
    return SMALL[number % len(SMALL)].format(number // len(SMALL) % 90)


def anew(number: int) -> str:
    """The same, written so that nobody has answered it before."""
    return f"{small(number)} -- {next(NUMBERS)}"


def figures(pid: int, work: Callable[[], object], count: int = 1) -> Figures:
    """Seconds and CPU of each of the `count` things that `work` does."""
    used, started = cpu(pid), time.perf_counter()
    work()
    taken = time.perf_counter() - started
    return Figures(taken / count, (cpu(pid) - used) / count, 0)


WORKS = {
    "simple": (f"simple query, {ROWS:,} x 10", whole(ALL)),
    "copy": (f"COPY binary, {ROWS:,} x 10", whole(COPY)),
    "latency": ("SELECT 1", latency("SELECT 1")),
    "fresh": ("SELECT n, another n each time", latency("SELECT {}")),
    "crowd": (f"{CLIENTS} clients, small aggregates", crowd),
}


def compare(ours: int, real: int | None) -> None:
    """A line a workload: medians of the rounds."""
    processes = {"ours": ours} if real is None else {"ours": ours, "postgres": real}
    if real is not None and "crowd" in ONLY:
        same()
    for key, (name, work) in WORKS.items():
        if key not in ONLY:
            continue
        found: dict[str, list[Figures]] = {who: [] for who in processes}
        for _ in range(ROUNDS):
            for who, pid in processes.items():
                found[who].append(work(who, pid))
        show(name, {who: median(each) for who, each in found.items()})
    if "memory" in ONLY:
        memory(ours)


def same() -> None:
    """Make sure that both answer the small aggregates alike."""
    ours, real = (Client(PORTS[who], DATABASES[who]) for who in ("ours", "postgres"))
    for number in range(len(SMALL) * 2):
        if ours.rows(small(number)) != real.rows(small(number)):
            raise SystemExit(f"the answers differ: {small(number)}")
    ours.close()
    real.close()


def show(name: str, found: dict[str, Figures]) -> None:
    """One line."""
    mine = found["ours"]
    text = f"sql_wire {name}: ours {shown(mine)}"
    if "postgres" in found:
        peer = found["postgres"]
        text += (
            f"; PostgreSQL {shown(peer)}; ours is {mine.seconds / peer.seconds:.2f}x its time,"
            f" {mine.cpu / max(peer.cpu, 1e-6):.2f}x its CPU"
        )
    print(text, flush=True)


def shown(figures: Figures) -> str:
    """Time and CPU of one statement."""
    if figures.seconds >= 1:
        return f"{figures.seconds:.2f} s, {figures.cpu:.2f} s CPU"
    return f"{1 / figures.seconds:,.1f} a second, {figures.cpu * 1000:.2f} ms CPU each"


def memory(ours: int) -> None:
    """How much the server holds while it streams, and while a client reads slowly."""
    for name, sql in (("simple query", ALL), ("COPY binary", COPY)):
        client = connected("ours")
        with watched(ours, lambda client=client: client.read) as held:
            client.run(sql.format(next(NUMBERS)))
        print(f"sql_wire memory, {name}, {ROWS:,} rows: {held.said()}", flush=True)
        client.close()
    for name, sql in (("simple query", ALL), ("COPY binary", COPY)):
        client = connected("ours")
        with watched(ours, lambda client=client: client.read) as held:
            client.slowly(sql.format(next(NUMBERS)), SLOW_SECONDS)
        print(f"sql_wire memory, {name}, a slow reader: {held.said()}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(Path(sys.argv[1]))
    else:
        main()
