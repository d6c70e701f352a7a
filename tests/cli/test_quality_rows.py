"""`polyport quality`: promises, what was set aside, and the rows that failed."""

from __future__ import annotations

import re

import pytest
from tests.ports.information.quality.broken_films import ROWS, write


@pytest.fixture
def broken(polyport, tmp_path):
    write(tmp_path / "films", ROWS)
    assert polyport("build", tmp_path / "films").code == 0
    return tmp_path / "films"


def test_promises_and_what_was_set_aside_are_told(polyport, broken):
    said = polyport("quality", broken)
    assert said.code == 0
    assert re.search(r"✓ latency of films: at most 2 days old  \d+ \w+ old", said.out)
    assert "✓ frequency: every day" in said.out
    assert "· timeToRepair: 4 h  Polyport does not measure this property" in said.out
    assert "films  2 rows" in said.out
    assert "cleanse/checked  1 row" in said.out
    told = polyport("quality", broken, "--json").json()
    assert {p["property"]: p["status"] for p in told["sla"]}["retention"] == "kept"
    assert {s["name"]: s["rows"] for s in told["set_aside"]} == {
        "films": 2, "cleanse/checked": 1, "cleanse/raw_films": 2,
    }  # fmt: skip


def test_failing_rows_are_shown_by_rule_or_by_what_set_them_aside(polyport, broken):
    said = polyport("quality", broken, "--failing", "cost_is_known")
    assert said.code == 0
    assert "Heat" in said.out
    assert "Dune" in said.out
    assert "Alien" not in said.out
    assert "2 rows" in said.err
    rows = polyport("quality", broken, "--failing", "films", "--json").json()
    assert [row["id"] for row in rows] == [5, 6]
    assert rows[0]["_rule"] == "cost_is_sane"
    assert (
        len(polyport("quality", broken, "--failing", "films", "--limit", "1", "--json").json()) == 1
    )
    assert "no such film" in polyport("quality", broken, "--failing", "cleanse/checked").out


def test_what_held_a_build_back_can_be_looked_at(polyport, broken):
    write(broken, [*ROWS, "1,Again,Fox,2,1999"])
    assert polyport("build", broken).code == 3
    said = polyport("quality", broken)
    assert said.code == 3
    assert "held/films  2 rows" in said.out
    rows = polyport("quality", broken, "--failing", "held/films", "--json").json()
    assert {row["title"] for row in rows} == {"Alien", "Again"}
    refused = polyport("quality", broken, "--failing", "films.primary-key")
    assert refused.code == 5
    assert "held/DATASET" in refused.err


def test_what_has_no_rows_says_what_has(polyport, broken):
    said = polyport("quality", broken, "--failing", "cost_is_knwn")
    assert said.code == 5
    assert "did you mean `cost_is_known`?" in said.err
    assert polyport("quality", broken, "--failing", "films.columns").code == 5
    assert polyport("quality", broken, "--failing", "films", "--limit", "0").code == 2
