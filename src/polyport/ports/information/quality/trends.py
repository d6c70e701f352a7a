"""Reports over time: rows, failures and freshness, one point a report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyport.ports.information.quality.oors import moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from polyport.model import QualityReport, RuleResult, TableFacts

WIDTH, HEIGHT = 120, 28
_EDGE = 3


def counts(results: Sequence[RuleResult]) -> dict[str, int]:
    """Status -> how many rules have it, in the order of their coming."""
    return dict(Counter(r.status for r in results))


def point(report: QualityReport) -> dict[str, Any]:
    """What a report says in numbers; as far as it was told."""
    return {
        "results": counts(report.results),
        "rows": {name: facts.rows for name, facts in report.tables.items()},
        "rows_failing": {n: failing(report, n) for n in report.tables},
        "rows_refused": {n: refused(report, n) for n in report.tables},
        "age_seconds": {n: age(facts, report.at) for n, facts in report.tables.items()},
    }


def failing(report: QualityReport, dataset: str) -> int:
    """Rows that broke a rule of the contract; one that breaks two counts twice."""
    return sum(
        r.rows_failing for r in report.results if r.dataset == dataset and r.kind != "built-in"
    )


def refused(report: QualityReport, dataset: str) -> int:
    """Rows that rules set aside; one that broke two counts twice."""
    return sum(r.rows_refused for r in report.results if r.dataset == dataset)


def age(facts: TableFacts, at: datetime) -> int:
    """Seconds since the newest value of the time column as far as it is told, else since the rows last changed."""
    since = moment(facts.newest) if facts.newest else facts.updated_at
    return max(int((at - since).total_seconds()), 0)


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A small line of numbers over time, with the words that say the same."""

    points: str
    """As an SVG polyline has them, in a box of `WIDTH` by `HEIGHT`."""
    text: str
    short: str
    """The same where the line is seen."""
    trend: bool
    """Whether it is of several reports: of one there is nothing to draw."""


def sparkline(values: Sequence[int], what: str, *, unit: str = "") -> Sparkline:
    """The line of `values`, oldest first; at least one."""
    low, high = min(values), max(values)
    step = (WIDTH - 2 * _EDGE) / max(len(values) - 1, 1)
    span, room = (high - low) or 1, HEIGHT - 2 * _EDGE

    def place(at: int, value: int) -> tuple[float, float]:
        x = _EDGE + at * step
        y = HEIGHT / 2 if low == high else HEIGHT - _EDGE - (value - low) / span * room
        return round(x, 1), round(y, 1)

    places = [place(at, value) for at, value in enumerate(values)]
    points = " ".join(f"{x:g},{y:g}" for x, y in places)
    return Sparkline(points, _words(values, what, unit), _short(values, unit), len(values) > 1)


def _short(values: Sequence[int], unit: str) -> str:
    if len(values) == 1:
        return "the first report"
    many = f"{len(values)} reports"
    same = min(values) == max(values)
    said = f"{values[-1]:,}" if same else f"{values[0]:,} to {values[-1]:,}"
    return f"{said} {unit}, {many}" if unit else f"{said}, {many}"


def _words(values: Sequence[int], what: str, unit: str) -> str:
    more = f" {unit}" if unit else ""
    if len(values) == 1:
        return f"{what}: {values[0]:,}{more} in the one report so far"
    if min(values) == max(values):
        return f"{what}: {values[0]:,}{more} in all of {len(values)} reports"
    return (
        f"{what}: from {values[0]:,} to {values[-1]:,}{more} over {len(values)} reports, "
        f"least {min(values):,}, most {max(values):,}"
    )


def lines(reports: Sequence[QualityReport], dataset: str) -> Mapping[str, Sparkline]:
    """The lines of a dataset over `reports`, newest first; those that do not know it are left out."""
    known = [r for r in reversed(reports) if dataset in r.tables]
    hours = [age(r.tables[dataset], r.at) // 3600 for r in known]
    return {
        "rows": sparkline([r.tables[dataset].rows for r in known], "Rows"),
        "failing": sparkline([failing(r, dataset) for r in known], "Rows that break a rule"),
        "age": sparkline(hours, "Age of the newest data", unit="hours old"),
    }
