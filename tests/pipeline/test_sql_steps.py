"""SQL steps: names, order, and errors at the file's own line and column."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.descriptor.sql import Named, read_select
from polyport.errors import InputError, TransformError
from polyport.pipeline.plan import plan
from polyport.pipeline.sql_steps import read_sql


def failed(shop):
    with pytest.raises(TransformError) as caught:
        shop.build()
    assert caught.value.unchanged
    return caught.value


@pytest.mark.parametrize(
    ("sql", "where", "message"),
    [
        ("SELECT id,\n  nope FROM films", ":2:3", "nope"),
        ("\n\n  SELECT id, title, nope\nFROM films", ":3:21", "nope"),
        ("SELECT id FORM films WHERE", "", "not valid SQL"),
        ("SELECT id FROM (SELECT 1", "", "not valid SQL"),
        ("SELECT 'open", "", "not valid SQL"),
        ("", ":1:1", "no SELECT"),
        ("-- nothing\n", ":1:1", "no SELECT"),
        ("SELECT 1; SELECT 2", "", "more than one statement"),
        ("DROP TABLE films", ":1:1", "DROP"),
        ("COPY films TO 'x.csv'", ":1:1", "COPY"),
        ("CREATE TABLE x AS SELECT 1", ":1:1", "CREATE"),
        ("WITH d AS (DELETE FROM films RETURNING *) SELECT * FROM d", "", "DELETE inside a SELECT"),
        ("SELECT * FROM flims", ":1:15", "no table 'flims'"),
        ("SELECT *\nFROM films f\nJOIN raw.film USING (id)", ":3:10", "no table 'raw.film'"),
        ("SELECT * FROM clean.films", ":1:21", "no table 'clean.films'"),
        ("SELECT * FROM main.films", ":1:20", "no schema 'main'"),
        ("SELECT * FROM costs", ":1:15", "no table 'costs'"),
        ("SELECT *\nFROM read_csv('/etc/passwd')", ":2", "past the input ports"),
        ("SELECT * FROM 'films.csv'", ":1:15", "no table 'films.csv'"),
        ("SELECT id, title, budget FROM films, query('SELECT 1')", "", "past the input ports"),
        ("SELECT raw.films.id,\n raw.films.nope\nFROM raw.films", ":2", "nope"),
        ("SELECT f.id, nope\nFROM films f", ":1:14", "nope"),
        ("SELECT nofunction(id) FROM films", ":1:8", "nofunction"),
    ],
)
def test_a_mistake_is_told_with_its_place(films, sql, where, message):
    films.file("transform/costs.sql", sql)
    error = failed(films)
    assert error.where.startswith(f"transform/costs.sql{where}")
    assert message in error.message


def test_a_wrong_name_gets_a_hint(films):
    films.file("transform/costs.sql", "SELECT * FROM flims")
    assert failed(films).fix == "did you mean `films`?"


def test_a_wrong_column_gets_a_hint(films):
    films.file("transform/costs.sql", "SELECT id, titel, budget FROM films")
    assert "title" in failed(films).fix


def test_the_column_is_right_behind_a_qualified_name(films):
    films.file("transform/costs.sql", "SELECT 1 FROM raw.films WHERE raw.films.id = 1 AND nope = 2")
    assert failed(films).where == "transform/costs.sql:1:52"


def test_not_utf8(films):
    (films.home / "transform/costs.sql").write_bytes(b"SELECT 1 AS id\n  -- caf\xe9\n")
    error = failed(films)
    assert error.where == "transform/costs.sql:2"
    assert "0xe9" in error.message


def test_a_cycle_shows_its_path(films):
    films.file("transform/a.sql", "SELECT * FROM b")
    films.file("transform/b.sql", "SELECT * FROM c")
    films.file("transform/c.sql", "SELECT * FROM a")
    films.file("transform/costs.sql", "SELECT * FROM a")
    assert "transform/a -> transform/b -> transform/c -> transform/a" in failed(films).message


def test_two_files_for_one_table(films):
    films.file("transform/costs.py", "")
    assert "two files make the table transform/costs" in failed(films).message


def test_a_promise_that_nothing_keeps(films):
    films.promise("cost", "id")
    error = failed(films)
    assert "nothing makes the promised dataset 'cost'" in error.message
    assert error.fix == "did you mean `costs`?"


def test_a_broken_step_that_nobody_uses_is_told_all_the_same(films):
    films.file("transform/spare.sql", "SELECT nope FROM films")
    assert failed(films).where == "transform/spare.sql:1:8"


def test_a_step_that_nobody_uses_is_a_warning(films):
    films.file("transform/spare.sql", "SELECT id FROM films")
    films.build()
    spare = next(s for s in films.steps if s.name == "spare")
    assert (spare.status, spare.detail) == ("warn", "not run: no dataset uses it")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT id FROM films", 1),
        ("SELECT id FROM clean.films", 1),
        ("SELECT id FROM raw.films", 0),
        ("SELECT films.id FROM raw.films", 0),
        ("SELECT raw.films.id FROM raw.films", 0),
        ("SELECT RAW.Films.ID FROM RAW.Films;", 0),
        ("SELECT r.id FROM raw.films AS r JOIN films c ON c.id = r.id + 1 -- both", 0),
        ('SELECT id FROM "films" ; ', 1),
        ("SELECT id FROM FILMS", 1),
        ("WITH f AS (SELECT * FROM films) SELECT id FROM f", 1),
        ("WITH films AS (SELECT * FROM films) SELECT id FROM films", 1),
        ("WITH films AS (SELECT * FROM raw.films) SELECT id FROM films", 0),
        ("SELECT id FROM films WHERE EXISTS (SELECT 1 FROM raw.films)", 1),
        ("FROM films SELECT id", 1),
        ("SELECT id FROM films UNION ALL SELECT 99 FROM raw.films WHERE false", 1),
        ("SELECT id FROM (FROM films)", 1),
        ("SELECT f.id FROM films f, range(1) r, unnest([1]) u", 1),
    ],
)
def test_what_names_mean_in_transform(shop, sql, expected):
    shop.input("films", "id\n0\n")
    shop.file("cleanse/films.sql", "SELECT id + 1 AS id FROM films")
    shop.file("transform/x.sql", sql)
    shop.promise("x", "id")
    shop.build()
    assert [r["id"] for r in shop.rows("x")] == [expected]


def test_what_names_mean_in_cleanse(shop):
    shop.input("a", "id\n1\n")
    shop.input("b", "id\n2\n")
    shop.file("cleanse/a.sql", "SELECT id * 10 AS id FROM a")
    shop.file("cleanse/b.sql", "SELECT raw.a.id + clean.a.id AS id FROM raw.a, clean.a")
    shop.file("cleanse/c.sql", "SELECT a.id + d.id AS id FROM a, d")
    shop.file("cleanse/d.sql", "SELECT 100 AS id")
    shop.promise("b", "id")
    shop.promise("c", "id")
    shop.build()
    assert shop.rows("b") == [{"id": 11}]
    assert shop.rows("c") == [{"id": 101}]


def test_the_culprit_of_a_late_error_is_found(films):
    films.file("cleanse/films.sql", "SELECT id,\n CAST(title AS INT) AS title, budget FROM films")
    films.file("transform/costs.sql", "SELECT id, title, budget FROM films")
    error = failed(films)
    assert error.where.startswith("cleanse/films.sql")
    assert "Alien" in error.message


def test_a_late_error_in_the_step_itself(films):
    films.file(
        "transform/costs.sql", "SELECT id, title,\n  CAST(title AS INT) AS budget FROM films"
    )
    assert failed(films).where.startswith("transform/costs.sql")


def test_an_input_whose_file_is_no_table(shop):
    shop.input("films", b"\x00\xff\xfe not, a csv\n\xff")
    shop.file("transform/costs.sql", "SELECT * FROM films")
    shop.promise("costs")
    with pytest.raises(InputError) as caught:
        shop.build()
    assert caught.value.where == "input port films"


def test_files_that_are_no_steps(films):
    films.file("transform/_lib.py", "1/0")
    films.file("transform/notes.md", "x")
    films.file("transform/costs.spark.sql", "SELECT")
    assert [s.key for s in plan(films.product, dialect="duckdb").steps] == ["transform/costs"]


def test_a_common_table_expression_may_have_the_name_of_what_it_reads():
    text = "WITH films AS (SELECT * FROM films) SELECT id FROM films"
    code = read_sql(text, "x.sql", tables=[Named("films", 29, 5)], dialect="duckdb")
    assert code.text == (
        'WITH films AS (SELECT * FROM "table films" AS "films") SELECT id FROM films'
    )
    assert code.names.of("films", "") == "table films"


@given(
    st.lists(
        st.sampled_from(["raw.a", "clean.b", "b", "raw . a", "CLEAN.b x", "raw.a AS y"]),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([" ", "\n", "\n\n  ", " -- é\n", " /* ü\n */ "]),
    st.sampled_from(["", ";", " ; ", ";\n-- end"]),
)
def test_every_place_in_the_engines_text_leads_back(tables, gap, end):
    text = f"{gap}SELECT marker,{gap}1{gap}FROM{gap}{f',{gap}'.join(tables)}{gap}WHERE here{end}"
    named = read_select(text.partition(";")[0]).tables
    code = read_sql(text, "x.sql", tables=named, dialect="duckdb")
    for word in ("marker", "FROM", "WHERE here"):
        line, column = place(code.text, word)
        assert code.place(line, column) == place(text, word)


def place(text, word):
    head = text[: text.index(word)]
    return head.count("\n") + 1, len(head) - (head.rfind("\n") + 1) + 1
