"""Rows of a database through ADBC, which hands over Arrow batches without a detour over Python values."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from polyport.errors import InputError, MissingExtraError
from polyport.expression import quote
from polyport.ports.input._settings import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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
        raise _failed(said, where) from error
    except _BrokenOffError as error:
        raise _failed(clean(str(error)), where) from error


class _BrokenOffError(Exception):
    """The rows ended before their end."""


def _failed(said: str, where: str) -> InputError:
    return InputError(
        f"the database failed: {said}",
        where=where,
        fix="check the address, the table or query, and that the database is up",
    )


@contextmanager
def stream(
    cursor: Any, ask: Ask, types: Mapping[str, pa.DataType], where: str
) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """The columns and the rows that `ask` names, with columns of `types` read as such.

    Raises:
        InputError: No such column, one that cannot be kept, or a value that is none of its column's type.
    """
    cursor.execute(statement(ask))
    with cursor.fetch_record_batch() as reader:
        for name in (*types, ask.incremental):
            if name and name not in reader.schema.names:
                raise InputError(
                    f"{ask.label} has no column {name!r}",
                    where=where,
                    fix=suggest(name, reader.schema.names),
                )
        kept = [_field(f, types, ask, where) for f in reader.schema]
        schema = pa.schema(kept)
        yield schema, (_batch(b, schema, ask, where) for b in _arriving(reader))


def _arriving(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The batches; what breaks off on the way is an error of the driver's, not of this machine's disk."""
    try:
        yield from reader
    except (OSError, pa.ArrowException) as error:
        raise _BrokenOffError(str(error).strip().splitlines()[0]) from error


def _field(field: pa.Field, types: Mapping[str, pa.DataType], ask: Ask, where: str) -> pa.Field:
    """The column as it is kept."""
    kind = field.type
    if pa.types.is_interval(kind) or (_opaque(kind) and pa.types.is_binary(kind.storage_type)):
        named = kind.type_name if _opaque(kind) else "interval"
        raise InputError(
            f"{ask.label}, column {field.name}: the driver hands over a {named} in a form of its own",
            where=where,
            fix=f"cast it in `query`: CAST({quote(field.name)} AS TEXT) AS {quote(field.name)}",
        )
    if field.name in types:
        return pa.field(field.name, types[field.name])
    if isinstance(kind, pa.UuidType):
        return pa.field(field.name, pa.string())
    return pa.field(
        field.name, kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    )


def _opaque(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.OpaqueType)


def _batch(batch: pa.RecordBatch, schema: pa.Schema, ask: Ask, where: str) -> pa.RecordBatch:
    made = []
    for values, field in zip(batch.columns, schema, strict=True):
        try:
            made.append(_inside(_plain(values, field.type)))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InputError(
                f"{ask.label}, column {field.name}: {str(error).splitlines()[0]}",
                where=where,
                fix="cast it in a `query`, to TEXT for one",
            ) from error
    return pa.record_batch(made, schema)


def _plain(values: pa.Array, kind: pa.DataType) -> pa.Array:
    if isinstance(values.type, pa.UuidType):
        values = pa.array([v if v is None else str(v) for v in values.to_pylist()], pa.string())
    elif isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    return values.cast(kind)


def _inside(values: pa.Array) -> pa.Array:
    """`values`, if no day or moment is what the driver makes of `infinity`.

    Raises:
        ArrowInvalid: One is.
    """
    kind = values.type
    if not (pa.types.is_date32(kind) or (pa.types.is_timestamp(kind) and kind.unit in _DAY)):
        return values
    day = 1 if pa.types.is_date32(kind) else _DAY[kind.unit]
    found = pc.min_max(values.cast(pa.int32() if day == 1 else pa.int64())).as_py()
    if found["min"] is None or (_FIRST * day <= found["min"] and found["max"] < _LAST * day):
        return values
    raise pa.ArrowInvalid("a value is infinite, or not of the years 1 to 9999")


_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000}
"""In each unit; nanoseconds do not reach that far."""
_FIRST, _LAST = -719_162, 2_932_897
"""0001-01-01 and 10000-01-01, in days from 1970-01-01."""


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
