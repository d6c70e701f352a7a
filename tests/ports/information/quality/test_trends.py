"""Rows, failures and freshness over time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.ports.information.quality.broken_films import BASE, CLERK, HTML, PARTNER, ROWS, write

from polyport.model import QualityReport, TableFacts
from polyport.ports.information.quality import trends

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_each_report_is_a_point(product, client):
    write(product.spec.home, [*ROWS, "8,New,Fox,,1999", "9,New,Fox,-1,1999"])
    product.build()
    newest, first = client.get(f"{BASE}/reports").json()["reports"]
    assert (first["rows"]["films"], newest["rows"]["films"]) == (4, 5)
    assert (first["rows_failing"]["films"], newest["rows_failing"]["films"]) == (3, 4)
    assert (first["rows_refused"]["films"], newest["rows_refused"]["films"]) == (2, 3)
    assert newest["age_seconds"]["films"] >= 0
    assert client.get(f"{BASE}/reports?limit=1").json()["reports"] == [newest]
    lines = re.findall(r'aria-label="([^"]+)"', client.get(BASE, headers=HTML).text)
    assert "Rows: from 4 to 5 over 2 reports, least 4, most 5" in lines
    assert any(line.startswith("Rows that break a rule: from 3 to 4") for line in lines)
    assert any(line.startswith("Age of the newest data") for line in lines)


def test_points_are_as_the_viewer_may_be_told(client):
    (point,) = client.get(f"{BASE}/reports", headers=CLERK).json()["reports"]
    assert set(point["rows"]) == {"films"}
    assert point["rows_failing"]["films"] == 1, "that of titles; costs are not seen"


def test_how_many_rows_there_are_is_not_told_to_who_sees_some(client):
    (point,) = client.get(f"{BASE}/reports", headers=PARTNER).json()["reports"]
    assert "films" not in point["rows"]
    results = client.get(BASE, headers=PARTNER).json()["results"]
    mine = [r for r in results if r["dataset"] == "films"]
    assert mine
    assert {(r["rows_checked"], r["measured"]) for r in mine} == {(None, None)}
    assert not any(r["threshold"] for r in mine if r["metric"] == "rowCount")
    page = client.get(BASE, headers={**PARTNER, **HTML}).text
    assert "<dt>Rows</dt>" not in page.partition(">films ")[2].partition("<h2")[0]
    documents = client.get(BASE, headers={**PARTNER, "accept": "application/vnd.bitol.oors+json"})
    assert re.search(r"\b\d+ rows break it", documents.text)
    assert not re.search(r"\d+ of \d+ rows break it", documents.text)


def test_a_wrong_limit_is_refused(client):
    for query in ("limit=0", "limit=1001", "limit=many", "nosuch=1"):
        assert client.get(f"{BASE}/reports?{query}").status_code == 400


def test_age_is_told_by_the_newest_value_where_it_is_told():
    facts = TableFacts(1, None, NOW - timedelta(hours=3))
    assert trends.age(facts, NOW) == 3 * 3600
    day = TableFacts(1, None, NOW - timedelta(hours=3), newest="2026-11-20")
    assert trends.age(day, NOW) == 36 * 3600, "a date speaks until its day ends"
    ahead = TableFacts(1, None, NOW, newest="2026-12-01T00:00:00")
    assert trends.age(ahead, NOW) == 0


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=40))
def test_a_line_stays_in_its_box_and_says_its_numbers(values):
    line = trends.sparkline(values, "Rows")
    points = [tuple(map(float, p.split(","))) for p in line.points.split()]
    assert len(points) == len(values)
    assert line.trend is (len(values) > 1)
    assert all(0 <= x <= trends.WIDTH and 0 <= y <= trends.HEIGHT for x, y in points)
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert f"{values[-1]:,}" in line.text
    highest = min(y for _, y in points)
    assert points[values.index(max(values))][1] == highest


def test_a_dataset_that_came_later_begins_later():
    def report(at, names):
        return QualityReport(
            "p",
            f"r{at}",
            NOW + timedelta(days=at),
            (),
            {n: TableFacts(at, None, NOW) for n in names},
        )

    lines = trends.lines([report(3, "ab"), report(2, "a"), report(1, "a")], "b")
    assert lines["rows"].text == "Rows: 3 in the one report so far"
