"""What consumers' SQL may say: an allow-list on the engine's own syntax tree.

The tree is the engine's, so that nothing can read otherwise here than it runs there. Every kind of node, every function
and every table has to be known; whatever is not, is refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, NoReturn

import duckdb

from polyport.engine.walled import dialect, likes, naming, nodes
from polyport.engine.walled.nodes import MOST_CHARACTERS, RefusedError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from polyport.engine.walled.nodes import Name

NEAR = 0.8
"""How much alike names are that are taken for each other: of `read_text`, nothing is meant that there is."""
SEMICOLONS = 20
"""How many are looked at, from the end, for the one that ends the statement."""
QUERY_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
TABLES = {"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "PIVOT"}
EXPRESSIONS = {
    "BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION", "LAMBDA",
    "LAMBDA_REF", "OPERATOR", "PARAMETER", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "TYPE", "WINDOW",
}  # fmt: skip
PARTS = {
    "ORDER_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "DISTINCT_MODIFIER",
    "ORDER_DEFAULT", "ASCENDING", "DESCENDING", "INVALID",
}  # fmt: skip
SHOWS = {"DESCRIBE", "SUMMARY"}
TABLE_FUNCTIONS = {"range", "generate_series", "unnest", "json_each", "json_tree", "repeat", "repeat_row"}  # fmt: skip
MOVING = {
    "age", "ago", "current_date", "current_localtime", "current_localtimestamp", "current_time", "current_timestamp",
    "gen_random_uuid", "get_current_time", "get_current_timestamp", "localtime", "localtimestamp", "now", "random",
    "reservoir_quantile", "setseed", "today", "transaction_timestamp", "uuid", "uuidv4", "uuidv7",
}  # fmt: skip
"""Functions, and words that stand for one, which say something else each time."""
CHANGES = ("polyport", "changes")
"""The one function of ours: `polyport.changes('films', 41, 42)`, a table for each three arguments."""


@dataclass(slots=True)
class Checked:
    """A statement that may run."""

    sql: str
    tables: list[Name] = field(default_factory=list)
    """The datasets and other tables that it names, each once; not those that it defines itself."""
    columns: set[str] = field(default_factory=set)
    """Every name that is used as a column, in lower case: those of the datasets are among them."""
    functions: set[str] = field(default_factory=set)
    """What it calls, as it runs."""
    star: bool = False
    """Whether it takes all columns of something."""
    lasting: bool = True
    """Whether it gives the same each time, over the same rows."""
    hints: dict[int, str] = field(default_factory=dict)
    """For parameters, by number: a SQL type, or `.column` for that of a column they are compared with."""
    parameters: int = 0
    """The highest number of a parameter."""
    rewritten: bool = False
    """Whether `sql` is not as it was written: places in it say nothing."""
    names: tuple[str, ...] = ()
    """What PostgreSQL calls its columns; empty where `*` leaves open how many there are."""


@cache
def functions() -> frozenset[str]:
    """The names of all functions, aggregates and operators that consumers may call."""
    text = files(__package__ or "").joinpath("functions.txt").read_text("utf-8")
    return frozenset(
        word for line in text.splitlines() if not line.startswith("#") for word in line.split()
    )


def check(
    con: duckdb.DuckDBPyConnection, sql: str, own: Collection[str] = (), *, postgres: bool = False
) -> Checked:
    """The statement `sql`, if it is one SELECT that says nothing but what consumers may; `own`: macros of ours.

    `postgres`: columns of subqueries without a name can be named as PostgreSQL calls them.

    Raises:
        RefusedError: It is not.
        duckdb.Error: The engine cannot read it.
    """
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        raise RefusedError(f"the statement is no text: {error.reason}", "UTF-8") from None
    if len(sql) > MOST_CHARACTERS:
        raise RefusedError(
            f"the statement has {len(sql):,} characters", f"at most {MOST_CHARACTERS:,}"
        )
    try:
        known = functions() | TABLE_FUNCTIONS | set(own)
        sql = likes.spelt(sql) if postgres else sql
        return _checked(con, _one(con, sql), known, postgres=postgres)
    except RecursionError:
        raise RefusedError("the statement is nested too deeply", "fewer levels") from None


def _checked(
    con: duckdb.DuckDBPyConnection, text: str, known: frozenset[str], *, postgres: bool = False
) -> Checked:
    rows = con.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchall()
    tree = json.loads(rows[0][0])
    if tree.get("error"):
        _unserialised(tree)
    names, unnamed = naming.names(tree), naming.unnamed(tree) if postgres else ()
    guard = _Guard(Checked(text), known, rewritten=postgres and dialect.translated(tree))
    for statement in tree["statements"]:
        guard.walk(statement, frozenset())
    found = guard.found
    found.names = names
    guard.rewritten |= naming.named(unnamed, found.columns)
    found.star |= bool(guard.ends & guard.called)  # a table's name is its whole row
    if guard.rewritten:
        rows = con.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]).fetchall()
        again = _checked(con, _one(con, rows[0][0]), known)  # what runs is what was checked
        if set(again.tables) != set(found.tables):
            raise RefusedError("the statement cannot be written with snapshots", '"films@41"')
        found.sql, found.functions, found.rewritten = again.sql, again.functions, True
    return found


def _one(con: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The text of the one SELECT that `sql` is."""
    found = con.extract_statements(sql)
    if len(found) != 1:
        many = f"{len(found)} statements" if found else "no statement"
        raise RefusedError(f"there is {many}", "one SELECT")
    if found[0].type == duckdb.StatementType.MULTI:
        raise RefusedError(
            "the columns of a PIVOT have to be listed",
            "PIVOT films ON year IN (1990, 2000) USING ...",
        )
    if found[0].type != duckdb.StatementType.SELECT:
        said = found[0].type.name.replace("_", " ")
        raise RefusedError(f"{said} is not for consumers: data products are read", "one SELECT")
    return _bare(con, str(found[0].query))


def _bare(con: duckdb.DuckDBPyConnection, text: str) -> str:
    """The statement without the semicolon, and what comes after it: others are put around it."""
    at = len(text)
    for _ in range(SEMICOLONS):
        at = text.rfind(";", 0, at)
        if at < 0:
            break
        try:
            if not con.extract_statements(text[at:]) and con.extract_statements(text[:at]):
                return _bare(con, text[:at])
        except duckdb.Error:  # it stands in a text or a comment
            continue
    return text


def _unserialised(tree: Mapping[str, Any]) -> NoReturn:
    message = str(tree.get("error_message", "")).splitlines()
    raise RefusedError(
        message[0] if message else "the statement cannot be read",
        "one SELECT",
        int(tree.get("position") or -1),
    )


@dataclass(slots=True)
class _Guard:
    """Walks one tree. `defined`: the names of common table expressions that are in sight at a place."""

    found: Checked
    functions: frozenset[str]
    rewritten: bool = False
    called: set[str] = field(default_factory=set)
    """What tables are called in the statement, in lower case."""
    ends: set[str] = field(default_factory=set)
    """The last part of each name that is used as a column, in lower case."""

    def walk(self, node: Any, defined: frozenset[str]) -> None:
        if isinstance(node, list):
            for each in node:
                self.walk(each, defined)
        elif isinstance(node, dict):
            self._known(node)
            self.found.lasting &= not node.get("sample")
            defined = self._define(node, defined)
            self._node(node, defined)
            for name, child in node.items():
                if name != "cte_map":
                    self.walk(child, defined | _recurring(node, name))

    def _define(self, node: dict[str, Any], defined: frozenset[str]) -> frozenset[str]:
        """What is in sight within `node`: an expression sees those before it."""
        for entry in (node.get("cte_map") or {}).get("map") or ():
            self.walk(entry["value"], defined)
            defined |= {folded(str(entry["key"]))}
        return defined

    def _known(self, node: dict[str, Any]) -> None:
        kind, what = node.get("class"), node.get("type")
        if kind is not None:
            known = kind in EXPRESSIONS
        elif isinstance(what, str):
            known = what in QUERY_NODES | TABLES | PARTS or (what == "SHOW_REF" and _shows(node))
        else:
            known = True
        if not known:
            said = str(kind or what).replace("_NODE", "").replace("_QUERY", "").replace("_", " ")
            raise RefusedError(
                f"{said} is not for consumers", "one SELECT over datasets", nodes.place(node)
            )

    def _node(self, node: dict[str, Any], defined: frozenset[str]) -> None:
        match node.get("class") or node.get("type"):
            case "BASE_TABLE":
                self._table(node, defined)
            case "TABLE_FUNCTION":
                self._table_function(node)
            case "FUNCTION" | "WINDOW":
                self._function(node)
                if node.get("is_operator") or nodes.path(node)[-1:] in likes.MADE:
                    self.found.hints = {**nodes.hints(node), **self.found.hints}
            case "TYPE":
                _type(node)
            case "PARAMETER":
                self._parameter(node)
            case "COMPARISON" | "BETWEEN" | "OPERATOR" | "CAST" | "LIMIT_MODIFIER":
                self.found.hints = {**nodes.hints(node), **self.found.hints}
            case _:
                self._columns(node)

    def _columns(self, node: dict[str, Any]) -> None:
        """Note the columns that a node names."""
        match node.get("class") or node.get("type"):
            case "STAR" | "POSITIONAL_REFERENCE":  # `#1` names no column
                self.found.star = True
            case "JOIN":
                self.found.star |= node.get("ref_type") == "NATURAL"
            case "COLUMN_REF":
                end = str(node["column_names"][-1]).lower()
                self.ends.add(end)
                self.found.lasting &= end not in MOVING
        for key in ("column_names", "using_columns", "groups"):
            names = node.get(key)
            self.found.columns.update(str(n).lower() for n in names or () if isinstance(n, str))

    def _table(self, node: dict[str, Any], defined: frozenset[str]) -> None:
        path = nodes.path(node)
        written = [
            node.get(k) for k in ("catalog_name", "schema_name", "table_name") if node.get(k)
        ]
        if not path or (written and list(path) != written):
            raise RefusedError(
                "a table without a name that can be read",
                "the name of a dataset",
                nodes.place(node),
            )
        self.called.add(str(node.get("alias") or path[-1]).lower())
        self.found.star |= bool(node.get("column_name_alias"))  # they hide the names of its columns
        when = node.get("at_clause")
        if len(path) == 1 and folded(path[0]) in defined:
            if when:
                raise RefusedError(
                    f"{path[0]} has no snapshots: it is defined here", "", nodes.place(node)
                )
            return
        if when:
            path = (*path[:-1], f"{path[-1]}@{_moment(when, node)}")
            del node["at_clause"]
            self._rename(node, path)
        if path not in self.found.tables:
            self.found.tables.append(path)

    def _rename(self, node: dict[str, Any], path: Name) -> None:
        node["qualified_name"] = {"path": list(path)}
        node["table_name"], node["schema_name"] = path[-1], path[-2] if len(path) > 1 else ""
        self.rewritten = True

    def _table_function(self, node: dict[str, Any]) -> None:
        call = node["function"]
        path = tuple(p.lower() for p in nodes.path(call))
        if path == CHANGES:
            name = "|".join(("changes", *_constants(call)))
            table = {
                "type": "BASE_TABLE",
                "alias": node.get("alias", ""),
                "sample": node.get("sample"),
            }
            node.clear()
            node.update(table)
            self._rename(node, (CHANGES[0], name))
            self.found.tables.append((CHANGES[0], name))
            return
        if len(path) != 1 or path[0] not in TABLE_FUNCTIONS:
            raise RefusedError(
                f"the table function {'.'.join(path)} is not for consumers",
                f"a dataset; or {', '.join(sorted(TABLE_FUNCTIONS))}",
                nodes.place(node),
            )

    def _function(self, node: dict[str, Any]) -> None:
        path = nodes.path(node) or (str(node.get("function_name", "")),)
        name = path[-1].lower()
        self.found.functions.add(name)
        self.found.lasting &= name not in MOVING
        if path[:-1] not in ((), ("pg_catalog",)) or name not in self.functions:
            known = [f for f in self.functions if not f.startswith(dialect.OWN)]
            near = get_close_matches(name, known, 1, NEAR)
            raise RefusedError(
                f"there is no function {'.'.join(path)} for consumers",
                f"did you mean {near[0]}?" if near else "",
                nodes.place(node),
            )

    def _parameter(self, node: dict[str, Any]) -> None:
        number = str(node.get("identifier", ""))
        if not number.isdecimal():
            raise RefusedError(
                f"the parameter ${number} has a name", "numbers: $1, $2; or ?", nodes.place(node)
            )
        self.found.parameters = max(self.found.parameters, int(number))


def folded(name: str) -> str:
    """A name as the engine compares it: it takes only A to Z for a to z."""
    return name.translate(_LOWER)


def meant(name: Name) -> str:
    """A key for what a table's name means: that of a snapshot is not folded, for tags are not either."""
    head, at, ref = name[-1].partition("@")
    last = name[-1] if head.startswith("changes|") else f"{folded(head)}{at}{ref}"
    return json.dumps([*map(folded, name[:-1]), last])


_LOWER = {ord(c): c.lower() for c in ascii_uppercase}


def _recurring(node: Mapping[str, Any], part: str) -> frozenset[str]:
    """A recursive expression sees itself in its second part only: in the first, the name is anybody's."""
    recurs = node.get("type") == "RECURSIVE_CTE_NODE" and part == "right"
    return frozenset({folded(str(node["cte_name"]))} if recurs else ())


def _type(node: Mapping[str, Any]) -> None:
    if len(nodes.path(node)) > 1:
        raise RefusedError(
            "a type has no schema", "a plain type, such as DECIMAL(18, 2)", nodes.place(node)
        )


def _shows(node: Mapping[str, Any]) -> bool:
    """Whether a SHOW describes a query, which is walked as any other."""
    return node.get("show_type") in SHOWS and bool(node.get("query")) and not nodes.path(node)


def _moment(clause: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    said = nodes.constant(clause.get("expr") or {})
    if said is None:
        raise RefusedError(
            "AT needs a snapshot", "films AT (VERSION => 41), or a time", nodes.place(node)
        )
    return said


def _constants(call: Mapping[str, Any]) -> Sequence[str]:
    """The arguments of `polyport.changes`: a dataset, and one or two snapshots."""
    said = [nodes.constant(a.get("expression") or {}) for a in call.get("arguments") or ()]
    values = [v for v in said if v is not None]
    if len(values) != len(said) or not 2 <= len(values) <= 3:  # noqa: PLR2004 - dataset, before, after
        raise RefusedError(
            "polyport.changes takes a dataset and one or two snapshots, as constants",
            "polyport.changes('films', 41, 42)",
            nodes.place(call),
        )
    return values
