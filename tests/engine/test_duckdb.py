from __future__ import annotations

import datetime as dt
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyport.engine.duckdb import DuckDBEngine, plain
from polyport.errors import ConfigurationError, QueryError, StoreError
from polyport.model import Files, Query, Relation


@pytest.fixture
def engine(tmp_path):
    with DuckDBEngine(scratch=tmp_path / "spill") as made:
        yield made


def rows(engine, sql, relations=None, params=None):
    return engine.query(sql, relations or {}, params).read_all().to_pylist()


TABLE = Relation(pa.table({"x": [1, 2, 3], "n": ["a", "b", "c"]}))


def test_params_and_nested_names_are_scoped(engine):
    inner = Relation(Query("SELECT x * 10 AS x FROM t -- a comment", {"t": TABLE}))
    assert rows(
        engine, "SELECT x FROM t WHERE x > $low ORDER BY x;", {"t": inner}, {"low": 10}
    ) == [{"x": 20}, {"x": 30}]
    assert rows(
        engine, "WITH t AS (SELECT x + 1 AS x FROM t) SELECT max(x) AS m FROM t", {"t": inner}
    ) == [{"m": 31}]


def test_a_secured_relation_shows_only_its_columns_and_rows(engine):
    secured = Relation(TABLE.data, {"n": "upper(n)"}, "x >= $p0", {"p0": 2})
    assert rows(engine, "SELECT * FROM t ORDER BY n", {"t": secured}) == [{"n": "B"}, {"n": "C"}]
    with pytest.raises(QueryError):
        rows(engine, "SELECT x FROM t", {"t": secured})


def test_readers_of_one_engine_run_at_the_same_time_and_outlive_the_call(engine):
    first = engine.query("SELECT * FROM range(100000)", {})
    second = engine.query("SELECT * FROM range(100000)", {})
    gc.collect()
    assert first.read_next_batch().num_rows
    assert second.read_all().num_rows == 100_000
    assert sum(b.num_rows for b in first) + 32_768 >= 100_000


@pytest.mark.parametrize(
    ("sql", "line", "column", "part"),
    [
        ("SELECT x,\n  nope\nFROM t", 2, 3, "nope"),
        ("SELECT x\nFROM t WHERE (", 2, 15, "syntax"),
        ("SELECT x FROM\n   missing", 2, 4, "missing"),
        ("WITH a AS (SELECT 1 AS x)\nSELECT 'ä', y FROM a", 2, 13, "y"),
    ],
)
def test_an_error_names_its_place_in_the_given_sql(engine, sql, line, column, part):
    with pytest.raises(QueryError) as caught:
        rows(engine, sql, {"t": TABLE})
    assert part in caught.value.message
    assert caught.value.line == line
    assert "{" not in caught.value.message


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; COPY (SELECT 1) TO '{}'",
        "SELECT 1 AS x) TO '{}' (FORMAT csv); COPY (SELECT 1 AS x",
        "COPY (SELECT 1) TO '{}'",
        "CREATE TABLE a AS SELECT 1",
        "ATTACH '{}'",
        "",
    ],
)
def test_whatever_is_not_one_select_is_refused(engine, tmp_path, sql):
    target = tmp_path / "made"
    for relations in ({}, {"t": TABLE}):
        with pytest.raises(QueryError):
            engine.query(sql.format(target), relations)
        with pytest.raises(QueryError):
            engine.write(sql.format(target), relations, tmp_path / "o.parquet")
    assert not list(tmp_path.glob("*ma*"))
    assert not list(tmp_path.glob("*.parquet"))


def test_files_of_each_format(engine, tmp_path):
    csv = tmp_path / "it's.csv"
    csv.write_text("x;n\n1;a\n2;-\n", "utf-8")
    ndjson = tmp_path / "r.ndjson"
    ndjson.write_text('{"x": 1, "d": {"a": 1}}\n{"x": 2}\n', "utf-8")
    parquet = tmp_path / "r.parquet"
    pq.write_table(TABLE.data, parquet)
    options = {"delimiter": ";", "header": True, "nulls": ["-"], "types": {"x": "BIGINT"}}

    def read(files):
        return rows(engine, "FROM t ORDER BY x", {"t": Relation(files)})

    assert read(Files((str(csv),), "csv", options)) == [{"x": 1, "n": "a"}, {"x": 2, "n": None}]
    assert read(Files((str(ndjson),), "ndjson"))[0] == {"x": 1, "d": {"a": 1}}
    assert len(read(Files((str(parquet), str(parquet))))) == 6
    assert read(Files((), schema=pa.schema([("x", pa.int32())]))) == []


def test_write_keeps_types_ids_and_counts(engine, tmp_path):
    sql = "SELECT 1::BIGINT AS a, [1, 2] AS b, {'s': 'x'} AS c, TIMESTAMPTZ '2026-01-01 00:00:00+00' AS d"
    ids = {"a": 1, "b": {"": 2, "element": 3}, "c": {"": 4, "s": 5}, "d": 6}
    written = engine.write(sql, {}, tmp_path / "o.parquet", field_ids=ids)
    raw = pq.read_schema(tmp_path / "o.parquet")
    assert [f.metadata[b"PARQUET:field_id"] for f in raw] == [b"1", b"2", b"4", b"6"]
    assert written.rows == 1
    assert written.bytes == (tmp_path / "o.parquet").stat().st_size
    assert written.schema.field("d").type == pa.timestamp("us", "UTC")
    again = Relation(Files((str(tmp_path / "o.parquet"),), schema=written.schema))
    assert rows(engine, "SELECT d FROM t", {"t": again})[0]["d"] == dt.datetime(
        2026, 1, 1, tzinfo=dt.UTC
    )
    assert engine.schema("FROM t", {"t": again}) == written.schema


def test_write_keeps_sums_of_integers_exact_and_refuses_what_would_be_lost(engine, tmp_path):
    written = engine.write("SELECT sum(range) AS s FROM range(3)", {}, tmp_path / "o.parquet")
    assert written.schema.field("s").type == pa.decimal128(38, 0)
    assert written.schema == engine.schema("SELECT sum(range) AS s FROM range(3)", {})
    for lost in ("INTERVAL 1 DAY", "'101'::BIT", "{'a': 1::HUGEINT}", "1::UHUGEINT"):
        with pytest.raises(QueryError, match="cast v to another type"):
            engine.write(f"SELECT {lost} AS v", {}, tmp_path / "lost.parquet")


def test_schema_names_the_place_of_an_error(engine):
    with pytest.raises(QueryError) as caught:
        engine.schema("\n-- a note\nWITH a AS (SELECT 1 AS x)\nSELECT y FROM a, t", {"t": TABLE})
    assert (caught.value.line, caught.value.column) == (4, 8)


def test_write_of_no_rows_keeps_the_schema(engine, tmp_path):
    written = engine.write("SELECT 1 AS a WHERE false", {}, tmp_path / "o.parquet", columns=["a"])
    assert (written.rows, written.schema.names) == (0, ["a"])


def test_write_where_nothing_can_be_written_leaves_nothing(engine, tmp_path):
    with pytest.raises(StoreError):
        engine.write("SELECT 1 AS a", {}, tmp_path / "none" / "o.parquet")
    with pytest.raises(QueryError):
        engine.write("SELECT 'x'::INT AS a", {}, tmp_path / "o.parquet")
    assert not list(tmp_path.glob("*.parquet"))


def test_consume_streams_batches(engine, tmp_path):
    reader = engine.query("SELECT range AS x FROM range(100000)", {})
    assert engine.consume(reader, tmp_path / "c.parquet").rows == 100_000

    def failing():
        yield pa.record_batch({"x": [1]})
        raise RuntimeError("the source went away")

    reader = pa.RecordBatchReader.from_batches(pa.schema([("x", pa.int64())]), failing())
    with pytest.raises(RuntimeError):
        engine.consume(reader, tmp_path / "d.parquet")
    assert not (tmp_path / "d.parquet").exists()


def test_data_larger_than_memory_spills(tmp_path):
    with DuckDBEngine(memory="300MB", threads=2, scratch=tmp_path) as engine:
        sql = "SELECT range AS x, md5(range::VARCHAR) AS h FROM range(4000000) ORDER BY h"
        assert engine.write(sql, {}, tmp_path / "big.parquet").rows == 4_000_000


def test_a_setting_that_the_engine_does_not_take(tmp_path):
    with pytest.raises(ConfigurationError, match="memory"):
        DuckDBEngine(memory="lots", scratch=tmp_path)


def test_a_limit_that_the_engine_does_not_take_is_said_before_anything_is_asked(tmp_path):
    with DuckDBEngine(scratch=tmp_path) as engine:
        with pytest.raises(ConfigurationError, match="memory"):
            engine.limit(memory="lots")
        engine.limit(memory="300MB", threads=1)
        said = "SELECT current_setting('threads') AS t, current_setting('memory_limit') AS m"
        assert rows(engine, said) == [{"t": 1, "m": "286.1 MiB"}]


@pytest.fixture
def openings(monkeypatch):
    """The instances that are opened from now on, as they come."""
    found, connect = [], duckdb.connect

    def counted(**given):
        time.sleep(0.05)  # so that those who come at once do meet
        found.append(connect(**given))
        return found[-1]

    monkeypatch.setattr(duckdb, "connect", counted)
    return found


def test_an_instance_is_opened_by_the_first_question(openings):
    with DuckDBEngine() as engine:
        assert (engine.dialect, engine.progress()) == ("duckdb", None)
        engine.limit()
        engine.keep_hot()
        assert not openings
        assert rows(engine, "SELECT 1 AS x") == [{"x": 1}]
        assert rows(engine, "SELECT current_setting('TimeZone') AS z") == [{"z": "UTC"}]
    (opened,) = openings
    with pytest.raises(duckdb.ConnectionException):
        opened.cursor()


def test_of_many_who_ask_first_one_opens_it(openings):
    together = threading.Barrier(8)

    def ask(number):
        together.wait()
        return rows(engine, f"SELECT {number} AS x")[0]["x"]

    with DuckDBEngine() as engine, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == list(range(8))
    assert len(openings) == 1


@pytest.mark.parametrize("asked", [False, True])
def test_what_is_closed_is_not_opened_again(openings, asked):
    engine = DuckDBEngine()
    if asked:
        assert rows(engine, "SELECT 1 AS x") == [{"x": 1}]
    engine.close()
    engine.close()
    with pytest.raises(duckdb.ConnectionException, match="already closed"):
        engine.query("SELECT 1 AS x", {})
    with pytest.raises(ConfigurationError, match="already closed"):
        engine.limit(threads=1)
    assert len(openings) == asked


def test_what_rests_is_opened_again_with_the_limits_of_before(openings):
    with DuckDBEngine(memory="1GB") as engine:
        assert rows(engine, "SELECT 1 AS x") == [{"x": 1}]
        engine.limit(memory="512MiB", threads=1)
        for _ in range(2):
            engine.rest()
        with pytest.raises(duckdb.ConnectionException):
            openings[0].cursor()
        found = rows(
            engine, "SELECT current_setting('memory_limit') AS m, current_setting('threads') AS t"
        )
        assert found == [{"m": "512.0 MiB", "t": 1}]
    assert len(openings) == 2


def test_what_is_kept_hot_does_not_rest(openings):
    with DuckDBEngine() as engine:
        engine.keep_hot()
        assert rows(engine, "SELECT 1 AS x") == [{"x": 1}]
        engine.rest()
        assert rows(engine, "SELECT 2 AS x") == [{"x": 2}]
    assert len(openings) == 1


def test_plain_makes_schemas_comparable():
    given = pa.schema(
        [pa.field("a", pa.large_string(), nullable=False), pa.field("l", pa.large_list(pa.int8()))]
    )
    assert plain(given) == pa.schema(
        [("a", pa.string()), ("l", pa.list_(pa.field("element", pa.int8())))]
    )


def test_progress_of_the_newest_statement_is_told_to_another_thread(engine, tmp_path):
    assert engine.progress() is None
    told, ended = [], threading.Event()

    def ask():
        while not ended.is_set():
            told.append(engine.progress())

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        engine.write(
            "SELECT range AS x, hash(range)::VARCHAR AS y FROM range(4000000)", {}, tmp_path / "x"
        )
    finally:
        ended.set()
        asking.join()
    between = [fraction for fraction in told if fraction is not None and 0 < fraction < 1]
    assert len(set(between)) > 2
    assert all(0 <= fraction <= 1 for fraction in told if fraction is not None)
    assert engine.progress() is None
