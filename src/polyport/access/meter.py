"""Counts one read, and records it once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from polyport.model import Read

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from polyport.access.view import View

Outcome: TypeAlias = Literal["ok", "denied", "failed", "cut"]


@dataclass(slots=True)
class Meter:
    """The rows and bytes of one read so far."""

    record: Callable[[Read], None]
    read: dict[str, Any]
    """The fields of `Read` that are known from the start."""
    started: float = field(default_factory=time.perf_counter)
    rows: int = 0
    bytes: int = 0
    done: bool = False

    def count(self, batch: pa.RecordBatch) -> None:
        """Add what leaves."""
        self.rows += batch.num_rows
        self.bytes += batch.nbytes

    def finish(self, outcome: Outcome) -> None:
        """Record the read; what comes after the first call does nothing."""
        if self.done:
            return
        self.done = True
        self.record(
            Read(
                at=datetime.now(UTC),
                rows=self.rows,
                bytes=self.bytes,
                seconds=time.perf_counter() - self.started,
                outcome=outcome,
                **self.read,
            )
        )


def promised_by(contract: str, view: View) -> View:
    """The view; what is read through it is recorded as read under `contract`."""
    record = view.record
    view.record = lambda read: record(replace(read, contract=contract))
    return view
