"""How long raw data and refused rows are kept."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyport.errors import NotFoundError, StoreError
from polyport.pipeline import retention
from polyport.pipeline.raw import RawStore
from polyport.ports.input import Received
from polyport.product import Product
from polyport.testing.output_port import ROWS, make_product, write_rows

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
BAD = "7,Bad,not a day,Fox,1"
NO_LIMIT = retention.Limits(99)


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        self.now += dt.timedelta(days=1)
        return self.now


def kept_at(folder):
    raw = RawStore(folder / "raw", clock=Clock())
    return retention.Kept(raw, folder / "quarantine", folder / "logs")


def receive(kept, run, *contents):
    """A run that received `contents` and set a row aside."""
    objects = tuple(kept.raw.keep(f"{c}.csv", [c.encode()], origin="o") for c in contents)
    kept.raw.record(run, {"p": Received("p", objects, "sha256:0")})
    aside = kept.quarantine / run
    aside.mkdir(parents=True)
    (aside / "rows.parquet").write_bytes(b"x")


def contents(kept):
    return sorted(p.read_text() for p in kept.raw.folder.glob("??/*"))


def aside(kept):
    return sorted(p.name for p in kept.quarantine.iterdir())


def test_what_a_kept_snapshot_came_from_stays_and_the_rest_goes(tmp_path):
    kept = kept_at(tmp_path)
    receive(kept, "r1", "a", "shared")
    receive(kept, "r2", "b", "shared")
    receive(kept, "r3", "c")
    assert retention.tidy(kept, lambda: {"r2"}, retention.Limits(0)) == ("r1", "r3")
    assert contents(kept) == ["b", "shared"]
    assert aside(kept) == ["r2"]
    assert set(kept.raw.load("r2")) == {"p"}
    with pytest.raises(NotFoundError):
        kept.raw.load("r1")


def test_the_newest_of_the_others_stay_and_none_that_is_too_old(tmp_path):
    kept = kept_at(tmp_path)
    for run in ("r1", "r2", "r3", "r4"):
        receive(kept, run, run)
    noted = kept.raw.noted()
    assert retention.tidy(kept, lambda: {"r1"}, retention.Limits(2)) == ("r2",)
    limits = retention.Limits(2, noted["r4"])
    assert retention.tidy(kept, lambda: {"r1"}, limits) == ("r3",)
    assert contents(kept) == ["r1", "r4"]


def log(kept, run, at):
    """The two logs of a run, last written at `at`."""
    kept.logs.mkdir(parents=True, exist_ok=True)
    for name in (f"{run}.log", f"{run}.errors.log"):
        (kept.logs / name).write_text("{}\n")
        os.utime(kept.logs / name, (at.timestamp(), at.timestamp()))


def logged(kept):
    return sorted(p.name for p in kept.logs.iterdir())


def test_logs_stay_with_their_snapshots_and_so_do_the_newest_others(tmp_path, monkeypatch):
    """Also those of runs that failed before they received anything."""
    monkeypatch.setattr(retention, "LOGS", 2)
    kept = kept_at(tmp_path)
    receive(kept, "r0", "a")
    for day in range(6):
        log(kept, f"r{day}", START + dt.timedelta(days=day))
    retention.tidy(kept, lambda: {"r0"}, retention.Limits(0))
    assert logged(kept) == sorted(
        f"r{n}{end}" for n in (0, 4, 5) for end in (".log", ".errors.log")
    )
    retention.tidy(kept, lambda: {"r0"}, retention.Limits(0, START + dt.timedelta(days=5)))
    assert logged(kept) == ["r0.errors.log", "r0.log", "r5.errors.log", "r5.log"]


def test_no_log_goes_while_a_build_is_going_on(tmp_path, monkeypatch):
    monkeypatch.setattr(retention, "LOGS", 0)
    kept = kept_at(tmp_path)
    receive(kept, "r1", "a")
    log(kept, "r1", START)
    with retention.in_use(kept.raw.folder):
        retention.tidy(kept, set, retention.Limits(0))
    assert logged(kept) == ["r1.errors.log", "r1.log"]
    retention.tidy(kept, set, retention.Limits(0))
    assert logged(kept) == []


def test_where_incremental_ports_go_on_stays(tmp_path):
    kept = kept_at(tmp_path)
    receive(kept, "r1", "a")
    kept.raw.accept("r1")
    receive(kept, "r2", "b")
    assert retention.tidy(kept, set, retention.Limits(0)) == ("r2",)
    assert set(kept.raw.latest()) == {"p"}


def test_nothing_goes_while_the_raw_data_is_in_use(tmp_path):
    kept = kept_at(tmp_path)
    receive(kept, "r1", "a")
    with retention.in_use(kept.raw.folder), retention.in_use(kept.raw.folder):
        assert retention.tidy(kept, set, retention.Limits(0)) == ()
    assert contents(kept) == ["a"]
    assert retention.tidy(kept, set, retention.Limits(0)) == ("r1",)


def test_a_damaged_list_is_told_and_nothing_goes(tmp_path):
    kept = kept_at(tmp_path)
    receive(kept, "r1", "a")
    receive(kept, "r2", "b")
    (kept.raw.folder / "runs/r2.json").write_text('{"format": 1')
    with pytest.raises(StoreError, match="damaged"):
        retention.tidy(kept, set, retention.Limits(0))
    assert contents(kept) == ["a", "b"]
    assert aside(kept) == ["r1", "r2"]


def test_where_there_is_nothing_nothing_is_made(tmp_path):
    assert retention.tidy(kept_at(tmp_path), set, NO_LIMIT) == ()
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None, max_examples=40)
@given(
    received=st.lists(st.sets(st.sampled_from("abcdef")), min_size=1, max_size=6),
    needed=st.sets(st.integers(0, 5)),
    runs=st.integers(0, 6),
)
def test_every_run_that_stays_can_be_rebuilt(tmp_path_factory, received, needed, runs):
    kept = kept_at(tmp_path_factory.mktemp("r"))
    for number, each in enumerate(received):
        receive(kept, f"r{number}", *each)
    names = {f"r{n}" for n in needed}
    gone = retention.tidy(kept, lambda: names, retention.Limits(runs))
    staying = {f"r{n}" for n in range(len(received))} - set(gone)
    assert staying >= names & {f"r{n}" for n in range(len(received))}
    assert len(staying - names) <= runs
    for run in staying:
        kept.raw.load(run)
    wanted = {c for n, each in enumerate(received) if f"r{n}" in staying for c in each}
    assert contents(kept) == sorted(wanted)
    assert aside(kept) == sorted(staying)


# As a product has it


def runs(home):
    return sorted(p.stem for p in (home / ".polyport/raw/films/runs").iterdir())


def build(home, *rows):
    write_rows(home, rows)
    with Product.load(home) as product:
        return product.build()


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "films"
    make_product(home, "rest").close()
    settings = home / "polyport.yaml"
    settings.write_text("retention: {snapshots: 2, runs: 1}\n" + settings.read_text())
    return home


def test_raw_data_goes_with_its_snapshot(home):
    with Product.load(home) as product:
        (first,) = product.history()
    built = [build(home, *ROWS[n:]).run.id for n in (1, 2, 3)]
    assert set(runs(home)) == set(built)  # two kept snapshots, and the newest of the other runs
    with Product.load(home) as product:
        kept = [s.run for s in product.history()]
        assert kept == built[-2:]
        for run in kept:
            again = product.build(from_run=run)
            assert again.snapshot is not None
        with pytest.raises(NotFoundError, match="no raw data of run"):
            product.build(from_run=first.run)


def test_a_build_that_is_refused_or_changes_nothing_does_not_pile_up(home):
    build(home, *ROWS)
    for number in range(3):
        with pytest.raises(Exception, match="not a day"):
            build(home, *ROWS, BAD.replace("Bad", f"Bad {number}"))
    assert len(runs(home)) == 3  # that of the snapshot, the accepted one, and one more
    files = list((home / ".polyport/raw/films").glob("??/*"))
    assert len(files) == 2
    for _ in range(3):
        assert build(home, *ROWS).run.outcome == "unchanged"
    assert len(runs(home)) == 2  # the accepted one is the newest of the others


DYING = """
import os, signal, sys
from pathlib import Path
from polyport.product import Product

left, real = int(sys.argv[2]), os.unlink
def unlink(path, *given, **more):
    global left
    if "/raw/" in str(path) or "/quarantine/" in str(path):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    real(path, *given, **more)

os.unlink = unlink
Path.unlink = lambda self, missing_ok=False: unlink(self)
with Product.load(sys.argv[1]) as product:
    product.build()
"""


@pytest.mark.parametrize("after", range(3))
def test_a_kill_within_the_cleanup_leaves_what_is_kept_whole(home, after):
    built = [build(home, *ROWS[n:]).run.id for n in range(3)]
    write_rows(home, ROWS[:1])
    child = [sys.executable, "-c", DYING, str(home), str(after)]
    ended = subprocess.run(child, capture_output=True, timeout=120, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    with Product.load(home) as product:
        kept = {s.run for s in product.history()}
        assert built[2] in kept
        for run in kept:
            RawStore(home / ".polyport/raw/films").load(run)
        product.expire()
        raw = RawStore(home / ".polyport/raw/films")
        named = {o for run in raw.runs() for o in raw.objects(run)}
        assert set(raw.folder.glob("??/*")) == named
        assert built[0] not in raw.runs()
        assert kept <= set(raw.runs())
