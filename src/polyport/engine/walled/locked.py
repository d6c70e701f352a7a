"""The engine as a worker opens it: it sees what may be seen, and nothing of it can be changed from then on."""

from __future__ import annotations

import re
import resource
import sys
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PAGE = resource.getpagesize()


def opened(told: Mapping[str, Any], threads: int, scratch: str) -> duckdb.DuckDBPyConnection:
    """A connection that sees the relations of `told`, and spills to `scratch`.

    Raises:
        duckdb.Error: One of them cannot be read.
    """
    con = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_unsigned_extensions": False,
            "errors_as_json": True,
            "memory_limit": told["memory"],
            "threads": threads,
            "temp_directory": scratch,
            "max_temp_directory_size": told["spill"],
            "python_enable_replacements": False,
        }
    )
    catalog = _quoted(told["catalog"])
    con.execute("SET GLOBAL TimeZone = 'UTC'")
    con.execute("SET GLOBAL parquet_metadata_cache = true")  # files of snapshots never change
    con.execute(f"ATTACH ':memory:' AS {catalog}")
    con.execute(f"SET GLOBAL allowed_paths = [{', '.join(map(_literal, told['files']))}]")
    con.execute("SET GLOBAL enable_external_access = false")
    con.execute(f"USE {catalog}")
    if told["dialect"] == "postgres":
        con.execute("SET integer_division = true")
    for schema in told["schemas"]:
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(schema)}")
    for statement, table in told["statements"]:
        if table is not None:
            con.register("_rows", pa.ipc.open_stream(table).read_all())
        con.execute(statement)
        if table is not None:
            con.unregister("_rows")
    con.execute("SET lock_configuration = true")
    return con


def define(
    con: duckdb.DuckDBPyConnection, macros: Mapping[str, str], names: Iterable[str], made: set[str]
) -> None:
    """Make those of our macros that are called `names`, and all that they call, but for what is `made`.

    Most statements call none, and to make all of them takes longer than to open the engine.
    """
    wanted, more = set[str](), [name for name in names if name in macros]
    while more:
        name = more.pop()
        if name not in wanted and name not in made:
            wanted.add(name)
            more += words(macros[name]) & macros.keys()
    for name, macro in macros.items():  # each calls only those before it
        if name in wanted:
            con.execute(macro)
            made.add(name)


def words(sql: str) -> set[str]:
    """All words of a statement, in lower case: what it calls is among them."""
    return set(re.findall(r"\w+", sql.lower()))


def limit(memory: int, spill: int) -> None:
    """From here on no more than so many bytes: of memory beyond what is in use now, and in any one file."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - before anything else is loaded
        used = int(file.read().split()[0]) * PAGE
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (spill, spill))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(5_000)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
