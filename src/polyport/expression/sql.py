"""The filter language as SQL: values go as bound parameters only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyport.expression.tree import And, Attribute, Compare, In, Inside, IsNull, Like, Not, Or

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from polyport.expression.tree import Expression, Value


def quote(name: str) -> str:
    """`name` as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def to_sql(
    expression: Expression, params: dict[str, Any], principal: Mapping[str, str] | None = None
) -> str:
    """Standard SQL for `expression`; its values go into `params` under fresh names `f0`, `f1`, ...

    `principal` gives the values of `principal.<name>`; a name that it lacks is null, so nothing matches.
    """

    def bind(value: Value) -> str:
        name = f"f{len(params)}"
        params[name] = (principal or {}).get(value.name) if isinstance(value, Attribute) else value
        return f"${name}"

    return _write(expression, bind)


def _write(node: Expression, bind: Callable[[Value], str]) -> str:
    match node:
        case And(terms):
            return _joined(" AND ", terms, bind) if terms else "TRUE"
        case Or(terms):
            return _joined(" OR ", terms, bind) if terms else "FALSE"
        case Not(term):
            return f"NOT ({_write(term, bind)})"
        case Inside():
            return _write_inside(node, bind)
    return _write_leaf(node, quote(node.column), bind)


def _write_inside(node: Inside, bind: Callable[[Value], str]) -> str:
    place = quote(node.column)
    for name in node.path:
        place = f"({place}).{quote(name)}"
    if node.item and isinstance(node.test, Compare):
        return f"list_contains({place}, {bind(node.test.value)})"
    return _write_leaf(node.test, place, bind)


def _write_leaf(
    node: Compare | In | Like | IsNull, column: str, bind: Callable[[Value], str]
) -> str:
    match node:
        case Compare(_, op, value):
            return f"{column} {'<>' if op == '!=' else op} {bind(value)}"
        case In(_, values):
            return f"{column} IN ({', '.join(map(bind, values))})" if values else "FALSE"
        case Like(_, pattern):
            return f"{column} LIKE {bind(pattern)}"
        case IsNull():
            return f"{column} IS NULL"


def _joined(word: str, terms: tuple[Expression, ...], bind: Callable[[Value], str]) -> str:
    return "(" + word.join(_write(term, bind) for term in terms) + ")"
