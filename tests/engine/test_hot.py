"""Tables in memory give what their files give, and go when the files go."""

from __future__ import annotations

import datetime as dt
import logging
import re
import threading
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyport.engine import hot
from polyport.engine.duckdb import DuckDBEngine
from polyport.model import Files, Relation

ROWS = pa.table(
    {
        "k": pa.array([1, 2, None], pa.int64()),
        "name": ["a", "b", None],
        "cost": pa.array([Decimal("1.50"), None, Decimal("-3.25")], pa.decimal128(12, 2)),
        "day": pa.array([dt.date(2020, 1, 1), None, dt.date(1, 1, 1)]),
        "at": pa.array(
            [dt.datetime(2020, 1, 1, tzinfo=dt.UTC), None, None], pa.timestamp("us", "UTC")
        ),
        "tags": pa.array([["x", None], [], None], pa.list_(pa.string())),
        "part": pa.array([{"a": 1}, None, {"a": None}], pa.struct([("a", pa.int32())])),
        "order by": [True, False, None],
    }
)


@pytest.fixture
def engine():
    with DuckDBEngine() as made:
        made.keep_hot()
        yield made


def relation(path, **more):
    return Relation(Files((str(path),), **more))


def ask(engine, source, sql="SELECT * FROM t ORDER BY ALL"):
    return engine.query(sql, {"t": source}).read_all()


def warm(engine, source):
    for _ in range(hot.ASKED):
        ask(engine, source)
    engine.keep_hot().wait()
    found = engine.keep_hot().find(source.data)
    return found and re.search(r"hot_\d+\.main\.rows", found)[0]


def test_the_same_rows_columns_and_types(engine, tmp_path):
    pq.write_table(ROWS, tmp_path / "t.parquet")
    source = Relation(
        Files((str(tmp_path / "t.parquet"),)), {"k": "k", "c": "cost * 2"}, "k < $p", {"p": 2}
    )
    plain, whole = ask(engine, source), relation(tmp_path / "t.parquet")
    before = ask(engine, whole)
    assert warm(engine, whole)
    assert ask(engine, whole).equals(before)
    assert ask(engine, whole).schema.equals(before.schema)
    assert ask(engine, source).equals(plain)


def test_a_table_is_named_by_no_query_but_its_own(engine, tmp_path):
    pq.write_table(ROWS, tmp_path / "t.parquet")
    source = relation(tmp_path / "t.parquet")
    assert warm(engine, source) == "hot_1.main.rows"
    sql = "WITH rows AS (SELECT 7 AS k) SELECT k FROM rows UNION ALL SELECT k FROM t ORDER BY k"
    assert ask(engine, source, sql)["k"].to_pylist() == [1, 2, 7, None]


def test_one_question_loads_nothing(engine, tmp_path):
    pq.write_table(ROWS, tmp_path / "t.parquet")
    ask(engine, relation(tmp_path / "t.parquet"))
    engine.keep_hot().wait()
    assert engine.keep_hot().find(Files((str(tmp_path / "other.parquet"),))) is None
    assert ask(engine, Relation(pa.table({"n": [1]})), "SELECT n FROM t")["n"].to_pylist() == [1]
    listed = engine.query("SELECT database_name AS d FROM duckdb_databases()", {}).read_all()
    assert not [name for name in listed["d"].to_pylist() if name.startswith("hot")]


def test_a_file_that_was_replaced_is_read_anew(engine, tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(ROWS, path)
    assert warm(engine, relation(path))
    pq.write_table(ROWS.slice(1), tmp_path / "new")
    (tmp_path / "new").replace(path)
    assert ask(engine, relation(path)).num_rows == 2


def test_what_is_gone_is_forgotten(engine, tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    pq.write_table(ROWS, path)
    assert warm(engine, relation(path))
    monkeypatch.setattr(hot, "_EVERY", 0)
    path.unlink()
    assert engine.keep_hot().find(Files((str(path),))) is None
    listed = engine.query("SELECT database_name AS d FROM duckdb_databases()", {}).read_all()
    assert "hot_1" not in listed["d"].to_pylist()


def test_the_least_asked_for_makes_room_and_what_is_too_large_stays_out(tmp_path):
    paths = [tmp_path / f"{n}.parquet" for n in range(3)]
    for path in paths:
        pq.write_table(ROWS, path)
    large = tmp_path / "large.parquet"
    pq.write_table(pa.table({"x": list(range(100_000))}), large)
    with DuckDBEngine() as engine:
        engine._hot = hot.HotTables(
            engine._open().cursor, most_bytes=int(hot._taken(str(paths[0])) * 2.5)
        )
        found = [warm(engine, relation(path)) for path in paths]
        assert found == ["hot_1.main.rows", "hot_2.main.rows", "hot_3.main.rows"]
        assert engine._hot.find(Files((str(paths[0]),))) is None
        assert found[1] in engine._hot.find(Files((str(paths[1]),)))
        assert warm(engine, relation(large)) is None


def test_what_takes_little_room_in_its_file_takes_it_in_memory(tmp_path):
    path = tmp_path / "same.parquet"
    pq.write_table(pa.table({"x": ["a" * 5] * 500_000, "y": [1] * 500_000}), path)
    assert path.stat().st_size < 100_000
    with DuckDBEngine() as engine:
        engine._hot = hot.HotTables(engine._open().cursor, most_bytes=7_900_000)
        assert warm(engine, relation(path)) is None
        engine._hot.close()
        engine._hot = hot.HotTables(engine._open().cursor, most_bytes=8_100_000)
        assert warm(engine, relation(path))


def test_long_texts_count_as_they_are(tmp_path):
    path = tmp_path / "long.parquet"
    texts = [str(n) * 2_000 for n in range(100)]
    pq.write_table(pa.table({"x": texts}), path)
    assert hot._taken(str(path)) >= sum(map(len, texts))


def test_readers_under_way_outlive_their_table(tmp_path):
    path, other = tmp_path / "t.parquet", tmp_path / "o.parquet"
    pq.write_table(pa.table({"x": list(range(300_000))}), path)
    pq.write_table(pa.table({"x": list(range(300_000))}), other)
    with DuckDBEngine() as engine:
        engine._hot = hot.HotTables(engine._open().cursor, most_bytes=hot._taken(str(path)))
        assert warm(engine, relation(path))
        reader = engine.query("SELECT x FROM t", {"t": relation(path)})
        first = reader.read_next_batch().num_rows
        assert warm(engine, relation(other))
        assert first + sum(batch.num_rows for batch in reader) == 300_000


def test_a_table_that_cannot_be_loaded_is_read_from_its_files(engine, tmp_path, caplog):
    path = tmp_path / "t.parquet"
    pq.write_table(ROWS, path)
    engine.keep_hot()._cursor().execute("ATTACH ':memory:' AS hot_1")
    with caplog.at_level(logging.WARNING):
        assert warm(engine, relation(path)) is None
    assert "not kept in memory" in caplog.text
    assert ask(engine, relation(path)).num_rows == 3


def test_other_formats_are_read(engine, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n")
    assert warm(engine, relation(path, format="csv")) is None


def test_many_at_once(engine, tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": list(range(50_000))}), path)
    found = []

    def read():
        sql = "SELECT sum(x)::BIGINT AS s FROM t"
        found.extend(ask(engine, relation(path), sql)["s"][0].as_py() for _ in range(20))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [sum(range(50_000))] * 80
    engine.keep_hot().wait()
    assert engine.keep_hot().find(Files((str(path),)))


def test_texts_with_few_values_are_grouped_by_codes_and_come_as_texts(engine, tmp_path):
    table = pa.table(
        {
            "n": pa.array(range(3_000), pa.int64()),
            "few": [None if n % 7 == 0 else f"é{n % 5}" for n in range(3_000)],
            "many": [f"m{n}" for n in range(3_000)],
        }
    )
    pq.write_table(table, tmp_path / "coded.parquet")
    data = Files((str(tmp_path / "coded.parquet"),))
    sql = 'SELECT "few"::VARCHAR AS "few", n FROM (SELECT few, count(*) AS n FROM t GROUP BY few) ORDER BY few NULLS LAST'
    found = []
    for _ in range(3):
        for coded in ((), ("few",), ("few", "many", "no such column")):
            with engine.query(sql, {"t": Relation(data, coded=coded)}) as reader:
                found.append(reader.read_all())
        engine.keep_hot().wait()
    assert all(each == found[0] for each in found)
    assert "REPLACE" in engine.keep_hot().find(data, ("few",))
    assert "REPLACE" not in engine.keep_hot().find(data, ("many",))
    assert found[0].schema.field("few").type == pa.string()
    assert found[0].num_rows == 6
    with engine.query("SELECT * FROM t", {"t": Relation(data)}) as reader:
        assert reader.schema.names == ["n", "few", "many"]
        assert reader.read_all().sort_by("n").column("few") == table.column("few")


def test_a_column_that_is_called_like_a_code_stays_as_it_is(engine, tmp_path):
    table = pa.table({"_CODE_0": ["a", "a"], "x": ["b", "b"]})
    pq.write_table(table, tmp_path / "named.parquet")
    relation = Relation(Files((str(tmp_path / "named.parquet"),)), coded=("x",))
    for _ in range(3):
        with engine.query("SELECT * FROM t", {"t": relation}) as reader:
            assert reader.read_all() == table
        engine.keep_hot().wait()
