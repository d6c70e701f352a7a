"""What held a build back: the rows that break the rules which stopped it, kept for the owner to look at."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from polyport.errors import QueryError
from polyport.expression import quote
from polyport.pipeline.quality import aside, measure, sentences
from polyport.pipeline.quality.checks import Duplicates, Orphans, Rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from polyport.engine import Engine
    from polyport.model import QualityReport, Relation, RuleResult
    from polyport.pipeline.quality.checks import Check
    from polyport.pipeline.quality.types import Candidate

MOST = 1_000
"""How many rows are kept for each rule."""
SUFFIX = "-held"


def keep(
    report: QualityReport,
    checks: Mapping[str, Sequence[Check]],
    candidates: Mapping[str, Candidate],
    *,
    run: str,
    engine: Engine,
    folder: Path,
) -> QualityReport:
    """Write them, a file for each dataset; the report, which says where that could not be done.

    Args:
        report: What the gate found.
        checks: By dataset.
        candidates: The datasets, as they would have been published.
        run: The run's id.
        engine: Reads and writes them.
        folder: The run's quarantine; made when it is needed.

    Raises:
        StoreError: No space, or no permission.
    """
    failed = {(r.dataset, r.rule) for r in report.results if r.status == "fail" and r.rows_failing}
    relations = {name: candidate.relation for name, candidate in candidates.items()}
    problems: dict[str, str] = {}
    for name, made in checks.items():
        broken = [c for c in made if (name, c.rule) in failed]
        sql, params = _rows(broken, candidates[name], run)
        if not sql:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        try:
            engine.write(sql, _bound(relations, name, params), folder / file_name(name, run))
        except QueryError as error:
            problems[name] = f"its rows could not be kept: {error.message}"
    return replace(report, results=tuple(_noted(r, problems, failed) for r in report.results))


def file_name(dataset: str, run: str) -> str:
    """What the file of a dataset's rows is called."""
    plain = aside.file_name(dataset, run)
    return f"{plain.removesuffix('.parquet')}{SUFFIX}.parquet"


def _rows(checks: Sequence[Check], candidate: Candidate, run: str) -> tuple[str, Mapping[str, Any]]:
    """A SELECT of the rows that break any of the checks, once for each; empty where none is of single rows."""
    names = candidate.table.schema.names
    own = {n: f"{n}_" if n in aside.ADDED else n for n in names}
    shown = ", ".join(f"{quote(n)} AS {quote(called)}" for n, called in own.items())
    parts, params = [], {"_run": run}
    for at, check in enumerate(checks):
        found = broken(check)
        if found is None:
            continue
        params |= {**found[1], f"_rule{at}": check.rule, f"_reason{at}": check.sentence}
        told = (
            f"CAST($_rule{at} AS VARCHAR) AS _rule, CAST($_reason{at} AS VARCHAR) AS _reason, "
            "CAST($_run AS VARCHAR) AS _run"
        )
        parts.append(f"(SELECT {shown}, {told} FROM ({found[0]}) LIMIT {MOST})")
    return " UNION ALL ".join(parts), params


def broken(check: Check) -> tuple[str, Mapping[str, Any]] | None:
    """A SELECT of the rows that break a compiled rule, and its parameters; None for one that is not of single rows.

    Of rows that repeat each other it gives all.
    """
    name = quote(check.dataset)
    match check.how:
        case Rows(condition):
            return f"SELECT * FROM {name} WHERE {condition.sql}", condition.params
        case Duplicates(columns):
            keys, filled = ", ".join(map(quote, columns)), measure.filled(columns)
            again = f"SELECT {keys} FROM {name} WHERE {filled} GROUP BY {keys} HAVING count(*) > 1"
            return f"SELECT * FROM {name} WHERE {filled} AND ({keys}) IN ({again})", {}
        case Orphans():
            return f"SELECT _from.* FROM {name} AS _from {measure.orphaned(check.how)}", {}
    return None


def _bound(
    relations: Mapping[str, Relation], name: str, params: Mapping[str, Any]
) -> Mapping[str, Relation]:
    """The relations, with the values of the statement: a write takes none besides."""
    return {**relations, name: replace(relations[name], params=params)}


def _noted(
    result: RuleResult, problems: Mapping[str, str], failed: set[tuple[str, str]]
) -> RuleResult:
    if result.dataset not in problems or (result.dataset, result.rule) not in failed:
        return result
    return replace(result, reason=sentences.joined(result.reason, problems[result.dataset]))
