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

    from sqlalchemy.sql.type_api import _BindProcessorType

METADATA = sa.MetaData()
"""All tables of the ledger; each module adds its own."""


KINDS = ("sqlite", "postgresql")
"""The databases that a ledger can be in."""
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""What rows are numbered by; only as an INTEGER does SQLite number them itself."""


class Words(sa.types.TypeDecorator[str]):
    """Text that every database orders and compares by its characters, and that each can hold."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """In PostgreSQL without the rules of a language, by which times would be out of order."""
        collation = "C" if dialect.name == "postgresql" else None
        return dialect.type_descriptor(sa.Text(collation=collation))

    def bind_processor(self, dialect: sa.Dialect) -> _BindProcessorType[str] | None:
        """PostgreSQL refuses NUL: one in what a consumer says would keep all that is written with it from being so."""
        if dialect.name != "postgresql":
            return None
        return lambda text: text and text.replace("\0", "\ufffd")


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
            fix="free some space, or check its path and permissions; is it a server's, whether that answers",
        ) from error


def open_database(url: str | Path) -> sa.Engine:
    """The database at `url` (a SQLAlchemy URL, or the path of a SQLite file) with all tables.

    Raises:
        ConfigurationError: It is a text that is no URL, or of another kind of database, or its driver is not installed.
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
        _create(engine)
    except sa.exc.DBAPIError as error:
        engine.dispose()
        where = engine.url.render_as_string(hide_password=True)
        raise StoreError(
            f"the ledger cannot be opened: {error.orig}",
            where=where,
            fix="check its path and permissions; is it a server's, whether that answers",
        ) from error
    return engine


def _create(engine: sa.Engine) -> None:
    """Make the tables that are missing: of several processes one, and the others wait for it."""
    with engine.begin() as connection:
        if METADATA.tables.keys() <= set(sa.inspect(connection).get_table_names()):
            return
    with engine.begin() as connection:
        lock(connection)
        METADATA.create_all(connection)


def lock(connection: sa.Connection) -> None:
    """From here on, until its transaction ends, nobody else changes what tables there are.

    In SQLite, nobody writes at all. The driver begins a transaction at the first write only: the lock has to be there
    before what is read.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_NUMBER})")


_NUMBER = 0x706F6C79
"""Of the lock in PostgreSQL."""


def _engine(url: str) -> sa.Engine:
    kind = url.partition(":")[0][:100]  # what follows may hold a password
    fix = f"sqlite:///{kind}; or a Path"
    try:
        backend = sa.make_url(url).get_backend_name()
        if backend in KINDS:
            return sa.create_engine(
                url, pool_pre_ping=True
            )  # the server may have been started anew
        reason, fix = f"{kind!r} is neither of {' and '.join(KINDS)}", "postgresql+psycopg://..."
    except sa.exc.NoSuchModuleError:
        reason, fix = f"{kind!r} is no driver that is known", "postgresql+psycopg://..."
    except sa.exc.ArgumentError:
        reason = f"{kind!r} is not the URL of a database"
    except ImportError as error:
        reason, fix = f"{kind!r} needs {error.name}", f"pip install {error.name}"
    raise ConfigurationError(f"the ledger cannot be opened: {reason}", where="ledger", fix=fix)


def _tune_sqlite(connection: Any, _: object) -> None:
    with closing(connection.cursor()) as cursor:
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 10000"):
            cursor.execute(f"PRAGMA {pragma}")
