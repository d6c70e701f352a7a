"""Reads and requests added up by day: what metrics and "who breaks" are made from, however long the history is."""

from __future__ import annotations

from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from polyport.ledger.database import METADATA, Words, lock, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from sqlalchemy.dialects import postgresql

    from polyport.model import Read, Request

BUCKETS = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
"""Seconds: the upper bounds of the latency histogram; what took longer is in the count only."""


def _counted(
    name: str,
    keys: Sequence[str],
    sums: Sequence[str],
    last: str = "",
    metadata: sa.MetaData = METADATA,
) -> sa.Table:
    columns: list[sa.Column[Any]] = [sa.Column(key, Words, primary_key=True) for key in keys]
    columns += [sa.Column(s, sa.Float() if s == "seconds" else sa.BigInteger()) for s in sums]
    columns += [sa.Column(last, Words)] if last else []
    return sa.Table(name, metadata, *columns)


_READS = _counted(
    "usage_reads",
    ("day", "product", "port", "principal", "dataset", "outcome"),
    ("reads", "rows", "bytes", "seconds"),
)
_COLUMNS = _counted(
    "usage_contract_columns",
    ("day", "product", "principal", "contract", "dataset", "column"),
    ("reads",),
    "last_at",
)
_FAST = tuple(f"within_{n}" for n in range(len(BUCKETS)))
_REQUESTS = _counted(
    "usage_requests",
    ("day", "product", "port", "principal", "status"),
    ("requests", "downloads", "bytes", "seconds", *_FAST),
    "last_at",
)


TABLES = (_READS, _COLUMNS, _REQUESTS)


class Usage:
    """Sums over the reads and requests of one ledger."""

    def __init__(self, engine: sa.Engine, flush: Callable[[], None]) -> None:
        self._engine = engine
        self._flush = flush

    def add(
        self, connection: sa.Connection, reads: Sequence[Read], requests: Sequence[Request]
    ) -> None:
        """Add `reads` and `requests` to their days, in the caller's transaction."""
        _add(connection, _READS, map(_read, reads))
        _add(connection, _COLUMNS, _columns(reads))
        _add(connection, _REQUESTS, map(_request, requests))

    def reads(self, product: str = "", *, since: date | None = None) -> list[dict[str, Any]]:
        """One mapping a day, product, port, principal, dataset and outcome: `reads`, `rows`, `bytes`, `seconds`."""
        return self._rows(_READS, product, since)

    def columns(self, product: str = "", *, since: date | None = None) -> list[dict[str, Any]]:
        """One mapping a day, product, principal, contract, dataset and column: `reads`, `last_at` (ISO 8601, UTC)."""
        return self._rows(_COLUMNS, product, since)

    def requests(self, product: str = "", *, since: date | None = None) -> list[dict[str, Any]]:
        """One mapping a day, product, port, principal and status.

        `requests`, `downloads`, `bytes`, `seconds`, `last_at`, and `within`: how many took at most each of `BUCKETS`.
        """
        found = self._rows(_REQUESTS, product, since)
        return [{**row, "within": tuple(row.pop(name) for name in _FAST)} for row in found]

    def _rows(self, table: sa.Table, product: str, since: date | None) -> list[dict[str, Any]]:
        self._flush()
        query = sa.select(table).order_by(*table.primary_key)
        if product:
            query = query.where(table.c.product == product)
        if since:
            query = query.where(table.c.day >= since.isoformat())
        with told("read"), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]


def take_over(engine: sa.Engine) -> None:
    """Take what a ledger counted by column before contracts were told apart: as read without one.

    Raises:
        StoreError: It cannot be read or written.
    """
    with told("written"), engine.begin() as connection:
        if not sa.inspect(connection).has_table(_BEFORE.name):
            return
        lock(connection)  # of two processes the second waits, and looks again
        if sa.inspect(connection).has_table(_BEFORE.name):
            rows = connection.execute(sa.select(_BEFORE)).mappings().all()
            _add(connection, _COLUMNS, [{**row, "contract": ""} for row in rows])
            connection.execute(sa.schema.DropTable(_BEFORE, if_exists=True))


_BEFORE = _counted(
    "usage_columns",
    ("day", "product", "principal", "dataset", "column"),
    ("reads",),
    "last_at",
    sa.MetaData(),
)


def rename(connection: sa.Connection, change: Callable[[str], str]) -> int:
    """Give principals the name that `change` gives them, and add up what is one's then; how many rows were renamed."""
    count = 0
    for table in TABLES:
        who = table.c.principal
        for name in connection.execute(sa.select(who).distinct()).scalars().all():
            if (changed := change(name)) != name:
                rows = connection.execute(sa.select(table).where(who == name)).mappings().all()
                connection.execute(sa.delete(table).where(who == name))
                _add(connection, table, [{**row, "principal": changed} for row in rows])
                count += len(rows)
    return count


def _read(read: Read) -> dict[str, Any]:
    return {
        "day": read.at.date().isoformat(),
        "product": read.product,
        "port": read.port,
        "principal": read.principal,
        "dataset": read.dataset,
        "outcome": read.outcome,
        "reads": 1,
        "rows": read.rows,
        "bytes": read.bytes,
        "seconds": read.seconds,
    }


def _columns(reads: Iterable[Read]) -> Iterator[dict[str, Any]]:
    """One row a column; those of reads that are alike together, for most are."""
    alike: dict[tuple[Any, ...], tuple[int, str]] = {}
    for read in reads:
        if read.outcome != "denied":
            at = read.at.isoformat()
            day = at.partition("T")[0]
            who = (day, read.product, read.principal, read.contract, read.dataset)
            count, _ = alike.get((*who, read.columns), (0, ""))
            alike[*who, read.columns] = (count + 1, at)
    for (day, product, principal, contract, dataset, columns), (count, at) in alike.items():
        for column in columns:
            yield {
                "day": day,
                "product": product,
                "principal": principal,
                "contract": contract,
                "dataset": dataset,
                "column": column,
                "reads": count,
                "last_at": at,
            }


def _request(request: Request) -> dict[str, Any]:
    return {
        "day": request.at.date().isoformat(),
        "product": request.product,
        "port": request.port,
        "principal": request.principal,
        "status": str(request.status),
        "requests": 1,
        "downloads": int(request.download),
        "bytes": request.bytes,
        "seconds": request.seconds,
        **{n: int(request.seconds <= b) for n, b in zip(_FAST, BUCKETS, strict=True)},
        "last_at": request.at.isoformat(),
    }


def _add(connection: sa.Connection, table: sa.Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add each row to the stored one with its key: the rows of a batch first among themselves.

    In the order of their keys: two that write at once would else wait for each other's rows.
    """
    key = itemgetter(*(column.name for column in table.primary_key))
    sums = [c.name for c in table.columns if _sums(c)]
    last = [c.name for c in table.columns if not _sums(c) and not c.primary_key]
    added: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        kept = added.get(key(row))
        if kept is None:
            added[key(row)] = dict(row)
            continue
        for name in sums:
            kept[name] += row[name]
        for name in last:
            kept[name] = row[name]
    if added:
        ordered = [added[each] for each in sorted(added)]
        connection.execute(_upsert(connection.dialect.name, table), ordered)


def _sums(column: sa.Column[Any]) -> bool:
    return not isinstance(column.type, Words)


@cache
def _upsert(dialect: str, table: sa.Table) -> sa.Insert:
    insert = _insert(dialect, table)
    changed = {
        c.name: c + insert.excluded[c.name] if _sums(c) else insert.excluded[c.name]
        for c in table.columns
        if not c.primary_key
    }
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)


def _insert(dialect: str, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    if dialect != "postgresql":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - 0.1 s to import, for few ledgers

    return postgresql.insert(table)


__all__ = ["BUCKETS", "TABLES", "Usage", "rename", "take_over"]
