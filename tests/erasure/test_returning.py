"""The source sends again what was erased: the next build goes on as if it did not, in all that is computed from it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from polyport.errors import QualityError
from polyport.product import Product

_SPEC = importlib.util.spec_from_file_location("people", Path(__file__).with_name("people.py"))
_PEOPLE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_PEOPLE)
JANE, build, call, people = _PEOPLE.JANE, _PEOPLE.build, _PEOPLE.call, _PEOPLE.people
erase_jane, rows_of, write_people = _PEOPLE.erase_jane, _PEOPLE.rows_of, _PEOPLE.write_people
COUNTED = """
          - name: totals
            properties:
              - {name: city, logicalType: string, physicalType: VARCHAR}
              - {name: persons, logicalType: integer, physicalType: BIGINT}
            quality:
              - name: all_are_counted
                type: sql
                query: "SELECT (SELECT sum(persons) FROM ${table}) - (SELECT count(*) FROM people)"
                mustBe: 0
"""


@pytest.fixture
def counted(home):
    """A table beside `people` that is computed from the source, and a rule that compares both."""
    contract = home / "contracts/people.odcs.yaml"
    contract.write_text(contract.read_text() + "\n".join(line[8:] for line in COUNTED.splitlines()))
    sql = "SELECT city, count(*) AS persons FROM checked GROUP BY city"
    (home / "transform/totals.sql").write_text(sql)
    write_people(home, people(f"4,{JANE},Bonn,30", "5,An Other,Bonn,31"))
    build(home)
    return home


def totals(home):
    with Product.load(home) as product:
        return {r["city"]: r["persons"] for r in rows_of(product, dataset="totals")}


def test_a_table_that_is_computed_beside_it_does_not_count_her(counted):
    assert totals(counted)["Bonn"] == 2
    erase_jane(counted)
    write_people(counted, people(f"4,{JANE},Bonn,30", "5,An Other,Bonn,31", "6,New One,Rome,32"))
    result = build(counted)
    assert result.run.outcome == "published"
    assert totals(counted) == {"Oslo": 1, "Rome": 2, "Paris": 1, "Bonn": 1}
    step = next(s for s in result.run.steps if s.name == "erasures")
    assert (step.status, step.erased) == ("warn", 1)
    assert call("erase", "--prove", counted, "--value", JANE)[0] == 0


def test_it_holds_where_the_source_keeps_sending_her_build_after_build(counted):
    erase_jane(counted)
    for n in range(3):
        write_people(
            counted, people(f"4,{JANE},Bonn,30", "5,An Other,Bonn,31", f"{7 + n},Late,Rome,30")
        )
        assert build(counted).run.outcome == "published"
    assert totals(counted)["Bonn"] == 1
    assert call("erase", "--prove", counted)[0] == 0


@pytest.mark.parametrize("reader", ["people", "checked", "sheet"])
def test_wherever_the_other_table_reads(counted, reader):
    (counted / "transform/totals.sql").write_text(
        f"SELECT city, count(*) AS persons FROM {reader} GROUP BY city"
    )
    erase_jane(counted)
    write_people(counted, people(f"4,{JANE},Bonn,30", "5,An Other,Bonn,31"))
    build(counted)
    assert totals(counted)["Bonn"] == 1


def test_a_column_that_a_step_changes_is_followed_as_far_as_it_is_the_same(counted):
    """`checked` trims it: what reads the sheet itself counts her, as the sheet does not tell her by the same text."""
    (counted / "cleanse/checked.sql").write_text(
        "SELECT * REPLACE (trim(person) AS person) FROM sheet"
    )
    erase_jane(counted)
    write_people(counted, people(f"4,  {JANE}  ,Bonn,30", "5,An Other,Bonn,31"))
    build(counted)
    assert totals(counted)["Bonn"] == 1
    assert JANE not in str(_rows(counted))


def _rows(home):
    with Product.load(home) as product:
        return rows_of(product)


def test_rows_do_not_go_from_a_dataset_that_was_not_named(counted):
    """City Bonn went from `people` only, and `totals` shows it: the erasure is not proved, and the source stays whole."""
    code, _, _ = call(
        "erase", "people", counted, "--value", "Bonn", "--column", "city", "--reason", "x", "--yes"
    )
    assert code == 1
    write_people(counted, people("5,An Other,Bonn,31", "8,Some Body,Bonn,31"))
    with pytest.raises(QualityError, match="rows of what was erased are left out"):
        build(counted)
    contract = counted / "contracts/people.odcs.yaml"
    before, _, _ = contract.read_text().rpartition("mustBe: 0")
    contract.write_text(f"{before}mustBe: 2")
    build(counted)
    assert totals(counted)["Bonn"] == 2


def test_everywhere_goes_from_the_source_too(counted):
    code, _ = erase_jane(counted, "--everywhere")
    assert code == 0
    write_people(counted, people(f"4,{JANE.upper()},Bonn,30", "5,An Other,Bonn,31"))
    build(counted)
    assert totals(counted)["Bonn"] == 1
