"""Runs whose process was killed are listed, with where their log stops."""

from __future__ import annotations

import datetime as dt
import json
import signal
import subprocess
import sys

from click.testing import CliRunner

from polyport.cli.history import history
from polyport.errors import NotFoundError, TransformError
from polyport.pipeline.log import RunLog
from polyport.pipeline.unrecorded import unrecorded
from polyport.product import Product
from polyport.testing.output_port import make_product

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
DIES = "import os, signal\nimport pyarrow as pa\n\ndef films(sheet: pa.Table) -> pa.Table:\n    os.kill(os.getpid(), signal.SIGKILL)\n"
BUILD = "import sys; from polyport.product import Product; Product.load(sys.argv[1]).build()"


def test_a_killed_run_is_listed_between_those_that_ended(tmp_path):
    make_product(tmp_path, "rest").close()
    (step,) = (tmp_path / "transform").glob("*.sql")
    sql = step.read_text()
    step.unlink()
    (tmp_path / "transform" / f"{step.stem}.py").write_text(DIES)
    ended = subprocess.run([sys.executable, "-c", BUILD, str(tmp_path)], timeout=120, check=False)
    assert ended.returncode == -signal.SIGKILL
    (tmp_path / "transform" / f"{step.stem}.py").unlink()
    step.write_text(sql)
    with Product.load(tmp_path) as product:
        product.build()
        newest, killed, oldest = product.runs()
    assert (newest.outcome, killed.outcome, oldest.outcome) == ("unchanged", "killed", "published")
    assert "ended without a word after `transform" in killed.error
    shown = CliRunner().invoke(history, [str(tmp_path), "--runs"], catch_exceptions=False).stdout
    assert len(shown.splitlines()) == 4
    assert f"{killed.id}  killed" in shown
    given = CliRunner().invoke(history, [str(tmp_path), "--runs", "--json"], catch_exceptions=False)
    assert [run["outcome"] for run in json.loads(given.stdout)] == [
        "unchanged",
        "killed",
        "published",
    ]


def listed(folder, *recorded):
    return [(r.id, r.outcome, r.error) for r in unrecorded(folder, "films", recorded.__contains__)]


def test_a_run_that_goes_on_is_not_taken_for_a_killed_one(tmp_path):
    with RunLog(tmp_path, "r1", clock=lambda: NOW) as log:
        log.event("cleanse", "films", message="started")
        assert listed(tmp_path) == [("r1", "running", "now: cleanse films started")]
        assert listed(tmp_path, "r1") == []
    said = f"ended without a word after `cleanse films started`; its log: {tmp_path / 'r1.log'}"
    assert listed(tmp_path) == [("r1", "killed", said)]


def test_a_run_that_told_its_error_to_the_log_alone_failed(tmp_path):
    with RunLog(tmp_path, "r1", clock=lambda: NOW) as log:
        log.error(TransformError("no such column"), stage="transform", name="films")
    assert listed(tmp_path) == [("r1", "failed", "transform films no such column")]


def test_logs_that_stop_within_a_line_or_before_the_first(tmp_path):
    with RunLog(tmp_path, "r1", clock=lambda: NOW) as log:
        log.event("cleanse", "films", message="started")
    whole = (tmp_path / "r1.log").read_text()
    (tmp_path / "r1.log").write_text(whole + '{"at": "2026-0')
    (tmp_path / "r2.log").write_text("")
    found = {r.id: r for r in unrecorded(tmp_path, "films", lambda _: False)}
    assert (found["r1"].started_at, found["r1"].seconds) == (NOW, 0.0)
    assert found["r2"].outcome == "killed"
    assert unrecorded(tmp_path / "none", "films", lambda _: False) == ()


def test_no_snapshot_yet_names_the_command_that_publishes_one(tmp_path):
    home = tmp_path / "my films"
    home.mkdir()
    make_product(home, "rest").close()
    with Product.load(home, state=tmp_path / "other") as product:
        try:
            product.quality("1")
        except NotFoundError as error:
            assert error.fix == f"publish one: polyport build '{home}'"
            assert "polyport" not in error.remote_fix
        else:
            raise AssertionError
