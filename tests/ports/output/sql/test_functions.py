"""PostgreSQL's functions that the engine does not have, and what they do not know."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest


@pytest.fixture
def connection(served):
    with psycopg.connect(served.dsn(), autocommit=True) as made:
        yield made


NOON = "TIMESTAMP '2024-02-29 13:04:05.678'"


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        (f"to_char({NOON}, 'YYYY-MM-DD HH24:MI:SS.MS')", "2024-02-29 13:04:05.678"),
        (f"to_char({NOON}, 'YYYY-MM-DD\"T\"HH12:MI AM')", "2024-02-29T01:04 PM"),
        (f"to_char({NOON}, 'Mon DD, Dy DDD IYYY-IW US 100%')", "Feb 29, Thu 060 2024-09 678000 100%"),
        ("to_char(DATE '2024-02-29', 'YY/MM')", "24/02"),
        ("to_char(TIMESTAMPTZ '2024-02-29 00:30:00+01', 'YYYY-MM-DD TZ')", "2024-02-28 UTC"),
        ("to_char(NULL::TIMESTAMP, 'YYYY')", None),
        ("to_date('29.02.2024', 'DD.MM.YYYY')", date(2024, 2, 29)),
        ("to_timestamp('2024-02-29 13:04:05.678000', 'YYYY-MM-DD HH24:MI:SS.US')", datetime(2024, 2, 29, 13, 4, 5, 678000, UTC)),
        ("to_timestamp(0)", datetime(1970, 1, 1, tzinfo=UTC)),
        ("json_agg(year) FROM (SELECT DISTINCT year FROM people)", [1970]),
        ("row_to_json(p) FROM people p ORDER BY name LIMIT 1", {"name": "Ann", "year": 1970}),
        ("initcap('hello wORLD-wide')", "Hello World-Wide"),
        ("btrim('  x ')", "x"), ("btrim('xyx', 'x')", "y"), ("div(7, 2)", Decimal(3)), ("div(-7, 2)", Decimal(-3)),
    ],
)  # fmt: skip
def test_they_give_what_postgresql_gives(connection, sql, found):
    assert connection.execute(f"SELECT {sql}").fetchone() == (found,)


# Each was asked of PostgreSQL 18, too.
@pytest.mark.parametrize(
    ("sql", "found"),
    [
        (f"to_char({NOON}, 'Month DD, YYYY')", "February  29, 2024"),
        (f"to_char({NOON}, 'FMMonth FMDD|Day|FMday')", "February 29|Thursday |thursday"),
        (f"to_char({NOON}, 'DAY MON dy')", "THURSDAY  FEB thu"),
        (f"to_char({NOON}, 'WW W CC D ID Q SSSS')", "09 5 21 5 4 1 47045"),
        (f"to_char({NOON}, 'FMHH12:MI pm \"at\" TZ OF')", "1:04 pm at UTC +00"),
        ("to_char(NULL::TIMESTAMP, 'Month Q')", None),
        ("extract(year from DATE '2024-01-01') / 10", 202.4),
        (f"extract(second from {NOON})", Decimal("5.678000")),
        (f"extract(milliseconds from {NOON})", Decimal("5678.000")),
        (f"extract(epoch from {NOON})", Decimal("1709211845.678000")),
        ("extract(epoch from INTERVAL '1 day 2 hours')", Decimal("93600.000000")),
        ("extract(hour from TIME '13:14:15')", Decimal(13)),
        (f"date_part('second', {NOON})", 5.678), (f"date_part('year', {NOON})", 2024.0),
        ("format('%s-%s %%', 'a', 1)", "a-1 %"), ("format('x')", "x"), ("format('%s', NULL)", ""),
        ("'abc' SIMILAR TO '%(b|d)%'", True), ("'abc' SIMILAR TO 'a.c'", False), ("'a.c' SIMILAR TO 'a.c'", True),
        ("'abc' SIMILAR TO 'a_c'", True), ("'abc' NOT SIMILAR TO 'a%'", False), ("'abc' SIMILAR TO '[^x]+'", True),
        ("'abc' SIMILAR TO 'ab'", False), ("regexp_full_match('abc', 'a.c')", True),
        ("json_agg(x ORDER BY x DESC) FROM (VALUES (1),(3),(2)) v(x)", [3, 2, 1]),
        ("jsonb_agg(x ORDER BY x) FILTER (WHERE x > 1) FROM (VALUES (1),(3),(2)) v(x)", [2, 3]),
        ("json_agg(x) IS NULL FROM (VALUES (1)) v(x) WHERE false", True),
        ("json_agg(v ORDER BY x) FROM (VALUES (1),(2)) v(x)", [{"x": 1}, {"x": 2}]),
        ("json_build_object('a', 1, 'b', NULL)", {"a": 1, "b": None}),
        ("json_build_array(1, 'a')", [1, "a"]), ("to_jsonb(1)", 1),
        ("json_object_agg(x, x) FROM (VALUES (1),(2)) v(x)", {"1": 1, "2": 2}),
        ("array_remove(array[1,2,1], 1)", [2]), ("array_upper(array[1,2], 1)", 2), ("array_lower(array[1,2], 1)", 1),
        ("array_to_string(array[1,2,NULL], ',', '*')", "1,2,*"), ("array_to_string(array[1,2], '-')", "1-2"),
        ("'{1,NULL,-3}'::int[]", [1, None, -3]), ("'{}'::text[]", []), ("'{a, null,b}'::text[]", ["a", None, "b"]),
        ("2 = ANY('{1,2}'::int4[])", True), ("'{2024-02-29}'::date[]", [date(2024, 2, 29)]),
        ("make_interval(days => 10, hours => 2, secs => 1.5)", timedelta(days=10, seconds=7201.5)), ("make_interval()", timedelta()),
        ("make_interval(0, 0, 1, 4, 5, 6, 7)", timedelta(days=11, hours=5, minutes=6, seconds=7)), ("make_interval(days => NULL)", None),
        ("make_interval(years => 1, months => 2) = INTERVAL '14 months'", True),
        ("regexp_count('abab', 'a')", 2), ("regexp_substr('foobar', 'o+')", "oo"), ("regexp_substr('a', 'x')", None),
        ("regexp_like('foobar', 'O+', 'i')", True),
        ("width_bucket(35, 0, 100, 10)", 4), ("width_bucket(5.35, 0.024, 10.06, 5)", 3),
        ("width_bucket(0.35, 0, 0.7, 10)", 6), ("width_bucket(-1, 0, 0.7, 10)", 0), ("width_bucket(7, 0, 0.7, 10)", 11),
        ("width_bucket(30, 100, 0, 10)", 8), ("width_bucket(0, 100, 0, 10)", 11), ("width_bucket(100, 100, 0, 10)", 1),
        (f"date_bin('15 minutes', {NOON}, TIMESTAMP '2001-01-01')", datetime(2024, 2, 29, 13, 0)),
        ("date_trunc('day', TIMESTAMPTZ '2024-02-29 23:30:00+00', 'Europe/Berlin')", datetime(2024, 2, 29, 23, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_they_mean_what_postgresql_means(connection, sql, found):
    assert connection.execute(f"SELECT {sql}").fetchone() == (found,)


def test_columns_are_called_as_postgresql_calls_them(connection):
    asked = connection.execute(
        "SELECT extract(year from updated), date_part('year', updated), (array[1,2])[1], title ~ 'a', title SIMILAR TO 'a',"
        " to_char(updated, 'YYYY Q'), json_agg(id ORDER BY id), percentile_cont(0.5) WITHIN GROUP (ORDER BY id)"
        " FROM films GROUP BY title, updated LIMIT 1"
    )
    assert [column.name for column in asked.description] == [
        "extract", "date_part", "array", "?column?", "?column?", "to_char", "json_agg", "percentile_cont",
    ]  # fmt: skip


def test_an_error_in_what_was_said_otherwise_has_its_place_or_none(connection):
    with pytest.raises(psycopg.errors.UndefinedColumn) as told:
        connection.execute("SELECT extract(year from updated), titel FROM films")
    assert told.value.diag.statement_position in ("36", None)
    with pytest.raises(psycopg.errors.InvalidTextRepresentation) as told:
        connection.execute("SELECT to_char(updated, 'YYYY Q'), title::INT FROM films")
    assert told.value.diag.statement_position in ("39", None)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (f"to_char({NOON}, 'YYYY J')", "does not know the pattern J"),
        (f"to_char({NOON}, 'DDth')", "does not know the pattern t"),
        ("to_char(1.5, '999D9D9')", "cannot write numbers by the pattern"),
        ("to_char(125, 'RNx')", "does not know the pattern R"),
        ("to_char(INTERVAL '1 hour', 'HH24')", "cast"),
        ("format('%I', 'a')", "format does not know '%I'"),
        ("format('%s %s', 'a')", "format does not know '%s' here, or has no value"),
        ("format(title, 1) FROM films", "constant pattern"),
        ("'a' SIMILAR TO 'a\\%'", "SIMILAR TO knows"),
        ("json_object_agg(1, 2 ORDER BY 1)", "ORDER BY"),
        ("width_bucket(1, 2, 2, 3)", "width_bucket needs"),
        ("to_date('2024', 'IYYY')", "know YYYY, MM, DD"),
        ("to_date('2024-13-01', 'YYYY-MM-DD')", "2024-13|out of range"),
    ],
)
def test_what_they_do_not_know_is_an_error_and_no_guess(connection, sql, words):
    with pytest.raises(psycopg.Error, match=words):
        connection.execute(f"SELECT {sql}")
