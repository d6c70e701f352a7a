"""Large answers that are kept: from the second time on, whole ones only, in files that have no name."""

from __future__ import annotations

import errno
import threading

import pyarrow as pa
import pytest

from polyport.engine.walled import large
from polyport.engine.walled.answers import Whole
from polyport.engine.walled.large import LargeAnswers

BATCHES = tuple(pa.table({"a": range(n, n + 1000), "b": ["x" * 50] * 1000}).to_batches()[0] for n in range(0, 5000, 1000))  # fmt: skip
WHOLE = Whole({"types": ["BIGINT", "VARCHAR"]}, BATCHES[0].schema)
KEY = b"a statement"


@pytest.fixture
def kept():
    made = LargeAnswers()
    yield made
    made.close()
    assert not [t for t in threading.enumerate() if isinstance(t, threading.Timer)]


def given(kept, folder, key=KEY, batches=BATCHES):
    return list(kept.passing(key, WHOLE, iter(batches), folder))


def test_it_is_kept_from_the_second_time_on(kept, tmp_path):
    assert given(kept, tmp_path) == list(BATCHES)
    assert kept.find(KEY) is None
    assert given(kept, tmp_path) == list(BATCHES)
    found = kept.find(KEY)
    assert found.whole is WHOLE
    assert [list(found.batches()) for _ in range(2)] == [list(BATCHES)] * 2
    assert kept.find(b"another") is None


def test_its_file_has_no_name(kept, tmp_path):
    given(kept, tmp_path)
    passing = kept.passing(KEY, WHOLE, iter(BATCHES), tmp_path)
    next(passing)
    assert list(tmp_path.iterdir()) == []
    list(passing)
    assert list(tmp_path.iterdir()) == []
    assert kept.find(KEY) is not None


def test_one_that_is_not_read_to_its_end_is_not_kept(kept, tmp_path):
    def broken():
        yield BATCHES[0]
        raise ValueError("the worker is gone")

    given(kept, tmp_path)
    passing = kept.passing(KEY, WHOLE, iter(BATCHES), tmp_path)
    next(passing)
    passing.close()
    assert kept.find(KEY) is None
    with pytest.raises(ValueError, match="gone"):
        given(kept, tmp_path, batches=broken())
    assert kept.find(KEY) is None
    given(kept, tmp_path)
    assert kept.find(KEY) is not None


def test_one_that_nobody_begins_to_read_is_kept_when_somebody_does(kept, tmp_path):
    given(kept, tmp_path)
    kept.passing(KEY, WHOLE, iter(BATCHES), tmp_path).close()
    assert given(kept, tmp_path) == list(BATCHES)
    assert kept.find(KEY) is not None


def test_of_two_who_read_it_at_once_one_writes_it(kept, tmp_path):
    given(kept, tmp_path)
    first = kept.passing(KEY, WHOLE, iter(BATCHES), tmp_path)
    next(first)
    assert given(kept, tmp_path) == list(BATCHES)
    assert kept.find(KEY) is None
    list(first)
    assert kept.find(KEY) is not None


def test_one_for_which_there_is_no_room_is_given_all_the_same(tmp_path):
    kept = LargeAnswers(most_bytes=2 * BATCHES[0].nbytes)
    for _ in range(3):
        assert given(kept, tmp_path) == list(BATCHES)
    assert kept.find(KEY) is None
    kept.close()


@pytest.mark.parametrize("when", ["opened", "written", "ended"])
def test_a_full_disk_costs_no_row(kept, tmp_path, monkeypatch, when):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "no space")

    class Full:
        def __init__(self, sink, schema):
            self.write_batch = full if when == "written" else lambda _: None
            self.close = full

    given(kept, tmp_path)
    if when == "opened":
        monkeypatch.setattr(large.tempfile, "TemporaryFile", full)
    else:
        monkeypatch.setattr(large.pa.ipc, "new_file", Full)
    assert given(kept, tmp_path) == list(BATCHES)
    assert kept.find(KEY) is None


def test_rows_that_no_file_holds_are_given_all_the_same(kept, tmp_path):
    batches = [pa.record_batch({"a": pa.array(v).dictionary_encode()}) for v in (["x"], ["y"])]
    whole = Whole({}, batches[0].schema)
    for _ in range(3):
        assert list(kept.passing(KEY, whole, iter(batches), tmp_path)) == batches
    assert kept.find(KEY) is None


def test_no_more_than_a_part_of_what_is_free_is_taken(kept, tmp_path, monkeypatch):
    free = large.shutil.disk_usage(tmp_path)._replace(free=BATCHES[0].nbytes)
    monkeypatch.setattr(large.shutil, "disk_usage", lambda _: free)
    for _ in range(2):
        assert given(kept, tmp_path) == list(BATCHES)
    assert kept.find(KEY) is None


def test_those_asked_for_last_stay(tmp_path):
    size = sum(batch.nbytes for batch in BATCHES)
    kept = LargeAnswers(most_bytes=int(2.5 * size))
    for key in (b"1", b"2"):
        given(kept, tmp_path, key)
        given(kept, tmp_path, key)
    assert kept.find(b"1") is not None
    given(kept, tmp_path, b"3")
    given(kept, tmp_path, b"3")
    assert [kept.find(key) is not None for key in (b"1", b"2", b"3")] == [True, False, True]
    kept.close()


def test_they_are_forgotten_in_time_by_themselves(tmp_path):
    kept = LargeAnswers(seconds=0.3)
    given(kept, tmp_path)
    given(kept, tmp_path)
    found = kept.find(KEY)
    assert found is not None
    deadline = threading.Event()
    for _ in range(100):
        if kept.find(KEY) is None:
            break
        deadline.wait(0.05)
    assert kept.find(KEY) is None
    assert list(found.batches()) == list(BATCHES)  # who has it goes on reading
    kept.close()


def test_what_was_given_long_ago_does_not_count(tmp_path):
    kept = LargeAnswers(seconds=0.0)
    given(kept, tmp_path)
    given(kept, tmp_path)
    assert kept.find(KEY) is None
    kept.close()


def test_nothing_is_kept_any_more_once_it_is_closed(kept, tmp_path):
    given(kept, tmp_path)
    given(kept, tmp_path)
    found = kept.find(KEY)
    kept.close()
    assert kept.find(KEY) is None
    given(kept, tmp_path)
    assert given(kept, tmp_path) == list(found.batches()) == list(BATCHES)
    assert kept.find(KEY) is None
