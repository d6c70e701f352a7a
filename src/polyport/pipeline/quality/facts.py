"""The facts of every report, asked or not: update time, freshness, gaps, keys gone, rows against history."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any

from polyport.descriptor.text import plural
from polyport.errors import QualityError, QueryError
from polyport.expression import quote
from polyport.model import RuleResult, TableFacts
from polyport.pipeline.quality import gaps, limits, measure, sentences, sla, values
from polyport.pipeline.quality.measure import Term
from polyport.pipeline.quality.results import broken, restricted
from polyport.pipeline.same import same_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa

    from polyport.descriptor.types import Contract
    from polyport.engine import Engine
    from polyport.pipeline.quality.sla import Promises
    from polyport.pipeline.quality.types import Before, Candidate

CHANGE_PERCENT = 50
"""How far a row count may lie from its history's median, unless `polyport.rowsChangePercent` says otherwise."""
_HISTORY = 3
_GAPS = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = "DATE '0001-01-01'", "DATE '9999-12-30'"


@dataclass(frozen=True, slots=True)
class Scene:
    """A dataset and all that its facts are told from."""

    candidate: Candidate
    contract: Contract | None
    now: datetime
    before: Before
    engine: Engine

    @property
    def name(self) -> str:
        """The dataset."""
        return self.candidate.object.name

    @property
    def promises(self) -> Promises:
        """What the SLA says of its time."""
        return sla.promises(self.candidate.object, self.candidate.table.schema, self.contract)

    @property
    def schema(self) -> pa.Schema:
        """The columns built."""
        return self.candidate.table.schema


def terms(scene: Scene) -> list[Term]:
    """What the table's scan must find out for the facts."""
    column = scene.promises.column
    if not _timely(scene, column):
        return []
    moment = f"max({quote(column)}) FILTER (WHERE {_in_calendar(column)})"
    return [Term("newest", f"epoch_us(CAST({moment} AS TIMESTAMP))")]


def _timely(scene: Scene, column: str) -> bool:
    return column in scene.schema.names and _family(scene, column) in ("date", "timestamp")


def _family(scene: Scene, column: str) -> str:
    return values.family(scene.schema.field(column).type)


def _in_calendar(column: str) -> str:
    """Infinite dates, and years that no calendar of ours has, are not told as time."""
    return f"{quote(column)} BETWEEN {_FIRST} AND {_LAST}"


def collect(scene: Scene, counts: Mapping[str, Any]) -> tuple[TableFacts, list[RuleResult]]:
    """The facts of a dataset, and each as a result of the report.

    Args:
        scene: The dataset, as it would be published.
        counts: What its scan found: `rows`, and the values of `terms`.
    """
    rows, before = counts["rows"], _rows_before(scene)
    facts = TableFacts(rows=rows, rows_before=before, updated_at=_updated_at(scene, rows, before))
    found: list[RuleResult] = [_updated(scene, facts)]
    for step in (_freshness, _gaps, _keys_gone, _history):
        facts, result = _guarded(step, scene, facts, counts)
        found.append(replace(result, rows_checked=rows))
    return facts, found


def _guarded(
    step: Callable[[Scene, TableFacts, Mapping[str, Any]], tuple[TableFacts, RuleResult]],
    scene: Scene,
    facts: TableFacts,
    counts: Mapping[str, Any],
) -> tuple[TableFacts, RuleResult]:
    try:
        return step(scene, facts, counts)
    except (QualityError, QueryError) as error:
        rule = step.__name__.removeprefix("_").replace("_", "-")
        sentence = f"{rule.replace('-', ' ')} of {scene.name}"
        return facts, replace(
            _result(scene, rule, sentence), status="error", reason=sentences.cannot(error)
        )


def _result(
    scene: Scene, rule: str, sentence: str, *, column: str = "", dimension: str = "timeliness"
) -> RuleResult:
    return RuleResult(
        rule=f"{scene.name}.{rule}",
        dataset=scene.name,
        column=column,
        kind="built-in",
        status="pass",
        sentence=sentence,
        dimension=dimension,
        severity="info",
    )


def _listed(result: RuleResult, reason: str) -> RuleResult:
    return replace(result, status="listed", reason=reason)


def _updated_at(scene: Scene, rows: int, before: int | None) -> datetime:
    earlier = scene.before.updated_at.get(scene.name)
    return earlier if earlier and rows == before and _same_rows(scene) else scene.now


def _same_rows(scene: Scene) -> bool:
    """Whether the previous snapshot has the same rows, in whatever order: asked only where their number is the same."""
    now, before = scene.candidate.relation, scene.before.tables[scene.name]
    here, there = (measure.known_columns(relation, scene.engine) for relation in (now, before))
    if here != there:
        return False
    return same_rows(now, before, here.names, scene.engine)


def _updated(scene: Scene, facts: TableFacts) -> RuleResult:
    moment = facts.updated_at.isoformat(timespec="seconds")
    return replace(
        _result(scene, "updated", f"{scene.name} was last updated at {moment}"),
        measured=moment,
        rows_checked=facts.rows,
    )


def _newest(scene: Scene, counts: Mapping[str, Any]) -> tuple[str, datetime | None]:
    """The newest value as text, and the moment up to which it speaks: a date speaks until its day ends."""
    found = counts.get("newest")
    if isinstance(found, QueryError):
        raise found
    if found is None:
        return "", None
    moment = _EPOCH + timedelta(microseconds=found)
    if _family(scene, scene.promises.column) == "date":
        return moment.date().isoformat(), moment + timedelta(days=1)
    return moment.isoformat(), moment


def _freshness(
    scene: Scene, facts: TableFacts, counts: Mapping[str, Any]
) -> tuple[TableFacts, RuleResult]:
    promises = scene.promises
    column = promises.column
    result = _result(scene, "freshness", f"{scene.name} is fresh", column=column)
    if column and not _timely(scene, column):
        there = "is no date or timestamp" if column in scene.schema.names else "is not there"
        raise QualityError(f"the SLA names {scene.name}.{column}, which {there}")
    text, moment = _newest(scene, counts)
    facts = replace(facts, newest=text)
    promise = promises.age or promises.rhythm
    if promise is None:
        return facts, _listed(
            replace(result, measured=text or None), "no SLA says how fresh it must be"
        )
    span = promise.span
    subject = f"the newest {column}" if column else "the last update"
    result = replace(
        result,
        sentence=f"{subject} of {scene.name} is at most {span} old",
        severity=promise.severity,
        expected=f"at most {span} old",
        metric="age",
        threshold={"mustBeLessOrEqualTo": _seconds(scene.now - span.before(scene.now))},
        unit="seconds",
        measured=text if column else facts.updated_at.isoformat(timespec="seconds"),
    )
    moment = moment if column else facts.updated_at
    if moment is None:
        return facts, replace(result, status=broken(promise.severity), reason=f"no {column} at all")
    if moment >= span.before(scene.now):
        return facts, result
    age = _age(scene.now - moment)
    return facts, replace(
        result, status=broken(promise.severity), reason=f"{subject} is {result.measured}, {age} ago"
    )


def _seconds(length: timedelta) -> int:
    return int(length.total_seconds())


def _age(length: timedelta) -> str:
    hours = int(length.total_seconds() // 3600)
    count, unit = (hours // 24, "day") if hours >= 48 else (hours, "hour")  # noqa: PLR2004 - two days
    return plural(count, unit)


def _gaps(scene: Scene, facts: TableFacts, _: Mapping[str, Any]) -> tuple[TableFacts, RuleResult]:
    promises = scene.promises
    column = promises.column
    result = _result(
        scene, "gaps", f"{scene.name} has no gaps in time", column=column, dimension="coverage"
    )
    if not promises.regular or not _timely(scene, column):
        return facts, _listed(result, "no time column that the SLA names or the primary key holds")
    promised = promises.rhythm
    rhythm = gaps.promised(promised.span) if promised else None
    moments = _moments(scene, column, hours=rhythm is not None and rhythm.unit == "hour")
    rhythm = rhythm or (None if promised else gaps.detected(moments))
    if rhythm is None:
        why = (
            "the SLA's frequency is too fast for it"
            if promised
            else f"{column} has no steady rhythm"
        )
        return facts, _listed(result, why)
    found = list(gaps.ranges(moments, rhythm))
    severity = promised.severity if promised else "info"
    result = replace(
        result,
        sentence=f"{column} has every {rhythm}",
        severity=severity,
        expected="= 0 gaps",
        metric="gaps",
        threshold={"mustBe": 0},
        measured=float(len(found)),
    )
    if not found:
        return facts, result
    said = f"{plural(len(found), 'gap')}: {sentences.listed(found, limit=3)}"
    return replace(facts, gaps=tuple(found[:_GAPS])), replace(
        result, status=broken(severity), reason=said
    )


def _moments(scene: Scene, column: str, *, hours: bool) -> list[int]:
    name = quote(column)
    at = (
        f"CAST(floor(epoch({name}) / 3600) AS BIGINT)"
        if hours
        else f"CAST(date_diff('day', DATE '1970-01-01', CAST({name} AS DATE)) AS BIGINT)"
    )
    sql = f"SELECT DISTINCT {at} AS at FROM {quote(scene.name)} WHERE {_in_calendar(column)} ORDER BY 1"
    found = measure.fetch(scene.engine, sql, {scene.name: scene.candidate.relation})
    return [row[0] for row in found]


def _rows_before(scene: Scene) -> int | None:
    before = scene.before.tables.get(scene.name)
    if before is None:
        return None
    sql = f"SELECT count(*) AS n FROM {quote(scene.name)}"
    ((found,),) = measure.fetch(scene.engine, sql, {scene.name: before})
    return int(found)


def _keys_gone(
    scene: Scene, facts: TableFacts, _: Mapping[str, Any]
) -> tuple[TableFacts, RuleResult]:
    key = scene.candidate.object.key
    result = _result(
        scene,
        "keys-gone",
        f"{scene.name} still has every key of the snapshot before",
        dimension="completeness",
    )
    why_not = _not_comparable(scene, key)
    if why_not:
        return facts, _listed(result, why_not)
    old = f"{scene.name}_before"
    relations = {scene.name: scene.candidate.relation, old: scene.before.tables[scene.name]}
    equal = " AND ".join(f"_now.{quote(k)} = _old.{quote(k)}" for k in key)
    gone = (
        f"FROM {quote(old)} AS _old WHERE {measure.filled(key, '_old.')} AND NOT EXISTS "
        f"(SELECT 1 FROM {quote(scene.name)} AS _now WHERE {equal})"
    )
    ((count,),) = measure.fetch(scene.engine, f"SELECT count(*) AS n {gone}", relations)
    result = replace(
        result,
        expected=limits.NONE.text,
        measured=float(count),
        metric="keysGone",
        threshold={"mustBe": 0},
        unit="rows",
    )
    if not count:
        return facts, result
    shown = ", ".join(f"left(CAST(_old.{quote(k)} AS VARCHAR), 60)" for k in key)
    order = ", ".join(str(i + 1) for i in range(len(key)))
    some: Sequence[tuple[Any, ...]] = ()
    if not restricted(scene.candidate, key):
        some = measure.fetch(
            scene.engine,
            f"SELECT {shown} {gone} ORDER BY {order} LIMIT {sentences.EXAMPLES}",
            relations,
        )
    reason = sentences.failing(
        count, facts.rows_before or 0, [" / ".join(map(sentences.value, r)) for r in some]
    )
    return replace(facts, keys_gone=count), replace(
        result, status=broken(result.severity), rows_failing=count, reason=reason
    )


def _not_comparable(scene: Scene, key: Sequence[str]) -> str:
    before = scene.before.tables.get(scene.name)
    if before is None:
        return "no snapshot before"
    if not key:
        return "no primary key"
    old = measure.known_columns(before, scene.engine)
    for column in key:
        if column not in old.names or column not in scene.schema.names:
            return f"{column} is not in both snapshots"
        if values.family(old.field(column).type) != _family(scene, column):
            return f"{column} has another type now"
    return ""


def _history(
    scene: Scene, facts: TableFacts, _: Mapping[str, Any]
) -> tuple[TableFacts, RuleResult]:
    history = scene.before.rows_history.get(scene.name, ())
    allowed = _allowed(scene)
    result = replace(
        _result(
            scene, "history", f"{scene.name} has about as many rows as before", dimension="coverage"
        ),
        severity="warning",
        measured=float(facts.rows),
        metric="rowCount",
        unit="rows",
        expected=f"within {sentences.value(allowed)} percent of the median",
    )
    if not facts.rows and (facts.rows_before or any(history[-1:])):
        return facts, replace(result, status="warn", reason="no rows, and there were some before")
    if len(history) <= _HISTORY:
        return facts, _listed(
            result, f"{len(history)} earlier snapshots, and it takes {_HISTORY + 1} to judge by"
        )
    usual = median(history)
    result = replace(result, threshold=_around(usual, allowed))
    if not usual or abs(facts.rows - usual) * 100 <= usual * allowed:
        return facts, result
    return facts, replace(
        result,
        status="warn",
        reason=f"{plural(facts.rows, 'row')}, and {usual:,.0f} are usual (median of {len(history)} snapshots)",
    )


def _around(usual: float, allowed: Any) -> dict[str, Any]:
    """Between which row counts lie within `allowed` percent of the usual."""
    part = usual * float(allowed) / 100
    return {"mustBeBetween": [usual - part, usual + part]} if usual else {}


def _allowed(scene: Scene) -> Any:
    """The percentage that the object's custom property sets, or else the contract's."""
    document = scene.contract.document if scene.contract else {}
    objects = document.get("schema") or ()
    node = next((o for o in objects if isinstance(o, dict) and o.get("name") == scene.name), {})
    name = "polyport.rowsChangePercent"
    given = next(
        (v for v in (sla.custom(node, name), sla.custom(document, name)) if v is not None), None
    )
    if given is None:
        return CHANGE_PERCENT
    found = limits.number(given)
    if found is None or found < 0:
        raise QualityError(f"{name} is a number of percent, not {given!r}")
    return found
