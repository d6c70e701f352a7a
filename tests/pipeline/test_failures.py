"""Faults at every stage: no half snapshot, the old one served, the next build well."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
from tests.forks import forks
from tests.pipeline.logs import events

from polyport.errors import ConflictError, PolyportError, QueryError, StoreError
from polyport.pipeline import build, folders

CRASH = Path(__file__).with_name("crash.py")


def no_space(*_args, **_more):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failed(shop, kind=StoreError):
    with pytest.raises(kind) as caught:
        shop.build()
    assert caught.value.unchanged == "nothing was published; snapshot 1 is still served"
    assert caught.value.run.outcome == "failed"
    assert [s.sequence for s in shop.store.history("costs")] == [1]
    return caught.value


def changed(shop):
    shop.input("films", "id,title,budget\n7,New,1\n")
    return shop


@pytest.fixture(scope="module")
def forked():
    with forks(CRASH) as call:
        yield call


@pytest.mark.parametrize("moment", ["receive", "read", "cleanse", "transform"])
def test_a_build_killed_amid_a_stage_harms_nobody(films, tmp_path, forked, moment):
    films.build()
    status, said = forked("run", tmp_path, moment)
    assert status == -signal.SIGKILL, said
    killed = films.log("20260101T000051-abcdef")
    assert events(killed)[0]["message"] == "build started"
    assert films.store.snapshot("costs", "latest").sequence == 1
    assert len(films.rows("costs")) == 3
    shutil.rmtree(films.home / "cleanse", ignore_errors=True)
    (films.home / "transform/costs.py").unlink(missing_ok=True)
    films.file("transform/costs.sql", "SELECT id, title, budget FROM films")
    assert changed(films).build().snapshot.sequence == 2
    assert films.rows("costs")[0]["title"] == "New"
    assert list((films.state / "scratch").iterdir()) == []
    assert not list(films.state.glob("raw/**/*.part"))


def test_no_space_for_raw_data(films, monkeypatch):
    films.build()
    monkeypatch.setattr("polyport.pipeline.raw.os.fsync", no_space)
    error = failed(changed(films))
    assert "No space left" in error.message
    assert "free some space" in error.fix


@pytest.mark.parametrize("where", ["scratch", "staging"])
def test_no_space_while_a_table_is_written(films, monkeypatch, where):
    films.build()
    changed(films)
    if where == "scratch":
        films.file("cleanse/films.sql", "SELECT *, NULL AS _refused FROM films")
    real = films.engine.write

    def write(sql, relations, target, **more):
        full = ("scratch" in target.parts) == (where == "scratch")
        if full:
            raise StoreError("No space left on device", where=str(target), fix="free some space")
        return real(sql, relations, target, **more)

    monkeypatch.setattr(films.engine, "write", write)
    assert failed(films).message == "No space left on device"


def test_no_space_for_the_log(films, monkeypatch):
    films.build()
    monkeypatch.setattr("polyport.pipeline.log.RunLog._put", lambda *_: no_space_error())
    failed(changed(films))


def no_space_error():
    raise StoreError("No space left on device")


def test_a_log_that_cannot_be_finished_does_not_hide_what_was_published(films, monkeypatch):
    films.build()
    real = films.store.publish

    def publish(*args, **more):
        snapshot = real(*args, **more)
        monkeypatch.setattr("polyport.pipeline.log.RunLog._put", lambda *_: no_space_error())
        return snapshot

    monkeypatch.setattr(films.store, "publish", publish)
    with pytest.raises(StoreError) as caught:
        changed(films).build()
    assert caught.value.unchanged == "snapshot 2 was published and is served"
    assert caught.value.run.outcome == "published"


def test_a_state_folder_that_is_a_file(films):
    films.build()
    films.state = films.home / "transform/costs.sql"
    error = failed(films)
    assert "cannot write" in error.message


def test_a_damaged_store_says_so(films):
    films.build()
    (manifest,) = films.store.root.glob("**/snapshots/*.json")
    manifest.chmod(0o644)
    manifest.write_text("{")
    with pytest.raises(StoreError) as caught:
        films.build()
    assert caught.value.unchanged.startswith("nothing was published")


def test_a_bug_in_a_port_is_logged_whole(films):
    films.build()
    films.inputs["films"].fail = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        films.build()
    (event,) = events(films.log(kind="errors.log"))
    assert "ZeroDivisionError: a bug" in event["traceback"]
    assert list((films.state / "scratch").iterdir()) == []


def test_a_failing_engine_at_the_comparison_publishes_nothing(films, monkeypatch):
    films.build()

    def same_rows(*_):
        raise QueryError("the engine is gone")

    monkeypatch.setattr("polyport.pipeline.publish.same_rows", same_rows)
    failed(films, QueryError)


def test_two_builds_at_once_one_wins(films):
    films.build()
    changed(films)
    ready = threading.Barrier(2)
    real = films.store.publish

    def publish(*args, **more):
        ready.wait(30)
        return real(*args, **more)

    films.store.publish = publish
    jobs = [films.job(), films.job()]
    outcomes = []

    def run(job):
        try:
            outcomes.append(build(job, lambda _: None).run)
        except PolyportError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    lost, won = sorted(outcomes, key=lambda o: not isinstance(o, ConflictError))
    assert won.outcome == "published"
    assert lost.run.outcome == "conflict"
    assert lost.unchanged == "nothing was published; snapshot 2 is still served"
    assert [s.sequence for s in films.store.history("costs")] == [1, 2]


def test_one_run_id_cannot_go_on_twice(films):
    job = films.job()
    root = films.state / "scratch"
    with (
        folders.scratch_folder(root, job.run),
        pytest.raises(ConflictError, match="is going on"),
    ):
        build(job, lambda _: None)
    assert build(job, lambda _: None).run.outcome == "published"


def test_scratch_of_a_living_build_is_left_alone(tmp_path):
    with folders.scratch_folder(tmp_path, "a") as mine:
        (mine / "x").write_text("")
        with folders.scratch_folder(tmp_path, "b"):
            assert (mine / "x").exists()


def test_scratch_of_a_dead_build_is_cleared(tmp_path):
    (tmp_path / "dead").mkdir()
    (tmp_path / "dead/x").write_text("")
    (tmp_path / "dead.lock").write_text("")
    with folders.scratch_folder(tmp_path, "b"):
        assert not (tmp_path / "dead").exists()
        assert not (tmp_path / "dead.lock").exists()


def test_names_are_safe_and_different():
    names = ["a", "a/b", "a%2Fb", "..", ".", ".hidden", "", "a b", "a.b", "é", "a\x00"]
    safe = [folders.safe(n) for n in names if n]
    assert len(set(safe)) == len(safe)
    assert not [s for s in safe if "/" in s or s.startswith(".") or "\x00" in s]


def test_documents_are_whole_or_not_there(tmp_path, monkeypatch):
    folders.write_document(tmp_path / "a.json", {"x": 1})
    monkeypatch.setattr(folders.os, "fsync", no_space)
    with pytest.raises(StoreError):
        folders.write_document(tmp_path / "a.json", {"x": 2})
    assert (tmp_path / "a.json").read_text() == '{\n "x": 1\n}'
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_trial_never_stays(films):
    films.file("transform/costs.sql", "SELECT id, title, CAST(title AS INT) AS budget FROM films")
    with pytest.raises(PolyportError):
        films.build()
    assert not list(films.state.rglob("trial*"))
