from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.ports.output.sql.catalogue.lexer import tokens
from polyport.ports.output.sql.catalogue.routing import judge

DATA = [
    "select 1",
    "select 'pg_catalog'",
    "select 'from pg_class'",
    "select $$ from pg_class $$, $q$ pg_catalog.x $q$",
    "select E'\\' from pg_class'",
    "select 1 -- from pg_class",
    "select 1 /* from /* nested */ pg_class */",
    "select * from films",
    "select pg_rank, version, current_user from films",
    "select version(), pg_backend_pid() from films",
    'select * from "pg_films"',
    "with pg_class as (select 1) select * from pg_class",
    "select extract(year from pg_date) from films",
    "select substring(a from pg_b) from films",
    "select a is distinct from pg_b from films",
    "select pg_catalog.lower(title) from films",
    "select * from movies.films as pg_class",
    "select * from films order by pg_x, pg_y",
    "table films",
    "copy films to stdout",
    "insert into pg_class values (1)",
    "create table x (a int)",
    "begin",
    "commit",
    "set transaction isolation level serializable",
    "set polyport.snapshot = '41'",
    "show polyport.snapshot",
    "reset polyport.snapshot",
    "deallocate all",
    "declare c cursor for select * from pg_class",
    "explain select * from pg_class",
    "",
    "'",
]
CATALOGUE = [
    "select * from pg_class",
    "SELECT * FROM PG_CATALOG.PG_CLASS",
    'select * from "pg_catalog"."pg_class"',
    'select * from U&"\\0070g_class"',
    "select * from U&\"!0070g_class\" uescape '!'",
    "select * from/**/pg_class",
    "select * from films, pg_class",
    "select * from films join information_schema.tables on true",
    "select count(*) from films where 1 in (select 1 from pg_type)",
    "select extract(year from (select d from pg_type)) from films",
    "with pg_class as (select 1) select * from pg_catalog.pg_class",
    "select * from (pg_class cross join films)",
    "table pg_class",
    "(select 1 from pg_class)",
    "select version()",
    "select pg_catalog.version()",
    "select current_schema(), current_database()",
    "select current_schema",
    "select current_user",
    "select session_user",
    "select 'films'::regclass",
    "select cast('films' as pg_catalog.regclass)",
    "select regclass 'films'",
    "select pg_backend_pid()",
    "select has_table_privilege('films', 'select')",
    "select * from pg_get_keywords()",
    "select * from rows from (pg_get_keywords())",
    "show search_path",
    "show transaction isolation level",
    "set datestyle = 'ISO, DMY'",
    "set session timezone to 'Europe/Warsaw'",
    "set time zone 'UTC'",
    "set names 'utf8'",
    "set session characteristics as transaction read only",
    "set extra_float_digits = 3",
    "reset all",
    "discard all",
    "unlisten *",
    "select pg_advisory_unlock_all()",
    "select set_config('search_path', '', false)",
]
REFUSED = [
    "set role polyport",
    "set local role polyport",
    "set session authorization polyport",
    'set "role" to polyport',
    "select set_config('role', 'polyport', false)",
    "select set_config('ro' || 'le', 'polyport', false)",
    "select set_config(E'\\162ole', 'polyport', false)",
    "select pg_catalog . set_config ('session_authorization', 'x', false)",
    "select set_config(name, 'x', false) from pg_settings",
    "set client_encoding = 'latin1'",
    "select set_config('client_encoding', 'latin' || '1', false)",
    "set standard_conforming_strings = off",
    "set datestyle = 'German'",
    "set intervalstyle = 'iso_8601'",
    "select pg_sleep(100)",
    'select "pg_sleep"(100)',
    'select U&"pg\\005fsleep"(100)',
    "select pg_catalog.pg_sleep_for('1 hour') from pg_class",
    "select pg_read_file('/etc/passwd')",
    "select lo_import('/etc/passwd')",
]


@pytest.mark.parametrize("sql", DATA)
def test_it_is_for_the_data(sql):
    assert not judge(sql, {"films", "pg_films"}).mine


@pytest.mark.parametrize("sql", CATALOGUE)
def test_it_is_for_the_catalogue(sql):
    assert judge(sql, {"films"}).mine
    assert judge(sql + " ;", {"films"}).refusal is None


@pytest.mark.parametrize("sql", REFUSED)
def test_it_is_for_the_catalogue_and_refused(sql):
    ruling = judge(sql, {"films"})
    assert ruling.mine or "lo_import" in sql
    assert ruling.refusal or not ruling.mine


@given(st.text())
def test_any_text_has_tokens_and_a_ruling(text):
    tokens(text)
    judge(text, {"films"})
    judge(f"select * from films where a = '{text.replace(chr(39), chr(39) * 2)}'", {"films"})


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=("Cs",))))
def test_no_string_and_no_quoted_name_makes_a_data_query_the_catalogue_s(text):
    string = text.replace("'", "''")
    name = text.replace('"', '""')
    sql = f"select '{string}', 1 as \"x{name}\" from films -- pg_class"
    assert not judge(sql, {"films"}).mine
    assert [t.text for t in tokens(f"'{string}'")] == [text]
    assert [t.text for t in tokens(f'"{name}"')] == [text]
