from __future__ import annotations

import io

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.pipeline.erasure import avro as blocks
from polyport.store.iceberg import avro
from polyport.store.iceberg.avro import (
    BOOLEAN,
    BYTES,
    INT,
    LONG,
    TEXT,
    array,
    numbered,
    optional,
    record,
    required,
)

LONGS = st.integers(-(2**63), 2**63 - 1)
INTS = st.integers(-(2**31), 2**31 - 1)
ALL = record(
    "all",
    required(1, "truth", BOOLEAN),
    required(2, "small", INT),
    required(3, "number", LONG),
    required(4, "bytes", BYTES),
    required(5, "text", TEXT),
    required(6, "inner", record("inner", optional(7, "maybe", TEXT))),
    optional(8, "list", array(LONG, **{"element-id": 9})),
    optional(10, "map", numbered(11, 12, BYTES)),
    required(13, "nothing", record("nothing")),
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "truth": st.booleans(),
            "small": INTS,
            "number": LONGS,
            "bytes": st.binary(max_size=200),
            "text": st.text(),
            "inner": st.fixed_dictionaries({"maybe": st.none() | st.text()}),
            "list": st.none() | st.lists(LONGS),
            "map": st.none() | st.dictionaries(INTS, st.binary()),
            "nothing": st.just({}),
        }
    ),
    max_size=5,
)


def plain(row):
    """As a reader that knows no maps of Iceberg's gives it."""
    pairs = row["map"]
    told = pairs if pairs is None else [{"key": k, "value": v} for k, v in pairs.items()]
    return {**row, "map": told}


@given(
    ROWS,
    st.dictionaries(st.text(min_size=1).filter(lambda k: not k.startswith("avro.")), st.text()),
)
def test_another_reader_reads_the_same(rows, metadata):
    data = avro.container(ALL, rows, metadata)
    reader = fastavro.reader(io.BytesIO(data))
    assert list(reader) == [plain(row) for row in rows]
    assert {k: v for k, v in reader.metadata.items() if not k.startswith("avro.")} == metadata
    assert reader.codec == "deflate"


@given(ROWS)
def test_an_erasure_looks_into_it(rows):
    found = b"".join(blocks.blocks(io.BytesIO(avro.container(ALL, rows, {"told": "é"}))))
    assert "é".encode() in found
    assert all(row["text"].encode() in found for row in rows)


def test_the_schema_carries_field_ids_and_maps():
    reader = fastavro.reader(io.BytesIO(avro.container(ALL, [], {})))
    fields = {field["name"]: field for field in reader.writer_schema["fields"]}
    assert {name: field["field-id"] for name, field in fields.items()} == {
        "truth": 1, "small": 2, "number": 3, "bytes": 4, "text": 5, "inner": 6, "list": 8, "map": 10, "nothing": 13,
    }  # fmt: skip
    assert "default" not in fields["number"]
    assert fields["list"]["default"] is None
    assert fields["list"]["type"][1]["element-id"] == 9
    entry = fields["map"]["type"][1]
    assert entry["logicalType"] == "map"
    assert [f["field-id"] for f in entry["items"]["fields"]] == [11, 12]


def test_what_a_field_cannot_hold_is_refused():
    with pytest.raises(TypeError):
        avro.container(record("r", required(1, "number", LONG)), [{}], {})
