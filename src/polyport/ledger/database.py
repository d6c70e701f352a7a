"""The database behind the ledger: opened once, its errors told as ours."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from polyport.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

METADATA = sa.MetaData()
"""All tables of the ledger; each module adds its own."""


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Raises an error of the database as a `StoreError`; `doing`: "read" or "written"."""
    try:
        yield
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        cause = getattr(error, "orig", error)
        raise StoreError(
            f"the ledger cannot be {doing}: {cause}",
            where="ledger",
            fix="free some space, or check its path and permissions",
        ) from error


def open_database(url: str | Path) -> sa.Engine:
    """The database at `url` (a SQLAlchemy URL, or the path of a SQLite file) with all tables.

    Raises:
        ConfigurationError: It is a text that is no URL, or of a database whose driver is not installed.
        StoreError: It cannot be opened.
    """
    if isinstance(url, Path):
        url.parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(sa.URL.create("sqlite", database=str(url)))
    else:
        engine = _engine(url)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _tune_sqlite)
    try:
        METADATA.create_all(engine)
    except sa.exc.DBAPIError as error:
        engine.dispose()
        where = engine.url.render_as_string(hide_password=True)
        raise StoreError(
            f"the ledger cannot be opened: {error.orig}",
            where=where,
            fix="check its path and permissions",
        ) from error
    return engine


def _engine(url: str) -> sa.Engine:
    kind = url.partition(":")[0][:100]  # what follows may hold a password
    try:
        return sa.create_engine(url)
    except sa.exc.NoSuchModuleError:
        reason, fix = f"{kind!r} is no kind of database that is known", "sqlite:///ledger.sqlite"
    except sa.exc.ArgumentError:
        reason, fix = f"{kind!r} is not the URL of a database", f"sqlite:///{kind}; or a Path"
    except ImportError as error:
        reason, fix = f"{kind!r} needs {error.name}", f"pip install {error.name}"
    raise ConfigurationError(f"the ledger cannot be opened: {reason}", where="ledger", fix=fix)


def _tune_sqlite(connection: Any, _: object) -> None:
    with closing(connection.cursor()) as cursor:
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 10000"):
            cursor.execute(f"PRAGMA {pragma}")
