"""Who breaks: reads and agreements joined with changes."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.access.agreements import Agreement
from polyport.access.impact import affected, told
from polyport.descriptor.compare.changes import Change

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)


def change(dataset="films", column="title"):
    return Change(
        "REMOVE", "breaking", "MAJOR", "gone", "schema", "properties", "/schema", dataset=dataset, column=column
    )  # fmt: skip


def read(who="ann", column="title", reads=1, day="2026-04-30", dataset="films"):
    return {
        "day": day, "principal": who, "dataset": dataset, "column": column, "reads": reads, "last_at": f"{day}T10:00:00+00:00",
    }  # fmt: skip


def agreed(name="a1", **fields):
    return Agreement(
        name, "films", ("rest",), "planning", **{"decision": "approved", "user": "ann", **fields}
    )


def test_reads_of_the_column_add_up_by_consumer_the_busiest_first():
    rows = [
        read(reads=2), read(reads=3, day="2026-04-29"), read("bob", reads=9), read(column="cost", reads=50),
        read("eve", dataset="other", reads=50),
    ]  # fmt: skip
    (found,) = affected([change()], rows, [], NOW)
    assert [(c.principal, c.reads, c.last_at[:10]) for c in found.consumers] == [
        ("bob", 9, "2026-04-30"),
        ("ann", 5, "2026-04-30"),
    ]


def test_a_read_of_many_columns_of_a_dataset_counts_once():
    rows = [
        read(reads=4),
        read(column="cost", reads=6),
        read(column="id", reads=1, day="2026-04-29"),
    ]
    (found,) = affected([change(column="")], rows, [], NOW)
    assert [(c.principal, c.reads) for c in found.consumers] == [("ann", 7)]


@pytest.mark.parametrize(
    ("columns", "changed", "covers"),
    [
        ((), ("films", "title"), True),
        (("title",), ("films", "title"), True),
        (("films.title",), ("films", "title"), True),
        (("cost", "other.title"), ("films", "title"), False),
        (("other.title",), ("films", ""), False),
        (("films.cost",), ("films", ""), True),
        (("cost",), ("films", ""), True),
        (("other.cost",), ("", ""), True),
    ],
)
def test_agreements_cover_the_columns_that_they_name(columns, changed, covers):
    (found,) = affected([change(*changed)], [], [agreed(columns=columns)], NOW)
    assert bool(found.agreements) is covers


@pytest.mark.parametrize(
    "fields",
    [
        {"decision": "revoked"},
        {"decision": "requested"},
        {"ends": NOW},
        {"starts": NOW + dt.timedelta(days=1)},
    ],
)
def test_only_active_agreements_count(fields):
    assert affected([change()], [], [agreed(**fields)], NOW)[0].agreements == ()
    assert affected([change()], [], [agreed()], NOW)[0].agreements


def test_names_are_told_only_where_asked_for():
    found = affected([change()], [read(reads=3)], [agreed()], NOW)
    (named,), (plain,) = told(found, names=True), told(found, names=False)
    assert named["consumers"] == [
        {"principal": "ann", "reads": 3, "lastReadAt": "2026-04-30T10:00:00+00:00"}
    ]
    assert named["agreements"] == [{"id": "a1", "consumer": "ann", "purpose": "planning"}]
    assert (plain["consumerCount"], plain["reads"], plain["agreementCount"]) == (1, 3, 1)
    assert "ann" not in str(plain)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(1, 9), st.integers(1, 28)
        )
    )
)
def test_a_dataset_is_read_at_least_as_often_as_each_of_its_columns(drawn):
    rows = [read(who, column, n, f"2026-04-{day:02}") for who, column, n, day in drawn]
    rows = list({(r["principal"], r["column"], r["day"]): r for r in rows}.values())
    whole, *each = affected([change(column=c) for c in ("", "x", "y", "z")], rows, [], NOW)
    counts = {c.principal: c.reads for c in whole.consumers}
    for one in each:
        for consumer in one.consumers:
            assert counts[consumer.principal] >= consumer.reads
