"""Rows of a database through ADBC, which hands over Arrow batches without a detour over Python values."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from polyport.errors import InputError, MissingExtraError
from polyport.expression import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa

    from polyport.ports.input._rows import Ask


@contextmanager
def opened(
    driver: str,
    url: str,
    options: Mapping[str, Any],
    *,
    where: str,
    clean: Callable[[str], str],
) -> Iterator[Any]:
    """A cursor on a connection that never commits.

    Raises:
        MissingExtraError: The driver manager or the driver is not installed.
        InputError: The database is not there, refuses, or fails.
    """
    dbapi = _manager(where)
    given = {str(k): str(v) for k, v in options.items()} | ({"uri": url} if url else {})
    try:
        with (
            dbapi.connect(driver=_driver(driver), db_kwargs=given) as connection,
            connection.cursor() as cursor,
        ):
            yield cursor
    except dbapi.Error as error:
        said = clean(str(error).strip().splitlines()[0])
        if "Could not load" in said:
            raise MissingExtraError(
                f"the ADBC driver {driver!r} cannot be loaded: {said}",
                where=where,
                fix=f"pip install adbc-driver-{driver}",
            ) from error
        raise InputError(
            f"the database failed: {said}",
            where=where,
            fix="check the address, the table or query, and that the database is up",
        ) from error


def reader(cursor: Any, ask: Ask) -> pa.RecordBatchReader:
    """The rows that `ask` names."""
    cursor.execute(statement(ask))
    found: pa.RecordBatchReader = cursor.fetch_record_batch()
    return found


def statement(ask: Ask) -> str:
    """The SELECT for `ask`."""
    source = ".".join(map(quote, ask.table.split("."))) if ask.table else f"(\n{ask.query}\n) AS q"
    chosen = dict.fromkeys((*ask.columns, ask.incremental)) if ask.columns else {}
    shown = ", ".join(quote(name) for name in chosen if name) or "*"
    text = f"SELECT {shown} FROM {source}"
    if ask.incremental and ask.after is not None:
        text += f" WHERE {quote(ask.incremental)} > {_literal(ask.after)}"
    return f"{text} ORDER BY {quote(ask.incremental)}" if ask.incremental else text


def _literal(value: object) -> str:
    """A cursor's value, which came from the database itself."""
    if isinstance(value, int | float):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


def _manager(where: str) -> Any:
    try:
        return import_module("adbc_driver_manager.dbapi")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "ADBC is not installed", where=where, fix="pip install 'polyport[adbc]'"
        ) from error


def _driver(name: str) -> str:
    """The shared library of an installed `adbc_driver_<name>`, else what the driver manager finds by that name."""
    try:
        module = import_module(f"adbc_driver_{name}")
    except ModuleNotFoundError:
        return name
    found: str = module._driver_path() if hasattr(module, "_driver_path") else name  # noqa: SLF001 - the packages' own way
    return found
