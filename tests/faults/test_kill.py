"""`kill -9` in each stage of `polyport build`: readers notice nothing, and the next build is well."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from tests.forks import forks

from polyport.testing.output_port import ROWS

BUILD = "polyport.pipeline.build"
MOMENTS = {
    "half of raw": ("polyport.pipeline.raw", "_settle", "before", 1),
    "raw without its list": ("polyport.pipeline.raw", "RawStore.record", "before", 1),
    "raw": (BUILD, "receive", "after", 1),
    "transform": (BUILD, "run_steps", "after", 1),
    "check": (BUILD, "gate", "after", 1),
    "before publish": ("polyport.store.local", "LocalStore.publish", "before", 1),
    "published": ("polyport.store.local", "LocalStore.publish", "after", 2),
    "push": ("polyport.ports.output.files", "FilesPort.push", "before", 2),
    "ledger": ("polyport.ledger", "Ledger.record_run", "before", 2),
}


@pytest.fixture(scope="module")
def forked():
    with forks(Path(__file__).with_name("dying.py")) as call:
        yield call


@pytest.fixture
def die(forked):
    def killed(moment, home):
        status, said = forked("command", *MOMENTS[moment][:3], "build", home)
        assert status == -signal.SIGKILL, said

    return killed


def ids(reply):
    return [row["id"] for row in reply.json()["_embedded"]["films"]]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_build_harms_nobody(served, polyport, die, moment):
    served.input(*ROWS[1:])
    die(moment, served.home)
    newest = MOMENTS[moment][3]
    shown = served.client.get("/products/films/rest/v1/films")
    assert shown.headers["polyport-snapshot"].startswith(f"{newest};")
    assert ids(shown) == ([1, 2, 3, 4] if newest == 1 else [2, 3, 4])
    asked = polyport("rows", "films", served.home, "--json")
    assert [row["id"] for row in json.loads(asked.out)] == ids(shown)
    if newest == 1:
        assert served.everything() == served.before
    assert polyport("doctor", served.home).code == 0

    ended = polyport("build", served.home)
    assert ended.code == 0, ended.err
    assert ("Published snapshot 2" if newest == 1 else "snapshot 2 stays") in ended.err
    assert ids(served.client.get("/products/films/rest/v1/films")) == [2, 3, 4]
    drive = json.loads((served.home / "drive/latest/SNAPSHOT.json").read_text())
    assert json.dumps(drive).count("00000002-") >= 1
    shown_there = sorted(p.name for p in (served.home / "drive").glob("[!.]*"))
    assert shown_there == ["00000001", "00000002", "latest"]
    scratch = served.home / ".polyport/scratch"
    left = [p for p in scratch.rglob("*") if p.is_file() and "polyport-files-" not in str(p)]
    assert left == []
    snapshots = json.loads(polyport("history", served.home, "--json").out)
    assert [s["sequence"] for s in snapshots] == [2, 1]
    store = served.home / ".polyport/store"
    runs = {p.parent.name for p in store.rglob("*.parquet")}
    assert runs == {s["run"] for s in snapshots}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_build_killed_as_it_sets_rows_aside(served, polyport, forked, when):
    served.write(
        "cleanse/kept.sql", "SELECT *, CASE WHEN id = 1 THEN 'too old' END AS _refused FROM sheet"
    )
    served.edit("transform/films.sql", "FROM sheet", "FROM kept")
    status, said = forked(
        "command", "polyport.pipeline.cleanse", "_keep_refused", when, "build", served.home
    )
    assert status == -signal.SIGKILL, said
    assert served.everything() == served.before
    ended = polyport("build", served.home)
    assert "Published snapshot 2" in ended.err
    assert ids(served.client.get("/products/films/rest/v1/films")) == [2, 3, 4]
    aside = list((served.home / ".polyport/quarantine").rglob("*.parquet"))
    assert aside
    (run,) = {p.parent.name for p in aside} & {
        r["id"]
        for r in json.loads(polyport("history", served.home, "--runs", "--json").out)
        if r["outcome"] != "killed"
    }
    assert run


def test_a_killed_first_build_leaves_a_product_without_snapshots(tmp_path, polyport, die):
    assert polyport("init", "fresh", "--dir", tmp_path).code == 0
    die("before publish", tmp_path / "fresh")
    assert json.loads(polyport("history", tmp_path / "fresh", "--json").out) == []
    ended = polyport("build", tmp_path / "fresh")
    assert "Published snapshot 1" in ended.err
