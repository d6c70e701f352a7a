"""Operators that PostgreSQL has for types for which the engine has none: only its binder knows the types.

So a statement is mended when the binder refuses it: the one operator of which it tells is said otherwise, and what
comes of it is checked as any statement.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import duckdb

from polyport.engine.walled import arrays, faults, guard, making, nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

MOST = 32
"""Operators of one statement that are mended."""
_JOINED = re.compile(r"Cannot concatenate (?:lists of )?types (\S.*) and (\S.*) - an explicit cast")
_DIVIDED = re.compile(r"argument types '//\(INTERVAL, ([A-Z]+)")
_NUMBER = re.compile(
    r"U?(?:TINY|SMALL|BIG|HUGE)?INT(?:EGER)?(?:_LITERAL)?|DECIMAL(?:\(\d+,\d+\))?|FLOAT|DOUBLE"
)
_LIST = re.compile(r"(\w+)\[\]")
_DIVIDES = ("/", "//")


def mended(
    con: duckdb.DuckDBPyConnection,
    checked: guard.Checked,
    own: Collection[str],
    values: Sequence[Any] | None,
    define: Callable[[Collection[str]], None],
) -> guard.Checked | None:
    """A statement instead of `checked`, of which the binder takes more; None where nothing can be mended.

    `define`: makes the macros among the functions that it calls.

    Raises:
        RefusedError: It says what no consumer may.
    """
    found = checked
    for _ in range(MOST):
        try:
            con.execute(f"EXPLAIN {found.sql}", values or None).fetchall()
        except duckdb.BinderException as error:
            try:
                sql = _again(con, found.sql, *faults.said(error))
            except nodes.RefusedError as refused:  # its place is one in another text
                raise nodes.RefusedError(refused.message, refused.fix) from None
            if sql is None:
                break
            again = guard.check(con, sql, own)
            if {*again.tables} != {*checked.tables}:
                return None
            define(again.functions)
            found = replace(checked, sql=again.sql, functions=again.functions, rewritten=True)
        else:
            break
    return None if found is checked else found


def _again(con: duckdb.DuckDBPyConnection, sql: str, message: str, position: int) -> str | None:
    """A statement with one operator said otherwise."""
    joined, divided = _JOINED.search(message), _DIVIDED.search(message)
    if position < 0 or not (joined or divided):
        return None
    rows = con.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    tree = json.loads(rows[0][0])
    node = _operator(tree, ("||",) if joined else _DIVIDES, position)
    if node is None:
        return None
    changed = _appended(node, joined[1], joined[2]) if joined else _divided(node, divided)
    if not changed:
        return None
    rows = con.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]).fetchall()
    return str(rows[0][0])


def _operator(tree: Any, names: Collection[str], position: int) -> dict[str, Any] | None:
    """The innermost call of an operator that has an argument, or itself, at a place."""
    found = None
    for node in _below(tree):
        if nodes.path(node)[-1:] and nodes.path(node)[-1] in names and node.get("is_operator"):
            places = [nodes.place(node), *map(nodes.place, making.arguments(node))]
            found = node if position in places else found
    return found


def _below(node: Any) -> Iterator[dict[str, Any]]:
    """All nodes, those outside before those inside."""
    if isinstance(node, dict):
        yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from _below(child)


def _appended(node: dict[str, Any], left: str, right: str) -> bool:
    """`array || element`, `element || array`, and `array || '{1,2}'`."""
    arguments = making.arguments(node)
    for at, kind, other in ((1, right, left), (0, left, right)):
        item = _LIST.fullmatch(other) if kind == "VARCHAR" else None
        array = arrays.constant(arguments[at]) if item else None
        if item and array is not None:
            made = making.cast(making.texts(array), "list", item[1])
            node["arguments"][at]["expression"] = made
            return True
    if not _alike(left, right):
        return False
    more = left.count("[]") - right.count("[]")
    if abs(more) != 1:
        return False
    name = "list_append" if more > 0 else "list_prepend"
    making.become(node, making.call(node, name, arguments))
    return True


def _alike(left: str, right: str) -> bool:
    """Whether types are the same but for brackets, or both of numbers."""
    left, right = left.replace("[]", ""), right.replace("[]", "")
    return left == right or bool(_NUMBER.fullmatch(left) and _NUMBER.fullmatch(right))


def _divided(node: dict[str, Any], kinds: re.Match[str] | None) -> bool:
    """`interval / number`."""
    if kinds is None or not _NUMBER.match(kinds[1]):
        return False
    name = "polyport_interval_divided"
    making.become(node, making.call(node, name, making.arguments(node)))
    return True
