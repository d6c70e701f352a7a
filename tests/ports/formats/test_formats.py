from __future__ import annotations

import csv as stdlib_csv
import datetime as dt
import io
import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from polyport.ports.formats import FORMATS, arrow, csv, parquet
from polyport.ports.formats.batches import even
from polyport.ports.formats.nested import plain
from polyport.ports.formats.text import text

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
HOSTILE = st.sampled_from(
    [
        "",
        " ",
        ",",
        '"',
        '""',
        "\r\n",
        "\n",
        "\r",
        "NULL",
        "nan",
        "=1+1",
        "a,b",
        ' " ',
        "\t",
        "é",
        "🎬",
    ]
)
MOMENTS = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999))
KINDS = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.int8(): st.integers(-128, 127),
    pa.float64(): st.floats(allow_nan=False, allow_infinity=False),
    pa.bool_(): st.booleans(),
    pa.string(): TEXTS | HOSTILE,
    pa.large_string(): TEXTS | HOSTILE,
    pa.date32(): st.dates(),
    pa.timestamp("us"): MOMENTS,
    pa.timestamp("s"): MOMENTS.map(lambda v: v.replace(microsecond=0)),
    pa.timestamp("us", "UTC"): MOMENTS.map(lambda v: v.replace(tzinfo=dt.UTC)),
    pa.time64("us"): st.times(),
    pa.decimal128(12, 3): st.decimals(-(10**9) + 1, 10**9 - 1, places=3),
    pa.decimal128(38, 12): st.decimals(-(10**24), 10**24, places=12),
}


@st.composite
def tables(draw, kinds=tuple(KINDS)):
    rows = draw(st.integers(0, 6))
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=5))
    columns = [
        pa.array(draw(st.lists(st.none() | KINDS[k], min_size=rows, max_size=rows)), k)
        for k in chosen
    ]
    return pa.table(columns, names=[f"c{at}" for at in range(len(chosen))])


def reader_of(table, cut=4):
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=cut))


def written(table, write):
    sink = io.BytesIO()
    assert write(reader_of(table), sink) == table.num_rows
    assert not sink.closed
    return sink.getvalue()


def test_the_registry_is_whole_and_says_what_each_file_is():
    assert list(FORMATS) == ["csv", "parquet", "xlsx", "json", "ndjson", "arrow", "arrows"]
    for name, form in FORMATS.items():
        assert form.name == form.suffix == name
        assert form.label
        assert "/" in form.media_type
    assert len({form.media_type for form in FORMATS.values()}) == len(FORMATS)


@settings(max_examples=60, deadline=None)
@given(tables())
def test_parquet_and_arrow_give_back_what_went_in(table):
    found = pq.read_table(io.BytesIO(written(table, parquet.write)))
    assert found.cast(table.schema).equals(table)  # Parquet has no seconds, only milliseconds
    assert pa.ipc.open_file(written(table, arrow.write)).read_all().equals(table)
    streamed = written(table, arrow.write_stream)
    assert pa.ipc.open_stream(streamed).read_all().equals(table)
    pieces = b"".join(arrow.stream(reader_of(table)))
    assert pa.ipc.open_stream(pieces).read_all().equals(table)


@settings(max_examples=150, deadline=None)
@given(tables())
@example(pa.table({"c0": pa.array(["", None, " x", '"', "a\r\nb"]), "c1": [1, None, 3, 4, 5]}))
def test_csv_gives_back_what_went_in(table):
    data = written(table, csv.write)
    assert data == b"".join(csv.stream(reader_of(table, cut=1)))
    found = pacsv.read_csv(
        io.BytesIO(data),
        parse_options=pacsv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pacsv.ConvertOptions(
            column_types=table.schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["true"],
            false_values=["false"],
        ),
    )
    assert found.equals(table)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(TEXTS | HOSTILE, min_size=2, max_size=2), max_size=5))
def test_csv_is_rfc_4180_for_another_reader(rows):
    table = pa.table(
        {"a,b": [r[0] for r in rows], 'c"': [r[1] for r in rows]},
        pa.schema([("a,b", pa.string()), ('c"', pa.string())]),
    )
    data = written(table, csv.write).decode()
    assert data.endswith("\r\n")
    found = list(stdlib_csv.reader(io.StringIO(data, newline=""), strict=True))
    assert found == [["a,b", 'c"'], *rows]


def test_csv_tells_null_from_empty_and_writes_values_plainly():
    table = pa.table(
        {
            "text": ["", None, "plain", 'say "hi"', "=1+1"],
            "number": pa.array([Decimal("0.0000000001"), None, Decimal("-12.5"), Decimal(7), Decimal("1E+5")], pa.decimal128(20, 10)),
            "real": [1.0, float("nan"), float("inf"), float("-inf"), 1e-7],
            "at": pa.array([dt.datetime(2026, 1, 2, 3, 4, 5), None, dt.datetime(2026, 1, 2, 3, 4, 5, 120000), dt.datetime(1, 1, 1), dt.datetime(2026, 1, 2, 10)], pa.timestamp("us", "Europe/Paris")),
            "clock": pa.array([dt.time(1), None, dt.time(1, 2, 3, 400000), dt.time(0), dt.time(10, 20, 30)], pa.time64("us")),
            "raw": pa.array([b"\x00\xff", None, b"", b"abc", b"x"], pa.binary()),
            "took": pa.array([dt.timedelta(seconds=90), None, dt.timedelta(milliseconds=-1500), dt.timedelta(0), dt.timedelta(days=1)], pa.duration("us")),
        }
    )  # fmt: skip
    assert written(table, csv.write).decode().splitlines() == [
        "text,number,real,at,clock,raw,took",
        '"",0.0000000001,1,2026-01-02T03:04:05Z,01:00:00,AP8=,PT90S',
        ",,NaN,,,,",
        'plain,-12.5000000000,Infinity,2026-01-02T03:04:05.12Z,01:02:03.4,"",-PT1.5S',
        '"say ""hi""",7.0000000000,-Infinity,0001-01-01T00:00:00Z,00:00:00,YWJj,PT0S',
        "=1+1,100000.0000000000,1e-7,2026-01-02T10:00:00Z,10:20:30,eA==,PT86400S",
    ]


def test_nested_values_are_json_text():
    kind = pa.struct([("n", pa.decimal128(20, 2)), ("l", pa.list_(pa.date32()))])
    table = pa.table(
        {
            "s": pa.array([{"n": Decimal("123456789012345678.90"), "l": [dt.date(2026, 1, 2), None]}, None], kind),
            "m": pa.array([[("a", 1), ('q"', None)], None], pa.map_(pa.string(), pa.int64())),
        }
    )  # fmt: skip
    rows = list(stdlib_csv.reader(io.StringIO(written(table, csv.write).decode(), newline="")))
    found = [json.loads(cell, parse_float=Decimal) for cell in rows[1]]
    assert found[0] == {"n": Decimal("123456789012345678.90"), "l": ["2026-01-02", None]}
    assert found[1] == {"a": 1, 'q"': None}
    assert rows[2] == ["", ""]


def test_dictionary_and_view_columns_are_written_as_their_values():
    table = pa.table(
        {
            "d": pa.array(["x", None, "x"]).dictionary_encode(),
            "v": pa.array(["a", "b", None], pa.string_view()),
        }
    )
    assert written(table, csv.write) == b"d,v\r\nx,a\r\n,b\r\nx,\r\n"


def test_a_table_without_rows_has_its_header_and_schema():
    table = pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.string())})
    assert written(table, csv.write) == b"a,b\r\n"
    assert pq.read_table(io.BytesIO(written(table, parquet.write))).schema == table.schema
    assert pa.ipc.open_stream(written(table, arrow.write_stream)).schema == table.schema
    assert written(table, FORMATS["ndjson"].write) == b""
    assert json.loads(written(table, FORMATS["json"].write)) == []


@settings(max_examples=40, deadline=None)
@given(tables((pa.int64(), pa.string())))
def test_json_and_ndjson_hold_the_rows(table):
    rows = table.to_pylist()
    assert json.loads(written(table, FORMATS["json"].write)) == rows
    lines = written(table, FORMATS["ndjson"].write).decode().split("\n")
    assert [json.loads(line) for line in lines if line] == rows


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 7))
def test_even_batches_keep_every_row_in_order_whatever_the_cut(sizes, rows):
    schema = pa.schema([("n", pa.int64())])
    numbers = iter(range(1000))
    batches = [
        pa.record_batch([pa.array([next(numbers) for _ in range(s)], pa.int64())], schema=schema)
        for s in sizes
    ]
    found = list(even(pa.RecordBatchReader.from_batches(schema, batches), rows))
    assert [b.num_rows for b in found[:-1]] == [rows] * len(found[:-1])
    assert all(0 < b.num_rows <= rows for b in found)
    assert [n for b in found for n in b.column(0).to_pylist()] == list(range(sum(sizes)))


def test_memory_is_bounded_also_where_rows_are_long():
    text_of_a_mib = "x" * 2**20
    batch = pa.record_batch({"t": [text_of_a_mib] * 64})
    reader = pa.RecordBatchReader.from_batches(batch.schema, iter([batch] * 6))
    assert [b.num_rows for b in even(reader, 10**6)] == [256, 128]


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "xlsx"])
def test_the_bytes_do_not_depend_on_how_the_rows_come(name):
    table = pa.table({"n": list(range(1000)), "t": [f"row {n}" for n in range(1000)]})
    found = set()
    for cut in (1, 7, 1000):
        sink = io.BytesIO()
        FORMATS[name].write(reader_of(table, cut), sink)
        found.add(sink.getvalue())
    assert len(found) == 1


def test_parquet_has_row_groups_of_a_known_size_and_zstd():
    table = pa.table({"n": pa.array(range(200_000), pa.int64())})
    meta = pq.read_metadata(io.BytesIO(written_in(table, parquet.write, 50_000)))
    assert [meta.row_group(at).num_rows for at in range(meta.num_row_groups)] == [122_880, 77_120]
    assert meta.row_group(0).column(0).compression == "ZSTD"


def written_in(table, write, cut):
    sink = io.BytesIO()
    write(reader_of(table, cut), sink)
    return sink.getvalue()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.none()
        | st.decimals(
            allow_nan=False, allow_infinity=False, places=18, min_value=-(10**18), max_value=10**18
        ),
        max_size=5,
    )
)
def test_decimals_as_text_have_no_exponent_and_lose_nothing(values):
    found = text(pa.array(values, pa.decimal128(38, 18))).to_pylist()
    assert [None if t is None else Decimal(t) for t in found] == values
    assert not any("E" in t for t in found if t)


def test_null_columns_are_empty_text():
    assert plain(pa.nulls(2)).to_pylist() == [None, None]
