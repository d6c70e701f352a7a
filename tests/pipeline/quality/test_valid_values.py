"""Each way to say what is valid, by a rule's arguments and by the schema's options, on each type of column."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import pytest

from polyport.descriptor.types import Property
from polyport.errors import QueryError
from polyport.pipeline.quality import patterns

from .conftest import result, rule, table

NAN = "'nan'::DOUBLE"


def values(*items: str) -> str:
    return f"SELECT * FROM (VALUES {', '.join(f'({i})' for i in items)}) AS v(x)"


CASES = [
    # text
    ({"minLength": 2}, values("'a'", "'ab'", "''", "NULL"), 2, "is at least 2 characters long"),
    ({"maxLength": 1}, values("'a'", "'ab'", "'é'", "'😀'", "NULL"), 1, "is at most 1 character long"),
    ({"minLength": 1, "maxLength": 2}, values("''", "'ab'", "'abc'"), 2, "is between 1 and 2 characters long"),
    ({"minLength": 2, "maxLength": 2}, values("'a'", "'ab'"), 1, "is exactly 2 characters long"),
    ({"minLength": 0}, values("''"), 0, "is at least 0 characters long"),
    ({"pattern": "b"}, values("'abc'", "'b'", "'ac'", "NULL"), 1, "matches b"),
    ({"pattern": "^a$"}, values("'a'", "'ab'", "chr(97) || chr(10)"), 2, "matches ^a$"),
    ({"pattern": r"^[A-Z]{2}\d+$"}, values("'AB12'", "'ab12'", "''"), 2, r"matches ^[A-Z]{2}\d+$"),
    ({"pattern": "^\\u00e9$"}, values("'é'", "'e'"), 1, "matches ^\\u00e9$"),
    ({"pattern": "'; DROP TABLE t --"}, values("'a'"), 1, "matches '; DROP TABLE t --"),
    ({"pattern": "(?<year>[0-9]{4})"}, values("'1999'", "'99'"), 1, "matches (?<year>[0-9]{4})"),
    ({"validValues": ["a", "b"]}, values("'a'", "'c'", "''", "NULL"), 2, "is one of a, b"),
    ({"validValues": ["it's", '"q"']}, values("'it''s'", "'\"q\"'", "'x'"), 1, "is one of it's, \"q\""),
    ({"validValues": [None]}, values("'a'", "NULL"), 1, "is one of "),
    ({"validValues": [1, True]}, values("'1'", "'true'", "'x'"), 1, "is one of 1, true"),
    ({"format": "email"}, values("'a@b.co'", "'a@b'", "'a b@c.de'", "NULL"), 2, "is an e-mail address"),
    (
        {"format": "uuid"},
        values("'6f1c2a52-6f1c-4a52-8f1c-2a526f1c2a52'", "'6f1c'", "''"),
        2,
        "is a UUID",
    ),
    ({"format": "uri"}, values("'https://x.example/a?b#c'", "'urn:x:1'", "'x.example'"), 1, "is a URI"),
    ({"format": "hostname"}, values("'a.example'", "'-a'", "'a_b'", "'localhost'"), 2, "is a host name"),
    ({"format": "ipv4"}, values("'127.0.0.1'", "'256.1.1.1'", "'1.2.3'"), 2, "is an IPv4 address"),
    (
        {"format": "ipv6"},
        values("'::1'", "'::'", "'2001:db8::8a2e:370:7334'", "'1:2:3:4:5:6:7:8'", "'1:2'", "':::'", "'1:2:3:4:5:6:7:8:9'"),
        3,
        "is an IPv6 address",
    ),
    ({"format": "yyyy-MM-dd"}, values("'2026-02-28'", "'2026-02-30'", "'28.02.2026'", "NULL"), 2, "is written as yyyy-MM-dd"),
    ({"format": "yyyy-MM-dd'T'HH:mm:ss"}, values("'2026-02-28T10:00:00'", "'2026-02-28'"), 1, "is written as yyyy-MM-dd'T'HH:mm:ss"),
    # numbers
    ({"minimum": 0, "maximum": 10}, values("0", "10", "11", "-1", "NULL"), 2, "is between 0 and 10"),
    ({"exclusiveMinimum": 0, "exclusiveMaximum": 10}, values("0", "10", "5"), 2, "is more than 0 and less than 10"),
    ({"minimum": 0.5}, values("0", "1"), 1, "is at least 0.5"),
    ({"maximum": "7"}, values("7", "8"), 1, "is at most 7"),
    ({"minimum": 10**30}, values("7", "8"), 2, f"is at least {10**30}"),
    ({"minimum": 0}, values("1.5::DOUBLE", NAN, "'inf'::DOUBLE", "'-inf'::DOUBLE"), 2, "is at least 0"),
    ({"maximum": 0}, values("-1.5::DOUBLE", NAN, "'inf'::DOUBLE"), 2, "is at most 0"),
    ({"maximum": Decimal("0.1")}, values("0.1::DOUBLE", "0.10001::DOUBLE"), 1, "is at most 0.1"),
    ({"maximum": 0.1}, values("0.1::DECIMAL(5,2)", "0.11::DECIMAL(5,2)"), 1, "is at most 0.1"),
    ({"multipleOf": 5}, values("0", "-10", "7"), 1, "is a multiple of 5"),
    ({"multipleOf": 0.25}, values("1", "2"), 0, "is a multiple of 0.25"),
    ({"multipleOf": 0.01}, values("1.25::DECIMAL(10,4)", "1.255::DECIMAL(10,4)"), 1, "is a multiple of 0.01"),
    ({"multipleOf": 0.1}, values("0.3::DOUBLE", "0.35::DOUBLE", NAN, "'inf'::DOUBLE"), 3, "is a multiple of 0.1"),
    ({"validValues": [1, "2", 3.0]}, values("1", "2", "3", "4"), 1, "is one of 1, 2, 3"),
    ({"pattern": "^1"}, values("12", "21"), 1, "matches ^1"),
    ({"minLength": 2}, values("1", "10"), 1, "is at least 2 characters long"),
    ({"format": "u8"}, values("0", "255", "256", "-1"), 2, "fits u8"),
    ({"format": "i16"}, values("32767", "-32769"), 1, "fits i16"),
    # other types
    ({"validValues": [True]}, values("true", "false"), 1, "is one of true"),
    ({"minimum": "2020-01-01"}, values("DATE '2019-12-31'", "DATE '2020-01-01'", "NULL"), 1, "is at least 2020-01-01"),
    ({"minimum": date(2020, 1, 1)}, values("DATE '2019-12-31'"), 1, "is at least 2020-01-01"),
    ({"maximum": "2020-01-01T00:00:00Z"}, values("DATE '2020-01-01'", "DATE '2020-01-02'"), 1, "is at most 2020-01-01T00:00:00Z"),
    ({"maximum": "2020-01-01T02:00:00+02:00"}, values("TIMESTAMP '2020-01-01 00:00:00'", "TIMESTAMP '2020-01-01 00:00:01'"), 1, "is at most 2020-01-01T02:00:00+02:00"),
    ({"maximum": "2020-01-01T00:00:00"}, values("TIMESTAMPTZ '2020-01-01 00:00:00+00'", "TIMESTAMPTZ '2020-01-01 00:00:01+00'"), 1, "is at most 2020-01-01T00:00:00"),
    ({"exclusiveMaximum": datetime(2020, 1, 1)}, values("TIMESTAMP '2020-01-01 00:00:00'"), 1, "is less than 2020-01-01 00:00:00"),
    ({"maximum": "10:00:00"}, values("TIME '10:00:00'", "TIME '10:00:01'"), 1, "is at most 10:00:00"),
    ({"validValues": ["2020-01-01"]}, values("DATE '2020-01-01'", "DATE '2020-01-02'"), 1, "is one of 2020-01-01"),
    ({"minItems": 1, "maxItems": 2}, values("[]::INT[]", "[1]", "[1,2,3]", "NULL"), 2, "has between 1 and 2 items"),
    ({"uniqueItems": True}, values("[1,1]", "[1,2]", "[NULL,NULL,1]::INT[]", "[]::INT[]"), 1, "has no item twice"),
    ({"validValues": ["6f1c2a52-6f1c-4a52-8f1c-2a526f1c2a52"]}, values("'6f1c2a52-6f1c-4a52-8f1c-2a526f1c2a52'::UUID", "uuid()"), 1, "is one of 6f1c2a52-6f1c-4a52-8f1c-2a526f1c2a52"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "data", "failing", "words"), CASES)
def test_by_a_rules_arguments(bench, options, data, failing, words):
    bench.add(table(rule("invalidValues", arguments=options, mustBe=failing)), data)
    found = bench.one("r")
    assert (found.status, found.rows_failing, found.reason) == ("pass", failing, "")
    assert found.sentence == f"x {words}"


@pytest.mark.parametrize(("options", "data", "failing", "words"), CASES)
def test_by_the_schema(bench, options, data, failing, words):
    allowed = options.get("validValues", ())
    rest = {k: v for k, v in options.items() if k != "validValues"}
    bench.add(table(columns=(Property("x", options=rest, valid_values=tuple(allowed)),)), data)
    (found,) = [r for r in bench.gate().report.results if r.sentence == f"x {words}"]
    assert (found.kind, found.column, found.severity) == ("schema", "x", "error")
    assert found.rows_failing == failing
    assert found.status == ("fail" if failing else "pass")


@pytest.mark.parametrize(
    ("options", "data", "reason"),
    [
        ({"pattern": "(ab"}, values("'a'"), "missing ): (ab at character 1"),
        ({"pattern": "a(?=b)"}, values("'a'"), "at character 2 (look-around"),
        ({"pattern": r"(a)\1"}, values("'a'"), "cannot be run"),
        ({"pattern": "[z-a]"}, values("'a'"), "at character 2"),
        ({"pattern": "a{1,5000}"}, values("'a'"), "repetition"),
        ({"pattern": "a" * 20_000 + "("}, values("'a'"), "cannot be run"),
        ({"pattern": "a"}, values("[1]"), "for text, and x holds lists"),
        ({"minLength": 1}, values("'a'::BLOB"), "for text, and x holds bytes"),
        ({"minLength": -1}, values("'a'"), "0 or more, not -1"),
        ({"minLength": True}, values("'a'"), "0 or more, not True"),
        ({"minLength": None}, values("'a'"), "empty"),
        ({"minimum": "low"}, values("1"), "'low' does not fit x, which holds whole numbers"),
        ({"minimum": float("inf")}, values("1"), "inf does not fit"),
        ({"minimum": 10**60}, values("1"), "does not fit"),
        ({"minimum": True}, values("1"), "True does not fit"),
        ({"minimum": "1999"}, values("DATE '1999-01-01'"), "'1999' does not fit x, which holds dates"),
        ({"minimum": 5}, values("DATE '1999-01-01'"), "5 does not fit"),
        ({"minimum": "noon"}, values("TIMESTAMP '1999-01-01'"), "'noon' does not fit x, which holds timestamps"),
        ({"minimum": 1}, values("[1]"), "1 does not fit x, which holds lists"),
        ({"multipleOf": 0}, values("1"), "needs a number above 0"),
        ({"multipleOf": -1}, values("1"), "needs a number above 0"),
        ({"multipleOf": 2}, values("'a'"), "needs a number above 0"),
        ({"validValues": ["a"]}, values("1"), "'a' does not fit x, which holds whole numbers"),
        ({"validValues": ["maybe"]}, values("true"), "'maybe' does not fit x, which holds true or false"),
        ({"validValues": [["a"]]}, values("'a'"), "['a'] does not fit x"),
        ({"minItems": 1}, values("'a'"), "for lists, and x holds text"),
        ({"uniqueItems": True}, values("1"), "for lists"),
    ],
)  # fmt: skip
def test_what_cannot_be_checked_is_an_error(bench, options, data, reason):
    bench.add(table(rule("invalidValues", arguments=options, mustBe=0)), data)
    found = bench.one("r")
    assert found.status == "error"
    assert reason in found.reason


@pytest.mark.parametrize(
    ("options", "data", "rule_id"),
    [
        ({"format": "password"}, values("'a'"), "t.x.format"),
        ({"format": "yyyy-MM-dd"}, values("DATE '2020-01-01'"), "t.x.format"),
        ({"format": "f64"}, values("1.5::DOUBLE"), "t.x.format"),
        ({"minProperties": 1}, values("{'a': 1}"), "t.x.minProperties"),
    ],
)
def test_options_that_values_cannot_be_checked_by_are_listed(bench, options, data, rule_id):
    bench.add(table(columns=(Property("x", options=options),)), data)
    assert bench.one(rule_id).status == "listed"


def test_options_that_say_nothing_of_values_make_no_rule(bench):
    options = {"timezone": True, "defaultTimezone": "Etc/UTC"}
    bench.add(table(columns=(Property("x", options=options),)), values("TIMESTAMP '2020-01-01'"))
    assert not [r.rule for r in bench.gate().report.results if "imezone" in r.rule]


@pytest.mark.parametrize(
    ("stand_ins", "data", "count"),
    [
        ([None, "", "N/A", "n/a"], values("NULL", "''", "'N/A'", "'n/a'", "'na'", "' '"), 4),
        ([None], values("NULL", "''"), 1),
        ([], values("NULL", "''"), 1),
        ([-999, "N/A"], values("-999", "0", "NULL"), 2),
        ([99], values("99.0::DOUBLE", "99.5::DOUBLE"), 1),
        ([float("nan"), float("inf")], values("'nan'::DOUBLE", "'inf'::DOUBLE", "'-inf'::DOUBLE", "1::DOUBLE"), 2),
        (["1900-01-01"], values("DATE '1900-01-01'", "DATE '1900-01-02'"), 1),
        (["", "N/A"], values("[1]", "NULL"), 1),
        (["it's \" $x {y}"], values("'it''s \" $x {y}'"), 1),
    ],
)  # fmt: skip
def test_missing_values(bench, stand_ins, data, count):
    bench.add(
        table(rule("missingValues", arguments={"missingValues": stand_ins}, mustBe=count)), data
    )
    found = bench.one("r")
    assert (found.status, found.rows_failing) == ("pass", count)


def test_not_a_number_is_not_null(bench):
    bench.add(table(rule("nullValues", mustBe=0)), values(NAN, "1::DOUBLE"))
    assert bench.one("r").status == "pass"


@pytest.mark.parametrize("broken", [["bad"], ["bad", "good4"], ["good0", "bad", "good2"]])
def test_one_bad_rule_does_not_take_the_others_along(bench, monkeypatch, broken):
    """A rule that the engine refuses while rows are read is left alone; the others still count."""
    rules = [
        replace(rule("invalidValues", arguments={"validValues": [name]}, mustBe=2), id=name)
        for name in ("good0", "good1", "bad", "good2", "good3", "good4")
    ]
    query = bench.engine.query

    def refuse(sql, relations, params=None):
        if "FILTER" in sql and set((params or {}).values()) & set(broken):
            raise QueryError("out of range")
        return query(sql, relations, params)

    monkeypatch.setattr(bench.engine, "query", refuse)
    bench.add(table(*rules), values("'a'", "'b'", "NULL"))
    found = bench.gate()
    for r in rules:
        assert result(found, r.id).status == ("error" if r.id in broken else "pass")
    assert result(found, broken[0]).reason == "could not be run: out of range"
    assert found.report.tables["t"].rows == 3


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (r"\u00e9", r"\x{00e9}"),
        (r"\u{1F600}", r"\x{1F600}"),
        (r"\\u0041", r"\\u0041"),
        (r"\cA", r"\x{01}"),
        ("(?<a>x)", "(?P<a>x)"),
        ("(?<=x)", "(?<=x)"),
        ("(?<!x)", "(?<!x)"),
        (r"\(?<a", r"\(?<a"),
        (r"\d\/\-", r"\d\/\-"),
    ],
)
def test_ecma_patterns_as_re2(ours, theirs):
    assert patterns.re2(ours) == theirs


@pytest.mark.parametrize(
    ("jdk", "strptime"),
    [
        ("yyyy-MM-dd", "%Y-%m-%d"),
        ("dd.MM.yy HH:mm:ss", "%d.%m.%y %H:%M:%S"),
        ("yyyy''MM", "%Y'%m"),
        ("yyyy'%'MM", "%Y%%%m"),
        ("qqqq", ""),
        ("yyyy-'unclosed", ""),
        ("", ""),
    ],
)
def test_jdk_date_patterns(jdk, strptime):
    assert patterns.moment(jdk) == strptime
