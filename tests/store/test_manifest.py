from __future__ import annotations

import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.errors import StoreError
from polyport.model import Dataset, Snapshot
from polyport.store.columns import Columns, assign
from polyport.store.local import LocalStore
from polyport.store.manifest import DataFile, Entry, IcebergTable, Manifest, encode, read
from polyport.testing.store import PRODUCT, publish_many

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
kinds = st.sampled_from(
    [pa.int64(), pa.list_(pa.string()), pa.struct([("x", pa.date32())]), pa.timestamp("us", "UTC")]
)
schemas = st.dictionaries(text.filter(bool), kinds, max_size=3).map(
    lambda d: pa.schema(list(d.items()), {"k": "v"})
)
tables = st.none() | st.builds(
    IcebergTable, text, st.integers(0, 2**63), text, st.lists(text).map(tuple)
)
files = st.lists(
    st.builds(DataFile, text, st.integers(0, 2**50), st.integers(0, 2**40)), max_size=3
).map(tuple)


@st.composite
def entries(draw, name):
    schema = draw(schemas)
    dataset = Dataset(name, schema, tuple(schema.names[:1]), draw(st.integers(0, 2**50)))
    return Entry(
        dataset, assign(schema, Columns()), draw(files), draw(st.integers(1, 9)), draw(tables)
    )


@st.composite
def manifests(draw):
    names = draw(st.lists(text, unique=True, max_size=3))
    found = {name: draw(entries(name)) for name in names}
    snapshot = Snapshot(
        product=draw(text),
        id=draw(text),
        sequence=draw(st.integers(1, 10**9)),
        parent=draw(st.none() | text),
        committed_at=draw(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))),
        datasets={name: entry.dataset for name, entry in found.items()},
        inputs=draw(st.dictionaries(text, text, max_size=2)),
        run=draw(text),
        version=draw(text),
    )
    return Manifest(snapshot, found)


@given(manifests())
def test_a_manifest_comes_back_exactly(tmp_path_factory, made):
    path = tmp_path_factory.mktemp("m") / "m.json"
    path.write_bytes(encode(made))
    found = read(path, product=made.snapshot.product, sequence=made.snapshot.sequence)
    assert found == made
    for name, dataset in made.snapshot.datasets.items():
        assert found.snapshot.datasets[name].schema.equals(dataset.schema, check_metadata=True)


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path, iceberg=False)


@pytest.fixture
def path(store):
    publish_many(store, 3)
    return store.root / PRODUCT / "snapshots" / "00000002.json"


def change(path, **parts):
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "binary": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "a list": lambda path: path.write_text("[]"),
    "null": lambda path: path.write_text("null"),
    "no id": lambda path: path.write_text(
        path.read_text().replace('"id": "00000002', '"was": "00000002')
    ),
    "datasets": lambda path: change(path, datasets=[1]),
    "dataset": lambda path: change(path, datasets={"movies": {}}),
    "schema": lambda path: path.write_text(
        path.read_text().replace('"arrow_schema": "', '"arrow_schema": "AAAA')
    ),
    "time": lambda path: change(path, committed_at="yesterday"),
    "sequence": lambda path: change(path, sequence=3),
    "product": lambda path: change(path, product="another"),
    "newer format": lambda path: change(path, format=2),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_manifest_is_named_and_nothing_is_skipped(store, path, damage):
    kept = {file: file.read_bytes() for file in store.root.rglob("*.parquet")}
    DAMAGES[damage](path)
    for use in (
        lambda: store.snapshot(PRODUCT, "2"),
        lambda: store.history(PRODUCT),
        lambda: store.expire(PRODUCT, keep=1),
    ):
        with pytest.raises(StoreError) as caught:
            use()
        assert caught.value.where == str(path)
        assert caught.value.fix
    assert store.snapshot(PRODUCT, "latest").sequence == 3
    assert {file: file.read_bytes() for file in store.root.rglob("*.parquet")} == kept


def test_a_damaged_tag_is_named(store):
    publish_many(store, 1)
    store.tag(PRODUCT, "audit", "1")
    path = store.root / PRODUCT / "tags" / "audit"
    path.write_text("{")
    with pytest.raises(StoreError, match="audit") as caught:
        store.tags(PRODUCT)
    assert caught.value.where == str(path)
    store.tag(PRODUCT, "audit", "1")
    assert store.tags(PRODUCT) == {"audit": 1}
