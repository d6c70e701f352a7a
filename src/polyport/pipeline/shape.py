"""Shape: what a step gives becomes what the contract promises: its columns, in its order, of its types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from polyport.descriptor.physical import EXAMPLES, parsed
from polyport.descriptor.text import did_you_mean
from polyport.errors import QueryError, TransformError
from polyport.expression import quote
from polyport.pipeline import inside

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from polyport.descriptor.types import Property, SchemaObject
    from polyport.engine import Engine
    from polyport.model import Relation

SOURCE = "source"
"""What a shape's SQL calls the table that it shapes."""
_EXAMPLE_LENGTH = 60


@dataclass(frozen=True, slots=True)
class Shape:
    """How a dataset comes from its table."""

    sql: str
    """Over one relation, `source`."""
    schema: pa.Schema
    casts: Mapping[str, str]
    """Source column -> SQL type, where it is given and not what the table has."""
    extra: tuple[str, ...] = ()
    """Columns of the table that the contract does not promise."""
    inner: tuple[inside.Casting, ...] = ()
    """What is cast inside of columns."""
    same: bool = False
    """Whether the dataset is the table just as it is."""


def shape(promised: SchemaObject, relation: Relation, *, engine: Engine, where: str) -> Shape:
    """How the dataset `promised` comes from `relation`. A contract without properties takes all as it is.

    Raises:
        TransformError: A promised column is not there, or its `physicalType` is no type.
        QueryError: The relation cannot be read.
    """
    given = engine.schema(f"SELECT * FROM {SOURCE}", {SOURCE: relation})
    if not promised.properties:
        return Shape(f"SELECT * FROM {SOURCE}", given, {}, same=True)
    columns = _columns(promised, given.names, where)
    types = {
        p.name: _named_type(p, f"{promised.name}.{p.name}", engine) for p in promised.properties
    }
    inner = [p for one in promised.properties for p in inside.nested_types(one)]
    named = [_named_type(p, f"{promised.name}.{p.name}", engine) for p in inner]
    wanted = _arrow_types([*types.values(), *named], engine)
    casts = {
        column: types[name]
        for name, column in columns.items()
        if types[name] and not wanted[types[name]].equals(given.field(column).type)
    }
    within = inside.Inside(
        inside.Types(lambda p, at: _named_type(p, f"{promised.name}.{at}", engine), wanted)
    )
    shown = {
        p.name: _cast(column, casts[column])
        if (column := columns[p.name]) in casts
        else within.shaped(p, given.field(column).type, column)
        for p in promised.properties
    }
    sql = f"SELECT {', '.join(f'{s} AS {quote(n)}' for n, s in shown.items())} FROM {SOURCE}"
    as_it_is = all(shown[name] == quote(column) for name, column in columns.items())
    made = _picked(columns, given) if as_it_is else engine.schema(sql, {SOURCE: relation})
    used = set(columns.values())
    extra = (*(name for name in given.names if name not in used), *within.extra)
    same = made.equals(given) and not within.castings
    return Shape(sql, made, casts, extra, tuple(within.castings), same=same)


def _picked(columns: Mapping[str, str], given: pa.Schema) -> pa.Schema:
    return pa.schema([given.field(column).with_name(name) for name, column in columns.items()])


def _columns(promised: SchemaObject, given: list[str], where: str) -> dict[str, str]:
    """Property -> column of the table. As in SQL, upper and lower case are one; the exact name goes first."""
    folded = {name.casefold(): name for name in reversed(given)}
    found = {
        p.name: p.name if p.name in given else folded.get(p.name.casefold(), "")
        for p in promised.properties
    }
    missing = [name for name, column in found.items() if not column]
    if missing:
        free = [name for name in given if name not in found.values()]
        hints = [did_you_mean(name, free or given, what="it gives") for name in missing]
        names = ", ".join(map(repr, missing))
        many = "columns" if len(missing) > 1 else "the column"
        raise TransformError(
            f"{promised.name} lacks {many} {names} that its contract promises",
            where=where,
            fix="; ".join(dict.fromkeys(hints)),
        )
    return found


def _named_type(item: Property, where: str, engine: Engine) -> str:
    return sql_type(item.physical_type, where, engine.dialect)


def sql_type(physical: str, column: str, dialect: str) -> str:
    """The type in the engine's own words: a contract's text never reaches SQL as it is."""
    if not physical.strip():
        return ""
    found = parsed(physical, dialect)
    if found is None:
        raise TransformError(
            f"physicalType {physical!r} is not a type of the engine ({dialect})",
            where=column,
            fix=f"a SQL type such as {EXAMPLES}",
        )
    return found.sql(dialect=dialect)


def _arrow_types(sql_types: Iterable[str], engine: Engine) -> Mapping[str, pa.DataType]:
    """What each SQL type is in Arrow. One question for all: a table may have hundreds of columns."""
    asked = [each for each in dict.fromkeys(sql_types) if each]
    if not asked:
        return {}
    casts = (f"CAST(NULL AS {each}) AS c{at}" for at, each in enumerate(asked))
    return dict(zip(asked, engine.schema(f"SELECT {', '.join(casts)}", {}).types, strict=True))


def _cast(column: str, sql_type: str) -> str:
    return f"CAST({quote(column)} AS {sql_type})" if sql_type else quote(column)


def failing_cast(
    made: Shape, relation: Relation, *, engine: Engine, dataset: str, where: str
) -> TransformError | None:
    """The cast that fails, with an example; None: it is none of them."""
    for column, sql_type in made.casts.items():
        name = quote(column)
        probe = (
            f"SELECT CAST({name} AS VARCHAR) AS v FROM {SOURCE} "
            f"WHERE {name} IS NOT NULL AND TRY_CAST({name} AS {sql_type}) IS NULL LIMIT 1"
        )
        try:
            with engine.query(probe, {SOURCE: relation}) as reader:
                found = reader.read_all()
        except QueryError:  # the table itself fails, which is somebody else's error to tell
            return None
        if found.num_rows:
            value = str(found["v"][0])[:_EXAMPLE_LENGTH]
            return TransformError(
                f"{value!r} in column {column!r} of {dataset} is not a {sql_type}",
                where=where,
                fix="clean the value in a step, or change physicalType in the contract",
            )
    return _failing_inside(made, relation, engine=engine, dataset=dataset, where=where)


def _failing_inside(
    made: Shape, relation: Relation, *, engine: Engine, dataset: str, where: str
) -> TransformError | None:
    for casting in made.inner:
        probe = f"SELECT 1 AS v FROM {SOURCE} WHERE {casting.fails} LIMIT 1"
        with engine.query(probe, {SOURCE: relation}) as reader:
            if reader.read_all().num_rows:
                return TransformError(
                    f"a value of {casting.name} of {dataset} is not a {casting.sql_type}",
                    where=where,
                    fix="clean the value in a step, or change its type in the contract",
                )
    return None
