"""Runs that have a log and no record: those that are going on, and those whose process was killed."""

from __future__ import annotations

import fcntl
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from polyport.model import Run
from polyport.pipeline.folders import writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from polyport.model import Outcome

_ENDS = (".errors.log", ".log")


def unrecorded(logs: Path, product: str, recorded: Callable[[str], bool]) -> tuple[Run, ...]:
    """The runs of `product` that `logs` has a log of and that are not `recorded`, newest first.

    Their outcome is `running`, `killed`, or `failed` where the last word is an error.

    Raises:
        StoreError: A log cannot be read.
    """
    with writing(logs):
        found = [_run(path, product) for path in _logs(logs) if not recorded(_named(path))]
    return tuple(sorted(found, key=lambda run: run.started_at, reverse=True))


def _logs(logs: Path) -> Iterator[Path]:
    yield from (p for p in logs.glob("*.log") if not p.name.endswith(_ENDS[0]))


def _named(path: Path) -> str:
    return path.name.removesuffix(_ENDS[1])


def _run(path: Path, product: str) -> Run:
    lines = list(_lines(path))
    first, last = (_at(lines[at], path) for at in (0, -1)) if lines else (_written(path),) * 2
    outcome: Outcome = "running" if _is_open(path) else "killed"
    if lines and lines[-1]["level"] == "error":
        outcome = "failed"
    seconds = (last - first).total_seconds()
    return Run(
        _named(path), product, first, seconds, outcome, (), error=_said(lines, outcome, path)
    )


def _said(lines: list[dict[str, Any]], outcome: Outcome, path: Path) -> str:
    last = lines[-1] if lines else {}
    message = " ".join(str(last[key]) for key in ("stage", "name", "message") if last.get(key))
    match outcome:
        case "failed":
            return message
        case "running":
            return f"now: {message}"
        case _:
            return f"ended without a word after `{message}`; its log: {path}"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a log: of a process that was killed the last may be cut off."""
    for line in path.read_text("utf-8", errors="replace").split("\n")[:-1]:
        yield json.loads(line)


def _at(line: dict[str, Any], path: Path) -> datetime:
    said = line.get("at")
    return datetime.fromisoformat(said) if said else _written(path)


def _written(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime).astimezone()


def _is_open(path: Path) -> bool:
    """Whether a process still writes the log: it holds a lock for as long."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
