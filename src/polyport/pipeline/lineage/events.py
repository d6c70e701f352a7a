"""A run as OpenLineage events: START, then COMPLETE, FAIL or ABORT. Pure: nothing is read but sizes of files.

No event holds a value of the data: of an error and of a quality rule it says which, where and how many.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from polyport.errors import QualityError
from polyport.pipeline.lineage import facets
from polyport.pipeline.lineage.columns import tables, trace
from polyport.pipeline.lineage.names import input_name
from polyport.pipeline.log import redact
from polyport.pipeline.plan import RAW

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from polyport.descriptor.types import DataProduct
    from polyport.errors import PolyportError
    from polyport.model import QualityReport, Run, Snapshot
    from polyport.pipeline.lineage.columns import Traced
    from polyport.pipeline.plan import Plan
    from polyport.ports.input import Received

Event: TypeAlias = "dict[str, Any]"
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"


@dataclass(slots=True)
class Seen:
    """What a build has learned so far; filled as it goes."""

    plan: Plan | None = None
    received: Mapping[str, Received] = field(default_factory=dict)
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of each input port's table, by key."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the events of one run are made from."""

    product: DataProduct
    run: str
    identify: Callable[[str], str]
    """The global identifier of a product, by its id."""
    seen: Seen
    sizes: Callable[[Snapshot, str], Sequence[int]]
    """The bytes of each file of a dataset."""
    engine: tuple[str, str]
    """Name and version."""
    hidden: Collection[str] = ()
    """What must not be told; see `discreet.forms`."""


def started(told: Told, at: datetime) -> Event:
    """The run's START."""
    return _event(told, "START", at)


def ended(
    told: Told, run: Run, at: datetime, *, snapshot: Snapshot, report: QualityReport | None
) -> Event:
    """The run's COMPLETE: published, or found unchanged."""
    said = "nothing has changed" if run.outcome == "unchanged" else "published"
    more = {
        "polyport_outcome": facets.outcome(run.outcome, f"{said}: snapshot {snapshot.sequence}")
    }
    event = _event(told, "COMPLETE", at, more)
    event["outputs"] = _outputs(told, snapshot, report)
    return _clean(event, told.hidden)


def failed(
    told: Told, error: PolyportError, at: datetime, *, report: QualityReport | None
) -> Event:
    """The run's FAIL: an error stopped it, or the gate refused what it made."""
    outcome = error.run.outcome if error.run is not None else "failed"
    said = f"{error.code} {type(error).__name__}" + (f" at {error.where}" if error.where else "")
    if isinstance(error, QualityError) and report is not None:
        rules = ", ".join(r.rule for r in report.stops)
        said = f"{error.code}: the quality gate refused the data: {rules}"
    more = {
        "errorMessage": facets.error(said),
        "polyport_outcome": facets.outcome(outcome, error.unchanged or "nothing was published"),
    }
    event = _event(told, "FAIL", at, more)
    if report is not None:
        event["outputs"] = [
            _dataset(told, name, facets.asserted(report, name)) for name in told.product.objects
        ]
    return _clean(event, told.hidden)


def aborted(told: Told, at: datetime) -> Event:
    """The run's ABORT: it was interrupted."""
    return _event(told, "ABORT", at, {"polyport_outcome": facets.outcome("failed", "interrupted")})


def _event(told: Told, kind: str, at: datetime, more: Mapping[str, Any] | None = None) -> Event:
    run = uuid.uuid5(uuid.NAMESPACE_URL, f"{told.identify(told.product.id)}#{told.run}")
    about = {
        "processing_engine": facets.engine(*told.engine),
        "polyport_run": facets.run(told.run),
        **(more or {}),
    }
    event = {
        "eventType": kind,
        "eventTime": at.isoformat(),
        "producer": facets.PRODUCER,
        "schemaURL": SCHEMA,
        "run": {"runId": str(run), "facets": about},
        "job": {
            "namespace": told.identify(told.product.id),
            "name": "build",
            "facets": facets.job(told.product, told.seen.plan),
        },
        "inputs": _inputs(told),
        "outputs": [],
    }
    return _clean(event, told.hidden)


def _inputs(told: Told) -> list[Event]:
    ports = {port.name: port for port in told.product.inputs}
    made = []
    for name, received in told.seen.received.items():
        namespace, called = input_name(ports[name], received, told.product.id, told.identify)
        columns = told.seen.columns.get(f"{RAW}{name}", ())
        made.append(
            {
                "namespace": namespace,
                "name": called,
                "facets": {
                    **facets.version(received.identity.rpartition("@")[2] or received.identity),
                    **({"schema": facets.names(columns)} if columns else {}),
                    "polyport_inputPort": facets.input_port(name, ports[name].type),
                },
                "inputFacets": {"inputStatistics": facets.received(received)},
            }
        )
    return made


def _dataset(told: Told, name: str, more: Mapping[str, Any]) -> Event:
    about = facets.dataset(told.product, name)
    return {
        "namespace": told.identify(told.product.id),
        "name": name,
        "facets": {**about, **more},
    }


def _outputs(told: Told, snapshot: Snapshot, report: QualityReport | None) -> list[Event]:
    plan = told.seen.plan
    traced = trace(plan, told.seen.columns) if plan is not None else {}
    made = []
    for name, dataset in snapshot.datasets.items():
        sizes = told.sizes(snapshot, name)
        promised = told.product.objects.get(name)
        about = {
            **facets.version(snapshot.id),
            "schema": facets.schema(dataset.schema, promised),
            **(facets.asserted(report, name) if report else {}),
            **facets.measured(dataset, report, sizes),
        }
        if plan is not None and name in plan.datasets:
            about |= _lineage(told, plan.datasets[name], traced, dataset.schema.names)
        one = _dataset(told, name, about)
        one["outputFacets"] = {"outputStatistics": facets.written(dataset.rows, sizes)}
        made.append(one)
    return made


def _lineage(
    told: Told, key: str, traced: Mapping[str, Traced], columns: Sequence[str]
) -> dict[str, Any]:
    """The column lineage of the table `key`; where it is not known, which tables it is made from, and why."""
    ports = {port.name: port for port in told.product.inputs}

    def source(table: str) -> tuple[str, str]:
        name = table.removeprefix(RAW)
        return input_name(ports[name], told.seen.received[name], told.product.id, told.identify)

    found = traced[key]
    behind = [source(t) for t in tables(told.seen.plan, key)] if told.seen.plan else []
    said = {"polyport_lineage": facets.sources(behind, found.unknown)}
    if found.unknown or not found.columns:
        return said
    lower = {name.lower(): origins for name, origins in found.columns.items()}
    shown = {name: lower.get(name.lower(), {}) for name in columns}
    return {**said, "columnLineage": facets.columns(shown, found.whole, source)}


def _clean(event: Event, hidden: Collection[str]) -> Event:
    cleaned: Event = _redacted(event, hidden)
    return cleaned


def _redacted(value: Any, hidden: Collection[str]) -> Any:
    if isinstance(value, str):
        return redact(value, hidden)
    if isinstance(value, dict):
        return {k: _redacted(v, hidden) for k, v in value.items()}
    return [_redacted(v, hidden) for v in value] if isinstance(value, list) else value
