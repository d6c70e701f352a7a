"""Takes values out of what the ledger says, and out of the database's own pages. What was agreed is not touched."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from polyport.errors import StoreError
from polyport.ledger.database import METADATA, told

if TYPE_CHECKING:
    from collections.abc import Callable

TOLD = {
    "runs": ("document",),
    "quality_reports": ("document",),
    "reads": ("principal", "purpose"),
    "journal": ("document",),
}
"""Tables and their columns that may quote data or name a person."""
SPOKEN = ("feedback", "lineage", "contract")
"""Kinds of journal entries that say something, and grant nothing."""
_PATIENCE = 30.0


def blank(engine: sa.Engine, change: Callable[[str, str], str]) -> int:
    """Replace what `change` (table, text) gives another text for, down to free pages; how many rows were replaced.

    Raises:
        StoreError: The database cannot be written, or stays in use.
    """
    with told("written"), engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete = ON")
        count = sum(_blank(connection, name, change) for name in TOLD)
    with told("written"):
        _compact(engine)
    return count


def _blank(connection: sa.Connection, name: str, change: Callable[[str, str], str]) -> int:
    table = METADATA.tables[name]
    (key,) = table.primary_key.columns
    columns = [table.c[column] for column in TOLD[name]]
    query = sa.select(key, *columns)
    if name == "journal":
        query = query.where(table.c.kind.in_(SPOKEN))
    count = 0
    for identity, *texts in connection.execute(query).all():
        changed = [change(name, text) for text in texts]
        if changed != texts:
            values = dict(zip(TOLD[name], changed, strict=True))
            connection.execute(sa.update(table).where(key == identity).values(values))
            count += 1
    return count


def _compact(engine: sa.Engine) -> None:
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for name in TOLD:
                connection.exec_driver_sql(f"VACUUM FULL {name}")
    if engine.dialect.name != "sqlite":
        return
    deadline = time.monotonic() + _PATIENCE
    with closing(engine.raw_connection()) as connection:
        connection.detach()
        database: Any = connection.dbapi_connection
        database.isolation_level = None
        database.execute("VACUUM")
        while database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                raise StoreError(
                    "the ledger is in use, so its write-ahead log cannot be emptied",
                    where="ledger",
                    fix="end the processes that read it, then erase again",
                )
            time.sleep(0.1)
