"""One index: reads that it answers exactly and cheaply, or declines."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from polyport.engine.keyed.codecs import codec
from polyport.expression import And, Compare, In, Inside, IsNull, Like, Not, Or, quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from polyport.engine.keyed.codecs import Codec
    from polyport.expression import Expression, Value
    from polyport.model import Dataset

STEPS = 20
"""Thousands of instructions of SQLite's machine that one read may take: some milliseconds. Beyond, it is declined."""


SHAPES = 1_000
"""How many declined shapes of reads are remembered, and how many choices of columns."""
FEW = 10
"""Rows that Arrow makes faster one by one than column by column."""


class Term(Protocol):
    """One term of an order."""

    @property
    def column(self) -> str:
        """Which column."""
        ...

    @property
    def descending(self) -> bool:
        """Nulls come last in either direction."""
        ...


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Some columns, as they are read."""

    sql: str
    codecs: Sequence[Codec]
    schema: pa.Schema
    rows: pa.StructType
    """The type of a row of them."""

    def batch(self, rows: Sequence[Any]) -> pa.RecordBatch:
        """Rows, as they are stored, as a batch."""
        stored: Iterable[Sequence[Any]] = (
            zip(*rows, strict=True) if rows else repeat((), len(self.codecs))
        )
        columns = [c.decode(values) for c, values in zip(self.codecs, stored, strict=True)]
        if len(rows) <= FEW and columns:
            made = [
                dict(zip(self.schema.names, row, strict=True)) for row in zip(*columns, strict=True)
            ]
            return pa.RecordBatch.from_struct_array(pa.array(made, self.rows))
        pairs = zip(columns, self.schema.types, strict=True)
        return pa.RecordBatch.from_arrays(
            [pa.array(v, kind) for v, kind in pairs], schema=self.schema
        )


class KeyedIndex:
    """One dataset of one snapshot in a SQLite file. Safe over threads; `close()` it."""

    def __init__(self, path: Path, dataset: Dataset) -> None:
        self._path = path
        self._dataset = dataset
        self._codecs = {f.name: codec(f.type) for f in dataset.schema}
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._declined: set[tuple[Any, ...]] = set()
        self._chosen: dict[tuple[str, ...], _Chosen] = {}

    def scan(
        self,
        columns: Sequence[str],
        *,
        where: Expression | None,
        order: Sequence[Term],
        limit: int,
        after: Sequence[Any] | None = None,
    ) -> pa.RecordBatch | None:
        """The rows that `View.scan` would give; None where the engine has to answer."""
        params: list[Any] = []
        try:
            conditions = [self._condition(where, params)] if where is not None else []
            if after is not None:
                conditions.append(self._after(order, after, params))
            terms = [self._term(term) for term in order]
            chosen = self._choice(tuple(columns))
        except _DeclinedError:
            return None
        shape = (chosen.sql, tuple(conditions), tuple(terms))
        if shape in self._declined:
            return None
        sql = chosen.sql + (f" WHERE {' AND '.join(conditions)}" if conditions else "")
        sql += f" ORDER BY {', '.join(terms)}" if terms else ""
        connection = self._connection()
        self._local.left = STEPS
        try:
            rows = connection.execute(f"{sql} LIMIT {int(limit)}", params).fetchall()
        except sqlite3.ProgrammingError:  # closed, as rows were erased: the engine has what is left
            return None
        except sqlite3.OperationalError:  # interrupted: too many steps
            if len(self._declined) >= SHAPES:
                self._declined.clear()
            self._declined.add(shape)
            return None
        return chosen.batch(rows)

    def close(self) -> None:
        """Close the connections of every thread."""
        for connection in self._open:
            connection.close()

    def _choice(self, columns: tuple[str, ...]) -> _Chosen:
        found = self._chosen.get(columns)
        if found is None:
            schema = pa.schema([self._dataset.schema.field(name) for name in columns])
            sql = f"SELECT {', '.join(map(quote, columns))} FROM rows"
            codecs = [self._stored(name) for name in columns]
            found = _Chosen(sql, codecs, schema, pa.struct(list(schema)))
            if len(self._chosen) >= SHAPES:
                self._chosen.clear()
            self._chosen[columns] = found
        return found

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            uri = f"{self._path.absolute().as_uri()}?immutable=1&mode=ro"
            found = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
            found.execute("PRAGMA mmap_size = 4000000000")
            found.execute("PRAGMA case_sensitive_like = ON")
            # SQLite counts on from run to run of a statement that it keeps prepared, so the budget is ours.
            found.set_progress_handler(self._spend, 1_000)
            self._local.connection = found
            self._open.append(found)
        return found

    def _spend(self) -> bool:
        self._local.left -= 1
        return bool(self._local.left < 0)

    def _stored(self, name: str) -> Codec:
        found = self._codecs.get(name)
        if found is None:
            raise _DeclinedError
        return found

    def _bind(self, column: str, value: Value, params: list[Any]) -> str:
        encoded = self._stored(column).encode(value)
        if encoded is None:
            raise _DeclinedError
        params.append(encoded)
        return "?"

    def _term(self, term: Term) -> str:
        self._stored(term.column)
        if term.descending:
            return (
                f"{quote(term.column)} DESC"  # SQLite holds nulls to be the least: they come last
            )
        nulls = "" if term.column in self._dataset.key else " NULLS LAST"
        return f"{quote(term.column)} ASC{nulls}"

    def _condition(self, node: Expression, params: list[Any]) -> str:
        match node:
            case And(terms) | Or(terms):
                word = " AND " if isinstance(node, And) else " OR "
                empty = "1" if isinstance(node, And) else "0"
                return f"({word.join(self._condition(t, params) for t in terms) or empty})"
            case Not(term):
                return f"NOT ({self._condition(term, params)})"
            case Inside():
                raise _DeclinedError
        return self._leaf(node, params)

    def _leaf(self, leaf: Compare | In | Like | IsNull, params: list[Any]) -> str:
        column = quote(leaf.column)
        self._stored(leaf.column)
        match leaf:
            case Compare(name, op, value):
                return f"{column} {'<>' if op == '!=' else op} {self._bind(name, value, params)}"
            case In(name, values):
                return f"{column} IN ({', '.join(self._bind(name, v, params) for v in values)})"
            case IsNull():
                return f"{column} IS NULL"
        raise _DeclinedError

    def _after(self, order: Sequence[Term], values: Sequence[Any], params: list[Any]) -> str:
        arms: list[str] = []
        bound: list[Any] = []
        same = ""
        for term, value in zip(order, values, strict=True):
            column = quote(term.column)
            if value is None:
                same += f"{column} IS NULL AND "
                continue
            held: list[Any] = []
            self._bind(term.column, value, held)
            params += [*bound, *held]
            if term.descending:
                arms.append(f"({same}({column} < ? OR {column} IS NULL))")
            else:
                null = "" if term.column in self._dataset.key else f" OR {column} IS NULL"
                arms.append(f"({same}({column} > ?{null}))")
            same += f"{column} = ? AND "
            bound += held
        return f"({' OR '.join(arms) or '0'})"


class _DeclinedError(Exception):
    """The index cannot answer exactly; the engine will."""
