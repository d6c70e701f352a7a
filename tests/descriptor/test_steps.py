"""What SQL and Python files say of themselves, and what the names in them mean."""

from __future__ import annotations

import pytest

from polyport.descriptor.pipeline_files import discover, duplicates, maker, references, resolve
from polyport.descriptor.sql import Problem, Select, read_select


def tables(text):
    found = read_select(text)
    assert isinstance(found, Select), found
    return [f"{t.schema}.{t.name}" if t.schema else t.name for t in found.tables]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM a", ["a"]),
        ("FROM a", ["a"]),
        ("SELECT 1", []),
        ("SELECT * FROM a, b JOIN raw.c USING (id)", ["a", "b", "raw.c"]),
        ("WITH x AS (SELECT * FROM a) SELECT * FROM x", ["a"]),
        ("WITH x AS (SELECT * FROM x) SELECT * FROM x", ["x"]),
        ("WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT * FROM x) SELECT * FROM x", []),
        ("WITH x AS (SELECT * FROM y), y AS (SELECT 1) SELECT * FROM x, y", ["y"]),
        ("SELECT * FROM a WHERE id IN (SELECT id FROM b)", ["a", "b"]),
        ("WITH x AS (SELECT 1) SELECT * FROM a WHERE id IN (SELECT * FROM x)", ["a"]),
        ("SELECT * FROM raw.x, (WITH x AS (SELECT 1) SELECT * FROM x)", ["raw.x"]),
        ("SELECT * FROM a UNION ALL SELECT * FROM b", ["a", "b"]),
        ("SELECT * FROM a, unnest([1]) u, range(3) r", ["a"]),
        ('SELECT * FROM "A b"', ["A b"]),
        ("SELECT (SELECT max(x) FROM b) FROM a", ["a", "b"]),
        ("PIVOT a ON b USING sum(c)", ["a"]),
        ("-- from z\nSELECT 'from y' FROM a", ["a"]),
    ],
)
def test_tables(text, expected):
    assert sorted(tables(text)) == sorted(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT a, b AS c, t.d FROM t", ["a", "c", "d"]),
        ("SELECT count(*), 1 + 1 AS two FROM t", ["", "two"]),
        ("SELECT * FROM t", None),
        ("SELECT t.* FROM t", None),
        ("SELECT a, * EXCLUDE (b) FROM t", None),
        ("SELECT COLUMNS('x.*') FROM t", None),
        ("SELECT a FROM t UNION SELECT b FROM t", ["a"]),
        ("SELECT a FROM t UNION BY NAME SELECT b FROM t", None),
        ("WITH x AS (SELECT a, b FROM t) SELECT * FROM x", ["a", "b"]),
        ("WITH x AS (SELECT * FROM t) SELECT * FROM x", None),
        ("WITH x(p) AS (SELECT a FROM t) SELECT * FROM x", None),
        ("SELECT * FROM (SELECT a FROM t)", ["a"]),
        ("SELECT * FROM (SELECT a FROM t), u", None),
        ("WITH x AS (SELECT * FROM x) SELECT * FROM x", None),
        ("(SELECT a FROM t)", ["a"]),
        ("FROM t SELECT a", ["a"]),
        ("FROM t", None),
        ('SELECT a AS "B c" FROM t', ["B c"]),
        ("VALUES (1)", None),
        ("SELECT s.x.y FROM s", ["y"]),
        ("PIVOT a ON b USING sum(c)", None),
    ],
)
def test_columns(text, expected):
    found = read_select(text)
    assert isinstance(found, Select), found
    assert (None if found.columns is None else [c.name for c in found.columns]) == expected


@pytest.mark.parametrize(
    ("text", "syntax"),
    [("SELECT (1", True), ("SELECT 'a", True), ("SELEC 1", True), ("", False), ("SELECT 1; SELECT 2", False), ("DROP TABLE a", False),
     ("INSERT INTO a VALUES (1)", False), ("COPY a TO 'x.csv'", False), ("ATTACH 'x.db'", False), ("SET x = 1", False), ("PRAGMA x", False)],
)  # fmt: skip
def test_what_is_not_one_select(text, syntax):
    found = read_select(text)
    assert isinstance(found, Problem)
    assert found.syntax == syntax
    assert 0 <= found.start <= max(len(text), 0)
    assert "\n" not in found.message


def test_places_of_tables():
    text = 'SELECT *\nFROM raw.films -- x\nJOIN "b c" USING (id)'
    assert [text[t.start : t.start + t.length] for t in read_select(text).tables] == [
        "films",
        '"b c"',
    ]


@pytest.fixture
def home(tmp_path):
    for name, text in {
        "cleanse/a.sql": "SELECT * FROM a", "cleanse/b.sql": "SELECT 1", "transform/a.sql": "SELECT * FROM a",
        "transform/c.py": "def c(a, b, *, x=None): ...", "transform/c.spark.sql": "", "transform/_x.sql": "", "transform/notes.md": "",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_steps_are_found(home):
    assert list(discover(home)) == ["cleanse/a", "cleanse/b", "transform/a", "transform/c"]
    assert duplicates(home) == ()
    (home / "transform/c.sql").write_text("SELECT 1")
    assert discover(home)["transform/c"].kind == "sql"
    assert [s.kind for s in duplicates(home)] == ["py"]


@pytest.mark.parametrize(
    ("within", "name", "schema", "expected"),
    [
        ("cleanse/a", "a", "", "raw/a"),
        ("cleanse/a", "b", "", "raw/b"),
        ("cleanse/b", "B", "clean", None),
        ("cleanse/a", "B", "clean", "cleanse/b"),
        ("cleanse/a", "c", "", None),
        ("transform/a", "a", "", "cleanse/a"),
        ("transform/c", "a", "", "transform/a"),
        ("transform/c", "A", "", "transform/a"),
        ("transform/c", "b", "", "cleanse/b"),
        ("transform/c", "a", "RAW", "raw/a"),
        ("transform/c", "a", "main", None),
        ("transform/c", "c", "", None),
        ("transform/c", "z", "", "raw/z"),
    ],
)
def test_names_mean(within, name, schema, expected, home):
    steps = discover(home)
    assert (
        resolve(name, schema, within=steps[within], inputs=["a", "b", "z"], steps=steps) == expected
    )


def test_makers_of_datasets(home):
    steps = discover(home)
    assert [maker(d, inputs=["z"], steps=steps) for d in ("a", "b", "z", "q")] == [
        "transform/a",
        "cleanse/b",
        "raw/z",
        None,
    ]


def test_parameters_of_a_function_are_tables(home):
    step = references(discover(home)["transform/c"])
    assert ([t.name for t in step.tables], step.columns) == (["a", "b", "x"], None)


def test_places_of_columns():
    text = 'SELECT a, t.b, 1 AS c, (d), max(e) AS "f g"\nFROM t'
    found = read_select(text)
    assert [(c.name, text[c.start : c.start + c.length]) for c in found.columns] == [
        ("a", "a"), ("b", "b"), ("c", "c"), ("d", "d"), ("f g", '"f g"'),
    ]  # fmt: skip
