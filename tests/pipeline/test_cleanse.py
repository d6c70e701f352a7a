"""Cleansing: repaired rows are counted, refused ones set aside, the rest passed on."""

from __future__ import annotations

from collections import Counter

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyport.errors import TransformError


@pytest.fixture
def dirty(shop):
    shop.input("films", "id,title,year\n1,Alien,79\n2,,1985\n3,Crash,4\n4,,5\n")
    shop.file(
        "cleanse/films.sql",
        """
        SELECT id, title, CASE WHEN year < 100 THEN 1900 + year ELSE year END AS year,
               concat_ws('; ', CASE WHEN year < 100 THEN 'two-digit year' END,
                               CASE WHEN year < 10 THEN 'one-digit year' END) AS said,
               nullif(said, '') AS _repaired,
               CASE WHEN title IS NULL THEN 'no title' END AS _refused
        FROM films
        """,
    )
    shop.file("transform/costs.sql", "SELECT * EXCLUDE (said) FROM films")
    shop.promise("costs", "id", "title", "year")
    return shop


def test_rows_are_counted_and_set_aside(dirty):
    dirty.build()
    step = next(s for s in dirty.steps if s.stage == "cleanse")
    assert step.repaired == {"two-digit year": 3, "one-digit year": 2}
    assert step.refused == {"no title": 2}
    assert (step.rows, step.detail) == (2, "2 rows passed on, 2 set aside")
    assert [r["id"] for r in dirty.rows("costs")] == [1, 3]
    assert "_repaired" not in dirty.rows("costs")[0]


def test_quarantine_says_rule_reason_and_run(dirty):
    result = dirty.build()
    (path,) = (dirty.state / "quarantine/costs" / result.run.id).iterdir()
    assert path.name == "films.parquet"
    rows = pq.read_table(path).to_pylist()
    assert sorted(r["id"] for r in rows) == [2, 4]
    assert {(r["_rule"], r["_reason"], r["_run"]) for r in rows} == {
        ("cleanse/films", "no title", result.run.id)
    }
    assert {"_repaired", "_refused"}.isdisjoint(rows[0])


def test_refused_rows_are_kept_when_the_build_fails(dirty):
    dirty.file("transform/costs.sql", "SELECT id, title, CAST(title AS INT) AS year FROM films")
    with pytest.raises(TransformError):
        dirty.build()
    assert list(dirty.state.glob("quarantine/costs/*/films.parquet"))


def test_no_row_refused_leaves_no_file(dirty):
    dirty.input("films", "id,title,year\n1,Alien,1979\n")
    dirty.build()
    assert not (dirty.state / "quarantine").exists()
    step = next(s for s in dirty.steps if s.stage == "cleanse")
    assert (step.repaired, step.refused, step.rows) == ({}, {}, 1)


def test_all_rows_refused(dirty):
    dirty.input("films", "id,title,year\n1,,1979\n2,,1\n")
    dirty.build()
    assert dirty.rows("costs") == []


@pytest.mark.parametrize("column", ["_repaired", "_refused"])
def test_a_mark_that_is_not_text(dirty, column):
    dirty.file("cleanse/films.sql", f"SELECT *, 1 AS {column} FROM films")
    with pytest.raises(TransformError, match=rf"column {column} is int32, not text") as caught:
        dirty.build()
    assert caught.value.where == "cleanse/films"


def test_a_mark_that_is_always_null(dirty):
    dirty.file("cleanse/films.sql", "SELECT *, NULL AS _repaired, NULL AS _refused FROM films")
    dirty.file("transform/costs.sql", "SELECT id, title, year FROM films")
    dirty.build()
    assert len(dirty.rows("costs")) == 4


def test_marks_mean_nothing_in_transform(dirty):
    dirty.file("transform/costs.sql", "SELECT id, title, year, 'x' AS _refused FROM films")
    dirty.build()
    assert len(dirty.rows("costs")) == 2
    assert "not published: _refused" in next(s for s in dirty.steps if s.name == "costs").detail


def test_quotes_in_names_and_reasons(dirty):
    dirty.file(
        "cleanse/films.sql", "SELECT id, title AS \"a\"\"b\", 'it''s' AS _refused FROM films"
    )
    dirty.file("transform/costs.sql", "SELECT id FROM films")
    dirty.objects.clear()
    dirty.promise("costs", "id")
    result = dirty.build()
    (path,) = (dirty.state / "quarantine/costs" / result.run.id).iterdir()
    assert pq.read_table(path).schema.names[:2] == ["id", 'a"b']
    assert next(s for s in dirty.steps if s.stage == "cleanse").refused == {"it's": 4}


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.sampled_from(["", "a", "b", "a; b", "c;a"]), min_size=1, max_size=30))
def test_every_row_is_passed_on_or_set_aside_and_counted(dirty, reasons):
    lines = "".join(f"{i},{r}\n" for i, r in enumerate(reasons))
    dirty.input("films", f"id,why\n{lines}")
    dirty.file(
        "cleanse/films.sql",
        "SELECT id, CAST(why AS VARCHAR) AS _refused, CAST(why AS VARCHAR) AS _repaired FROM films",
    )
    dirty.file("transform/costs.sql", "SELECT id FROM films")
    dirty.objects.clear()
    dirty.promise("costs", "id")
    dirty.build()
    step = next(s for s in dirty.steps if s.stage == "cleanse")
    assert [r["id"] for r in dirty.rows("costs")] == [i for i, r in enumerate(reasons) if not r]
    assert step.refused == Counter(filter(None, reasons))
    kinds = Counter(k for r in reasons if r for k in {p.strip() for p in r.split(";")})
    assert step.repaired == kinds
    assert step.rows + sum(step.refused.values()) == len(reasons)
