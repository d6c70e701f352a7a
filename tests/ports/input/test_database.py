from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from decimal import Decimal
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyport.descriptor.types import Port
from polyport.errors import ConfigurationError, InputError, MissingExtraError, StoreError
from polyport.ports.input import InputContext, _adbc, _rows
from polyport.testing.input_port import InputPortTests

SCHEMA = """
CREATE TABLE films (
  id INTEGER PRIMARY KEY, title VARCHAR(100), year INTEGER, cost NUMERIC(12, 2), rating REAL,
  seen DATE, changed TIMESTAMP, ok BOOLEAN, poster BLOB, free
);
CREATE VIEW old AS SELECT id, title FROM films WHERE year < 1990;
"""
HEAT = (1, "Heat", 1995, 60.5, 8.3, "1995-12-15", "2020-01-02 03:04:05", 1, b"\x00\x01", "x")
RAN = (2, "Ran", 1985, None, None, None, None, 0, None, None)


def run(home, *statements, many=()):
    with closing(sqlite3.connect(home / "films.db")) as base:
        for statement in statements:
            base.executescript(statement)
        if many:
            base.executemany("INSERT INTO films VALUES (?,?,?,?,?,?,?,?,?,?)", many)
        base.commit()


@pytest.fixture
def films(home):
    run(home, SCHEMA, many=[HEAT, RAN])
    return home


@pytest.fixture
def port(make):
    return lambda **given: make("database", **{"url": "sqlite:///films.db"} | given)


class TestDatabasePort(InputPortTests):
    port_type = "database"

    def source(self, folder):
        run(folder, SCHEMA, many=[HEAT, RAN])
        settings = {"url": "sqlite:///films.db", "table": "films", "columns": ["id", "title"]}
        return InputContext(Port("films", "database", settings=settings), folder)

    def expected(self):
        return [{"id": 1, "title": "Heat"}, {"id": 2, "title": "Ran"}]

    def remove(self, folder):
        (folder / "films.db").rename(folder / "movies.db")

    def change(self, folder):
        run(folder, "UPDATE films SET title = 'Heat 2' WHERE id = 1")


def test_a_table_with_the_types_it_declares(films, port, keep, rows):
    made = port(table="films")
    received = made.fetch(keep, None)
    assert rows(made, received)[0] == {
        "id": 1, "title": "Heat", "year": 1995, "cost": Decimal("60.50"), "rating": 8.3,
        "seen": dt.date(1995, 12, 15), "changed": dt.datetime(2020, 1, 2, 3, 4, 5), "ok": True,
        "poster": b"\x00\x01", "free": "x",
    }  # fmt: skip
    assert rows(made, received)[1]["ok"] is False
    assert received.notes == ("table films: 2 rows",)
    kept = received.objects[0]
    assert (kept.name, kept.origin) == ("films.parquet", "sqlite:///films.db, table films")
    assert pq.read_schema(kept.path).field("cost").type == pa.decimal128(12, 2)


def test_views_queries_and_columns(films, port, rows):
    assert rows(port(table="old")) == [{"id": 2, "title": "Ran"}]
    query = "SELECT title, year * 2 AS double, '12:30' AS t -- :x\nFROM films WHERE id = 1;"
    assert rows(port(query=query)) == [{"title": "Heat", "double": 3990, "t": "12:30"}]
    assert rows(port(query=query, columns=["t"])) == [{"t": "12:30"}]
    assert rows(port(query="WITH x AS (SELECT 1 AS a) SELECT * FROM x")) == [{"a": 1}]
    assert rows(port(query="SELECT 1 AS a, 2 AS A")) == [{"a": 1, "A_2": 2}]


def test_a_table_without_rows_has_its_columns(films, port, rows, keep):
    run(films, "DELETE FROM films")
    made = port(table="films", columns=["seen", "free"])
    assert rows(made) == []
    schema = pq.read_schema(made.fetch(keep, None).objects[0].path)
    assert [str(f.type) for f in schema] == ["date32[day]", "string"]


def test_nothing_is_written_to_the_source(films, port, rows):
    before = (films / "films.db").read_bytes()
    rows(port(table="films"))
    for query in (
        "DELETE FROM films",
        "  -- x\n/* y */ UPDATE films SET id = 3",
        "DROP TABLE films",
        "",
    ):
        with pytest.raises(ConfigurationError):
            port(query=query)
    with pytest.raises(InputError):
        rows(port(query="WITH x AS (SELECT 1) INSERT INTO films(id) SELECT 9"))
    assert (films / "films.db").read_bytes() == before
    assert [p.name for p in films.iterdir()] == ["films.db"]


class TestIncremental:
    def test_only_new_rows_come(self, films, port, keep, rows):
        made = port(table="films", incremental="id", columns=["title"])
        first = made.fetch(keep, None)
        assert first.cursor == "int 2"
        run(films, many=[(3, "Alien", 1979, *RAN[3:])])
        second = made.fetch(keep, first)
        assert [o.name for o in second.objects] == ["films.parquet", "films-0002.parquet"]
        assert second.notes == ("table films: 1 rows with id after 2",)
        assert sorted(r["title"] for r in rows(made, second)) == ["Alien", "Heat", "Ran"]
        assert made.fetch(keep, second) is second

    def test_by_a_time_and_from_a_query(self, films, port, keep, rows):
        made = port(query="SELECT * FROM films", incremental="changed", columns=["id", "changed"])
        first = made.fetch(keep, None)
        assert first.cursor == "str 2020-01-02 03:04:05"
        assert len(rows(made, first)) == 2
        run(films, many=[(3, *HEAT[1:6], "2021-01-01 00:00:00", *HEAT[7:])])
        second = made.fetch(keep, first)
        assert {r["id"] for r in rows(made, second)} == {1, 2, 3}

    def test_a_table_that_has_grown_a_column(self, films, port, keep, rows):
        made = port(table="films", incremental="id")
        first = made.fetch(keep, None)
        run(
            films,
            "ALTER TABLE films ADD COLUMN studio TEXT; INSERT INTO films(id, studio) VALUES (3, 'Fox')",
        )
        found = sorted(rows(made, made.fetch(keep, first)), key=lambda r: r["id"])
        assert [r["studio"] for r in found] == [None, None, "Fox"]

    def test_no_row_has_a_value(self, films, port, keep):
        made = port(table="films", incremental="cost", columns=["id"])
        run(films, "UPDATE films SET cost = NULL")
        assert made.fetch(keep, None).cursor == ""

    @given(
        st.integers()
        | st.floats(allow_nan=False)
        | st.text()
        | st.dates()
        | st.datetimes()
        | st.decimals(allow_nan=False)
    )
    def test_cursors_are_read_back(self, value):
        assert _rows.cursor_value(_rows.cursor_text(value)) == value


def test_a_value_that_is_not_of_its_columns_type(films, port, rows):
    run(films, "UPDATE films SET year = 'MCM' WHERE id = 2")
    with pytest.raises(InputError) as caught:
        rows(port(table="films"))
    assert caught.value.message == "table films, column year, row 2: 'MCM' is not integer"
    assert "types: {year: VARCHAR}" in caught.value.fix
    assert [r["year"] for r in rows(port(table="films", types={"year": "VARCHAR"}))] == [
        "1995",
        "MCM",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seen = 'soon'", "column seen, row 1: 'soon' is not date"),
        ("seen = 5", "column seen, row 1: '5' is not date"),
        ("changed = 'x'", "column changed, row 1: 'x' is not timestamp"),
        ("ok = 7", "column ok, row 1: '7' is not boolean"),
        ("cost = 'dear'", "column cost, row 1: 'dear' is not number"),
        ("year = 1.5", "column year, row 1: '1.5' is not integer"),
        ("title = x'ff'", "column title, row 1"),
    ],
)
def test_sqlite_takes_any_value_and_the_port_does_not(films, port, rows, change, message):
    run(films, f"UPDATE films SET {change} WHERE id = 1")
    with pytest.raises(InputError, match=message):
        rows(port(table="films"))


def test_a_later_value_of_an_undeclared_column(films, port, rows, monkeypatch):
    monkeypatch.setattr(_rows, "BATCH_ROWS", 2)
    run(films, "UPDATE films SET free = 1; INSERT INTO films(id, free) VALUES (3, 'word')")
    with pytest.raises(InputError, match="column free, row 3: 'word' is not integer"):
        rows(port(table="films"))
    assert [r["free"] for r in rows(port(table="films", types={"free": "VARCHAR"}))] == [
        "1",
        "1",
        "word",
    ]


def test_rows_come_in_batches(films, port, keep, monkeypatch):
    monkeypatch.setattr(_rows, "BATCH_ROWS", 10)
    run(films, many=[(i, "x", *RAN[2:]) for i in range(10, 45)])
    received = port(table="films").fetch(keep, None)
    with pq.ParquetFile(received.objects[0].path) as file:
        assert file.metadata.num_rows == 37
        assert file.metadata.num_row_groups == 4


@pytest.mark.parametrize(
    ("given", "error", "message", "fix"),
    [
        ({"table": "film"}, InputError, "no table 'film'", "did you mean `films`"),
        ({"table": "olds"}, InputError, "no table 'olds'", "did you mean `old`"),
        ({"table": "films", "columns": ["titel"]}, InputError, "no column 'titel'", "`title`"),
        ({"table": "films", "incremental": "yr"}, InputError, "no column 'yr'", ""),
        ({"query": "SELECT 1 AS a", "incremental": "b"}, InputError, "'b'|no such column", ""),
        ({"table": "films", "types": {"yeer": "DATE"}}, InputError, "no column 'yeer'", "`year`"),
        ({"query": "SELECT nope FROM films"}, InputError, "no such column: nope", ""),
        ({"query": "SELECT FROM"}, InputError, "syntax error", ""),
        ({}, ConfigurationError, "either `table` or `query`", ""),
        ({"table": "films", "query": "SELECT 1"}, ConfigurationError, "either", ""),
        ({"table": "films", "url": ""}, ConfigurationError, "url is missing", "sqlite"),
        ({"table": "films", "url": "what"}, ConfigurationError, "cannot be read", "sqlite"),
        ({"table": "films", "url": "sqlite://"}, ConfigurationError, "names no file", ""),
        ({"table": "films", "url": "sqlite:///film.db"}, InputError, "'film.db'", "did you mean `films.db`"),
        ({"table": "films", "url": "postgre://h/d"}, ConfigurationError, "'postgre'", "`postgresql`"),
        ({"table": "films", "tabel": "x"}, ConfigurationError, "tabel", "`table`"),
        ({"table": "mian.films"}, InputError, "no schema 'mian'", "did you mean `main`"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(films, port, rows, given, error, message, fix):
    with pytest.raises(error, match=message) as caught:
        rows(port(**given))
    assert fix in caught.value.fix
    assert "films" in caught.value.where


def test_a_file_that_is_no_database(home, port, rows):
    (home / "films.db").write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match="not a database"):
        rows(port(table="films"))


def test_no_space_for_the_rows(films, port, rows, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "ParquetWriter", full)
    with pytest.raises(StoreError, match="No space left"):
        rows(port(table="films"))


def test_a_damaged_database(films, port, rows):
    run(films, many=[(i, "x" * 99, *RAN[2:]) for i in range(10, 999)])
    content = bytearray((films / "films.db").read_bytes())
    content[8192:-4096] = b"\xff" * (len(content) - 12288)
    (films / "films.db").write_bytes(content)
    with pytest.raises(InputError, match=r"films\.db failed"):
        rows(port(table="films"))


def test_a_driver_that_is_not_installed(home, port, rows):
    url = "oracle+oracledb://me:hush@host/base"
    with pytest.raises(MissingExtraError, match="driver that is not installed") as caught:
        rows(port(url=url, table="films", secrets={"P": "hush"}))
    assert caught.value.fix == "pip install oracledb"
    assert "hush" not in str(caught.value)


def test_credentials_are_in_no_message(home, port, rows, monkeypatch):
    def refuses(*_, **__):
        raise _rows.sa.exc.OperationalError("connect", {}, Exception("no hush for me@host"))

    engine = SimpleNamespace(connect=refuses, dispose=lambda: None)
    monkeypatch.setattr(_rows.sa, "create_engine", lambda *_, **__: engine)
    url = "postgresql://me:hush@host/base?password=hush"
    with pytest.raises(InputError) as caught:
        rows(port(url=url, table="films", secrets={"P": "hush"}))
    assert "hush" not in str(caught.value)
    assert "postgresql://host/base" in caught.value.message


def test_what_a_contract_expects(films, port, rows, contract):
    good = contract(id="integer!", cost="number", seen="date", changed="timestamp", ok="boolean")
    assert len(rows(port(table="films", contract=good))) == 2
    with pytest.raises(InputError) as caught:
        rows(port(table="films", contract=contract(cost="number!", year="date", titel="string")))
    text = caught.value.message
    assert "column `cost` is required, and 1 of 2 rows have none" in text
    assert "expected column `year` (date), came `year` (integer)" in text
    assert "did you mean `title`?" in text


class TestAdbc:
    """With a double of the driver manager; with a real one in `test_postgres`."""

    @pytest.fixture
    def manager(self, monkeypatch):
        class FailedError(Exception):
            pass

        class Thing:
            table = pa.table({"id": [1, 2], "title": ["Heat", "Ran"]})
            fails = None

            def __enter__(self):
                return self

            def __exit__(self, *_):
                pass

            def cursor(self):
                return self

            def execute(self, text):
                self.asked.append(text)
                if Thing.fails:
                    raise FailedError(Thing.fails)

            def fetch_record_batch(self):
                return self.table.to_reader()

        double = SimpleNamespace(Error=FailedError, thing=Thing, given={})

        def connect(**given):
            double.given = given
            return Thing()

        double.connect = connect
        Thing.asked = []

        def import_module(name):
            if name == "adbc_driver_manager.dbapi":
                return double
            raise ModuleNotFoundError(name=name)

        monkeypatch.setattr(_adbc, "import_module", import_module)
        return double

    def test_rows_and_where_to_go_on(self, manager, make, keep, rows):
        made = make(
            "database",
            adbc="sqlite",
            url="films.db",
            table="films",
            incremental="id",
            options={"x": 1},
        )
        first = made.fetch(keep, None)
        assert rows(made, first) == [{"id": 1, "title": "Heat"}, {"id": 2, "title": "Ran"}]
        assert manager.given == {"driver": "sqlite", "db_kwargs": {"x": "1", "uri": "films.db"}}
        manager.thing.table = manager.thing.table.slice(0, 0)
        assert made.fetch(keep, first) is first
        assert manager.thing.asked == [
            'SELECT * FROM "films" ORDER BY "id"',
            'SELECT * FROM "films" WHERE "id" > 2 ORDER BY "id"',
        ]

    def test_statements(self):
        ask = _rows.Ask("main.films", columns=("title",), incremental="day", after="it's")
        assert _adbc.statement(ask) == (
            'SELECT "title", "day" FROM "main"."films" WHERE "day" > \'it\'\'s\' ORDER BY "day"'
        )
        assert _adbc.statement(_rows.Ask(query="SELECT 1")) == "SELECT * FROM (\nSELECT 1\n) AS q"

    def test_failures(self, manager, make, keep):
        made = make("database", adbc="sqlite", url="hush", table="films", secrets={"P": "hush"})
        manager.thing.fails = "no table for hush"
        with pytest.raises(InputError, match=r"no table for \*\*\*"):
            made.fetch(keep, None)
        manager.thing.fails = "Could not load `sqlite`"
        with pytest.raises(MissingExtraError) as caught:
            made.fetch(keep, None)
        assert caught.value.fix == "pip install adbc-driver-sqlite"
        manager.thing.fails = None
        with pytest.raises(InputError, match="no column 'nope'"):
            make("database", adbc="sqlite", query="SELECT 1", incremental="nope").fetch(keep, None)

    def test_it_is_an_extra(self, make, keep, monkeypatch):
        def missing(name):
            raise ModuleNotFoundError(name=name)

        monkeypatch.setattr(_adbc, "import_module", missing)
        with pytest.raises(MissingExtraError) as caught:
            make("database", adbc="sqlite", table="films").fetch(keep, None)
        assert caught.value.fix == "pip install 'polyport[adbc]'"


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9),
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.dates(),
            st.none() | st.binary(max_size=5),
        ),
        max_size=6,
    )
)
def test_a_table_gives_back_what_was_written(home, port, rows, table):
    (home / "films.db").unlink(missing_ok=True)
    run(home, SCHEMA)
    with closing(sqlite3.connect(home / "films.db")) as base:
        stored = [(t, y, r, d and d.isoformat(), p) for t, y, r, d, p in table]
        base.executemany(
            "INSERT INTO films(title, year, rating, seen, poster) VALUES (?,?,?,?,?)", stored
        )
        base.commit()
    found = rows(port(table="films", columns=["title", "year", "rating", "seen", "poster"]))
    assert [tuple(r.values()) for r in found] == table
