"""What happened (runs, quality reports, reads, requests) and what was agreed (the journal), in one SQL database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from polyport.ledger import erase
from polyport.ledger.batch import Batch
from polyport.ledger.database import METADATA, NUMBER, Words, open_database, told
from polyport.ledger.journal import Journal
from polyport.ledger.records import dump, load_report, load_run
from polyport.ledger.usage import Usage, take_over
from polyport.model import Read, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from polyport.model import QualityReport, Run

_RUNS = sa.Table(
    "runs",
    METADATA,
    sa.Column("id", Words, primary_key=True),
    sa.Column("product", Words, nullable=False, index=True),
    sa.Column("started_at", Words, nullable=False),
    sa.Column("outcome", Words, nullable=False),
    sa.Column("snapshot", Words, nullable=False),
    sa.Column("document", Words, nullable=False),
)
_REPORTS = sa.Table(
    "quality_reports",
    METADATA,
    sa.Column("run", Words, primary_key=True),
    sa.Column("product", Words, nullable=False, index=True),
    sa.Column("at", Words, nullable=False),
    sa.Column("snapshot", Words, nullable=False, index=True),
    sa.Column("document", Words, nullable=False),
)
_READS = sa.Table(
    "reads",
    METADATA,
    sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("at", Words, nullable=False, index=True),
    sa.Column("product", Words, nullable=False, index=True),
    sa.Column("port", Words, nullable=False),
    sa.Column("principal", Words, nullable=False),
    sa.Column("purpose", Words, nullable=False),
    sa.Column("snapshot", Words, nullable=False),
    sa.Column("dataset", Words, nullable=False),
    sa.Column("columns", Words, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("outcome", Words, nullable=False),
)
FLUSH_SECONDS = 0.5


class Ledger:
    """One database of records, safe over threads and processes. `close()` it: that writes what is still waiting."""

    def __init__(self, url: str | Path) -> None:
        """Open the ledger, and make its tables where they are missing.

        Args:
            url: A SQLAlchemy URL, or the path of a SQLite file.

        Raises:
            ConfigurationError: It is a text that is no URL: give a path as a `Path`; or its driver is not installed.
            StoreError: It cannot be opened.
        """
        self._engine = open_database(url)
        take_over(self._engine)
        self._waiting: Batch[Read | Request] = Batch(self._write, seconds=FLUSH_SECONDS)
        self.journal = Journal(self._engine)
        """What was agreed, configured and said."""
        self.usage = Usage(self._engine, self.flush)
        """Reads and requests, added up by day."""

    def record_run(self, run: Run) -> None:
        """Keep the run; one with the same id is replaced."""
        row = {
            "id": run.id,
            "product": run.product,
            "started_at": run.started_at.isoformat(),
            "outcome": run.outcome,
            "snapshot": run.snapshot,
            "document": dump(run),
        }
        self._replace(_RUNS, _RUNS.c.id == run.id, row)

    def record_report(self, report: QualityReport) -> None:
        """Keep the quality report; one of the same run is replaced."""
        row = {
            "run": report.run,
            "product": report.product,
            "at": report.at.isoformat(),
            "snapshot": report.snapshot,
            "document": dump(report),
        }
        self._replace(_REPORTS, _REPORTS.c.run == report.run, row)

    def record_read(self, read: Read) -> None:
        """Keep the read: in memory at once, in the database within half a second."""
        self._waiting.add(read)

    def record_request(self, request: Request) -> None:
        """Count the request: in memory at once, in the database within half a second."""
        self._waiting.add(request)

    def runs(self, product: str, *, limit: int = 100) -> Sequence[Run]:
        """The newest runs, newest first."""
        query = sa.select(_RUNS.c.document).where(_RUNS.c.product == product)
        found = self._all(query.order_by(_RUNS.c.started_at.desc()).limit(limit))
        return [load_run(row["document"]) for row in found]

    def run(self, product: str, run: str) -> Run | None:
        """One run; None where there is none of this id."""
        query = sa.select(_RUNS.c.document).where(_RUNS.c.product == product, _RUNS.c.id == run)
        found = self._all(query)
        return load_run(found[0]["document"]) if found else None

    def reports(self, product: str, *, limit: int = 100) -> Sequence[QualityReport]:
        """The newest quality reports, newest first."""
        query = sa.select(_REPORTS.c.document).where(_REPORTS.c.product == product)
        found = self._all(query.order_by(_REPORTS.c.at.desc()).limit(limit))
        return [load_report(row["document"]) for row in found]

    def report(self, product: str, snapshot: str = "", *, run: str = "") -> QualityReport | None:
        """The newest quality report, the one that let `snapshot` (its id) through, or a run's; None: there is none."""
        query = sa.select(_REPORTS.c.document).where(_REPORTS.c.product == product)
        if snapshot:
            query = query.where(_REPORTS.c.snapshot == snapshot)
        if run:
            query = query.where(_REPORTS.c.run == run)
        found = self._all(query.order_by(_REPORTS.c.at.desc()).limit(1))
        return load_report(found[0]["document"]) if found else None

    def reads(
        self, product: str, *, since: datetime | None = None, limit: int = 10_000
    ) -> Sequence[Mapping[str, Any]]:
        """The newest reads, newest first; one mapping a read, with the fields of `Read` but for `contract`."""
        self.flush()
        query = sa.select(_READS).where(_READS.c.product == product)
        if since:
            query = query.where(_READS.c.at >= since.isoformat())
        found = self._all(query.order_by(_READS.c.id.desc()).limit(limit))
        return [{**row, "columns": tuple(json.loads(row["columns"]))} for row in found]

    def blank(self, change: Callable[[str, str], str]) -> int:
        """Take values out of what is said, down to the database's free pages; see `erase.blank`. Rows changed.

        Raises:
            StoreError: It cannot be written.
        """
        self.flush()
        return erase.blank(self._engine, change)

    @property
    def file(self) -> str:
        """The SQLite file; empty where the database is a server's."""
        return (self._engine.url.database or "") if self._engine.dialect.name == "sqlite" else ""

    def texts(self) -> Iterator[tuple[str, str]]:
        """Every text that a table holds, with the table's name."""
        for table in METADATA.sorted_tables:
            columns = [c for c in table.columns if isinstance(c.type, Words)]
            if columns:
                for row in self._all(sa.select(*columns)):
                    yield from ((table.name, str(text)) for text in row.values() if text)

    def flush(self) -> None:
        """Write the reads and requests that are waiting."""
        self._waiting.flush()

    def close(self) -> None:
        """Write what is waiting, and let go of the database."""
        try:
            self._waiting.close()
        finally:
            self.journal.close()
            self._engine.dispose()

    def _write(self, waiting: Sequence[Read | Request]) -> None:
        """Reads one by one, for audit; both kinds added up, in the same transaction."""
        reads = [each for each in waiting if isinstance(each, Read)]
        requests = [each for each in waiting if isinstance(each, Request)]
        rows = [
            {
                **{name: getattr(read, name) for name in _READ_FIELDS},
                "at": read.at.isoformat(),
                "columns": json.dumps(read.columns),
            }
            for read in reads
        ]
        with told("written"), self._engine.begin() as connection:
            if rows:
                connection.execute(sa.insert(_READS), rows)
            self.usage.add(connection, reads, requests)

    def _replace(
        self, table: sa.Table, same: sa.ColumnElement[bool], row: Mapping[str, Any]
    ) -> None:
        with told("written"), self._engine.begin() as connection:
            connection.execute(sa.delete(table).where(same))
            connection.execute(sa.insert(table), [dict(row)])

    def _all(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with told("read"), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]


_READ_FIELDS = [c.name for c in _READS.columns if c.name not in ("id", "at", "columns")]
