"""What PostgreSQL means: each expression is asked of a real one, too, and told byte by byte as there."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyport.engine.walled import arrays


def told(wire, sql):
    """The rows and types of a statement, or `None` and its SQLSTATE."""
    messages = wire.query(sql)
    failed = [body for kind, body in messages if kind == b"E"]
    if failed:
        return None, next(f[1:] for f in failed[0].split(b"\0") if f.startswith(b"C"))
    described = next(body for kind, body in messages if kind == b"T")
    at, kinds = 2, []
    while at < len(described):
        at = described.index(b"\0", at) + 7
        kinds.append(described[at : at + 4])
        at += 12
    return [body for kind, body in messages if kind == b"D"], kinds


def alike(both, expressions):
    """Ask all at once, and each where that fails."""
    sql = "SELECT " + ", ".join(f"{each} AS c{n}" for n, each in enumerate(expressions))
    ours, theirs = (told(wire, sql) for wire in both)
    if ours != theirs or ours[0] is None:
        for each in expressions:
            assert told(both[0], f"SELECT {each}") == told(both[1], f"SELECT {each}"), each


TEXTS = ("'abc'", "NULL", "''", "'a_b'", "'é\n%'", "'A%'", "'a\\b'")
PATTERNS = (
    "ARRAY['a%','b']", "ARRAY['zz','a\\_b']", "ARRAY[]::text[]", "NULL::text[]", "ARRAY[NULL,'a%']", "ARRAY[NULL::text]",
    "'{\"a%\", x y}'", "'{}'", "'{NULL,A%}'", "ARRAY['%','']", "ARRAY['a\\\\%','é_\\%']", "ARRAY(SELECT 'a%')",
    "string_to_array('a%,_', ',')",
)  # fmt: skip
QUANTIFIED = ("LIKE ANY", "LIKE ALL", "ILIKE ANY", "ILIKE ALL", "LIKE SOME", "not\nlike /* any ( */ any", "NOT LIKE ALL", "NOT ILIKE  ANY", "NOT ILIKE ALL")  # fmt: skip


@pytest.mark.parametrize("operator", QUANTIFIED)
def test_like_any_and_all(both, operator):
    alike(both, [f"{text}::text {operator} ({each})" for text in TEXTS for each in PATTERNS])


@pytest.mark.parametrize("operator", ["LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE"])
def test_a_backslash_escapes(both, operator):
    patterns = ("'a\\_b'", "'A\\_B'", "'a\\bc'", "'a\\\\b'", "NULL", "''", "'%'", "'\\%%'", "'a_b'")
    alike(both, [f"{text}::text {operator} {each}" for text in TEXTS for each in patterns])
    values = ", ".join(f"({text}, {each})" for text in TEXTS for each in patterns)
    alike(both, [f"array_agg(x {operator} p) FROM (VALUES {values}) v(x, p)"])


def test_like_any_stands_where_any_condition_does(both):
    alike(
        both,
        [
            "'a' LIKE ANY (ARRAY['a']) AND false",
            "NOT 'a' LIKE ANY (ARRAY['a']) OR 'b' NOT LIKE ALL (ARRAY['a', 'c'])",
            "'a' || 'b' LIKE ANY (ARRAY['ab'])",
            "'a' LIKE ANY (ARRAY['a']) = true",
            "CASE WHEN 'x' LIKE ANY (ARRAY['x']) THEN 'p' END LIKE ALL ('{p,%}')",
            "E'\\'' LIKE ANY (ARRAY[E'\\''])",
            "$$x LIKE ANY ($$ LIKE ANY (ARRAY[$q$x%$q$])",
            "'like any (x)' LIKE 'like any (%'",
            "(SELECT count(*) FROM (VALUES ('a'), ('b')) v(x) WHERE x LIKE ANY (ARRAY['a', x]))",
        ],
    )
    alike(both, ["p LIKE ANY (a) FROM (VALUES ('a', ARRAY['b','a']), ('x', NULL)) v(p, a)"])


def test_patterns_are_parameters_and_columns(served):
    with psycopg.connect(served.dsn(), autocommit=True) as connection:
        sql = "SELECT count(*) FROM films WHERE title LIKE ANY (%s) AND studio ILIKE ALL (%s)"
        found = connection.execute(sql, (["film 1%", "film\\_%", None], ["fox", "%"])).fetchone()
        plain = "SELECT count(*) FROM films WHERE title LIKE 'film 1%' AND studio = 'Fox'"
        assert found == connection.execute(plain).fetchone()
        assert found[0] > 100
        for values in ([], None, [None], ["'; DROP TABLE films; --"], ["x" * 100_000]):
            assert connection.execute(sql, (values, ["%"])).fetchone() == (0,)
        with connection.cursor() as cursor:
            cursor.execute("SELECT title LIKE %s FROM films WHERE id = 1", ("film\\ 1",))
            assert cursor.fetchone() == (True,)
            with pytest.raises(psycopg.Error):
                cursor.execute(sql, ("a", 1))


@pytest.mark.parametrize(
    ("sql", "state", "words"),
    [
        ("'a' LIKE ANY (SELECT 'a')", "", "takes an array here, no query"),
        ("'a' LIKE ANY ('a')", "22P02", "malformed array literal"),
        ("'a' LIKE ANY (1)", "", "LIST|array"),
        ("'a' LIKE ANY (ARRAY['a'], 1)", "", "no function any"),
        ("'a' LIKE ANY (DISTINCT ARRAY['a'])", "", "no function any"),
        ("'a' LIKE ANY (pg_sleep(1))", "", "pg_sleep"),
        ("'a' LIKE ANY (ARRAY[1])", "42883", ""),
        ("'a' LIKE ANY", "42601", "syntax error"),
        ('"any"(ARRAY[true])', "", "no function any"),
        ("polyport_any(ARRAY[true])", "", "no function polyport_any"),
        ("polyport_like('a', 'b')", "", "no function polyport_like"),
        ("'a' LIKE ANY (ARRAY['a\\'])", "", "must not end with escape"),
        ("'a' LIKE 'a\\'", "", "must not end with escape"),
    ],
)
def test_what_like_any_does_not_know_is_an_error(both, sql, state, words):
    found, code = told(both[0], f"SELECT {sql}")
    assert found is None
    assert state in (code.decode(), "")
    message = next(b for k, b in both[0].query(f"SELECT {sql}") if k == b"E").decode()
    assert any(word in message for word in words.split("|")), message


ARRAYS = (
    '{"a b",c}', '{ "a\\"b" , c\\\\d , e\\,f, " " , x y ,nUll,"null",""}', "{a b\\  }", "  { a }  ", "{}", "{ }", '{"{}"}',
    '{é,"\u2003",😀}', "{1, 2,NULL}", "{\\n}", '{"\\n\\""}', "{a\nb}", "{\\NULL}", "{a{b}", "{a,}", "{,}", '{a"b"}', '{"a"b}',
    "{a", "{a}}", "{a} b", "", "a", '{"a}', "{a\\}",
)  # fmt: skip


def test_arrays_in_texts(both):
    quoted = [text.replace("'", "''") for text in ARRAYS]
    alike(both, [f"'{text}'::text[]" for text in quoted])
    alike(
        both,
        [
            "'{1, 2,NULL}'::int[]", "'{1,x}'::int[]", "'{\" 1\"}'::int8[]", "'{t,f,NULL}'::bool[]", "'{1.50,-0.1}'::numeric(5,2)[]",
            "'{\"2020-01-01 00:00:00\",2020-02-03}'::timestamp[]", "'{1.5,NaN}'::float8[]", "CAST('{\"a b\"}' AS text[])",
            "'{\"1 day\"}'::interval[]", "'a b' = ANY('{\"a b\"}'::text[])",
        ],
    )  # fmt: skip
    assert told(both[0], "SELECT TRY_CAST('{a' AS int[]) IS NULL, '[1, 2]'::int[]")[0]
    for text in ("{{1,2},{3,4}}", "[2:3]={1,2}"):
        assert told(both[0], f"SELECT '{text}'::int[]")[0] is None


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.none() | st.text()))
def test_any_items_come_back(values):
    quoted = [
        "NULL" if v is None else '"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values
    ]  # fmt: skip
    assert arrays.items("{" + ",".join(quoted) + "}") == values


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(alphabet='{}", \\aN\n'))
def test_no_text_is_too_odd_for_an_array(text):
    found = arrays.items(text)
    assert found is None or text.strip().startswith("{")
