"""Answers that are kept: found by what was asked exactly, forgotten by age and size."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from polyport.engine.walled.answers import Answers, Whole
from polyport.engine.walled.universe import Named, Universe
from polyport.model import Relation

TABLE = pa.table({"a": [1, 2]})
SEEN = Universe((Named("one", (("t",),), Relation(TABLE)),))


def asked(values=(), sql="SELECT $1", what="query", seen=SEEN, most=()):
    return Answers.key(seen, dict(most), {"what": what, "sql": sql, "values": list(values)})


def answer(n=1):
    return Whole({"n": n}, TABLE.schema, tuple(TABLE.to_batches()))


def test_what_was_asked_exactly_is_found():
    answers, kept = Answers(), answer()
    answers.keep(asked([1]), kept)
    assert answers.find(asked([1])) is kept


@pytest.mark.parametrize(
    "other",
    [
        asked([1.0]),
        asked([True]),
        asked([Decimal(1)]),
        asked(["1"]),
        asked([2]),
        asked([1, 1]),
        asked([1], sql="select $1"),
        asked([1], what="describe"),
        asked([1], most={"one": 5}),
        asked([1], seen=Universe((Named("two", (("t",),), Relation(TABLE)),))),
        asked([1], seen=Universe((Named("one", (("u",),), Relation(TABLE)),))),
        asked([1], seen=Universe(SEEN.tables, dialect="postgres")),
        asked([1], seen=Universe(SEEN.tables, catalog="other")),
    ],
)
def test_nothing_else_is(other):
    answers = Answers()
    answers.keep(asked([1]), answer())
    assert answers.find(other) is None


def test_decimals_of_one_value_are_told_apart():
    assert asked([Decimal("1.0")]) != asked([Decimal("1.00")])


def test_those_asked_for_last_stay():
    answers = Answers(most_bytes=3 * 2_500)
    for n in range(3):
        answers.keep(asked([n]), answer(n))
    assert answers.find(asked([0])) is not None
    answers.keep(asked([3]), answer(3))
    assert [answers.find(asked([n])) is not None for n in range(4)] == [True, False, True, True]


def test_one_that_is_too_large_is_not_kept_and_harms_nothing():
    answers = Answers(most_bytes=10)
    answers.keep(asked([1]), answer())
    assert answers.find(asked([1])) is None
    assert answers._bytes == 0


def test_kept_again_it_counts_once():
    answers = Answers()
    answers.keep(asked([1]), answer())
    size = answers._bytes
    answers.keep(asked([1]), answer())
    assert answers._bytes == size


def test_they_are_forgotten_in_time():
    answers = Answers(seconds=-1.0)
    answers.keep(asked([1]), answer())
    assert answers.find(asked([1])) is None
    assert not answers._kept
    assert answers._bytes == 0


def test_those_that_are_too_old_go_as_others_come(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("polyport.engine.walled.answers.time.monotonic", lambda: clock[0])
    answers = Answers(seconds=10.0)
    answers.keep(asked([1]), answer())
    clock[0] = 11.0
    answers.keep(asked([2]), answer())
    assert list(answers._kept) == [asked([2])]
