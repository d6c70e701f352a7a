"""Columns without a name are called as PostgreSQL calls them."""

import duckdb
import pytest

from polyport.engine.walled import guard


@pytest.fixture(scope="module")
def con():
    with duckdb.connect() as made:
        made.execute(
            "CREATE TABLE films AS SELECT 1 AS id, 'Alien' AS title, DATE '1979-05-25' AS shot"
        )
        yield made


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        ("count(*), sum(id), upper(title)", ("count", "sum", "upper")),
        ("id, films.title, id AS a", ("id", "title", "a")),
        ("1, 1 + id, -id, 'x' || title", ("?column?",) * 4),
        ("title::date, 'x'::text, CAST(upper(title) AS text)", ("title", "text", "upper")),
        ("CASE WHEN true THEN 1 END, CASE WHEN true THEN 1 ELSE id END", ("case", "id")),
        ("coalesce(title, ''), (SELECT max(id) FROM films)", ("coalesce", "max")),
        ("row_number() OVER (), count(*) OVER ()", ("row_number", "count")),
    ],
)
def test_a_column_is_called_by_what_makes_it(con, listed, names):
    assert guard.check(con, f"SELECT {listed} FROM films").names == names


def test_a_star_leaves_it_to_the_engine(con):
    assert guard.check(con, "SELECT *, count(*) OVER () FROM films").names == ()


def test_parts_of_a_set_operation_are_called_by_the_first(con):
    assert guard.check(con, "SELECT count(*) FROM films UNION SELECT id FROM films").names == (
        "count",
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count FROM (SELECT count(*) FROM films) x",
        "WITH x AS (SELECT max(id), upper(title) FROM films GROUP BY title) SELECT max, upper FROM x",
        "SELECT x.sum + 1 FROM (SELECT sum(id) FROM films) AS x WHERE x.sum > 0",
    ],
)
def test_columns_of_subqueries_can_be_named(con, sql):
    with pytest.raises(duckdb.BinderException):
        con.execute(guard.check(con, sql).sql)
    assert con.execute(guard.check(con, sql, postgres=True).sql).fetchall()


def test_a_statement_without_such_columns_runs_as_it_was_written(con):
    sql = "SELECT n FROM (SELECT count(*) AS n,  max(id) FROM films)"
    assert guard.check(con, sql, postgres=True).sql == sql
