from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport import expression
from polyport.errors import QueryError
from polyport.expression import (
    And,
    Attribute,
    Compare,
    In,
    IsNull,
    Like,
    Not,
    Or,
    attributes,
    columns,
    parse,
    to_sql,
)


def test_the_tree():
    text = """a >= 1 and (b = principal.studio or "odd ""name" like 'A%') and not c in (1.5, 'x''y', true) or d is not null"""
    assert parse(text) == Or(
        (
            And(
                (
                    Compare("a", ">=", 1),
                    Or((Compare("b", "=", Attribute("studio")), Like('odd "name', "A%"))),
                    Not(In("c", (Decimal("1.5"), "x'y", True))),
                )
            ),
            Not(IsNull("d")),
        )
    )
    assert columns(parse(text)) == ("a", "b", 'odd "name', "c", "d")
    assert attributes(parse(text)) == ("studio",)


def test_moments_and_between():
    assert parse("d between date '2020-01-01' and date '2020-12-31'") == And(
        (Compare("d", ">=", dt.date(2020, 1, 1)), Compare("d", "<=", dt.date(2020, 12, 31)))
    )
    assert parse("t < timestamp '2020-01-01T00:00:00Z'") == Compare(
        "t", "<", dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    )
    assert parse("date = 1") == Compare("date", "=", 1)


@pytest.mark.parametrize(
    ("text", "column", "part"),
    [
        ("a =", 4, "expected a value, found the end"),
        ("= 3", 1, "expected a column"),
        ("a in ()", 7, "expected a value"),
        ("a = b", 5, "expected a value, found `b`"),
        ("(a = 1", 7, "expected `)`"),
        ("a = 1 b", 7, "expected `and`"),
        ("a ~ 1", 3, "does not belong"),
        ("a = 'x", 5, "does not belong"),
        ("d = date '2020-13-01'", 10, "is not a date"),
        ("a", 2, "expected a comparison"),
        ("a; drop table b", 2, "does not belong"),
        ("a.b = 1", 1, "expected a column"),
        ("", 1, "expected a column"),
        ("(" * 80 + "a = 1" + ")" * 80, 51, "50 deep"),
        ("not " * 80 + "a = 1", 201, "50 deep"),
    ],
)
def test_an_error_names_its_column(text, column, part):
    with pytest.raises(QueryError, match=part.replace("(", r"\(").replace(")", r"\)")) as caught:
        parse(text)
    assert caught.value.column == column


def test_sql_binds_every_value():
    params = {"f0": "taken"}
    sql = to_sql(
        parse("""a = 'x' and b in (1, 2) and "q""" + '"" t' + """" != principal.gone"""), params, {}
    )
    assert sql == '("a" = $f1 AND "b" IN ($f2, $f3) AND "q"" t" <> $f4)'
    assert params == {"f0": "taken", "f1": "x", "f2": 1, "f3": 2, "f4": None}
    assert to_sql(And(()), {}) == "TRUE"
    assert to_sql(Or(()), {}) == "FALSE"
    assert to_sql(In("a", ()), {}) == "FALSE"


@given(st.text())
def test_any_text_is_parsed_or_refused(text):
    try:
        parse(text)
    except QueryError as error:
        assert 1 <= error.column <= len(text) + 1


# Written back


VALUES = st.one_of(
    st.text(), st.integers(), st.booleans(), st.dates(),
    st.datetimes(timezones=st.just(dt.UTC)), st.decimals(allow_nan=False, allow_infinity=False),
    st.sampled_from(["studio", "id"]).map(expression.Attribute),
)  # fmt: skip
NAMES = st.text(min_size=1) | st.sampled_from(["id", "date", "and", "Order No", "null", "größe"])
LEAVES = st.one_of(
    st.builds(
        expression.Compare, NAMES, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), VALUES
    ),
    st.builds(expression.In, NAMES, st.lists(VALUES, min_size=1, max_size=3).map(tuple)),
    st.builds(expression.Like, NAMES, VALUES),
    st.builds(expression.IsNull, NAMES),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(expression.Not, inner),
        st.builds(expression.And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(expression.Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


@given(TREES)
def test_what_is_written_back_is_read_as_the_same(tree):
    assert expression.parse(expression.to_text(tree)) == tree


@pytest.mark.parametrize(
    "tree", [expression.And(()), expression.Or(()), expression.In("a", ()), expression.IsNull("")]
)
def test_what_no_text_gives_is_not_written(tree):
    with pytest.raises(ValueError):
        expression.to_text(tree)
