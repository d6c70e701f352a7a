from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from polyport.errors import ConfigurationError, ConflictError, NotFoundError, StoreError
from polyport.store import Table, disk, iceberg, manifest, sweep
from polyport.store.layout import Home
from polyport.store.local import LocalStore
from polyport.testing.store import PRODUCT, publish, publish_many, rows, stage_table, table


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "store")


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# The manifest on disk


def test_what_lies_where(store):
    made = publish(store, "r1", {"movies": table("1")})
    store.tag(PRODUCT, "audit", "1")
    names = files_below(store.root / PRODUCT)
    assert [name for name in names if not name.startswith("iceberg/")] == [
        "data/r1/movies-0.parquet",
        "lock",
        "snapshots/00000001.json",
        "tags/audit",
    ]
    assert len(names) == 7
    document = json.loads((store.root / PRODUCT / "snapshots" / "00000001.json").read_text())
    part = document["datasets"]["movies"]
    assert (document["format"], document["sequence"], document["id"]) == (1, 1, made.id)
    assert part["columns"] == [
        {"name": "id", "type": "int64", "id": 1},
        {"name": "title", "type": "string", "id": 2},
    ]
    assert (part["rows"], part["since"], part["last_column_id"]) == (1, 1, 2)
    (file,) = part["files"]
    assert file["path"] == f"{PRODUCT}/data/r1/movies-0.parquet"
    assert file["bytes"] == (store.root / file["path"]).stat().st_size


def test_since_tells_when_the_rows_last_changed(store):
    first = publish(store, "r1", {"d": table("1"), "e": table("1")})
    with store.stage(PRODUCT, "r2") as staging:
        shared = Table(tuple(Path(f) for f in store.files(first, "e")), table("").schema, 1)
        tables = {"d": stage_table(staging, "d", table("2")), "e": shared}
        second = store.publish(PRODUCT, tables, staging=staging, inputs={}, parent=first.id)
    found = manifest.read(
        store.root / PRODUCT / "snapshots" / "00000002.json", product=PRODUCT, sequence=2
    )
    assert {name: entry.since for name, entry in found.entries.items()} == {"d": 2, "e": 1}
    assert second.datasets["e"] == first.datasets["e"]


def test_times_ascend_where_the_clock_does_not(tmp_path):
    times = [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (5, 3, 3, 6)]
    store = LocalStore(tmp_path, iceberg=False, clock=iter(times).__next__)
    made = publish_many(store, 4)
    tick = timedelta(microseconds=1)
    assert [s.committed_at for s in made] == [
        times[0],
        times[0] + tick,
        times[0] + 2 * tick,
        times[3],
    ]


def test_a_date_names_what_was_current_when_it_ended(tmp_path):
    times = [datetime(2026, 1, day, 12, tzinfo=UTC) for day in (1, 2, 5)]
    store = LocalStore(tmp_path, iceberg=False, clock=iter(times).__next__)
    made = publish_many(store, 3)
    days = {day: store.snapshot(PRODUCT, f"2026-01-0{day}") for day in (1, 2, 3, 4, 5, 9)}
    assert days == {1: made[0], 2: made[1], 3: made[1], 4: made[1], 5: made[2], 9: made[2]}
    assert store.snapshot(PRODUCT, "2026-01-02t13:00:00+02:00") == made[0]
    assert store.snapshot(PRODUCT, "2026-01-02T14:00:00+02:00") == made[1]
    with pytest.raises(NotFoundError, match="2026-01-01T12:00:00Z"):
        store.snapshot(PRODUCT, "2025-12-31")


# Cheap to read


@pytest.fixture
def parsed(monkeypatch):
    seen = []
    whole = manifest.read
    monkeypatch.setattr(
        manifest, "read", lambda path, **named: seen.append(path.name) or whole(path, **named)
    )
    return seen


def test_latest_parses_one_manifest_of_many(tmp_path, parsed):
    publish_many(LocalStore(tmp_path, iceberg=False), 40)
    parsed.clear()
    store = LocalStore(tmp_path, iceberg=False)
    for _ in range(3):
        assert store.snapshot(PRODUCT, "latest").sequence == 40
        assert store.snapshot(PRODUCT, "17").sequence == 17
    assert parsed == ["00000040.json", "00000017.json"]
    parsed.clear()
    moment = store.snapshot(PRODUCT, "17").committed_at.isoformat()
    assert store.snapshot(PRODUCT, moment).sequence == 17
    assert len(parsed) <= 6
    assert len(store.history(PRODUCT)) == len(store.history(PRODUCT)) == 40
    assert len(parsed) == len(set(parsed)) <= 38


def test_a_store_made_anew_in_the_same_place_is_not_the_old_one(store):
    publish_many(store, 1)
    store.root.rename(store.root.with_name("old"))
    assert store.history(PRODUCT) == ()
    made = publish(store, "run-1", {"movies": table("new")})
    assert store.snapshot(PRODUCT, "1") == made


def test_reading_imports_no_pyiceberg(store):
    publish_many(store, 2)
    script = (
        "import sys; from pathlib import Path; from polyport.store.local import LocalStore\n"
        f"store = LocalStore(Path({str(store.root)!r}))\n"
        f"held = store.hold({PRODUCT!r}, 'latest'); s = held.__enter__(); held.__exit__(None, None, None)\n"
        "store.files(s, 'movies'), store.iceberg(s, 'movies'), store.expire(s.product, keep=1)\n"
        "print(s.sequence, sorted({'pyiceberg', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "[]"]


# Staging


def test_one_run_at_a_time_under_one_name(store):
    with store.stage(PRODUCT, "r1"):
        with (
            pytest.raises(StoreError, match="already"),
            store.stage(PRODUCT, "r1"),
        ):
            pass
        with store.stage(PRODUCT, "r2") as other:
            assert other.folder.is_dir()
    publish(store, "r1", {"movies": table("1")})
    with pytest.raises(StoreError, match="published already"), store.stage(PRODUCT, "r1"):
        pass


def test_a_staging_area_is_of_one_product(store):
    with store.stage("another", "r1") as staging:
        ready = {"movies": stage_table(staging, "movies", table("1"))}
        with pytest.raises(StoreError, match="not of product"):
            store.publish(PRODUCT, ready, staging=staging, inputs={}, parent=None)


def test_an_empty_run_leaves_nothing(store):
    with store.stage(PRODUCT, "r1") as staging:
        (staging.folder / "deep" / "er").mkdir(parents=True)
        (staging.folder / "deep" / "er" / "x").write_text("x")
    assert list((store.root / PRODUCT / "data").iterdir()) == []


def test_files_below_the_staging_folder_may_be_published(store):
    with store.stage(PRODUCT, "r1") as staging:
        ready = stage_table(staging, "movies", table("1"))
        deep = staging.folder / "movies" / "year=2026"
        deep.mkdir(parents=True)
        moved = ready.files[0].rename(deep / "x.parquet")
        ready = {"movies": Table((moved,), ready.schema, 1)}
        made = store.publish(PRODUCT, ready, staging=staging, inputs={}, parent=None)
    assert store.files(made, "movies") == (str(moved),)
    assert rows(store, made, "movies")[0]["title"] == "1"


@pytest.mark.parametrize("how", ["link", "dots", "twice", "missing", "folder"])
def test_files_that_are_not_what_they_seem(store, tmp_path, how):
    stranger = tmp_path / "stranger.parquet"
    with store.stage(PRODUCT, "r1") as staging:
        own = stage_table(staging, "movies", table("1")).files[0]
        stranger.write_bytes(own.read_bytes())
        (staging.folder / "link.parquet").symlink_to(stranger)
        files = {
            "link": (staging.folder / "link.parquet",),
            "dots": (staging.folder / ".." / ".." / ".." / ".." / "stranger.parquet",),
            "twice": (own, own),
            "missing": (staging.folder / "missing.parquet",),
            "folder": (staging.folder,),
        }[how]
        ready = {"movies": Table(files, table("").schema, len(files))}
        with pytest.raises(StoreError, match="movies"):
            store.publish(PRODUCT, ready, staging=staging, inputs={}, parent=None)
    assert stranger.exists()
    assert store.history(PRODUCT) == ()


def test_shared_files_keep_their_columns(store):
    first = publish(store, "r1", {"d": table("1")})
    with store.stage(PRODUCT, "r2") as staging:
        old = Path(store.files(first, "d")[0])
        more = table("2").append_column("more", pa.array([1]))
        new = stage_table(staging, "d", more)
        mixed = {"d": Table((old, *new.files), more.schema, 2)}
        with pytest.raises(StoreError, match="has other columns"):
            store.publish(PRODUCT, mixed, staging=staging, inputs={}, parent=first.id)
        new = stage_table(staging, "d", table("2"), part=1)
        mixed = {"d": Table((old, *new.files), new.schema, 2)}
        second = store.publish(PRODUCT, mixed, staging=staging, inputs={}, parent=first.id)
    assert [row["title"] for row in rows(store, second, "d")] == ["1", "2"]
    store.expire(PRODUCT, keep=1)
    assert [row["title"] for row in rows(store, second, "d")] == ["1", "2"]


def test_a_file_of_an_older_snapshot_is_refused(store):
    made = publish_many(store, 2)
    with store.stage(PRODUCT, "r3") as staging:
        old = {"movies": Table((Path(store.files(made[0], "movies")[0]),), table("").schema, 1)}
        with pytest.raises(StoreError, match="neither"):
            store.publish(PRODUCT, old, staging=staging, inputs={}, parent=made[1].id)


def test_a_snapshot_without_datasets(store):
    with store.stage(PRODUCT, "r1") as staging:
        made = store.publish(PRODUCT, {}, staging=staging, inputs={}, parent=None)
    assert store.snapshot(PRODUCT, "latest") == made
    with pytest.raises(NotFoundError, match="'movies'") as caught:
        store.files(made, "movies")
    assert "none" in caught.value.fix


# Readers and expiry


def test_threads_hold_and_let_go(tmp_path):
    store = LocalStore(tmp_path, iceberg=False)
    publish_many(store, 3)
    barrier = threading.Barrier(9, timeout=60)

    def reader(ref):
        for _ in range(50):
            with store.hold(PRODUCT, ref):
                pass
        with store.hold(PRODUCT, ref):
            barrier.wait()
            barrier.wait()

    threads = [threading.Thread(target=reader, args=(str(number % 2 + 1),)) for number in range(8)]
    for thread in threads:
        thread.start()
    barrier.wait()
    assert store.expire(PRODUCT, keep=1).held == (1, 2)
    assert len(store._holds._held) == 2
    barrier.wait()
    for thread in threads:
        thread.join(timeout=60)
    assert store._holds._held == {}
    assert store.expire(PRODUCT, keep=1).snapshots == (1, 2)


def test_hold_looks_again_when_the_newest_changes_under_its_hands(store, monkeypatch):
    made = publish_many(store, 1)
    whole = store._holds.take

    def late(path):
        monkeypatch.setattr(store._holds, "take", whole)
        publish(store, "meanwhile", {"movies": table("2")}, parent=made[0])
        assert LocalStore(store.root).expire(PRODUCT, keep=1).snapshots == (1,)
        return whole(path)

    monkeypatch.setattr(store._holds, "take", late)
    with store.hold(PRODUCT, "latest") as held:
        assert held.sequence == 2


def test_latest_looks_again_when_the_manifest_is_gone(store, monkeypatch):
    made = publish_many(store, 2)
    whole = Home.sequences
    answers = iter([[1], [1, 2], [1, 2]])
    store.expire(PRODUCT, keep=1)
    monkeypatch.setattr(Home, "sequences", lambda _: next(answers))
    assert store.snapshot(PRODUCT, "latest") == made[1]
    monkeypatch.setattr(Home, "sequences", whole)


def test_files_are_looked_through_only_where_a_snapshot_goes(store, monkeypatch):
    """There are more of them with each snapshot, and each build asks what has expired."""
    publish_many(store, 3)
    asked = []
    unused = sweep.unused
    monkeypatch.setattr(sweep, "unused", lambda *given: asked.append(1) or unused(*given))
    assert store.expire(PRODUCT, keep=3).snapshots == ()
    assert not asked
    assert store.expire(PRODUCT, keep=2).snapshots == (1,)
    assert store.expire(PRODUCT, keep=2).snapshots == ()
    assert len(asked) == 1


def test_a_publish_keeps_its_parent_from_expiring(store, monkeypatch):
    first = publish(store, "r1", {"d": table("1")})
    whole = store._draft

    def slow(staging, tables, *, before):
        won = publish(LocalStore(store.root), "fast", {"d": table("2")}, parent=first)
        assert store.expire(PRODUCT, keep=1).held == (1,)
        monkeypatch.setattr(store, "_draft", whole)
        assert won.sequence == 2
        return whole(staging, tables, before=before)

    monkeypatch.setattr(store, "_draft", slow)
    with pytest.raises(ConflictError, match="run fast"):
        publish(store, "slow", {"d": table("3")}, parent=first)
    assert store.expire(PRODUCT, keep=1).snapshots == (1,)


def test_a_sequence_that_has_expired_meanwhile_is_not_free(store, monkeypatch):
    first = publish(store, "r1", {"d": table("1")})
    whole = store._draft

    def slow(staging, tables, *, before):
        made = whole(staging, tables, before=before)
        monkeypatch.setattr(store, "_draft", whole)
        second = publish(store, "r2", {"d": table("2")}, parent=first)
        publish(store, "r3", {"d": table("3")}, parent=second)
        assert store.expire(PRODUCT, keep=1).snapshots == (2,)
        return made

    monkeypatch.setattr(store, "_draft", slow)
    with pytest.raises(ConflictError, match="run r3"):
        publish(store, "slow", {"d": table("slow")}, parent=first)
    assert [snapshot.run for snapshot in store.history(PRODUCT)] == ["r1", "r3"]


def test_put_if_absent_holds_where_locks_do_not(store, monkeypatch):
    """Should the lock fail us (a network disk), the link still lets only one win."""
    first = publish(store, "r1", {"d": table("1")})
    whole = disk.put_if_absent

    def late(path, data, *, draft):
        path.write_bytes(b"the other one")
        try:
            whole(path, data, draft=draft)
        finally:
            path.unlink()

    monkeypatch.setattr(disk, "put_if_absent", late)
    with pytest.raises(ConflictError, match=first.id):
        publish(store, "r2", {"d": table("2")}, parent=first)


# Faults


FULL = OSError(errno.ENOSPC, "No space left on device")
DENIED = PermissionError(errno.EACCES, "Permission denied", "/store/x")


def fail(error):
    def failing(*_args, **_named):
        raise error

    return failing


PLACES = {
    "fsync of data": (disk, "sync_all"),
    "metadata": (iceberg, "_manifest"),
    "iceberg.json": (iceberg.disk, "write"),
    "link": (os, "link"),
    "fsync of the folder": (disk, "sync_folder"),
    "fsync": (os, "fsync"),
}


@pytest.mark.parametrize("error", [FULL, DENIED], ids=["full", "denied"])
@pytest.mark.parametrize("place", PLACES)
def test_a_disk_that_fails_during_publish(store, monkeypatch, place, error):
    first = publish(store, "r1", {"d": table("1")})
    before = files_below(store.root)
    with store.stage(PRODUCT, "r2") as staging:
        ready = {"d": stage_table(staging, "d", table("2"))}
        with monkeypatch.context() as patch:
            patch.setattr(*PLACES[place], fail(error))
            with pytest.raises(StoreError) as caught:
                store.publish(PRODUCT, ready, staging=staging, inputs={}, parent=first.id)
        assert store.history(PRODUCT) == (first,)
    assert (error.strerror or "") in caught.value.message
    assert caught.value.where
    assert ("space" if error is FULL else "writable") in caught.value.fix
    assert files_below(store.root) == before
    assert publish(store, "r3", {"d": table("3")}, parent=first).sequence == 2


def test_a_disk_that_fails_after_the_link_takes_the_snapshot_back(store, monkeypatch):
    first = publish(store, "r1", {"d": table("1")})
    whole = disk.sync_folder

    def failing(path):
        if path.name == "snapshots":
            assert len(list(path.iterdir())) == 2
            raise FULL
        whole(path)

    monkeypatch.setattr(disk, "sync_folder", failing)
    with pytest.raises(StoreError, match="No space"):
        publish(store, "r2", {"d": table("2")}, parent=first)
    assert store.history(PRODUCT) == (first,)


def test_an_interrupt_right_after_the_link_keeps_what_is_visible(store, monkeypatch):
    first = publish(store, "r1", {"d": table("1")})
    whole = os.link

    def interrupted(*paths):
        whole(*paths)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", interrupted)
        with pytest.raises(KeyboardInterrupt):
            publish(store, "r2", {"d": table("2")}, parent=first)
    newest = store.snapshot(PRODUCT, "latest")
    assert newest.run == "r2"
    assert rows(store, newest, "d")[0]["title"] == "2"


def test_what_cannot_be_removed_at_exit_is_removed_by_the_next_run(store, monkeypatch):
    first = publish(store, "r1", {"d": table("1")})
    with monkeypatch.context() as patch, store.stage(PRODUCT, "r2") as staging:
        left = stage_table(staging, "d", table("2")).files[0]
        patch.setattr(Path, "unlink", fail(DENIED))
    assert left.exists()
    publish(store, "r3", {"d": table("3")}, parent=first)
    assert not left.exists()
    assert not list((store.root / PRODUCT / "data").glob("*.lock"))


def build_that_fails_twice(store, patch):
    with store.stage(PRODUCT, "r2"):
        patch.setattr(Path, "unlink", fail(DENIED))
        raise ValueError("the build's")


def test_a_failing_build_tells_its_own_error_not_that_of_tidying_up(store, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="the build's"):
        build_that_fails_twice(store, patch)


def test_a_store_where_no_folder_can_be(tmp_path):
    (tmp_path / "file").write_text("")
    store = LocalStore(tmp_path / "file" / "store")
    for use in (store.history, store.expire, lambda name: store.snapshot(name, "latest")):
        with pytest.raises(StoreError, match="Not a directory"):
            use(PRODUCT)
    with pytest.raises(StoreError) as caught, store.stage(PRODUCT, "r1"):
        pass
    assert str(tmp_path / "file") in caught.value.where
    assert "choose a folder" in caught.value.fix


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_store_can_be_read(store):
    made = publish_many(store, 1)
    store.root.chmod(0o555)
    try:
        with store.hold(PRODUCT, "latest") as held:
            assert held == made[0]
        with pytest.raises(StoreError, match="Permission denied"), store.stage("another", "r1"):
            pass
    finally:
        store.root.chmod(0o755)


def test_a_disk_that_is_really_full(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        store = LocalStore(folder)
        with pytest.raises((StoreError, OSError), match="No space left"):
            publish_many(store, 1000)
        kept = store.history(PRODUCT)
        assert len(kept) > 2
        assert [rows(store, s, "movies")[0]["title"] for s in kept] == [
            str(s.sequence) for s in kept
        ]
        store.expire(PRODUCT, keep=2)
        assert publish(store, "after", {"d": table("x")}, parent=kept[-1]).sequence == len(kept) + 1
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_product_without_a_name(store):
    with pytest.raises(ConfigurationError):
        store.snapshot("", "latest")
    with pytest.raises(ConfigurationError), store.stage(PRODUCT, ""):
        pass


def test_all_bytes_are_on_the_disk_before_the_link(store, monkeypatch):
    done = []
    fsync, link = os.fsync, os.link
    monkeypatch.setattr(
        os, "fsync", lambda fd: (done.append(Path(f"/proc/self/fd/{fd}").readlink()), fsync(fd))
    )
    monkeypatch.setattr(os, "link", lambda *paths: (done.append("link"), link(*paths)))
    made = publish(store, "r1", {"d": table("1")})
    before, after = set(done[: done.index("link")]), done[done.index("link") + 1 :]
    home = Home.of(store.root, PRODUCT)
    files = {Path(path) for path in store.files(made, "d")} | set(
        (home.iceberg / "d" / "r1").iterdir()
    )
    folders = {
        home.data / "r1",
        home.data,
        home.iceberg / "d" / "r1",
        home.iceberg / "d",
        home.iceberg,
    }
    assert len(files) == 4
    assert files | folders <= before
    assert home.data / "r1" / f".{made.id}.json" in before
    assert after == [home.snapshots]
