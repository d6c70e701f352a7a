"""The keeper of the workers: what it lends to whom, and that nothing is left of them."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests import workers as workers_

from polyport.access.sql import answers
from polyport.engine.walled import pool, stream
from polyport.engine.walled.pool import Workers
from polyport.engine.walled.protocol import Channel, Late, Silent
from polyport.engine.walled.universe import Named, Universe, Walls, size
from polyport.errors import ConfigurationError, LimitError, StoreError
from polyport.model import Files, Relation

TABLE = Relation(pa.table({"a": [1, 2, 3]}))
ONE = Universe((Named("one", (("t",),), TABLE),))
OTHER = Universe((Named("other", (("t",),), TABLE),))
FAST = Walls(seconds=20, memory="128MB", spill="64MB", workers=2)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture
def workers(scratch):
    made = Workers(FAST, scratch=scratch)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(scratch):
    made = Workers(FAST, scratch=scratch)
    yield made
    made.close()


def ask(worker, sql, values=()):
    said = workers_.ask(worker, sql, values)
    return said if isinstance(said, dict) else said.to_pylist()


def children(process=None):
    """The processes below one (default: this), those that have ended and are not waited for too."""
    found = subprocess.run(
        ["ps", "-o", "pid=,stat=,args=", "--ppid", str(process or os.getpid())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    rows = [line.split(None, 2) for line in found.stdout.splitlines()]
    here = {int(pid): state for pid, state, args in rows if not args.startswith("ps ")}
    for pid in list(here):
        here |= children(pid)
    return here


def soon(test, seconds=10.0):
    until = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < until
        time.sleep(0.02)


def descriptors():
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_it_answers(shared):
    worker = shared.lend(ONE)
    assert ask(worker, "SELECT sum(a)::INT AS s FROM t WHERE a < $1", [3]) == [{"s": 3}]
    assert ask(worker, "SELECT nope FROM t")["error"]["kind"] == "binder"
    assert ask(worker, "COPY t TO 'x'")["error"]["kind"] == "refused"
    assert ask(worker, "SELECT * FROM u") == {"missing": [["u"]]}
    shared.give_back(worker)


@pytest.mark.parametrize("value", [object, {1, 2}, 2**200, "\ud800", [1, "x"], {"a": object}])
def test_values_that_are_none_are_an_error_and_no_crash(shared, value):
    worker = shared.lend(ONE)
    said = ask(worker, "SELECT $1", [value])
    assert isinstance(said, list) or said["error"]["message"]
    assert ask(worker, "SELECT 1 AS a") == [{"a": 1}]
    shared.give_back(worker)


@pytest.mark.parametrize(
    "value",
    [
        datetime(2020, 1, 1, 9, tzinfo=ZoneInfo("Asia/Tokyo")),
        datetime(2020, 1, 1, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(2020, 1, 1, tzinfo=UTC),
    ],
)
def test_instants_of_any_zone_arrive(shared, value):
    """Its rules are read by a worker that can read little else."""
    worker = shared.lend(ONE)
    assert ask(worker, "SELECT epoch($1::TIMESTAMPTZ)::BIGINT AS a", [value]) == [{"a": 1577836800}]
    shared.give_back(worker)


def test_who_sees_the_same_is_lent_the_same(shared):
    first = shared.lend(ONE)
    shared.give_back(first)
    again = shared.lend(Universe(ONE.tables))
    assert again is first
    other = shared.lend(OTHER)
    assert other is not first
    shared.give_back(again)
    shared.give_back(other)


@pytest.mark.parametrize(
    "other",
    [
        (OTHER, FAST),
        (Universe((Named("one", (("u",),), TABLE),)), FAST),
        (Universe(()), FAST),
        (Universe(ONE.tables, catalog="x"), FAST),
        (Universe(ONE.tables, dialect="postgres"), FAST),
        (ONE, Walls(memory="64MB", spill="64MB", workers=2)),
        (ONE, Walls(memory="128MB", spill="32MB", workers=2)),
        (ONE, Walls(memory="128MB", spill="64MB", threads=1, workers=2)),
    ],
)
def test_and_nobody_else(shared, other):
    first = shared.lend(ONE)
    shared.give_back(first)
    second = shared.lend(*other)
    assert second is not first
    second.kill()
    shared.give_back(second)


def test_who_wants_no_worker_any_more_makes_room_for_the_next(workers):
    lone = Walls(seconds=30, memory="128MB", spill="64MB", workers=1)
    lent, wanted, found = workers.lend(ONE, lone), [True], []

    def unwanted():
        with pytest.raises(Silent):
            workers.lend(OTHER, lone, wanted=lambda: wanted[0])
        found.append("unwanted")

    def next_one():
        found.append(workers.lend(ONE, lone))

    threads = [threading.Thread(target=unwanted), threading.Thread(target=next_one)]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    wanted[0] = False  # and is told of the free worker before it can say so
    workers.give_back(lent)
    for thread in threads:
        thread.join(20)
    assert set(found) == {"unwanted", lent}
    workers.give_back(lent)


def test_a_waiting_one_is_asked_again_when_it_is_woken(workers):
    lone, wanted = Walls(seconds=30, memory="128MB", spill="64MB", workers=1), [True]
    lent = workers.lend(ONE, lone)

    def stop():
        wanted[0] = False
        workers.wake()

    threading.Timer(0.1, stop).start()
    with pytest.raises(Silent):
        workers.lend(ONE, lone, wanted=lambda: wanted[0])
    assert ask(lent, "SELECT 1 AS a") == [{"a": 1}]
    workers.give_back(lent)


@pytest.mark.parametrize(
    ("sql", "whole"),
    [
        ("SELECT 1 AS a", True),
        ("SELECT a FROM t WHERE a > 5", True),
        ("SELECT range FROM range(32767)", False),
        ("SELECT range FROM range(32768)", False),
        ("SELECT repeat('x', 70000) AS a", False),
    ],
)
def test_small_answers_come_in_one_message(shared, sql, whole):
    worker = shared.lend(ONE)
    for _ in range(2):  # the second time it is known
        said = worker.ask({"what": "query", "sql": sql, "values": [], "most": {}})
        assert ("whole" in said) is whole
        reader = stream.begun(worker.channel, said.get("whole", 0))
        rows = sum(b.num_rows for b in iter(partial(stream.following, reader), None))
        if not whole:
            assert worker.channel.answered() == {"done": True}
        assert rows == len(ask(worker, sql))
    shared.give_back(worker)


@pytest.mark.parametrize("whole", [0.5, "8", [], None])
def test_a_worker_that_says_no_size_is_not_believed(whole):
    said = {"tables": [], "columns": [], "star": False, "types": ["BIGINT"], "whole": whole}
    with pytest.raises(Silent):
        answers.well_formed(said, ())


@pytest.mark.parametrize("size", [-1, 9, 10, 1 << 40])
def test_a_worker_that_sends_no_stream_is_not_believed(size):
    with pytest.raises(Silent):
        stream.begun(Silenced(b"no stream"), size)


class Silenced(Channel):
    def __init__(self, sent=b""):
        ours, theirs = socket.socketpair()
        super().__init__(ours, 1.0)
        theirs.sendall(sent)
        theirs.close()

    def __del__(self):
        self.close()


def test_a_worker_sees_its_own_tables_only(shared):
    worker = shared.lend(ONE)
    for sql in ("SELECT * FROM _t0", "SELECT * FROM main._t0", "SELECT * FROM main.t"):
        assert "missing" in ask(worker, sql)
    shared.give_back(worker)


def test_a_dataset_may_be_called_anything(shared):
    names = (
        ("_t0",),
        ("_rows",),
        ("main",),
        ("select",),
        ('a"b.c',),
        ("é",),
        ("pg_class",),
        ("_t0", "_t0"),
    )
    worker = shared.lend(Universe(tuple(Named(str(n), (n,), TABLE) for n in names)))
    for name in names:
        table = ".".join('"' + part.replace('"', '""') + '"' for part in name)
        assert ask(worker, f"SELECT count(*) AS n FROM {table}") == [{"n": 3}]
    shared.give_back(worker)


def test_a_full_house_waits_and_then_says_so(workers):
    walls = Walls(seconds=0.2, memory="128MB", spill="64MB", workers=2)
    one, two = workers.lend(ONE, walls), workers.lend(ONE, walls)
    with pytest.raises(LimitError, match=r"all 2 workers were busy for 0\.2 seconds") as caught:
        workers.lend(ONE, walls)
    assert caught.value.retry_after
    threading.Timer(0.1, workers.give_back, [one]).start()
    three = workers.lend(ONE, Walls(seconds=10, memory="128MB", spill="64MB", workers=2))
    assert three is one
    workers.give_back(two)
    workers.give_back(three)


def test_a_place_is_free_again_where_none_could_be_started(workers):
    gone = Universe((Named("gone", (("t",),), Relation(Files(("/nowhere.parquet",)))),))
    for _ in range(3):
        with pytest.raises(StoreError, match="cannot read its datasets"):
            workers.lend(gone)
    worker = workers.lend(ONE)
    workers.give_back(worker)


def test_a_crash_is_its_own(workers):
    worker, neighbour = workers.lend(ONE), workers.lend(OTHER)
    os.kill(*pids(worker), signal.SIGSEGV)
    with pytest.raises(Silent):
        ask(worker, "SELECT 1")
    soon(lambda: not worker.alive)
    workers.give_back(worker)
    assert ask(neighbour, "SELECT 1 AS a") == [{"a": 1}]
    workers.give_back(neighbour)


def pids(worker):
    """The process behind a worker's handle."""
    text = Path(f"/proc/self/fdinfo/{worker._process}").read_text()
    return {int(line.split()[1]) for line in text.splitlines() if line.startswith("Pid:")}


def test_who_was_ended_while_idle_is_not_lent(workers):
    worker = workers.lend(ONE)
    workers.give_back(worker)
    os.kill(*pids(worker), signal.SIGKILL)
    soon(lambda: not worker.alive)
    again = workers.lend(ONE)
    assert again is not worker
    assert ask(again, "SELECT 1 AS a") == [{"a": 1}]
    workers.give_back(again)


def test_who_is_idle_for_long_is_ended(workers, monkeypatch):
    worker = workers.lend(ONE)
    workers.give_back(worker)
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.0)
    again = workers.lend(ONE)
    assert again is not worker
    workers.give_back(again)
    soon(lambda: not worker.alive)


def test_who_is_never_asked_again_ends_by_itself(workers, monkeypatch):
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.05)
    worker = workers.lend(ONE)
    process = pids(worker)
    workers.give_back(worker)
    soon(lambda: not any(map(alive, process)))


def test_kill_wakes_whoever_waits(workers):
    worker = workers.lend(ONE)
    threading.Timer(0.2, worker.kill).start()
    with pytest.raises(Silent):
        ask(worker, "SELECT count(*) FROM range(100000000000) WHERE hash(range) = 1")
    workers.give_back(worker)


def test_late_is_late(workers):
    worker = workers.lend(ONE, Walls(seconds=0.3, memory="128MB", spill="64MB"))
    with pytest.raises(Late):
        ask(worker, "SELECT count(*) FROM range(100000000000) WHERE hash(range) = 1")
    worker.kill()
    workers.give_back(worker)


def test_after_the_end_nothing_is_lent(scratch):
    made = Workers(FAST, scratch=scratch)
    made.close()
    with pytest.raises(StoreError, match="this process ends"):
        made.lend(ONE)
    made.close()


def test_close_leaves_no_process_no_file_and_no_descriptor(tmp_path):
    scratch = tmp_path
    gc.collect()
    before, fds = children(), descriptors()
    made = Workers(FAST, scratch=scratch)
    lent, idle, killed = made.lend(ONE), None, None
    idle = made.lend(OTHER)
    made.give_back(idle)
    killed = made.lend(OTHER)
    killed.kill()
    made.give_back(killed)
    assert len(children()) > len(before)
    made.close()
    made.give_back(lent)
    soon(lambda: set(children()) <= set(before))
    assert descriptors() == fds
    assert list(scratch.glob("polyport-sql-*/*")) == []


def test_a_worker_leaves_no_zombie(workers):
    for _ in range(3):
        worker = workers.lend(ONE)
        worker.kill()
        workers.give_back(worker)
    soon(lambda: "Z" not in "".join(children().values()))


def test_where_the_forking_process_is_killed_its_workers_are_too(workers):
    worker = workers.lend(ONE)
    process = pids(worker)
    workers._zygote.kill()
    soon(lambda: not any(map(alive, process)))
    with pytest.raises(Silent):
        ask(worker, "SELECT 1")
    workers.give_back(worker)
    again = workers.lend(ONE)
    assert ask(again, "SELECT 1 AS a") == [{"a": 1}]
    workers.give_back(again)


SERVER = """
    import sys, time
    import pyarrow as pa
    from pathlib import Path
    from polyport.engine.walled.pool import Workers
    from polyport.engine.walled.universe import Named, Universe, Walls
    from polyport.model import Relation
    workers = Workers(Walls(workers=2, memory="128MB", spill="64MB"), scratch=Path(sys.argv[1]))
    one = Universe((Named("one", (("t",),), Relation(pa.table({"a": [1]}))),))
    worker = workers.lend(one)
    workers.give_back(workers.lend(one))
    worker.channel.tell({"what": "query", "sql": "SELECT count(*) FROM range(10**15) WHERE hash(range) = 1", "values": [], "most": {}})
    print("lent", flush=True)
    time.sleep(60)
"""


def test_where_the_server_is_killed_no_process_is_left(tmp_path):
    scratch = tmp_path
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVER), str(scratch)],
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout.readline() == "lent\n"
        below = set(children(server.pid))
        assert len(below) == 3
        server.kill()
        server.wait()
        soon(lambda: not any(map(alive, below)))
    made = Workers(FAST, scratch=scratch)  # and the next one tidies up
    made.give_back(made.lend(ONE))
    assert len(list(scratch.glob("polyport-sql-*"))) == 1
    made.close()


def test_what_does_not_fit_spills_and_is_tidied_up(workers):
    walls = Walls(seconds=60, memory="64MB", spill="1GB", threads=1)
    worker = workers.lend(ONE, walls)
    spilled, over = [], threading.Event()

    def watch():
        while not over.wait(0.005):
            spilled.extend(p.name for p in worker.scratch.rglob("*"))

    watching = threading.Thread(target=watch)
    watching.start()
    found = ask(
        worker,
        "SELECT count(*) AS n, max(x) AS x, sum(r) FROM (SELECT x, row_number() OVER (ORDER BY h) r FROM (SELECT hash(range) h, range || repeat('x', 40) x FROM range(1500000)))",
    )
    over.set()
    watching.join()
    assert isinstance(found, list), found
    assert found[0]["n"] == 1_500_000
    assert spilled
    assert worker.scratch.exists()
    worker.kill()
    workers.give_back(worker)
    assert not worker.scratch.exists()


@pytest.mark.parametrize(
    ("sql", "memory"),
    [
        ("SELECT length(repeat('x', 1500000000))", "128MB"),
        ("SELECT list(range || repeat('x', 100)) FROM range(20000000)", "128MB"),
        ("SELECT length(string_agg(repeat('x', 10000), '')) FROM range(100000)", "64MB"),
    ],
)
def test_memory_is_bounded_and_the_error_says_so(workers, sql, memory):
    worker = workers.lend(ONE, Walls(seconds=30, memory=memory, spill="64MB", threads=1))
    (pid,) = pids(worker)
    most, over = [0], threading.Event()

    def watch():
        while not over.wait(0.005):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                return
            most[0] = max(
                [
                    most[0],
                    *(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM")),
                ]
            )

    watching = threading.Thread(target=watch)
    watching.start()
    said = ask(worker, sql)
    over.set()
    watching.join()
    assert said["error"]["kind"] == "memory"
    assert most[0] * 1024 < 2 * size(memory) + (1 << 30)
    assert ask(worker, "SELECT 1 AS a") == [{"a": 1}]  # and it lives on
    workers.give_back(worker)


def test_a_worker_has_no_way_out(workers, tmp_path):
    """No secret in its surroundings, no network of the machine, no descriptor but its own socket."""
    os.environ["POLYPORT_TEST_SECRET"] = "CANARY"
    try:
        worker = workers.lend(ONE)
    finally:
        del os.environ["POLYPORT_TEST_SECRET"]
    (pid,) = pids(worker)
    assert b"CANARY" not in Path(f"/proc/{workers._zygote.pid}/environ").read_bytes()
    status = dict(
        x.split(":\t", 1)
        for x in Path(f"/proc/{pid}/status").read_text().splitlines()
        if ":\t" in x
    )
    assert status["NoNewPrivs"] == "1"
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert (
        "Max core file size         0 " in " ".join(limits.split("  "))
        or "core file size" in limits
    )
    workers.give_back(worker)


def test_files_are_read_and_only_through_their_name(workers, tmp_path):
    path = tmp_path / "it's a file.parquet"
    pq.write_table(pa.table({"a": [7]}), path)
    files = Files((str(path),), schema=pa.schema({"a": pa.int64()}))
    worker = workers.lend(Universe((Named("f", (("t",), ("p", "t")), Relation(files)),)))
    assert ask(worker, "SELECT * FROM t") == ask(worker, "SELECT * FROM p.t") == [{"a": 7}]
    assert "missing" in ask(worker, f"""SELECT * FROM "{path}" """)
    workers.give_back(worker)


@pytest.mark.parametrize(
    ("text", "number"), [("1GB", 1 << 30), ("1.5 kB", 1536), ("7", 7), ("2GiB", 1 << 31)]
)
def test_sizes(text, number):
    assert size(text) == number


@pytest.mark.parametrize("text", ["", "GB", "1.2.3GB", "-1GB", "1PB", "1 G B"])
def test_no_sizes(text):
    with pytest.raises(ConfigurationError, match="is not a size"):
        size(text)
