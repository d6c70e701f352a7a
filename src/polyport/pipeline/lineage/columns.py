"""Which columns a step's columns come from: read off its SQL, or declared in the docstring of its Python."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

from polyport.pipeline.sql_steps import SqlCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from polyport.pipeline.plan import Plan, Step

Column: TypeAlias = tuple[str, str]
"""(the key of a table, a column of it)."""
Origins: TypeAlias = "dict[Column, str]"
"""Column -> the OpenLineage subtype of what was done with it."""

IDENTITY, CHANGED, SUMMED = "IDENTITY", "TRANSFORMATION", "AGGREGATION"
_RANK = {IDENTITY: 0, CHANGED: 1, SUMMED: 2}
_CLAUSES = {
    "where": "FILTER",
    "group": "GROUP_BY",
    "having": "FILTER",
    "qualify": "FILTER",
    "order": "SORT",
}
_ARROW = re.compile(r"^\s*(\w+)\s*(?:<-|←)\s*(\w+\.\w+(?:\s*,\s*\w+\.\w+)*)\s*$")


@dataclass(frozen=True, slots=True)
class Traced:
    """Where the columns of one table come from."""

    columns: Mapping[str, Origins]
    """Each column, in order."""
    whole: Origins
    """What decides on its rows and their order: filters, joins, groups."""
    unknown: tuple[str, ...] = ()
    """The steps behind it whose columns cannot be told, with the reason; then only its tables are known."""


def trace(plan: Plan, raw: Mapping[str, Sequence[str]]) -> dict[str, Traced]:
    """Each table of `plan`, by key, down to the columns of the input ports (`raw`: those of each, by key)."""
    found: dict[str, Traced] = {
        key: Traced({c: {(key, c): IDENTITY} for c in columns}, {}) for key, columns in raw.items()
    }
    for step in plan.steps:
        found[step.key] = _through(_step(step, found), step, found)
    return found


def unchanged(plan: Plan, raw: Mapping[str, Sequence[str]]) -> dict[Column, Column]:
    """Each column of a step's table that is one column of one table it reads, as it is -> that column.

    The names of the columns on the left are in lower case.
    """
    found = trace(plan, raw)
    made: dict[Column, Column] = {}
    for step in plan.steps:
        alone = _step(step, found)
        if isinstance(alone, Traced):
            for name, origins in alone.columns.items():
                if list(origins.values()) == [IDENTITY]:
                    made[step.key, name.lower()] = next(iter(origins))
    return made


def tables(plan: Plan, key: str) -> tuple[str, ...]:
    """The input ports' tables that the table `key` is made from, however far behind."""
    steps = {step.key: step for step in plan.steps}
    seen: dict[str, None] = {}
    waiting = [key]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen[one] = None
            waiting += steps[one].tables.values() if one in steps else ()
    return tuple(one for one in seen if one not in steps)


def _step(step: Step, found: Mapping[str, Traced]) -> Traced | str:
    """The step alone; why not, where its columns cannot be told."""
    if not isinstance(step.code, SqlCode):
        return _declared(step, found)
    given = tuple((name, key, tuple(found[key].columns)) for name, key in step.tables.items())
    if any(found[key].unknown for key in step.tables.values()):
        return "it reads a table whose columns are not known"
    return _sql(step.code.text, given)


def _through(alone: Traced | str, step: Step, found: Mapping[str, Traced]) -> Traced:
    """The step's origins replaced by theirs."""
    before = [found[key] for key in dict.fromkeys(step.tables.values())]
    unknown = tuple(dict.fromkeys(u for one in before for u in one.unknown))
    if isinstance(alone, str):
        return Traced({}, {}, unknown or (f"{step.where}: {alone}",))
    columns = {name: _replaced(origins, found) for name, origins in alone.columns.items()}
    whole = _replaced(alone.whole, found, keep=True)
    for one in before:
        whole = {**one.whole, **whole}
    return Traced(columns, whole, unknown)


def _replaced(origins: Origins, found: Mapping[str, Traced], *, keep: bool = False) -> Origins:
    made: Origins = {}
    for (key, column), how in origins.items():
        for origin, before in found[key].columns.get(column, {}).items():
            _add(made, origin, how if keep or _RANK[how] > _RANK[before] else before)
    return made


def _add(origins: Origins, origin: Column, how: str) -> None:
    known = origins.get(origin)
    if known is None or _RANK.get(how, -1) > _RANK.get(known, -1):
        origins[origin] = how


# SQL


@lru_cache(maxsize=512)
def _sql(text: str, given: tuple[tuple[str, str, tuple[str, ...]], ...]) -> Traced | str:
    """`given`: what the text calls a table, the table's key, its columns."""
    try:
        scope = _scope(text, given)
    except (SqlglotError, RecursionError) as error:
        return f"its SQL cannot be followed ({type(error).__name__})"
    if scope is None or not isinstance(scope.expression, exp.Query) or scope.expression.is_star:
        return "its SQL does not name the columns that it gives"
    known = {
        f"_t{n}": (key, {c.lower(): c for c in columns})
        for n, (_, key, columns) in enumerate(given)
    }
    reader = _Reader(known, {})
    columns = {name: reader.named(scope, at) for at, name in enumerate(_given(scope))}
    return Traced(columns, dict(reader.whole(scope)))


def _scope(text: str, given: tuple[tuple[str, str, tuple[str, ...]], ...]) -> Scope | None:
    tree = next(s for s in sqlglot.parse(text, dialect="duckdb") if s is not None)
    numbers = {name.lower(): f"_t{n}" for n, (name, _, _) in enumerate(given)}
    for table in list(tree.find_all(exp.Table)):
        number = numbers.get(table.name.lower())
        if number is not None and isinstance(table.this, exp.Identifier) and not table.db:
            called = table.alias_or_name
            table.set("this", exp.to_identifier(number))
            if not table.args.get("alias"):
                table.set("alias", exp.TableAlias(this=exp.to_identifier(called, quoted=True)))
    schema: dict[str, object] = {
        f"_t{n}": dict.fromkeys(columns, "VARCHAR") for n, (_, _, columns) in enumerate(given)
    }
    qualified = qualify(tree, schema=schema, dialect="duckdb", validate_qualify_columns=False)
    return build_scope(qualified)


def _given(scope: Scope) -> list[str]:
    return [one.alias_or_name for one in _selects(scope)]


def _selects(scope: Scope) -> list[exp.Expr]:
    query = scope.expression
    return list(query.selects) if isinstance(query, exp.Query) else []


@dataclass(slots=True)
class _Reader:
    """Follows columns through the scopes of one query."""

    known: Mapping[str, tuple[str, Mapping[str, str]]]
    """Table as renamed -> its key and its columns by name in lower case."""
    seen: dict[tuple[int, int], Origins]

    def named(self, scope: Scope, at: int) -> Origins:
        """What the column at place `at` of the scope's result comes from."""
        place = (id(scope), at)
        if place in self.seen:
            return self.seen[place]
        self.seen[place] = {}  # a recursive common table expression reads itself
        made: Origins = {}
        if scope.set_operation_scopes:
            for one in scope.set_operation_scopes:
                for origin, how in self.named(one, at).items():
                    _add(made, origin, how)
        else:
            selects = _selects(scope)
            if at < len(selects):
                made = self.used(scope, selects[at])
        self.seen[place] = made
        return made

    def used(self, scope: Scope, shown: exp.Expr) -> Origins:
        """What an expression in the scope comes from."""
        bare = shown.unalias()
        how = IDENTITY if isinstance(bare, exp.Column) else CHANGED
        how = SUMMED if bare.find(exp.AggFunc) and not bare.find(exp.Window) else how
        made: Origins = {}
        inner = {id(s.expression): s for s in scope.subquery_scopes}
        for column, within in _columns(bare, scope, inner):
            for origin, before in self.column(within, column).items():
                _add(made, origin, how if _RANK[how] > _RANK[before] else before)
        return made

    def column(self, scope: Scope, column: exp.Column) -> Origins:
        """What one column comes from."""
        above: Scope | None = scope
        while above is not None:
            source = above.sources.get(column.table)
            if isinstance(source, Scope):
                names = [n.lower() for n in _given(source)]
                wanted = column.name.lower()
                return self.named(source, names.index(wanted)) if wanted in names else {}
            if isinstance(source, exp.Table):
                key, columns = self.known.get(source.name.lower(), ("", {}))
                name = columns.get(column.name.lower())
                return {(key, name): IDENTITY} if name is not None else {}
            above = above.parent
        return {}

    def whole(self, root: Scope) -> Iterator[tuple[Column, str]]:
        """What all clauses but the SELECT lists read."""
        for scope in root.traverse():
            for name, how in _CLAUSES.items():
                clause = scope.expression.args.get(name)
                if isinstance(clause, exp.Expr):
                    yield from ((origin, how) for origin in self.used(scope, clause))
            for join in scope.expression.args.get("joins") or ():
                if join.args.get("on") is not None:
                    yield from ((origin, "JOIN") for origin in self.used(scope, join.args["on"]))


def _columns(
    tree: exp.Expr, scope: Scope, inner: Mapping[int, Scope]
) -> Iterator[tuple[exp.Column, Scope]]:
    """The columns in an expression, each with the scope that it stands in."""
    for column in tree.find_all(exp.Column):
        above: exp.Expr | None = column
        within = scope
        while above is not None and above is not tree.parent:
            if id(above) in inner:
                within = inner[id(above)]
                break
            above = above.parent
        yield column, within


# Python


def _declared(step: Step, found: Mapping[str, Traced]) -> Traced | str:
    """The lines `column <- table.column, table.column` in the function's docstring."""
    tree = ast.parse(step.file.path.read_text("utf-8-sig"))
    functions = (
        n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == step.file.name
    )
    text = next((ast.get_docstring(f) for f in functions), None) or ""
    columns: dict[str, Origins] = defaultdict(dict)
    for name, said in (m.groups() for line in text.splitlines() if (m := _ARROW.match(line))):
        for origin in said.split(","):
            table, _, column = origin.strip().partition(".")
            key = step.tables.get(table)
            if key is None or (column not in found[key].columns and not found[key].unknown):
                return f"it declares {origin.strip()}, which it does not read"
            columns[name][key, column] = CHANGED
    return (
        Traced(dict(columns), {})
        if columns
        else "its Python does not declare where columns come from"
    )
