"""Several processes at once, and processes killed at any moment (kill -9)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pyiceberg.table import StaticTable

from polyport.store.layout import Home
from polyport.store.local import LocalStore
from polyport.testing.store import PRODUCT, publish, publish_many, rows, table

KILLED = -signal.SIGKILL


class Children:
    def __init__(self, process):
        self._process = process

    def send(self, *jobs):
        self._process.stdin.write(json.dumps(jobs) + "\n")
        self._process.stdin.flush()

    def receive(self):
        return json.loads(self._process.stdout.readline())

    def run(self, *jobs):
        self.send(*jobs)
        return self.receive()


@pytest.fixture(scope="module")
def children():
    script = Path(__file__).with_name("children.py")
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=pipe, stdout=pipe, text=True
    ) as process:
        yield Children(process)
        process.stdin.close()
        assert process.wait(timeout=60) == 0


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


def on_disk(root):
    """Every file that holds rows or metadata, and every lock of a run; relative to the store."""
    home = Home.of(root, PRODUCT)
    paths = [path for place in (home.data, home.iceberg) for path in place.rglob("*")]
    return {home.relative(path) for path in paths if path.is_file()}


def needed(store):
    found = store._needed(Home.of(store.root, PRODUCT))
    assert found
    return set(found)


def assert_whole(store):
    for snapshot in store.history(PRODUCT):
        for name in snapshot.datasets:
            found = rows(store, snapshot, name)
            assert len(found) == snapshot.datasets[name].rows
            table = StaticTable.from_metadata(store.iceberg(snapshot, name))
            assert table.scan().to_arrow().to_pylist() == found


@pytest.mark.parametrize(
    "moment",
    [
        "while staging",
        "before data",
        "mid data",
        "before publish",
        "before fsync",
        "mid metadata",
        "before the link",
        "after the link",
        "after publish",
        "while tidying",
    ],
)
def test_a_build_killed_at_any_moment(children, root, moment):
    store = LocalStore(root)
    first = publish(store, "r1", {"movies": table("r1"), "studios": table("r1")})
    visible = moment in {"after the link", "after publish", "while tidying"}
    (ended,) = children.run({"do": "publish", "root": str(root), "run": "killed", "moment": moment})
    assert ended == {"code": KILLED, "answer": None}
    newest = store.snapshot(PRODUCT, "latest")
    assert newest.run == ("killed" if visible else "r1")
    assert_whole(store)
    after = publish(store, "r2", {"movies": table("r2"), "studios": table("r2")}, parent=newest)
    assert after.sequence == (3 if visible else 2)
    assert_whole(store)
    assert on_disk(root) == needed(store)
    assert {path.name for path in (root / PRODUCT / "data").iterdir()} == {
        snapshot.run for snapshot in store.history(PRODUCT)
    }
    assert first in store.history(PRODUCT)


def test_the_first_build_of_all_killed(children, root):
    for moment in ("while staging", "mid data", "before the link"):
        job = {"do": "publish", "root": str(root), "run": "killed", "moment": moment}
        assert children.run(job)[0]["code"] == KILLED
        assert LocalStore(root).history(PRODUCT) == ()
    store = LocalStore(root)
    publish(store, "r1", {"movies": table("r1")})
    assert on_disk(root) == needed(store)


def test_a_killed_run_may_come_back_under_its_own_name(children, root):
    job = {"do": "publish", "root": str(root), "run": "again"}
    assert children.run({**job, "moment": "before publish"})[0]["code"] == KILLED
    assert children.run({**job, "moment": "never"})[0]["answer"].startswith("00000001-")


@pytest.mark.parametrize(
    "moment", ["between the manifests", "after the manifests", "between the files"]
)
def test_an_expiry_killed_halfway(children, root, moment):
    store = LocalStore(root)
    publish_many(store, 5)
    (ended,) = children.run({"do": "expire", "root": str(root), "keep": 2, "moment": moment})
    assert ended == {"code": KILLED, "answer": None}
    kept = [snapshot.sequence for snapshot in store.history(PRODUCT)]
    assert kept == ([2, 3, 4, 5] if moment == "between the manifests" else [4, 5])
    assert_whole(store)
    store.expire(PRODUCT, keep=2)
    assert [snapshot.sequence for snapshot in store.history(PRODUCT)] == [4, 5]
    assert on_disk(root) == needed(store)


def test_a_hold_protects_across_processes_and_ends_with_a_kill(children, root):
    store = LocalStore(root)
    publish_many(store, 3)
    children.send({"do": "hold", "root": str(root), "ref": "1"})
    pid = children.receive()["pid"]
    assert children.receive() == "held"
    assert store.expire(PRODUCT, keep=1).held == (1,)
    assert store.expire(PRODUCT, keep=1, dry_run=True).held == (1,)
    os.kill(pid, signal.SIGKILL)
    assert children.receive()[0]["code"] == KILLED
    assert store.expire(PRODUCT, keep=1).snapshots == (1,)


def test_of_two_processes_racing_one_wins_each_round(children, root):
    rounds = 20
    job = {"do": "race", "root": str(root), "rounds": rounds, "iceberg": False}
    jobs = [{**job, "name": name} for name in "ab"]
    answers = [ended["answer"] for ended in children.run(*jobs)]
    store = LocalStore(root)
    won = [snapshot_id for answer in answers for snapshot_id in answer["won"]]
    lost = [loss for answer in answers for loss in answer["lost"]]
    assert sorted(won) == [snapshot.id for snapshot in store.history(PRODUCT)]
    assert (len(won), len(lost)) == (rounds, rounds)
    assert all(winner in message for winner, message in lost)
    assert on_disk(root) == needed(store)


def test_readers_see_whole_snapshots_through_a_hundred_publishes(children, root):
    store = LocalStore(root)
    publish(store, "run-0", {"movies": table("0"), "studios": table("0")})
    count, where = 100, {"root": str(root), "iceberg": False}
    ended = children.run(
        {"do": "write", "count": count, **where},
        {"do": "read", "until": count + 1, **where},
        {"do": "sweep", "until": count + 1, **where},
    )
    _, read, swept = (child["answer"] for child in ended)
    assert [child["code"] for child in ended] == [0, 0, 0]
    assert read > 1
    assert swept > 1
    assert store.snapshot(PRODUCT, "latest").sequence == count + 1
    store.expire(PRODUCT, keep=1)
    assert on_disk(root) == needed(store)
