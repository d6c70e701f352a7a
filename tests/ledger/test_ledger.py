from __future__ import annotations

import datetime as dt
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing

import pytest

from polyport.errors import ConfigurationError, StoreError
from polyport.ledger import Ledger
from polyport.model import QualityReport, Read, RuleResult, Run, Step, TableFacts

AT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "state" / "ledger.sqlite")
    yield made
    made.close()


def a_read(rows=1, **changed):
    read = {
        "at": AT, "product": "p", "port": "rest", "principal": "ann", "purpose": "", "snapshot": "00000001-x",
        "dataset": "films", "columns": ("id", "title"), "rows": rows, "bytes": 10, "seconds": 0.5, "outcome": "ok",
    }  # fmt: skip
    return Read(**{**read, **changed})


def test_runs_and_reports_come_back_as_they_were(ledger):
    steps = (Step("read", "sheets", "3 rows", 3, {"century": 2}, {"no title": 1}, 0.1, "warn"),)
    run = Run("20260102T030405-aaaaaa", "p", AT, 1.5, "published", steps, "00000001-x")
    ledger.record_run(run)
    ledger.record_run(run)
    assert ledger.runs("p") == [run]
    assert ledger.runs("q") == []
    result = RuleResult(
        "r", "films", "id", "library", "fail", "id is filled", measured=2, rows_failing=2
    )
    facts = TableFacts(3, None, AT, "2026-01-01", ("a gap",), 1)
    report = QualityReport("p", run.id, AT, (result,), {"films": facts}, "00000001-x")
    ledger.record_report(report)
    assert ledger.report("p") == report
    assert ledger.report("p", "00000001-x") == report
    assert ledger.report("p", "00000002-y") is None
    assert report.stops == (result,)


def test_columns_are_counted_by_contract(ledger):
    for contract in ("films-v1", "films", "films", ""):
        ledger.record_read(a_read(contract=contract))
    found = ledger.usage.columns("p")
    assert {(r["contract"], r["column"], r["reads"]) for r in found} == {
        (contract, column, reads)
        for contract, reads in (("films-v1", 1), ("films", 2), ("", 1))
        for column in ("id", "title")
    }


def test_reads_that_are_alike_are_counted_together(ledger):
    later = AT + dt.timedelta(hours=1)
    for columns, at, outcome in (
        (("id", "title"), AT, "ok"),
        (("id",), AT, "ok"),
        (("id", "title"), later, "cut"),
        (("id", "title"), later, "denied"),
    ):
        ledger.record_read(a_read(columns=columns, at=at, outcome=outcome))
    ledger.flush()
    ledger.record_read(a_read(columns=("id",), at=later))
    found = {r["column"]: (r["reads"], r["last_at"]) for r in ledger.usage.columns("p")}
    assert found == {"id": (4, later.isoformat()), "title": (2, later.isoformat())}
    sums = {r["outcome"]: (r["reads"], r["rows"], r["bytes"]) for r in ledger.usage.reads("p")}
    assert sums == {"ok": (3, 3, 30), "cut": (1, 1, 10), "denied": (1, 1, 10)}


def test_what_was_counted_before_contracts_were_told_apart_is_taken_over_once(tmp_path):
    file = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(file)) as old:
        old.executescript(
            "CREATE TABLE usage_columns (day TEXT, product TEXT, principal TEXT, dataset TEXT, "
            '"column" TEXT, reads BIGINT, last_at TEXT, '
            'PRIMARY KEY (day, product, principal, dataset, "column")); '
            "INSERT INTO usage_columns VALUES ('2026-01-01','p','ann','films','id',4,'2026-01-01T10:00:00');"
        )
    for _ in range(2):
        with closing(Ledger(file)) as ledger:
            (row,) = ledger.usage.columns("p")
            assert (row["principal"], row["contract"], row["column"]) == ("ann", "", "id")
            assert (row["reads"], row["last_at"]) == (4, "2026-01-01T10:00:00")


def test_reads_are_written_in_batches_and_at_close(ledger, tmp_path):
    for n in range(5):
        ledger.record_read(a_read(n))
    assert [r["rows"] for r in ledger.reads("p")] == [4, 3, 2, 1, 0]
    assert ledger.reads("p")[0]["columns"] == ("id", "title")
    ledger.record_read(a_read(9, at=AT + dt.timedelta(days=1)))
    ledger.close()
    again = Ledger(tmp_path / "state" / "ledger.sqlite")
    assert [r["rows"] for r in again.reads("p", since=AT + dt.timedelta(hours=1))] == [9]
    again.close()


def test_a_kill_loses_only_what_came_in_the_last_moment(tmp_path):
    path = tmp_path / "ledger.sqlite"
    code = f"""
        import datetime as dt, sys, time
        from pathlib import Path
        from polyport.ledger import Ledger
        from polyport.model import Read
        ledger = Ledger(Path({str(path)!r}))
        at = dt.datetime.now(dt.UTC)
        for n in range(100):
            ledger.record_read(Read(at, "p", "rest", "ann", "", "s", "films", (), n, 0, 0.0))
        other = Ledger(Path({str(path)!r}))
        while len(other.reads("p")) < 100:
            time.sleep(0.01)
        print("written", flush=True)
        ledger.record_read(Read(at, "p", "rest", "ann", "", "s", "films", (), 100, 0, 0.0))
        time.sleep(60)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"written\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    ledger = Ledger(path)
    assert len(ledger.reads("p")) >= 100
    ledger.close()


def test_reads_that_cannot_be_written_wait(ledger, monkeypatch):
    write = ledger._waiting._write
    monkeypatch.setattr(ledger._waiting, "_write", lambda _: (_ for _ in ()).throw(OSError("full")))
    ledger.record_read(a_read())
    with pytest.raises(OSError, match="full"):
        ledger.flush()
    monkeypatch.setattr(ledger._waiting, "_write", write)
    assert len(ledger.reads("p")) == 1


def test_a_ledger_that_cannot_be_opened(tmp_path):
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database, not at all" * 100)
    with pytest.raises(StoreError, match="cannot be opened"):
        Ledger(tmp_path / "ledger.sqlite")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("state/ledger.sqlite", "'state/ledger.sqlite' is not the URL of a database"),
        ("", "is not the URL"),
        ("user:hunter2@host/db", "'user' is not the URL"),
        ("nosql://user:hunter2@host/db", "'nosql' is no kind of database"),
        ("mssql+pyodbc://user:hunter2@host/db", "'mssql+pyodbc' needs pyodbc"),
    ],
)
def test_a_text_that_is_no_url_is_said_to_be_none(url, said, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyodbc", None)  # as where it is not installed
    with pytest.raises(ConfigurationError) as caught:
        Ledger(url)
    assert said in caught.value.message
    assert caught.value.fix
    assert "hunter2" not in str(caught.value.problem())


def test_a_url_of_a_file_is_taken(tmp_path):
    Ledger(f"sqlite:///{tmp_path}/ledger.sqlite").close()
    assert (tmp_path / "ledger.sqlite").is_file()
