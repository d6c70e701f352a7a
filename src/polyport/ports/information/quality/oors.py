"""Quality reports as Bitol OORS documents (RFC 0018, a draft). As it asks, they never hold a value of the data."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polyport.descriptor.types import Contract, DataProduct
    from polyport.model import QualityReport, RuleResult

_WHY = {
    "fail": "The rule is broken, and nothing was published.",
    "warn": "The rule is broken; its severity let the publish go on.",
    "error": "The rule could not be run, so nothing is known, and nothing was published.",
    "listed": "There was nothing to run, or nothing to compare with.",
}


def oors(report: QualityReport, product: DataProduct, address: str = "") -> list[dict[str, Any]]:
    """One document for each contract, and one for what no contract asks for.

    `address`: where the report is, for a reference to failing rows; empty: none is given.
    """
    contracts = {
        o.name: c for p in product.outputs if (c := product.contract(p)) for o in c.objects
    }
    groups: dict[str, list[RuleResult]] = {}
    for result in report.results:
        contract = contracts.get(result.dataset) if result.kind != "built-in" else None
        groups.setdefault(contract.id if contract else "", []).append(result)
    known = {c.id: c for c in contracts.values()}
    return [_document(report, known.get(name), found, address) for name, found in groups.items()]


def _document(
    report: QualityReport, contract: Contract | None, results: Sequence[RuleResult], address: str
) -> dict[str, Any]:
    name = f"{report.product}/{report.run}/{contract.id if contract else ''}"
    made: dict[str, Any] = {
        "apiVersion": "v0.1.0",
        "kind": "ObservabilityResults",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
        "observedAt": report.at.isoformat(),
        "source": {
            "process": f"polyport build {report.product}",
            "runID": report.run,
            "vendor": "polyport",
        },
        "results": _numbered([_result(r, report.at, address) for r in results]),
    }
    if contract is not None:
        made["contract"] = {
            "contractID": contract.id,
            "standard": "ODCS",
            "version": contract.version,
        }
    return made


def _numbered(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with ids that differ: rules whose words are not told are called alike."""
    seen: Counter[str] = Counter()
    for each in results:
        name = each["id"]
        seen[name] += 1
        each["id"] = name if seen[name] == 1 else f"{name}-{seen[name]}"
    return results


def _result(result: RuleResult, at: datetime, address: str) -> dict[str, Any]:
    column = f"{result.dataset}.{result.column}"
    target = (
        {"resourceType": "column", "resourceIdentifier": column}
        if result.column
        else {"resourceType": "table", "resourceIdentifier": result.dataset}
    )
    measure, message = _measure(result, at), _message(result, address)
    return {
        "id": result.rule,
        "type": "metric" if result.kind == "built-in" else "check",
        "name": result.sentence,
        "status": "skip" if result.status == "listed" else result.status,
        "severity": result.severity,
        **({"dimension": result.dimension} if result.dimension else {}),
        "target": target,
        **({"measure": measure} if measure else {}),
        **({"message": message} if message else {}),
    }


def _measure(result: RuleResult, at: datetime) -> dict[str, Any]:
    """What was measured, against what; empty where nothing was. Reports of old builds say less."""
    if result.status in ("listed", "error"):
        return {}
    value = _value(result, at)
    if value is None:
        return {}
    threshold = {"threshold": dict(result.threshold)} if result.threshold else {}
    unit = {"unit": result.unit} if result.unit else {}
    return {"metric": result.metric or "value", "value": value, **threshold, **unit}


def _value(result: RuleResult, at: datetime) -> float | None:
    """The number measured. A text is a value of the data, or a time: of a time its age is told, in seconds."""
    measured = result.measured
    if isinstance(measured, str):
        return _age(measured, at) if result.metric == "age" else None
    return None if measured is None else _whole(measured)


def _whole(measured: float) -> float:
    return int(measured) if float(measured).is_integer() else measured


def _age(text: str, at: datetime) -> float:
    return int((at - moment(text)).total_seconds())


def moment(text: str) -> datetime:
    """Until when the newest value speaks: a date until its day ends (UTC)."""
    if "T" not in text:
        day = datetime.combine(date.fromisoformat(text), time(), UTC)
        return day + timedelta(days=1)
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _message(result: RuleResult, address: str) -> str:
    """Why, in words of ours, and where the rows are: no text that may quote one."""
    said = [_WHY[result.status]] if result.status in _WHY else []
    if result.rows_failing:
        checked = "" if result.rows_checked is None else f" of {result.rows_checked}"
        said.append(f"{result.rows_failing}{checked} rows break it.")
    if result.rows_refused:
        said.append(f"{result.rows_refused} rows were set aside, and are not in the snapshot.")
    if address and (result.rows_failing or result.rows_refused):
        said.append(f"Rows: {address}/rows")
    return " ".join(said)
