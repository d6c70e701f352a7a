"""Every type, in text and binary, byte by byte as a real PostgreSQL sends it; and COPY in all formats."""

from __future__ import annotations

import pytest

from .wire_client import bind, execute, framed, parse

FLOATS = (
    "1e14", "1e15", "1e16", "123456789012345", "1234567890123456", "0.0001", "0.00001", "0.000123456",
    "1.5e300", "-1e-300", "5e-324", "100000", "1e7", "1.7976931348623157e308", "12345678", "0.1", "1", "-0",
    "3.14159", "1e22", "1e6", "999999999999999", "0", "NaN", "Infinity", "-Infinity",
)  # fmt: skip
SINGLES = (
    "1", "0.1", "1e5", "1e6", "123456", "1234567", "12345678", "1e-4", "1e-5", "3.4028235e38", "1e-45",
    "NaN", "Infinity", "0.33333334", "999999",
)  # fmt: skip
NUMERICS = [
    ("0", "10,2"), ("0.5", "10,2"), ("-0.01", "10,2"), ("123456789.12", "12,2"), ("10000", "10,0"), ("9999", "4,0"),
    ("100000000", "18,0"), ("0.00000001", "18,8"), ("12345678901234.5678", "18,4"), ("-99999999.99", "10,2"),
    ("1", "38,10"), ("12345678901234567890123456.1234567890", "38,10"), ("0.0000000001", "38,10"), ("0", "38,0"),
    ("0.0001", "5,4"), ("0.00001", "6,5"), ("1.10", "5,2"),
]  # fmt: skip
DATES = (
    "2020-02-29", "0001-01-01", "9999-12-31", "1969-12-31", "infinity", "-infinity", "1582-10-15",
)  # fmt: skip
STAMPS = (
    "2020-02-29 01:02:03", "2020-01-01 00:00:00.5", "1969-12-31 23:59:59.999999", "0001-01-01 00:00:00", "infinity",
    "-infinity", "9999-12-31 23:59:59.000001",
)  # fmt: skip
INTERVALS = (
    "1 day", "1 year 2 months 3 days 04:05:06.789", "-1 day", "-00:00:01.5", "0 seconds", "25 hours", "1 month -1 day",
    "14 months", "-14 months", "100 days 3 hours", "-1 month 3 days 2 hours", "1 day -1 hour",
)  # fmt: skip
ARRAYS = (
    "ARRAY[1,2,3]", "ARRAY[1,NULL,3]", "ARRAY[[1,2],[3,4]]", "ARRAY[1.5::float8,NULL]", "ARRAY[true,false]",
    "ARRAY['a','b c','NULL','','x\"y','a\\b','{}', NULL, 'comma,','null']", "ARRAY['2020-01-01'::date]",
    "ARRAY['2020-01-01 00:00:00'::timestamp]", "ARRAY[1.10::numeric(5,2), NULL]", "ARRAY[[['a'],['b c']]]",
    "ARRAY['550e8400-e29b-41d4-a716-446655440000'::uuid]", "ARRAY['1 day'::interval]", "ARRAY['abc'::bytea]",
    "ARRAY[1::int8]",
)  # fmt: skip
VALUES = [
    *(f"'{x}'::float8" for x in FLOATS),
    *(f"'{x}'::float4" for x in SINGLES),
    *(f"({value})::numeric({size})" for value, size in NUMERICS),
    *(f"({x})::{t}" for t, ends in (("int2", 2**15), ("int4", 2**31), ("int8", 2**63)) for x in (0, ends - 1, -ends)),
    *(f"'{x}'::date" for x in DATES),
    *(f"'{x}'::timestamp" for x in STAMPS),
    *(f"'{x}'::timestamptz" for x in ("2020-02-29 01:02:03+00", "2020-07-01 00:00:00.5+02", "infinity", "1900-01-01 00:00:00+00")),
    *(f"'{x}'::time" for x in ("00:00:00", "01:02:03.5", "23:59:59.999999")),
    *(f"'{x}'::interval" for x in INTERVALS),
    *ARRAYS,
    *("true", "false", "'a'::text", "''::text", "'é\"x'::text", "'abc'::bytea", "'{\"a\": 1}'::json"),
    *("'550e8400-e29b-41d4-a716-446655440000'::uuid", "NULL", "NULL::int4", "NULL::numeric(10,2)", "NULL::int4[]"),
]  # fmt: skip


def rows(messages):
    assert not [body for kind, body in messages if kind == b"E"], messages
    return [body for kind, body in messages if kind in (b"D", b"d", b"H")]


def kinds(messages):
    """OID and size of each column."""
    body = next(body for kind, body in messages if kind == b"T")
    found, at = [], 2
    while at < len(body):
        at = body.index(b"\0", at) + 7
        found.append(body[at : at + 6])
        at += 12
    return found


@pytest.mark.parametrize("binary", [0, 1], ids=["text", "binary"])
def test_values_and_types_are_the_same(both, binary):
    for start in range(0, len(VALUES), 50):
        sql = "SELECT " + ", ".join(
            f"{v} AS v{n}" for n, v in enumerate(VALUES[start : start + 50])
        )
        asked = (parse(sql), bind(results=(binary,)), framed(b"D", b"P\0"), execute(), framed(b"S"))
        ours, theirs = (each.ask(*asked) for each in both)
        assert rows(ours) == rows(theirs), sql
        assert kinds(ours) == kinds(theirs), sql


@pytest.mark.parametrize("zone", ["Europe/Warsaw", "America/St_Johns", "Asia/Kathmandu"])
def test_instants_are_told_in_the_zone_that_is_set(both, zone):
    moments = (
        "2020-02-29 01:02:03+00",
        "2020-07-01 00:00:00.5+00",
        "1900-01-01 00:00:00+00",
        "infinity",
    )
    sql = "SELECT " + ", ".join(f"'{m}'::timestamptz AS v{n}" for n, m in enumerate(moments))
    found = []
    for each in both:
        each.query(f"SET TimeZone TO '{zone}'")
        found.append(rows(each.query(sql)))
        each.query("SET TimeZone TO 'UTC'")
    assert found[0] == found[1]


TABLE = (
    "SELECT a, b, c::numeric(6,2) AS c, d FROM (VALUES (1, 'plain', 1.50, true), (2, NULL, NULL, false), (3, '', -0.01, NULL),"
    " (4, 'tab\there', 100, true), (5, 'line\nend\r', 2, true), (6, 'a,\"b\"\\', 3, false), (7, '\\N', 4, true), (8, '\\.', 5, true))"
    " AS t(a, b, c, d) ORDER BY a"
)


@pytest.mark.parametrize(
    "options",
    [
        "", "(FORMAT csv)", "(FORMAT csv, HEADER)", "(FORMAT binary)", "CSV HEADER DELIMITER ';' QUOTE '''' NULL 'none'",
        "(FORMAT csv, FORCE_QUOTE *, ESCAPE '\\')", "(DELIMITER '|', NULL '-')", "WITH BINARY",
        "(FORMAT csv, FORCE_QUOTE (b, d), DELIMITER ' ')", "WITH NULL AS 'x' DELIMITER AS ','", "(HEADER)",
    ],
)  # fmt: skip
def test_copy_is_the_same(both, options):
    ours, theirs = (rows(each.query(f"COPY ({TABLE}) TO STDOUT {options}")) for each in both)
    assert ours == theirs


def test_one_column_of_csv_that_looks_like_its_end(both):
    sql = "COPY (SELECT * FROM (VALUES ('\\.'), (''), (NULL)) AS t(a)) TO STDOUT (FORMAT csv)"
    assert rows(both[0].query(sql)) == rows(both[1].query(sql))


def test_no_rows_in_binary_are_a_file_all_the_same(both):
    """In one message: DuckDB's extension does not read a signature that comes alone."""
    sql = "COPY (SELECT 1 AS a WHERE false) TO STDOUT (FORMAT binary)"
    assert rows(both[0].query(sql)) == rows(both[1].query(sql))
