"""The logs: a line an event, through at once, without secrets."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pipeline.logs import events

from polyport.errors import StoreError, TransformError
from polyport.pipeline.log import RunLog, redact

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def log(tmp_path):
    with RunLog(tmp_path / "logs", "r1", clock=lambda: NOW, secrets=("hush", "hush-hush")) as log:
        yield log


def test_events_are_read_back_while_the_log_is_open(log):
    log.event("read", "films", message="done", details={"rows": 3, "notes": ("a", "b"), "no": None})
    (event,) = events(log.path)
    assert event == {
        "at": "2026-01-01T00:00:00.000Z", "level": "info", "run": "r1", "stage": "read", "name": "films",
        "message": "done", "rows": 3, "notes": ["a", "b"],
    }  # fmt: skip
    assert events(log.errors_path) == []


def test_one_line_an_event(log):
    log.event("read", "films", message="two\nlines\u2028three")
    assert len(log.path.read_text().split("\n")) == 2
    assert events(log.path)[0]["message"] == "two\nlines\u2028three"


def test_secrets_are_starred_everywhere(log):
    log.event("x", "hush", message="a hush-hush b", details={"hush": [{"k": "hush"}], "n": "hush"})
    error = TransformError("hush", where="hush", fix="hush")
    error.__cause__ = ValueError("hush")
    log.error(error)
    for path in (log.path, log.errors_path):
        assert "hush" not in path.read_text()
    assert events(log.path)[0]["message"] == "a *** b"


def raised(error, cause=None):
    with pytest.raises(type(error)) as caught:
        raise error from cause
    return caught.value


def test_an_error_is_short_in_one_log_and_whole_in_the_other(log):
    error = TransformError("bad", where="x.sql:1:2", fix="do")
    log.error(raised(error, ValueError("deep")), stage="transform", name="x")
    (short,), (whole,) = events(log.path), events(log.errors_path)
    assert (short["code"], short["where"], short["fix"]) == ("PP320", "x.sql:1:2", "do")
    assert "ValueError: deep" in whole["traceback"]


def test_an_error_that_nobody_expected_has_its_traceback(log):
    log.error(raised(KeyError("surprise")))
    (whole,) = events(log.errors_path)
    assert whole["message"] == "KeyError: 'surprise'"
    assert "Traceback" in whole["traceback"]


def test_no_folder_no_log(tmp_path):
    (tmp_path / "logs").write_text("")
    with pytest.raises(StoreError):
        RunLog(tmp_path / "logs", "r1", clock=lambda: NOW)


def test_no_space(log, monkeypatch):
    class Full:
        def write(self, _):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self):
            pass

    log._all.close()
    log._all = Full()
    with pytest.raises(StoreError, match="No space"):
        log.event("a", "b", message="c")


@given(st.text(), st.lists(st.text(min_size=1), max_size=3))
def test_no_secret_survives(text, secrets):
    cleaned = redact(text, sorted(secrets, key=len, reverse=True))
    for secret in secrets:
        if secret not in text:
            continue
        assert cleaned != text
