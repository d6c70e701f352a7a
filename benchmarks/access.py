"""REST reads with a key, an agreement, a policy and metering, beside the same reads with none of these.

Both serve the same million rows by the same code, from a process each, asked in turn. `bare` knows nobody, asks for no
agreement, applies no policy and writes nothing to the ledger; `guarded` is what `polyport serve` does for a principal
with an API key whose agreement gives a role with a row filter (that all rows fit). Figures are the server's CPU per
request and the client's median wait, of guarded over bare.
"""

from __future__ import annotations

import http.client
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import rest
from benchmarks.build import prepare

if TYPE_CHECKING:
    import subprocess

PORTS = {"bare": 18410, "guarded": 18411}
ROUNDS = 3
COUNTS = {"point": 500, "page": 100, "group": 200, "fresh": 20}


def main() -> None:
    """Print each workload's ratio."""
    folder = Path(tempfile.mkdtemp(prefix="polyport-bench-"))
    try:
        prepare(folder, rest.ROWS)
        with (folder / "polyport.yaml").open("a", encoding="utf-8") as file:
            file.write('access: {roles: {analyst: {rows: "rating >= 0"}}}\n')
            file.write("ports: {rest: {index: {costs: [[studio, cost]]}}}\n")
        key = prepared(folder)
        servers = [server(kind, folder, key) for kind in PORTS]
        with rest.running(servers[0]) as bare, rest.running(servers[1]) as guarded:
            show(compare(servers, [bare, guarded]))
    finally:
        shutil.rmtree(folder)


def prepared(folder: Path) -> str:
    """Build, agree, and give the key."""
    from polyport.access import keys
    from polyport.model import Principal
    from polyport.product import Product

    with Product.load(folder) as product:
        product.build()
        document = {
            "apiVersion": "v0.9.0",
            "kind": "AccessAgreement",
            "id": "bench",
            "status": "approved",
            "description": {"purpose": "benchmarks"},
            "provider": {"teamId": "t", "dataProductId": "bench", "outputPortId": "*"},
            "consumer": {"userId": "ann"},
            "roles": [{"role": "analyst"}],
        }
        entry = {"agreement": document, "decision": "approved", "note": ""}
        product.ledger.journal.append("agreement", "bench", entry, product="bench", by="owner")
        return keys.create(product.control, Principal("ann"), by="owner")[1]


def server(kind: str, folder: Path, key: str) -> rest.Server:
    """One of the two."""
    base, headers = "/products/bench/rest/v1/costs", {"Authorization": f"Bearer {key}"}

    def page() -> tuple[str, dict[str, str], None]:
        studio, cost = rest.page()
        return (
            f"{base}?studio={studio}&cost.gt={cost}&sort=-cost&limit=100",
            headers,
            None,
        )

    group = f"{base}?group=studio&agg=sum:cost,count"
    return rest.Server(
        kind,
        PORTS[kind],
        [sys.executable, "-m", "benchmarks.access", kind, str(folder)],
        {
            "point": lambda: (f"{base}/{rest.point()}", headers, None),
            "page": page,
            "group": lambda: (group, headers, None),
            "fresh": lambda: (f"{group}&id.gt={rest.point()}", headers, None),
        },
    )


def compare(servers: list[rest.Server], processes: list[subprocess.Popen]) -> dict:
    """Workload -> for each round (CPU bare, CPU guarded, wait bare, wait guarded), in ms per request."""
    lines = [http.client.HTTPConnection("127.0.0.1", s.port, timeout=600) for s in servers]
    for line, each, process in zip(lines, servers, processes, strict=True):
        for name in ("point", "fresh", "fresh"):
            rest.ask(line, each.paths[name]())
        rest.wait_until_idle(process.pid)
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in COUNTS}
    for _ in range(ROUNDS):
        for name, count in COUNTS.items():
            cpus, waits = [], []
            for line, each, process in zip(lines, servers, processes, strict=True):
                rest.ask(line, each.paths[name]())
                before, times = rest.cpu(process.pid), []
                for _ in range(count):
                    started = time.perf_counter()
                    rest.ask(line, each.paths[name]())
                    times.append(time.perf_counter() - started)
                cpus.append((rest.cpu(process.pid) - before) / count * 1000)
                waits.append(statistics.median(times) * 1000)
            found[name].append((*cpus, *waits))
    for line in lines:
        line.close()
    return found


def show(found: dict) -> None:
    """A line a workload: the median of the rounds."""
    for name, rounds in found.items():
        cpu = statistics.median(r[1] / max(r[0], 1e-3) for r in rounds)
        wait = statistics.median(r[3] / r[2] for r in rounds)
        last = rounds[-1]
        print(
            f"access {name:6} guarded is {cpu:5.2f}x CPU {wait:5.2f}x time of bare"
            f"  ({last[0]:.2f} -> {last[1]:.2f} ms CPU, {last[2]:.2f} -> {last[3]:.2f} ms)"
        )


def serve(kind: str, folder: Path) -> None:
    """Be one of the two servers."""
    import uvicorn

    from polyport import server
    from polyport.access.identity import Identity
    from polyport.model import OWNER
    from polyport.product import Product

    with Product.load(folder) as product:
        product.speed_up()
        identify = Identity(product.control) if kind == "guarded" else lambda _: (OWNER, "")
        if kind == "bare":
            product.ledger.record_read = lambda _: None
            product.ledger.record_request = lambda _: None
            Product.open = unguarded
        app = server.create_app([product], identify=identify)
        uvicorn.run(
            app,
            host="127.0.0.1",
            port=PORTS[kind],
            log_level="warning",
            access_log=False,
            timeout_keep_alive=600,  # the line is idle while the other is asked
        )


def unguarded(product, principal, ref="latest", *, port="library", purpose="", mapping=None):
    """What `Product.open` does besides asking who it is for."""
    from polyport.access import View, opening
    from polyport.access.mapping import AS_PUBLISHED

    held = product.store.hold(product.spec.id, ref)
    return View(
        held.__enter__(),
        principal,
        port,
        purpose,
        product.policy,
        product.engine,
        product.store.files,
        product.ledger.record_read,
        release=lambda: held.__exit__(None, None, None),
        keyed=lambda of, dataset: opening.keyed_index(product, of, dataset),
        results=product.results,
        mapping=mapping or AS_PUBLISHED,
    )


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2])) if len(sys.argv) > 1 else main()
