"""Runs and quality reports as JSON documents, and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from polyport.model import QualityReport, RuleResult, Run, Step, TableFacts

if TYPE_CHECKING:
    from collections.abc import Mapping


def dump(record: Run | QualityReport) -> str:
    """The record as JSON text; times as ISO 8601."""
    return json.dumps(as_document(record), ensure_ascii=False)


def as_document(record: Run | QualityReport | Step | RuleResult) -> dict[str, Any]:
    """The record as plain values for JSON."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(record), default=_plain))
    return found


def load_run(text: str) -> Run:
    """The run that `dump` wrote."""
    document = json.loads(text)
    steps = tuple(Step(**step) for step in document.pop("steps"))
    return Run(**_timed(document, "started_at"), steps=steps)


def load_report(text: str) -> QualityReport:
    """The quality report that `dump` wrote."""
    document = json.loads(text)
    results = tuple(RuleResult(**result) for result in document.pop("results"))
    tables = {
        name: TableFacts(**{**_timed(facts, "updated_at"), "gaps": tuple(facts["gaps"])})
        for name, facts in document.pop("tables").items()
    }
    return QualityReport(**_timed(document, "at"), results=results, tables=tables)


def _timed(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {**document, name: datetime.fromisoformat(document[name])}


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
