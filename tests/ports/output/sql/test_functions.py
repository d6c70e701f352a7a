"""PostgreSQL's functions that the engine does not have, and what they do not know."""

from __future__ import annotations

from datetime import UTC, date, datetime
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


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (f"to_char({NOON}, 'YYYY Q')", "does not know the pattern Q"),
        (f"to_char({NOON}, 'MONTH')", "does not know the pattern MONTH"),
        ("to_char(1.5, '999D9')", "1.5|cast|Cast|does not know"),
        ("to_date('2024', 'IYYY')", "know YYYY, MM, DD"),
        ("to_date('2024-13-01', 'YYYY-MM-DD')", "2024-13|out of range"),
    ],
)
def test_what_they_do_not_know_is_an_error_and_no_guess(connection, sql, words):
    with pytest.raises(psycopg.Error, match=words):
        connection.execute(f"SELECT {sql}")
