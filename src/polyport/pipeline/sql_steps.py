"""SQL steps: one SELECT a file, given to the engine as it is written, so that its error lines are the file's."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import sqlglot
from sqlglot import exp

from polyport.errors import TransformError
from polyport.expression import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from polyport.descriptor.sql import Named

SCHEMAS = ("raw", "clean")
_WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Into)
_PAST_THE_PORTS = ("read_", "parquet_", "sniff_", "query", "glob", "sqlite_", "postgres_", "mysql_")


class Edit(NamedTuple):
    """One replacement in a text."""

    start: int
    end: int
    """Exclusive."""
    new: str


@dataclass(frozen=True, slots=True)
class Names:
    """What the engine calls the tables of a step."""

    shadowed: frozenset[str] = frozenset()
    """Names that a common table expression of the step has too, in lower case."""

    def of(self, name: str, schema: str) -> str:
        """The one name of the table that the step calls `name`, `raw.name` or `clean.name`."""
        if schema:
            return f"{schema.lower()}.{name}"
        return f"table {name}" if name.lower() in self.shadowed else name


@dataclass(frozen=True, slots=True)
class SqlCode:
    """A SQL step, ready for the engine."""

    text: str
    """What the engine runs: the file's text, with `raw.x` and `clean.x` as names of their own."""
    original: str
    names: Names
    edits: tuple[Edit, ...] = ()

    def place(self, line: int, column: int) -> tuple[int, int]:
        """Line and column in the file of a line and column in `text`; line 0 stays 0."""
        if not line:
            return 0, 0
        offset, shift = _offset(self.text, line, column), 0
        for edit in self.edits:
            begin = edit.start + shift
            if offset < begin + len(edit.new):
                offset = min(offset, begin)
                break
            shift += len(edit.new) - (edit.end - edit.start)
        return line_column(self.original, offset - shift)


def read_sql(text: str, where: str, *, tables: Sequence[Named], dialect: str) -> SqlCode:
    """The step that `text` holds, which is known to be one query over `tables`.

    Raises:
        TransformError: It writes, or reads data past the input ports.
    """
    statements = sqlglot.parse(text, dialect=dialect)
    tree = next(s for s in statements if isinstance(s, exp.Query | exp.Values | exp.Pivot))
    writes = tree.find(*_WRITES)
    if writes is not None:
        raise TransformError(
            f"{writes.key.upper()} inside a SELECT: a step changes nothing",
            where=_place(writes, text, where),
            fix="write one SELECT that only reads",
        )
    for table in tree.find_all(exp.Table):
        _check_function(table, text, where)
    starts = {t.start for t in tables}
    named = [t for t in tree.find_all(exp.Table) if t.this.meta.get("start") in starts]
    names = Names(frozenset(c.alias.lower() for c in tree.find_all(exp.CTE)))
    head = Edit(0, len(text) - len(text.lstrip()), "")
    edits = sorted({head, *_one_name(named, tree, names), *_semicolons(text, dialect)})
    return SqlCode(_apply(text, edits), text, names, tuple(edits))


def _check_function(table: exp.Table, text: str, where: str) -> None:
    """Functions that make rows are fine; those that read files go past the raw data."""
    if not isinstance(table.this, exp.Func):
        return
    said = table.this.name if isinstance(table.this, exp.Anonymous) else table.this.sql_name()
    if said.lower().startswith(_PAST_THE_PORTS):
        raise TransformError(
            f"{said.lower()}() reads data past the input ports, so a run could not be rebuilt",
            where=_place(table, text, where),
            fix="declare an input port for it and select from that",
        )


def _one_name(tables: Iterable[exp.Table], tree: exp.Expr, names: Names) -> Iterator[Edit]:
    """`raw.x` becomes the one name `"raw.x"`, which the columns beside it still call `x`."""
    tables = list(tables)
    called = Counter(t.alias_or_name.lower() for t in tables)
    kept: dict[tuple[str, str], str] = {}
    for table in tables:
        first = table.args.get("db") or table.this
        one = names.of(table.name, table.db)
        if one == table.name:
            continue
        alone = table.alias or called[table.name.lower()] == 1
        alias = f" AS {quote(table.name)}" if alone and not table.alias else ""
        kept[table.db.lower(), table.name.lower()] = table.name if alone else one
        yield Edit(first.meta["start"], table.this.meta["end"] + 1, f"{quote(one)}{alias}")
    for column in tree.find_all(exp.Column):
        said = kept.get((column.db.lower(), column.table.lower())) if column.db else None
        if said is not None:
            start, end = column.args["db"].meta["start"], column.args["table"].meta["end"] + 1
            yield Edit(start, end, quote(said))


def _semicolons(text: str, dialect: str) -> Iterator[Edit]:
    """The one at the end, which the engine must not see inside a larger statement."""
    for token in sqlglot.tokenize(text, dialect=dialect):
        if token.token_type is sqlglot.TokenType.SEMICOLON:
            yield Edit(token.start, token.end + 1, " ")


def _place(node: exp.Expr, text: str, where: str) -> str:
    starts = [n.meta["start"] for n in node.walk() if "start" in n.meta]
    if not starts:
        return where
    line, column = line_column(text, min(starts))
    return f"{where}:{line}:{column}"


def _apply(text: str, edits: Sequence[Edit]) -> str:
    for edit in reversed(edits):
        text = text[: edit.start] + edit.new + text[edit.end :]
    return text


def _offset(text: str, line: int, column: int) -> int:
    lines = text.split("\n")
    return sum(len(one) + 1 for one in lines[: line - 1]) + max(column - 1, 0)


def line_column(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of the character at `offset`."""
    head = text[: max(offset, 0)]
    return head.count("\n") + 1, len(head) - (head.rfind("\n") + 1) + 1
