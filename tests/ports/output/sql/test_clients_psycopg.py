"""psycopg 3: text and binary, server-side cursors, COPY, cancel."""

from __future__ import annotations

import threading
from datetime import date
from decimal import Decimal

import pytest

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")


@pytest.fixture
def client(served):
    with psycopg.connect(served.dsn(), autocommit=True) as found:
        yield found


def test_rows_in_text_and_in_binary_are_the_same(client):
    sql = "SELECT * FROM films ORDER BY id LIMIT 20"
    text = client.execute(sql).fetchall()
    assert text == client.cursor(binary=True).execute(sql).fetchall()
    assert text[0][:6] == (1, "film 1", 1971, Decimal("0.37"), 1 / 7, date(1990, 1, 2))
    assert text[6][1] is None


def test_parameters_of_all_sorts(client):
    sql = "SELECT count(*) FROM films WHERE year > %s AND released >= %s AND studio = %s AND cost < %s"
    values = (1980, date(1995, 1, 1), "Fox", Decimal("5000.5"))
    first = client.execute(sql, values).fetchone()
    assert first == client.execute(sql, values, binary=True, prepare=True).fetchone()
    assert first[0] > 0
    assert client.execute(
        "SELECT count(*) FROM films WHERE released < %s", ("1990-01-11",)
    ).fetchone() == (9,)


def test_a_named_cursor_fetches_bit_by_bit(served):
    with psycopg.connect(served.dsn()) as client, client.cursor(name="few") as cursor:
        cursor.execute("SELECT id FROM films WHERE id > %s ORDER BY id", (10,))
        assert cursor.fetchmany(3) == [(11,), (12,), (13,)]
        assert len(cursor.fetchall()) == 4987


def test_copy_gives_the_rows_in_all_formats(client):
    with client.cursor() as cursor:
        with cursor.copy(
            "COPY (SELECT id, title FROM films ORDER BY id LIMIT 7) TO STDOUT"
        ) as copy:
            rows = list(copy.rows())
        assert rows[0] == ("1", "film 1")
        assert rows[-1] == ("7", None)
        with cursor.copy("COPY people TO STDOUT (FORMAT csv, HEADER)") as copy:
            assert b"".join(bytes(b) for b in copy) == b"name,year\nAnn,1970\nBob,1970\n"
        with cursor.copy(
            "COPY (SELECT id, cost, title FROM films ORDER BY id) TO STDOUT (FORMAT binary)"
        ) as copy:
            copy.set_types(["int8", "numeric", "text"])
            rows = list(copy.rows())
        assert len(rows) == 5000
        assert rows[0] == (1, Decimal("0.37"), "film 1")


def test_cancel_ends_the_statement_and_not_the_connection(client):
    slow = "SELECT count(*) FROM films a, films b, films c WHERE a.cost + b.cost < c.cost"
    timer = threading.Timer(0.7, client.cancel_safe)
    timer.start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        client.execute(slow)
    timer.join()
    assert client.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELEC 1", "SyntaxError"),
        ("SELECT * FROM nothing", "UndefinedTable"),
        ("SELECT nothing FROM films", "UndefinedColumn"),
        ("DELETE FROM films", "ReadOnlySqlTransaction"),
        ("WITH d AS (DELETE FROM films RETURNING *) SELECT * FROM d", "ReadOnlySqlTransaction"),
        ("SELECT 'x'::INTEGER", "InvalidTextRepresentation"),
        ("SELECT 1 / 0", "DivisionByZero"),
        ("SELECT pg_sleep(1)", "InsufficientPrivilege"),
        ("SELECT * FROM read_csv('x')", "InsufficientPrivilege"),
        ("COPY films FROM STDIN", "ReadOnlySqlTransaction"),
        ("COPY films TO '/tmp/x'", "InsufficientPrivilege"),
        ("SELECT nosuch(1)", "UndefinedFunction"),
    ],
)
def test_errors_have_states(client, sql, error):
    with pytest.raises(getattr(psycopg.errors, error)):
        client.execute(sql)


def test_a_failed_transaction_says_so_until_it_ends(served):
    with psycopg.connect(served.dsn()) as client:
        with pytest.raises(psycopg.errors.UndefinedTable):
            client.execute("SELECT * FROM nothing")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            client.execute("SELECT 1")
        client.rollback()
        assert client.execute("SELECT 1").fetchone() == (1,)
