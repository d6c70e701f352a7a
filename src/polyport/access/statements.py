"""The SQL of a View's reads: identifiers quoted, values bound, nothing else from outside."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import pyarrow as pa

from polyport.errors import QueryError
from polyport.expression import columns as columns_of
from polyport.expression import quote, to_sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.expression import Expression
    from polyport.model import Relation

Statement: TypeAlias = "tuple[str, Mapping[str, Any]]"
"""SQL, and the values of its parameters."""


@dataclass(frozen=True, slots=True)
class Order:
    """One term of an order. Nulls come last in either direction."""

    column: str
    descending: bool = False

    @property
    def sql(self) -> str:
        """As in `ORDER BY`."""
        return f"{quote(self.column)} {'DESC' if self.descending else 'ASC'} NULLS LAST"


Function: TypeAlias = Literal[
    "count", "count_distinct", "sum", "avg", "min", "max", "median", "stddev"
]
FUNCTIONS: tuple[Function, ...] = get_args(Function)


@dataclass(frozen=True, slots=True)
class Measure:
    """One aggregate: `Measure("sum", "amount", "total")`."""

    function: Function
    column: str = ""
    """Empty only for `count`: rows."""
    name: str = ""
    """What to call it; default `<function>_<column>`, or `count`."""

    @property
    def label(self) -> str:
        """What the column is called."""
        return self.name or "_".join(filter(None, (self.function, self.column)))

    @property
    def sql(self) -> str:
        """The aggregate.

        Raises:
            QueryError: There is no such function, or it needs a column.
        """
        if self.function not in FUNCTIONS:
            raise QueryError(f"no measure {self.function!r}", fix=f"one of: {', '.join(FUNCTIONS)}")
        if not self.column:
            if self.function != "count":
                raise QueryError(f"{self.function} needs a column")
            return "count(*)"
        if self.function == "count_distinct":
            return f"count(DISTINCT {quote(self.column)})"
        return f"{self.function}({quote(self.column)})"


@dataclass(frozen=True, slots=True)
class Scan:
    """`SELECT columns FROM dataset ...`: see `View.scan`."""

    dataset: str
    columns: tuple[str, ...]
    where: Expression | None
    order: Sequence[Order]
    limit: int | None
    after: Sequence[Any] | None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it names."""
        return (*self.columns, *named(self.where), *(term.column for term in self.order))

    def statement(self, taken: Mapping[str, Any]) -> Statement:
        """Its SQL and parameters; names in `taken` are left free."""
        params = dict(taken)
        conditions = [to_sql(self.where, params)] if self.where is not None else []
        if self.after is not None:
            conditions.append(_after(self.order, self.after, params))
        shown = ", ".join(map(quote, self.columns))
        tail = _tail(conditions, self.order, self.limit)
        return f"SELECT {shown} FROM {quote(self.dataset)}{tail}", _own(params, taken)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`SELECT group, measures FROM dataset GROUP BY ...`: see `View.aggregate`."""

    dataset: str
    group: tuple[str, ...]
    measures: tuple[Measure, ...]
    where: Expression | None
    having: Expression | None
    order: Sequence[Order]
    limit: int | None
    first: int

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read into groups and measures."""
        measured = (m.column for m in self.measures if m.column)
        return tuple(dict.fromkeys((*self.group, *measured)))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the dataset that it names."""
        return (*self.columns, *named(self.where))

    @property
    def labels(self) -> tuple[str, ...]:
        """What the columns of the result are called."""
        return (*self.group, *(m.label for m in self.measures))

    @property
    def made_names(self) -> tuple[str, ...]:
        """The columns of the result that it names."""
        return (*named(self.having), *(term.column for term in self.order))

    def coded(self, relation: Relation, seen: pa.Schema) -> tuple[str, ...]:
        """The texts of the group that may come as codes: shown as they are, and in no other part of the statement."""
        if len({label.casefold() for label in self.labels}) < len(self.labels):
            return ()
        busy = {m.column for m in self.measures} | {*named(self.where), *named(self.having)}
        return tuple(
            name
            for name in self.group
            if _is_text(seen.field(name).type)
            and name not in busy
            and relation.columns.get(name, quote(name)) == quote(name)
            and quote(name) not in relation.where
        )

    def statement(self, taken: Mapping[str, Any], coded: Sequence[str] = ()) -> Statement:
        """Its SQL and parameters; names in `taken` are left free. Columns in `coded` are text again in the result.

        Raises:
            QueryError: It asks for nothing, or for a measure that there is not.
        """
        if not self.labels:
            raise QueryError("an aggregate needs a group or a measure")
        params, source = dict(taken), quote(self.dataset)
        if self.first:
            source = f"(SELECT * FROM {source} LIMIT {int(self.first)})"
        keys = ", ".join(map(quote, self.group))
        made = ", ".join(f"{m.sql} AS {quote(m.label)}" for m in self.measures)
        inner = f"SELECT {', '.join(filter(None, (keys, made)))} FROM {source}"
        inner += f" WHERE {to_sql(self.where, params)}" if self.where is not None else ""
        inner += f" GROUP BY {keys}" if keys else ""
        conditions = [to_sql(self.having, params)] if self.having is not None else []
        plain = {name: f"{quote(name)}::VARCHAR AS {quote(name)}" for name in coded}
        shown = ", ".join(plain.get(label, quote(label)) for label in self.labels)
        tail = _tail(conditions, self.order, self.limit)
        return f"SELECT {shown if coded else '*'} FROM ({inner}){tail}", _own(params, taken)


def named(where: Expression | None) -> tuple[str, ...]:
    """The columns that a condition names."""
    return columns_of(where) if where is not None else ()


def more_than(sql: str, most: int) -> str:
    """One row where the SELECT `sql` gives more than `most` rows, else none."""
    return f"SELECT 1 AS more FROM ({sql}) LIMIT 1 OFFSET {most}"


def digest(*parts: object) -> str:
    """A short digest of `parts`, which are told apart by how they are written in Python."""
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _tail(conditions: Sequence[str], order: Sequence[Order], limit: int | None) -> str:
    where = f" WHERE {' AND '.join(f'({c})' for c in conditions)}" if conditions else ""
    ordered = f" ORDER BY {', '.join(o.sql for o in order)}" if order else ""
    return where + ordered + (f" LIMIT {int(limit)}" if limit is not None else "")


def _after(order: Sequence[Order], values: Sequence[Any], params: dict[str, Any]) -> str:
    """The rows that come after `values` in `order`, nulls last."""
    if len(order) != len(values):
        raise QueryError(
            f"{len(values)} values to go on after, for an order of {len(order)} columns"
        )
    arms, same = [], ""
    for term, value in zip(order, values, strict=True):
        column = quote(term.column)
        if value is not None:
            name = f"f{len(params)}"
            params[name] = value
            beyond = f"({column} {'<' if term.descending else '>'} ${name} OR {column} IS NULL)"
            arms.append(same + beyond)
            same += f"{column} = ${name} AND "
        else:
            same += f"{column} IS NULL AND "
    return " OR ".join(f"({arm})" for arm in arms) or "FALSE"


def _own(params: Mapping[str, Any], taken: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name not in taken}


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
