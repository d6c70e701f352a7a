"""A mesh of many products beside one of few, and beside one product alone.

What a product costs there is what each further one adds: 1.0x where it is the same, however many others there are.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.measure import Figures, run
from benchmarks.processes import cpu

FEW, MANY = 50, 200
PORT = 18460
COMMANDS = {
    "build all": ("build", ""),
    "check all": ("check", ""),
    "build one": ("build", "p0"),
    "history of one": ("history", "p0"),
}
CATALOG = "serve, /catalog"


def prepare(root: Path, number: int) -> Path:
    """The folder of a mesh of `number` products as `polyport init` makes them."""
    root.mkdir()
    (root / "mesh.yaml").write_text("name: bench\n", "utf-8")
    polyport = [sys.executable, "-m", "polyport"]
    subprocess.run([*polyport, "init", "p0"], cwd=root, check=True, capture_output=True)
    for each in range(1, number):
        home = shutil.copytree(root / "p0", root / f"p{each}")
        file = home / "dataproduct.odps.yaml"
        file.write_text(file.read_text("utf-8").replace("id: p0", f"id: p{each}"), "utf-8")
    return root


def measured(root: Path) -> dict[str, Figures]:
    """What each command takes of the mesh in `root`, and its catalogue from a server."""
    polyport = [sys.executable, "-m", "polyport"]
    found = {
        name: run([*polyport, command, str(root / below)])
        for name, (command, below) in COMMANDS.items()
    }
    with subprocess.Popen(
        [*polyport, "serve", str(root), "--port", str(PORT)], stderr=subprocess.DEVNULL
    ) as server:
        try:
            catalog()  # the first looks at everything anew
            before, started = cpu(server.pid), time.perf_counter()
            for _ in range(5):
                catalog()
            took = time.perf_counter() - started
            found[CATALOG] = Figures(took / 5, (cpu(server.pid) - before) / 5, peak(server.pid))
        finally:
            server.terminate()
    return found


def catalog(seconds: float = 60) -> None:
    """Read the catalogue, as soon as the server answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/catalog") as answer:
                answer.read()
                return
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def peak(pid: int) -> int:
    """The bytes that the process held at most."""
    said = Path(f"/proc/{pid}/status").read_text("ascii")
    return 1024 * next(int(x.split()[1]) for x in said.splitlines() if x.startswith("VmHWM"))


def main() -> None:
    """Print ratios."""
    folder = Path(tempfile.mkdtemp(prefix="polyport-bench-"))
    try:
        one, few, many = (
            measured(prepare(folder / str(number), number)) for number in (1, FEW, MANY)
        )
    finally:
        shutil.rmtree(folder)
    for name in many:
        first = (few[name].cpu - one[name].cpu) / (FEW - 1)
        last = (many[name].cpu - few[name].cpu) / (MANY - FEW)
        print(
            f"{name}: {one[name].cpu:.2f}, {few[name].cpu:.2f} and {many[name].cpu:.2f} s of CPU in a mesh of 1,"
            f" {FEW} and {MANY}; a further product {first * 1000:.1f} and {last * 1000:.1f} ms ({last / first:.2f}x);"
            f" at most {one[name].peak >> 20}, {few[name].peak >> 20} and {many[name].peak >> 20} MiB"
        )


if __name__ == "__main__":
    main()
