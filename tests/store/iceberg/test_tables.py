from __future__ import annotations

import datetime as dt
import decimal
import shutil
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.table import StaticTable

from polyport.engine.duckdb import DuckDBEngine
from polyport.errors import ConfigurationError, NotFoundError, StoreError
from polyport.store import Table
from polyport.store.local import LocalStore
from polyport.testing.store import PRODUCT, publish, publish_many, rows, stage_table, table


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "store")


def open_table(store, snapshot, dataset):
    return StaticTable.from_metadata(store.iceberg(snapshot, dataset))


def assert_same(store, snapshot):
    """Iceberg says the same of every dataset as the Parquet files do."""
    for name in snapshot.datasets:
        found = open_table(store, snapshot, name).scan().to_arrow()
        assert found.to_pylist() == rows(store, snapshot, name)
        assert found.column_names == snapshot.datasets[name].schema.names


def publish_sql(store, run, sql, *, parent=None, key=()):
    with DuckDBEngine() as engine, store.stage(PRODUCT, run) as staging:
        ids = staging.field_ids("d", engine.schema(sql, {}))
        done = engine.write(sql, {}, staging.folder / "d.parquet", field_ids=ids)
        ready = Table(done.files, done.schema, done.rows, key)
        return store.publish(
            PRODUCT, {"d": ready}, staging=staging, inputs={}, parent=parent.id if parent else None
        )


TYPES = {
    "true": "boolean",
    "1::TINYINT": "int",
    "1::SMALLINT": "int",
    "1::INTEGER": "int",
    "1::BIGINT": "long",
    "1.5::FLOAT": "float",
    "1.5::DOUBLE": "double",
    "1.25::DECIMAL(4, 2)": "decimal(4, 2)",
    "1.25::DECIMAL(12, 2)": "decimal(12, 2)",
    "1.25::DECIMAL(38, 10)": "decimal(38, 10)",
    "'é'": "string",
    "'a'::ENUM('a', 'b')": "string",
    "DATE '2026-01-31'": "date",
    "TIME '12:30:00.000001'": "time",
    "TIMESTAMP '2026-01-31 12:30:00.000001'": "timestamp",
    "TIMESTAMPTZ '2026-01-31 12:30:00.000001+02'": "timestamptz",
    "'ab'::BLOB": "binary",
    "'4b5a2c1e-0000-4000-8000-000000000001'::UUID": "uuid",
    "[1, NULL, 2]": "list<int>",
    "[['a'], NULL, []]": "list<list<string>>",
    "{'a': 1, 'b': {'c': DATE '2026-01-31', 'd': ['x']}}": "struct",
    "MAP {'a': 1.5::DOUBLE, 'b': NULL}": "map<string, double>",
    """'{"b": 1}'::JSON""": "string",
    """[{'a': {'j': '{"b": 1}'::JSON}}]""": "list<struct",
    "MAP {'a': [{'x': 1}]}": "map<string, list<struct",
    "MAP {DATE '2026-01-01': {'k': [1.5::DECIMAL(9, 3)]}}": "map<date, struct",
    "TIMESTAMP_MS '2026-01-01 12:00:00.123'": "timestamp",
    "TIMESTAMP_S '2026-01-01 12:00:00'": "timestamp",
}


@pytest.mark.parametrize("sql", TYPES)
def test_types_that_the_engine_writes(store, sql, caplog):
    empty = "NULL" if "struct" not in TYPES[sql] else sql  # see the next test
    made = publish_sql(
        store, "r", f"SELECT {sql} AS v, 1 AS i UNION ALL SELECT {empty}, 2 ORDER BY i"
    )
    assert len(rows(store, made, "d")) == 2
    assert_same(store, made)
    kind = str(open_table(store, made, "d").schema().find_field("v").field_type)
    assert kind.startswith(TYPES[sql])
    assert caplog.records == []


@pytest.mark.xfail(
    strict=True,
    reason="apache/iceberg-python#3833: a list of structs that is null is read as an empty one",
)
@pytest.mark.parametrize("sql", ["[{'a': 1}]", "MAP {'a': {'x': 1}}"])
def test_no_list_of_structs(store, sql):
    made = publish_sql(store, "r", f"SELECT {sql} AS v, 1 AS i UNION ALL SELECT NULL, 2 ORDER BY i")
    assert rows(store, made, "d")[1] == {"v": None, "i": 2}
    assert_same(store, made)


def test_types_that_arrow_writes(store):
    data = pa.table(
        {
            "fixed": pa.array([b"ab", None], pa.binary(2)),
            "large": pa.array(["x", None], pa.large_string()),
            "millis": pa.array([dt.datetime(2026, 1, 1, 1, 2, 3), None], pa.timestamp("ms")),
            "utc": pa.array(
                [dt.datetime(2026, 1, 1, tzinfo=dt.UTC), None], pa.timestamp("us", tz="UTC")
            ),
            "narrow": pa.array([decimal.Decimal("1.5"), None], pa.decimal128(3, 1)),
            "uuid": pa.array([uuid.UUID(int=7).bytes, None], pa.uuid()),
        }
    )
    assert_same(store, publish(store, "r", {"d": data}))


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        (pa.uint8(), "BIGINT"),
        (pa.uint32(), "BIGINT"),
        (pa.uint64(), "DECIMAL"),
        (pa.timestamp("ns"), "TIMESTAMP"),
        (pa.timestamp("us", tz="Europe/Berlin"), "UTC"),
        (pa.time64("ns"), "TIME"),
        (pa.time32("s"), "TIME"),
        (pa.duration("s"), "BIGINT"),
        (pa.month_day_nano_interval(), "BIGINT"),
        (pa.null(), "type"),
        (pa.float16(), "FLOAT"),
        (pa.date64(), "DATE"),
        (pa.decimal256(50, 2), "DECIMAL(38"),
        (pa.decimal128(5, -2), "DECIMAL(38"),
        (pa.binary_view(), None),
        (pa.string_view(), None),
    ],
)
def test_types_that_iceberg_cannot_hold(store, kind, hint):
    schema = pa.schema([("ok", pa.int64()), ("deep", pa.list_(pa.struct([("bad", kind)])))])
    with store.stage(PRODUCT, "r") as staging:
        tables = {"fine": stage_table(staging, "fine", table("1")), "d": Table((), schema, 0)}
        if hint is None:
            store.publish(PRODUCT, tables, staging=staging, inputs={}, parent=None)
            return
        with pytest.raises(StoreError) as caught:
            store.publish(PRODUCT, tables, staging=staging, inputs={}, parent=None)
    assert "'deep.element.bad'" in caught.value.message
    assert "'d'" in caught.value.message
    assert "'ok'" not in caught.value.message
    assert hint in caught.value.fix
    assert store.history(PRODUCT) == ()


def test_all_columns_that_iceberg_cannot_hold_are_named_at_once(store):
    schema = pa.schema([("a", pa.uint8()), ("b", pa.int8()), ("c", pa.null())])
    with (
        store.stage(PRODUCT, "r") as staging,
        pytest.raises(StoreError, match=r"'a' \(uint8\), 'c' \(null\)"),
    ):
        store.publish(PRODUCT, {"d": Table((), schema, 0)}, staging=staging, inputs={}, parent=None)


def test_without_iceberg_any_type_will_do(tmp_path):
    store = LocalStore(tmp_path, iceberg=False)
    made = publish(store, "r", {"d": pa.table({"a": pa.array([1, 2], pa.uint8())})})
    assert rows(store, made, "d") == [{"a": 1}, {"a": 2}]
    with pytest.raises(NotFoundError, match="no Iceberg metadata"):
        store.iceberg(made, "d")


def state(number):
    """The dataset `d` in snapshot `number`: columns come, go, move and change their types."""
    count = 0 if number % 7 == 0 else number
    ids = pa.array(range(count), pa.int32() if number < 4 else pa.int64())
    columns = {"id": ids, "n": pa.array([number] * count, pa.int64())}
    if number % 3 == 0:
        columns["extra"] = pa.array([f"x{number}"] * count, pa.string())
    if number >= 10:
        values = [str(number) if number % 2 else number] * count
        columns["retyped"] = pa.array(values, pa.string() if number % 2 else pa.int64())
    if number >= 15:
        fields = ["a", "b"] if number % 2 else ["b", "c"]
        columns["s"] = pa.array(
            [dict.fromkeys(fields, number)] * count, pa.struct([(f, pa.int64()) for f in fields])
        )
        columns["l"] = pa.array([[number, None]] * count, pa.list_(pa.int32()))
    if number % 4 == 0:
        columns = dict(reversed(columns.items()))
    return pa.table(columns)


def test_every_kept_snapshot_reads_the_same_through_thirty_changes(store):
    made = []
    for number in range(1, 31):
        parent = made[-1] if made else None
        tables = {"d": state(number), "other": table(str(number // 5))}
        made.append(publish(store, f"r{number}", tables, parent=parent))
    for number, snapshot in enumerate(made, start=1):
        assert rows(store, snapshot, "d") == state(number).to_pylist()
        assert_same(store, snapshot)
        assert len(open_table(store, snapshot, "d").metadata.snapshots) == min(number, 20)
    one_table = {open_table(store, snapshot, "d").metadata.table_uuid for snapshot in made}
    assert len(one_table) == 1
    store.tag(PRODUCT, "old", "3")
    store.expire(PRODUCT, keep=5)
    kept = store.history(PRODUCT)
    assert [snapshot.sequence for snapshot in kept] == [3, 26, 27, 28, 29, 30]
    for snapshot in kept:
        assert_same(store, snapshot)
    last = publish(store, "r31", {"d": state(31)}, parent=made[-1])
    assert_same(store, last)
    assert len(open_table(store, last, "d").metadata.snapshots) == 6
    assert len(open_table(store, last, "d").metadata.schemas) <= 6


def test_time_travel_within_one_metadata_file(store):
    made = []
    for number in range(1, 6):
        made.append(
            publish(store, f"r{number}", {"d": state(number)}, parent=made[-1] if made else None)
        )
    newest = open_table(store, made[-1], "d")
    for number, told in enumerate(newest.metadata.snapshots, start=1):
        assert (
            newest.scan(snapshot_id=told.snapshot_id).to_arrow().to_pylist()
            == state(number).to_pylist()
        )
        assert told.summary["polyport.snapshot"] == made[number - 1].id


def test_the_files_are_the_same_files(store):
    (made,) = publish_many(store, 1)
    planned = [
        task.file.file_path for task in open_table(store, made, "movies").scan().plan_files()
    ]
    assert planned == [f"file://{path}" for path in store.files(made, "movies")]


def test_an_unchanged_dataset_keeps_its_metadata(store):
    first = publish(store, "r1", {"d": table("1"), "e": table("1")})
    with store.stage(PRODUCT, "r2") as staging:
        files = tuple(Path(f) for f in store.files(first, "e"))
        tables = {
            "d": stage_table(staging, "d", table("2")),
            "e": Table(files, table("1").schema, 1),
        }
        second = store.publish(PRODUCT, tables, staging=staging, inputs={}, parent=first.id)
    assert store.iceberg(second, "e") == store.iceberg(first, "e")
    assert store.iceberg(second, "d") != store.iceberg(first, "d")
    store.expire(PRODUCT, keep=1)
    assert_same(store, second)


def test_a_new_key_over_the_same_files_is_new_metadata(store):
    first = publish(store, "r1", {"d": table("1")})
    with store.stage(PRODUCT, "r2") as staging:
        files = tuple(Path(f) for f in store.files(first, "d"))
        ready = {"d": Table(files, table("1").schema, 1, ("id",))}
        second = store.publish(PRODUCT, ready, staging=staging, inputs={}, parent=first.id)
    assert store.files(second, "d") == store.files(first, "d")
    assert open_table(store, first, "d").schema().identifier_field_ids == []
    assert open_table(store, second, "d").schema().identifier_field_ids == [1]
    assert_same(store, second)


@pytest.mark.parametrize(
    ("sql", "key", "identifiers"),
    [
        ("SELECT 1 AS a, 'x' AS b, 2 AS c", ("a", "b"), {"a", "b"}),
        ("SELECT 1 AS a, NULL::VARCHAR AS b", ("a", "b"), set()),
        ("SELECT 1.5::DOUBLE AS a", ("a",), set()),
        ("SELECT 1 AS a WHERE false", ("a",), {"a"}),
        ("SELECT 1 AS a", (), set()),
    ],
)
def test_the_key_as_identifier_fields(store, sql, key, identifiers):
    made = publish_sql(store, "r", sql, key=key)
    schema = open_table(store, made, "d").schema()
    assert schema.identifier_field_names() == identifiers
    assert all(schema.find_field(name).required for name in identifiers)
    assert_same(store, made)


def test_a_key_that_gets_nulls_later(store):
    one = publish_sql(store, "r1", "SELECT 1 AS a", key=("a",))
    two = publish_sql(store, "r2", "SELECT NULL::INT AS a", key=("a",), parent=one)
    three = publish_sql(store, "r3", "SELECT 3 AS a", key=("a",), parent=two)
    for snapshot in (one, two, three):
        assert_same(store, snapshot)
    schemas = open_table(store, three, "d").metadata.schemas
    assert [schema.identifier_field_ids for schema in schemas] == [[1], []]


def test_files_without_field_ids_are_read_by_name(store):
    parent = None
    for run, data in enumerate(
        [table("a"), table("b").select(["title", "id"]), table("c").select(["title"])]
    ):
        with store.stage(PRODUCT, f"r{run}") as staging:
            path = staging.folder / "d.parquet"
            pq.write_table(data, path)
            ready = {"d": Table((path,), data.schema, data.num_rows)}
            made = store.publish(PRODUCT, ready, staging=staging, inputs={}, parent=parent)
        parent = made.id
        assert_same(store, made)


def test_wrong_field_ids_are_refused(store):
    first = publish(store, "r1", {"d": table("1")})
    with store.stage(PRODUCT, "r2") as staging:
        data = table("2").select(["title", "id"])
        swapped = stage_table(staging, "never-published", data)
        ready = {"d": Table(swapped.files, data.schema, 1)}
        with pytest.raises(
            StoreError,
            match="'title' of dataset 'd' was written with field id 1, and has field id 2",
        ):
            store.publish(PRODUCT, ready, staging=staging, inputs={}, parent=first.id)
    assert store.history(PRODUCT) == (first,)


def test_a_schema_that_is_not_the_files_is_refused(store):
    wrong = pa.schema([("id", pa.string()), ("title", pa.string())])
    with store.stage(PRODUCT, "r1") as staging:
        path = stage_table(staging, "d", table("1")).files[0]
        with pytest.raises(StoreError, match="'d' does not hold what its schema says"):
            store.publish(
                PRODUCT, {"d": Table((path,), wrong, 1)}, staging=staging, inputs={}, parent=None
            )
        other = pa.schema([("id", pa.int64()), ("name", pa.string())])
        with pytest.raises(StoreError, match="'title'"):
            store.publish(
                PRODUCT, {"d": Table((path,), other, 1)}, staging=staging, inputs={}, parent=None
            )
    assert store.history(PRODUCT) == ()


def test_a_store_that_was_moved_goes_on(store, tmp_path):
    first = publish(store, "r1", {"d": table("1"), "e": table("1")})
    (tmp_path / "store").rename(tmp_path / "moved")
    moved = LocalStore(tmp_path / "moved")
    assert moved.history(PRODUCT) == (first,)
    assert rows(moved, first, "d") == table("1").to_pylist()
    with moved.stage(PRODUCT, "r2") as staging:
        files = tuple(Path(f) for f in moved.files(first, "e"))
        tables = {
            "d": stage_table(staging, "d", table("2")),
            "e": Table(files, table("1").schema, 1),
        }
        second = moved.publish(PRODUCT, tables, staging=staging, inputs={}, parent=first.id)
    assert_same(moved, second)


def test_a_copy_of_a_store_leads_only_to_itself(store, tmp_path):
    first = publish(store, "r1", {"d": table("1")})
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    copy = LocalStore(tmp_path / "copy")
    second = publish(copy, "r2", {"d": table("2")}, parent=first)
    assert (
        str(tmp_path / "store")
        not in Path(copy.iceberg(second, "d").removeprefix("file://")).read_text()
    )
    assert_same(copy, second)


@pytest.mark.parametrize("name", ["a#b", "a?b"])
def test_a_folder_that_iceberg_cannot_address_is_refused(tmp_path, name):
    with pytest.raises(ConfigurationError, match="'#' or '\\?'"):
        LocalStore(tmp_path / name)
    LocalStore(tmp_path / name, iceberg=False)


def test_folders_and_datasets_with_odd_names(tmp_path):
    store = LocalStore(tmp_path / "mit Leerzeichen %20 ü;=&")
    made = publish(store, "run/1 %", {"d ü": table("1")}, product="urn:dataproduct:a/b?c#d")
    assert_same(store, made)
