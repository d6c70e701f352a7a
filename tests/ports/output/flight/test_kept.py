"""What is kept between two calls is bounded, expires, and is its owner's alone."""

from __future__ import annotations

import threading

import pytest

from polyport.errors import LimitError, NotFoundError
from polyport.model import Principal
from polyport.ports.output.flight.kept import Kept

ANN = Principal("ann", frozenset({"analyst"}))
BOB = Principal("bob", frozenset({"analyst"}))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_handle_is_of_no_use_to_anybody_else():
    kept = Kept("thing", seconds=9)
    handle = kept.keep(ANN, "secret")
    assert kept.get(ANN, handle) == "secret"
    with pytest.raises(NotFoundError, match="this thing is not known"):
        kept.get(BOB, handle)
    kept.drop(BOB, handle)
    assert kept.find(ANN, handle) == "secret"


def test_a_handle_ends_with_the_roles_that_it_was_given_to():
    kept = Kept("thing", seconds=9)
    handle = kept.keep(ANN, "secret")
    with pytest.raises(NotFoundError):
        kept.get(Principal("ann"), handle)


def test_handles_are_long_and_each_another():
    kept = Kept("thing", seconds=9, each=1000)
    handles = {kept.keep(ANN, n) for n in range(500)}
    assert len(handles) == 500
    assert {len(h) for h in handles} == {24}


def test_what_is_not_used_ends_and_what_is_used_stays(clock):
    ended = []
    kept = Kept("thing", seconds=10, end=ended.append, clock=clock)
    idle, used = kept.keep(ANN, "idle"), kept.keep(ANN, "used")
    clock.now = 8
    kept.get(ANN, used)
    clock.now = 11
    assert kept.get(ANN, used) == "used"
    assert kept.find(ANN, idle) is None
    assert ended == ["idle"]
    clock.now = 30
    kept.sweep()
    assert ended == ["idle", "used"]
    assert len(kept) == 0


def test_what_is_busy_does_not_end(clock):
    busy = {"a"}
    kept = Kept("thing", seconds=10, busy=busy.__contains__, clock=clock)
    handle = kept.keep(ANN, "a")
    clock.now = 100
    assert kept.get(ANN, handle) == "a"


def test_the_one_that_was_not_used_for_the_longest_makes_room(clock):
    ended = []
    kept = Kept("thing", seconds=1000, each=2, end=ended.append, clock=clock)
    first, second = kept.keep(ANN, 1), kept.keep(ANN, 2)
    other = kept.keep(BOB, 3)
    clock.now = 1
    kept.get(ANN, first)
    kept.keep(ANN, 4)
    assert ended == [2]
    assert kept.find(ANN, second) is None
    assert kept.find(BOB, other) == 3


def test_where_all_are_busy_or_all_is_full_it_says_so():
    kept = Kept("thing", seconds=9, each=2, most=3, busy=lambda _: True)
    kept.keep(ANN, 1), kept.keep(ANN, 2)
    with pytest.raises(LimitError, match="ann has 2 things open"):
        kept.keep(ANN, 3)
    kept.keep(BOB, 3)
    with pytest.raises(LimitError, match="too many things are open"):
        kept.keep(BOB, 4)


def test_kept_again_it_needs_no_room():
    kept = Kept("thing", seconds=9, each=2, most=2)
    handle = kept.keep(ANN, 1)
    other = kept.keep(ANN, 2)
    assert kept.keep(ANN, 3, handle) == handle
    assert (kept.get(ANN, handle), kept.get(ANN, other)) == (3, 2)


def test_all_ends_at_the_end_once():
    ended = []
    kept = Kept("thing", seconds=9, end=ended.append)
    kept.keep(ANN, 1), kept.keep(BOB, 2)
    kept.close()
    kept.close()
    assert ended == [1, 2]


def test_many_threads_at_once(clock):
    ended = []
    kept = Kept("thing", seconds=9, each=5, end=ended.append, clock=clock)

    def work():
        for n in range(200):
            handle = kept.keep(ANN, n)
            kept.find(ANN, handle)
            if n % 3 == 0:
                kept.drop(ANN, handle)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) <= 5
    kept.close()
    assert len(ended) == 800


def test_some_are_kept_for_less_than_others():
    now = [0.0]
    kept = Kept("thing", seconds=100, within=float, clock=lambda: now[0])
    short, long = kept.keep(ANN, 10), kept.keep(ANN, 1_000)
    now[0] = 50.0
    assert kept.find(ANN, short) is None
    assert kept.find(ANN, long) == 1_000
