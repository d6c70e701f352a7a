"""The gate: every rule of every dataset, over what would be published."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from polyport.errors import QueryError
from polyport.model import QualityReport, RuleResult, TableFacts
from polyport.pipeline.quality import aside, facts, held, measure, results, sentences
from polyport.pipeline.quality.checks import Rows
from polyport.pipeline.quality.compile import compile_checks
from polyport.pipeline.quality.facts import Scene
from polyport.pipeline.quality.types import Gate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from polyport.descriptor.types import Contract, DataProduct
    from polyport.engine import Engine
    from polyport.pipeline.quality.checks import Check
    from polyport.pipeline.quality.types import Before, Candidate


@dataclass(frozen=True, slots=True)
class _Scanned:
    """A dataset after its scan, and after rows were set aside."""

    scene: Scene
    checks: Sequence[Check]
    counts: Mapping[str, Any]
    refused: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    """By rule: how many rows it refused, and why."""
    kept: str = ""
    """Why rows that a rule would set aside were left."""
    file: Path | None = None


def gate(  # noqa: PLR0913 - one call with all that a run knows
    candidates: Mapping[str, Candidate],
    *,
    product: DataProduct,
    run: str,
    now: datetime,
    before: Before,
    engine: Engine,
    quarantine: Path,
) -> Gate:
    """What every rule found, and the candidates as they may be published if nothing stops it.

    Each dataset is read once for all its row rules and facts, and once more if rows were set aside; each set of
    unique columns, each relationship and each `sql` rule takes a query of its own. Nothing is raised for a rule that
    fails or cannot be run: the report says so, and `report.stops` holds the publish back.

    Args:
        candidates: By dataset name.
        product: Says what is promised of them.
        run: The run's id; part of the quarantine files' names.
        now: UTC; what freshness is judged by.
        before: The previous snapshot.
        engine: Runs the checks.
        quarantine: A folder for rows set aside; made when it is needed.

    Raises:
        QueryError: The previous snapshot could not be read, or rows not set aside.
        StoreError: No space, or no permission, to set rows aside.
    """
    scanned = {
        name: _scan(
            Scene(candidate, _contract(product, name), now, before, engine),
            compile_checks(candidate, datasets=candidates, engine=engine),
            run=run,
            quarantine=quarantine,
        )
        for name, candidate in candidates.items()
    }
    kept = {name: s.scene.candidate for name, s in scanned.items()}
    relations = {name: candidate.relation for name, candidate in kept.items()}
    grouped = measure.Grouped(engine, relations)
    found: list[RuleResult] = [*_absent(product, candidates)]
    tables: dict[str, TableFacts] = {}
    for name, at in scanned.items():
        counted = results.Counted(at.scene.candidate, at.counts, engine, relations, grouped)
        found += [_refused(results.result(check, counted), at) for check in at.checks]
        tables[name], built_in = facts.collect(at.scene, {**at.counts, "rows": counted.rows})
        found += built_in
    report = QualityReport(product.id, run, now, tuple(found), tables)
    if report.stops:
        checks = {name: at.checks for name, at in scanned.items()}
        report = held.keep(report, checks, kept, run=run, engine=engine, folder=quarantine)
    return Gate(report, kept, {name: at.file for name, at in scanned.items() if at.file})


def _contract(product: DataProduct, dataset: str) -> Contract | None:
    """The contract that promises the dataset: an output port's, if one does."""
    ports = [
        product.contracts[p.contract_id]
        for p in product.outputs
        if p.contract_id in product.contracts
    ]
    return next((c for c in (*ports, *product.contracts.values()) if c.object(dataset)), None)


def _absent(product: DataProduct, candidates: Mapping[str, Candidate]) -> list[RuleResult]:
    """A failure for each dataset that is promised and was not built."""
    return [
        RuleResult(
            rule=f"{name}.columns",
            dataset=name,
            column="",
            kind="schema",
            status="fail",
            sentence=f"{name} is there",
            dimension="completeness",
            reason="promised by the contract of an output port, and not built",
        )
        for name in product.objects
        if name not in candidates
    ]


def _scan(scene: Scene, checks: Sequence[Check], *, run: str, quarantine: Path) -> _Scanned:
    terms = [measure.ALL_ROWS, *facts.terms(scene), *measure.terms(checks)]
    counts = measure.tally(scene.engine, scene.name, scene.candidate.relation, terms)
    strict = [c for c in checks if c.quarantine and _breaks(c, counts)]
    if not strict:
        return _Scanned(scene, checks, counts)
    refused = {c.rule: (counts[c.term], _reason(c, counts, scene)) for c in strict}
    set_aside = aside.set_aside(
        scene.candidate, strict, run=run, engine=scene.engine, folder=quarantine
    )
    if set_aside is None:
        return _Scanned(
            scene, checks, counts, refused, kept="not set aside, for no row would remain"
        )
    rest = replace(scene, candidate=set_aside.candidate)
    counts = measure.tally(scene.engine, scene.name, rest.candidate.relation, terms)
    return _Scanned(rest, checks, counts, refused, file=set_aside.file)


def _breaks(check: Check, counts: Mapping[str, Any]) -> bool:
    found, rows = counts.get(check.term, 0), counts["rows"]
    if (
        not isinstance(check.how, Rows)
        or isinstance(found, QueryError)
        or isinstance(rows, QueryError)
    ):
        return False
    return not check.limit.holds(results.in_unit(check, found, rows))


def _reason(check: Check, counts: Mapping[str, Any], scene: Scene) -> str:
    relations = {scene.name: scene.candidate.relation}
    failing = counts[check.term]
    return results.describe(
        check, failing, scene.candidate, engine=scene.engine, relations=relations
    )


def _refused(result: RuleResult, at: _Scanned) -> RuleResult:
    if result.rule not in at.refused or result.kind == "schema":
        return result
    rows, reason = at.refused[result.rule]
    if at.file is None:
        return replace(result, reason=sentences.joined(result.reason, at.kept))
    return replace(result, rows_refused=rows, reason=f"set aside {reason}")
