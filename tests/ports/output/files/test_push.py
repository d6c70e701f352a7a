from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urlparse

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyport.errors import AccessError, ConfigurationError, NotFoundError, QueryError, StoreError
from polyport.ports.output import Pushed
from polyport.ports.output.files import push as pushing
from polyport.ports.output.files import render

SETTINGS = {"to": "drive/", "formats": ["parquet", "csv"], "role": "accountant"}


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def push(make_port, opener, home):
    def run(sequence=42, **more):
        port = make_port({"push": {**SETTINGS, **more}})
        snapshot = next(s for s in opener.kept if s.sequence == sequence)
        return port.push(snapshot, None, home)

    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".polyport-lock")


def manifest(folder):
    return json.loads((folder / "SNAPSHOT.json").read_text())


def check_whole(folder):
    """The folder holds exactly the files that it says, with their bytes; its sequence."""
    said = manifest(folder)
    assert names(folder) == sorted([*(f["name"] for f in said["files"]), "SNAPSHOT.json"])
    for file in said["files"]:
        data = (folder / file["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"])
    return said["sequence"]


def test_without_settings_nothing_is_pushed(make_port, opener, home):
    port = make_port()
    assert isinstance(port, Pushed)
    assert port.push(opener.kept[-1], None, home) == ()
    assert names(home) == []


def test_a_snapshot_becomes_a_folder_that_accounts_for_itself(push, home, consts):
    uris = push()
    drive = home / "drive"
    assert names(drive) == ["00000042", "latest"]
    assert (drive / "latest").resolve() == (drive / "00000042").resolve()
    paths = [Path(unquote(urlparse(uri).path)) for uri in uris]
    assert [path.name for path in paths] == [
        "films.parquet",
        "films.csv",
        "sales.parquet",
        "sales.csv",
    ]
    assert all(path.is_file() for path in paths)
    assert pq.read_table(drive / "latest" / "films.parquet").equals(consts.FILMS)
    assert check_whole(drive / "latest") == 42
    said = manifest(drive / "00000042")
    assert (said["product"], said["snapshot"], said["role"]) == (
        "film-costs",
        "00000042-abcdef01",
        "accountant",
    )
    assert [(f["dataset"], f["format"], f["rows"]) for f in said["files"]][:2] == [
        ("films", "parquet", 300),
        ("films", "csv", 300),
    ]
    assert said["committed_at"] == "2026-02-12T00:00:00+00:00"


def test_it_reads_as_the_role_and_is_metered(push, home, opener):
    push(role="analyst", datasets=["films"], formats=["parquet"])
    found = pq.read_table(home / "drive/latest/films.parquet")
    assert set(found["country"].to_pylist()) == {"US"}
    assert set(found["director"].to_pylist()) == {None}
    (read,) = opener.reads
    assert (read.principal, read.rows, read.port) == ("port:files", found.num_rows, "files")


def test_a_filter_and_a_choice_of_datasets(push, home):
    push(
        datasets=["films"],
        where="amount > 400 and country in ('US', 'FR')",
        formats=["parquet", "xlsx"],
    )
    rows = pq.read_table(home / "drive/latest/films.parquet").to_pylist()
    assert rows
    assert all(row["amount"] > 400 and row["country"] in ("US", "FR") for row in rows)
    assert names(home / "drive/latest") == ["SNAPSHOT.json", "films.parquet", "films.xlsx"]
    book = openpyxl.load_workbook(home / "drive/latest/films.xlsx")
    about = dict(book["About"].iter_rows(min_row=2, values_only=True))
    assert about["Filter on films"] == "amount > 400 and country in ('US', 'FR')"


def state(folder):
    return {str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.rglob("*") if p.is_file() and p.name != ".polyport-lock"}  # fmt: skip


def test_the_second_time_nothing_is_written_or_read(push, home, opener):
    assert push()
    before = state(home)
    opener.reads.clear()
    assert push() == ()
    assert state(home) == before
    assert opener.reads == []


def test_changed_settings_or_a_missing_file_write_the_folder_again(push, home):
    push()
    assert len(push(formats=["csv"])) == 2
    assert names(home / "drive/00000042") == ["SNAPSHOT.json", "films.csv", "sales.csv"]
    (home / "drive/00000042/films.csv").unlink()
    assert len(push(formats=["csv"])) == 2
    assert check_whole(home / "drive/latest") == 42
    (home / "drive/00000042/SNAPSHOT.json").write_text("{broken")
    assert len(push(formats=["csv"])) == 2
    assert check_whole(home / "drive/latest") == 42


def test_a_changed_policy_writes_the_folder_again(push, home, opener, consts):
    push(role="analyst")
    opener.roles = {**consts.ROLES, "analyst": consts.ROLES["hasher"]}
    assert push(role="analyst")
    assert set(pq.read_table(home / "drive/latest/films.parquet")["id"].to_pylist()) == {None}


def test_latest_goes_forward_only(push, home):
    push(42)
    push(41)
    assert names(home / "drive") == ["00000041", "00000042", "latest"]
    assert check_whole(home / "drive/latest") == 42


def test_latest_is_mended(push, home):
    push(41)
    push(42)
    (home / "drive/latest").unlink()
    assert push(42) == ()
    assert check_whole(home / "drive/latest") == 42


def test_keep_removes_the_oldest_folders_and_nothing_else(push, home, opener, consts):
    drive = home / "drive"
    drive.mkdir()
    (drive / "notes.txt").write_text("mine")
    (drive / "2024").mkdir()
    for sequence in range(43, 48):
        opener.add(sequence, sales=consts.SALES)
        push(sequence, keep=2)
    assert names(drive) == ["00000046", "00000047", "2024", "latest", "notes.txt"]
    push(41, keep=1)
    assert check_whole(drive / "latest") == 47


class CrashedError(BaseException):
    """Stands for the end of the process: nothing but `finally` may answer it."""


@pytest.mark.parametrize("step", ["_file", "_sync", "_show", "_point", "_prune"])
def test_after_a_crash_at_any_step_the_next_push_makes_up_for_it(push, home, monkeypatch, step):
    push(41, keep=5)
    real = getattr(pushing, step)
    calls = []

    def crash(*args):
        calls.append(1)
        if len(calls) > 1 or step in ("_show", "_point", "_prune"):
            raise CrashedError
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(pushing, step, crash)
        # a killed process does not tidy up after itself
        patch.setattr(pushing.shutil, "rmtree", lambda *a, **k: None)
        with pytest.raises(CrashedError):
            push(42, keep=5)
    assert check_whole(home / "drive/latest") in (41, 42)
    push(42, keep=5)
    assert check_whole(home / "drive/latest") == 42
    assert names(home / "drive") == ["00000041", "00000042", "latest"]


KILLED = """
import datetime as dt, os, sys
import pyarrow as pa
from pathlib import Path
from polyport.ports.output.files import push, render
from polyport.ports.output.files.settings import Push
from polyport.ports.formats import FORMATS
from polyport.model import Dataset, Snapshot

schema = pa.schema([("n", pa.int64())])
at = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)

class View:
    snapshot = Snapshot("p", "00000099-a", 99, None, at, {"d": Dataset("d", schema, (), 1)})
    datasets, policy_class = ("d",), "c"
    def schema(self, name): return schema
    def masked(self, name): return {}
    def scan(self, name, **asked):
        def batches():
            yield pa.record_batch([pa.array([1])], schema=schema)
            os.kill(os.getpid(), 9)
        return pa.RecordBatchReader.from_batches(schema, batches())

settings = Push("drive", (FORMATS["csv"],), "r", "", (), None, "", 0)
push.push(View(), None, settings, Path(sys.argv[1]))
"""


def test_a_process_that_is_killed_half_way_leaves_latest_as_it_was(push, home):
    push(41)
    done = subprocess.run([sys.executable, "-c", KILLED, home / "drive"], capture_output=True)
    assert done.returncode == -9, done.stderr
    assert check_whole(home / "drive/latest") == 41
    assert ".tmp-00000099" in names(home / "drive")
    push(42)
    assert names(home / "drive") == ["00000041", "00000042", "latest"]


def test_latest_is_whole_at_every_moment(push, home, opener, consts):
    for sequence in range(100, 112):
        opener.add(sequence, sales=consts.SALES, films=consts.FILMS.slice(0, sequence))
    push(100)
    latest, seen, stop = home / "drive/latest", [], threading.Event()
    failures = []

    def reader():
        while not stop.is_set():
            try:
                seen.append(check_whole(latest.resolve(strict=True)))
            except (OSError, AssertionError) as error:
                failures.append(error)

    thread = threading.Thread(target=reader)
    thread.start()
    try:
        for sequence in range(101, 112):
            push(sequence)
    finally:
        stop.set()
        thread.join()
    assert failures == []
    assert seen == sorted(seen)
    assert len(seen) > 1


def test_latest_exists_also_while_its_own_folder_is_written_again(push, home, monkeypatch):
    push(42)
    drive, real, seen = home / "drive", Path.rename, []

    def watched(path, target):
        found = real(path, target)
        seen.append(check_whole((drive / "latest").resolve(strict=True)))
        return found

    monkeypatch.setattr(Path, "rename", watched)
    push(42, formats=["csv"])
    assert len(seen) >= 2
    assert set(seen) == {42}
    assert names(drive / "latest") == ["SNAPSHOT.json", "films.csv", "sales.csv"]


def test_two_pushes_at_once_do_not_disturb_each_other(push, home, opener, consts):
    for sequence in range(100, 108):
        opener.add(sequence, sales=consts.SALES)
    threads = [threading.Thread(target=lambda s=s: push(s)) for s in (*range(100, 108), 107)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(home / "drive") == [*(f"{s:08d}" for s in range(100, 108)), "latest"]
    assert all(check_whole(home / f"drive/{s:08d}") == s for s in range(100, 108))
    assert check_whole(home / "drive/latest") == 107


@pytest.mark.parametrize("count", range(1, 6))
def test_a_crash_while_a_shown_folder_is_written_again_leaves_latest_whole(
    push, home, monkeypatch, count
):
    push(42)
    drive, calls = home / "drive", []

    def crashing(real):
        def step(path, target):
            if len(calls) == count - 1:
                raise CrashedError
            calls.append(1)
            return real(path, target)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(pushing.shutil, "rmtree", lambda *a, **k: None)
        for name in ("rename", "replace"):
            patch.setattr(Path, name, crashing(getattr(Path, name)))
        try:
            push(42, formats=["csv"])
        except CrashedError:
            crashed = True
        else:
            crashed = False
    assert crashed == (count < 5)
    assert check_whole((drive / "latest").resolve(strict=True)) == 42
    push(42, formats=["csv"])
    assert names(drive) == ["00000042", "latest"]
    assert check_whole(drive / "latest") == 42
    assert names(drive / "latest") == ["SNAPSHOT.json", "films.csv", "sales.csv"]


def no_links(monkeypatch):
    def refuse(*_, **__):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "symlink_to", refuse)


def test_where_links_are_impossible_latest_is_a_folder(push, home, monkeypatch):
    no_links(monkeypatch)
    for sequence in (41, 42, 42):
        push(sequence)
        assert check_whole(home / "drive/latest") == sequence
        assert not (home / "drive/latest").is_symlink()
    assert names(home / "drive") == ["00000041", "00000042", "latest"]
    before = state(home / "drive")
    push(42)
    assert state(home / "drive") == before
    monkeypatch.undo()
    push(42, formats=["csv"])
    assert (home / "drive/latest").is_symlink()
    assert check_whole(home / "drive/latest") == 42


def test_a_dataset_is_never_written_outside_its_folder(push, home, opener, consts):
    evil = ["../../evil", "/etc/evil", "a/b", "..", ".hidden", "c:\\x", "100%"]
    opener.add(60, **dict.fromkeys(evil, consts.SALES))
    push(60, formats=["csv"])
    assert names(home) == ["drive"]
    assert check_whole(home / "drive/latest") == 60
    assert len(manifest(home / "drive/latest")["files"]) == len(evil)


def test_a_target_that_is_a_file_is_refused(push, home):
    (home / "drive").write_text("x")
    with pytest.raises(ConfigurationError, match="is a file"):
        push()


def test_a_latest_that_is_not_ours_is_left_alone(push, home):
    (home / "drive/latest").mkdir(parents=True)
    (home / "drive/latest/mine.txt").write_text("x")
    with pytest.raises(ConfigurationError, match="not written by a push"):
        push()
    assert names(home / "drive/latest") == ["mine.txt"]


def test_no_space_is_a_store_error_and_latest_is_what_it_was(push, home, monkeypatch):
    push(41)

    def full(*args):
        args[-1].write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(render, "write", full)
    with pytest.raises(StoreError, match="No space left on device"):
        push(42)
    assert names(home / "drive") == ["00000041", "latest"]
    assert check_whole(home / "drive/latest") == 41


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"formats": ["parqet"]}, ConfigurationError, "csv, parquet, xlsx"),
        ({"formats": []}, ConfigurationError, "no format"),
        ({"role": ""}, ConfigurationError, "which role"),
        ({"role": "acountant"}, ConfigurationError, "did you mean 'accountant'"),
        ({"to": ""}, ConfigurationError, "no folder"),
        ({"to": "${NO_SUCH_VARIABLE}/x"}, ConfigurationError, "NO_SUCH_VARIABLE"),
        ({"to": 3}, ConfigurationError, "not text"),
        ({"where": "country ="}, ConfigurationError, "column 10"),
        ({"keep": -1}, ConfigurationError, "keep"),
        ({"keep": True}, ConfigurationError, "keep"),
        ({"datasets": "films"}, ConfigurationError, "list"),
        ({"dataset": ["films"]}, ConfigurationError, "did you mean 'datasets'"),
        ({"datasets": ["nothing"]}, NotFoundError, "nothing"),
        ({"role": "seller", "datasets": ["films"]}, AccessError, "films"),
        ({"where": "nothing = 1"}, QueryError, "nothing"),
    ],
)
def test_what_cannot_be_pushed_is_said_and_nothing_is_left(push, home, more, error, words):
    with pytest.raises(error, match=words):
        push(**more)
    assert not (home / "drive").exists() or names(home / "drive") == []


def test_push_must_be_settings(make_port):
    with pytest.raises(ConfigurationError, match="not settings"):
        make_port({"push": "drive/"})


def test_without_roles_the_owner_pushes_and_the_environment_names_the_folder(
    make_port, opener, home, monkeypatch
):
    monkeypatch.setenv("DRIVE", str(home / "elsewhere"))
    port = make_port({"push": {"to": "${DRIVE}/x", "formats": ["csv"]}}, roles={})
    assert len(port.push(opener.kept[-1], None, home)) == 2
    assert check_whole(home / "elsewhere/x/latest") == 42


def test_an_empty_table_is_pushed_with_its_columns(push, home, opener):
    opener.add(70, films=pa.table({"id": pa.array([], pa.int64())}))
    push(70, formats=["csv", "parquet", "xlsx", "json", "ndjson", "arrow", "arrows"])
    assert (home / "drive/latest/films.csv").read_bytes() == b"id\r\n"
    assert check_whole(home / "drive/latest") == 70
