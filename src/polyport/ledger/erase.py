"""Takes values out of what the ledger says, and out of the database's own pages."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from polyport.errors import StoreError
from polyport.ledger import usage
from polyport.ledger.database import METADATA, told

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = Callable[[str, str], str]
    """(where it stands, the text) -> the text without what has to go."""

TOLD = {
    "runs": ("document",),
    "quality_reports": ("document",),
    "reads": ("principal", "purpose"),
    "journal": ("name", "by", "document"),
}
"""Tables and their columns that may quote data or name a person; `usage.TABLES` name one, too."""
_PATIENCE = 30.0


def blank(engine: sa.Engine, change: Change) -> int:
    """Replace what `change` gives another text for, down to free pages; how many rows were replaced.

    Where a text stands: `reads.principal`; of the journal's documents `journal.agreement`, by the kind of the entry.

    Raises:
        StoreError: The database cannot be written, or stays in use.
    """
    with told("written"), engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete = ON")
        count = sum(_blank(connection, name, change) for name in TOLD)
        count += usage.rename(connection, lambda who: change("usage.principal", who))
    with told("written"):
        _compact(engine)
    return count


def _blank(connection: sa.Connection, name: str, change: Change) -> int:
    table = METADATA.tables[name]
    (key,) = table.primary_key.columns
    kind = table.c.kind if "kind" in table.c else sa.literal("document")
    query = sa.select(key, kind, *(table.c[column] for column in TOLD[name]))
    count = 0
    for identity, what, *texts in connection.execute(query).all():
        given = dict(zip(TOLD[name], texts, strict=True))
        places = {column: what if column == "document" else column for column in given}
        changed = {c: change(f"{name}.{places[c]}", text) for c, text in given.items()}
        if changed != given:
            connection.execute(sa.update(table).where(key == identity).values(changed))
            count += 1
    return count


def _compact(engine: sa.Engine) -> None:
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for name in (*TOLD, *(table.name for table in usage.TABLES)):
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
