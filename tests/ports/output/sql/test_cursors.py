"""Cursors and portals over the catalogue, and how long statements may take."""

from __future__ import annotations

import subprocess

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.ports.output.sql.test_clients import JDBC, program
from tests.ports.output.sql.wire_client import (
    SYNC,
    Wire,
    bind,
    execute,
    fields,
    framed,
    kinds,
    parse,
    state,
)

from polyport.ports.output.sql.catalogue.programs import find
from polyport.ports.output.sql.deadlines import seconds

TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'cinema'::regnamespace AND relkind = 'r' ORDER BY 1"
TYPES = "SELECT oid, typname FROM pg_type ORDER BY oid LIMIT 7"


@pytest.fixture
def connection(served):
    if find() is None:
        pytest.skip("no PostgreSQL")
    with psycopg.connect(served.dsn()) as made:
        yield made


@pytest.fixture
def wire(served):
    with Wire(served.port, user="owner", database="cinema") as made:
        yield made


def rows(connection, sql):
    return connection.execute(sql).fetchall()


def test_a_cursor_over_the_catalogue_is_fetched_bit_by_bit(connection):
    connection.execute(f"DECLARE c CURSOR FOR {TABLES}")
    connection.execute("DECLARE d CURSOR FOR SELECT id FROM films ORDER BY id")
    assert rows(connection, "FETCH 1 FROM c") == [("films",)]
    assert rows(connection, "FETCH 2 FROM d") == [(1,), (2,)]
    assert rows(connection, "SELECT current_schema()") == [("cinema",)]
    assert rows(connection, "FETCH NEXT FROM c") == [("people",)]
    assert rows(connection, "FETCH ALL FROM c") == []
    with pytest.raises(psycopg.Error, match="only scan forward"):
        connection.execute("FETCH BACKWARD 1 FROM c")
    connection.rollback()
    with pytest.raises(psycopg.errors.InvalidCursorName):
        connection.execute("FETCH 1 FROM c")


def test_move_hold_and_close(connection):
    connection.execute(f"DECLARE c CURSOR WITH HOLD FOR {TYPES}")
    connection.commit()
    moved = connection.execute("MOVE 3 FROM c")
    assert moved.statusmessage == "MOVE 3"
    whole = rows(connection, TYPES)
    assert rows(connection, "FETCH 2 FROM c") == whole[3:5]
    assert rows(connection, "FETCH FORWARD ALL IN c") == whole[5:]
    assert connection.execute("CLOSE c").statusmessage == "CLOSE CURSOR"


@pytest.mark.parametrize(
    "query", ["SELECT id FROM films ORDER BY id", "SELECT oid FROM pg_type ORDER BY oid"]
)
def test_a_place_further_on_can_be_fetched(connection, query):
    """As PostgreSQL does it for a cursor that is NO SCROLL."""
    whole = rows(connection, query)
    connection.execute(f"DECLARE c NO SCROLL CURSOR FOR {query}")
    assert rows(connection, "FETCH FIRST FROM c") == whole[:1]
    assert rows(connection, "FETCH ABSOLUTE 5 FROM c") == whole[4:5]
    assert rows(connection, "FETCH RELATIVE 3 FROM c") == whole[7:8]
    assert connection.execute("MOVE ABSOLUTE 10 FROM c").statusmessage == "MOVE 1"
    assert rows(connection, "FETCH NEXT FROM c") == whole[10:11]
    assert rows(connection, "FETCH ABSOLUTE 100000 FROM c") == []
    for back in (
        "FIRST",
        "ABSOLUTE 3",
        "ABSOLUTE -1",
        "RELATIVE 0",
        "RELATIVE -1",
        "LAST",
        "PRIOR",
    ):
        connection.execute("SAVEPOINT s")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="only scan forward"):
            connection.execute(f"FETCH {back} FROM c")
        connection.execute("ROLLBACK TO s")


def test_a_held_cursor_goes_with_the_transaction_that_is_rolled_back(connection):
    connection.execute("DECLARE c CURSOR WITH HOLD FOR SELECT id FROM films ORDER BY id")
    connection.rollback()
    connection.execute("DECLARE c CURSOR WITH HOLD FOR SELECT 7 AS n")
    connection.commit()
    connection.execute("SELECT 1")
    connection.rollback()
    assert rows(connection, "FETCH ALL FROM c") == [(7,)]


@pytest.mark.parametrize("binary", [False, True])
def test_named_cursors_of_psycopg(connection, binary):
    whole = rows(connection, TYPES)
    with connection.cursor("named", row_factory=dict_row) as cursor:
        cursor.itersize = 3
        cursor.execute(
            "SELECT oid, typname FROM pg_type WHERE oid < %s ORDER BY oid LIMIT 7",
            (100_000,),
            binary=binary,
        )
        assert [d.name for d in cursor.description] == ["oid", "typname"]
        assert [(row["oid"], row["typname"]) for row in cursor] == whole
    with connection.cursor("held", withhold=True) as cursor:
        cursor.execute("SELECT datname FROM pg_database ORDER BY 1", binary=binary)
        connection.commit()
        assert cursor.fetchmany(1) == [("cinema",)]
        assert cursor.fetchall() == [("mesh",)]


def test_a_cursor_that_the_catalogue_refuses_says_why(connection):
    with pytest.raises(psycopg.errors.UndefinedColumn, match='column "nothing" does not exist'):
        connection.execute("DECLARE c CURSOR FOR SELECT nothing FROM pg_class")
    connection.rollback()
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="pg_sleep"):
        connection.execute("DECLARE c CURSOR FOR SELECT pg_sleep(9) FROM pg_class")
    connection.rollback()
    huge = "SELECT repeat('x', 1000000) FROM pg_class, generate_series(1, 10)"
    with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="64 MB"):
        connection.execute(f"DECLARE c CURSOR FOR {huge}")
    connection.rollback()
    assert rows(connection, "SELECT 1") == [(1,)]


def test_portals_with_a_row_limit_outlive_what_comes_between(wire):
    if find() is None:
        pytest.skip("no PostgreSQL")
    assert state_free(wire.query("BEGIN"))
    first = wire.ask(parse(TYPES), bind(portal="p"), framed(b"D", b"Pp\0"), execute(3, "p"), SYNC)
    assert kinds(first) == "12TDDDsZ"
    assert kinds(wire.ask(parse("SELECT version()"), bind(), execute(), SYNC)) == "12DCZ"
    assert kinds(wire.query("SELECT current_schema(); SELECT count(*) FROM films")) == "TDCTDCZ"
    assert kinds(wire.ask(execute(3, "p"), SYNC)) == "DDDsZ"
    last = wire.ask(execute(3, "p"), SYNC)
    assert kinds(last) == "DCZ"
    assert last[1] == (b"C", b"SELECT 1\0")
    assert kinds(wire.ask(execute(3, "p"), SYNC)) == "CZ"
    wire.query("COMMIT")
    assert state(wire.ask(execute(3, "p"), SYNC)) == "34000"


def state_free(messages):
    return "E" not in kinds(messages)


def test_statements_of_the_catalogue_keep_their_names_and_their_places(wire):
    if find() is None:
        pytest.skip("no PostgreSQL")
    sql = "SELECT typname FROM pg_type WHERE oid = $1"
    assert kinds(wire.ask(parse(sql, "s"), framed(b"D", b"Ss\0"), SYNC)) == "1tTZ"
    for _ in range(2):
        found = wire.ask(bind(b"20", name="s"), execute(), SYNC)
        assert found[1][1].endswith(b"int8")
        wire.ask(parse("SELECT version()"), bind(), execute(), SYNC)
    assert kinds(wire.ask(bind(b"x", name="s"), execute(), SYNC)) == "EZ"
    wire.query("DEALLOCATE s")
    assert state(wire.ask(bind(b"20", name="s"), execute(), SYNC)) == "26000"
    assert kinds(wire.ask(parse(sql, "s"), SYNC)) == "1Z"
    assert kinds(wire.ask(framed(b"C", b"Ss\0"), SYNC)) == "3Z"
    wrong = wire.ask(parse("  SELECT nothing FROM pg_type"), SYNC)
    assert fields(wrong[0][1])["P"] == "10"
    assert (
        fields(
            next(b for k, b in wire.query("SELECT 1;  SELECT nothing FROM pg_type") if k == b"E")
        )["P"]
        == "19"
    )


def test_copy_of_the_catalogue(connection, tmp_path):
    with connection.cursor().copy(f"COPY ({TABLES}) TO STDOUT") as copy:
        assert b"".join(copy) == b"films\npeople\n"
    with connection.cursor().copy(f"COPY ({TABLES}) TO STDOUT (FORMAT csv, HEADER)") as copy:
        assert b"".join(copy) == b"relname\nfilms\npeople\n"
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="one statement cannot ask"):
        connection.execute("SELECT * FROM films WHERE exists (SELECT 1 FROM pg_class)")


def test_what_execute_cannot_do_is_said(connection):
    connection.execute("PREPARE asks AS SELECT count(*) FROM pg_class")
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="asks the catalogue"):
        connection.execute("EXECUTE asks")


FETCHING = """
import java.sql.*;
public class Fetching {
    public static void main(String[] given) throws Exception {
        try (Connection c = DriverManager.getConnection(given[0], "owner", "")) {
            c.setAutoCommit(false);
            try (Statement s = c.createStatement(); Statement inner = c.createStatement()) {
                s.setFetchSize(3);
                int count = 0;
                ResultSet rows = s.executeQuery("SELECT oid, typname FROM pg_catalog.pg_type ORDER BY oid LIMIT 10");
                while (rows.next()) {
                    count++;
                    try (ResultSet one = inner.executeQuery("SELECT count(*) FROM films")) { one.next(); }
                    try (ResultSet columns = c.getMetaData().getColumns(null, "cinema", "films", "%")) { columns.next(); }
                }
                System.out.println("rows " + count);
            }
            c.rollback();
        }
    }
}
"""


def test_jdbc_fetches_the_catalogue_bit_by_bit(served, tmp_path):
    if not JDBC.exists() or find() is None:
        pytest.skip("the JDBC driver or PostgreSQL is not installed")
    java = program("java")
    (tmp_path / "Fetching.java").write_text(FETCHING)
    ran = subprocess.run(
        [java, "-cp", str(JDBC), str(tmp_path / "Fetching.java"), f"jdbc:postgresql://127.0.0.1:{served.port}/cinema"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "rows 10" in ran.stdout, ran.stderr


# statement_timeout

SLOW = "SELECT count(*) FROM range(100000) a, range(100000) b WHERE (a.range * b.range) % 7 = 3"


@pytest.mark.parametrize("set_by", ["SET", "options", "set_config", "milliseconds"])
def test_statement_timeout_ends_a_statement(served, set_by):
    given = "-c statement_timeout=500" if set_by == "options" else ""
    says = {
        "SET": "SET statement_timeout = '500ms'",
        "milliseconds": "SET statement_timeout TO 500",
        "set_config": "SELECT set_config('statement_timeout', '500ms', false)",
    }
    with psycopg.connect(served.dsn(), options=given, autocommit=True) as connection:
        if set_by in says:
            connection.execute(says[set_by])
        with pytest.raises(psycopg.errors.QueryCanceled, match="due to statement timeout"):
            connection.execute(SLOW)
        with pytest.raises(psycopg.errors.QueryCanceled), connection.transaction():
            connection.execute(SLOW)
        connection.execute("SET statement_timeout = 0")
        assert rows(connection, "SHOW statement_timeout") == [("0",)]
        assert rows(connection, "SELECT count(*) FROM films") == [(5000,)]


@pytest.mark.parametrize("prepare", [False, True])
def test_what_is_set_locally_ends_with_its_transaction(served, prepare):
    with psycopg.connect(served.dsn(), autocommit=True) as connection:

        def say(sql):
            return connection.execute(sql, prepare=prepare)

        before = say("SHOW search_path").fetchone()
        say("BEGIN")
        say("SET LOCAL statement_timeout = '300ms'")
        say("SET LOCAL statement_timeout = '400ms'")
        say("SET LOCAL TIME ZONE 'Europe/Warsaw'")
        say("SET LOCAL search_path TO public")
        assert say("SHOW statement_timeout").fetchone() == ("400ms",)
        assert str(connection.info.timezone) == "Europe/Warsaw"
        with pytest.raises(psycopg.errors.QueryCanceled):
            say(SLOW)
        say("ROLLBACK")
        assert say("SHOW statement_timeout").fetchone() == ("0",)
        assert say("SHOW search_path").fetchone() == before
        assert str(connection.info.timezone) == "UTC"
        told = []
        connection.add_notice_handler(lambda said: told.append(said.sqlstate))
        say("SET LOCAL statement_timeout = '1s'")
        assert told == (["25P01"] if find() else [])


@pytest.mark.parametrize(
    ("shown", "long"),
    [
        ("0", 0),
        ("2s", 2),
        ("500ms", 0.5),
        ("1min", 60),
        ("250", 0.25),
        ("1h", 3600),
        ("1d", 86400),
        ("soon", 0),
    ],
)
def test_settings_say_seconds(shown, long):
    assert seconds(shown) == long
