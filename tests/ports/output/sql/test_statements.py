"""Texts of SQL: where statements end, what they ask of the connection, and where they are wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.errors import QueryError
from polyport.ports.output.sql import commands as c
from polyport.ports.output.sql.scanner import split, tokens
from polyport.ports.output.sql.statements import command


def asked(sql):
    (statement,) = split(sql)
    return command(statement)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("a; b", ["a", "b"]),
        ("select ';' ; select \";\"", ["select ';'", 'select ";"']),
        ("select 'it''s;' ; b", ["select 'it''s;'", "b"]),
        (r"select E'\';' ; b", [r"select E'\';'", "b"]),
        (r"select '\' ; b", [r"select '\'", "b"]),
        ("select $$;$$; b", ["select $$;$$", "b"]),
        ("select $a$;$$;$a$; b", ["select $a$;$$;$a$", "b"]),
        ("a /* ; /* ; */ ; */ ; b -- ;\n; c", ["a", "b", "c"]),
        ("select $1;$2", ["select $1", "$2"]),
        (";;; ", []),
        ("select 'open; b", ["select 'open; b"]),
    ],
)
def test_statements_end_where_postgresql_ends_them(sql, expected):
    assert [s.sql for s in split(sql)] == expected
    assert all(sql[s.start : s.start + len(s.sql)] == s.sql for s in split(sql))


@given(st.text())
def test_any_text_has_tokens(sql):
    ends = [(t.start, t.end) for t in tokens(sql)]
    assert all(start < end for start, end in ends)
    assert ends == sorted(ends)
    split(sql)


@given(st.lists(st.text(), max_size=4))
def test_quoted_texts_stay_whole(texts):
    sql = ";".join("select '" + text.replace("'", "''") + "'" for text in texts)
    assert [s.tokens[1].value for s in split(sql)] == texts


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", c.Select()),
        ("begin isolation level serializable, read only", c.Transaction("begin")),
        ("START TRANSACTION", c.Transaction("begin")),
        ("end work", c.Transaction("commit")),
        ("ABORT", c.Transaction("rollback")),
        ('ROLLBACK TO SAVEPOINT "S 1"', c.Transaction("return", "S 1")),
        ("release x", c.Transaction("release", "x")),
        ("SET polyport.snapshot TO 41", c.Setting("set", "polyport.snapshot", "41")),
        ("SET SESSION polyport.purpose = 'a b'", c.Setting("set", "polyport.purpose", "a b")),
        ('SET "polyport.role" = x', c.Setting("set", "polyport.role", "x")),
        ("set polyport.snapshot = default", c.Setting("reset", "polyport.snapshot")),
        ("SHOW polyport.role", c.Setting("show", "polyport.role")),
        ("SET search_path TO a", c.Select()),
        ("SET TRANSACTION READ ONLY", c.Ignored("SET")),
        ('DECLARE "C" BINARY INSENSITIVE NO SCROLL CURSOR WITH HOLD FOR SELECT 1', c.Declare("C", "SELECT 1", binary=True, hold=True)),
        ("FETCH c", c.Fetch("c", 1)),
        ("fetch forward all from c", c.Fetch("c", c.ALL)),
        ("FETCH 7 IN c", c.Fetch("c", 7)),
        ("FETCH -1 IN c", c.Fetch("c", 0, backward=True)),
        ("FETCH LAST FROM c", c.Fetch("c", 0, backward=True)),
        ("MOVE FORWARD 3 c", c.Fetch("c", 3, move=True)),
        ("CLOSE ALL", c.Close("")),
        ("PREPARE q (int, double precision) AS SELECT $1", c.Prepare("q", ("int", "double precision"), "SELECT $1")),
        ("EXECUTE q (1, f(2, 3))", c.Execute("q", "1, f(2, 3)")),
        ("DEALLOCATE PREPARE ALL", c.Deallocate("")),
        ("DISCARD TEMP", c.Discard("temp")),
        ("COPY films TO STDOUT", c.Copy('SELECT * FROM "films"')),
        ("COPY a.b (x, y) TO STDOUT CSV", c.Copy('SELECT x, y FROM "a"."b"', "csv", ",", "")),
        ("COPY (SELECT 1) TO STDOUT (FORMAT 'binary')", c.Copy("SELECT 1", "binary")),
        ("COPY films FROM STDIN", c.Write("COPY FROM")),
        ("INSERT INTO films VALUES (1)", c.Write("INSERT")),
    ],
)  # fmt: skip
def test_what_is_asked(sql, expected):
    assert asked(sql) == expected


@pytest.mark.parametrize(
    ("sql", "column"),
    [
        ("DECLARE c CURSOR SELECT 1", 18),
        ("FETCH FORWARD FROM 'c'", 20),
        ("COPY films", 11),
        ("COPY films TO STDOUT (FORMAT csv", 33),
        ("SAVEPOINT", 10),
        ("COMMIT AND CHAIN", 12),
        ("DISCARD nothing", 9),
        ("SET polyport.snapshot", 22),
        ("EXECUTE q (1", 13),
    ],
)
def test_where_it_is_wrong(sql, column):
    with pytest.raises(QueryError) as found:
        asked(sql)
    assert (found.value.line, found.value.column) == (1, column)
