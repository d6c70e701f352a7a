"""What consumers' SQL may say: every kind of node, function and name."""

from __future__ import annotations

import contextlib
import re
from importlib.resources import files

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from polyport.engine.walled import guard, universe
from polyport.engine.walled.guard import RefusedError

FAMILIES = ("__internal", "collate_", "icu_", "has_")


@pytest.fixture(scope="module")
def con():
    made = duckdb.connect()
    yield made
    made.close()


def refused():
    text = files("polyport.engine.walled").joinpath("refused.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    words = {word for line in lines for word in line.split()}
    # operators of more than one word
    return words | {"is distinct from", "is not distinct from"}


# --- functions ------------------------------------------------------------------------------------------------------


def test_every_function_of_the_engine_is_let_in_or_refused(con):
    rows = con.execute(
        "SELECT DISTINCT lower(function_name) FROM duckdb_functions() "
        "WHERE function_type NOT IN ('table', 'table_macro', 'pragma')"
    ).fetchall()
    installed = {name for (name,) in rows}
    unknown = {n for n in installed - guard.functions() - refused() if not n.startswith(FAMILIES)}
    assert not unknown, "decide on each: functions.txt or refused.txt"
    assert not guard.functions() & refused()
    assert not {n for n in guard.functions() if n.startswith(FAMILIES)}
    gone = guard.functions() - installed - {"coalesce"}  # which is syntax
    assert not gone


def test_every_table_function_is_refused_but_for_those_that_compute(con):
    rows = con.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() "
        "WHERE function_type IN ('table', 'table_macro')"
    ).fetchall()
    assert {n for (n,) in rows} >= guard.TABLE_FUNCTIONS - {"unnest"}
    for (name,) in rows:
        if name not in guard.TABLE_FUNCTIONS:
            with pytest.raises(RefusedError, match="table function"):
                guard.check(con, f'SELECT * FROM "{name}"(1)')


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT {}(1)",
        "SELECT {}(DISTINCT 1)",
        "SELECT {}(1) OVER ()",
        "SELECT pg_catalog.{}(1)",
        "SELECT 1 WHERE {}(1)",
        "SELECT 1 GROUP BY {}(1)",
        "SELECT 1 HAVING {}(1)",
        "SELECT 1 QUALIFY {}(1)",
        "SELECT 1 ORDER BY {}(1)",
        "SELECT 1 LIMIT {}(1)",
        "SELECT 1 OFFSET {}(1)",
        "SELECT DISTINCT ON ({}(1)) 1",
        "SELECT CASE {}(1) WHEN 1 THEN 2 END",
        "SELECT CASE WHEN 1 THEN {}(1) END",
        "SELECT CASE WHEN 1 THEN 2 ELSE {}(1) END",
        "SELECT 1 BETWEEN {}(1) AND 2",
        "SELECT 1 IN (2, {}(1))",
        "SELECT NOT {}(1)",
        "SELECT {}(1) IS NULL",
        "SELECT [{}(1)]",
        "SELECT {{'a': {}(1)}}",
        "SELECT MAP {{'a': {}(1)}}",
        "SELECT [x FOR x IN [1] IF {}(x)]",
        "SELECT list_transform([1], lambda x: {}(x))",
        "SELECT {}(1)::VARCHAR",
        "SELECT TRY({}(1))",
        "SELECT TRY_CAST({}(1) AS INT)",
        "SELECT {}(1) COLLATE nocase",
        "SELECT {}(1) + 1",
        "SELECT sum({}(1))",
        "SELECT sum(1) FILTER (WHERE {}(1))",
        "SELECT sum(1 ORDER BY {}(1))",
        "SELECT sum(1) OVER (PARTITION BY {}(1))",
        "SELECT sum(1) OVER (ORDER BY {}(1))",
        "SELECT sum(1) OVER (ROWS {}(1) PRECEDING)",
        "SELECT sum(1) OVER w WINDOW w AS (ORDER BY {}(1))",
        "SELECT lag(1, {}(1)) OVER ()",
        "SELECT (SELECT {}(1))",
        "SELECT EXISTS (SELECT {}(1))",
        "SELECT 1 = ANY (SELECT {}(1))",
        "WITH x AS (SELECT {}(1)) SELECT 1",
        "WITH RECURSIVE x AS (SELECT 1 a UNION SELECT {}(a) FROM x) SELECT 1",
        "SELECT * FROM (SELECT {}(1))",
        "SELECT * FROM (VALUES ({}(1)))",
        "VALUES ({}(1))",
        "SELECT * FROM range({}(1))",
        "SELECT * FROM unnest([{}(1)])",
        "SELECT * FROM a JOIN b ON {}(1)",
        "SELECT * FROM a ASOF JOIN b ON a.x >= {}(1)",
        "SELECT * FROM a, LATERAL (SELECT {}(1))",
        "SELECT * REPLACE ({}(1) AS a) FROM a",
        "SELECT COLUMNS(lambda c: {}(c)) FROM a",
        "SELECT 1 UNION ALL SELECT {}(1)",
        "SELECT 1 GROUP BY GROUPING SETS (({}(1)))",
        "FROM a PIVOT (sum({}(1)) FOR b IN (1))",
        "FROM a TABLESAMPLE reservoir({}(1) ROWS)",
        "DESCRIBE SELECT {}(1)",
        "SUMMARIZE SELECT {}(1)",
    ],
)
def test_no_place_hides_a_function(con, sql):
    for name in ("error", "current_setting", "nonsense"):
        with pytest.raises((RefusedError, duckdb.ParserException)):
            guard.check(con, sql.format(name))
    with contextlib.suppress(
        duckdb.ParserException
    ):  # with a function that is let in, the place is none to refuse
        guard.check(con, sql.format("abs"))


def test_it_says_what_was_perhaps_meant(con):
    with pytest.raises(RefusedError) as caught:
        guard.check(con, "SELECT uper('x')")
    assert caught.value.fix == "did you mean upper?"
    for name in ("read_text", "read_csv", "getenv", "query"):
        with pytest.raises(RefusedError) as caught:
            guard.check(con, f"SELECT {name}('x')")
        assert caught.value.fix == "", name
    assert caught.value.position == 7


# --- statements and nodes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a, t.b, t.*, #1, 1, 'x', NULL, $1, ?, a[1], a[1:2], (t).b FROM t",
        "SELECT DISTINCT a FROM t WHERE a > 1 AND b < 2 OR NOT c GROUP BY ALL HAVING d ORDER BY ALL LIMIT 10%",
        "SELECT * EXCLUDE (a) REPLACE (b AS c) RENAME (d AS e) FROM t",
        "SELECT a FROM t JOIN u USING (a) LEFT JOIN v ON true CROSS JOIN w",
        "SELECT a FROM t POSITIONAL JOIN u",
        "SELECT a FROM t ANTI JOIN u USING (a)",
        "SELECT a FROM t UNION BY NAME SELECT a FROM u INTERSECT SELECT a FROM v EXCEPT ALL SELECT a FROM w",
        "SELECT rank() OVER (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM t",
        "SELECT a FROM t GROUP BY GROUPING SETS ((a), ()), ROLLUP (b), CUBE (c)",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "FROM t SELECT a",
        "FROM t",
        "TABLE t",
        "VALUES (1, 2), (3, 4)",
        "PIVOT t ON a IN (1, 2) USING sum(b) GROUP BY c",
        "UNPIVOT t ON a, b INTO NAME n VALUE v",
        "DESCRIBE t",
        "DESCRIBE SELECT 1",
        "SUMMARIZE t",
        "SELECT * FROM (DESCRIBE t)",
        "SELECT INTERVAL 1 DAY, DATE '2020-01-01', TIMESTAMP '2020-01-01', a AT TIME ZONE 'UTC' FROM t",
        "SELECT CAST(a AS DECIMAL(18, 2)), a::STRUCT(b INT, c VARCHAR[]), TRY_CAST(a AS DATE) FROM t",
        "SELECT CASE WHEN a THEN b ELSE c END, coalesce(a, b), nullif(a, b), if(a, b, c) FROM t",
        "SELECT a LIKE 'x%', a ILIKE 'x', a SIMILAR TO 'x', a ~ 'x', a GLOB 'x', a BETWEEN 1 AND 2 FROM t",
        "SELECT a IN (1, 2), a = ANY (SELECT 1), EXISTS (FROM t), a IS DISTINCT FROM b FROM t",
        "SELECT extract(year FROM a), trim(both FROM b), substring(c FROM 1 FOR 2), position('x' IN d) FROM t",
        "SELECT {'a': 1}, [1, 2], MAP {'a': 1}, (1, 2), row(1, 2), [x + 1 FOR x IN [1]] FROM t",
        "SELECT unnest(a), count(*) FILTER (WHERE b), string_agg(c, ',' ORDER BY d) FROM t",
        "SELECT a FROM t TABLESAMPLE 10% (bernoulli, 3)",
        "SELECT * FROM range(3), generate_series(1, 2), unnest([1]) WITH ORDINALITY, json_each('[1]')",
    ],
)  # fmt: skip
def test_a_select_may_say_what_a_select_says(con, sql):
    assert guard.check(con, sql).sql == sql


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("", "no statement"),
        (";", "no statement"),
        ("-- x", "no statement"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("INSERT INTO t VALUES (1)", "INSERT"),
        ("COPY t TO 'x'", "COPY"),
        ("SET threads = 1", "SET"),
        ("PRAGMA version", "PRAGMA|statements"),
        ("ATTACH 'x'", "ATTACH"),
        ("EXPLAIN SELECT 1", "EXPLAIN"),
        ("PREPARE x AS SELECT 1", "PREPARE"),
        ("EXECUTE x", "EXECUTE"),
        ("CALL range(1)", "CALL"),
        ("SHOW TABLES", "SHOW REF"),
        ("SELECT * FROM (SHOW TABLES)", "SHOW REF"),
        ("PIVOT t ON a USING sum(b)", "listed"),
        ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", "DELETE"),
        ("WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x", "INSERT"),
        ("WITH x AS (UPDATE t SET a = 1 RETURNING *) SELECT * FROM x", "UPDATE"),
        ("SELECT DEFAULT", "DEFAULT"),
        ("SELECT $name", "has a name"),
        ("SELECT 'x'::main.films", "type has no schema"),
        ("SELECT * FROM t AT (VERSION => a)", "AT needs a snapshot"),
        ("WITH t AS (SELECT 1) SELECT * FROM t AT (VERSION => 1)", "has no snapshots"),
        ("SELECT * FROM polyport.changes('t')", "one or two snapshots"),
        ("SELECT * FROM polyport.changes('t', 1, 2, 3)", "one or two snapshots"),
        ("SELECT * FROM polyport.changes('t', a)", "as constants"),
        ("SELECT 'lone \ud800'", "no text"),
        (f"SELECT '{'x' * guard.MOST_CHARACTERS}'", "characters"),
    ],
)
def test_and_nothing_else(con, sql, said):
    with pytest.raises(RefusedError, match=said):
        guard.check(con, sql)


def test_nesting_ends_in_words_not_in_a_crash(con):
    for sql in (f"SELECT {'(' * 900}1{')' * 900}", f"SELECT {'-' * 1}{' -' * 5000}1"):
        try:
            guard.check(con, sql)
        except (RefusedError, duckdb.Error) as error:
            assert str(error)


@pytest.mark.parametrize(
    ("sql", "bare"),
    [
        ("SELECT 1;", "SELECT 1"),
        ("SELECT 1 ; ; -- x", "SELECT 1 "),
        ("SELECT 1; /* ; */", "SELECT 1"),
        ("SELECT ';'", "SELECT ';'"),
        ("SELECT ';';", "SELECT ';'"),
        ("SELECT '; --'", "SELECT '; --'"),
        ("SELECT '; --'; --", "SELECT '; --'"),
        ('SELECT 1 AS "a; /* b */"', 'SELECT 1 AS "a; /* b */"'),
        ("SELECT $$;$$", "SELECT $$;$$"),
        ('SELECT 1 AS ";"', 'SELECT 1 AS ";"'),
        ("SELECT 1 -- ;", "SELECT 1 -- "),
    ],
)
def test_others_can_be_put_around_the_statement(con, sql, bare):
    found = guard.check(con, sql).sql
    assert found == bare
    assert con.execute(f"SELECT count(*) FROM (\n{found}\n)").fetchall() == [(1,)]


# --- tables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ('WITH "/x" AS (SELECT * FROM "/x") SELECT * FROM "/x"', [("/x",)]),
        ('WITH RECURSIVE "/x" AS (SELECT * FROM "/x" UNION SELECT * FROM "/x") FROM "/x"', [("/x",)]),
        ("WITH RECURSIVE a AS (SELECT 1 UNION SELECT * FROM a) FROM a", []),
        ("WITH RECURSIVE a AS (SELECT * FROM a) FROM a", [("a",)]),
        ("WITH a AS (SELECT 1), b AS (FROM a) FROM b", []),
        ("WITH b AS (FROM a), a AS (SELECT 1) FROM b", [("a",)]),
        ("SELECT * FROM (WITH a AS (SELECT 1) FROM a), a", [("a",)]),
        ("(WITH a AS (SELECT 1) FROM a) UNION ALL FROM a", [("a",)]),
        ("WITH a AS (SELECT 1) SELECT * FROM a UNION ALL FROM a", []),
        ("WITH a AS (SELECT 1) SELECT (SELECT 1 FROM a), EXISTS (FROM a) FROM range(1) WHERE 1 IN (FROM a)", []),
        ("WITH a AS (SELECT 1) SELECT * FROM s.a", [("s", "a")]),
        ("WITH a AS (SELECT 1) SELECT * FROM A", []),
        ('WITH "é" AS (SELECT 1) SELECT * FROM "É"', [("É",)]),
        ('WITH k AS (SELECT 1) SELECT * FROM "\u212a"', [("\u212a",)]),
        ("WITH a AS (WITH b AS (FROM a) FROM b) FROM a", [("a",)]),
        ("WITH a AS (SELECT 1), a2 AS (WITH RECURSIVE a AS (FROM a UNION FROM a) FROM a) FROM a2", []),
        ("SELECT * FROM a.b.c", [("a", "b", "c")]),
        ("SELECT * FROM a AS b, b", [("a",), ("b",)]),
        ("SELECT * FROM 'x.parquet'", [("x.parquet",)]),
        ("SELECT * FROM a AT (VERSION => 3), a", [("a@3",), ("a",)]),
        ("SELECT * FROM p.a AT (TIMESTAMP => TIMESTAMP '2026-01-01')", [("p", "a@2026-01-01")]),
        ("SELECT * FROM polyport.changes('a', 1, 'x')", [("polyport", "changes|a|1|x")]),
    ],
)  # fmt: skip
def test_names_mean_what_they_mean_to_the_engine(con, sql, tables):
    assert guard.check(con, sql).tables == tables


NAMES = st.sampled_from(("a", "b", "A"))


def _join(parts):
    return f"SELECT 1 AS n FROM {', '.join(parts)}"


def queries(inner):
    """SELECTs of one column `n`, in which names are defined and used wherever they can be."""
    table = NAMES | inner.map(lambda q: f"({q}) AS s")
    plain = st.lists(table, min_size=1, max_size=2).map(
        lambda ts: "SELECT 1 AS n FROM " + " CROSS JOIN ".join(
            f"(SELECT 1 AS n FROM {t}) AS t{i}" for i, t in enumerate(ts)
        )
    )  # fmt: skip
    scalar = st.tuples(inner, inner).map(
        lambda p: (
            f"SELECT 1 AS n FROM ({p[0]}) AS o WHERE EXISTS ({p[1]}) LIMIT (SELECT count(*) FROM ({p[1]}) AS c)"
        )
    )
    union = st.tuples(inner, inner).map(lambda p: f"({p[0]}) UNION ALL ({p[1]})")
    with_ = st.tuples(NAMES, inner, NAMES, inner, inner).map(
        lambda p: f"WITH {p[0]} AS ({p[1]}), {p[2]}2 AS ({p[3]}) {p[4]}"
    )
    recursive = st.tuples(NAMES, inner, inner, inner).map(
        lambda p: f"WITH RECURSIVE {p[0]} AS (({p[1]}) UNION (SELECT n FROM ({p[2]}) AS r)) {p[3]}"
    )
    lateral = st.tuples(NAMES, inner).map(
        lambda p: (
            f"SELECT 1 AS n FROM (SELECT 1 AS n) AS l, LATERAL (SELECT 1 AS m FROM ({p[1]}) AS q) AS k, {p[0]} AS z"
        )
    )
    described = inner.map(lambda q: f"SELECT 1 AS n FROM (DESCRIBE {q})")
    return plain | scalar | union | with_ | recursive | lateral | described


QUERIES = st.recursive(NAMES.map(lambda n: f"SELECT 1 AS n FROM {n}"), queries, max_leaves=8)


@settings(max_examples=150, deadline=None, derandomize=True)
@example(
    "WITH RECURSIVE a AS ((SELECT 1 AS n FROM a) UNION (SELECT n FROM a)) SELECT 1 AS n FROM a"
)
@given(QUERIES)
def test_no_table_is_used_that_was_not_named(sql):
    """Only what the guard names exists: a statement that names more to the engine than to the guard fails."""
    with duckdb.connect() as con:
        try:
            found = guard.check(con, sql)
        except (RefusedError, duckdb.ParserException):
            return
        for (name,) in {(guard.folded(t[0]),) for t in found.tables}:
            con.execute(f"CREATE TABLE {name} AS SELECT 1 AS n")
        try:
            con.execute(f"EXPLAIN {found.sql}")
        except duckdb.CatalogException as error:
            raise AssertionError(sql) from error
        except duckdb.BinderException as error:
            assert "circular" in str(error).lower() or "CTE" in str(error), sql


def test_what_is_rewritten_is_checked_again(con):
    found = guard.check(
        con,
        """SELECT ''';' AS """
        '""""'
        """, "a"" ; b".* FROM t AS "a"" ; b" AT (VERSION => '1"; x')""",
    )
    assert found.tables == [('t@1"; x',)]
    con.execute("""CREATE OR REPLACE TABLE "t@1""; x" AS SELECT 1 AS n""")
    assert con.execute(found.sql).fetchall() == [("';", 1)]


# --- columns, for the meter -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "columns", "star"),
    [
        ("SELECT a FROM t", {"a"}, False),
        ("SELECT A FROM t WHERE b > 1 ORDER BY c", {"a", "b", "c"}, False),
        ("SELECT count(*) FROM t", set(), False),
        ("SELECT * FROM t", set(), True),
        ("SELECT t.* FROM t", set(), True),
        ("SELECT t FROM t", {"t"}, True),
        ("SELECT x FROM t AS x", {"x"}, True),
        ("SELECT x.a FROM t AS x", {"a"}, False),
        ("SELECT main.t FROM t", {"t"}, True),
        ("SELECT (x).a FROM t AS x", {"x"}, True),
        ("SELECT x['a'] FROM t AS x", {"x"}, True),
        ("SELECT x FROM t AS y(x)", {"x"}, True),
        ("SELECT #1 FROM t", set(), True),
        ("SELECT 1 FROM t JOIN u USING (k)", {"k"}, False),
        ("SELECT 1 FROM t NATURAL JOIN u", set(), True),
        ("SELECT COLUMNS('a') FROM t", set(), True),
        ("SUMMARIZE t", set(), True),
        ("UNPIVOT t ON a, b", {"a", "b"}, True),
        ("SELECT sum(a) FROM t GROUP BY ALL", {"a"}, False),
        ("FROM t PIVOT (sum(a) FOR b IN (1, 2) GROUP BY c)", {"a", "b", "c"}, True),
    ],
)
def test_columns_that_a_statement_reads(con, sql, columns, star):
    found = guard.check(con, sql)
    assert columns <= found.columns
    assert found.star is star


@pytest.mark.parametrize(
    ("sql", "hints"),
    [
        ("SELECT 1 FROM t WHERE a = $1 AND $2 < t.b", {1: ".a", 2: ".b"}),
        ("SELECT 1 FROM t WHERE a BETWEEN $1 AND $2", {1: ".a", 2: ".a"}),
        ("SELECT 1 FROM t WHERE a IN ($1, $2)", {1: ".a", 2: ".a"}),
        ("SELECT $1::INTEGER, CAST($2 AS DECIMAL(18, 2))", {1: "INTEGER"}),
        ("SELECT 1 FROM t LIMIT $1 OFFSET $2", {1: "BIGINT", 2: "BIGINT"}),
        ("SELECT 1 FROM t WHERE a LIKE $1 AND b NOT ILIKE $2", {1: ".a", 2: ".b"}),
        ("SELECT a + $1, $2 || b FROM t", {1: ".a", 2: ".b"}),
        ("SELECT $1", {}),
    ],
)
def test_places_of_parameters_hint_at_their_types(con, sql, hints):
    found = guard.check(con, sql)
    assert {n: found.hints[n] for n in hints} == hints


def test_parameters_are_counted(con):
    assert guard.check(con, "SELECT $3, $1").parameters == 3
    assert guard.check(con, "SELECT ?, ?").parameters == 2


# --- what differs each time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "lasting"),
    [
        ("SELECT 1", True),
        ("SELECT year(released), count(*) FROM films GROUP BY 1", True),
        ("SELECT now()", False),
        ("SELECT NOW()", False),
        ("SELECT 1 FROM films WHERE released < current_date", False),
        ("SELECT films.today FROM films", False),
        ("SELECT (SELECT random())", False),
        ("WITH a AS (SELECT uuid() AS u) SELECT 1 FROM a", False),
        ("SELECT list_transform([1], lambda x: x + random())", False),
        ("SELECT * FROM films TABLESAMPLE 10 PERCENT", False),
        ("SELECT * FROM (SELECT 1) USING SAMPLE 1", False),
        ("SELECT * FROM polyport.changes('films', 1, 2) TABLESAMPLE 10 PERCENT", False),
        ("SELECT * FROM films AT (VERSION => 1)", True),
        ("SELECT * FROM films AT (VERSION => 1) TABLESAMPLE 10 PERCENT", False),
        ("SELECT count(*) FILTER (now() > released) OVER (ORDER BY 1) FROM films", False),
        ("SELECT 1 ORDER BY random()", False),
        ("SELECT 1 LIMIT (random() * 2)::INT", False),
    ],
)
def test_whether_it_gives_the_same_each_time(con, sql, lasting):
    assert guard.check(con, sql).lasting is lasting


OF_A_ZONE = {
    "+", "-", "century", "date_diff", "date_part", "date_sub", "date_trunc", "datediff", "datepart", "datesub",
    "datetrunc", "day", "dayname", "dayofmonth", "dayofweek", "dayofyear", "decade", "era", "generate_series", "hour",
    "isodow", "isoyear", "julian", "last_day", "make_timestamptz", "microsecond", "millennium", "millisecond", "minute",
    "month", "monthname", "quarter", "range", "second", "strftime", "time_bucket", "timezone", "timezone_hour",
    "timezone_minute", "week", "weekday", "weekofyear", "year", "yearweek",
}  # fmt: skip
"""Functions that depend on the time zone, which is always UTC, and on nothing else."""


def test_every_function_that_may_differ_is_known(con):
    found = con.execute(
        "SELECT DISTINCT function_name, macro_definition FROM duckdb_functions()"
        " WHERE stability <> 'CONSISTENT' OR macro_definition IS NOT NULL"
    ).fetchall()
    words = guard.functions() | guard.TABLE_FUNCTIONS
    moving = {
        name
        for name, macro in found
        if name in words
        and (macro is None or guard.MOVING & set(re.findall(r"[a-z_0-9]+", macro.lower())))
    }
    assert moving - OF_A_ZONE <= guard.MOVING
    assert moving >= OF_A_ZONE


def test_no_macro_of_ours_differs_each_time():
    for macro in universe._macros("postgres"):
        assert not guard.MOVING & set(re.findall(r"[a-z_0-9]+", macro.lower())), macro
