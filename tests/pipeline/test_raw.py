"""Raw: kept once, never changed, found again."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyport.errors import NotFoundError, StoreError
from polyport.pipeline.raw import RawStore
from polyport.ports.input import Received

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def raw(tmp_path):
    return RawStore(tmp_path / "raw", clock=lambda: NOW)


def received(raw, *bodies, port="films"):
    kept = tuple(raw.keep(f"{i}.csv", [b], origin=f"in/{i}.csv") for i, b in enumerate(bodies))
    return Received(port, kept, "sha256:x", cursor="c1", notes=("n",))


def test_bytes_are_kept_under_their_hash_and_read_only(raw):
    kept = raw.keep("dir/a.CSV", [b"ab", b"", b"c"], origin="x", media_type="text/csv")
    sha = hashlib.sha256(b"abc").hexdigest()
    assert kept.path == raw.folder / sha[:2] / f"{sha}.CSV"
    assert kept.path.read_bytes() == b"abc"
    assert kept.path.stat().st_mode & 0o222 == 0
    assert (kept.name, kept.sha256, kept.bytes, kept.received_at) == ("a.CSV", sha, 3, NOW)
    assert not list((raw.folder / "incoming").iterdir())


def test_equal_bytes_are_kept_once_and_keep_their_first_time(raw, tmp_path):
    first = raw.keep("a.csv", [b"abc"], origin="x")
    inode = first.path.stat().st_ino
    later = RawStore(raw.folder, clock=lambda: NOW + timedelta(days=1))
    again = later.keep("b.csv", [b"a", b"bc"], origin="y")
    assert again.path == first.path
    assert again.path.stat().st_ino == inode
    assert again.received_at == NOW


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.csv", ".csv"),
        ("a.csv.gz", ".csv.gz"),
        ("a.v1.xlsx", ".xlsx"),
        ("noend", ""),
        ("a.c/../x", ""),
        ("a.cs v", ""),
        ("a." + "x" * 40, ""),
        (".hidden", ""),
    ],
)
def test_suffixes(raw, name, suffix):
    kept = raw.keep(name, [b"1"], origin="x")
    assert kept.path.name == hashlib.sha256(b"1").hexdigest() + suffix
    assert kept.path.is_relative_to(raw.folder)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.binary(max_size=50), max_size=5))
def test_what_is_kept_is_what_came(raw, chunks):
    kept = raw.keep("x.bin", chunks, origin="o")
    assert kept.path.read_bytes() == b"".join(chunks)


def test_a_source_that_fails_half_way_leaves_nothing(raw):
    def chunks():
        yield b"half"
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        raw.keep("a.csv", chunks(), origin="x")
    assert not [p for p in raw.folder.rglob("*") if p.is_file()]


def test_no_space(raw, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left") as caught:
        raw.keep("a.csv", [b"x"], origin="x")
    assert "free some space" in caught.value.fix
    assert not [p for p in raw.folder.rglob("*") if p.is_file()]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "raw").write_text("a file")
    with pytest.raises(StoreError):
        RawStore(tmp_path / "raw").keep("a.csv", [b"x"], origin="x")


def test_a_run_is_found_again_wherever_the_folder_lies(raw, tmp_path):
    one = received(raw, b"1", b"2")
    raw.record("r1", {"films": one})
    assert raw.load("r1") == {"films": one}
    moved = raw.folder.rename(tmp_path / "elsewhere")
    found = RawStore(moved).load("r1")["films"]
    assert [o.path.read_bytes() for o in found.objects] == [b"1", b"2"]
    assert (found.cursor, found.notes, found.identity) == ("c1", ("n",), "sha256:x")


def test_the_latest_is_the_last_accepted(raw):
    assert raw.latest() == {}
    raw.record("r1", {"films": received(raw, b"1")})
    raw.record("r2", {"films": received(raw, b"2")})
    assert raw.latest() == {}
    raw.accept("r1")
    assert raw.latest()["films"].objects[0].path.read_bytes() == b"1"
    assert raw.runs() == ("r1", "r2")


def test_an_unknown_run(raw):
    raw.record("r1", {})
    with pytest.raises(NotFoundError, match="'r9'") as caught:
        raw.load("r9")
    assert caught.value.fix == "kept: r1"


@pytest.mark.parametrize(
    ("body", "load_says", "latest_says"),
    [
        (b"xx", "was changed", None),
        (b"x", "has 1 bytes", "has 1 bytes"),
        (None, "cannot", "cannot"),
    ],
)
def test_a_changed_raw_file_is_named(raw, body, load_says, latest_says):
    one = received(raw, b"ab")
    raw.record("r1", {"films": one})
    raw.accept("r1")
    path = one.objects[0].path
    path.unlink()
    if body is not None:
        path.write_bytes(body)
    with pytest.raises(StoreError, match=load_says) as caught:
        raw.load("r1")
    assert caught.value.where == str(path)
    if latest_says:
        with pytest.raises(StoreError, match=latest_says):
            raw.latest()


def test_a_truncated_raw_file_is_healed_when_the_bytes_come_again(raw):
    kept = raw.keep("a.csv", [b"abc"], origin="x")
    kept.path.chmod(0o644)
    kept.path.write_bytes(b"a")
    assert raw.keep("a.csv", [b"abc"], origin="x").path.read_bytes() == b"abc"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 9}', '{"format": 1}', '{"format": 1, "ports": {"f": {}}}']
)
def test_a_damaged_list_is_an_error(raw, text):
    raw.record("r1", {})
    (raw.folder / "runs/r1.json").write_text(text)
    with pytest.raises(StoreError, match="damaged"):
        raw.load("r1")


def test_a_list_is_plain_json(raw):
    raw.record("r1", {"films": received(raw, b"1")})
    document = json.loads((raw.folder / "runs/r1.json").read_text())
    (one,) = document["ports"]["films"]["objects"]
    assert one["origin"] == "in/0.csv"
    assert not Path(one["file"]).is_absolute()
