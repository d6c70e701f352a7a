"""The SQL port (PostgreSQL wire) beside a real PostgreSQL with the same rows, asked in turn by the same clients.

The client is a socket that reads to the end and looks at nothing: what is measured is the server. Both send to
127.0.0.1 without TLS. PostgreSQL has its default settings but 512 MB of shared buffers and no fsync; its table was
vacuumed and has the key as its index. Where PostgreSQL is not installed, only our own figures are printed.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from benchmarks.build import prepare

ROWS = int(os.environ.get("ROWS", "10_000_000"))
PORTS = {"ours": 18432, "postgres": 18433}
ROUNDS = 3
CLIENTS, EACH = 32, 4
ALL = "SELECT * FROM costs"
COPY = f"COPY ({ALL}) TO STDOUT (FORMAT binary)"
SMALL = "SELECT studio, count(*), sum(cost) FROM costs WHERE rating = {} GROUP BY studio ORDER BY studio"
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
                wait_for(PORTS["ours"])
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
def postgres(folder: Path):
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
            wait_for(PORTS["postgres"])
            load()
            yield process.pid
        finally:
            process.terminate()


def load() -> None:
    """Copy the rows from ours to PostgreSQL."""
    table = (
        "CREATE TABLE costs (id bigint PRIMARY KEY, title text, studio text, released date, cost numeric(12,2),"
        " gross numeric(12,2), rating int, imdb_id text, at timestamp, sold boolean)"
    )
    real = Client(PORTS["postgres"], "postgres")
    real.run(table)
    ours = Client(PORTS["ours"], "bench")
    real.socket.sendall(framed(b"Q", b"COPY costs FROM STDIN (FORMAT binary)\0"))
    ours.socket.sendall(framed(b"Q", COPY.encode() + b"\0"))
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


class Client:
    """A connection that looks at nothing but the end."""

    def __init__(self, port: int, database: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray(1 << 20)
        body = struct.pack("!i", 3 << 16) + f"user\0owner\0database\0{database}\0\0".encode()
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self.finish()

    def finish(self) -> int:
        """Read up to ReadyForQuery; the bytes."""
        whole, tail = 0, b""
        while tail[-6:-1] != b"Z\0\0\0\5":
            size = self.socket.recv_into(self.buffer)
            if not size:
                raise SystemExit("the server closed the connection")
            whole += size
            tail = (tail + bytes(self.buffer[max(0, size - 400) : size]))[-400:]
        if b"SERROR" in tail:
            raise SystemExit(tail)
        return whole

    def run(self, sql: str) -> int:
        """Ask, and read all; the bytes."""
        self.socket.sendall(framed(b"Q", sql.encode() + b"\0"))
        return self.finish()


def framed(kind: bytes, body: bytes) -> bytes:
    """A message."""
    return kind + struct.pack("!i", len(body) + 4) + body


def wait_for(port: int) -> None:
    """Return when somebody listens there."""
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"nobody listens at {port}")


def timed(port: int, sql: str) -> float:
    """The seconds of one statement on a warm connection."""
    client = Client(port, "bench" if port == PORTS["ours"] else "postgres")
    client.run("SELECT 1")
    started = time.perf_counter()
    client.run(sql)
    taken = time.perf_counter() - started
    client.socket.close()
    return taken


def latency(port: int) -> float:
    """The median of `SELECT 1`, in milliseconds."""
    client = Client(port, "bench" if port == PORTS["ours"] else "postgres")
    times = []
    for _ in range(500):
        started = time.perf_counter()
        client.run("SELECT 1")
        times.append(time.perf_counter() - started)
    client.socket.close()
    return statistics.median(times[50:]) * 1000


def crowd(port: int) -> float:
    """The seconds that many clients take for a few small aggregates each."""
    database = "bench" if port == PORTS["ours"] else "postgres"
    clients = [Client(port, database) for _ in range(CLIENTS)]

    def work(client: Client, number: int) -> None:
        for turn in range(EACH):
            client.run(SMALL.format((number * EACH + turn) % 101))

    threads = [threading.Thread(target=work, args=(c, n)) for n, c in enumerate(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - started
    for client in clients:
        client.socket.close()
    return taken


def tree(pid: int) -> list[int]:
    """The process and all that it started."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue
    return found


def cpu(pid: int) -> float:
    """Seconds of CPU of the process and all that it started, those that have ended too."""
    ticks = 0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text("ascii").rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def peak(pid: int) -> int:
    """The most memory that the process has held, MiB."""
    said = Path(f"/proc/{pid}/status").read_text()
    return (
        next(int(line.split()[1]) for line in said.splitlines() if line.startswith("VmHWM")) // 1024
    )


def compare(ours: int, real: int | None) -> None:
    """A line a workload: medians of the rounds."""
    before = peak(ours)
    works = {
        f"simple query, {ROWS:,} x 10": lambda port: timed(port, ALL),
        f"COPY binary, {ROWS:,} x 10": lambda port: timed(port, COPY),
        "SELECT 1 (ms)": latency,
        f"{CLIENTS} clients, {EACH} small aggregates each": crowd,
    }
    processes = {"ours": ours, "postgres": real}
    for name, work in works.items():
        times: dict[str, list[float]] = {who: [] for who in PORTS}
        used: dict[str, list[float]] = {who: [] for who in PORTS}
        for _ in range(ROUNDS):
            for who, port in PORTS.items():
                pid = processes[who]
                if pid is not None:
                    start = cpu(pid)
                    times[who].append(work(port))
                    used[who].append(cpu(pid) - start)
        show(name, times, used)
    print(f"sql_wire memory of the port: {before} MiB before, {peak(ours)} MiB at most", flush=True)


def show(name: str, times: dict[str, list[float]], used: dict[str, list[float]]) -> None:
    """One line."""
    mine, cost = statistics.median(times["ours"]), statistics.median(used["ours"])
    text = f"sql_wire {name}: ours {mine:.2f}, {cost:.2f} s CPU with its workers"
    if times["postgres"]:
        peer, theirs = statistics.median(times["postgres"]), statistics.median(used["postgres"])
        text += f"; PostgreSQL {peer:.2f}, {theirs:.2f} s; ours is {mine / peer:.2f}x its time, {cost / max(theirs, 0.01):.2f}x its CPU"
    print(text, flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(Path(sys.argv[1]))
    else:
        main()
