"""Iceberg v2 table metadata over the Parquet files of a snapshot. The only module that knows pyiceberg.

Each publish that changes a dataset writes one table metadata file, whose current Iceberg snapshot holds exactly
the dataset's files: a full replacement, which carries no manifest over from the snapshot before. Earlier files
are never changed, so every kept snapshot keeps a table of its own, and tells its history as far as it is kept.
"""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    PyArrowFileIO,
    parquet_file_to_data_file,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import (
    ManifestEntry,
    ManifestEntryStatus,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadataV2
from pyiceberg.table.name_mapping import create_mapping_from_schema

from polyport.errors import StoreError
from polyport.store import disk
from polyport.store.columns import iceberg_schema, iceberg_type, own_id
from polyport.store.layout import safe
from polyport.store.manifest import IcebergTable

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile, ManifestFile

    from polyport.model import Snapshot
    from polyport.store.layout import Home
    from polyport.store.manifest import Entry

_KEPT = 20
"""The most Iceberg snapshots that a metadata file tells of: keeps a publish as cheap after 1,000 as after 10."""
_FORMAT: Literal[2] = 2
_CODEC: Literal["deflate"] = "deflate"
_IO = PyArrowFileIO()
_REMOVED = {
    "data-files": "deleted-data-files",
    "records": "deleted-records",
    "files-size": "removed-files-size",
}
_NO_TEXT = {"JSON", "BSON"}
_NEVER = ("total-delete-files", "total-position-deletes", "total-equality-deletes")

# Bounds are left out where a file has none; that is nothing to tell the people at a terminal.
logging.getLogger("pyiceberg.io.pyarrow").addFilter(
    lambda record: not record.getMessage().startswith("PyArrow statistics missing")
)


def location(home: Home, dataset: str) -> str:
    """The address of a dataset's Iceberg table."""
    return f"file://{home.iceberg / safe(dataset)}"


@dataclass(frozen=True, slots=True)
class _Commit:
    """What the steps of one commit share."""

    home: Home
    folder: Path
    entry: Entry
    snapshot: Snapshot
    """Of the product."""
    base: dict[str, Any]
    """The table metadata of the parent, as its JSON; empty where there is none."""
    stem: str
    """How the names of the commit's files begin; no other commit's do."""

    @property
    def snapshot_id(self) -> int:
        return int(self.stem[:15], 16)

    @property
    def parent_id(self) -> int | None:
        return self.base.get("current-snapshot-id")

    @property
    def sequence(self) -> int:
        return int(self.base.get("last-sequence-number", 0)) + 1

    @property
    def milliseconds(self) -> int:
        return int(self.snapshot.committed_at.timestamp() * 1000)

    def path(self, suffix: str) -> Path:
        return self.folder / f"{self.sequence:05d}-{self.stem}{suffix}"


def commit(
    home: Home, entry: Entry, *, snapshot: Snapshot, before: Entry | None, run: str = ""
) -> IcebergTable:
    """The table metadata of one dataset of `snapshot`, written and durable; `before` is what its parent had.

    `run`: whose files these are; default: the run that published the snapshot.

    Raises:
        StoreError: A file does not hold what the schema says.
        OSError: It could not be written.
    """
    name = entry.dataset.name
    folder = home.iceberg / safe(name) / safe(run or snapshot.run)
    folder.mkdir(parents=True, exist_ok=True)
    work = _Commit(home, folder, entry, snapshot, _base(home, name, before), uuid.uuid4().hex)
    files = [_data_file(work, home.root / file.path) for file in entry.files if file.rows]
    schema = _schema(work, _identifiers(entry, files))
    manifests = [_manifest(work, schema, files)] if files else []
    listed = _manifest_list(work, manifests)
    metadata = TableMetadataV2.model_validate(_metadata(work, schema, listed))
    path = work.path(".metadata.json")
    disk.write(path, metadata.model_dump_json(exclude_none=True).encode())
    made = [*(Path(m.manifest_path.removeprefix("file://")) for m in manifests), listed, path]
    disk.sync_all(made, home.folder)
    needed = tuple(home.relative(file) for file in made)
    return IcebergTable(home.relative(path), work.snapshot_id, location(home, name), needed)


def _base(home: Home, name: str, before: Entry | None) -> dict[str, Any]:
    """What the parent had, unless the store was moved since: then its addresses lead nowhere."""
    if before is None or before.iceberg is None or before.iceberg.location != location(home, name):
        return {}
    path = home.root / before.iceberg.metadata
    base: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return base


def _table(work: _Commit, schema: Schema) -> dict[str, Any]:
    """Table metadata with the dataset's columns and no rows."""
    return {
        "format-version": _FORMAT,
        "table-uuid": work.base.get("table-uuid") or str(uuid.uuid4()),
        "location": location(work.home, work.entry.dataset.name),
        "last-updated-ms": work.milliseconds,
        "last-column-id": work.entry.columns.last_id,
        "schemas": [schema.model_dump(mode="json")],
        "current-schema-id": schema.schema_id,
        "partition-specs": [{"spec-id": 0, "fields": []}],
        "default-spec-id": 0,
        "last-partition-id": 999,
        "sort-orders": [{"order-id": 0, "fields": []}],
        "default-sort-order-id": 0,
        "last-sequence-number": 0,
    }


def _data_file(work: _Commit, path: Path) -> DataFile:
    optional = Schema.model_validate(iceberg_schema(work.entry.columns, frozenset(), 0))
    table = {**_table(work, optional), "properties": _without_bounds(path, optional)}
    try:
        return parquet_file_to_data_file(
            _IO, TableMetadataV2.model_validate(table), f"file://{path}"
        )
    except (ValueError, TypeError) as error:
        name = work.entry.dataset.name
        raise StoreError(
            f"file {str(path)!r} of dataset {name!r} does not hold what its schema says: {error}",
            where=name,
            fix="publish the schema that the engine says that it wrote",
        ) from error


def _without_bounds(path: Path, schema: Schema) -> dict[str, str]:
    """Settings that keep pyiceberg from bounds on JSON columns: it takes them for text, and fails on their bytes."""
    file = pq.read_metadata(path).schema
    leaves = [file.column(number) for number in range(len(file))]
    odd = [leaf.path for leaf in leaves if leaf.logical_type.type in _NO_TEXT]
    ids = parquet_path_to_id_mapping(schema) if odd else {}
    names = [schema.find_column_name(ids[path]) for path in odd if path in ids]
    return {f"write.metadata.metrics.column.{name}": "counts" for name in names}


def _identifiers(entry: Entry, files: list[DataFile]) -> frozenset[str]:
    """The key, if Iceberg can have it as identifier fields: no floats, nothing nested, and no null in any file."""
    ids, schema = entry.columns.field_ids, entry.dataset.schema
    types = {name: iceberg_type(schema.field(name).type) for name in entry.dataset.key}
    simple = not {"float", "double", "struct", "map", "list"} & set(types.values())
    nulls = [
        (file.null_value_counts or {}).get(own_id(ids[name])) for file in files for name in types
    ]
    return frozenset(types) if simple and not any(count != 0 for count in nulls) else frozenset()


def _schema(work: _Commit, required: frozenset[str]) -> Schema:
    """The base's schema with the same columns, or a new one."""
    known = [Schema.model_validate(schema) for schema in work.base.get("schemas", ())]
    fresh = max((schema.schema_id for schema in known), default=-1) + 1
    schema = Schema.model_validate(iceberg_schema(work.entry.columns, required, fresh))
    return next((old for old in known if old == schema), schema)


def _manifest(work: _Commit, schema: Schema, files: list[DataFile]) -> ManifestFile:
    output = _IO.new_output(f"file://{work.path('-m0.avro')}")
    spec = UNPARTITIONED_PARTITION_SPEC
    with write_manifest(_FORMAT, spec, schema, output, work.snapshot_id, _CODEC) as writer:
        for file in files:
            added = ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED,
                snapshot_id=work.snapshot_id,
                sequence_number=None,
                file_sequence_number=None,
                data_file=file,
            )
            writer.add(added)
    return writer.to_manifest_file()


def _manifest_list(work: _Commit, manifests: list[ManifestFile]) -> Path:
    path = work.path("-snap.avro")
    output = _IO.new_output(f"file://{path}")
    parent, sequence = work.parent_id, work.sequence
    with write_manifest_list(_FORMAT, output, work.snapshot_id, parent, sequence, _CODEC) as writer:
        writer.add_manifests(manifests)
    return path


def _metadata(work: _Commit, schema: Schema, listed: Path) -> dict[str, Any]:
    snapshots = [*_earlier(work), _snapshot(work, schema, listed)]
    used = {snapshot["schema-id"] for snapshot in snapshots}
    table = _table(work, schema)
    known = {s["schema-id"]: s for s in (*work.base.get("schemas", ()), *table["schemas"])}
    mapping = create_mapping_from_schema(schema).model_dump_json()
    times = [
        {"snapshot-id": s["snapshot-id"], "timestamp-ms": s["timestamp-ms"]} for s in snapshots
    ]
    return {
        **table,
        "last-sequence-number": work.sequence,
        "schemas": [known[number] for number in sorted(used)],
        "properties": {"schema.name-mapping.default": mapping},
        "snapshots": snapshots,
        "current-snapshot-id": work.snapshot_id,
        "snapshot-log": times,
        "refs": {"main": {"snapshot-id": work.snapshot_id, "type": "branch"}},
    }


def _earlier(work: _Commit) -> list[dict[str, Any]]:
    """The base's Iceberg snapshots that are still on disk: what has expired is history no more."""
    known = work.base.get("snapshots", [])
    kept = [s for s in known if Path(s["manifest-list"].removeprefix("file://")).exists()]
    return kept[-(_KEPT - 1) :]


def _snapshot(work: _Commit, schema: Schema, listed: Path) -> dict[str, Any]:
    parent = {"parent-snapshot-id": work.parent_id} if work.parent_id is not None else {}
    return {
        "snapshot-id": work.snapshot_id,
        **parent,
        "sequence-number": work.sequence,
        "timestamp-ms": work.milliseconds,
        "manifest-list": f"file://{listed}",
        "summary": _summary(work),
        "schema-id": schema.schema_id,
    }


def _summary(work: _Commit) -> dict[str, str]:
    files = work.entry.files
    sizes = {
        "data-files": len(files),
        "records": work.entry.dataset.rows,
        "files-size": sum(file.bytes for file in files),
    }
    parents = [s for s in work.base.get("snapshots", ()) if s["snapshot-id"] == work.parent_id]
    gone = {_REMOVED[n]: s["summary"][f"total-{n}"] for s in parents for n in sizes}
    return {
        "operation": "overwrite" if parents else "append",
        **{f"added-{name}": str(size) for name, size in sizes.items()},
        **gone,
        **{f"total-{name}": str(size) for name, size in sizes.items()},
        **dict.fromkeys(_NEVER, "0"),
        "polyport.snapshot": work.snapshot.id,
        "polyport.run": work.snapshot.run,
    }
