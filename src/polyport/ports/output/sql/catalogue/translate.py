"""Simple queries of PostgreSQL's catalogue, for SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

from polyport.ports.output.sql.catalogue.small import (
    BOOL,
    COLUMNS,
    INT4,
    INT8,
    NAME,
    RELATIONS,
    TEXT,
    TYPES,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NILADIC: Mapping[type[exp.Expr], str] = {
    exp.CurrentSchema: "current_schema",
    exp.CurrentUser: "current_user",
    exp.CurrentCatalog: "current_database",
    exp.CurrentDatabase: "current_database",
    exp.SessionUser: "current_user",
    exp.CurrentVersion: "version",
}
_TRUTHS = (exp.Predicate, exp.And, exp.Or, exp.Not, exp.Boolean)


class NotHereError(Exception):
    """The built-in catalogue cannot answer the query."""


def parsed(sql: str) -> exp.Expr:
    """The query in `sql`.

    Raises:
        NotHereError: It is none that can be read.
    """
    try:
        found = sqlglot.parse_one(sql, read="postgres")
    except sqlglot.errors.SqlglotError as error:
        raise NotHereError(str(error)) from error
    if not isinstance(found, exp.Query):
        raise NotHereError("it is no query")
    return found


def translated(query: exp.Expr) -> str:
    """`query` for SQLite; its parameters are called `1`, `2`, ...

    Raises:
        NotHereError: It names a relation that the built-in catalogue does not have.
    """
    query = query.copy()
    local = {cte.alias for cte in query.find_all(exp.CTE)}
    for table in query.find_all(exp.Table):
        of_schema = table.db.lower() == "information_schema"
        name = f"information_schema.{table.name}".lower() if of_schema else table.name
        if name not in RELATIONS and (table.db or name not in local):
            raise NotHereError(f"it has no {name or 'functions that give rows'}")
        table.set("this", exp.to_identifier(name, quoted=True))
        table.set("db", None)
        table.set("catalog", None)
    for column in query.find_all(exp.Column):
        if column.db:  # pg_catalog.pg_class.relname, as SQLAlchemy writes it
            named = column.db.lower() == "information_schema"
            relation = f"information_schema.{column.table}".lower() if named else column.table
            column.set("table", exp.to_identifier(relation, quoted=True))
            column.set("db", None)
            column.set("catalog", None)
    for node in reversed(list(query.walk())):
        made = _node(node)
        if made is not node:
            node.replace(made)
    return query.sql(dialect="sqlite")


def parameters(query: exp.Expr) -> int:
    """How many parameters `query` has."""
    numbers = [int(p.name) for p in query.find_all(exp.Parameter) if p.name.isdigit()]
    return max(numbers, default=0)


def result_types(query: exp.Expr, names: Sequence[str]) -> list[int]:
    """The OIDs of the types of the columns that `query` gives, called `names`."""
    said = query.selects if isinstance(query, exp.Query) else []
    if len(said) != len(names) or any(s.is_star for s in said):
        return [COLUMNS.get(name, TEXT) for name in names]
    return [_type_of(expression) for expression in said]


def result_names(query: exp.Expr, names: Sequence[str]) -> list[str]:
    """What PostgreSQL calls the columns; `names`: what SQLite calls them."""
    said = query.selects if isinstance(query, exp.Query) else []
    if len(said) != len(names) or any(s.is_star for s in said):
        return list(names)
    return [_name_of(expression) for expression in said]


def _name_of(expression: exp.Expr) -> str:
    if expression.alias_or_name:
        return str(expression.alias_or_name)
    if isinstance(expression, exp.Dot):
        return _name_of(expression.expression)
    if isinstance(expression, exp.Cast):
        return _name_of(expression.this)
    if type(expression) in _NILADIC:
        return _NILADIC[type(expression)]
    if isinstance(expression, exp.Case):
        return "case"
    return str(expression.sql_name()).lower() if isinstance(expression, exp.Func) else "?column?"


def _type_of(expression: exp.Expr) -> int:
    bare = expression.unalias()
    if isinstance(bare, exp.Dot):
        bare = bare.expression
    if isinstance(bare, exp.Column):
        return COLUMNS.get(bare.name, TEXT)
    if isinstance(bare, exp.Cast):
        kind = bare.to.sql(dialect="postgres").lower()
        return next((t[0] for n, t in TYPES.items() if kind in {n, t[4]}), TEXT)
    if isinstance(bare, _TRUTHS) or bare.name.startswith(("has_", "pg_is_", "pg_table_is")):
        return BOOL
    if type(bare) in _NILADIC:
        return TEXT if isinstance(bare, exp.CurrentVersion) else NAME
    if isinstance(bare, exp.Count):
        return INT8
    return INT4 if bare.is_int or bare.name == "pg_backend_pid" else TEXT


def _node(node: exp.Expr) -> exp.Expr:
    """One node of the query as SQLite can run it."""
    niladic = _NILADIC.get(type(node), "")
    if isinstance(node, exp.Column) and node.sql().lower() == "user":
        niladic = "current_user"
    if niladic:
        return _call(niladic)
    if isinstance(node, exp.Cast):
        kind = node.to.sql(dialect="postgres").lower().rpartition(".")[2]
        inner: exp.Expr = node.this
        return _call(f"pg_{kind}", inner) if kind in {"regtype", "regclass"} else inner
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
        return node.expression
    if isinstance(node, exp.Parameter):
        return exp.Placeholder(this=node.name)
    if isinstance(node, exp.EQ) and isinstance(node.expression, exp.Any):
        return _among(node)
    return _matched(node)


def _among(node: exp.EQ) -> exp.Expr:
    array = node.expression.this.unnest()
    if not isinstance(array, exp.Array):
        raise NotHereError("it compares with an array that is not written out")
    return exp.In(this=node.this, expressions=array.expressions)


def _matched(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Like) and not isinstance(node.parent, exp.Escape):
        return exp.Escape(this=node.copy(), expression=exp.Literal.string("\\"))
    if isinstance(node, exp.Collate):
        inner: exp.Expr = node.this
        return inner
    if isinstance(node, exp.RegexpLike):
        return _call("pg_match", node.this, node.expression)
    if isinstance(node, exp.RegexpILike):
        return _call("pg_imatch", node.this, node.expression)
    if isinstance(node, exp.Operator):
        operator = str(node.args["operator"]).rpartition(".")[2]
        functions = {"~": "pg_match", "~*": "pg_imatch"}
        if operator.lstrip("!") in functions:
            match = _call(functions[operator.lstrip("!")], node.this, node.expression)
            return exp.Not(this=match) if operator.startswith("!") else match
        raise NotHereError(f"it has no operator {operator}")
    return node


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))
