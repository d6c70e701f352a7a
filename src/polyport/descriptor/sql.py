"""What one SELECT says of itself: the tables that it names and the columns that it gives. Nothing is run."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

if TYPE_CHECKING:
    from collections.abc import Iterator

DIALECT = "duckdb"
logging.getLogger("sqlglot").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Named:
    """A name in a SQL text; `start` and `length` in characters."""

    name: str
    start: int
    length: int
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a text is not one SELECT."""

    message: str
    start: int
    length: int
    syntax: bool
    """False where the text parses and is something else."""


@dataclass(frozen=True, slots=True)
class Select:
    """One SELECT."""

    tables: tuple[Named, ...]
    """Those outside of the text: common table expressions are left out."""
    columns: tuple[Named, ...] | None
    """Of its result, in order; an expression without a name has an empty one. None: not told by the text alone."""


def read_select(text: str) -> Select | Problem:
    """What `text` is."""
    try:
        parsed = sqlglot.parse(text, dialect=DIALECT)
        statements = [s for s in parsed if s is not None and not isinstance(s, exp.Semicolon)]
    except ParseError as failure:
        return _parse_problem(text, failure.errors[0] if failure.errors else {})
    except SqlglotError as failure:
        return Problem(str(failure).splitlines()[0], max(len(text.rstrip()) - 1, 0), 1, syntax=True)
    if not statements:
        return Problem("there is no SELECT in it", 0, 1, syntax=False)
    if len(statements) > 1:
        start = _start(statements[1], text)
        return Problem("there is more than one statement in it", start, 1, syntax=False)
    (tree,) = statements
    if not isinstance(tree, exp.Query | exp.Values | exp.Pivot):
        words = text[_start(tree, text) :].split()
        word = words[0] if words else type(tree).__name__
        return Problem(
            f"`{word.upper()}` is not a SELECT", _start(tree, text), len(word), syntax=False
        )
    return Select(tuple(_tables(tree)), _columns(tree))


def _parse_problem(text: str, said: dict[str, Any]) -> Problem:
    highlight = said.get("highlight") or ""
    lines = text.split("\n")
    line, column = said.get("line") or 1, said.get("col") or 1
    start = sum(len(part) + 1 for part in lines[: line - 1]) + max(column - len(highlight), 0)
    message = str(said.get("description") or "it cannot be parsed")
    if "SENTINEL" in message:
        message = "it ends too early"
    if "Required keyword" in message:
        message = f"`{highlight}` lacks what should follow it"
    return Problem(message.partition(" <Token")[0], start, max(len(highlight), 1), syntax=True)


def _start(tree: exp.Expr, text: str) -> int:
    """Where a statement begins, as far as its parts tell: the first word of the line of its first name."""
    starts = [n.meta["start"] for n in tree.find_all(exp.Identifier, exp.Star) if "start" in n.meta]
    line = text.rfind("\n", 0, min(starts)) + 1 if starts else 0
    return line + len(text[line:]) - len(text[line:].lstrip())


def _tables(tree: exp.Expr) -> Iterator[Named]:
    for table in tree.find_all(exp.Table, bfs=False):
        name = table.this
        if isinstance(name, exp.Identifier) and not (not table.db and _is_common(table)):
            start = name.meta.get("start", 0)
            yield Named(name.name, start, name.meta.get("end", start) - start + 1, table.db)


def _is_common(table: exp.Table) -> bool:
    """Whether a common table expression in sight has the table's name."""
    inside: exp.Expr = table
    above = table.parent
    while above is not None:
        with_ = above if isinstance(above, exp.With) else above.args.get("with_")
        names = (
            _in_sight(with_, inside) if isinstance(with_, exp.With) and with_ is not inside else ()
        )
        if table.name.lower() in names:
            return True
        inside, above = above, above.parent
    return False


def _in_sight(with_: exp.With, inside: exp.Expr) -> set[str]:
    """The common table expressions that `inside` may name: all from outside, those before it from within."""
    names = [cte.alias.lower() for cte in with_.expressions]
    if not any(cte is inside for cte in with_.expressions):
        return set(names)
    at = next(i for i, cte in enumerate(with_.expressions) if cte is inside)
    return set(names[: at + 1] if with_.recursive else names[:at])


def _columns(tree: exp.Expr, depth: int = 0) -> tuple[Named, ...] | None:
    while isinstance(tree, exp.SetOperation | exp.Subquery):
        if isinstance(tree, exp.SetOperation) and tree.args.get("by_name"):
            return None
        tree = tree.this
    if not isinstance(tree, exp.Select) or tree.args.get("pivots"):
        return None
    found: list[Named] = []
    for shown in tree.expressions:
        if isinstance(shown, exp.Star | exp.Columns | exp.Aliases) or shown.is_star:
            starred = _starred(tree, shown, depth)
            if starred is None:
                return None
            found += starred
        else:
            found.append(_column(shown))
    return tuple(found)


def _starred(tree: exp.Select, shown: exp.Expr, depth: int) -> tuple[Named, ...] | None:
    """The columns of `*` where it stands alone for one common table expression or subquery."""
    source = tree.args.get("from_")
    plain = isinstance(shown, exp.Star) and not any(shown.args.values())
    if not plain or source is None or tree.args.get("joins") or depth > 20:  # noqa: PLR2004
        return None
    inner: Any = source.this
    if isinstance(inner, exp.Table) and not inner.db and not inner.args.get("pivots"):
        inner = _common(inner)
    elif not isinstance(inner, exp.Subquery) or inner.args.get("pivots"):
        return None
    return _columns(inner, depth + 1) if inner is not None else None


def _common(table: exp.Table) -> exp.Expr | None:
    """The query behind a name, if a common table expression in sight has it."""
    above = table.parent
    while above is not None:
        with_ = above.args.get("with_")
        if isinstance(with_, exp.With) and not isinstance(above, exp.With):
            for cte in with_.expressions:
                if cte.alias.lower() == table.name.lower() and not cte.find_ancestor(exp.CTE):
                    return (
                        None
                        if cte.args["alias"].columns or table.find_ancestor(exp.CTE)
                        else cte.this
                    )
        above = above.parent
    return None


def _column(shown: exp.Expr) -> Named:
    while isinstance(shown, exp.Paren):
        shown = shown.this
    named = isinstance(shown, exp.Alias | exp.Column | exp.Dot)
    name = shown.args.get("alias") if isinstance(shown, exp.Alias) else None
    if isinstance(shown, exp.Column | exp.Dot):
        name = shown.args.get("expression") or shown.this
    anchor = (
        name if isinstance(name, exp.Identifier) else next(shown.find_all(exp.Identifier), None)
    )
    start = anchor.meta.get("start", 0) if anchor is not None else 0
    length = anchor.meta.get("end", start) - start + 1 if anchor is not None else 1
    return Named(shown.alias_or_name if named else "", start, length)
