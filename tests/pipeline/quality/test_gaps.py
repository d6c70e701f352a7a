"""Rhythms and the periods they leave out; lengths of time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.descriptor.spans import Span, span
from polyport.errors import QualityError
from polyport.pipeline.quality import gaps
from polyport.pipeline.quality.gaps import Rhythm

EPOCH = date(1970, 1, 1)


def numbers(*days):
    return [(date.fromisoformat(d) - EPOCH).days for d in days]


@pytest.mark.parametrize(
    ("days", "rhythm"),
    [
        (["2026-01-01", "2026-01-02", "2026-01-05", "2026-01-06"], Rhythm("day")),
        (["2026-01-05", "2026-01-12", "2026-01-19", "2026-02-09"], Rhythm("week")),
        (["2026-01-31", "2026-02-28", "2026-03-31", "2026-06-30"], Rhythm("month")),
        (["2025-01-01", "2025-04-01", "2025-07-01", "2025-10-01"], Rhythm("month", 3)),
        (["2023-06-30", "2024-06-30", "2025-06-30"], Rhythm("year")),
        (
            [f"2026-06-{n:02d}" for n in range(1, 31) if date(2026, 6, n).weekday() < 5],
            Rhythm("working day"),
        ),
        (["2026-06-01", "2026-06-02", "2026-06-03"], Rhythm("day")),
        (["2026-01-01", "2026-01-02"], None),
        (["2026-01-01", "2026-01-04", "2026-01-09", "2026-01-10"], None),
    ],
)
def test_the_rhythm_is_told_from_the_data(days, rhythm):
    assert gaps.detected(numbers(*days)) == rhythm


@pytest.mark.parametrize(
    ("rhythm", "days", "found"),
    [
        (
            Rhythm("week"),
            ["2026-01-05", "2026-01-12", "2026-02-02"],
            ["2026-01-19 ... 2026-01-26 (2 weeks)"],
        ),
        (Rhythm("week"), ["2026-01-04", "2026-01-18"], ["2026-01-11 (1 week)"]),
        (Rhythm("month"), ["2025-11-30", "2026-03-01"], ["2025-12 ... 2026-02 (3 months)"]),
        (Rhythm("month", 3), ["2025-01-01", "2025-07-01"], ["2025-04 (1 period)"]),
        (Rhythm("year"), ["2020-12-31", "2022-01-01"], ["2021 (1 year)"]),
        (Rhythm("working day"), ["2026-06-05", "2026-06-08"], []),
        (
            Rhythm("working day"),
            ["2026-06-04", "2026-06-09"],
            ["2026-06-05 ... 2026-06-08 (2 working days)"],
        ),
        (Rhythm("day", 2), ["2026-06-01", "2026-06-03", "2026-06-07"], ["2026-06-05 (1 period)"]),
        (Rhythm("day"), ["1969-12-30", "1970-01-02"], ["1969-12-31 ... 1970-01-01 (2 days)"]),
        (Rhythm("day"), ["2026-06-01"], []),
        (Rhythm("day"), [], []),
    ],
)
def test_ranges(rhythm, days, found):
    assert list(gaps.ranges(numbers(*days), rhythm)) == found


@given(st.sets(st.integers(-5000, 40_000), min_size=1, max_size=40))
def test_days_there_and_days_missing_make_up_the_whole_span(days):
    days = sorted(days)
    missing = 0
    for text in gaps.ranges(days, Rhythm("day")):
        missing += int(text.rsplit("(", 1)[1].split()[0].replace(",", ""))
    assert len(days) + missing == days[-1] - days[0] + 1


@given(st.integers(-5000, 40_000))
def test_a_working_day_is_the_day_after_the_one_before(day):
    rhythm = Rhythm("working day")
    if (EPOCH + timedelta(days=day)).weekday() < 5:
        assert rhythm.text(rhythm.index(day), day) == str(EPOCH + timedelta(days=day))


@pytest.mark.parametrize(
    ("value", "unit", "found"),
    [
        (4, "d", Span(4, "day")),
        ("1.5", "h", Span(1.5, "hour")),
        (1, "Yr", Span(1, "year")),
        ("24h", "", Span(24, "hour")),
        ("2 weeks", "ignored", Span(2, "week")),
        ("P3M", "", Span(3, "month")),
        ("PT15M", "", Span(15, "minute")),
        ("pt6h", "", Span(6, "hour")),
        ("Quarterly", "", Span(3, "month")),
    ],
)
def test_lengths_of_time(value, unit, found):
    assert span(value, unit) == found


@pytest.mark.parametrize(
    ("value", "unit"),
    [("", ""), ("P", ""), ("P1Y2M", ""), (True, "d"), ([4], "d"), ("nan", "d"), ("inf", "d")],
)
def test_what_is_no_length_of_time(value, unit):
    with pytest.raises(QualityError, match="no length of time"):
        span(value, unit)


@pytest.mark.parametrize(
    ("length", "text", "before"),
    [
        (Span(1, "month"), "1 month", datetime(2026, 2, 28, tzinfo=UTC)),
        (Span(13, "month"), "13 months", datetime(2025, 2, 28, tzinfo=UTC)),
        (Span(1, "year"), "1 year", datetime(2025, 3, 31, tzinfo=UTC)),
        (Span(1.5, "day"), "1.5 days", datetime(2026, 3, 29, 12, tzinfo=UTC)),
    ],
)
def test_the_calendar_backwards(length, text, before):
    assert str(length) == text
    assert length.before(datetime(2026, 3, 31, tzinfo=UTC)) == before


@pytest.mark.parametrize(
    ("length", "rhythm"),
    [
        (Span(1, "day"), Rhythm("day")),
        (Span(7, "day"), Rhythm("week")),
        (Span(14, "day"), Rhythm("week", 2)),
        (Span(6, "hour"), Rhythm("hour", 6)),
        (Span(3, "month"), Rhythm("month", 3)),
        (Span(5, "minute"), None),
        (Span(1.5, "day"), None),
    ],
)
def test_the_rhythm_of_a_promise(length, rhythm):
    assert gaps.promised(length) == rhythm
