"""Whose fault it is: tables are computed together, so an engine's error is traced to the file that it comes from."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from polyport.errors import InputError, QueryError, TransformError
from polyport.model import Query
from polyport.pipeline.shape import SOURCE, failing_cast
from polyport.pipeline.sql_steps import SqlCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from polyport.errors import BuildError
    from polyport.pipeline.plan import Step
    from polyport.pipeline.shape import Shape
    from polyport.pipeline.steps import Tables
    from polyport.ports.input import Received


@contextmanager
def explaining(key: str, tables: Tables, fit: Shape | None = None) -> Iterator[None]:
    """A block that computes the table `key`; an engine's error in it is told as the error of a file or an input.

    Raises:
        TransformError: The product's own code is to blame, or the contract's types do not fit.
        InputError: What an input port brought is to blame.
    """
    try:
        yield
    except QueryError as error:
        raise _explained(error, key, tables, fit) from error


def _explained(error: QueryError, key: str, tables: Tables, fit: Shape | None) -> BuildError:
    for suspect in _unwritten(key, tables, set()):
        guilty = _tried(suspect, tables)
        if guilty is not None:
            return guilty
    where = tables.plan.where(key)
    if fit is not None:
        relation, engine = tables.relations[key], tables.bench.engine
        cast = failing_cast(
            fit, relation, engine=engine, dataset=key.partition("/")[2], where=where
        )
        if cast is not None:
            return cast
    return TransformError(error.message, where=where, fix=error.fix)


def _unwritten(key: str, tables: Tables, seen: set[str]) -> Iterator[str]:
    """What is computed when the table `key` is made or read, itself last."""
    seen.add(key)
    step = next((s for s in tables.plan.steps if s.key == key), None)
    for needed in step.tables.values() if step else ():
        if needed in tables.lazy and needed not in seen:
            yield from _unwritten(needed, tables, seen)
    if key in tables.lazy:
        yield key


def _tried(key: str, tables: Tables) -> BuildError | None:
    """The error of computing `key` by itself. Slow, and only done when the build has failed anyway."""
    relation, step = tables.relations[key], tables.lazy[key]
    sql, relations = f"SELECT * FROM {SOURCE}", {SOURCE: relation}
    if step is not None and isinstance(relation.data, Query):
        sql, relations = relation.data.sql, dict(relation.data.relations)
    trial = tables.bench.scratch / "trial.parquet"
    try:
        tables.bench.engine.write(sql, relations, trial)
    except QueryError as error:
        if step:
            return step_error(step, error)
        return input_error(key.partition("/")[2], error, tables.bench.received)
    finally:
        trial.unlink(missing_ok=True)
    return None


def step_error(step: Step, error: QueryError) -> TransformError:
    """An engine's error about a step's own SQL, at the line of its file."""
    line, column = 0, 0
    if isinstance(step.code, SqlCode):
        line, column = step.code.place(error.line, error.column)
    where = f"{step.where}:{line}:{column}" if line else step.where
    return TransformError(error.message, where=where, fix=error.fix)


def input_error(port: str, error: QueryError, received: Mapping[str, Received]) -> InputError:
    """An engine's error about what an input port brought; a file is called as it was when it came."""
    digest = Path(error.where).name.partition(".")[0]
    objects = received[port].objects if port in received else ()
    name = next((o.name for o in objects if o.path.name.partition(".")[0] == digest), "")
    message = f"{name}, {error.message}" if name else error.message
    return InputError(message, where=f"input port {port}", fix=error.fix)
