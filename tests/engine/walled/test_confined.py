"""The walls of the system's hold: a real worker runs into each, and gets through where it is left out."""

from __future__ import annotations

import os
import platform
import re
import socket
import struct
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests import workers

from polyport.engine.walled import confined, pool, standing
from polyport.engine.walled.pool import Workers
from polyport.engine.walled.protocol import Silent
from polyport.engine.walled.universe import Named, Universe, Walls
from polyport.engine.walled.worker import MUCH
from polyport.model import Files, Relation

VERSION = confined.landlock() if sys.platform == "linux" else 0
landlock = pytest.mark.skipif(not VERSION, reason="this system has no Landlock")
seccomp = pytest.mark.skipif(
    platform.machine() not in confined.MACHINES, reason="calls of this machine are not known"
)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux")
FAST = Walls(seconds=30, memory="128MB", spill="64MB", workers=8)


class World:
    """A store with what a worker may read and what it may not, and workers with walls left out."""

    def __init__(self, root):
        self.root, self.pools = root, []
        self.own, self.other = root / "store/own.parquet", root / "store/other.parquet"
        self.ledger, self.key = root / "ledger.sqlite", root / "key.pem"
        self.own.parent.mkdir()
        for path, number in ((self.own, 7), (self.other, 8)):
            pq.write_table(pa.table({"a": [number]}), path)
        self.ledger.write_text("CANARY")
        self.key.write_text("CANARY")

    def worker(self, monkeypatch, *left_out, rows=0, **policy):
        inside = str(Path(__file__).with_name("inside.py"))
        main = (
            "import json, runpy, sys; sys.path[:] = json.loads(sys.argv[1]); "
            f"runpy.run_path({inside!r})['main']({left_out!r})"
        )
        monkeypatch.setattr(pool, "_MAIN", main)
        self.pools.append(Workers(FAST, scratch=self.root / "scratch"))
        files = Files((str(self.own),), schema=pa.schema({"a": pa.int64()}))
        named = Named("own", (("t",),), Relation(files, **policy), rows)
        return self.pools[-1].lend(Universe((named,)))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    for each in made.pools:
        for worker in list(each._lent):
            worker.kill()
            each.give_back(worker)
        each.close()


def lent(*left_out):
    @pytest.fixture(scope="module")
    def worker(world):
        with pytest.MonkeyPatch.context() as patch:
            return world.worker(patch, *left_out)

    return worker


walled = lent()
bare = lent("limit_files", "limit_calls", "drop_rights")
only_files = lent("limit_calls", "drop_rights")
only_calls = lent("limit_files", "drop_rights")


def run(worker, code, **names):
    """What the code gives, `result`, or the name of the error that the system gave it."""
    said = worker.ask({"what": "python", "code": textwrap.dedent(code), "names": names})
    assert "failed" not in said, said["failed"]
    return said.get("refused", said.get("result"))


def ask(worker, sql):
    said = workers.ask(worker, sql)
    assert isinstance(said, pa.Table), said
    return said.to_pylist()


def places(world):
    return {
        "own": str(world.own),
        "other": str(world.other),
        "ledger": str(world.ledger),
        "key": str(world.key),
        "folder": str(world.root),
        "keeper": os.getpid(),
    }


# --- statements that read much --------------------------------------------------------------------------------------

SETTINGS = """
    named = "'threads', 'temp_directory', 'lock_configuration', 'enable_external_access', 'memory_limit'"
    found = CON.execute(f"SELECT name, value FROM duckdb_settings() WHERE name IN ({named})")
    result = dict(found.fetchall())
"""


@pytest.fixture(scope="module")
def large(world):
    with pytest.MonkeyPatch.context() as patch:
        return world.worker(patch, rows=MUCH)


def test_what_reads_little_never_opens_the_engine_twice(walled):
    assert ask(walled, "SELECT a FROM t") == [{"a": 7}]
    assert run(walled, "result = wide is None")


def test_what_reads_much_has_more_threads_within_the_same_walls(large):
    assert ask(large, "SELECT 1 AS a") == [{"a": 1}]
    assert run(large, "result = wide is None")
    assert ask(large, "SELECT a FROM t") == [{"a": 7}]
    little = run(large, SETTINGS.replace("CON", "con"))
    much = run(large, SETTINGS.replace("CON", "wide"))
    assert (little.pop("threads"), much.pop("threads")) == ("1", str(FAST.threads))
    assert much.pop("temp_directory") == little.pop("temp_directory") + "/wide"
    assert little == much
    assert (much["lock_configuration"], much["enable_external_access"]) == ("true", "false")


def test_what_reads_much_spills(large):
    """Rows that memory cannot hold, sorted."""
    spilt = "SELECT count(*) AS n FROM (SELECT range AS r, t.a FROM t, range(6_000_000) ORDER BY hash(r) OFFSET 1)"
    assert ask(large, spilt) == [{"n": 5_999_999}]


# --- files ----------------------------------------------------------------------------------------------------------

READ = "os.read(os.open(PATH, os.O_RDONLY), 4); result = 'read'"
READING = {
    "the machine's users": "'/etc/passwd'",
    "the ledger": "ledger",
    "a key": "key",
    "another dataset": "other",
    "the keeper's memory": "f'/proc/{keeper}/mem'",
    "the keeper's surroundings": "f'/proc/{keeper}/environ'",
    "its parent's memory": "f'/proc/{os.getppid()}/mem'",
    "its own memory": "'/proc/self/mem'",
    "a device": "'/dev/zero'",
    "Python": "os.__file__",
}
WRITING = {
    "a new file": "os.open(folder + '/new', os.O_WRONLY | os.O_CREAT)",
    "into the ledger": "os.open(ledger, os.O_WRONLY)",
    "into its own dataset": "os.open(own, os.O_WRONLY)",
    "a device": "os.open('/dev/null', os.O_WRONLY)",
    "a new folder": "os.mkdir(folder + '/made')",
    "a folder of its own": "os.mkdir(scratch + '/made')",
    "out of its folder": "open(scratch + '/x', 'wb').close(); os.rename(scratch + '/x', folder + '/x')",
    "away": "os.unlink(key)",
    "a folder away": "os.rmdir(folder + '/empty')",
    "a fifo": "os.mkfifo(scratch + '/fifo')",
}
BY_CALLS = {
    "a hard link": "os.link(own, scratch + '/link')",
    "a symbolic link": "os.symlink(own, scratch + '/symbolic')",
    "less of it": "os.truncate(ledger, 0)",
    "rights": "os.chmod(ledger, 0o666)",
    "times": "os.utime(ledger, (1, 1))",
    "owner": "os.chown(ledger, 0, 0)",
    "attributes": "os.setxattr(ledger, 'user.x', b'x')",
}


@landlock
@pytest.mark.parametrize("path", READING.values(), ids=READING)
def test_nothing_else_is_read(walled, only_files, world, path):
    code = "import os; " + READ.replace("PATH", path)
    assert run(walled, code, **places(world)) == "EACCES"
    assert run(only_files, code, **places(world)) == "EACCES"


@landlock
@pytest.mark.parametrize("code", WRITING.values(), ids=WRITING)
def test_nothing_else_is_written(walled, only_files, world, code):
    (world.root / "empty").mkdir(exist_ok=True)
    before = sorted(world.root.glob("*"))
    for worker in (walled, only_files):
        assert run(worker, f"import os; {code}", **places(world)) in ("EACCES", "EXDEV", "EPERM")
    assert sorted(world.root.glob("*")) == before
    assert world.ledger.read_text() == world.key.read_text() == "CANARY"


@seccomp
@pytest.mark.parametrize("code", BY_CALLS.values(), ids=BY_CALLS)
def test_nothing_else_is_changed(walled, only_calls, world, code):
    for worker in (walled, only_calls):
        assert run(worker, f"import os; {code}", **places(world)) == "EPERM"
    assert world.ledger.read_text() == "CANARY"


def test_what_it_is_for_is_read_and_written(walled, world):
    assert ask(walled, "SELECT * FROM t") == [{"a": 7}]
    code = "import os; " + READ.replace("PATH", "own")
    assert run(walled, code, **places(world)) == "read"
    kept = "open(scratch + '/x', 'wb').write(b'x'); import os; os.unlink(scratch + '/x'); result = os.listdir(scratch)"
    assert isinstance(run(walled, kept), list)


@landlock
def test_another_workers_folder_is_not_its_own(walled, only_files):
    other = str(only_files.scratch / "x")
    assert run(walled, "open(other, 'wb')", other=other) == "EACCES"
    assert run(walled, "import os; os.listdir(os.path.dirname(other))", other=other) == "EACCES"


@landlock
def test_the_engine_itself_reads_nothing_else(walled, world):
    """Behind all of our own walls: a statement that none of them saw."""
    code = """
        import duckdb
        try:
            result = duckdb.connect().execute(f"SELECT * FROM '{path}'").fetchall()
        except duckdb.Error as error:
            result = str(error)
    """
    assert "Permission denied" in run(walled, code, path=str(world.other))
    assert run(walled, code, path=str(world.own)) == [[7]]


def test_no_condition_of_a_consumers_runs_below_the_policy(world, monkeypatch):
    """In the engine's own plan it stands above what hides rows, and tells nothing of that."""
    worker = world.worker(monkeypatch, where="hash(a) > $least", params={"least": 55501})
    plan = "result = con.execute('EXPLAIN SELECT * FROM t WHERE hash(a) > 66602').fetchall()[0][1]"
    shown = run(worker, plan)
    assert "Secure View" in shown
    assert "66602" in shown
    assert "55501" not in shown
    assert "Parquet" not in shown


# --- calls ----------------------------------------------------------------------------------------------------------

CALLING = {
    "a socket": "socket.socket()",
    "a socket of this machine": "socket.socket(socket.AF_UNIX)",
    "a socket of the kernel": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "a program": "os.execv('/bin/true', ['true'])",
    "a program by descriptor": "os.execve(0, ['true'], {})",
    "a process": "os.fork() or os._exit(0)",
    "a signal to its keeper": "os.kill(keeper, 0)",
    "a signal to its parent": "os.kill(os.getppid(), 0)",
    "a signal to its group": "os.kill(0, 0)",
    "a handle of its keeper": "os.pidfd_open(keeper)",
    "its keeper's limits": "import resource; resource.prlimit(keeper, resource.RLIMIT_NOFILE)",
    "its keeper's turn": "os.setpriority(os.PRIO_PROCESS, keeper, 19)",
    "keys of its terminal": "import fcntl; fcntl.ioctl(2, 0x5412, b'x')",
    "signals of a descriptor": "import fcntl; fcntl.fcntl(0, 8, keeper)",
}
IN_PEACE = {
    "threads": "import threading; t = threading.Thread(target=lambda: None); t.start(); t.join(); result = 'let in'",
    "a signal to itself": "os.kill(os.getpid(), 0); result = 'let in'",
    "its own limits": "import resource; resource.getrlimit(resource.RLIMIT_AS); result = 'let in'",
    "time": "import time; time.sleep(0.001); result = 'let in'",
}


@seccomp
@pytest.mark.parametrize("code", CALLING.values(), ids=CALLING)
def test_it_calls_for_nothing_else(walled, only_calls, world, code):
    for worker in (walled, only_calls):
        said = run(worker, f"import os, socket; {code}", **places(world))
        assert said == "EPERM"


@pytest.mark.parametrize("code", IN_PEACE.values(), ids=IN_PEACE)
def test_it_calls_for_what_the_engine_does(walled, code):
    assert run(walled, f"import os; {code}") == "let in"


@seccomp
def test_every_refused_call_is(walled):
    column = confined.MACHINES[platform.machine()][0]
    calls = {
        name: int(numbers[column])
        for action, name, numbers in confined._calls()
        if action == "refuse" and numbers[column] != "-"
    }
    code = """
        import ctypes
        libc, result = ctypes.CDLL(None, use_errno=True), {}
        for name, number in calls.items():
            given = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(0)] * 6)
            result[name] = given if given != -1 else ctypes.get_errno()
    """
    assert run(walled, code, calls=calls) == dict.fromkeys(calls, 1)  # EPERM


@seccomp
@pytest.mark.parametrize("call", ["ptrace", "process_vm_readv", "bpf", "init_module"])
def test_the_worst_ends_it(world, monkeypatch, call):
    worker = world.worker(monkeypatch)
    column = confined.MACHINES[platform.machine()][0]
    number = next(int(n[column]) for _, name, n in confined._calls() if name == call)
    with pytest.raises(Silent):
        run(worker, "import ctypes; ctypes.CDLL(None).syscall(number, 0, 0, 0, 0)", number=number)


@seccomp
def test_threads_are_confined_too(walled):
    """Those of the engine as well: they were started by one that was."""
    filtered = """
        import os, threading
        result = []
        def tried():
            for attempt in (os.fork, lambda: os.open('/dev/zero', os.O_RDONLY)):
                try:
                    result.append(attempt())
                except PermissionError:
                    result.append('refused')
        t = threading.Thread(target=tried); t.start(); t.join()
    """
    assert run(walled, filtered) == ["refused", "refused" if VERSION else 3]
    (process,) = (
        int(line.split()[1])
        for line in Path(f"/proc/self/fdinfo/{walled._process}").read_text().splitlines()
        if line.startswith("Pid:")
    )
    ask(walled, "SELECT count(*) FROM range(1000000) WHERE hash(range) % 7 = 1")
    tasks = list(Path(f"/proc/{process}/task").iterdir())
    assert len(tasks) > 1
    for task in tasks:
        status = (task / "status").read_text()
        assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE), status
        assert re.search(r"^CapEff:\t0{16}$", status, re.MULTILINE), status
        assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE), status


# --- network --------------------------------------------------------------------------------------------------------

CONNECT = """
    import socket
    with socket.socket() as s:
        s.settimeout(5)
        s.connect(('127.0.0.1', port))
    result = 'connected'
"""


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.skipif(VERSION < 4, reason="this system's Landlock does not know of TCP")
def test_landlock_alone_keeps_it_from_tcp(only_files, port):
    assert run(only_files, CONNECT, port=port) == "EACCES"
    bound = "import socket; socket.socket().bind(('127.0.0.1', 0))"
    assert run(only_files, bound) == "EACCES"


def test_its_own_network_alone_leads_nowhere(bare, port):
    said = bare.ask({"what": "walls"})
    if said["network"] == confined.network():
        pytest.skip("this system lets users make no namespaces")
    with socket.create_connection(("127.0.0.1", port)):
        pass
    assert run(bare, CONNECT, port=port) == "ENETUNREACH"
    assert run(bare, "import socket; result = [n for _, n in socket.if_nameindex()]") == ["lo"]


# --- without them ---------------------------------------------------------------------------------------------------


def test_without_them_it_gets_through(bare, world):
    """Else the tests above could not fail."""
    names = places(world)
    for who in (
        "the machine's users",
        "the ledger",
        "a key",
        "another dataset",
        "a device",
        "Python",
    ):
        assert run(bare, "import os; " + READ.replace("PATH", READING[who]), **names) == "read", who
    for what in (
        "a new file",
        "into the ledger",
        "a device",
        "a new folder",
        "out of its folder",
        "a fifo",
    ):
        assert run(bare, f"import os; {WRITING[what]}", **names) is None, what
    for what in ("a hard link", "a symbolic link", "rights", "times"):
        assert run(bare, f"import os; {BY_CALLS[what]}", **names) is None, what
    for what in ("a socket", "a socket of this machine", "a process", "a signal to its parent",
                 "a signal to its keeper", "a handle of its keeper", "signals of a descriptor"):  # fmt: skip
        assert run(bare, f"import os, socket; {CALLING[what]}", **names) is None, what
    assert ask(bare, "SELECT * FROM t") == [{"a": 7}]


def test_where_none_can_be_raised_it_works_and_says_so(bare, walled):
    said = bare.ask({"what": "walls"})["walls"]
    assert not said["files"]
    assert not said["calls"]
    expected = {
        "files": VERSION > 0,
        "calls": platform.machine() in confined.MACHINES,
        "rights": True,
    }
    assert walled.ask({"what": "walls"})["walls"] == expected


@pytest.mark.parametrize(("left_out", "name"), [("limit_files", "files"), ("limit_calls", "calls")])
def test_the_doctor_is_told_by_a_worker(world, monkeypatch, left_out, name):
    whole = {wall.name: wall for wall in standing.walls()}
    world.worker(monkeypatch, left_out)  # so are those that come
    found = {wall.name: wall for wall in standing.walls()}
    assert found.keys() == whole.keys() == {"files", "calls", "rights", "network"}
    assert not found[name].stands
    assert "needs" in found[name].detail
    others = whole.keys() - {name}
    assert [found[n] for n in others] == [whole[n] for n in others]


# --- the filter, on every machine it is for -------------------------------------------------------------------------

THREAD, FORK = 0x3D0F00, 0x1200011
ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x50001, 0x50026, 0x80000000


def judged(steps, number, *arguments, kernels):
    """What a program gives: the few instructions that ours are made of."""
    shown = struct.pack("<IIQ6Q", number, kernels, 0, *arguments, *[0] * (6 - len(arguments)))
    held, at = 0, 0
    while True:
        code, then, other, operand = steps[at]
        assert max(then, other) < 256
        match code:
            case 0x20:
                (held,) = struct.unpack_from("<I", shown, operand)
            case 0x06:
                return operand
            case 0x15:
                at += then if held == operand else other
            case 0x25:
                at += then if held > operand else other
            case 0x45:
                at += then if held & operand else other
            case _:
                pytest.fail(f"unknown instruction {code:#x}")
        at += 1


@pytest.fixture(params=sorted(confined.MACHINES))
def machine(request):
    return request.param


def numbers(machine):
    column = confined.MACHINES[machine][0]
    rows = ((action, name, n[column]) for action, name, n in confined._calls())
    return {name: (action, int(number)) for action, name, number in rows if number != "-"}


def test_each_call_gets_what_the_list_says(machine):
    steps, kernels = confined.program(machine, 77), confined.MACHINES[machine][1]
    assert len(steps) <= 4096
    known = {number: action for action, number in numbers(machine).values()}
    gives = {"refuse": EPERM, "end": KILL, "absent": ENOSYS}
    for number in range(600):
        action = known.get(number)
        if action != "argument":
            expected = gives[action] if action else ALLOW if number <= confined.LAST else ENOSYS
            assert judged(steps, number, kernels=kernels) == expected, number
    assert judged(steps, 0, kernels=0x40000003) == KILL  # of 32 bits
    assert judged(steps, 0x40000000 | 59, kernels=kernels) == ENOSYS  # x32


@pytest.mark.parametrize(
    ("call", "arguments", "expected"),
    [
        ("clone", (THREAD,), ALLOW),
        ("clone", (FORK,), EPERM),
        ("clone", (0x40000011,), EPERM),
        ("kill", (77, 9), ALLOW),
        ("kill", (0, 9), EPERM),
        ("kill", (2**64 - 1, 9), EPERM),
        ("kill", (2**32 - 77, 9), EPERM),
        ("kill", (1, 0), EPERM),
        ("tgkill", (77, 78, 6), ALLOW),
        ("tgkill", (78, 78, 6), EPERM),
        ("prlimit64", (0, 9), ALLOW),
        ("prlimit64", (77, 9), ALLOW),
        ("prlimit64", (78, 9), EPERM),
        ("fcntl", (0, 8), EPERM),
        ("fcntl", (0, 2**32 + 8), EPERM),
        ("fcntl", (0, 3), ALLOW),
        ("ioctl", (2, 0x5412), EPERM),
        ("ioctl", (2, 0x5401), ALLOW),
    ],
)
def test_some_by_what_they_are_called_with(machine, call, arguments, expected):
    steps, kernels = confined.program(machine, 77), confined.MACHINES[machine][1]
    assert judged(steps, numbers(machine)[call][1], *arguments, kernels=kernels) == expected


HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def test_the_numbers_are_the_kernels(machine):
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"there is no {header}")
    found = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", header.read_text(), re.MULTILINE)
    kernels = {name: int(number) for name, number in reversed(found)}
    ours = {name: number for name, (_, number) in numbers(machine).items()}
    assert ours == {name: kernels.get(name, ours[name]) for name in ours}
    assert len(kernels.keys() & ours.keys()) > 90
    column = confined.MACHINES[machine][0]
    without = {name for _, name, n in confined._calls() if n[column] == "-"}
    assert not without & kernels.keys()
