"""The statements that make an empty PostgreSQL tell what one user may see: schemas, tables, keys, comments, rights."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from polyport.ports.output.sql.catalogue.columns import family, postgres_type
from polyport.ports.output.sql.catalogue.routing import FORBIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from polyport.descriptor.types import Property
    from polyport.ports.output.sql.catalogue.types import Table

LONGEST = 63
"""Bytes of a name in PostgreSQL."""
_KEY_COLUMNS = 32
_COLUMNS = 1600
_ROLE = "consumer"
"""For users whose names PostgreSQL keeps for itself."""
_SYSTEM_COLUMNS = frozenset(["tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"])
_SETTINGS = {
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "repeatable read",
    "TimeZone": "UTC",
}

PREPARE: tuple[str, ...] = (
    "SET allow_system_table_mods = on",
    "UPDATE pg_database SET datistemplate = false",
    "DROP DATABASE template0",
    "DROP DATABASE template1",
    "REVOKE ALL ON DATABASE postgres FROM PUBLIC",
    "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    "REVOKE USAGE ON LANGUAGE plpgsql, sql FROM PUBLIC",
    (
        "DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_proc"
        f" WHERE proname ~ '^({FORBIDDEN.pattern})$'"
        " LOOP EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f); END LOOP; END $$"
    ),
    (
        "CREATE FUNCTION pg_catalog.polyport_rows() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$"
        " BEGIN RAISE EXCEPTION 'one statement cannot ask for rows of datasets and for the catalogue'"
        " USING ERRCODE = 'feature_not_supported', HINT = 'ask for them in two statements'; END $$"
    ),
)
"""For the template of all catalogues, each on one line: takes from everybody what no reader of a catalogue needs.

`polyport_rows` guards the tables. It takes no column and is immutable, so PostgreSQL calls it while it plans: no
index, limit or condition can make a query end before it is called.
"""


_OTHERS = (
    "INSERT INTO pg_database SELECT (r).* FROM (SELECT jsonb_populate_record(d, jsonb_build_object("
    "'oid', 90000 + at, 'datname', name)) AS r FROM pg_database d,"
    " unnest(ARRAY[{names}]) WITH ORDINALITY AS o(name, at) WHERE d.datname = {database}) AS made"
)
"""Databases of which nothing is there but their names, for tools that list what can be connected to."""


@dataclass(frozen=True, slots=True)
class Names:
    """What things are called in PostgreSQL, where a name may be too long or taken."""

    schema: str
    table: str
    columns: Mapping[str, str]
    """Those that can be columns in PostgreSQL: name -> what it is called there."""


def statements(
    database: str, role: str, sees: Sequence[Table], databases: Sequence[str] = ()
) -> Iterator[str]:
    """All that makes the empty database that of `role`; `role`: from `role_name`. `databases`: listed beside it."""
    yield "SET allow_system_table_mods = on"
    yield "SET client_min_messages = error"
    yield f"UPDATE pg_database SET datname = {literal(database)} WHERE datname = 'postgres'"
    yield f"CREATE ROLE {identifier(role)} LOGIN"
    others = dict.fromkeys(map(database_name, databases))
    others.pop(database, None)
    if others:
        yield _OTHERS.format(names=", ".join(map(literal, others)), database=literal(database))
    named = _names(sees)
    schemas = list(dict.fromkeys(names.schema for names in named))
    for schema in schemas:
        yield f"CREATE SCHEMA IF NOT EXISTS {identifier(schema)}"
    yield from _schema_comments(sees, named)
    for table, names in zip(sees, named, strict=True):
        yield from _table(table, names)
    yield from _keys(sees, named)
    for schema in schemas:
        yield f"GRANT USAGE ON SCHEMA {identifier(schema)} TO {identifier(role)}"
        yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {identifier(schema)} TO {identifier(role)}"
    for name in (database, *others):
        yield f"GRANT CONNECT ON DATABASE {identifier(name)} TO {identifier(role)}"
    yield from _settings(role, database, schemas)


def role_name(user: str) -> str:
    """What PostgreSQL calls `user`."""
    name = identifier_text(user)
    taken = name.startswith("pg_") or name in {"", "public", "none", "polyport"}
    return _ROLE if taken else name


def database_name(database: str) -> str:
    """What PostgreSQL calls `database`."""
    return identifier_text(database) or "mesh"


def identifier_text(name: str) -> str:
    """`name` as PostgreSQL can hold it: no NUL, at most 63 bytes."""
    clean = name.replace("\0", "\ufffd").encode("utf-8", "replace")
    return clean[:LONGEST].decode("utf-8", "ignore")


def identifier(name: str) -> str:
    """`name`, quoted."""
    return '"' + identifier_text(name).replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as a string of SQL, with `standard_conforming_strings` on."""
    clean = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    return "'" + clean.replace("'", "''") + "'"


def _settings(role: str, database: str, schemas: Sequence[str]) -> Iterator[str]:
    first = [s for s in schemas if s == database]
    path = first or [s for s in schemas if s != "polyport"]
    given = {**_SETTINGS, "temp_file_limit": "64MB"}
    for name, value in given.items():
        yield f"ALTER ROLE {identifier(role)} SET {name} = {literal(value)}"
    listed = ", ".join(map(identifier, dict.fromkeys((*path, "public"))))
    yield f"ALTER ROLE {identifier(role)} SET search_path = {listed}"


def _schema_comments(sees: Sequence[Table], named: Sequence[Names]) -> Iterator[str]:
    said = {n.schema: t.description for t, n in zip(sees, named, strict=True) if t.description}
    for schema, text in said.items():
        yield f"COMMENT ON SCHEMA {identifier(schema)} IS {literal(text)}"


def _table(table: Table, names: Names) -> Iterator[str]:
    called = _called(names)
    declared = {p.name: p for p in table.object.properties}
    parts = [
        _column(table, declared.get(name), name, column) for name, column in names.columns.items()
    ]
    yield f"CREATE TABLE {called} ({', '.join(parts)})"
    yield f"ALTER TABLE {called} ENABLE ROW LEVEL SECURITY"
    yield f"CREATE POLICY polyport ON {called} USING (pg_catalog.polyport_rows())"
    text = table.object.description or table.object.business_name
    if text:
        yield f"COMMENT ON TABLE {called} IS {literal(text)}"
    for name, column in names.columns.items():
        said = _said(declared.get(name))
        if said:
            yield f"COMMENT ON COLUMN {called}.{identifier(column)} IS {literal(said)}"


def _column(table: Table, declared: Property | None, name: str, column: str) -> str:
    never_null = declared is not None and declared.required and name not in table.masked
    constraint = " NOT NULL" if never_null else ""
    return f"{identifier(column)} {postgres_type(table.columns[name])}{constraint}"


def _said(declared: Property | None) -> str:
    return (declared.description or declared.business_name) if declared else ""


def _keys(sees: Sequence[Table], named: Sequence[Names]) -> Iterator[str]:
    pairs = list(zip(sees, named, strict=True))
    unique = {(t.product, t.name): list(dict.fromkeys(_unique(t, n))) for t, n in pairs}
    for table, names in pairs:
        for at, columns in enumerate(unique[table.product, table.name]):
            primary = at == 0 and columns == table.object.key
            kind = "PRIMARY KEY" if primary else "UNIQUE"
            yield f"ALTER TABLE {_called(names)} ADD {kind} ({_listed(columns, names)})"
    for table, names in pairs:
        others = {t.name: (t, n) for t, n in pairs if t.product == table.product}
        yield from _foreign(table, names, others, unique)


def _unique(table: Table, names: Names) -> Iterator[tuple[str, ...]]:
    single = ((p.name,) for p in table.object.properties if p.unique)
    for columns in (table.object.key, *single):
        if columns and _can_be_key(columns, table, names):
            yield columns


def _can_be_key(columns: Sequence[str], table: Table, names: Names) -> bool:
    return len(columns) <= _KEY_COLUMNS and all(
        name in names.columns
        and name not in table.masked
        and family(postgres_type(table.columns[name]))
        for name in columns
    )


def _foreign(
    table: Table,
    names: Names,
    others: Mapping[str, tuple[Table, Names]],
    unique: Mapping[tuple[str, str], Sequence[tuple[str, ...]]],
) -> Iterator[str]:
    for relationship in table.object.relationships:
        if relationship.to_dataset not in others:
            continue
        other, theirs = others[relationship.to_dataset]
        ends = relationship.columns, relationship.to_columns
        seen = _can_be_key(ends[0], table, names) and _can_be_key(ends[1], other, theirs)
        if not seen or not any(set(u) == set(ends[1]) for u in unique[other.product, other.name]):
            continue
        ours, refer = (
            [family(postgres_type(t.columns[c])) for c in columns]
            for t, columns in zip((table, other), ends, strict=True)
        )
        if ours == refer:
            yield (
                f"ALTER TABLE {_called(names)} ADD FOREIGN KEY ({_listed(ends[0], names)})"
                f" REFERENCES {_called(theirs)} ({_listed(ends[1], theirs)})"
            )


def _called(names: Names) -> str:
    return f"{identifier(names.schema)}.{identifier(names.table)}"


def _listed(columns: Iterable[str], names: Names) -> str:
    return ", ".join(identifier(names.columns[name]) for name in columns)


def _names(sees: Sequence[Table]) -> list[Names]:
    schemas = _apart(dict.fromkeys(t.product for t in sees))
    tables = {
        product: _apart(dict.fromkeys(t.name for t in sees if t.product == product))
        for product in schemas
    }
    return [
        Names(schemas[t.product], tables[t.product][t.name], _column_names(t.columns)) for t in sees
    ]


def _column_names(columns: Iterable[str]) -> dict[str, str]:
    usable = [name for name in columns if name and name not in _SYSTEM_COLUMNS]
    return _apart(usable[:_COLUMNS])


def _apart(names: Iterable[str]) -> dict[str, str]:
    """Each name as PostgreSQL holds it; those that it would take for the same get a number at their end."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        tries = (_numbered(name, number) for number in count())
        found[name] = next(short for short in tries if short not in taken)
        taken.add(found[name])
    return found


def _numbered(name: str, number: int) -> str:
    end = f"~{number}" if number else ""
    room = LONGEST - len(end)
    return identifier_text(name).encode()[:room].decode("utf-8", "ignore") + end
