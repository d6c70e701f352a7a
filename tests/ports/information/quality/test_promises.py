"""SLA properties: kept, broken, or not measured, with target, measured value and reason."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from tests.ports.information.quality.broken_films import BASE, CLERK

from polyport.descriptor.types import (
    Contract,
    DataProduct,
    Port,
    SchemaObject,
    Settings,
    SlaProperty,
)
from polyport.model import QualityReport, RuleResult, Run, Snapshot, TableFacts
from polyport.ports.information.quality.promises import Evidence, Promise, lasting, promises, told
from polyport.ports.information.quality.sight import Sight

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def sla(name, value, unit="", element=""):
    return SlaProperty(name, value, unit, element)


def product(*slas, objects=("films",)):
    things = tuple(SchemaObject(name, ()) for name in objects)
    contract = Contract("c", "1.0.0", "c", Path("c.yaml"), things, tuple(slas))
    port = Port("rest", "rest", contract_id="c")
    return DataProduct(
        Path(), "p", "P", "1", "active", "d", "x", (), (port,), (), {"c": contract}, Settings()
    )


def report(*, at=NOW, newest="", column="", updated=NOW - DAY, status="pass"):
    fresh = RuleResult("films.freshness", "films", column, "built-in", status, "films is fresh")
    return QualityReport(
        "p", "r", at, (fresh,), {"films": TableFacts(3, None, updated, newest)}, "1-a"
    )


def run(ago, outcome="published"):
    return Run(f"r{ago}", "p", NOW - ago, 1.0, outcome, ())


def snapshot(sequence, ago):
    return Snapshot("p", f"{sequence:08d}-a", sequence, None, NOW - ago, {})


def asked(status, count):
    return {"status": status, "requests": count}


def judged(*slas, reports=(), runs=(), snapshots=(), requests=()):
    found = promises(
        product(*slas), Evidence(NOW, list(reports), list(runs), list(snapshots), list(requests))
    )
    return [(p.status, p.target, p.measured, p.reason) for p in found]


@pytest.mark.parametrize("name", ["latency", "ly", "Freshness"])
def test_age_by_the_last_change(name):
    kept = judged(sla(name, 26, "h"), reports=[report(updated=NOW - timedelta(hours=25))])
    assert kept == [("kept", "at most 26 hours old", "25 hours old", "")]
    ((status, _, measured, reason),) = judged(
        sla(name, 1, "d"), reports=[report(updated=NOW - 3 * DAY)]
    )
    assert (status, measured) == ("broken", "3 days old")
    assert "2026-11-19 12:00 UTC" in reason


def test_age_by_the_newest_value_which_speaks_until_its_day_ends():
    shown = report(newest="2026-11-20", column="day")
    assert judged(sla("latency", 36, "h"), reports=[shown])[0][0] == "kept"
    ((status, _, _, reason),) = judged(sla("latency", 35, "h"), reports=[shown])
    assert (status, reason) == ("broken", "the newest day is 2026-11-20")
    assert judged(sla("latency", 1, "d"), reports=[report(column="day")])[0][::3] == (
        "broken",
        "day has no value at all",
    )


def test_age_is_of_what_is_served_and_of_the_datasets_that_are_named():
    held = report(updated=NOW - 9 * DAY, status="fail")
    assert judged(sla("latency", 2, "d"), reports=[held, report()])[0][0] == "kept"
    assert judged(sla("latency", 2, "d"))[0][0] == "not measured"
    found = promises(
        product(sla("latency", 1, "d", "films, stars.born"), objects=("films", "stars", "roles")),
        Evidence(NOW, [report()], [], [], []),
    )
    assert [(p.dataset, p.status) for p in found] == [("films", "kept"), ("stars", "not measured")]


def test_frequency_by_the_waits_between_builds_that_brought_or_confirmed_data():
    daily = [run(timedelta(hours=h)) for h in (2, 26, 50)]
    assert judged(sla("frequency", 1, "d"), runs=daily)[0][:2] == ("kept", "every day")
    late = judged(sla("frequency", 1, "d"), runs=daily[1:])
    assert late[0][0] == "broken"
    assert late[0][2] == "last built 26 hours ago, longest wait 26 hours"
    refused = [run(timedelta(hours=2), "refused"), *daily[1:]]
    assert judged(sla("fy", 1, "d"), runs=refused)[0][0] == "broken"
    assert judged(sla("frequency", 1, "d"), runs=[daily[0], run(4 * DAY)])[0][0] == "broken"
    assert (
        judged(sla("frequency", 1, "d"), runs=[daily[0], run(timedelta(hours=27), "unchanged")])[0][
            0
        ]
        == "kept"
    )
    assert judged(sla("frequency", 2, "d"))[0] == (
        "not measured",
        "every 2 days",
        "",
        "nothing was built yet",
    )
    old = [daily[0], run(timedelta(hours=25)), *(run(d * DAY) for d in range(2, 32)), run(90 * DAY)]
    assert judged(sla("frequency", 1, "d"), runs=old)[0][0] == "kept", "what is long past is past"


def test_retention_by_the_snapshots_that_are_kept():
    assert judged(sla("retention", 1, "y"), snapshots=[snapshot(1, DAY)])[0][0] == "kept"
    assert judged(sla("retention", 1, "y"), snapshots=[snapshot(7, 400 * DAY)])[0][0] == "kept"
    assert judged(sla("retention", 1, "y"), snapshots=[snapshot(7, 30 * DAY), snapshot(8, DAY)])[0] == (
        "broken", "at least 1 year", "snapshot 7, the oldest kept, is 30 days old", "younger snapshots than that have expired",
    )  # fmt: skip
    assert judged(sla("retention", 1, "y"))[0][0] == "not measured"


def test_availability_and_errors_by_the_requests_that_failed_for_our_fault():
    requests = [asked("200", 990), asked("404", 8), asked("503", 2)]
    assert judged(sla("availability", 99.8, "percent"), requests=requests)[0] == (
        "kept", "at least 99.8 %", "99.8 % of requests in 30 days", "",
    )  # fmt: skip
    assert judged(sla("availability", "99.9%"), requests=requests)[0][0] == "broken"
    assert judged(sla("errorRate", 0.2, "%"), requests=requests)[0][0] == "kept"
    assert judged(sla("errorRate", 0.1, "%"), requests=requests)[0][0] == "broken"
    assert judged(sla("availability", 99, "%"))[0][0] == "not measured"


def test_days_from_and_until_which_it_is_there():
    there = [snapshot(1, DAY)]
    assert judged(sla("generalAvailability", "2026-01-01"), snapshots=there)[0][0] == "kept"
    assert judged(sla("generalAvailability", date(2026, 1, 1)))[0][::3] == (
        "broken",
        "nothing is published",
    )
    assert judged(sla("ga", "2027-01-01T00:00:00+02:00"), snapshots=there)[0][0] == "not measured"
    assert judged(sla("endOfSupport", "2027-01-01"), snapshots=there)[0][0] == "kept"
    assert judged(sla("endOfLife", "2026-01-01"), snapshots=there)[0][::3] == (
        "not measured",
        "the day has passed",
    )


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (sla("timeToRepair", 4, "h"), "does not measure"),
        (sla("latency", "soon"), "no length of time"),
        (sla("frequency", -1, "d"), "no length of time"),
        (sla("retention", "NaN", "d"), "no length of time"),
        (sla("availability", "most"), "no percentage"),
        (sla("availability", 101, "%"), "no percentage"),
        (sla("availability", "nan", "%"), "no percentage"),
        (sla("errorRate", 1, "parts"), "no percentage"),
        (sla("endOfLife", "some day"), "no day"),
    ],
)
def test_what_cannot_be_measured_says_why(given, why):
    known = {
        "requests": [asked("200", 1)],
        "runs": [run(DAY)],
        "snapshots": [snapshot(1, DAY)],
        "reports": [report()],
    }
    ((status, _, measured, reason),) = judged(given, **known)
    assert (status, measured) == ("not measured", "")
    assert why in reason


def test_a_value_that_all_rows_give_is_told_to_the_owner():
    promise = Promise(
        "c",
        "latency",
        "at most 1 day old",
        "broken",
        "3 days old",
        "the newest day is 2026-11-19",
        "films",
        "day",
    )
    assert told(promise, Sight(values=True)) == promise
    sees = {"films": frozenset({"day", "title"})}
    part = told(promise, Sight(sees, sees, frozenset(), whole=True))
    assert (part.status, part.measured) == ("broken", "")
    assert "2026-11-19" not in part.reason
    masked = told(promise, Sight(sees, {"films": frozenset({"title"})}))
    assert (masked.status, masked.measured, masked.column) == ("not measured", "", "")
    assert told(promise, Sight({}, {}, frozenset({"films"}))) is None
    steering = told(promise, Sight())
    assert (steering.status, steering.measured) == ("broken", "")


def test_words_of_a_promise_that_name_what_is_hidden_are_left_out():
    sees = {"films": frozenset({"title"})}
    promise = Promise(
        "c", "retention", "at least 1 year", description="As the salary law wants it."
    )
    assert told(promise, Sight(sees, sees, frozenset({"salary"}))).description == ""


def test_the_port_tells_them_as_they_stand_now(product, client):
    found = {(p["property"], p["dataset"]): p for p in client.get(BASE).json()["sla"]}
    assert found["latency", "films"]["status"] == "kept"
    assert found["frequency", ""]["status"] == "kept"
    assert found["retention", ""]["status"] == "kept"
    assert found["timeToRepair", ""]["status"] == "not measured"
    assert found["availability", ""]["status"] in ("kept", "not measured")
    product.clock = lambda: datetime.now(UTC) + 9 * DAY
    later = {(p["property"], p["dataset"]): p for p in client.get(BASE).json()["sla"]}
    assert later["latency", "films"]["status"] == later["frequency", ""]["status"] == "broken"
    assert later["availability", ""]["measured"] == "100 % of requests in 30 days"
    shown = {p["dataset"] for p in client.get(BASE, headers=CLERK).json()["sla"]}
    assert shown == {"", "films"}
    run = product.ledger.reports("films")[0].run
    assert "sla" not in client.get(f"{BASE}/reports/{run}").json(), "of now, not of then"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 seconds"), (1, "1 second"), (119, "119 seconds"), (120, "2 minutes"), (7_200, "2 hours"), (90_000, "25 hours"), (172_800, "2 days")],
)  # fmt: skip
def test_lengths_of_time(seconds, said):
    assert lasting(timedelta(seconds=seconds)) == said
