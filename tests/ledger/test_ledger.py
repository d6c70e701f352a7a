from __future__ import annotations

import datetime as dt
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import pytest

from polyport.errors import ConfigurationError, ConflictError, StoreError
from polyport.ledger import Ledger
from polyport.model import QualityReport, Read, Request, RuleResult, Run, Step, TableFacts

AT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


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


def test_reads_are_written_in_batches_and_at_close(ledger, address):
    for n in range(5):
        ledger.record_read(a_read(n))
    assert [r["rows"] for r in ledger.reads("p")] == [4, 3, 2, 1, 0]
    assert ledger.reads("p")[0]["columns"] == ("id", "title")
    ledger.record_read(a_read(9, at=AT + dt.timedelta(days=1)))
    ledger.close()
    again = Ledger(address)
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


def test_those_who_open_it_at_once_make_it_once(address):
    """Two processes of a new mesh: the second waits for the tables that the first makes."""
    made = []

    def opened():
        with closing(Ledger(address)) as ledger:
            made.append(ledger.reads("p"))

    together(opened for _ in range(8))
    assert made == [[]] * 8


def test_those_who_write_at_once_do_not_stop_each_other(address):
    """Each adds to the same days, in an order of its own."""
    who = [f"user {n}" for n in range(40)]

    def written(seed):
        with closing(Ledger(address)) as ledger:
            for turn in range(8):
                for name in random.Random(f"{seed}/{turn}").sample(who, len(who)):
                    ledger.record_read(a_read(principal=name))
                    ledger.record_request(Request(AT, "p", "rest", name, 200, 1, 0.1))
                ledger.flush()

    together(partial(written, seed) for seed in range(4))
    with closing(Ledger(address)) as ledger:
        reads, requests = ledger.usage.reads("p"), ledger.usage.requests("p")
        assert {r["principal"]: r["reads"] for r in reads} == dict.fromkeys(who, 32)
        assert {r["principal"]: r["requests"] for r in requests} == dict.fromkeys(who, 32)
        assert len(ledger.reads("p")) == 32 * 40


def test_entries_are_numbered_in_their_order(ledger, address):
    seen = []

    def appended(name):
        with closing(Ledger(address)) as other:
            for n in range(10):
                other.journal.append("feedback", f"{name}/{n}", {}, product="p", by=name)
                seen.append(ledger.journal.position())

    together(partial(appended, str(n)) for n in range(4))
    entries = ledger.journal.entries("feedback", product="p")
    assert len(entries) == 40
    assert [e.seq for e in entries] == sorted({e.seq for e in entries})
    assert ledger.journal.position() == entries[-1].seq == max(seen)
    for name in "0123":
        mine = [e.name for e in entries if e.by == name]
        assert mine == [f"{name}/{n}" for n in range(10)]


def test_of_two_that_change_the_same_one_is_told(ledger):
    first = ledger.journal.append("settings", "films", {"a": 1}, by="ann", based=0)
    with pytest.raises(ConflictError, match="changed by somebody else"):
        ledger.journal.append("settings", "films", {"a": 2}, by="bob", based=0)
    second = ledger.journal.append("settings", "films", {"a": 3}, by="bob", based=first.seq)
    assert ledger.journal.newest("settings", name="films") == second


def test_times_are_in_order_however_they_are_written(ledger):
    """One without a fraction of a second, and one with it: what is between them is no letter."""
    steps = [dt.timedelta(microseconds=m) for m in (0, 1, 999_999)]
    runs = [Run(f"r{n}", "p", AT + step, 1.0, "published", ()) for n, step in enumerate(steps)]
    for run in (runs[1], runs[2], runs[0]):
        ledger.record_run(run)
    assert [run.id for run in ledger.runs("p")] == ["r2", "r1", "r0"]


def test_names_are_told_apart_and_ordered_by_their_characters(ledger):
    for name in ("b", "A", "a", "ä", "a b", "a-b"):
        ledger.record_read(a_read(principal=name))
    found = [r["principal"] for r in ledger.usage.reads("p")]
    assert found == ["A", "a", "a b", "a-b", "b", "ä"]


def test_what_a_consumer_says_never_keeps_anything_from_being_written(ledger):
    """A purpose is any text."""
    for purpose in ("a\0b", "\x01", "😀", "'; DROP TABLE reads; --", "x" * 100_000):
        ledger.record_read(a_read(purpose=purpose))
    found = [r["purpose"] for r in ledger.reads("p")]
    assert found[0] == "x" * 100_000
    assert found[-1] in ("a\0b", "a\ufffdb")
    assert ledger.usage.reads("p")[0]["reads"] == 5


def test_texts_are_taken_out(ledger):
    ledger.record_read(a_read(principal="jane@example.org"))
    ledger.journal.append("feedback", "f", {"text": "jane@example.org asks"}, product="p", by="jane@example.org")  # fmt: skip
    assert any("jane" in text for _, text in ledger.texts())
    assert ledger.blank(lambda _, text: text.replace("jane@example.org", "erased-1")) > 2
    assert not any("jane" in text for _, text in ledger.texts())
    assert ledger.usage.reads("p")[0]["principal"] == "erased-1"


def together(work):
    """Do all of it at once; raises what the first of those that fail raised."""
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(each) for each in work]:
            done.result()


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
        ("nosql://user:hunter2@host/db", "'nosql' is neither of sqlite and postgresql"),
        ("mssql+pyodbc://user:hunter2@host/db", "'mssql+pyodbc' is neither of"),
        ("postgresql+psycopg9://user:hunter2@host/db", "'postgresql+psycopg9' is no driver"),
        ("postgresql+psycopg://user:hunter2@host/db", "'postgresql+psycopg' needs psycopg"),
    ],
)
def test_a_text_that_is_no_url_is_said_to_be_none(url, said, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as where it is not installed
    with pytest.raises(ConfigurationError) as caught:
        Ledger(url)
    assert said in caught.value.message
    assert caught.value.fix
    assert "hunter2" not in str(caught.value.problem())


def test_a_url_of_a_file_is_taken(tmp_path):
    Ledger(f"sqlite:///{tmp_path}/ledger.sqlite").close()
    assert (tmp_path / "ledger.sqlite").is_file()
