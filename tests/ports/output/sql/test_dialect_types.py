"""Operators and functions of arrays and intervals: beside a real PostgreSQL, byte by byte."""

from __future__ import annotations

import random

import psycopg
import pytest
from tests.ports.output.sql.test_dialect import alike, told

ARRAYS = (
    "ARRAY[1] || 2", "1 || ARRAY[2]", "ARRAY[1] || 2 || 3", "0 || ARRAY[1] || 2", "ARRAY[1.5] || 2.5", "ARRAY['a'] || 'b'::text",
    "'a'::text || ARRAY['b']", "ARRAY['a'] || '{b,\"c d\"}'", "'{b}' || ARRAY['a']", "NULL::int[] || 1", "1 || NULL::int[]",
    "ARRAY[1] || NULL::int", "NULL::int || ARRAY[1]", "ARRAY[ARRAY[1]] || ARRAY[2]", "ARRAY[1] || ARRAY[ARRAY[2]]", "ARRAY[]::int[] || 1",
    "ARRAY[date '2024-02-29'] || date '2024-03-01'", "ARRAY[1] || ARRAY[2]", "'x' || 1", "'x'::text || 'y'", "ARRAY['é'] || ''::text",
    "(SELECT array_agg(x) || 5 FROM (VALUES (1)) v(x))", "array_length(ARRAY[1] || 2, 1) = 2", "(ARRAY[1] || 2)[2]",
    "ARRAY[true] || false", "ARRAY[1::bigint] || 2",
)  # fmt: skip
FAILING = ("ARRAY[1] || 'b'::text", "ARRAY['a'] || 'b'", "ARRAY[1] || '{x}'", "ARRAY[1] || date '2024-01-01'", "ARRAY[1] || ARRAY[ARRAY[ARRAY[1]]]", "interval '1 day' / 0", "interval '1 day' / 'x'::text", "interval '1 day' / interval '1 day'", "date '2024-01-01' / 2", "justify_days(5)")  # fmt: skip


def test_arrays_and_elements(both):
    alike(both, ARRAYS)


def test_what_has_no_operator_is_an_error(both):
    for expression in FAILING:
        assert [told(wire, f"SELECT {expression}")[0] for wire in both] == [None, None], expression


def intervals(seed):
    luck = random.Random(seed)
    return [
        f"interval '{luck.randint(-50, 50)} months {luck.randint(-100, 100)} days {luck.uniform(-400_000, 400_000):.6f} seconds'"
        for _ in range(20)
    ] + [
        f"interval '{text}'"
        for text in ("0 days", "1 month", "-1 day", "29 days 24:00:00", "-29 days -24:00:00", "1 month -1 day", "35 days -24 hours", "24 hours", "30 days", "-1 month 30 days 23:59:59.999999")
    ]  # fmt: skip


@pytest.mark.parametrize("function", ["justify_days", "justify_hours", "justify_interval"])
def test_intervals_are_justified(both, function):
    alike(both, [f"{function}({each})" for each in [*intervals(1), "NULL", "NULL::interval"]])


@pytest.mark.parametrize("divisor", ["2", "3", "-7", "1.5", "0.3", "1e3", "2.5::float8", "7::bigint", "NULL::int"])  # fmt: skip
def test_intervals_are_divided(both, divisor):
    alike(both, [f"{each} / {divisor}" for each in intervals(2)])


def test_types_of_columns_and_parameters_are_known(served):
    with psycopg.connect(served.dsn(), autocommit=True) as connection:
        found = connection.execute(
            "SELECT list(studio ORDER BY id) || 'x'::text, (max(updated) - min(updated)) / count(*) = interval '1 sec 1 microsecond',"
            " max(id) / 2, 7 / 2 FROM films WHERE id <= 2"
        ).fetchone()
        assert found == (["MGM", "Sony", "x"], False, 1, 3)
        spans = "SELECT count(*) FROM films WHERE (updated - TIMESTAMPTZ '2020-01-01') / id = interval '1.000001 seconds'"
        assert connection.execute(spans).fetchone() == (5000,)
        tags = "SELECT tags || %s::text || studio FROM (SELECT [title] AS tags, studio FROM films WHERE id = 1)"
        for value in ("a", "", None, "{x", "é" * 10_000, "' || (SELECT 1)"):
            assert connection.execute(tags, (value,)).fetchone() == (["film 1", value, "MGM"],)
        many = " || ".join(["ARRAY[0]", *map(str, range(1, 31))])
        assert connection.execute(f"SELECT {many}").fetchone() == (list(range(31)),)
        with pytest.raises(psycopg.Error):
            connection.execute(f"SELECT {many} || " + " || ".join(["1"] * 40))
        with pytest.raises(psycopg.errors.UndefinedColumn) as told:
            connection.execute("SELECT ARRAY[1] || 2, titel FROM films")
        assert told.value.diag.statement_position in ("23", None)
        with pytest.raises(psycopg.errors.UndefinedFunction):
            connection.execute("SELECT ARRAY[1] || 2, pg_sleep(1), upperr(title) FROM films")


MATCHES = (
    "'foobar','o+'", "'foobar','(b)(a)'", "'a\nb','a.b'", "'abc','B','i'", "'abc','x'", "NULL,'x'", "'abc','(?:b)'", "'abc','b','c'",
    "'abc',''", "'a\nb','^b$'", "'abc','B','ic'", "'abc','B','ci'", "'abc','((((a))))()'", "'a1','\\d'", "'abc','(a|b)(.)'",
    "'x(y)','\\((.)\\)'", "'a]b','([]]).'", "'a|b','a[|](.)'", "'2024-02-29','(\\d+)-(\\d+)-(\\d+)'", "'é😀','(.)(.)'",
    "'abc','(a)(b)(c)()()()()()()'", "'','^$'", "'aab','(a)+b'", "'aab','(a){2}b'", "'ABC','(?i)(b)'", "'a(b','[(](?:x)?(b)'",
    "'ab','((?:x)?)(b)'", "'x'::text, 'X'", "repeat('ab', 1000),'(b)(a)'",
)  # fmt: skip


def test_regexp_match(both):
    alike(both, [f"regexp_match({each})" for each in MATCHES])
    alike(both, ["(regexp_match('abc', '(b)(c)'))[2]", "regexp_match('abc', 'x') IS NULL"])
    alike(both, ["regexp_match(x, '(\\w)$') FROM (VALUES ('ab'), (NULL), (''), ('é b')) v(x)"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("'a','(a)|(b)'", "may leave out"), ("'a','(x)?a'", "may leave out"), ("'a','(?:(x)b)*a'", "may leave out"),
        ("'a','(?:a|(b))'", "may leave out"), ("'a','(a){0,1}'", "may leave out"), ("'a','((((((((((a))))))))))'", "9 groups"),
        ("'a','a','g'", "flags i, c and s"), ("'a','a','n'", "flags i, c and s"), ("'a','('", "missing"), ("'a','a)'", "unexpected"),
        ("'a', studio", "constant pattern"), ("'a'", "constant pattern"), ("'a','a','i',1", "constant pattern"),
        ("'a','a', studio", "constant pattern"), ("1,'1'", "regexp_match"), ("'a','(?=a)'", "knows"), ("'a','\\Q(\\E'", "knows"),
        ("'a','(?P<x>a)'", "knows"), ("'a','(a)\\1'", "escape"), ("title, 'a{1001}'", "repetition"),
    ],
)  # fmt: skip
def test_what_regexp_match_does_not_know(served, arguments, words):
    with psycopg.connect(served.dsn()) as connection, pytest.raises(psycopg.Error, match=words):
        connection.execute(f"SELECT regexp_match({arguments}) FROM films")


FLOATS = (
    "0", "-0", "1", "-1", "0.1", "0.0001", "0.00001", "-0.00012345", "1e14", "123456789012345.6", "999999999999999.9", "1e15", "-1e15",
    "1234567890123456", "1e16", "1e21", "1e300", "1e-300", "NaN", "Infinity", "-Infinity", "1e5", "999999.9", "1e6", "1234567", "3.14159",
)  # fmt: skip


@pytest.mark.parametrize("kind", ["float8", "float4"])
def test_floats_as_texts(both, kind):
    values = [v for v in FLOATS if kind == "float8" or "300" not in v]
    alike(both, [f"'{v}'::{kind}::text" for v in values])
    rows = ", ".join(f"({n}, '{v}'::{kind})" for n, v in enumerate(values))
    source = f"FROM (VALUES {rows}, (99, NULL)) v(n, x)"
    alike(
        both,
        [
            f"array_agg(x::text ORDER BY n) {source}",
            f"array_agg((-x)::text ORDER BY n) {source}",
        ],
    )


def test_texts_of_what_is_no_float_are_as_they_were(both):
    alike(
        both,
        [
            "1::text", "1.50::text", "true::text", "'a'::text", "NULL::text", "date '2024-02-29'::text", "(1 + 1)::text", "(1 > 2)::text",
            "(SELECT 1.0::float8)::text", "(0.5::float8::text::float8 + 0.5)::text", "(interval '1 day')::text",
            "CASE WHEN true THEN 1.0::float8 END::text || 'a'", "(SELECT sum(x)::text FROM (VALUES (1::float8), (2)) v(x))",
            "(SELECT string_agg(x::text, ',' ORDER BY x::text) FROM (VALUES (1::float8), (2)) v(x))",
            "(SELECT x FROM (SELECT x::text FROM (VALUES (1.0::float8)) v(x)) w)",
            "(SELECT to_char FROM (SELECT to_char(1.0::float8, '9.9')) w)", "row_number() OVER (ORDER BY 1.0::float8::text)::text",
        ],
    )  # fmt: skip
    sql = "SELECT (x * 2)::text AS a, count(*) FROM (VALUES (1.0::float8), (1), (NULL)) v(x) GROUP BY (x * 2)::text HAVING max(x::text) <> 'z' ORDER BY 1"
    assert told(both[0], sql) == told(both[1], sql)


def test_columns_as_texts(served):
    with psycopg.connect(served.dsn(), autocommit=True) as connection:
        found = connection.execute(
            "SELECT rating::text, id::text, cost::text, title::text, updated::text, (rating * 7)::text, rating FROM films"
            " WHERE rating::text = '1' AND id::text LIKE '7%'"
        ).fetchone()
        assert found == ("1", "7", "2.59", None, "2020-01-01 00:00:07.000007+00", "7", 1.0)
        found = connection.execute(
            "SELECT COLUMNS('rat.*')::text, rating::text AS r FROM films WHERE id = 7"
        ).fetchone()
        assert found == ("1.0", "1")
        deep = "id" + "::text::float8" * 40
        assert connection.execute(f"SELECT ({deep})::text FROM films WHERE id = 7").fetchone() == (
            "7",
        )
        with pytest.raises(psycopg.Error, match="no function"):
            connection.execute("SELECT polyport_text(title) FROM films")
