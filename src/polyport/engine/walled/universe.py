"""What one worker sees and may take, and how it is told."""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport.engine.walled.guard import meant
from polyport.engine.walled.relations import defined
from polyport.errors import ConfigurationError
from polyport.expression import quote

if TYPE_CHECKING:
    from polyport.model import Relation


CORES = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Walls:
    """What one statement may take."""

    seconds: float = 60.0
    """How long it may be waited for, in all."""
    memory: str = "1GB"
    """Beyond it, work spills to disk."""
    spill: str = "4GB"
    threads: int = 2
    """How many work on it, where it reads much."""
    workers: int = 0
    """How many statements run at once; 0: four for each core."""
    rows: int = 0
    """How many rows its answer may have; 0: any number."""
    bytes: str = ""
    """How large its answer may be, as Arrow; empty: any size."""
    idle: float = 600.0
    """How many seconds a transaction may rest, for it holds its snapshots; 0: any number."""

    @property
    def most_workers(self) -> int:
        """How many run at once."""
        return self.workers or 4 * CORES


@dataclass(frozen=True, slots=True)
class Named:
    """One table that a statement may name."""

    digest: str
    """Equal if and only if the rows that it shows are."""
    names: tuple[tuple[str, ...], ...]
    """What it is called: `("films",)`, `("movie-popularity", "films")`."""
    relation: Relation
    rows: int = 0
    """About how many it reads."""


@dataclass(frozen=True, slots=True)
class Universe:
    """All that one worker can see. Immutable: whoever may see more or less has another worker."""

    tables: tuple[Named, ...]
    catalog: str = "mesh"
    dialect: str = "duckdb"
    key: tuple[Any, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        seen = tuple(sorted((t.digest, t.names) for t in self.tables))
        object.__setattr__(self, "key", (self.catalog, self.dialect, seen))


def told(universe: Universe, walls: Walls) -> dict[str, Any]:
    """What a worker is told before anything else."""
    statements: list[tuple[str, bytes | None]] = []
    views, names, paths = {}, {}, list[str]()
    inside = f"_{secrets.token_hex(8)}"  # no dataset is called so, and nobody can guess it
    schemas = {"main", inside}
    for number, named in enumerate(universe.tables):
        made, view = defined(named.relation), f"{inside}._t{number}"
        kind = "TABLE" if made.table is not None else "SECURE VIEW" if made.secure else "VIEW"
        table = _stream(made.table) if made.table is not None else None
        statements.append((f"CREATE {kind} {view} AS {made.sql}", table))
        paths += made.files
        views[named.digest] = view
        for name in named.names:
            shown = ".".join(map(quote, name if len(name) > 1 else ("main", *name)))
            schemas.update(name[:-1])
            statements.append((f"CREATE VIEW {shown} AS SELECT * FROM {view}", None))
            names[meant(name)] = named.digest
    macros = _macros(universe.dialect)
    return {
        "catalog": universe.catalog,
        "dialect": universe.dialect,
        "statements": statements,
        "schemas": sorted(schemas),
        "views": views,
        "rows": {named.digest: named.rows for named in universe.tables},
        "names": names,
        "files": paths,
        "macros": {name.lower(): m for m in macros for name in _MACRO.findall(m)},
        "memory": walls.memory,
        "spill": walls.spill,
        "threads": walls.threads,
        "bytes": 2 * size(walls.memory) + (1 << 29),
        "spill_bytes": size(walls.spill),
    }


_MACRO = re.compile(r"^\s*CREATE MACRO (\w+)")


def _macros(dialect: str) -> list[str]:
    file = files("polyport.engine.walled").joinpath(f"{dialect}.sql")
    text = file.read_text("utf-8") if file.is_file() else ""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [s for s in lines.split(";\n") if s.strip()]


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?\s*", re.IGNORECASE)


def size(text: str) -> int:
    """The bytes that a size such as `4GB` says.

    Raises:
        ConfigurationError: It says none.
    """
    found = _SIZE.fullmatch(text)
    if not found:
        raise ConfigurationError(f"{text!r} is not a size", where="sql", fix="a size such as 1GB")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))
