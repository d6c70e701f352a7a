"""How the commonest mistakes read in psql: whole texts."""

from __future__ import annotations

import subprocess

import psycopg
import pytest
from tests.ports.output.sql.test_clients import program

from polyport.access import keys
from polyport.model import Principal

WRONG = """\
FATAL:  password authentication failed for user "ann"
HINT:  the user is the principal's id, the password its API key or token
"""
READ_ONLY = "HINT:  SELECT, or COPY ... TO STDOUT"
MISTAKES = {
    "SELECT * FROM film": """
        ERROR:  relation "film" does not exist
        LINE 1: SELECT * FROM film
                              ^
        DETAIL:  no dataset 'film' in snapshot 2 of cinema
        HINT:  did you mean 'films'?""",
    "SELECT * FROM other.films": """
        ERROR:  relation "other.films" does not exist
        LINE 1: SELECT * FROM other.films
                              ^
        DETAIL:  no product 'other' that can be asked here
        HINT:  products: cinema""",
    "SELECT titel FROM films": """
        ERROR:  column "titel" does not exist
        LINE 1: SELECT titel FROM films
                       ^
        HINT:  did you mean "title"?""",
    "SELECT f.titel FROM films f": """
        ERROR:  column f.titel does not exist
        LINE 1: SELECT f.titel FROM films f
                       ^""",
    "SELECT id FROM films, films f2": """
        ERROR:  column reference "id" is ambiguous
        LINE 1: SELECT id FROM films, films f2
                       ^
        HINT:  say films.id or f2.id""",
    "SELECT upperr(title) FROM films": """
        ERROR:  there is no function upperr for consumers
        LINE 1: SELECT upperr(title) FROM films
                       ^
        HINT:  did you mean upper?""",
    "SELECT sum(title) FROM films": """
        ERROR:  function sum(text) does not exist
        LINE 1: SELECT sum(title) FROM films
                       ^
        HINT:  no function matches the given name and argument types: you might need to add explicit type casts""",
    "SELECT title + 1 FROM films": """
        ERROR:  operator does not exist: text + integer
        LINE 1: SELECT title + 1 FROM films
                             ^
        HINT:  no operator matches the given name and argument types: you might need to add explicit type casts""",
    "SELECT 'x'::integer": """
        ERROR:  invalid input syntax for type integer: "x"
        LINE 1: SELECT 'x'::integer
                          ^""",
    "SELECT 1 / 0": """
        ERROR:  division by zero
        HINT:  TRY(a / b) or a / nullif(b, 0) gives NULL instead""",
    "SELECT * FROM read_csv('x')": """
        ERROR:  the table function read_csv is not for consumers
        LINE 1: SELECT * FROM read_csv('x')
                              ^
        HINT:  a dataset; or generate_series, json_each, json_tree, range, repeat, repeat_row, unnest""",
    "SELECT pg_sleep(1)": """
        ERROR:  permission denied for function pg_sleep
        HINT:  consumers call no function that waits, writes or looks at the machine""",
    "SELEC 1": """
        ERROR:  syntax error at or near "SELEC"
        LINE 1: SELEC 1
                ^""",
    "INSERT INTO films VALUES (1)": f"""
        ERROR:  cannot execute INSERT: a data product is read-only
        {READ_ONLY}""",
    "UPDATE films SET title = 'x'": f"""
        ERROR:  cannot execute UPDATE: a data product is read-only
        {READ_ONLY}""",
    "CREATE LOCAL TEMPORARY TABLE t (a int)": f"""
        ERROR:  cannot execute CREATE: a data product is read-only
        {READ_ONLY}""",
    "EXPLAIN SELECT 1": """
        ERROR:  EXPLAIN is not answered: plans are the engine's own
        HINT:  SELECT""",
    "SELECT 1; SELECT * FROM films WHERE titl = 'x'": """
        ERROR:  column "titl" does not exist
        LINE 1: SELECT 1; SELECT * FROM films WHERE titl = 'x'
                                                    ^
        HINT:  did you mean "title"?""",
    "SET polyport.snapshot = '99'": """
        ERROR:  product 'cinema' has no snapshot '99'
        HINT:  there are latest, 2, 1""",
    "SET polyport.colour = 'red'": """
        ERROR:  unrecognized configuration parameter "polyport.colour"
        HINT:  polyport.snapshot, polyport.purpose, polyport.role""",
}


def psql(served, sql, **given):
    said = {
        "host": "127.0.0.1",
        "port": str(served.port),
        "user": "owner",
        "dbname": "cinema",
        **given,
    }
    command = [
        program("psql"),
        "-X",
        "-w",
        " ".join(f"{k}={v}" for k, v in said.items()),
        "-c",
        sql,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def plain(text):
    lines = text.strip("\n").split("\n")
    return "\n".join(line.removeprefix("        ") for line in lines) + "\n"


@pytest.mark.parametrize("sql", MISTAKES)
def test_a_mistake_is_told_as_postgresql_tells_it(served, sql):
    ran = psql(served, sql)
    assert (ran.returncode, ran.stderr) == (1, plain(MISTAKES[sql]))


def test_what_one_may_not_read_is_told_with_what_helps(served):
    _, key = keys.create(
        served.product.control, Principal("ann", frozenset({"analyst"})), by="owner"
    )
    ran = psql(served, "SELECT * FROM films", user="ann", password=key)
    assert (
        ran.stderr
        == plain("""
        ERROR:  ann may not read 'cinema' through 'sql': there is no data sharing agreement
        LINE 1: SELECT * FROM films
                              ^
        DETAIL:  cinema
        HINT:  ask for one: POST /products/cinema/control/agreements, for the port 'sql'""").replace(
            "LINE 1: SELECT * FROM films\n                      ^\n", ""
        )
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"dbname": "cinem"},
            'FATAL:  database "cinem" does not exist\nHINT:  did you mean "cinema"? There are mesh (all products), or cinema\n',
        ),
        (
            {"user": "ann", "password": "wrong"},
            WRONG,
        ),
    ],
)
def test_who_is_not_let_in_is_told_why(served, given, words):
    ran = psql(served, "SELECT 1", **given)
    assert ran.returncode == 2
    assert ran.stderr.partition("failed: ")[2] == words


@pytest.mark.parametrize(
    ("sql", "state", "severity"),
    [
        ("SELECT * FROM film", "42P01", "ERROR"), ("SELECT titel FROM films", "42703", "ERROR"),
        ("SELECT id FROM films, films f2", "42702", "ERROR"), ("SELECT sum(title) FROM films", "42883", "ERROR"),
        ("SELECT upperr('x')", "42883", "ERROR"), ("SELECT 'x'::integer", "22P02", "ERROR"),
        ("SELECT 1 / 0", "22012", "ERROR"), ("SELEC 1", "42601", "ERROR"), ("DELETE FROM films", "25006", "ERROR"),
        ("SELECT pg_sleep(1)", "42501", "ERROR"), ("SELECT * FROM read_csv('x')", "42501", "ERROR"),
        ("SELECT count(*), title FROM films", "42803", "ERROR"), ("EXPLAIN SELECT 1", "0A000", "ERROR"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prepare", [False, True])
def test_states_are_those_of_postgresql(served, sql, state, severity, prepare):
    with psycopg.connect(served.dsn(), autocommit=True) as connection:
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(sql, prepare=prepare)
        assert (caught.value.sqlstate, caught.value.diag.severity_nonlocalized) == (state, severity)
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("prepare", [False, True])
def test_the_place_is_told_by_both_protocols(served, prepare):
    with psycopg.connect(served.dsn(), autocommit=True) as connection:
        for sql in (
            "  SELECT titel FROM films",
            "/* é */ SELECT titel FROM films",
            "SELECT *\nFROM film",
        ):
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(sql, prepare=prepare)
            assert caught.value.diag.statement_position == str(
                sql.index("titel" if "titel" in sql else "film") + 1
            )
