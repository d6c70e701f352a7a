"""The tables of PostgreSQL's catalogue that the built-in one has, in SQLite's memory."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from polyport.ports.output.sql.catalogue.columns import postgres_type
from polyport.ports.output.sql.catalogue.settings import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from polyport.ports.output.sql.catalogue.types import Table

    Function = Callable[..., str | int | None]
BOOL, NAME, INT8, INT2, INT4, TEXT, OID, CHAR, NUMERIC = 16, 19, 20, 21, 23, 25, 26, 18, 1700
TYPES = {
    "bool": (BOOL, 1000, 1, "B", "boolean"),
    "bytea": (17, 1001, -1, "U", "bytea"),
    "char": (CHAR, 1002, 1, "Z", '"char"'),
    "name": (NAME, 1003, 64, "S", "name"),
    "int8": (INT8, 1016, 8, "N", "bigint"),
    "int2": (INT2, 1005, 2, "N", "smallint"),
    "int4": (INT4, 1007, 4, "N", "integer"),
    "text": (TEXT, 1009, -1, "S", "text"),
    "oid": (OID, 1028, 4, "N", "oid"),
    "json": (114, 199, -1, "U", "json"),
    "float4": (700, 1021, 4, "N", "real"),
    "float8": (701, 1022, 8, "N", "double precision"),
    "bpchar": (1042, 1014, -1, "S", "character"),
    "varchar": (1043, 1015, -1, "S", "character varying"),
    "date": (1082, 1182, 4, "D", "date"),
    "time": (1083, 1183, 8, "D", "time without time zone"),
    "timestamp": (1114, 1115, 8, "D", "timestamp without time zone"),
    "timestamptz": (1184, 1185, 8, "D", "timestamp with time zone"),
    "interval": (1186, 1187, 16, "T", "interval"),
    "timetz": (1266, 1270, 12, "D", "time with time zone"),
    "varbit": (1562, 1563, -1, "V", "bit varying"),
    "numeric": (NUMERIC, 1231, -1, "N", "numeric"),
    "uuid": (2950, 2951, 16, "U", "uuid"),
    "jsonb": (3802, 3807, -1, "U", "jsonb"),
}
"""PostgreSQL's types: name -> (OID, OID of its array, length, category, name in SQL)."""
_SHORT = {
    "boolean": "bool", "bigint": "int8", "smallint": "int2", "integer": "int4", "real": "float4",
    "double precision": "float8",
}  # fmt: skip
_BITS = {"smallint": 16, "integer": 32, "bigint": 64, "real": 24, "double precision": 53}
"""What `numeric_precision` says of numbers without decimals."""
_USER = 16384
"""The first OID of what is not PostgreSQL's own."""
_OTHERS = 9000
"""Before the OIDs of the databases that one is not connected to."""
_PUBLIC, _CATALOGUE, _INFORMATION = 2200, 11, 13000
_DEFINITIONS = {
    "pg_namespace": "oid nspname:name nspowner:oid nspacl:text",
    "pg_class": "oid relname:name relnamespace:oid reltype:oid relowner:oid relkind:char relpersistence:char"
    " relhasindex:bool relchecks:int2 relhastriggers:bool relhasrules:bool relrowsecurity:bool"
    " relforcerowsecurity:bool relispartition:bool reltablespace:oid reloptions:text relreplident:char"
    " reltoastrelid:oid relam:oid relnatts:int2 reltuples:int4 relacl:text",
    "pg_attribute": "attrelid:oid attname:name atttypid:oid attlen:int2 attnum:int2 attndims:int2 atttypmod:int4"
    " attnotnull:bool atthasdef:bool attidentity:char attgenerated:char attisdropped:bool attcollation:oid",
    "pg_type": "oid typname:name typnamespace:oid typowner:oid typlen:int2 typtype:char typcategory:char"
    " typisdefined:bool typdelim:char typrelid:oid typelem:oid typarray:oid typnotnull:bool typbasetype:oid"
    " typtypmod:int4",
    "pg_description": "objoid:oid classoid:oid objsubid:int4 description:text",
    "pg_database": "oid datname:name datdba:oid encoding:int4 datistemplate:bool datallowconn:bool datacl:text",
    "pg_tables": "schemaname:name tablename:name tableowner:name tablespace:name hasindexes:bool hasrules:bool"
    " hastriggers:bool rowsecurity:bool",
    "pg_views": "schemaname:name viewname:name viewowner:name definition:text",
    "pg_roles": "rolname:name rolsuper:bool rolcanlogin:bool oid",
    "pg_am": "oid amname:name",
    "pg_enum": "oid enumtypid:oid enumsortorder:int4 enumlabel:name",
    "pg_range": "rngtypid:oid rngsubtype:oid",
    "pg_constraint": "oid conname:name connamespace:oid contype:char conrelid:oid confrelid:oid",
    "pg_index": "indexrelid:oid indrelid:oid indisunique:bool indisprimary:bool",
    "pg_settings": "name:text setting:text",
    "pg_attrdef": "oid adrelid:oid adnum:int2 adbin:text",
    "information_schema.schemata": "catalog_name:name schema_name:name schema_owner:name",
    "information_schema.tables": "table_catalog:name table_schema:name table_name:name table_type:text",
    "information_schema.columns": "table_catalog:name table_schema:name table_name:name column_name:name"
    " ordinal_position:int4 column_default:text is_nullable:text data_type:text numeric_precision:int4"
    " numeric_scale:int4 udt_name:name character_maximum_length:int4",
    "information_schema.views": "table_catalog:name table_schema:name table_name:name view_definition:text",
}
RELATIONS: Mapping[str, Mapping[str, int]] = {
    relation: {
        name: TYPES[kind or "oid"][0]
        for name, _, kind in (column.partition(":") for column in text.split())
    }
    for relation, text in _DEFINITIONS.items()
}
"""Relation -> its columns -> the OIDs of their types."""
COLUMNS: Mapping[str, int] = {
    n: oid for columns in RELATIONS.values() for n, oid in columns.items()
}
"""The OID of the type of a column, by its name alone."""


def filled(
    databases: Sequence[str], user: str, sees: Sequence[Table], functions: Mapping[str, Function]
) -> sqlite3.Connection:
    """The catalogue of what a user sees, in SQLite; the first of `databases` is the one connected to."""
    made = sqlite3.connect(":memory:", check_same_thread=False)
    for name, function in functions.items():
        made.create_function(name, -1, function)
    for relation, columns in RELATIONS.items():
        listed = ", ".join(
            f'"{c}" {"text" if t in {TEXT, NAME, CHAR} else "integer"}' for c, t in columns.items()
        )
        made.execute(f'create table "{relation}" ({listed})')
    for relation, row in _rows(databases, user, sees):
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" * len(row))
        made.execute(f'insert into "{relation}" ({names}) values ({marks})', tuple(row.values()))
    made.execute("pragma query_only = on")
    return made


def _rows(
    databases: Sequence[str], user: str, sees: Sequence[Table]
) -> Iterator[tuple[str, dict[str, object]]]:
    schemas = dict.fromkeys((*(t.product for t in sees), "public"))
    numbers = {name: _USER + at for at, name in enumerate(schemas)} | {"public": _PUBLIC}
    numbers |= {"pg_catalog": _CATALOGUE, "information_schema": _INFORMATION}
    database = databases[0]
    for at, name in enumerate(dict.fromkeys(databases)):
        yield "pg_database", _database(name, 5 if at == 0 else _OTHERS + at)
    for name, value in DEFAULTS.items():
        yield "pg_settings", {"name": name, "setting": value}
    yield "pg_roles", {"rolname": user, "rolsuper": 0, "rolcanlogin": 1, "oid": _USER - 1}
    for name, number in numbers.items():
        yield "pg_namespace", {"oid": number, "nspname": name, "nspowner": 10}
        schema: dict[str, object] = {
            "catalog_name": database,
            "schema_name": name,
            "schema_owner": "polyport",
        }
        yield "information_schema.schemata", schema
    for name, (oid, array, length, category, _) in TYPES.items():
        yield "pg_type", _type(oid, name, length, category, typarray=array)
        yield "pg_type", _type(array, f"_{name}", -1, "A", typelem=oid)
    for at, table in enumerate(sees):
        yield from _table(table, database, _USER + 1000 + at, numbers[table.product])


def _database(name: str, oid: int) -> dict[str, object]:
    return {
        "oid": oid, "datname": name, "datdba": 10, "encoding": 6, "datistemplate": 0, "datallowconn": 1,
    }  # fmt: skip


def _type(oid: int, name: str, length: int, category: str, **given: int) -> dict[str, object]:
    row: dict[str, object] = {
        "oid": oid, "typname": name, "typnamespace": _CATALOGUE, "typowner": 10, "typlen": length,
        "typtype": "b", "typcategory": category, "typisdefined": 1, "typdelim": ",", "typrelid": 0,
        "typelem": 0, "typarray": 0, "typnotnull": 0, "typbasetype": 0, "typtypmod": -1,
    }  # fmt: skip
    return row | given


def _table(
    table: Table, database: str, oid: int, schema: int
) -> Iterator[tuple[str, dict[str, object]]]:
    yield "pg_class", {
        "oid": oid, "relname": table.name, "relnamespace": schema, "relowner": 10, "relkind": "r",
        "relpersistence": "p", "relhasindex": 0, "relchecks": 0, "relhastriggers": 0, "relhasrules": 0,
        "relrowsecurity": 0, "relforcerowsecurity": 0, "relispartition": 0, "reltablespace": 0,
        "reltype": 0, "reltoastrelid": 0, "relam": 2, "relnatts": len(table.columns), "reltuples": -1,
    }  # fmt: skip
    yield "pg_tables", {
        "schemaname": table.product, "tablename": table.name, "tableowner": "polyport",
        "hasindexes": 0, "hasrules": 0, "hastriggers": 0, "rowsecurity": 0,
    }  # fmt: skip
    names: dict[str, object] = {
        "table_catalog": database, "table_schema": table.product, "table_name": table.name,
    }  # fmt: skip
    yield "information_schema.tables", {**names, "table_type": "BASE TABLE"}
    declared = {p.name: p for p in table.object.properties}
    yield from _comment(oid, 0, table.object.description)
    for at, (column, kind) in enumerate(table.columns.items(), start=1):
        said = declared.get(column)
        never_null = said is not None and said.required and column not in table.masked
        yield from _comment(oid, at, said.description if said else "")
        yield from _column(names, (oid, at, column), kind, never_null=never_null)


def _comment(oid: int, column: int, text: str) -> Iterator[tuple[str, dict[str, object]]]:
    if text:
        row: dict[str, object] = {
            "objoid": oid, "classoid": 1259, "objsubid": column, "description": text,
        }  # fmt: skip
        yield "pg_description", row


def _column(
    names: Mapping[str, object], at: tuple[int, int, str], kind: str, *, never_null: bool
) -> Iterator[tuple[str, dict[str, object]]]:
    oid, number, column = at
    written = postgres_type(kind)
    bare, _, inside = written.removesuffix("[]").partition("(")
    short = _SHORT.get(bare, bare)
    element = TYPES[short]
    is_array = written.endswith("[]")
    digits = [int(part) for part in inside.rstrip(")[]").split(",") if part]
    exact = written in ("smallint", "integer", "bigint")
    scale = digits[1] if digits else 0 if exact else None
    modifier = ((digits[0] << 16) | digits[1]) + 4 if digits else -1
    yield "pg_attribute", {
        "attrelid": oid, "attname": column, "atttypid": element[1] if is_array else element[0],
        "attlen": -1 if is_array else element[2], "attnum": number, "attndims": int(is_array),
        "atttypmod": modifier, "attnotnull": int(never_null), "atthasdef": 0, "attidentity": "",
        "attgenerated": "", "attisdropped": 0, "attcollation": 0,
    }  # fmt: skip
    yield "information_schema.columns", {
        **names, "column_name": column, "ordinal_position": number,
        "is_nullable": "NO" if never_null else "YES", "data_type": "ARRAY" if is_array else element[4],
        "numeric_precision": digits[0] if digits else _BITS.get(written), "numeric_scale": scale,
        "udt_name": f"_{short}" if is_array else short,
    }  # fmt: skip
