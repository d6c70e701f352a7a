"""From what was counted to what the report says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from polyport.descriptor.text import plural
from polyport.errors import QualityError, QueryError
from polyport.model import RuleResult
from polyport.pipeline.quality import limits, measure, sentences
from polyport.pipeline.quality.checks import Duplicates, Orphans, RowCount, Rows, Scalar, Settled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.engine import Engine
    from polyport.model import Relation, Status
    from polyport.pipeline.quality.checks import Check
    from polyport.pipeline.quality.measure import Grouped
    from polyport.pipeline.quality.types import Candidate

_STOPS = frozenset({"", "error", "critical", "blocker"})
_OPEN = frozenset({"", "public", "open", "internal"})


def broken(severity: str) -> Literal["warn", "fail"]:
    """The status of a broken rule: `error`, `critical`, `blocker` and none at all stop the publish."""
    return "fail" if severity.strip().lower() in _STOPS else "warn"


def restricted(candidate: Candidate, columns: Sequence[str]) -> str:
    """The first of the columns whose classification keeps its values out of a report; empty where there is none."""
    closed = {p.name for p in candidate.object.properties if p.classification.lower() not in _OPEN}
    return next((c for c in columns if c in closed), "")


@dataclass(frozen=True, slots=True)
class Counted:
    """A dataset as it would be published, with what its scan found."""

    candidate: Candidate
    counts: Mapping[str, Any]
    engine: Engine
    relations: Mapping[str, Relation]
    grouped: Grouped

    @property
    def rows(self) -> int:
        """Its rows."""
        found = self.counts.get("rows")
        return found if isinstance(found, int) else self.candidate.table.rows


def result(check: Check, counted: Counted) -> RuleResult:
    """What `check` found; a check that could not be run is an error, never a pass."""
    if isinstance(check.how, Settled):
        status = broken(check.severity) if check.how.status == "fail" else check.how.status
        return _result(check, status, counted, reason=check.how.reason)
    try:
        measured = _measure(check, counted)
        return _judged(check, measured, counted)
    except (QueryError, QualityError) as error:
        return _result(check, "error", counted, reason=sentences.cannot(error))


def _measure(check: Check, counted: Counted) -> Any:
    match check.how:
        case RowCount():
            return counted.rows
        case Duplicates(columns):
            return counted.grouped.repeated(check.dataset, columns)
        case Orphans():
            return measure.orphans(counted.engine, check.dataset, check.how, counted.relations)
        case Scalar():
            return measure.scalar(counted.engine, check.how, counted.relations)
    found = counted.counts[check.term]
    if isinstance(found, QueryError):
        raise found
    return found


def in_unit(check: Check, failing: int, rows: int) -> Any:
    """Failing rows in the unit of the check's limit."""
    return limits.percent(failing, rows) if check.limit.unit == "percent" else failing


def _judged(check: Check, found: Any, counted: Counted) -> RuleResult:
    counts_rows = isinstance(check.how, Rows | Duplicates | Orphans)
    failing = found if counts_rows else 0
    measured = in_unit(check, found, counted.rows) if counts_rows else found
    if check.limit.holds(measured):
        return _result(check, "pass", counted, measured=measured, failing=failing)
    reason = _why(check, found, counted) if counts_rows else f"it is {_amount(check, found)}"
    return _result(
        check, broken(check.severity), counted, measured=measured, failing=failing, reason=reason
    )


def _amount(check: Check, found: Any) -> str:
    return (
        plural(found, "row")
        if isinstance(check.how, RowCount)
        else sentences.value(limits.shown(found))
    )


def _why(check: Check, failing: int, counted: Counted) -> str:
    return describe(
        check, failing, counted.candidate, engine=counted.engine, relations=counted.relations
    )


def describe(
    check: Check,
    failing: int,
    candidate: Candidate,
    *,
    engine: Engine,
    relations: Mapping[str, Relation],
) -> str:
    """`1,102 rows (34 %): ` and up to five offending values or keys, unless they are classified.

    Raises:
        QueryError: As `Engine.query`.
    """
    key = [k for k in candidate.object.key if k in candidate.table.schema.names]
    if not failing:
        return plural(failing, "row")
    closed = restricted(candidate, measure.shown(check.how, key))
    if closed:
        return f"{sentences.failing(failing, candidate.table.rows)}; {closed} is classified, so none is shown"
    found = measure.examples(engine, check.dataset, check.how, key=key, relations=relations)
    return sentences.failing(failing, candidate.table.rows, found)


def _result(
    check: Check,
    status: Status,
    counted: Counted,
    *,
    measured: Any = None,
    failing: int = 0,
    reason: str = "",
) -> RuleResult:
    run = not isinstance(check.how, Settled) and status != "error"
    return RuleResult(
        rule=check.rule,
        dataset=check.dataset,
        column=check.column,
        kind=check.kind,
        status=status,
        sentence=check.sentence,
        dimension=check.dimension,
        severity=check.severity,
        measured=limits.shown(measured),
        expected="" if isinstance(check.how, Settled) else check.limit.text,
        rows_checked=counted.rows if run else 0,
        rows_failing=failing,
        reason=reason,
        **_compared(check),
    )


def _compared(check: Check) -> dict[str, Any]:
    """What was compared with what; nothing where nothing was measured."""
    if isinstance(check.how, Settled):
        return {}
    threshold = {check.limit.operator: limits.plain(check.limit.threshold)}
    return {"metric": check.measures, "threshold": threshold, "unit": check.limit.unit}
