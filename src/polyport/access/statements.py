"""The SQL of a View's reads: identifiers quoted, values bound, nothing else from outside."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import pyarrow as pa

from polyport.errors import QueryError
from polyport.expression import quote, to_sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.expression import Expression
    from polyport.model import Relation


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


def scan(  # noqa: PLR0913 - one argument a clause
    dataset: str,
    columns: Sequence[str],
    *,
    where: Expression | None,
    order: Sequence[Order],
    limit: int | None,
    after: Sequence[Any] | None,
    taken: Mapping[str, Any],
) -> tuple[str, dict[str, Any]]:
    """`SELECT columns FROM dataset ...`, and its parameters; names in `taken` are left free."""
    params = dict(taken)
    conditions = [to_sql(where, params)] if where is not None else []
    if after is not None:
        conditions.append(_after(order, after, params))
    shown = ", ".join(map(quote, columns))
    sql = f"SELECT {shown} FROM {quote(dataset)}" + _tail(conditions, order, limit)
    return sql, {k: v for k, v in params.items() if k not in taken}


def aggregate(  # noqa: PLR0913 - one argument a clause
    dataset: str,
    group: Sequence[str],
    measures: Sequence[Measure],
    *,
    where: Expression | None,
    having: Expression | None,
    order: Sequence[Order],
    limit: int | None,
    first: int,
    taken: Mapping[str, Any],
    coded: Sequence[str] = (),
) -> tuple[str, dict[str, Any]]:
    """`SELECT group, measures FROM dataset GROUP BY ...`, and its parameters. `first`: of so many rows; 0: all."""
    if not group and not measures:
        raise QueryError("an aggregate needs a group or a measure")
    params = dict(taken)
    keys = [quote(g) for g in group]
    shown = ", ".join((*keys, *(f"{m.sql} AS {quote(m.label)}" for m in measures)))
    rows = f"(SELECT * FROM {quote(dataset)} LIMIT {int(first)})" if first else quote(dataset)
    inner = f"SELECT {shown} FROM {rows}"
    inner += f" WHERE {to_sql(where, params)}" if where is not None else ""
    inner += f" GROUP BY {', '.join(keys)}" if keys else ""
    conditions = [to_sql(having, params)] if having is not None else []
    given = [
        *(
            f"{key}::VARCHAR AS {key}" if g in coded else key
            for g, key in zip(group, keys, strict=True)
        ),
        *(quote(m.label) for m in measures),
    ]
    shown = ", ".join(given) if coded else "*"
    sql = f"SELECT {shown} FROM ({inner})" + _tail(conditions, order, limit)
    return sql, {k: v for k, v in params.items() if k not in taken}


def coded(
    relation: Relation, seen: pa.Schema, group: Sequence[str], measures: Sequence[Measure]
) -> tuple[str, ...]:
    """The texts of `group` that may come as codes: shown as they are, and in no other part of the statement."""
    labels = [*group, *(m.label for m in measures)]
    if len({label.casefold() for label in labels}) < len(labels):
        return ()
    busy = {m.column for m in measures}
    return tuple(
        name
        for name in group
        if (
            pa.types.is_string(seen.field(name).type)
            or pa.types.is_large_string(seen.field(name).type)
        )
        and name not in busy
        and relation.columns.get(name, quote(name)) == quote(name)
        and quote(name) not in relation.where
    )


def more_than(sql: str, most: int) -> str:
    """One row where the SELECT `sql` gives more than `most` rows, else none."""
    return f"SELECT 1 AS more FROM ({sql}) LIMIT 1 OFFSET {most}"


def changes(key: Sequence[str], old: Sequence[str], new: Sequence[str]) -> str:
    """Rows of `_before` and `_after` that differ: `_change`, `before`, `after`.

    With a key: a full join on key and a hash of the rest (the cheapest of the measured formulations), and the rows
    joined back for the keys that changed. Without: the difference of two bags.
    """
    after, before = _struct("a", new), _struct("b", old)
    if not key:
        gone, come = _bag_difference(old, new)
        return (
            f"SELECT 'removed' AS _change, {before} AS before, NULL AS after FROM ({gone}) b"
            f" UNION ALL SELECT 'added', NULL, {after} FROM ({come}) a"
        )
    joined = " AND ".join(f"{{0}}.{quote(k)} = d.{quote(k)}" for k in key)
    return (
        f"SELECT d._change, CASE WHEN d._change <> 'added' THEN {before} END AS before,"
        f" CASE WHEN d._change <> 'removed' THEN {after} END AS after"
        f" FROM ({_differing(key, old, new)}) d LEFT JOIN _before b ON {joined.format('b')}"
        f" LEFT JOIN _after a ON {joined.format('a')} ORDER BY {', '.join(f'd.{quote(k)}' for k in key)}"
    )


def count_changes(key: Sequence[str], old: Sequence[str], new: Sequence[str]) -> str:
    """How many rows differ: `_change`, `n`."""
    if key:
        return f"SELECT _change, count(*) AS n FROM ({_differing(key, old, new)}) GROUP BY 1"
    gone, come = _bag_difference(old, new)
    return (
        f"SELECT 'removed' AS _change, count(*) AS n FROM ({gone}) HAVING count(*) > 0"
        f" UNION ALL SELECT 'added', count(*) FROM ({come}) HAVING count(*) > 0"
    )


def renamed(relation: Relation, prefix: str) -> Relation:
    """The same relation with other parameter names, so that two can stand in one query."""
    names = {name: prefix + name for name in relation.params}

    def swap(sql: str) -> str:
        return re.sub(r"\$(f\d+)", lambda found: "$" + names.get(found[1], found[1]), sql)

    return replace(
        relation,
        columns={name: swap(sql) for name, sql in relation.columns.items()},
        where=swap(relation.where),
        params={names[name]: value for name, value in relation.params.items()},
    )


def digest(parts: Sequence[str]) -> str:
    """A short digest of `parts`."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


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


def _struct(alias: str, names: Sequence[str]) -> str:
    return "{" + ", ".join(f"{_text(n)}: {alias}.{quote(n)}" for n in names) + "}"


def _text(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _differing(key: Sequence[str], old: Sequence[str], new: Sequence[str]) -> str:
    keys = ", ".join(map(quote, key))

    def hashed(table: str, names: Sequence[str]) -> str:
        rest = ", ".join(quote(n) for n in names if n not in key) or "0"
        return f"(SELECT {keys}, hash({rest}) AS _h FROM {table})"

    same = set(old) == set(new)
    anything = "" if same else " OR TRUE"
    return (
        f"SELECT {keys}, CASE WHEN o._h IS NULL THEN 'added' WHEN n._h IS NULL THEN 'removed'"
        f" ELSE 'changed' END AS _change FROM {hashed('_before', new if same else old)} o"
        f" FULL JOIN {hashed('_after', new)} n USING ({keys}) WHERE o._h IS DISTINCT FROM n._h{anything}"
    )


def _bag_difference(old: Sequence[str], new: Sequence[str]) -> tuple[str, str]:
    """(gone, come): SQL for the rows of one that the other has not, each as often."""
    if set(old) != set(new):
        return "SELECT * FROM _before", "SELECT * FROM _after"
    names = ", ".join(map(quote, new))
    return (
        f"SELECT {names} FROM _before EXCEPT ALL SELECT {names} FROM _after",
        f"SELECT {names} FROM _after EXCEPT ALL SELECT {names} FROM _before",
    )
