"""Rows of a database through SQLAlchemy: opened read-only, streamed, typed as the columns are declared."""

from __future__ import annotations

import re
import sqlite3
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as url_quote
from uuid import UUID

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import types as sat
from sqlalchemy.exc import ArgumentError, DataError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from polyport.errors import ConfigurationError, InputError, MissingExtraError
from polyport.ports.input import _postgres, _source
from polyport.ports.input._expect import kind_name
from polyport.ports.input._infer import BATCH_ROWS, MOST_DIGITS, Shape, column, person_text, unique
from polyport.ports.input._settings import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

TYPED_ROWS = 16_384
"""Rows at a time where nothing must be found out from them."""
_DRIVERS = {
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "'psycopg[binary]', and write postgresql+psycopg:// (or pip install psycopg2-binary)",
    "MySQLdb": "mysqlclient",
}
_AS_TEXT = "read the column as text: `types: {column: VARCHAR}` with `table`, a cast in a `query`"
_READS = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*(select|with|values|from|table)\b", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Ask:
    """What to read."""

    table: str = ""
    query: str = ""
    columns: tuple[str, ...] = ()
    incremental: str = ""
    after: Any = None
    """The value of the column `incremental` that was reached before; None: from the start."""

    @property
    def label(self) -> str:
        """`table films`, or `the query`."""
        return f"table {self.table}" if self.table else "the query"


@dataclass(slots=True)
class Source:
    """An open connection, and what hides secrets in its messages."""

    connection: sa.Connection
    where: str
    clean: Callable[[str], str]
    results: list[sa.CursorResult[Any]] = field(default_factory=list)
    """What is being read; closed with it."""


def check_query(text: str, where: str) -> str:
    """`text`, if it is one statement that reads.

    Raises:
        ConfigurationError: It is not.
    """
    query = text.strip().rstrip(";").strip()
    if not _READS.match(query):
        raise ConfigurationError(
            f"the query starts with {query[:20]!r}: an input port only reads",
            where=where,
            fix="write one SELECT",
        )
    return query


@contextmanager
def opened(url: str, home: Path, where: str, clean: Callable[[str], str]) -> Iterator[Source]:
    """A read-only connection; what goes wrong in it is an InputError.

    Raises:
        ConfigurationError: The URL cannot be used.
        MissingExtraError: Its driver is not installed.
        InputError: The database is not there, refuses, or fails.
    """
    engine = _engine(url, home, where)
    try:
        with engine.connect() as connection:
            options: dict[str, Any] = {"stream_results": True, "yield_per": TYPED_ROWS}
            if engine.dialect.name == "postgresql":
                options["postgresql_readonly"] = True
                _postgres.prepare(connection)
            source = Source(connection.execution_options(**options), where, clean)
            try:
                yield source
            finally:
                for result in source.results:
                    result.close()
    except (SQLAlchemyError, sqlite3.Error) as error:
        said = str(getattr(error, "orig", None) or error).strip().splitlines()
        unfit = isinstance(error, DataError)
        raise InputError(
            f"the database {safe_address(url)} failed: {clean(said[0] if said else type(error).__name__)}",
            where=where,
            fix=_AS_TEXT
            if unfit
            else "check the address, the table or query, and that the database is up",
        ) from error
    finally:
        engine.dispose()


def _parsed(url: str, where: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(
            "the url of the database cannot be read",
            where=where,
            fix="`sqlite:///data/films.db` or `postgresql://user:${PASSWORD}@host/database`",
        ) from error


def safe_address(url: str) -> str:
    """The address without user, password and options."""
    given = sa.make_url(url)
    bare = sa.URL.create(
        given.drivername, host=given.host, port=given.port, database=given.database
    )
    return bare.render_as_string()


def _engine(url: str, home: Path, where: str) -> sa.Engine:
    parsed = _parsed(url, where)
    try:
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(parsed, home, where)
        return sa.create_engine(parsed, poolclass=NullPool, hide_parameters=True)
    except NoSuchModuleError as error:
        known = ("sqlite", "postgresql", "mysql", "mariadb", "oracle", "mssql")
        raise ConfigurationError(
            f"no database {parsed.drivername!r} is known",
            where=where,
            fix=suggest(parsed.drivername, known),
        ) from error
    except ImportError as error:
        package = _DRIVERS.get(str(error.name or parsed.get_driver_name()), str(error.name))
        raise MissingExtraError(
            f"{parsed.drivername} needs a driver that is not installed",
            where=where,
            fix=f"pip install {package}",
        ) from error


def _sqlite(parsed: sa.URL, home: Path, where: str) -> sa.Engine:
    name = parsed.database or ""
    path = home / name
    if name in ("", ":memory:") or not path.is_file():
        if not name:
            raise ConfigurationError(
                "the url names no file", where=where, fix="`sqlite:///data/films.db`"
            )
        raise _source.nothing(name, home, where=where)
    address = f"file:{url_quote(str(path))}?mode=ro"
    return sa.create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(address, uri=True), poolclass=NullPool
    )


def stream(
    source: Source, ask: Ask, types: Mapping[str, pa.DataType], reached: list[Any]
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The columns and the rows that `ask` names. The last value of `incremental` is left in `reached`.

    Raises:
        InputError: No such table or column, or a value that does not fit its column's type.
    """
    declared = _declared(source, ask) if ask.table else {}
    postgres = source.connection.dialect.name == "postgresql"
    as_text = {n for n, kind in types.items() if postgres and pa.types.is_string(kind)}
    statement = _statement(ask, list(declared), as_text) if ask.table else _query(ask)
    result = source.connection.execute(statement)
    source.results.append(result)
    names = unique(result.keys())
    if postgres:
        told = zip(names, _postgres.described(result.cursor.description), strict=True)
        declared = declared | dict(told)
    _lost(ask.incremental, names, source, ask)
    for name in types:
        _lost(name, names, source, ask)
    known = dict(declared) | dict(types)
    parts = result.partitions(TYPED_ROWS if all(map(known.get, names)) else BATCH_ROWS)
    first = [list(values) for values in zip(*next(parts, []), strict=True)]
    first = first or [[] for _ in names]
    schema = pa.schema([(n, _kind(known.get(n), v)) for n, v in zip(names, first, strict=True)])

    def batches() -> Iterator[pa.RecordBatch]:
        done, columns = 0, first
        while columns and columns[0]:
            _reach(columns, names, ask, reached)
            yield _batch(columns, schema, done, source, ask)
            done += len(columns[0])
            columns = [list(values) for values in zip(*next(parts, []), strict=True)]

    return schema, batches()


def _reach(columns: Sequence[list[Any]], names: list[str], ask: Ask, reached: list[Any]) -> None:
    if ask.incremental:
        values = [v for v in columns[names.index(ask.incremental)] if v is not None]
        reached[:] = values[-1:] or reached


def _batch(
    columns: Sequence[list[Any]], schema: pa.Schema, done: int, source: Source, ask: Ask
) -> pa.RecordBatch:
    arrays = []
    for part, values in zip(schema, columns, strict=True):
        try:
            arrays.append(column(_plain_all(values), part.type))
        except ValueError as error:
            index, value = error.args
            raise InputError(
                f"{ask.label}, column {part.name}, row {done + index + 1:,}: "
                f"{person_text(value)[:60]!r} is not {kind_name(part.type)}",
                where=source.where,
                fix=f"correct it there, or declare `types: {{{part.name}: VARCHAR}}`",
            ) from error
    return pa.record_batch(arrays, schema)


def _plain_all(values: list[Any]) -> list[Any]:
    odd = not {memoryview, UUID}.isdisjoint(map(type, values))
    return [_plain(v) for v in values] if odd else values


def _plain(value: Any) -> Any:
    if isinstance(value, memoryview):
        return bytes(value)
    return str(value) if isinstance(value, UUID) else value


def _kind(declared: pa.DataType | None, values: list[Any]) -> pa.DataType:
    if declared is not None and not pa.types.is_list(declared):
        return declared
    shape = Shape()
    for value in values:
        shape.add(_plain(value))
    nested = shape.item is not None and shape.item.item is not None
    return shape.type() if declared is None or nested else declared


def _statement(ask: Ask, names: Sequence[str], as_text: Collection[str]) -> sa.Select[Any]:
    schema, _, name = ask.table.rpartition(".")
    held: list[sa.ColumnClause[Any]] = [sa.column(n) for n in names]
    shown = [sa.cast(c, sa.Text).label(c.name) if c.name in as_text else c for c in held]
    chosen = sa.select(*shown).select_from(sa.table(name, *held, schema=schema or None))
    if not ask.incremental:
        return chosen
    grows: sa.ColumnClause[Any] = sa.column(ask.incremental)
    if ask.after is not None:
        chosen = chosen.where(grows > ask.after)
    return chosen.order_by(grows)


def _query(ask: Ask) -> sa.Executable:
    text = ask.query.replace(":", "\\:")
    if not ask.columns and not ask.incremental:
        return sa.text(text)
    if not ask.incremental:
        shown = ", ".join(_quoted(n) for n in ask.columns)
        return sa.text(f"SELECT {shown} FROM (\n{text}\n) AS polyport_source")
    grows = _quoted(ask.incremental)
    shown = ", ".join(_quoted(n) for n in ask.columns) or "*"
    where = f" WHERE {grows} > :polyport_after" if ask.after is not None else ""
    inner = sa.text(f"SELECT {shown} FROM (\n{text}\n) AS polyport_source{where} ORDER BY {grows}")
    return inner.bindparams(polyport_after=ask.after) if where else inner


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace(":", "\\:") + '"'


def _declared(source: Source, ask: Ask) -> dict[str, pa.DataType | None]:
    """The table's columns (those asked for), with the types that their declarations mean."""
    schema, _, name = ask.table.rpartition(".")
    inspector = sa.inspect(source.connection)
    if schema and schema not in (schemas := inspector.get_schema_names()):
        raise InputError(
            f"the database has no schema {schema!r}",
            where=source.where,
            fix=suggest(schema, schemas),
        )
    if not inspector.has_table(name, schema or None):
        names = [
            *inspector.get_table_names(schema or None),
            *inspector.get_view_names(schema or None),
        ]
        raise InputError(
            f"the database has no table {ask.table!r}", where=source.where, fix=suggest(name, names)
        )
    with warnings.catch_warnings():  # a type that SQLAlchemy does not know is as its values say
        warnings.simplefilter("ignore", sa.exc.SAWarning)
        columns = inspector.get_columns(name, schema or None)
    found = {c["name"]: _arrow(c["type"]) for c in columns}
    for asked in (*ask.columns, ask.incremental):
        _lost(asked, list(found), source, ask)
    if not ask.columns:
        return found
    chosen = dict.fromkeys((*ask.columns, *filter(None, [ask.incremental])))
    return {name: found[name] for name in chosen}


def _lost(name: str, names: Sequence[str], source: Source, ask: Ask) -> None:
    if name and name not in names:
        raise InputError(
            f"{ask.label} has no column {name!r}", where=source.where, fix=suggest(name, names)
        )


def _arrow(kind: sat.TypeEngine[Any]) -> pa.DataType | None:
    """What a declared type means; None where its values must say it."""
    if isinstance(kind, sat.Numeric) and not isinstance(kind, sat.Float):
        whole = kind.precision is not None and kind.precision <= MOST_DIGITS
        return pa.decimal128(kind.precision, kind.scale or 0) if whole else None
    if isinstance(kind, sat.DateTime):
        return pa.timestamp("us", "UTC" if kind.timezone else None)
    return next((arrow for known, arrow in _ARROW if isinstance(kind, known)), None)


_ARROW: list[tuple[type[sat.TypeEngine[Any]], pa.DataType]] = [
    (sat.Boolean, pa.bool_()),
    (sat.Integer, pa.int64()),
    (sat.Float, pa.float64()),
    (sat.Date, pa.date32()),
    (sat.Time, pa.time64("us")),
    (sat.LargeBinary, pa.binary()),
    (sat.JSON, pa.string()),
    (sat.Uuid, pa.string()),
    (sat.String, pa.string()),
    (sat.Interval, pa.string()),
]


def cursor_text(value: Any) -> str:
    """A cursor's value as a text that `cursor_value` reads back."""
    said = repr(value) if isinstance(value, float) else person_text(value)
    return f"{type(value).__name__} {said}"


def cursor_value(text: str) -> Any:
    """The value of `cursor_text`; None for an empty text."""
    if not text:
        return None
    kind, _, said = text.partition(" ")
    return _READ_BACK.get(kind, str)(said)


_READ_BACK: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "Decimal": Decimal,
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
    "UUID": UUID,
}
