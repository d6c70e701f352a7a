"""What manifests say of data files, beside what pyiceberg would have said, and what its scans make of it."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg import expressions as ex
from pyiceberg.expressions.visitors import bind
from pyiceberg.io.pyarrow import PyArrowFileIO, expression_to_pyarrow, parquet_file_to_data_file
from pyiceberg.table import StaticTable
from pyiceberg.table.metadata import TableMetadataV2

from polyport.engine.duckdb import DuckDBEngine
from polyport.store import Table
from polyport.store.local import LocalStore
from polyport.testing.store import PRODUCT, publish, rows, table, with_field_ids

TEXTS = st.text(
    st.sampled_from("az\x00\x7f\ud7ff\ue000\uffff\U00010000\U0010ffff")
    | st.characters(exclude_categories=["Cs"]),
    max_size=30,
) | st.sampled_from(["", "x" * 300, "é" * 200, "\U0010ffff" * 20, "x" * 15 + "\ud7ff" * 9])
BYTES = st.binary(max_size=30) | st.sampled_from([b"", b"\xff" * 20, b"a" + b"\xff" * 20])
WHEN = st.datetimes(dt.datetime(1800, 1, 1), dt.datetime(2200, 1, 1))


def numbers(digits, scale):
    return st.integers(-(10**digits) + 1, 10**digits - 1).map(
        lambda n: decimal.Decimal((int(n < 0), tuple(map(int, str(abs(n)))), -scale))
    )


SIMPLE = {
    pa.bool_(): st.booleans(),
    pa.int8(): st.integers(-128, 127),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float32(): st.floats(width=32) | st.sampled_from([0.0, -0.0, math.nan]),
    pa.float64(): st.floats() | st.sampled_from([0.0, -0.0, math.nan]),
    pa.string(): TEXTS,
    pa.large_string(): TEXTS,
    pa.binary(): BYTES,
    pa.binary(3): st.binary(min_size=3, max_size=3),
    pa.date32(): st.dates(),
    pa.time64("us"): st.times(),
    pa.timestamp("us"): WHEN,
    pa.timestamp("ms"): WHEN.map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)),
    pa.timestamp("us", "UTC"): WHEN.map(lambda t: t.replace(tzinfo=dt.UTC)),
    pa.decimal128(4, 2): numbers(4, 2),
    pa.decimal128(12, 2): numbers(12, 2),
    pa.decimal128(38, 10): numbers(38, 10),
    pa.uuid(): st.uuids(),
}
NESTED = {
    pa.list_(pa.int64()): st.lists(st.none() | SIMPLE[pa.int64()], max_size=3),
    pa.list_(pa.list_(pa.string())): st.lists(st.none() | st.lists(TEXTS, max_size=2), max_size=3),
    pa.map_(pa.string(), pa.float64()): st.lists(
        st.tuples(TEXTS, st.none() | SIMPLE[pa.float64()]), max_size=2, unique_by=lambda p: p[0]
    ),
}
FILLED = {
    # never null themselves: see apache/iceberg-python#3833 in test_tables.py
    pa.struct([("a", pa.int32()), ("b", pa.struct([("c", pa.string())]))]): st.fixed_dictionaries(
        {
            "a": st.none() | SIMPLE[pa.int32()],
            "b": st.fixed_dictionaries({"c": st.none() | TEXTS}),
        }
    ),
    pa.list_(pa.struct([("d", pa.date32())])): st.lists(
        st.fixed_dictionaries({"d": st.dates()}), max_size=2
    ),
}
KINDS = [*SIMPLE, *NESTED, *FILLED]


@st.composite
def tables(draw):
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5))
    count = draw(st.integers(0, 8))
    columns = {}
    for number, kind in enumerate(kinds):
        known = FILLED.get(kind)
        values = known if known is not None else st.none() | {**SIMPLE, **NESTED}[kind]
        drawn = draw(st.lists(values, min_size=count, max_size=count))
        if kind == pa.uuid():
            drawn = [value and value.bytes for value in drawn]
        columns[f"c{number}"] = pa.array(drawn, kind)
    return pa.table(columns)


def stage(staging, data, *, by_engine, rows_a_group):
    """The table as a file, written by either of those that write in a build."""
    path = staging.folder / "d.parquet"
    if by_engine:
        given_, ids = staging.folder / "given.parquet", staging.field_ids("d", data.schema)
        pq.write_table(data, given_)
        with DuckDBEngine() as engine:
            sql = f"SELECT * FROM read_parquet('{given_}')"
            done = engine.write(sql, {}, path, field_ids=ids)
        return Table(done.files, done.schema, done.rows)
    schema = with_field_ids(data.schema, staging.field_ids("d", data.schema))
    pq.write_table(data.cast(schema), path, row_group_size=rows_a_group)
    return Table((path,), data.schema, data.num_rows)


def entries(found):
    return [
        entry.data_file
        for manifest in found.current_snapshot().manifests(found.io)
        for entry in manifest.fetch_manifest_entry(found.io)
    ]


def assert_round_trips(location):
    text = Path(location.removeprefix("file://")).read_text()
    ours = json.loads(text)
    theirs = json.loads(
        TableMetadataV2.model_validate_json(text).model_dump_json(exclude_none=True)
    )
    added = {key: value for key, value in theirs.items() if key not in ours}
    assert added == {"statistics": [], "partition-statistics": []}
    mapping = "schema.name-mapping.default"
    assert json.loads(ours["properties"].pop(mapping)) == json.loads(
        theirs["properties"].pop(mapping)
    )
    assert ours == {key: theirs[key] for key in ours}


def assert_told(ours, found, data):
    """As pyiceberg would say it, or else for a reason."""
    try:
        theirs = parquet_file_to_data_file(PyArrowFileIO(), found.metadata, ours.file_path)
    except UnicodeEncodeError:  # pyiceberg's upper bound has a surrogate in it
        counts = {"write.metadata.metrics.default": "counts"}
        metadata = found.metadata.model_copy(update={"properties": counts})
        theirs = parquet_file_to_data_file(PyArrowFileIO(), metadata, ours.file_path)
        bounded = False
    else:
        bounded = True
    for name in ("record_count", "file_size_in_bytes", "column_sizes", "value_counts", "null_value_counts", "split_offsets"):  # fmt: skip
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.nan_value_counts is None  # a footer does not tell
    if bounded:
        for number in ours.lower_bounds.keys() | theirs.lower_bounds.keys():
            column = found.schema().find_field(number)
            assert_bounds(number, column, ours, theirs, data[column.name])


def assert_bounds(number, column, ours, theirs, values):
    pairs = [
        (ours.lower_bounds.get(number), theirs.lower_bounds.get(number)),
        (ours.upper_bounds.get(number), theirs.upper_bounds.get(number)),
    ]
    kind = str(column.field_type)
    for own, other in pairs:
        if own == other:
            continue
        if kind in {"float", "double"} and own is not None:
            form = "<f" if kind == "float" else "<d"
            assert (
                struct.unpack(form, own)[0] == struct.unpack(form, other)[0] == 0.0
            )  # zeros' signs
        elif kind in {"float", "double"}:
            assert any(map(math.isnan, values.drop_null().to_pylist()))  # a chunk without bounds
        else:  # pyiceberg keeps what stands behind the place that it counts up, or counts into surrogates
            assert kind in {"string", "binary"}
            assert own < other
            assert max(map(encoded, values.drop_null().to_pylist())) <= own


def encoded(value):
    return value.encode() if isinstance(value, str) else value


def filters(column, value):
    yield from (ex.EqualTo(column, value), ex.NotEqualTo(column, value))
    if not isinstance(value, bool):
        yield from (
            ex.LessThan(column, value),
            ex.LessThanOrEqual(column, value),
            ex.GreaterThan(column, value),
            ex.GreaterThanOrEqual(column, value),
            ex.In(column, [value]),
            ex.NotIn(column, [value]),
        )
    yield from (ex.IsNull(column), ex.NotNull(column))
    if isinstance(value, str):
        for prefix in {value, value[:1], value[:16], value[:17]} - {""}:
            yield from (ex.StartsWith(column, prefix), ex.NotStartsWith(column, prefix))
    if isinstance(value, float):
        yield from (ex.IsNaN(column), ex.NotNaN(column))


def assert_no_row_is_lost(found, data):
    """A scan gives as many rows as the condition has in the file, bounds or no bounds."""
    whole = found.scan().to_arrow()
    for column in data.schema:
        if column.type not in SIMPLE or column.type in {pa.uuid(), pa.binary(3), pa.time64("us")}:
            continue
        for value in list(dict.fromkeys(data[column.name].drop_null().to_pylist()))[:2]:
            if isinstance(value, float) and math.isnan(value):
                continue
            for condition in filters(column.name, value):
                asked = expression_to_pyarrow(bind(found.schema(), condition, case_sensitive=True))
                scanned = found.scan(row_filter=condition).to_arrow()
                assert scanned.num_rows == whole.filter(asked).num_rows, condition


@pytest.mark.parametrize("by_engine", [False, True], ids=["arrow", "duckdb"])
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(data=tables(), rows_a_group=st.integers(1, 4))
def test_any_table(by_engine, data, rows_a_group):
    with TemporaryDirectory() as folder:
        store = LocalStore(Path(folder))
        with store.stage(PRODUCT, "r") as staging:
            ready = stage(staging, data, by_engine=by_engine, rows_a_group=rows_a_group)
            made = store.publish(PRODUCT, {"d": ready}, staging=staging, inputs={}, parent=None)
        location = store.iceberg(made, "d")
        found = StaticTable.from_metadata(location)
        assert repr(found.scan().to_arrow().to_pylist()) == repr(rows(store, made, "d"))
        assert_round_trips(location)
        told = entries(found)
        assert len(told) == (1 if data.num_rows else 0)
        for one in told:
            assert_told(one, found, pq.read_table(one.file_path.removeprefix("file://")))
        assert_no_row_is_lost(found, data)


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "store")


def publish_file(store, sql):
    """A table as DuckDB writes it, in groups of 2,048 rows."""
    with store.stage(PRODUCT, "r") as staging, duckdb.connect() as connection:
        path = staging.folder / "d.parquet"
        connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 2048)")
        read = pq.ParquetFile(path)
        ready = Table((path,), read.schema_arrow, read.metadata.num_rows)
        made = store.publish(PRODUCT, {"d": ready}, staging=staging, inputs={}, parent=None)
    found = StaticTable.from_metadata(store.iceberg(made, "d"))
    return found, entries(found)[0]


def test_bounds_over_all_groups_and_no_file_without_a_match(store):
    found, told = publish_file(store, "SELECT i AS n, 'v' || i AS t FROM range(5000) r(i)")
    assert (told.lower_bounds[1], told.upper_bounds[1]) == (
        struct.pack("<q", 0),
        struct.pack("<q", 4999),
    )
    assert (told.lower_bounds[2], told.upper_bounds[2]) == (b"v0", b"v999")
    assert len(told.split_offsets) == 3
    assert len(list(found.scan(row_filter="n = 4999").plan_files())) == 1
    assert not list(found.scan(row_filter="n > 4999").plan_files())
    assert not list(found.scan(row_filter="t < 'v'").plan_files())


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("CASE WHEN i = 5 THEN 'nan'::DOUBLE ELSE i END", "a NaN"),
        ("CASE WHEN i < 2048 THEN repeat('é', 200) || i ELSE 'a' END", "a long text"),
    ],
)
def test_a_group_without_bounds_hides_no_row(store, sql, kind):
    """DuckDB writes no bounds where one value is a NaN, or a text is cut within a character."""
    found, told = publish_file(store, f"SELECT {sql} AS v FROM range(5000) r(i) ORDER BY i")
    groups = pq.read_metadata(told.file_path.removeprefix("file://"))
    said = [
        groups.row_group(n).column(0).statistics.has_min_max for n in range(groups.num_row_groups)
    ]
    assert said == [False, True, True], kind
    assert not told.lower_bounds
    assert not told.upper_bounds
    assert told.null_value_counts == {1: 0}
    wanted = 3.0 if kind == "a NaN" else "é" * 200 + "3"
    assert found.scan(row_filter=ex.EqualTo("v", wanted)).to_arrow().num_rows == 1


def test_groups_of_nulls_do_not_matter(store):
    sql = "SELECT CASE WHEN i >= 2048 THEN i - 3000 END::DECIMAL(38, 2) AS v FROM range(5000) r(i) ORDER BY i"
    _, told = publish_file(store, sql)
    assert int.from_bytes(told.lower_bounds[1], "big", signed=True) == -95200
    assert int.from_bytes(told.upper_bounds[1], "big", signed=True) == 199900
    assert told.null_value_counts == {1: 2048}


@pytest.mark.parametrize(
    "sql",
    [
        "'infinity'::DATE",
        "'20000-01-01'::DATE",
        "'infinity'::TIMESTAMP",
        "'-infinity'::TIMESTAMP_MS",
    ],
)
def test_times_that_python_does_not_know(store, sql):
    _, told = publish_file(store, f"SELECT {sql} AS v")
    assert told.record_count == 1


def test_texts_of_json_have_no_bounds_at_any_depth(store):
    _, told = publish_file(
        store, """SELECT '{"b": 1}'::JSON AS j, {'k': '[]'::JSON} AS s, 1 AS n"""
    )
    assert list(told.lower_bounds) == list(told.upper_bounds) == [4]
    assert told.value_counts == {1: 1, 3: 1, 4: 1}


def test_a_column_with_a_dot_in_its_name_is_not_nested(store):
    _, told = publish_file(store, "SELECT 7 AS \"a.b\", {'a': 1} AS s")
    assert told.lower_bounds == {1: struct.pack("<i", 7)}


def test_metadata_that_pyiceberg_wrote_is_gone_on_with(store):
    """Stores of earlier versions hold such."""
    first = publish(store, "r1", {"d": table("1"), "e": pa.table({"m": [[{"a": 1}]], "x": [1.5]})})
    for name in ("d", "e"):
        path = Path(store.iceberg(first, name).removeprefix("file://"))
        read = TableMetadataV2.model_validate_json(path.read_text())
        path.write_text(read.model_dump_json(exclude_none=True))
    again = {"d": table("2"), "e": pa.table({"m": [[{"a": 2}]], "x": [2.5]})}
    second = publish(store, "r2", again, parent=first)
    for name in ("d", "e"):
        found = StaticTable.from_metadata(store.iceberg(second, name)).metadata
        assert [s.sequence_number for s in found.snapshots] == [1, 2]
        assert [s.schema_id for s in found.snapshots] == [0, 0]
        before = StaticTable.from_metadata(store.iceberg(first, name)).metadata
        assert found.table_uuid == before.table_uuid


def test_duckdb_reads_it_too(store):
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        try:
            connection.execute("LOAD iceberg")
        except duckdb.Error:
            pytest.skip("DuckDB's iceberg extension is not installed on this machine")
        made = publish(store, "r1", {"d": table("a", "b")})
        path = store.iceberg(made, "d").removeprefix("file://")
        found = connection.execute(f"SELECT * FROM iceberg_scan('{path}')").fetchall()
        assert found == [(0, "a"), (1, "b")]
