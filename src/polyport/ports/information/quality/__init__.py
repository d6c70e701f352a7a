"""`quality` (observability): the last and all earlier quality reports, as far as the viewer may be told."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlencode

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from polyport.errors import NotFoundError, QueryError
from polyport.ledger.records import as_document
from polyport.ports.http import PERSONAL, chosen, guarded, pairs, threaded
from polyport.ports.information.quality import rows, trends
from polyport.ports.information.quality.oors import oors
from polyport.ports.information.quality.page import groups_page, report_page, rows_page
from polyport.ports.information.quality.promises import Promise, gather, promises, told
from polyport.ports.information.quality.sight import sight_of
from polyport.ports.management import Operation
from polyport.ports.pages import HTML

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from polyport.model import QualityReport
    from polyport.ports.information.quality.rows import Asked, Finder, Group
    from polyport.ports.information.quality.sight import Sight
    from polyport.ports.management import Content, ManagementContext

JSON = "application/json"
OORS = "application/vnd.bitol.oors+json"
_SHOWN, _MOST = 30, 1_000
"""How many reports a page shows, and a list can be asked for."""


class QualityPort:
    """See `docs/quality.md`."""

    name: ClassVar[str] = "quality"
    content: ClassVar[Content] = "observability"

    def __init__(self, context: ManagementContext) -> None:
        self.context = context

    def routes(self) -> Sequence[BaseRoute]:
        """`/quality`, and below it `reports`, `reports/{run}` and `reports/{run}/rows`."""
        return [
            Route("/quality", guarded(threaded(self._report))),
            Route("/quality/reports", guarded(threaded(self._reports))),
            Route("/quality/reports/{run}", guarded(threaded(self._report))),
            Route("/quality/reports/{run}/rows", guarded(threaded(self._rows))),
        ]

    def operations(self) -> Sequence[Operation]:
        """See `Described.operations`."""
        reports, limit = "/quality/reports", {"limit": f"How many, newest first; at most {_MOST}"}
        rows_of = {
            "rule": "Rows that break the rule of this id",
            "dataset": "Of this dataset, where two rules have the id",
            "set_aside": "Rows that the dataset or `cleanse/STEP` of this name set aside",
            "limit": f"Rows a page; at most {rows.MOST}",
            "offset": "How many rows to pass over",
        }
        return [
            Operation("GET", "/quality", "The report of the last build, and the promises now"),
            Operation("GET", reports, "The newest reports, a point each", limit),
            Operation("GET", f"{reports}/{{run}}", "One report"),
            Operation("GET", f"{reports}/{{run}}/rows", "What rows failed there", rows_of),
        ]

    def _report(self, request: Request) -> Response:
        media = chosen(request, (JSON, OORS, HTML))
        newest = "run" not in request.path_params
        finder = self._finder(request)
        promised = self._promises(finder.sight) if newest else None
        if media == HTML:
            earlier = [finder.sight.of(r) for r in self._kept(_SHOWN)]
            return report_page(self.context, finder, earlier, promised)
        shown = finder.sight.of(finder.report)
        base = f"{self.context.base}/quality/reports/{quote(shown.run, safe='')}"
        if media == OORS:
            body: Any = oors(shown, self.context.product, base)
        else:
            said = {} if promised is None else {"sla": [asdict(p) for p in promised]}
            body = {**as_document(shown), **said, "_links": self._links(shown.run)}
        return JSONResponse(body, headers=PERSONAL, media_type=media)

    def _reports(self, request: Request) -> Response:
        chosen(request, (JSON,))
        limit = _limit(request)
        sight = sight_of(self.context, *self.context.identify(request))
        listed = [
            {
                "run": r.run,
                "at": r.at.isoformat(),
                "snapshot": r.snapshot,
                "held_back": bool(r.stops),
                **trends.point(sight.of(r)),
                "_links": self._links(r.run),
            }
            for r in self._kept(limit)
        ]
        return JSONResponse({"reports": listed}, headers=PERSONAL)

    def _rows(self, request: Request) -> Response:
        media = chosen(request, (JSON, HTML))
        wanted = rows.asked(request)
        finder = self._finder(request)
        base = f"{self.context.base}/quality/reports/{quote(finder.report.run, safe='')}/rows"
        if wanted.index:
            groups = finder.groups()
            if media == HTML:
                return groups_page(self.context, finder, groups)
            body = {"groups": [_group(g, base) for g in groups], "_links": _self(base)}
            return JSONResponse(body, headers=PERSONAL)
        found = finder.page(wanted)
        links = _pages(wanted, found.group, base)
        if media == HTML:
            given = {**links, "offset": str(wanted.offset)}
            return rows_page(self.context, finder, found, given)
        head = {"run": finder.report.run, "_links": {n: {"href": a} for n, a in links.items()}}
        return Response(rows.document(found, head), headers=PERSONAL, media_type=JSON)

    def _finder(self, request: Request) -> Finder:
        """What finds the rows of the report that is asked for, for whoever asks."""
        principal, purpose = self.context.identify(request)
        sight = sight_of(self.context, principal, purpose)
        report = self._one(request.path_params.get("run", ""))
        return rows.Finder(self.context, self.context.failing, principal, purpose, sight, report)

    def _one(self, run: str) -> QualityReport:
        found = self.context.ledger.report(self.context.product.id, run=run)
        if found is None:
            raise NotFoundError(
                f"no quality report of run {run!r}" if run else "no quality report yet",
                fix="GET .../quality/reports lists those that are kept"
                if run
                else "its owner builds it",
            )
        return found

    def _kept(self, limit: int) -> Sequence[QualityReport]:
        return self.context.ledger.reports(self.context.product.id, limit=limit)

    def _promises(self, sight: Sight) -> list[Promise]:
        context = self.context
        known = gather(
            context.ledger, context.product.id, context.open.snapshots(), context.clock()
        )
        found = promises(context.product, known)
        return [each for p in found if (each := told(p, sight)) is not None]

    def _links(self, run: str) -> dict[str, Any]:
        base = f"{self.context.base}/quality/reports"
        here = f"{base}/{quote(run, safe='')}"
        return {**_self(here), "reports": {"href": base}, "rows": {"href": f"{here}/rows"}}


def _limit(request: Request) -> int:
    given = dict(pairs(request))
    unknown = [name for name in given if name != "limit"]
    if unknown:
        raise QueryError(f"the parameter {unknown[0]!r} is not known", fix="known: limit")
    return rows.number(given.get("limit", "100"), "limit", 1, _MOST)


def _group(group: Group, base: str) -> dict[str, Any]:
    links = _self(f"{base}?{group.query}") if group.query else {}
    known = rows.counted(group) if not group.rule else {"rows_all": group.rows}
    named = {"rule": group.rule} if group.rule else {"set_aside": group.set_aside}
    return {
        "title": group.title,
        "dataset": group.dataset,
        **named,
        **known,
        **({"_links": links} if links else {}),
    }


def _self(address: str) -> dict[str, Any]:
    return {"self": {"href": address}}


def _pages(wanted: Asked, group: Group, base: str) -> dict[str, str]:
    """This page, the one before and the one after."""

    def at(offset: int) -> str:
        return f"{base}?{group.query}&{urlencode({'limit': wanted.limit, 'offset': offset})}"

    found = {"self": at(wanted.offset)}
    if wanted.offset:
        found["prev"] = at(max(wanted.offset - wanted.limit, 0))
    later = wanted.offset + wanted.limit
    if later < group.shown and later <= rows.DEEPEST:
        found["next"] = at(later)
    return found


__all__ = ["JSON", "OORS", "QualityPort"]
