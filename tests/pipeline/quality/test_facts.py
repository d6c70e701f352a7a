"""What every report says, asked or not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from polyport.descriptor.types import Property, SchemaObject, SlaProperty
from polyport.pipeline.quality import Before

from .conftest import NOW, result, table

DAY = Property("day", logical_type="date", primary_key=True)
PLAIN = Property("x")


def days(*given):
    return pa.table(
        {"day": pa.array([date.fromisoformat(d) if d else None for d in given], pa.date32())}
    )


def facts(bench, **given):
    found = bench.gate(**given)
    return found.report.tables["t"], {
        r.rule: r for r in found.report.results if r.kind == "built-in"
    }


def sla(*entries, **document):
    return {"sla": tuple(SlaProperty(*e) for e in entries), "document": document}


def test_nothing_built_in_is_ever_absent(bench):
    bench.add(table(), pa.table({"x": [1]}))
    bench.add(SchemaObject("u", (PLAIN,)), pa.table({"x": pa.array([], pa.int64())}))
    found = bench.gate()
    names = {(r.dataset, r.rule, r.status) for r in found.report.results if r.kind == "built-in"}
    assert names == {
        (dataset, f"{dataset}.{fact}", status)
        for dataset in "tu"
        for fact, status in [
            ("updated", "pass"),
            ("freshness", "listed"),
            ("gaps", "listed"),
            ("keys-gone", "listed"),
            ("history", "listed"),
        ]
    }
    facts = found.report.tables
    assert (facts["t"].rows, facts["t"].rows_before, facts["u"].rows) == (1, None, 0)
    assert facts["t"].updated_at == NOW
    assert not found.report.stops


# Update time


ROWS = {"x": [1, 2, 2, None], "y": ["a", "b", "b", "ü"]}
COLUMNS = (Property("x"), Property("y"))


@pytest.mark.parametrize(
    ("earlier", "same"),
    [
        (ROWS, True),
        ({"x": [None, 2, 1, 2], "y": ["ü", "b", "a", "b"]}, True),
        ({"x": [1, 2, 2, 3], "y": ["a", "b", "b", "ü"]}, False),
        ({"x": [1, 1, 2, None], "y": ["a", "a", "b", "ü"]}, False),
        ({"x": [1, 3, 3, None], "y": ["a", "b", "b", "ü"]}, False),
        ({"x": [1, 2, 2], "y": ["a", "b", "b"]}, False),
        ({"y": ROWS["y"], "x": ROWS["x"]}, False),
        ({"x": ROWS["x"]}, False),
        ({"x": [1.0, 2.0, 2.0, None], "y": ROWS["y"]}, False),
    ],
)
def test_update_time_of_what_did_not_change_is_the_earlier_one(bench, earlier, same):
    moment = NOW - timedelta(days=3)
    bench.add(table(columns=COLUMNS), pa.table(ROWS))
    before = Before({"t": bench.relation("t", pa.table(earlier))}, {}, {"t": moment})
    assert facts(bench, before=before)[0].updated_at == (moment if same else NOW)


def test_update_time_of_no_rows_then_and_now(bench):
    moment = NOW - timedelta(days=3)
    bench.add(table(columns=COLUMNS), pa.table(ROWS).slice(0, 0))
    before = Before({"t": bench.relation("t", pa.table(ROWS).slice(0, 0))}, {}, {"t": moment})
    assert facts(bench, before=before)[0].updated_at == moment


# Freshness


@pytest.mark.parametrize(
    ("value", "unit", "newest", "status"),
    [
        (4, "d", "2026-11-18", "pass"),  # its day ended 3.5 days before noon of the 22nd
        (4, "d", "2026-11-17", "warn"),
        ("4", "days", "2026-11-17", "warn"),
        (36, "h", "2026-11-20", "pass"),
        (35, "h", "2026-11-20", "warn"),
        ("P1W", "", "2026-11-15", "pass"),
        ("P1W", "", "2026-11-14", "warn"),
        (1, "m", "2026-10-22", "pass"),
        (1, "m", "2026-10-20", "warn"),
        (1, "y", "2025-11-22", "pass"),
        (1, "y", "2025-11-20", "warn"),
        ("daily", "", "2026-11-21", "pass"),
        ("daily", "", "2026-11-19", "warn"),
        ("90 min", "", "2026-11-22", "pass"),
        (1, "d", "2030-01-01", "pass"),
    ],
)
def test_freshness_by_a_date(bench, value, unit, newest, status):
    bench.add(table(columns=(DAY,)), days("1999-01-01", None, newest))
    contract = bench.contract(**sla(("latency", value, unit, "t.day")))
    told, results = facts(bench, contract=contract)
    assert told.newest == newest
    assert results["t.freshness"].status == status
    assert results["t.freshness"].severity == "warning"


@pytest.mark.parametrize(
    ("newest", "status"), [("2026-11-22 06:00:00", "pass"), ("2026-11-22 05:59:59", "warn")]
)
@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMPTZ"])
def test_freshness_by_a_moment(bench, kind, newest, status):
    bench.add(table(), f"SELECT {kind} '{newest}' AS x")
    told, results = facts(bench, contract=bench.contract(**sla(("freshness", 6, "h", "t.x"))))
    assert told.newest == datetime.fromisoformat(newest).replace(tzinfo=UTC).isoformat()
    assert results["t.freshness"].status == status


def test_the_sentence_of_freshness(bench):
    bench.add(table(columns=(DAY,)), days("2026-11-12"))
    contract = bench.contract(**sla(("latency", 4, "d", "t.day")))
    found = facts(bench, contract=contract)[1]["t.freshness"]
    assert found.sentence == "the newest day of t is at most 4 days old"
    assert (found.expected, found.measured) == ("at most 4 days old", "2026-11-12")
    assert found.reason == "the newest day is 2026-11-12, 9 days ago"
    assert found.column == "day"


def test_without_a_time_column_the_update_time_is_judged(bench):
    bench.add(table(), pa.table({"x": [1]}))
    same = {"t": bench.relation("t", pa.table({"x": [1]}))}
    contract = bench.contract(**sla(("latency", 2, "d")))
    for age, status in ((1, "pass"), (3, "warn")):
        before = Before(same, {}, {"t": NOW - timedelta(days=age)})
        assert facts(bench, before=before, contract=contract)[1]["t.freshness"].status == status


def test_frequency_says_how_fresh_where_nothing_else_does(bench):
    bench.add(table(columns=(DAY,)), days("2026-11-10"))
    contract = bench.contract(**sla(("frequency", 1, "w", "t.day")))
    assert facts(bench, contract=contract)[1]["t.freshness"].status == "warn"
    contract = bench.contract(**sla(("frequency", 1, "w", "t.day"), ("latency", 1, "m", "t.day")))
    assert facts(bench, contract=contract)[1]["t.freshness"].status == "pass"


def test_the_slas_own_severity(bench):
    entry = {
        "property": "latency",
        "value": 1,
        "customProperties": [{"property": "polyport.severity", "value": "error"}],
    }
    bench.add(table(columns=(DAY,)), days("2026-11-10"))
    contract = bench.contract(**sla(("latency", 1, "d", "t.day"), slaProperties=[entry]))
    found = bench.gate(contract=contract)
    assert [r.rule for r in found.report.stops] == ["t.freshness"]


@pytest.mark.parametrize("data", [days(), days(None), "SELECT DATE 'infinity' AS day"])
def test_no_value_at_all_breaks_freshness(bench, data):
    bench.add(table(columns=(Property("day"),)), data)
    told, results = facts(bench, contract=bench.contract(**sla(("latency", 1, "d", "t.day"))))
    assert told.newest == ""
    assert (results["t.freshness"].status, results["t.freshness"].reason) == (
        "warn",
        "no day at all",
    )


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (("latency", "soon", "", "t.day"), "'soon' is no length of time"),
        (("latency", 4, "", "t.day"), "'4' is no length of time"),
        (("latency", 4, "fortnights", "t.day"), "'4 fortnights' is no length of time"),
        (("latency", 0, "d", "t.day"), "is no length of time"),
        (("latency", -1, "d", "t.day"), "is no length of time"),
        (("latency", None, "d", "t.day"), "is no length of time"),
        (("latency", 1.5, "m", "t.day"), "are not whole ones"),
        (("latency", 10**9, "d", "t.day"), "before the calendar"),
        (("latency", 3000, "y", "t.day"), "before the calendar"),
        (("latency", 1, "d", "t.dya"), "t.dya, which is not there"),
        (("latency", 1, "d", "t.x"), "t.x, which is no date or timestamp"),
    ],
)
def test_an_sla_that_cannot_be_judged_is_an_error(bench, entry, reason):
    bench.add(table(columns=(DAY, PLAIN)), days("2026-11-10").append_column("x", pa.array([1])))
    found = facts(bench, contract=bench.contract(**sla(entry)))[1]["t.freshness"]
    assert found.status == "error"
    assert reason in found.reason


@pytest.mark.parametrize(
    ("entry", "judged"),
    [
        (("latency", 1, "d", "t"), True),
        (("latency", 1, "d", "u.day"), False),
        (("latency", 1, "d", "u.day, t.day"), True),
        (("latency", 1, "d", "day"), True),
        (("latency", 1, "d", "tt"), False),
        (("Latency", 1, "d", ""), True),
        (("retention", 1, "d", "t.day"), False),
    ],
)
def test_which_dataset_an_sla_speaks_of(bench, entry, judged):
    bench.add(table(columns=(DAY,)), days("2026-11-10"))
    found = facts(bench, contract=bench.contract(**sla(entry)))[1]["t.freshness"]
    assert found.status == ("warn" if judged else "listed")


def test_the_time_column_is_named_tagged_or_in_the_key(bench):
    columns = (Property("a", primary_key=True), Property("b", tags=("Time",)), Property("c"))
    data = "SELECT DATE '2026-01-01' AS a, DATE '2026-01-02' AS b, DATE '2026-01-03' AS c"
    bench.add(table(columns=columns), data)
    assert facts(bench)[0].newest == "2026-01-02"
    contract = bench.contract(**sla(("retention", 9, "y", "t.c")))
    assert facts(bench, contract=contract)[0].newest == "2026-01-03"
    bench.add(table(columns=(columns[0], Property("b"), columns[2])), data)
    assert facts(bench)[0].newest == "2026-01-01"
    bench.add(table(columns=(Property("a"), Property("b"), columns[2])), data)
    assert facts(bench)[0].newest == ""


# Gaps


def test_gaps_of_a_time_column_in_the_key(bench):
    bench.add(
        table(columns=(DAY,)),
        days("2026-01-01", "2026-01-02", "2026-01-06", "2026-01-07", "2026-01-08", "2026-01-10"),
    )
    told, results = facts(bench)
    assert told.gaps == ("2026-01-03 ... 2026-01-05 (3 days)", "2026-01-09 (1 day)")
    found = results["t.gaps"]
    assert (found.status, found.severity, found.measured) == ("warn", "info", 2)
    assert found.sentence == "day has every day"
    assert found.reason == "2 gaps: 2026-01-03 ... 2026-01-05 (3 days), 2026-01-09 (1 day)"


def test_no_gaps(bench):
    bench.add(table(columns=(DAY,)), days("2026-01-03", "2026-01-01", "2026-01-02", "2026-01-02"))
    told, results = facts(bench)
    assert (told.gaps, results["t.gaps"].status) == ((), "pass")


def test_an_sla_says_the_rhythm_and_how_bad_a_gap_is(bench):
    bench.add(table(columns=(Property("day"),)), days("2026-01-05", "2026-01-26", None))
    entry = {"customProperties": [{"property": "polyport.severity", "value": "critical"}]}
    contract = bench.contract(**sla(("frequency", 1, "w", "t.day"), slaProperties=[entry]))
    told, results = facts(bench, contract=contract)
    assert told.gaps == ("2026-01-12 ... 2026-01-19 (2 weeks)",)
    assert results["t.gaps"].status == "fail"


def test_gaps_by_the_hour(bench):
    data = "SELECT TIMESTAMP '2026-01-01 00:30:00' + INTERVAL (h) HOUR AS x FROM (VALUES (0), (1), (4), (30)) AS v(h)"
    bench.add(table(), data)
    told, _ = facts(bench, contract=bench.contract(**sla(("frequency", 1, "h", "t.x"))))
    assert told.gaps == (
        "2026-01-01T02:00 ... 2026-01-01T03:00 (2 hours)",
        "2026-01-01T05:00 ... 2026-01-02T05:00 (25 hours)",
    )


def test_at_most_20_gaps_are_told_and_all_are_counted(bench):
    bench.add(
        table(columns=(DAY,)),
        "SELECT DATE '2026-01-01' + CAST(i + (i // 2) AS INT) AS day FROM range(60) AS r(i)",
    )
    told, results = facts(bench)
    assert len(told.gaps) == 20
    assert results["t.gaps"].measured == 29
    assert results["t.gaps"].reason.startswith("29 gaps: ")


@pytest.mark.parametrize(
    "given",
    [("2026-01-01", "2026-01-02"), ("2026-01-01", "2026-01-20", "2026-03-05", "2027-01-01"), ()],
)
def test_without_a_rhythm_there_are_no_gaps(bench, given):
    bench.add(table(columns=(DAY,)), days(*given))
    found = facts(bench)[1]["t.gaps"]
    assert (found.status, found.reason) == ("listed", "day has no steady rhythm")


def test_a_frequency_of_minutes_is_too_fast_for_gaps(bench):
    bench.add(table(columns=(DAY,)), days("2026-01-01"))
    contract = bench.contract(**sla(("frequency", 5, "min", "t.day")))
    assert facts(bench, contract=contract)[1]["t.gaps"].status == "listed"


def test_any_other_time_column_may_have_gaps(bench):
    columns = (Property("day", tags=("time",)),)
    bench.add(table(columns=columns), days("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-09"))
    assert facts(bench)[1]["t.gaps"].status == "listed"


def test_dates_beyond_any_calendar_are_left_out(bench):
    data = "SELECT * FROM (VALUES (DATE '2026-01-01'), (DATE '2026-01-02'), (DATE '2026-01-03'), (DATE 'infinity'), (DATE '-infinity'), (DATE '99999-01-01'), (DATE '0044-03-15 (BC)')) AS v(day)"
    bench.add(table(columns=(DAY,)), data)
    told, results = facts(bench)
    assert (told.newest, told.gaps) == ("2026-01-03", ())
    assert results["t.gaps"].status == "pass"


# Keys and rows against earlier snapshots


def test_keys_gone(bench):
    key = (Property("a", primary_key=True), Property("b", primary_key=True))
    bench.add(table(columns=key), pa.table({"a": [1, 2], "b": ["x", "x"]}))
    earlier = pa.table({"a": [1, 1, *range(3, 10), None], "b": ["x", "y", *["z"] * 7, "n"]})
    told, results = facts(bench, before=Before({"t": bench.relation("t", earlier)}))
    assert (told.keys_gone, told.rows_before) == (8, 10)
    found = results["t.keys-gone"]
    assert (found.status, found.severity, found.rows_failing) == ("warn", "info", 8)
    assert found.reason == "8 rows (80 %): 1 / y, 3 / z, 4 / z, 5 / z, 6 / z, ..."


def test_classified_keys_are_not_shown(bench):
    bench.add(
        table(columns=(Property("x", primary_key=True, classification="confidential"),)),
        pa.table({"x": [1]}),
    )
    found = bench.one(
        "t.keys-gone", before=Before({"t": bench.relation("t", pa.table({"x": [1, 2]}))})
    )
    assert (found.status, found.reason) == ("warn", "1 row (50 %)")


def test_no_key_gone(bench):
    bench.add(table(columns=(Property("x", primary_key=True),)), pa.table({"x": [1, 2]}))
    found = bench.one(
        "t.keys-gone", before=Before({"t": bench.relation("t", pa.table({"x": [1]}))})
    )
    assert (found.status, found.measured) == ("pass", 0)


@pytest.mark.parametrize(
    ("columns", "earlier", "reason"),
    [
        ((PLAIN,), {"x": [1]}, "no primary key"),
        ((Property("x", primary_key=True),), {"y": [1]}, "x is not in both snapshots"),
        ((Property("x", primary_key=True),), {"x": ["a"]}, "x has another type now"),
    ],
)
def test_keys_that_cannot_be_compared_stop_nothing(bench, columns, earlier, reason):
    bench.add(table(columns=columns), pa.table({"x": [1, 2]}))
    found = bench.one("t.keys-gone", before=Before({"t": bench.relation("t", pa.table(earlier))}))
    assert (found.status, found.reason) == ("listed", reason)


def history(bench, rows, earlier, *, contract=None, before=None):
    bench.add(table(), f"SELECT i AS x FROM range({rows}) AS r(i)")
    contract = bench.contract(**contract) if contract else None
    return bench.one("t.history", before=Before(before or {}, {"t": earlier}), contract=contract)


@pytest.mark.parametrize(
    ("rows", "earlier", "status"),
    [
        (10, [], "listed"),
        (10, [1, 1, 1], "listed"),
        (10, [10, 10, 10, 10], "pass"),
        (15, [10, 10, 10, 10], "pass"),
        (16, [10, 10, 10, 10], "warn"),
        (5, [10, 10, 10, 10], "pass"),
        (4, [10, 10, 10, 10], "warn"),
        (10, [1, 9, 10, 1000, 11], "pass"),
        (10, [0, 0, 0, 0], "pass"),
        (0, [0, 0, 0, 0], "pass"),
        (0, [5], "warn"),
        (0, [10, 10, 10, 10], "warn"),
    ],
)
def test_rows_against_history(bench, rows, earlier, status):
    assert history(bench, rows, earlier).status == status


def test_the_sentence_of_history(bench):
    found = history(bench, 4, [10, 10, 10, 10])
    assert found.reason == "4 rows, and 10 are usual (median of 4 snapshots)"
    assert found.expected == "within 50 percent of the median"
    assert found.severity == "warning"


def test_empty_now_and_not_before(bench):
    before = {"t": bench.relation("t", pa.table({"x": [1]}))}
    assert history(bench, 0, [], before=before).reason == "no rows, and there were some before"


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"customProperties": [{"property": "polyport.rowsChangePercent", "value": 10}]}, "warn"),
        ({"customProperties": [{"property": "polyport.rowsChangePercent", "value": "20"}]}, "pass"),
        ({"customProperties": [{"property": "other", "value": 10}]}, "pass"),
        (
            {"customProperties": [{"property": "polyport.rowsChangePercent", "value": "much"}]},
            "error",
        ),
        ({"customProperties": [{"property": "polyport.rowsChangePercent", "value": -1}]}, "error"),
        (
            {
                "customProperties": [{"property": "polyport.rowsChangePercent", "value": 10}],
                "schema": [
                    {
                        "name": "t",
                        "customProperties": [
                            {"property": "polyport.rowsChangePercent", "value": 30}
                        ],
                    }
                ],
            },
            "pass",
        ),
    ],
)
def test_the_allowed_change_can_be_set(bench, document, status):
    assert history(bench, 12, [10] * 5, contract={"document": document}).status == status


def test_the_report_names_the_run_and_the_product(bench):
    bench.add(table(), pa.table({"x": [1]}))
    report = bench.gate().report
    assert (report.product, report.run, report.at, report.snapshot) == (
        "p",
        "20261122T120000-abcdef",
        NOW,
        "",
    )


def test_a_candidate_that_cannot_be_read_is_errors_all_over(bench):
    candidate = bench.add(
        table(columns=(Property("x", required=True, unique=True),)), pa.table({"x": [1]})
    )
    candidate.table.files[0].write_bytes(b"PAR1 no more")
    found = bench.gate()
    for name in ("t.x.required", "t.x.unique"):
        assert result(found, name).status == "error"


def test_a_contract_of_no_output_port_still_counts(bench):
    bench.add(table(columns=(DAY,)), days("2026-11-10"))
    contract = replace(
        bench.contract(**sla(("latency", 1, "d", "t.day"))), file=Path("other.odcs.yaml")
    )
    assert facts(bench, contract=contract)[1]["t.freshness"].status == "warn"
