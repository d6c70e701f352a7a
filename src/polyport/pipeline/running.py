"""A whole run: the build, and what goes with it. Lineage is told, ports are pushed to, the run is recorded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyport.errors import PolyportError, StoreError
from polyport.ledger import contracts
from polyport.model import Step
from polyport.pipeline import discreet, lineage
from polyport.pipeline.build import build

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from polyport.ledger import Ledger
    from polyport.model import QualityReport, Run, Snapshot, Status
    from polyport.pipeline.build import BuildResult, Job
    from polyport.ports.output import Pushed


@dataclass(frozen=True, slots=True)
class Around:
    """What a run needs besides its job."""

    ledger: Ledger
    pushing: Sequence[Pushed]
    """The ports that write somewhere what was published."""
    identify: Callable[[str], str]
    """Gives a product's global identifier by its id."""
    target: lineage.Target | None
    """Where lineage is sent to besides the journal; None: nowhere."""
    expire: Callable[[], object]
    """Removes the snapshots that need not be kept, after a publish, and all that only they needed."""
    tidy: Callable[[], object]
    """Removes the raw data and refused rows of runs that need not be kept, where nothing was published."""


def run(job: Job, around: Around, report: Callable[[Step], None]) -> BuildResult:
    """What came of the build, and of what follows it; `report` hears of each step as it ends.

    Raises:
        BuildError, ConflictError, StoreError: As `build`; recorded by then, and told to whom lineage is sent.
    """
    hidden = discreet.forms(job.secrets)
    ran = _Run(job, around, _told(job, around, hidden), lambda s: report(discreet.step(s, hidden)))
    ran.tell(lineage.started(ran.told, job.clock()))
    result = ran.built()
    return ran.finished(replace(result, run=discreet.run(result.run, hidden)))


def _told(job: Job, around: Around, hidden: Sequence[str]) -> lineage.Told:
    def sizes(snapshot: Snapshot, dataset: str) -> Sequence[int]:
        return [Path(file).stat().st_size for file in job.store.files(snapshot, dataset)]

    engine = job.engine.dialect, version(job.engine.dialect)
    return lineage.Told(job.product, job.run, around.identify, job.seen, sizes, engine, hidden)


@dataclass(frozen=True, slots=True)
class _Run:
    """A run that is going on."""

    job: Job
    around: Around
    told: lineage.Told
    say: Callable[[Step], None]

    def built(self) -> BuildResult:
        """The build itself; however it ends, it is told and recorded."""
        try:
            return build(self.job, self.say)
        except PolyportError as error:
            discreet.clean(error, tuple(self.told.hidden))
            self.failed(error, error.run, error.report)
            raise
        except BaseException:
            self.tell(lineage.aborted(self.told, self.job.clock()))
            raise

    def finished(self, result: BuildResult) -> BuildResult:
        """What follows a publish: contracts kept, pushes, lineage, the record, expiry."""
        try:
            erased = self.job.tombstones()
            said = erased.document if erased else dict
            contracts.keep(self.around.ledger.journal, self.job.product, result.snapshot, said)
            done = replace(result.run, steps=(*result.run.steps, *self.pushed(result)))
            done = replace(done, steps=(*done.steps, *self.ended(done, result)))
            self.record(done, result.report)
            (self.around.expire if done.outcome == "published" else self.around.tidy)()
        except PolyportError as error:
            discreet.clean(error, tuple(self.told.hidden))
            error.unchanged = "the snapshot is served; what follows a publish was not finished: polyport build goes on"
            self.failed(error, replace(result.run, error=str(error)), result.report)
            raise
        return replace(result, run=done)

    def pushed(self, result: BuildResult) -> tuple[Step, ...]:
        """Let each port write the snapshot that is not there yet."""
        if result.snapshot is None:
            return ()
        steps = []
        for port in self.around.pushing:
            started = self.job.clock()
            written = port.push(result.snapshot, result.previous, self.job.product.home)
            if written:
                seconds = (self.job.clock() - started).total_seconds()
                name, detail = port.context.spec.name, f"{len(written)} files"
                steps.append(Step("push", name, detail, seconds=seconds))
                self.say(steps[-1])
        return tuple(steps)

    def ended(self, done: Run, result: BuildResult) -> tuple[Step, ...]:
        """Tell how the run ended; a step says so where that is sent somewhere."""
        if result.snapshot is None:
            return ()
        started = self.job.clock()
        unsent = self.tell(
            lineage.ended(self.told, done, started, snapshot=result.snapshot, report=result.report)
        )
        if self.around.target is None:
            return ()
        seconds = (self.job.clock() - started).total_seconds()
        status: Status = "warn" if unsent else "pass"
        name, detail = self.job.product.id, unsent or "sent"
        made = Step("lineage", name, detail, seconds=seconds, status=status)
        self.say(made)
        return (made,)

    def tell(self, event: Mapping[str, Any]) -> str:
        """Keep a lineage event, and send it; why it could not be sent, or nothing."""
        erased = self.job.tombstones()
        said = erased.document(event) if erased else event
        return lineage.keep_and_send(
            self.around.ledger.journal, self.job.product.id, self.told.run, said, self.around.target
        )

    def record(self, done: Run | None, report: QualityReport | None) -> None:
        """Write the run and its quality report into the ledger."""
        erased, ledger = self.job.tombstones(), self.around.ledger
        if done is not None:
            ledger.record_run(erased.run(done) if erased else done)
        if report is not None:
            ledger.record_report(erased.report(report) if erased else report)

    def failed(self, error: PolyportError, done: Run | None, report: QualityReport | None) -> None:
        """Record and tell what ended in `error`; it stays the error to tell where the ledger fails too."""
        try:
            self.record(done, report)
        except StoreError as second:
            error.add_note(f"nor could the run be recorded: {second}")
        ended = lineage.failed(self.told, error, self.job.clock(), report=error.report)
        try:
            self.tell(ended)
        except StoreError as second:
            error.add_note(f"nor could its lineage be kept: {second}")
        try:
            self.around.tidy()
        except StoreError as second:
            error.add_note(f"nor could what is out of date be removed: {second}")


__all__ = ["Around", "run"]
