"""Python steps: forms in and out, and whose line an error is."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest
from tests.pipeline.logs import events

from polyport.errors import MissingExtraError, TransformError

HEAD = "import pyarrow as pa\nimport pyarrow.compute as pc\n"


@pytest.fixture
def step(films):
    """Puts a Python file at transform/costs.py and builds."""
    (films.home / "transform/costs.sql").unlink()
    films.objects.clear()
    films.promise("costs", "id")

    def run(text, **more):
        films.file("transform/costs.py", HEAD + textwrap.dedent(text))
        films.build(**more)
        return [row["id"] for row in films.rows("costs")]

    return run


def failed(step, text):
    with pytest.raises(TransformError) as caught:
        step(text)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "def costs(films: pa.Table) -> pa.Table:\n    return films.select(['id'])",
        "def costs(films: pa.Table) -> 'pa.Table':\n    return films.select(['id'])",
        "def costs(films: pa.RecordBatchReader) -> pa.RecordBatchReader:\n    return films",
        """
        from collections.abc import Iterator
        def costs(films: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
            for batch in films:
                yield batch.select(["id"])
        """,
        """
        from __future__ import annotations
        import typing as t
        if t.TYPE_CHECKING:
            from pyarrow import Table
            import pyarrow as arrow
        def costs(*, films: Table) -> t.Generator[arrow.RecordBatch, None, None]:
            yield from films.to_batches()
        """,
        "def costs(films: pa.Table, /) -> pa.RecordBatchReader:\n    return films.to_reader()",
        "def costs() -> pa.Table:\n    return pa.table({'id': [1, 2, 3]})",
    ],
)
def test_forms(step, text):
    text = textwrap.dedent(text)
    if "from __future__" in text:
        future = "from __future__ import annotations\n"
        body = text.replace(future, "")
        # The future import must be first, so it goes above the common head.
        assert step_with_future(step, future, body) == [1, 2, 3]
    else:
        assert step(text) == [1, 2, 3]


def step_with_future(step, future, body):
    films = step.__closure__[0].cell_contents
    films.file("transform/costs.py", future + HEAD + body)
    films.build()
    return [row["id"] for row in films.rows("costs")]


def test_several_tables_and_sql_before_and_after(films):
    films.file("cleanse/small.sql", "SELECT * FROM films WHERE id < 3")
    films.file(
        "transform/joined.py",
        HEAD + "def joined(small: pa.Table, films: pa.Table) -> pa.Table:\n"
        "    return films.join(small.select(['id']), 'id', join_type='inner')\n",
    )
    films.file("transform/costs.sql", "SELECT id, title, budget FROM joined")
    films.build()
    assert [r["id"] for r in films.rows("costs")] == [1, 2]
    joined = next(s for s in films.steps if s.name == "joined")
    assert joined.rows == 2


def test_a_cleanse_step_in_python(films):
    films.file(
        "cleanse/films.py",
        HEAD + "def films(films: pa.Table) -> pa.Table:\n"
        "    why = pc.if_else(pc.equal(films['id'], 2), 'no twos', None)\n"
        "    return films.append_column('_refused', why)\n",
    )
    films.build()
    assert [r["id"] for r in films.rows("costs")] == [1, 3]
    assert films.steps[2].refused == {"no twos": 1}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("def costs(films):\n    return films", 3, "parameter 'films' has no annotation"),
        (
            "def costs(films: pa.Table):\n    return films",
            3,
            "the result of costs() has no annotation",
        ),
        ("def costs(films: dict) -> pa.Table: ...", 3, "parameter 'films' is annotated dict"),
        ("def costs(films: pa.Array) -> pa.Table: ...", 3, "is annotated pa.Array"),
        ("def costs(films: 'pa.Tab[') -> pa.Table: ...", 3, "is annotated"),
        ("def costs(films: pa.Table) -> list[pa.RecordBatch]: ...", 3, "annotated list["),
        ("def costs(*films: pa.Table) -> pa.Table: ...", 3, "*args"),
        ("async def costs(films: pa.Table) -> pa.Table: ...", 3, "async"),
        ("def cost(films: pa.Table) -> pa.Table: ...", 3, "no function `costs`"),
        ("x = 1", 1, "no function `costs`"),
        ("def costs(flims: pa.Table) -> pa.Table: ...", 3, "no table 'flims'"),
        ("def costs(:\n", 3, "not valid Python"),
        (
            "import ibis\ndef costs(films: pa.Table) -> ibis.Table: ...",
            4,
            "mixes ibis and Arrow",
        ),
    ],
)
def test_a_signature_that_does_not_say_enough(step, text, line, message):
    error = failed(step, text)
    assert message in error.message
    assert error.where.startswith(f"transform/costs.py:{line}")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("def costs(films: pa.Table) -> pa.Table:\n    return films['nope']", 4, "KeyError"),
        ("1 / 0\ndef costs() -> pa.Table: ...", 3, "ZeroDivisionError: division by zero"),
        ("import nosuchmodule\ndef costs() -> pa.Table: ...", 3, "ModuleNotFoundError"),
        ("import sys\ndef costs() -> pa.Table:\n    sys.exit('bye')", 5, "SystemExit: bye"),
        (
            """
            from collections.abc import Iterator
            def costs(films: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
                for batch in films:
                    yield batch
                    raise ValueError("half way")
            """,
            8,
            "ValueError: half way",
        ),
        (
            (
                "def costs(films: pa.Table) -> pa.RecordBatchReader:\n"
                "    def rows():\n        raise LookupError('late')\n        yield\n"
                "    return pa.RecordBatchReader.from_batches(films.schema, rows())"
            ),
            5,
            "LookupError: late",
        ),
    ],
)
def test_an_exception_is_told_at_the_users_own_line(step, text, line, message):
    error = failed(step, text)
    assert message in error.message
    assert error.where == f"transform/costs.py:{line}"


def test_the_traceback_is_in_the_error_log(step):
    films = step.__closure__[0].cell_contents
    failed(step, "def costs() -> pa.Table:\n    return 1 / 0")
    (event,) = events(films.log(kind="errors.log"))
    assert "ZeroDivisionError" in event["traceback"]
    assert event["where"] == "transform/costs.py:4"
    assert (event["stage"], event["name"]) == ("transform", "costs")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def costs() -> pa.Table:\n    return None", "gave a NoneType where it says a pa.Table"),
        ("def costs() -> pa.Table:\n    return [1]", "gave a list"),
        ("def costs() -> pa.RecordBatchReader:\n    return pa.table({'id': [1]})", "gave a Table"),
        (
            "from collections.abc import Iterator\ndef costs() -> Iterator[pa.RecordBatch]:\n    return 7",
            "gave a int where it says an iterator",
        ),
        (
            "from collections.abc import Iterator\ndef costs() -> Iterator[pa.RecordBatch]:\n    yield 7",
            "gave a int",
        ),
        (
            "from collections.abc import Iterator\ndef costs() -> Iterator[pa.RecordBatch]:\n    yield from ()",
            "gave no batch",
        ),
        (
            (
                "from collections.abc import Iterator\ndef costs() -> Iterator[pa.RecordBatch]:\n"
                "    yield pa.record_batch({'id': [1]})\n    yield pa.record_batch({'x': ['a']})"
            ),
            "gave batches of different columns",
        ),
    ],
)
def test_something_else_than_it_says(step, text, message):
    error = failed(step, text)
    assert message in error.message
    assert error.where.startswith("transform/costs.py")


def test_what_a_step_prints_is_talk(step, capfd):
    text = """
    from collections.abc import Iterator
    print("at import")
    def costs(films: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        print("first")
        for batch in films:
            print("between")
            yield batch.select(["id"])
    """
    assert step(text) == [1, 2, 3]
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == ["at import", "first", "between"]
    sys.stdout.write("data\n")
    assert capfd.readouterr().out == "data\n"


def test_modules_of_the_product_can_be_imported_and_are_forgotten(step):
    films = step.__closure__[0].cell_contents
    films.file("lib/__init__.py", "")
    films.file("lib/words.py", "IDS = [5, 6]\n")
    text = "from lib.words import IDS\ndef costs() -> pa.Table:\n    return pa.table({'id': IDS})"
    before = list(sys.path)
    assert step(text) == [5, 6]
    films.file("lib/words.py", "IDS = [7]\n")
    assert step(text) == [7]
    assert sys.path == before
    assert not [m for m in sys.modules if m.startswith(("lib", "_polyport_step"))]
    assert not list(films.home.rglob("__pycache__"))


def test_an_error_in_an_imported_module_is_told_there(step):
    films = step.__closure__[0].cell_contents
    films.file("lib.py", "def ids():\n    raise ValueError('x')\n")
    error = failed(step, "import lib\ndef costs() -> pa.Table:\n    return lib.ids()")
    assert error.where == "lib.py:2"


def test_a_home_relative_to_the_working_folder(step, monkeypatch):
    films = step.__closure__[0].cell_contents
    monkeypatch.chdir(films.home.parent)
    films.home = Path(films.home.name)
    films.file("lib.py", "def ids():\n    raise ValueError('x')\n")
    error = failed(step, "import lib\ndef costs() -> pa.Table:\n    return lib.ids()")
    assert error.where == "lib.py:2"
    error = failed(step, "def costs() -> pa.Table:\n    return 1 / 0")
    assert error.where == "transform/costs.py:4"


def test_dataclasses_work_in_a_step(step):
    text = """
    from dataclasses import dataclass
    @dataclass
    class Row:
        id: "int"
    def costs() -> pa.Table:
        return pa.Table.from_pylist([vars(Row(4))])
    """
    assert step(text) == [4]


def test_bad_sql_before_a_python_step_is_the_sqls_fault(films):
    films.file("cleanse/films.sql", "SELECT CAST(title AS INT) AS id FROM films")
    (films.home / "transform/costs.sql").unlink()
    films.file(
        "transform/costs.py", HEAD + "def costs(films: pa.Table) -> pa.Table:\n    return films"
    )
    with pytest.raises(TransformError) as caught:
        films.build()
    assert caught.value.where.startswith("cleanse/films.sql")


def test_ibis(step):
    pytest.importorskip("ibis", reason="the extra polyport[ibis] is not installed")
    text = """
    import ibis
    def costs(films: ibis.Table) -> ibis.Table:
        return films.filter(films.id > 1).select("id")
    """
    assert step(text) == [2, 3]


def test_ibis_stays_lazy_and_its_mistakes_are_the_users(films):
    pytest.importorskip("ibis", reason="the extra polyport[ibis] is not installed")
    films.file("cleanse/films.sql", "SELECT id, title, budget * 2 AS budget FROM films")
    films.file(
        "transform/doubled.py",
        "import ibis\ndef doubled(films: ibis.Table) -> ibis.Table:\n"
        "    return films.mutate(budget=films.budget + 1)\n",
    )
    films.file("transform/costs.sql", "SELECT id, title, budget FROM doubled WHERE id = 1")
    films.build()
    assert films.rows("costs")[0]["budget"] == 23
    assert next(s for s in films.steps if s.name == "doubled").rows is None
    films.file(
        "transform/doubled.py",
        "import ibis\ndef doubled(films: ibis.Table) -> ibis.Table:\n    return films.nope\n",
    )
    with pytest.raises(TransformError) as caught:
        films.build()
    assert caught.value.where == "transform/doubled.py:3"


def test_ibis_that_is_not_installed_is_said(step, monkeypatch):
    monkeypatch.setitem(sys.modules, "ibis", None)
    with pytest.raises(MissingExtraError) as caught:
        step("import ibis\ndef costs(films: ibis.Table) -> ibis.Table:\n    return films")
    assert "polyport[ibis]" in caught.value.fix
