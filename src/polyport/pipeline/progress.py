"""Progress: each step of a build as it ends, told to the caller, to the log, and kept for the run."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from polyport.errors import PolyportError
from polyport.model import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from polyport.model import Status
    from polyport.pipeline.log import RunLog
    from polyport.pipeline.raw import RawStore


Stage: TypeAlias = Literal["read", "raw", "cleanse", "transform", "check", "publish", "push"]


@dataclass(frozen=True, slots=True)
class Activity:
    """A step that is going on, for whoever waits for it."""

    stage: Stage
    name: str
    fraction: Callable[[], float | None] = lambda: None
    """How much of it is done, from 0 to 1; None where that is not known. Any thread may ask."""
    bytes: Callable[[], int] = lambda: 0
    """How many bytes it has received so far. Any thread may ask."""


@dataclass(slots=True)
class Entry:
    """A step that is going on: what there is to say of it when it ends."""

    detail: str = ""
    rows: int | None = None
    repaired: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    erased: int = 0
    """Rows of what was erased before, left out."""
    status: Status = "pass"
    notes: tuple[str, ...] = ()
    """More than fits a line: for the log alone."""


class Recorder:
    """Gathers the steps of one run."""

    def __init__(
        self,
        log: RunLog,
        report: Callable[[Step], None],
        steps: list[Step],
        *,
        working: Callable[[Activity | None], None] = lambda _: None,
        fraction: Callable[[], float | None] = lambda: None,
    ) -> None:
        """Tell `log` and `report`, and add to `steps`.

        Args:
            log: The run's log.
            report: Hears of each step as it ends.
            steps: Gets each step as it ends.
            working: Hears of each step as it begins, and None before its end is reported.
            fraction: How much of a step is done; `receiving` says it of those that receive.
        """
        self._working = working
        self._fraction = fraction
        self._steps = steps
        self._log = log
        self._report = report

    def step(self, stage: Stage, name: str) -> AbstractContextManager[Entry]:
        """A step, from its start to its end; one that fails is told too, with status `error`."""
        return self._step(Activity(stage, name, self._fraction))

    def receiving(self, name: str, raw: RawStore) -> AbstractContextManager[Entry]:
        """A step that receives what `raw` keeps."""
        return self._step(Activity("raw", name, raw.fraction, raw.received))

    @contextmanager
    def _step(self, activity: Activity) -> Iterator[Entry]:
        entry, started = Entry(), time.perf_counter()
        stage, name = activity.stage, activity.name
        self._log.event(stage, name, message="started")
        self._working(activity)
        try:
            yield entry
        except PolyportError as error:
            self._working(None)
            self._tell(stage, name, Entry(error.message, status="error"), started)
            raise
        except BaseException:
            self._working(None)
            raise
        self._working(None)
        self._tell(stage, name, entry, started)

    def _tell(self, stage: Stage, name: str, entry: Entry, started: float) -> None:
        seconds = round(time.perf_counter() - started, 6)
        step = Step(
            stage,
            name,
            entry.detail,
            entry.rows,
            entry.repaired,
            entry.refused,
            seconds,
            entry.status,
            entry.erased,
        )
        self._steps.append(step)
        if entry.status != "error":  # an error is written whole, where it ends the run
            self._log.event(
                stage,
                name,
                message=entry.detail or "done",
                level="warning" if entry.status == "warn" else "info",
                details={
                    "rows": entry.rows,
                    "repaired": dict(entry.repaired),
                    "refused": dict(entry.refused),
                    "erased": entry.erased,
                    "notes": entry.notes,
                    "seconds": seconds,
                },
            )
        self._report(step)
