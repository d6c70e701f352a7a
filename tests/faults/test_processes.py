"""Readers and builders at the same time, each in a process of its own."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections import Counter

import python_calamine

from polyport.product import Product
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.output_port import ROWS

PUBLISHES = 100
PUBLISHER = """
import sys
from pathlib import Path
from polyport.product import Product

home, wanted = Path(sys.argv[1]), int(sys.argv[2])
with Product.load(home) as product:
    first = product.history()[-1].sequence
    for generation in range(1, wanted + 1):
        rows = [f"{n},t,2001-01-01,s,{generation}" for n in range(20 + generation % 3)]
        (home / "inputs/films.csv").write_text("\\n".join(["id,title,released,studio,cost", *rows, ""]))
        assert product.build().snapshot.sequence == first + generation
"""
SECOND = """\
  - name: generations
    properties:
      - {name: id, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true}
      - {name: cost, logicalType: number, physicalType: "DECIMAL(18,2)"}
"""
MEETING = """
import os, time
from pathlib import Path
import pyarrow as pa

def cheap(sheet: pa.Table) -> pa.Table:
    meeting = Path(__file__).parents[1] / "meeting"
    (meeting / str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while len(list(meeting.iterdir())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return sheet
"""


def two_datasets(served):
    """Every row of both datasets carries the generation that it belongs to, as its cost."""
    served.write(
        "transform/generations.sql",
        "SELECT id::BIGINT AS id, cost::DECIMAL(18,2) AS cost FROM sheet\n",
    )
    contract = served.home / "contracts/films.odcs.yaml"
    contract.write_text(contract.read_text() + SECOND)
    settings = served.home / "polyport.yaml"
    lines = [
        x for x in settings.read_text().splitlines() if "ports:" not in x and "partner" not in x
    ]
    settings.write_text("\n".join(["retention: {snapshots: 20}", *lines, ""]))
    served.input(*(f"{n},t,2001-01-01,s,0" for n in range(20)))


def rest(client):
    """The newest page, and the other dataset of the same snapshot."""
    first = client.get("/products/films/rest/v1/films").raise_for_status()
    pinned = first.headers["polyport-snapshot"].split(";")[0]
    second = client.get("/products/films/rest/v1/generations", params={"snapshot": pinned})
    pages = (first.json(), second.raise_for_status().json())
    rows = [row for page in pages for row in next(iter(page["_embedded"].values()))]
    return first.headers, [int(row["cost"]) for row in rows], 2


def csv(client):
    reply = client.get("/products/films/files/v1/films.csv").raise_for_status()
    lines = reply.text.splitlines()[1:]
    return reply.headers, [int(float(line.rsplit(",", 1)[1])) for line in lines], 1


def workbook(client):
    """Both datasets in one file."""
    reply = client.get("/products/films/files/v1/films.xlsx").raise_for_status()
    book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(reply.content))
    sheets = [book.get_sheet_by_name(name).to_python() for name in book.sheet_names[:-1]]
    return reply.headers, [int(row[-1]) for rows in sheets for row in rows[1:]], len(sheets)


def test_readers_see_only_whole_snapshots_through_100_publishes(served):
    """Of every answer all rows are of one generation, and there are as many as it has; old ones expire meanwhile."""
    two_datasets(served)
    with Product.load(served.home) as product:
        product.build()
        client = Client(create_app([product]))
        seen, counts = {}, Counter()
        command = [sys.executable, "-c", PUBLISHER, str(served.home), str(PUBLISHES)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as publisher:
            try:
                while publisher.poll() is None:
                    for ask in (rest, csv, rest, workbook):
                        headers, costs, datasets = ask(client)
                        (generation,) = set(costs)
                        assert len(costs) == datasets * (20 + generation % 3)
                        snapshot = headers["polyport-snapshot"]
                        assert seen.setdefault(snapshot, generation) == generation
                        assert int(snapshot.split(";")[0]) == generation + 2
                        counts[ask.__name__] += 1
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            publisher.wait(0.1)  # leaves it a core
            finally:
                publisher.kill()
            assert publisher.returncode == 0, publisher.stderr.read()
        history = product.history()
        assert history[-1].sequence == PUBLISHES + 2
        assert 20 <= len(history) <= 22
    assert min(counts[name] for name in ("rest", "csv", "workbook")) > 5
    assert len(seen) > 5


def test_of_two_builds_at_once_one_wins_and_the_other_is_told(served, polyport, program):
    served.edit("transform/films.sql", "FROM sheet", "FROM cheap")
    served.write("transform/cheap.py", MEETING)
    (served.home / "meeting").mkdir()
    served.input(*ROWS[1:])
    command = [program, "build", served.home]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        said = {}
        for process in both:
            text = process.communicate(timeout=120)[1]
            said[process.returncode] = text
    finally:
        for process in both:
            process.kill()
    assert sorted(said) == [0, 7], said
    assert "Published snapshot 2" in said[0]
    assert "error[PP430]: " in said[7]
    assert "snapshot 2 is still served" in said[7]
    assert "Traceback" not in said[0] + said[7]
    runs = json.loads(polyport("history", served.home, "--runs", "--json").out)
    assert sorted(run["outcome"] for run in runs) == ["conflict", "published", "published"]
    reply = served.client.get("/products/films/rest/v1/films").json()
    assert [row["id"] for row in reply["_embedded"]["films"]] == [2, 3, 4]
    assert polyport("doctor", served.home).code == 0
    again = polyport("build", served.home)  # the meeting has two by now
    assert "Nothing changed: snapshot 2 stays" in again.err
