"""What goes into the quality gate, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from polyport.descriptor.types import SchemaObject
    from polyport.engine import Written
    from polyport.model import QualityReport, Relation


@dataclass(frozen=True, slots=True)
class Candidate:
    """A dataset that is written and not yet visible."""

    object: SchemaObject
    table: Written

    @property
    def relation(self) -> Relation:
        """Its rows, for the engine."""
        return self.table.relation


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate found, and what may be published if nothing stops it."""

    report: QualityReport
    candidates: Mapping[str, Candidate]
    """As given, or rewritten without the rows that were set aside."""
    quarantined: Mapping[str, Path] = field(default_factory=dict)
    """By dataset: a Parquet file of the rows set aside, with `_rule`, `_reason` and `_run`."""


@dataclass(frozen=True, slots=True)
class Before:
    """The previous snapshot; all empty for the first build."""

    tables: Mapping[str, Relation] = field(default_factory=dict)
    rows_history: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Row counts of up to 30 earlier snapshots."""
    updated_at: Mapping[str, datetime] = field(default_factory=dict)
    """When each dataset's rows last changed."""
