"""`to_char` and `to_number` of numbers: beside a real PostgreSQL, byte by byte."""

from __future__ import annotations

import random
from decimal import Decimal

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ports.output.sql.test_dialect import alike, told

from polyport.engine.walled import figures

VALUES = (
    "0", "7", "-1", "11", "12", "113", "485", "-485", "1485", "123456789", "2147483647", "0.1", "-0.1", "0.5", "0.05", "148.5",
    "-0.004", "9.995", "99.95", "999.999", "3148.50", "1000.00", "0.00", "12345678901234567890.12", "5::smallint", "'-9000000000000000000'::bigint",
    "0.1::float8", "'-0'::float8", "0.005::float8", "2.5::float8", "148.5::float8", "99.995::float8", "123456789012345.678::float8",
    "1e30::float8", "-1e-9::float8", "0.1::float4", "1234567.89::float4", "999999.5::float4", "-2.675::float4",
    "'nan'::float8", "'inf'::float8", "'-inf'::float8", "'nan'::float4", "'inf'::float4", "NULL::int", "NULL::numeric", "NULL::float8",
)  # fmt: skip
PATTERNS = (
    "9", "999", "0000", "99.9", "9.99", "0.00", "FM9.99", "FM0.00", "FM999.990", "9990999.9", "FM9990999.9", "9 9 9", "9,999",
    "9G999D999", "999,999,999.99", "FM999,999,999,990.00", "999S", "S999", "S9,999.9", "9S.9", "999MI", "MI999", "FM999MI",
    "FM9.99S", "PL999", "999PL", "SG999", "9SG99", "999PR", "FM999.9PR", "9,999.99PR", "L999", "$999,999.99", "999th", "FM999TH",
    "9.9th", '"Good number:"999', '"pre\\"dec"999', '9\\"9', "99V999", "99V9", "FM99V99", "9.99EEEE", "9EEEE", "9.99999eeee", "RN",
    "FMRN", "rn", "FMrn", ".99", "99.", "FM99.", "é 99 日", "x9-9", "FM9G999D0", "99999999999999999.9999999999", "FM0999,99.909",
    "fm99d9", "9mi", "99pr", "FM9.9PL", "FMSG999.00",
)  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_to_char(both, pattern):
    shift = "V" in pattern  # integers overflow by it
    values = [
        v
        for v in VALUES
        if not (shift and v in ("2147483647", "'-9000000000000000000'::bigint", "123456789"))
    ]
    values = [v for v in values if not ("th" in pattern.lower() and ("nan" in v or "inf" in v))]
    alike(both, [f"to_char({value}, '{pattern}')" for value in values])


def some(seed):
    """A pattern, and values of each kind."""
    luck = random.Random(seed)
    left = "".join(luck.choice("99999999900,G") for _ in range(luck.randint(1, 12)))
    right = "".join(luck.choice("99999900") for _ in range(luck.randint(0, 5)))
    pattern = left + (luck.choice(".D") + right if luck.random() < 0.6 else "")
    if luck.random() < 0.5:
        at = luck.choice([0, len(pattern), luck.randint(0, len(pattern))])
        sign = luck.choice(["S", "MI", "PL", "SG", "PR"])
        pattern = pattern + sign if sign == "PR" else pattern[:at] + sign + pattern[at:]
    pattern = luck.choice(["", "", "FM", "FM", "L", "$", '"a b"']) + pattern
    plain = [Decimal(luck.randint(-(10**9), 10**9)).scaleb(-luck.randint(0, 9)) for _ in range(12)]
    exact = [f"{value:f}" for value in plain]
    floats = [repr(luck.uniform(-1, 1) * 10 ** luck.randint(-5, 20)) for _ in range(12)]
    kinds = [f"'{f}'::{t}" for f in floats + exact for t in ("float8", "float4")]
    return pattern, exact + kinds


@pytest.mark.parametrize("seed", range(12))
def test_to_char_by_chance(both, seed):
    pattern, values = some(seed)
    alike(both, [f"to_char({value}, '{pattern}')" for value in values])


READ = (
    ("12,454.8-", "99G999D9S"), ("-12", "999"), (" 12", "999"), ("  -12", "9999"), ("$1,234.50", "$9,999.99"), ("€12", "L99"),
    ("<12>", "99PR"), ("12", "99PR"), ("12-", "99MI"), ("+5", "SG9"), (".5", "9.9"), ("5.", "9.9"), ("1,234,567", "999G999G999"),
    ("234,567", "9,999,999"), ("1234567", "9,999,999"), ("0012", "0000"), ("EUR 3.14", '"EUR "9.99'), ("1.5", "FM999.999"),
)  # fmt: skip


def test_to_number(both):
    for text, pattern in READ:
        sql = f"SELECT to_number('{text}', '{pattern}') AS a"
        ours, theirs = (told(wire, sql) for wire in both)
        assert ours[1] == theirs[1], sql
        assert number_of(ours) == number_of(theirs), sql
    alike(both, ["to_number(NULL, '999')", "to_number(NULL::text, '9.9') + 1"])


def number_of(found):
    return Decimal(found[0][0][6:].decode())


def test_what_is_read_is_the_same(both):
    assert sum(read_alike(both, seed) for seed in range(12)) > 50


def read_alike(both, seed):
    """How many texts of those that are made by chance are read, each as PostgreSQL does."""
    luck = random.Random(seed)
    pattern = luck.choice(
        [
            "9",
            "999",
            "99,999",
            "999,999",
            "9G999G999",
            "9,999,999",
            "999,9999",
            "9,9,9",
            "",
            "099999",
        ]
    )
    pattern += luck.choice(["", ".99", "D999", "."])
    sign = luck.choice(["", "", "S", "MI", "SG", "PR"])
    pattern = luck.choice(["", "", "L", "$", "FM"]) + (
        pattern + sign if sign == "PR" or luck.random() < 0.5 else sign + pattern
    )
    read = 0
    for _ in range(60):
        number = luck.randint(0, 10 ** luck.randint(0, 8))
        digits = luck.choice(
            [
                f"{number}",
                f"{number:,}",
                f"{number / 100:.2f}",
                f"{number / 100:,.2f}",
                ".5",
                f"{number}.",
            ]
        )
        text = (
            luck.choice(["", "", "-", "+", "<", " ", "  ", "    ", "$", "$ ", "-$", "  -"])
            + digits
            + luck.choice(["", "", "-", "+", ">", " "])
        )
        sql = f"SELECT to_number('{text}', '{pattern}') AS a"
        ours = told(both[0], sql)
        if ours[0] is not None:
            read += 1
            assert number_of(ours) == number_of(told(both[1], sql)), sql
    return read


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("1,234,567", "999,999"), ("12345", "999"), ("1.234", "9.99"), ("abc", "999"), ("", "999"), ("1 2", "9 9"), ("--1", "99"),
        ("12", "$99"), ("12x", "99"), ("<12", "L99"), ("1\n", "9"), ("٣", "9"), ("1" * 100_000, "9"), ("' OR 1=1 --", "9"),
        ("NaN", "999"), ("1e5", "999999"), ("XII", "RN"), ("12th", "99th"), ("123", "99V9"), ("5", ""), ("5", "SS9"),
    ],
)  # fmt: skip
def test_what_is_not_written_so_is_not_read(both, text, pattern):
    quoted = text.replace("'", "''")
    assert told(both[0], f"SELECT to_number('{quoted}', '{pattern}')")[0] is None


def test_over_columns_and_parameters(served):
    with psycopg.connect(served.dsn(), autocommit=True) as connection:
        found = connection.execute(
            "SELECT to_char(cost, 'FM999,990.00'), to_number(to_char(cost, '999,990.00'), '999,990.00') = cost,"
            " to_char(%s::numeric, '9.9'), to_char(%s::float8, 'FM9.9') FROM films WHERE id = 2702",
            (Decimal("2.25"), 0.5),
        ).fetchone()
        assert found == ("999.74", True, " 2.3", "0.5".removeprefix("0"))
        wrong = "SELECT count(*) FROM films WHERE to_number(to_char(cost, '9,990.00'), '9,990.00') <> cost"
        assert connection.execute(wrong).fetchone() == (0,)
        for sql, words in {
            "SELECT to_char(title, '999') FROM films": "text",
            "SELECT to_char(released, '999') FROM films": "date",
            "SELECT to_char(1, '9.9.9')": "two points",
            "SELECT to_char(1, 'S9S')": "together with another sign",
            "SELECT to_char(1, 'B9')": "'B9' here",
            "SELECT to_char(1, 'PR9')": "behind PR",
            f"SELECT to_char(1, '{'9' * 39}')": "more than 38 digits",
            f"SELECT to_char(1, 'FM{'9' * 19}.{'9' * 19}')": "so many digits",
            "SELECT to_char(1, '9\ue000')": "private use",
            "SELECT to_char('nan'::float8, '999th')": "is not a number",
            "SELECT to_number(title, studio) FROM films": "needs a constant pattern",
            "SELECT polyport_number(1, '', '', 1, 1, 1)": "no function",
        }.items():
            with pytest.raises(psycopg.Error, match=words):
                connection.execute(sql)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet='90.,DGSLVFMIPRTHthNEB "\\x\ue000é'))
def test_no_pattern_is_too_odd(pattern):
    try:
        table = figures.templates(pattern)
    except figures.PatternError as error:
        assert str(error)
    else:
        assert len(table) <= figures.MOST_TEMPLATES + 6
