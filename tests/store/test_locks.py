from __future__ import annotations

import errno
import fcntl
import os

import pytest

from polyport.store import locks


@pytest.fixture
def path(tmp_path):
    (tmp_path / "x").write_text("")
    return tmp_path / "x"


@pytest.fixture
def open_files(monkeypatch):
    """Descriptors that were opened and not closed."""
    left = set()
    whole_open, whole_close = os.open, os.close

    def opened(*args, **named):
        descriptor = whole_open(*args, **named)
        left.add(descriptor)
        return descriptor

    def closed(descriptor):
        left.discard(descriptor)
        whole_close(descriptor)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "close", closed)
    return left


@pytest.fixture(params=["gone", "replaced"])
def late(request, path, monkeypatch):
    """The file goes, or another takes its place, between opening and locking."""
    whole = fcntl.flock

    def flock(descriptor, operation):
        path.unlink()
        if request.param == "replaced":
            path.write_text("another")
        whole(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.usefixtures("late")
def test_a_lock_on_a_file_that_is_no_more_is_no_lock(path, open_files):
    assert locks.seize(path) is None
    assert not open_files


@pytest.mark.usefixtures("late")
def test_a_hold_on_a_file_that_is_no_more_is_no_hold(path, open_files):
    assert not locks.Holds().take(path)
    assert not open_files


def test_a_file_that_never_was(tmp_path):
    assert locks.seize(tmp_path / "x") is None
    assert not locks.Holds().take(tmp_path / "x")


def test_a_held_file_cannot_be_seized(path, open_files):
    holds = locks.Holds()
    held = holds.take(path)
    assert holds.take(path) is held
    assert len(open_files) == 1
    assert locks.seize(path) is None
    holds.drop(held)
    assert locks.seize(path) is None
    holds.drop(held)
    descriptor = locks.seize(path)
    assert descriptor is not None
    assert locks.seize(path) is None
    os.close(descriptor)
    assert not open_files


def test_of_two_who_create_one_has_it(tmp_path, open_files):
    descriptor = locks.create(tmp_path / "run.lock")
    assert descriptor is not None
    assert locks.create(tmp_path / "run.lock") is None
    os.close(descriptor)
    assert locks.create(tmp_path / "run.lock") is None
    assert not open_files


def test_a_disk_that_cannot_lock_leaves_nothing_open(path, open_files, monkeypatch):
    def flock(*_args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="No locks"):
        locks.seize(path)
    with pytest.raises(OSError, match="No locks"), locks.exclusive(path):
        pass
    assert not open_files
