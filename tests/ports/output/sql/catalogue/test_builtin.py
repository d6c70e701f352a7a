from __future__ import annotations

import struct

import pytest
from tests.ports.output.sql.catalogue.relay import SEES, relay, rows

from polyport.ports.output.sql.catalogue import catalogue
from polyport.ports.output.sql.catalogue.programs import SETTING


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setenv(SETTING, "none")
    made = catalogue()
    yield made
    made.close()


@pytest.fixture
def session(small):
    made = small.open("mesh", "alice", SEES)
    yield made
    made.close()


def ask(session, sql):
    assert session.takes(sql), sql
    return rows(session.simple(sql))


def test_it_says_what_it_is(small, session):
    assert (
        small.note
        == "no PostgreSQL: a small built-in catalogue (pip install 'polyport[sql]' for the whole)"
    )
    assert session.parameters["server_encoding"] == "UTF8"
    assert session.parameter_types("select * from films where film_id = $1", (0,)) is None


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("select current_schema(), current_user, current_database()", [("movies", "alice", "mesh")]),
        ("select pg_catalog.current_schema()", [("movies",)]),
        ("show transaction isolation level", [("repeatable read",)]),
        ("show standard_conforming_strings", [("on",)]),
        ("select current_setting('server_version_num')", [("150000",)]),
        ("select set_config('timezone', 'UTC', false)", [("UTC",)]),
        ("select oid, typarray from pg_type where typname = 'int8'", [("20", "1016")]),
        ("select typname from pg_catalog.pg_type where oid in (23, 25) order by oid", [("int4",), ("text",)]),
        ("select oid::regtype::text from pg_type where oid = to_regtype('uuid')", [("uuid",)]),
        ("select table_name from information_schema.tables order by 1", [("costs",), ("films",)]),
        (
            """select column_name, data_type, is_nullable from information_schema.columns
            where table_schema = 'movies' and table_name = 'films' order by ordinal_position""",
            [
                ("film_id", "integer", "NO"),
                ("title", "text", "NO"),
                ("price", "numeric", "YES"),
                ("tags", "ARRAY", "YES"),
                ("released", "timestamp with time zone", "YES"),
            ],
        ),
        (
            """select attname, format_type(atttypid, atttypmod) from pg_attribute a join pg_class c
            on c.oid = a.attrelid where c.relname = 'costs' and attnum > 0 order by attnum limit 1""",
            [("cost_id", "bigint")],
        ),
        ("select has_table_privilege(current_user, 'films', 'SELECT')", [("t",)]),
        ("select relname from pg_class where relname !~ '^pg_' and relname operator(pg_catalog.~) '^f'", [("films",)]),
        ("select relname from pg_class where relkind = any (array['r', 'v']) order by 1 limit 1", [("costs",)]),
        (
            """select pg_catalog.pg_class.relname from pg_catalog.pg_class join pg_catalog.pg_namespace
            on pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace where pg_catalog.pg_class.relname = 'films'
            and pg_catalog.pg_class.relkind = any (array['r', 'p']) and pg_catalog.pg_namespace.nspname != 'pg_catalog'
            and pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid)""",
            [("films",)],
        ),
        ("select information_schema.tables.table_name from information_schema.tables where information_schema.tables.table_name = 'films'", [("films",)]),
        ("select description from pg_description where objsubid = 0", [("All films",)]),
    ],
)  # fmt: skip
def test_simple_questions_are_answered(session, sql, found):
    assert ask(session, sql) == found


@pytest.mark.parametrize(
    "sql",
    [
        "select * from pg_proc",
        "select frob(1) from pg_class",
        "select * from pg_get_keywords()",
        "select (",
    ],
)
def test_the_rest_names_the_command_that_helps(session, sql):
    answer = list(session.simple(f"{sql} from pg_class" if sql == "select (" else sql))
    assert [kind for kind, _ in answer] == [b"E"]
    assert b"C0A000\0" in answer[0][1]
    assert b"pip install 'polyport[sql]'" in answer[0][1]


def test_settings_are_kept_told_and_reset(session):
    assert (b"S", b"TimeZone\0Europe/Warsaw\0") in list(
        session.simple("set time zone 'Europe/Warsaw'")
    )
    assert ask(session, "show timezone") == [("Europe/Warsaw",)]
    assert (b"S", b"TimeZone\0UTC\0") in list(session.simple("reset timezone"))
    assert list(session.simple("set application_name = 'a'")) != []
    assert (b"S", b"application_name\0\0") in list(session.simple("discard all"))
    for sql, state in (
        ("show nonsense", "42704"), ("set nonsense = 1", "42704"), ("set server_version = '9'", "55P02"),
        ("set role x", "42501"), ("set client_encoding = 'latin1'", "0A000"),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=state):
            ask(session, sql)


def test_parameters_and_binary_results(session):
    parse = (b"P", b"a\0select oid, typname from pg_type where typname = $1\0\0\0")
    bind = (b"B", b"\0a\0" + struct.pack("!hhi", 0, 1, 4) + b"int4" + struct.pack("!hh", 1, 1))
    answer = list(
        session.extended([parse, (b"D", b"Sa\0"), bind, (b"E", b"\0" + bytes(4)), (b"C", b"Sa\0")])
    )
    assert [kind for kind, _ in answer] == [b"1", b"t", b"T", b"2", b"D", b"C", b"3"]
    assert answer[4][1] == struct.pack("!hiIi", 2, 4, 23, 4) + b"int4"
    assert [k for k, _ in session.extended([bind])] == [b"E"]


def test_a_bomb_ends(session):
    with pytest.raises(RuntimeError, match="0A000"):
        ask(
            session,
            "select count(*) from pg_type a, pg_type b, pg_type c, pg_type d, pg_type e, pg_type f",
        )


def test_psycopg(small):
    psycopg = pytest.importorskip("psycopg")
    from psycopg.types import TypeInfo

    with (
        relay(small) as served,
        psycopg.connect(
            f"host=127.0.0.1 port={served.port} user=alice dbname=mesh", autocommit=True
        ) as c,
    ):
        found = TypeInfo.fetch(c, "numeric")
        assert (found.oid, found.array_oid) == (1700, 1231)
        assert c.execute(
            "select table_name from information_schema.tables where table_name = %s", ("films",)
        ).fetchall() == [("films",)]


def test_asyncpg(small):
    import asyncio

    asyncpg = pytest.importorskip("asyncpg")

    async def talk(port):
        c = await asyncpg.connect(
            host="127.0.0.1", port=port, user="alice", database="mesh", ssl=False
        )
        try:
            return await c.fetch("select oid, typname from pg_type where typname = $1", "uuid")
        finally:
            await c.close()

    with relay(small) as served:
        assert [tuple(r) for r in asyncio.run(talk(served.port))] == [(2950, "uuid")]


def test_a_setting_that_names_no_postgresql_says_so(monkeypatch, tmp_path):
    from polyport.errors import ConfigurationError

    monkeypatch.setenv(SETTING, str(tmp_path))
    with pytest.raises(ConfigurationError, match="there is no PostgreSQL in"):
        catalogue()
