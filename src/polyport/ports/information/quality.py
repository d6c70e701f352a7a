"""`quality` (observability): the last and all earlier quality reports, as far as the viewer may be told."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

from polyport.errors import NotFoundError
from polyport.ledger.records import as_document
from polyport.ports.http import VARY, HttpError, guarded, negotiate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from polyport.descriptor.types import Contract, DataProduct
    from polyport.model import Principal, QualityReport, RuleResult
    from polyport.ports.management import Content, ManagementContext

JSON = "application/json"
OORS = "application/vnd.bitol.oors+json"
_HEADERS = {"Vary": VARY, "Cache-Control": "private, no-cache"}
_ALL = 1_000_000
_OF_THE_SCHEMA = ("schema", "built-in")
"""Kinds of rules whose words are ours: on a whole dataset they are told where they name nothing hidden."""


class QualityPort:
    """See `docs/quality.md`."""

    name: ClassVar[str] = "quality"
    content: ClassVar[Content] = "observability"

    def __init__(self, context: ManagementContext) -> None:
        self.context = context

    def routes(self) -> Sequence[BaseRoute]:
        """`/quality`, `/quality/reports` and `/quality/reports/{run}`."""
        return [
            Route("/quality", guarded(self._report)),
            Route("/quality/reports", guarded(self._reports)),
            Route("/quality/reports/{run}", guarded(self._report)),
        ]

    async def _report(self, request: Request) -> Response:
        return await run_in_threadpool(self._one, request)

    async def _reports(self, request: Request) -> Response:
        return await run_in_threadpool(self._list, request)

    def _one(self, request: Request) -> Response:
        sight = self._sight(request)
        media = negotiate(request, (JSON, OORS))
        if media is None:
            raise HttpError(406, f"offered: {JSON}, {OORS}")
        reports = self._kept()
        run = request.path_params.get("run", reports[0].run if reports else "")
        report = next((r for r in reports if r.run == run), None)
        if report is None:
            raise NotFoundError(
                f"no quality report of run {run!r}" if run else "no quality report yet",
                fix="polyport build",
            )
        shown = sight.of(report)
        body = (
            oors(shown, self.context.product)
            if media == OORS
            else {**as_document(shown), "_links": self._links(run)}
        )
        return JSONResponse(body, headers=_HEADERS, media_type=media)

    def _list(self, request: Request) -> Response:
        sight = self._sight(request)
        listed = [
            {
                "run": r.run,
                "at": r.at.isoformat(),
                "snapshot": r.snapshot,
                "held_back": bool(r.stops),
                "results": _counts(sight.of(r).results),
                "rows": {name: t.rows for name, t in sight.of(r).tables.items()},
                "_links": self._links(r.run),
            }
            for r in self._kept()
        ]
        return JSONResponse({"reports": listed}, headers=_HEADERS)

    def _kept(self) -> Sequence[QualityReport]:
        return self.context.ledger.reports(self.context.product.id, limit=_ALL)

    def _links(self, run: str) -> dict[str, Any]:
        base = f"{self.context.base}/quality"
        return {"self": {"href": f"{base}/reports/{run}"}, "reports": {"href": f"{base}/reports"}}

    def _sight(self, request: Request) -> Sight:
        principal, purpose = self.context.identify(request)
        product = self.context.product
        if principal.steers(product.id):
            return Sight(values=principal.owns(product.id))
        plain: dict[str, frozenset[str]] = {}
        seen: dict[str, frozenset[str]] = {}
        for name, columns, masked in self._seen(principal, purpose):
            seen[name], plain[name] = columns, columns - masked
        hidden = {name for name in product.objects if name not in seen}
        for name, promised in product.objects.items():
            hidden |= {p.name for p in promised.properties} - seen.get(name, frozenset())
        return Sight(seen, plain, frozenset(hidden), whole=not hidden and seen == plain)

    def _seen(
        self, principal: Principal, purpose: str
    ) -> Iterator[tuple[str, frozenset[str], frozenset[str]]]:
        try:
            view = self.context.open(principal, purpose=purpose)
        except NotFoundError:  # nothing is published yet, so nothing is seen
            return
        with view:
            for name in view.datasets:
                yield name, frozenset(view.schema(name).names), frozenset(view.masked(name))


@dataclass(frozen=True, slots=True)
class Sight:
    """How much of a report somebody may be told."""

    seen: Mapping[str, frozenset[str]] | None = None
    """Dataset -> columns that are shown; None: whoever steers the product, all."""
    plain: Mapping[str, frozenset[str]] | None = None
    """Those that are shown unmasked."""
    hidden: frozenset[str] = frozenset()
    """Names of datasets and columns that are not shown."""
    whole: bool = False
    """Whether nothing is hidden or masked."""
    values: bool = False
    """Whether values of the data may be told, whatever the row: to the owner."""

    def of(self, report: QualityReport) -> QualityReport:
        """The report without what may not be told."""
        results = tuple(self._told(r) for r in report.results if self._may(r))
        tables = {
            name: facts if self.values else replace(facts, newest="", gaps=())
            for name, facts in report.tables.items()
            if self.seen is None or name in self.seen
        }
        return replace(report, results=results, tables=tables)

    def _may(self, result: RuleResult) -> bool:
        if self.seen is None:
            return True
        columns = self.seen.get(result.dataset)
        if columns is None:
            return False
        if result.column:
            return result.column in columns
        return self.whole or (result.kind in _OF_THE_SCHEMA and self._plain(result))

    def _told(self, result: RuleResult) -> RuleResult:
        if self.values:
            return result
        measured = None if isinstance(result.measured, str) else result.measured
        shown = replace(result, reason="", measured=measured)
        if self.seen is None or self._plain(result):
            return shown
        generic = f"{result.column} keeps a rule ({result.dimension or result.kind})"
        return replace(
            shown, rule=f"{result.dataset}.{result.column}", sentence=generic, expected=""
        )

    def _plain(self, result: RuleResult) -> bool:
        """Whether the rule's words speak only of what is shown unmasked."""
        plain = (self.plain or {}).get(result.dataset, frozenset())
        said = f"{result.rule} {result.sentence} {result.expected}"
        return (not result.column or result.column in plain) and not any(
            name in said for name in self.hidden
        )


def _counts(results: Sequence[RuleResult]) -> dict[str, int]:
    kinds = [r.status for r in results]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def oors(report: QualityReport, product: DataProduct) -> list[dict[str, Any]]:
    """Bitol OORS documents (RFC 0018, draft): one a contract, and one of what no contract asks for."""
    contracts = {
        o.name: c for p in product.outputs if (c := product.contract(p)) for o in c.objects
    }
    groups: dict[str, list[RuleResult]] = {}
    for result in report.results:
        contract = contracts.get(result.dataset) if result.kind != "built-in" else None
        groups.setdefault(contract.id if contract else "", []).append(result)
    known = {c.id: c for c in contracts.values()}
    return [_document(report, known.get(name), found) for name, found in groups.items()]


def _document(
    report: QualityReport, contract: Contract | None, results: Sequence[RuleResult]
) -> dict[str, Any]:
    name = f"{report.product}/{report.run}/{contract.id if contract else ''}"
    made: dict[str, Any] = {
        "apiVersion": "v0.1.0",
        "kind": "ObservabilityResults",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
        "observedAt": report.at.isoformat(),
        "source": {
            "process": f"polyport build {report.product}",
            "id": report.run,
            "vendor": "polyport",
        },
        "results": [_result(r) for r in results],
    }
    if contract is not None:
        made["contract"] = {
            "contractID": contract.id,
            "standard": "ODCS",
            "version": contract.version,
        }
    return made


def _result(result: RuleResult) -> dict[str, Any]:
    column = f"{result.dataset}.{result.column}"
    target = (
        {"resourceType": "column", "resourceIdentifier": column}
        if result.column
        else {"resourceType": "table", "resourceIdentifier": result.dataset}
    )
    numeric = not isinstance(result.measured, str | None)
    measure = (
        {"metric": "value", "value": result.measured}
        if numeric
        else {"metric": "failingRows", "value": result.rows_failing, "unit": "rows"}
    )
    return {
        "id": result.rule,
        "type": "check",
        "name": result.sentence,
        "status": "skip" if result.status == "listed" else result.status,
        "severity": result.severity,
        **({"dimension": result.dimension} if result.dimension else {}),
        "target": target,
        **({} if result.status in ("listed", "error") else {"measure": measure}),
    }
