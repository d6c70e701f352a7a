"""The one build: raw, read, cleanse, transform, check, publish; one function a stage, in this order."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from polyport.descriptor.text import plural
from polyport.errors import ConflictError, NotFoundError, PolyportError, QualityError
from polyport.model import LATEST, Outcome, Run
from polyport.pipeline.erasure import clean
from polyport.pipeline.folders import safe, scratch_folder
from polyport.pipeline.lineage.events import Seen
from polyport.pipeline.log import RunLog
from polyport.pipeline.plan import RAW, plan
from polyport.pipeline.progress import Recorder
from polyport.pipeline.publish import before, compare
from polyport.pipeline.quality import Candidate, gate
from polyport.pipeline.raw import RawStore
from polyport.pipeline.receive import read, receive, receive_again
from polyport.pipeline.retention import in_use
from polyport.pipeline.steps import Bench, run_steps
from polyport.store import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from polyport.descriptor.types import DataProduct
    from polyport.engine import Engine, Written
    from polyport.model import QualityReport, RuleResult, Snapshot, Step
    from polyport.pipeline.erasure.tombstones import Tombstones
    from polyport.pipeline.progress import Activity
    from polyport.pipeline.quality import Gate
    from polyport.ports.input import InputPort, Received
    from polyport.store import Store

_RULES_SHOWN = 5

_OUTCOMES: dict[type[PolyportError], Outcome] = {QualityError: "refused", ConflictError: "conflict"}


@dataclass(frozen=True, slots=True)
class Job:
    """What a build needs to know."""

    product: DataProduct
    store: Store
    engine: Engine
    state: Path
    """Folder for `raw/`, `quarantine/`, `logs/` and `scratch/`."""
    inputs: Mapping[str, InputPort]
    clock: Callable[[], datetime]
    run: str
    from_run: str = ""
    """Rebuild from the raw data of that run; empty: ask the input ports."""
    working: Callable[[Activity | None], None] = lambda _: None
    """Hears of each step as it begins, and None as it ends."""
    secrets: Collection[str] = ()
    """Values that must not reach a log."""
    seen: Seen = field(default_factory=Seen)
    """Filled by the build, for its lineage."""
    tombstones: Callable[[], Tombstones | None] = lambda: None
    """What was erased before, as it stands when it is asked: it must not come back."""

    def folder(self, kind: str) -> Path:
        """The product's own folder of `raw`, `quarantine` or `logs`."""
        return self.state / kind / safe(self.product.id)


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What came of a build that did not fail."""

    run: Run
    snapshot: Snapshot | None
    """What is served now: newly published, or the one before where nothing had changed."""
    report: QualityReport | None
    previous: Snapshot | None


@dataclass(slots=True)
class _Attempt:
    """A build that is going on."""

    job: Job
    started_at: datetime
    started: float = field(default_factory=time.perf_counter)
    steps: list[Step] = field(default_factory=list)
    """As they end."""
    published: Snapshot | None = None

    def run(self, outcome: Outcome, snapshot: Snapshot | None = None, *, error: str = "") -> Run:
        """The run as it stands."""
        return Run(
            id=self.job.run,
            product=self.job.product.id,
            started_at=self.started_at,
            seconds=round(time.perf_counter() - self.started, 6),
            outcome=outcome,
            steps=tuple(self.steps),
            snapshot=snapshot.id if snapshot else "",
            error=error,
        )


def build(job: Job, report: Callable[[Step], None]) -> BuildResult:
    """The product's newest snapshot, built and published; `report` hears of each step as it ends.

    An error that stops the build says in `unchanged` what is still served, and carries the `run` (and the quality
    `report`, where the gate stopped it) as attributes of these names. Its log is written by then.

    Raises:
        InputError: An input port could not be read, or brought something other than what was expected.
        TransformError: The product's own SQL or Python failed.
        QualityError: The quality gate held the data back.
        ConflictError: Someone else published first.
        StoreError: No space, or no permission.
    """
    attempt = _Attempt(job, job.clock())
    try:
        with in_use(job.folder("raw")):
            return _build(attempt, report)
    except PolyportError as error:
        _tell(error, attempt)
        raise


def _build(attempt: _Attempt, report: Callable[[Step], None]) -> BuildResult:
    job = attempt.job
    try:
        with (
            RunLog(job.folder("logs"), job.run, clock=job.clock, secrets=job.secrets) as log,
            _logged(log, attempt),
            scratch_folder(job.state / "scratch", job.run) as scratch,
            _served(job) as previous,
        ):
            recorder = Recorder(
                log, report, attempt.steps, working=job.working, fraction=job.engine.progress
            )
            return _stages(attempt, recorder, scratch=scratch, previous=previous)
    finally:
        _forget(job)


def _forget(job: Job) -> None:
    """What was erased before is taken out of what this run has kept: its source may have sent it again."""
    erased = job.tombstones()
    if erased is not None and erased.marks is not None:
        raw = RawStore(job.folder("raw"), clock=job.clock)
        folders = (job.folder("quarantine"), job.folder("logs"))
        clean.run(raw, folders, erased.marks, name=job.run, erasure=f"run {job.run}")


def _stages(
    attempt: _Attempt, recorder: Recorder, *, scratch: Path, previous: Snapshot | None
) -> BuildResult:
    job = attempt.job
    work = plan(job.product, dialect=job.engine.dialect)
    raw = RawStore(job.folder("raw"), incoming=scratch / "incoming", clock=job.clock)
    received = _receive(job, raw, recorder)
    job.seen.plan, job.seen.received = work, received
    inputs, columns = read(
        job.inputs, received, engine=job.engine, scratch=scratch, recorder=recorder
    )
    job.seen.columns = {f"{RAW}{name}": names for name, names in columns.items()}
    with job.store.stage(job.product.id, job.run) as staging:
        bench = Bench(
            job.engine,
            job.product.home,
            job.run,
            scratch,
            job.folder("quarantine") / safe(job.run),
            staging,
            recorder,
            job.product.objects,
            received,
            job.tombstones(),
        )
        written = run_steps(work, inputs, bench)
        _tell_erased(bench)
        checked = _check(bench, written, job, previous)
        raw.accept(job.run)
        identities = {name: got.identity for name, got in received.items()}
        return _publish(attempt, bench, checked, previous=previous, inputs=identities)


def _tell_erased(bench: Bench) -> None:
    """How many rows of what was erased before came again, and were left out."""
    if bench.erased is None:
        return
    with bench.recorder.step("check", "erasures") as entry:
        entry.erased = sum(bench.left_out.values())
        entry.detail = "no row of what was erased"
        if entry.erased:
            entry.status = "warn"
            entry.detail = (
                f"{plural(entry.erased, 'row')} of what was erased left out; the sources still send it, "
                "and what was received of them is not kept"
            )


def _receive(job: Job, raw: RawStore, recorder: Recorder) -> Mapping[str, Received]:
    if job.from_run:
        return receive_again(job.inputs, raw, recorder, run=job.run, from_run=job.from_run)
    return receive(job.inputs, raw, recorder, run=job.run)


def _check(
    bench: Bench, written: Mapping[str, Written], job: Job, previous: Snapshot | None
) -> Gate:
    """What the quality gate let through; refused rows and the report are kept in either case."""
    with bench.recorder.step("check", "quality") as entry:
        checked = gate(
            {name: Candidate(bench.objects[name], table) for name, table in written.items()},
            product=job.product,
            run=job.run,
            now=job.clock(),
            before=before(job.store, previous),
            engine=job.engine,
            quarantine=bench.quarantine,
        )
        results = checked.report.results
        count = Counter(r.status for r in results)
        entry.detail = ", ".join(
            [
                f"{plural(len(results), 'check')}: {count['pass']:,} passed",
                *([plural(count["warn"], "warning")] if count["warn"] else []),
                *([f"{count['listed']:,} listed"] if count["listed"] else []),
            ]
        )
        entry.refused = {r.rule: r.rows_refused for r in results if r.rows_refused}
        entry.status = "warn" if count["warn"] else "pass"
        entry.notes = tuple(map(_sentence, _broken(results)))
        if checked.report.stops:
            raise _held_back(checked.report, erased=bool(bench.left_out))
    return checked


def _broken(results: Iterable[RuleResult]) -> list[RuleResult]:
    return [r for r in results if r.status in ("warn", "fail", "error")]


def _sentence(result: RuleResult) -> str:
    column = f".{result.column}" if result.column else ""
    reason = f": {result.reason}" if result.reason else ""
    return f"{result.dataset}{column}: {result.sentence}{reason} ({result.status})"


def _held_back(report: QualityReport, *, erased: bool) -> QualityError:
    stops = report.stops
    shown = "; ".join(map(_sentence, stops[:_RULES_SHOWN]))
    more = f"; and {len(stops) - _RULES_SHOWN} more" if len(stops) > _RULES_SHOWN else ""
    holds = "holds" if len(stops) == 1 else "hold"
    fix = "correct the data, or change the rule or its severity in the contract"
    if erased:
        fix += "; rows of what was erased are left out: steps and rules must do without them"
    error = QualityError(
        f"{len(stops)} of {plural(len(report.results), 'check')} {holds} the data back: {shown}{more}",
        where=stops[0].dataset,
        fix=fix,
    )
    error.report = report
    return error


def _publish(
    attempt: _Attempt,
    bench: Bench,
    checked: Gate,
    *,
    previous: Snapshot | None,
    inputs: Mapping[str, str],
) -> BuildResult:
    job, version = attempt.job, attempt.job.product.version
    with bench.recorder.step("publish", job.product.id) as entry:
        tables = {n: _table(c) for n, c in checked.candidates.items()}
        change = compare(tables, store=job.store, previous=previous, engine=job.engine)
        if previous is not None and not change.any and previous.version == version:
            snapshot = previous
            entry.detail = f"nothing has changed; snapshot {previous.sequence} stays"
        else:
            attempt.published = snapshot = job.store.publish(
                job.product.id,
                change.tables,
                staging=bench.staging,
                inputs=inputs,
                parent=previous.id if previous else None,
                version=version,
            )
            entry.detail = f"snapshot {snapshot.sequence}: {change.told}"
        entry.rows = sum(d.rows for d in snapshot.datasets.values())
    if attempt.published is None:
        return BuildResult(attempt.run("unchanged", snapshot), snapshot, checked.report, previous)
    report = replace(checked.report, snapshot=snapshot.id)
    return BuildResult(attempt.run("published", snapshot), snapshot, report, previous)


def _table(candidate: Candidate) -> Table:
    written = candidate.table
    return Table(written.files, written.schema, written.rows, candidate.object.key)


@contextmanager
def _served(job: Job) -> Iterator[Snapshot | None]:
    """The newest snapshot, held while the build compares with it and shares its files."""
    with ExitStack() as stack:
        held = None
        with suppress(NotFoundError):
            held = stack.enter_context(job.store.hold(job.product.id, LATEST))
        yield held


@contextmanager
def _logged(log: RunLog, attempt: _Attempt) -> Iterator[None]:
    """The run's first and last lines; an error of any kind is written whole before it goes on."""
    job = attempt.job
    begun = {"version": job.product.version, "from_run": job.from_run}
    log.event("", job.product.id, message="build started", details=begun)
    try:
        yield
    except BaseException as error:
        _log_failure(log, error, attempt)
        raise
    log.event("", job.product.id, message="build ended")


def _log_failure(log: RunLog, error: BaseException, attempt: _Attempt) -> None:
    last = attempt.steps[-1] if attempt.steps and attempt.steps[-1].status == "error" else None
    if isinstance(error, PolyportError):
        error.unchanged = _unchanged(attempt)
    try:
        log.error(error, stage=last.stage if last else "", name=last.name if last else "")
    except PolyportError as second:  # the first error is the one to tell
        error.add_note(f"the log is incomplete: {second}")


def _tell(error: PolyportError, attempt: _Attempt) -> None:
    """Put on the error what is unchanged, and the run."""
    error.unchanged = error.unchanged or _unchanged(attempt)
    outcome: Outcome = "failed"
    for kind, name in _OUTCOMES.items():
        outcome = name if isinstance(error, kind) else outcome
    if attempt.published is not None:
        outcome = "published"
    error.run = attempt.run(outcome, attempt.published, error=str(error))


def _unchanged(attempt: _Attempt) -> str:
    if attempt.published is not None:
        return f"snapshot {attempt.published.sequence} was published and is served"
    try:
        served = attempt.job.store.snapshot(attempt.job.product.id, LATEST)
    except NotFoundError:
        return "nothing was published; there is no snapshot yet"
    except (
        PolyportError
    ):  # a store that cannot be read says so itself; here its state is only unknown
        return "nothing was published"
    return f"nothing was published; snapshot {served.sequence} is still served"
