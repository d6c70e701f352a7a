"""The report and its rows as pages: what the templates are given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.types as pt

from polyport.ports.information.quality import trends
from polyport.ports.pages import page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.responses import Response

    from polyport.model import QualityReport, RuleResult, TableFacts
    from polyport.ports.information.quality.promises import Promise
    from polyport.ports.information.quality.rows import Finder, Group, Page
    from polyport.ports.information.quality.sight import Sight
    from polyport.ports.information.quality.trends import Sparkline
    from polyport.ports.management import ManagementContext

_HERE = Path(__file__).parent
_STATES = {
    "pass": ("good", "✓", "holds"),
    "warn": ("warn", "!", "broken, a warning"),
    "fail": ("bad", "✗", "broken"),
    "error": ("bad", "?", "could not be run"),
    "listed": ("none", "·", "not judged"),
    "kept": ("good", "✓", "kept"),
    "broken": ("bad", "✗", "broken"),
    "not measured": ("none", "·", "not measured"),
    "published": ("good", "✓", "published"),
    "unchanged": ("none", "=", "nothing had changed"),
    "held back": ("bad", "✗", "held back"),
}
"""Status -> its colour, its mark and its word: none of them alone."""
_WORST = {"fail": 0, "error": 1, "warn": 2}


@dataclass(frozen=True, slots=True)
class Table:
    """One dataset on the page."""

    name: str
    facts: TableFacts | None
    lines: Mapping[str, Sparkline]
    broken: Sequence[RuleResult]
    """The worst first."""
    held: Sequence[RuleResult]
    listed: Sequence[RuleResult]
    failing: int
    allowed: int
    """Of `failing` those within what the rule lets pass."""
    refused: int

    @property
    def judged(self) -> int:
        """How many rules were judged."""
        return len(self.broken) + len(self.held)


def report_page(
    context: ManagementContext,
    finder: Finder,
    earlier: Sequence[QualityReport],
    promised: Sequence[Promise] | None,
) -> Response:
    """The page of a report; `earlier`: reports as the viewer may be told them, newest first."""
    shown = finder.sight.of(finder.report)
    back = [r for r in earlier if r.at <= shown.at]
    links = {(g.dataset, g.rule): g.query for g in finder.breaking()}
    served = next((r.snapshot for r in earlier if r.snapshot), "")
    values = {
        **_common(context, finder),
        "verdict": _verdict(shown),
        "held": bool(finder.report.stops),
        "snapshot": _sequence(shown.snapshot),
        "served": _sequence(served),
        "promises": promised,
        "tables": [_table(name, shown, back) for name in _names(shown)],
        "aside": finder.aside(),
        "links": links,
        "reports": [_row(r) for r in earlier],
        "here": f"{context.base}/quality/reports/{shown.run}",
    }
    return page(_HERE, "report.html", values)


def rows_page(
    context: ManagementContext, finder: Finder, found: Page, links: Mapping[str, str]
) -> Response:
    """Rows of one group."""
    offset = int(links["offset"])
    values = {
        **_common(context, finder),
        "groups": None,
        "group": found.group,
        "snapshot": _sequence(found.snapshot),
        "masked": found.masked,
        "columns": found.table.column_names,
        "numeric": {f.name for f in found.table.schema if _numeric(f.type)},
        "rows": found.cells(),
        "rules": found.rules,
        "reasons": found.reasons,
        "first": offset + 1,
        "last": offset + found.table.num_rows,
        "before": links.get("prev", ""),
        "after": links.get("next", ""),
        "here": "",
    }
    return page(_HERE, "rows.html", values)


def groups_page(context: ManagementContext, finder: Finder, groups: Sequence[Group]) -> Response:
    """What there are rows of."""
    here = f"{context.base}/quality/reports/{finder.report.run}/rows"
    values = {**_common(context, finder), "groups": groups, "here": here}
    return page(_HERE, "rows.html", values)


def _common(context: ManagementContext, finder: Finder) -> dict[str, Any]:
    return {
        "product": context.product,
        "base": context.base,
        "report": finder.sight.of(finder.report),
        "viewer": viewer(context, finder.sight),
        "limited": not finder.sight.values,
        "state_of": _STATES.__getitem__,
        "width": trends.WIDTH,
        "height": trends.HEIGHT,
    }


def viewer(context: ManagementContext, sight: Sight) -> str:
    """What whoever looks may be told, in words."""
    if sight.values:
        return "You see all of it, as the owner."
    if sight.seen is None:
        return "You steer the product: you see rules and counts, and no value of its data."
    known = context.product.objects
    if not sight.seen:
        return "You may read nothing of this product, so no rule of it is told to you."
    columns = sum(len(o.properties) for o in known.values())
    seen = sum(len(c) for c in sight.seen.values())
    masked = [
        f"{d}.{c}" for d, found in sight.seen.items() for c in sorted(found - _plain(sight, d))
    ]
    words = f"You see what your roles may see: {len(sight.seen)} of {len(known)} datasets, {seen} of {columns} columns"
    return f"{words}; masked: {', '.join(masked)}." if masked else f"{words}."


def _plain(sight: Sight, dataset: str) -> frozenset[str]:
    return (sight.plain or {})[dataset]


def _verdict(report: QualityReport) -> dict[str, str]:
    judged = [r.status for r in report.results if r.status != "listed"]
    held = judged.count("pass")
    worst = min((s for s in judged if s in _WORST), key=_WORST.__getitem__, default="pass")
    if not judged:
        return {"status": "listed", "text": "no rule is told"}
    many = "rule" if len(judged) == 1 else "rules"
    return {"status": worst, "text": f"{held:,} of {len(judged):,} {many} hold"}


def _names(report: QualityReport) -> list[str]:
    return list(dict.fromkeys([*report.tables, *(r.dataset for r in report.results)]))


def _table(name: str, report: QualityReport, back: Sequence[QualityReport]) -> Table:
    mine = [r for r in report.results if r.dataset == name]
    broken = sorted((r for r in mine if r.status in _WORST), key=lambda r: _WORST[r.status])
    return Table(
        name,
        report.tables.get(name),
        trends.lines(back, name) if name in report.tables else {},
        broken,
        [r for r in mine if r.status == "pass"],
        [r for r in mine if r.status == "listed"],
        trends.failing(report, name),
        sum(r.rows_failing for r in mine if r.status == "pass" and r.kind != "built-in"),
        trends.refused(report, name),
    )


def _row(report: QualityReport) -> dict[str, Any]:
    published = "published" if report.snapshot else "unchanged"
    return {
        "run": report.run,
        "at": report.at,
        "outcome": "held back" if report.stops else published,
        "counts": trends.counts(report.results),
        "rows": sum(t.rows for t in report.tables.values()),
        "failing": sum(trends.failing(report, name) for name in report.tables),
    }


def _sequence(snapshot: str) -> str:
    """41 of `00000041-6a6bdf75`."""
    head = snapshot.partition("-")[0]
    return str(int(head)) if head.isdigit() else snapshot


def _numeric(kind: Any) -> bool:
    return bool(pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind))
