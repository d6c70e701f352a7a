from __future__ import annotations

import gc
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyport.errors import StoreError
from polyport.ports.output.files.cache import Cache


@pytest.fixture
def cache(tmp_path):
    made = Cache(tmp_path, limit=100)
    yield made
    made.close()
    assert list(tmp_path.iterdir()) == []


def render_of(data, calls=None):
    def render(sink):
        if calls is not None:
            calls.append(1)
        sink.write(data)
        return {"d": len(data)}

    return render


def content(held):
    with held.file:
        return held.file.read()


def test_a_file_is_rendered_once(cache):
    calls = []
    first = cache.get("k", render_of(b"abc", calls))
    again = cache.get("k", render_of(b"abc", calls))
    assert (first.fresh, again.fresh, len(calls)) == (True, False, 1)
    assert content(first) == content(again) == b"abc"
    assert (again.size, again.rows, cache.size("k"), cache.size("other")) == (3, {"d": 3}, 3, None)


def test_the_least_recently_used_goes_first(cache):
    for key in "ab":
        content(cache.get(key, render_of(b"x" * 40)))
    content(cache.get("a", render_of(b"")))
    content(cache.get("c", render_of(b"x" * 40)))
    assert [cache.size(key) for key in "abc"] == [40, None, 40]


def test_what_is_being_read_stays_whole_when_it_is_evicted_or_the_cache_closed(cache, tmp_path):
    held = cache.get("a", render_of(b"x" * 90))
    content(cache.get("b", render_of(b"y" * 90)))
    other = cache.get("b", render_of(b""))
    cache.close()
    assert content(held) == b"x" * 90
    assert content(other) == b"y" * 90


def test_what_is_larger_than_the_cache_is_served_and_not_kept(cache):
    assert content(cache.get("big", render_of(b"z" * 500))) == b"z" * 500
    assert (cache.bytes, cache.size("big")) == (0, None)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60)), max_size=20))
def test_it_never_holds_more_than_its_limit(steps):
    cache = Cache(limit=100)
    sizes = {}
    try:
        for key, size in steps:
            wanted = sizes.setdefault(key, size)
            assert len(content(cache.get(str(key), render_of(b"x" * wanted)))) == wanted
            assert cache.bytes <= 100
    finally:
        cache.close()


def test_a_rendering_that_fails_leaves_nothing_and_may_be_tried_again(cache, tmp_path):
    def broken(sink):
        sink.write(b"half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.get("k", broken)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]
    assert content(cache.get("k", render_of(b"whole"))) == b"whole"


def test_a_folder_that_cannot_be_written_is_a_store_error(tmp_path):
    target = tmp_path / "file"
    target.write_text("not a folder")
    with pytest.raises(StoreError, match="cannot be written"):
        Cache(target).get("k", render_of(b""))


def test_of_many_at_once_one_renders_and_different_keys_do_not_wait(cache):
    started, other_done = threading.Event(), threading.Event()
    calls = []

    def slow(sink):
        calls.append(1)
        started.set()
        assert other_done.wait(10)
        sink.write(b"slow")
        return {}

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(lambda: content(cache.get("slow", slow))) for _ in range(3)]
        assert started.wait(10)
        assert content(cache.get("fast", render_of(b"fast"))) == b"fast"
        other_done.set()
        assert [future.result(10) for future in waiting] == [b"slow"] * 3
    assert len(calls) == 1
    assert cache._turns == {}


def test_a_cache_that_is_forgotten_takes_its_files_along(tmp_path):
    cache = Cache(tmp_path)
    content(cache.get("k", render_of(b"x")))
    del cache
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_closed_cache_can_be_used_again(cache):
    content(cache.get("k", render_of(b"1")))
    cache.close()
    assert content(cache.get("k", render_of(b"2"))) == b"2"


ABANDON = """
import os, sys
from pathlib import Path
from polyport.ports.output.files.cache import Cache
cache = Cache(Path(sys.argv[1]))
cache.get("k", lambda sink: {}).file.close()
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_lives_stays(tmp_path):
    living = Cache(tmp_path)
    content(living.get("k", render_of(b"mine")))
    (tmp_path / "polyport-files-other").mkdir()  # not one of ours: it has no lock
    (tmp_path / "polyport-files-link").symlink_to(tmp_path)
    done = subprocess.run([sys.executable, "-c", ABANDON, tmp_path], capture_output=True)
    assert done.returncode == -9, done.stderr
    assert len(list(tmp_path.glob("polyport-files-*"))) == 4
    another = Cache(tmp_path)
    content(another.get("k", render_of(b"x")))
    assert content(living.get("k", render_of(b"again"))) == b"mine"
    another.close()
    living.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "polyport-files-link",
        "polyport-files-other",
    ]
