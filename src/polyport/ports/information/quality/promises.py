"""SLA properties of the contracts: kept, broken, or not measured, each with target and measured value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

from polyport.descriptor.spans import span
from polyport.descriptor.text import plural
from polyport.errors import QualityError
from polyport.ports.information.quality.oors import moment
from polyport.ports.pages import minute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from polyport.descriptor.spans import Span
    from polyport.descriptor.types import Contract, DataProduct, SlaProperty
    from polyport.ledger import Ledger
    from polyport.model import QualityReport, Run, Snapshot
    from polyport.ports.information.quality.sight import Sight

Status: TypeAlias = Literal["kept", "broken", "not measured"]
DAYS = 30
"""How far back requests and builds count."""
GRACE = 0.05
"""The share of a frequency by which a build may be late: its start moves by seconds, or minutes."""
_REPORTS, _RUNS = 30, 1_000
_FAULT = 500
"""HTTP status from which on the product was not available."""
_FAULTY = "too many requests were answered 5xx"


@dataclass(frozen=True, slots=True)
class Promise:
    """One SLA property, as it stands now."""

    contract: str
    property: str
    target: str
    """`at most 26 hours`."""
    status: Status = "not measured"
    measured: str = ""
    reason: str = ""
    """Why it is broken, or not measured."""
    dataset: str = ""
    """Empty: all of the contract's."""
    column: str = ""
    """What it was told by; empty: not by a column."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a product now."""

    now: datetime
    reports: Sequence[QualityReport]
    """Newest first."""
    runs: Sequence[Run]
    snapshots: Sequence[Snapshot]
    """The kept ones, oldest first."""
    requests: Sequence[Mapping[str, Any]]
    """See `ledger.Usage.requests`: of the last `DAYS`."""

    @property
    def served(self) -> QualityReport | None:
        """The newest report that let its data through; None where there is none."""
        return next((r for r in self.reports if not r.stops), None)


def gather(ledger: Ledger, product: str, snapshots: Sequence[Snapshot], now: datetime) -> Evidence:
    """What is known of `product`.

    Raises:
        StoreError: The ledger cannot be read.
    """
    since = (now - timedelta(days=DAYS)).date()
    return Evidence(
        now,
        ledger.reports(product, limit=_REPORTS),
        ledger.runs(product, limit=_RUNS),
        snapshots,
        ledger.usage.requests(product, since=since),
    )


Found: TypeAlias = "tuple[Status, str, str]"
"""Status, what was measured, and why."""


def promises(product: DataProduct, evidence: Evidence) -> list[Promise]:
    """Each SLA property of the output ports' contracts; of those on age, one for each dataset."""
    used = dict.fromkeys(p.contract_id for p in product.outputs)
    contracts = [product.contracts[i] for i in used if i in product.contracts]
    return [
        promise
        for contract in contracts
        for sla in contract.sla
        for promise in _judged(contract, sla, evidence)
    ]


def told(promise: Promise, sight: Sight) -> Promise | None:
    """The promise as a viewer may be told it; None where it may not."""
    why = promise.reason if not promise.column else ""  # with a column it is replaced below
    said = f"{promise.dataset} {promise.property} {promise.target} {why}"
    if not sight.names_nothing_hidden(said) or not (
        sight.seen is None or not promise.dataset or sight.sees(promise.dataset)
    ):
        return None
    shown = promise
    if not sight.values:  # free text may quote rows
        shown = replace(shown, description="")
    if not promise.column or sight.values:
        return shown
    if not sight.sees(promise.dataset, promise.column):
        why = "it is told by a column that you do not see"
        return replace(shown, status="not measured", measured="", reason=why, column="")
    return replace(shown, measured="", reason="the newest value is of all rows: told to the owner")


def _judged(contract: Contract, sla: SlaProperty, evidence: Evidence) -> Iterator[Promise]:
    name = sla.property.strip().lower()
    made = Promise(contract.id, sla.property, _said(sla), description=sla.description)
    try:
        if name in _AGES:
            yield from _ages(contract, sla, made, evidence)
        elif name in _JUDGES:
            target, judge = _JUDGES[name]
            status, measured, reason = judge(sla, evidence)
            made = replace(made, target=target(sla))
            yield replace(made, status=status, measured=measured, reason=reason)
        else:
            yield replace(made, reason="Polyport does not measure this property")
    except QualityError as error:
        yield replace(made, reason=f"{error.message}: {error.fix}" if error.fix else error.message)


def _said(sla: SlaProperty) -> str:
    return f"{sla.value} {sla.unit}".strip()


# Age of the data


def _ages(
    contract: Contract, sla: SlaProperty, made: Promise, evidence: Evidence
) -> Iterator[Promise]:
    length = span(sla.value, sla.unit)
    made = replace(made, target=f"at most {length} old")
    for name in _datasets(contract, sla):
        column = _time_column(evidence.served, name)
        status, measured, reason = _age(evidence, name, column, length)
        found = replace(made, dataset=name, column=column)
        yield replace(found, status=status, measured=measured, reason=reason)


def _datasets(contract: Contract, sla: SlaProperty) -> list[str]:
    """Those that its `element` names, by their names or by their columns'; all where it names none."""
    named = [part.strip() for part in sla.element.split(",") if part.strip()]
    return [
        o.name
        for o in contract.objects
        if not named
        or any(e == o.name or e.startswith(f"{o.name}.") for e in named)
        or any(p.name in named for p in o.properties)
    ]


def _time_column(report: QualityReport | None, dataset: str) -> str:
    """The column that the gate judged freshness by; empty: by the time of the last change."""
    found = [r for r in report.results if r.rule == f"{dataset}.freshness"] if report else []
    return found[0].column if found else ""


def _age(evidence: Evidence, dataset: str, column: str, length: Span) -> Found:
    facts = evidence.served.tables.get(dataset) if evidence.served else None
    if facts is None:
        return "not measured", "", "nothing was published yet"
    if column and not facts.newest:
        return "broken", "", f"{column} has no value at all"
    at = moment(facts.newest) if column else facts.updated_at
    measured = f"{lasting(evidence.now - at)} old"
    if at >= length.before(evidence.now):
        return "kept", measured, ""
    what = f"the newest {column} is {facts.newest}" if column else "its rows last changed"
    return "broken", measured, what if column else f"{what} at {minute(at)}"


# How often, how long, how reliably


def _frequency(sla: SlaProperty, evidence: Evidence) -> Found:
    """By the builds of the last days that brought or confirmed data: no wait may be longer than promised."""
    allowed = evidence.now - span(sla.value, sla.unit).before(evidence.now)
    allowed += allowed * GRACE
    starts = sorted(r.started_at for r in evidence.runs if r.outcome in ("published", "unchanged"))
    if not starts:
        return "not measured", "", "nothing was built yet"
    recent = [s for s in starts if s >= evidence.now - timedelta(days=DAYS)]
    before = starts[len(starts) - len(recent) - 1 : len(starts) - len(recent)]
    waits = [later - earlier for earlier, later in pairwise([*before, *recent, evidence.now])]
    last, longest = evidence.now - starts[-1], max(waits, default=evidence.now - starts[-1])
    measured = f"last built {lasting(last)} ago, longest wait {lasting(longest)}"
    if longest <= allowed:
        return "kept", measured, ""
    return "broken", measured, f"a build came {lasting(longest)} after the one before, or is due"


def _retention(sla: SlaProperty, evidence: Evidence) -> Found:
    """A snapshot that is younger than promised must still be there: all back to the first, or far enough back."""
    if not evidence.snapshots:
        return "not measured", "", "nothing was published yet"
    oldest = evidence.snapshots[0]
    age = lasting(evidence.now - oldest.committed_at)
    measured = f"snapshot {oldest.sequence}, the oldest kept, is {age} old"
    reaches = oldest.committed_at <= span(sla.value, sla.unit).before(evidence.now)
    if reaches or oldest.sequence == 1:
        return "kept", measured, ""
    return "broken", measured, "younger snapshots than that have expired"


def _availability(sla: SlaProperty, evidence: Evidence) -> Found:
    faults = _faults(evidence)
    if faults is None:
        return _UNASKED
    return _requests(100 - faults, kept=100 - faults >= _percent(sla))


def _error_rate(sla: SlaProperty, evidence: Evidence) -> Found:
    faults = _faults(evidence)
    if faults is None:
        return _UNASKED
    return _requests(faults, kept=faults <= _percent(sla))


def _requests(share: Fraction, *, kept: bool) -> Found:
    measured = f"{float(share):.6g} % of requests in {DAYS} days"
    return ("kept", measured, "") if kept else ("broken", measured, _FAULTY)


def _faults(evidence: Evidence) -> Fraction | None:
    """The percentage of requests that the product failed to answer (5xx), exactly; None where there were none."""
    asked = sum(row["requests"] for row in evidence.requests)
    faults = sum(r["requests"] for r in evidence.requests if int(r["status"]) >= _FAULT)
    return Fraction(faults * 100, asked) if asked else None


def _percent(sla: SlaProperty) -> Fraction:
    text, unit = str(sla.value).strip(), sla.unit.strip().lower()
    try:
        found = Fraction(Decimal(text.removesuffix("%").strip()))
    except (ArithmeticError, ValueError):
        raise QualityError(f"{text!r} is no percentage", fix="value: 99.5, unit: percent") from None
    if unit not in ("", "%", "percent", "percentage") or not 0 <= found <= 100:  # noqa: PLR2004
        raise QualityError(f"{_said(sla)!r} is no percentage", fix="value: 99.5, unit: percent")
    return found


def _available_from(sla: SlaProperty, evidence: Evidence) -> Found:
    day = _day(sla)
    if evidence.now < day:
        return "not measured", "", "the day has not come"
    if not evidence.snapshots:
        return "broken", "", "nothing is published"
    return "kept", f"snapshot {evidence.snapshots[-1].sequence} is served", ""


def _until(sla: SlaProperty, evidence: Evidence) -> Found:
    day = _day(sla)
    if evidence.now >= day:
        return "not measured", "", "the day has passed"
    if not evidence.snapshots:
        return "broken", "", "nothing is published"
    return "kept", f"{lasting(day - evidence.now)} to go", ""


def _day(sla: SlaProperty) -> datetime:
    given = sla.value
    if isinstance(given, date) and not isinstance(given, datetime):
        return datetime.combine(given, time(), UTC)
    try:
        found = given if isinstance(given, datetime) else datetime.fromisoformat(str(given).strip())
    except ValueError:
        raise QualityError(f"{given!r} is no day", fix="value: 2026-12-31") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def lasting(length: timedelta) -> str:
    """`40 minutes`, `26 hours`, `12 days`: in the largest unit of which there are two."""
    seconds = max(int(length.total_seconds()), 0)
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{seconds // size:,} {unit}s"
    return plural(seconds, "second")


_UNASKED: Found = ("not measured", "", f"nobody asked in the last {DAYS} days")
_AGES = frozenset({"latency", "ly", "freshness", "datafreshness"})
_Target: TypeAlias = "Callable[[SlaProperty], str]"
_Judge: TypeAlias = "Callable[[SlaProperty, Evidence], Found]"


def _every(sla: SlaProperty) -> str:
    length = span(sla.value, sla.unit)
    return f"every {length.unit}" if length.count == 1 else f"every {length}"


def _for(sla: SlaProperty) -> str:
    return f"at least {span(sla.value, sla.unit)}"


def _least(sla: SlaProperty) -> str:
    return f"at least {float(_percent(sla)):g} %"


def _most(sla: SlaProperty) -> str:
    return f"at most {float(_percent(sla)):g} %"


def _from(sla: SlaProperty) -> str:
    return f"from {_day(sla):%Y-%m-%d} on"


def _to(sla: SlaProperty) -> str:
    return f"until {_day(sla):%Y-%m-%d}"


_KINDS: tuple[tuple[tuple[str, ...], _Target, _Judge], ...] = (
    (("frequency", "fy", "updatefrequency"), _every, _frequency),
    (("retention", "re"), _for, _retention),
    (("availability", "av", "uptime"), _least, _availability),
    (("errorrate", "er"), _most, _error_rate),
    (("generalavailability", "ga"), _from, _available_from),
    (("endofsupport", "es", "endoflife", "el"), _to, _until),
)
_JUDGES = {name: (target, judge) for names, target, judge in _KINDS for name in names}
