"""Iceberg v2 table metadata over the Parquet files of a snapshot, by its specification ("Table Metadata").

Each publish that changes a dataset writes one table metadata file, whose current Iceberg snapshot holds exactly
the dataset's files: a full replacement, which carries no manifest over from the snapshot before. Earlier files
are never changed, so every kept snapshot keeps a table of its own, and tells its history as far as it is kept.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyport.errors import StoreError
from polyport.store import disk
from polyport.store.columns import iceberg_schema, iceberg_type, name_mapping, own_id
from polyport.store.iceberg import footers, manifests
from polyport.store.layout import safe
from polyport.store.manifest import IcebergTable

if TYPE_CHECKING:
    from polyport.model import Snapshot
    from polyport.store.iceberg.footers import Footer
    from polyport.store.layout import Home
    from polyport.store.manifest import Entry

_KEPT = 20
"""The most Iceberg snapshots that a metadata file tells of: keeps a publish as cheap after 1,000 as after 10."""
_SCHEME = "file://"
_NO_PARTITION = 999
"""The last partition field id of a table that has none."""
_REMOVED = {
    "data-files": "deleted-data-files",
    "records": "deleted-records",
    "files-size": "removed-files-size",
}
_NEVER = ("total-delete-files", "total-position-deletes", "total-equality-deletes")


def location(home: Home, dataset: str) -> str:
    """The address of a dataset's Iceberg table."""
    return _address(home.iceberg / safe(dataset))


def _address(path: Path) -> str:
    return f"{_SCHEME}{path}"


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

    @property
    def listed(self) -> Path:
        """The manifest list."""
        return self.path("-snap.avro")

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
    files = [_footer(work, home.root / file.path) for file in entry.files if file.rows]
    schema = _schema(work, _identifiers(entry, files))
    made = [*_manifest(work, schema, files), _table(work, schema)]
    disk.sync_all(made, home.folder)
    needed = tuple(home.relative(file) for file in made)
    return IcebergTable(home.relative(made[-1]), work.snapshot_id, location(home, name), needed)


def _base(home: Home, name: str, before: Entry | None) -> dict[str, Any]:
    """What the parent had, unless the store was moved since: then its addresses lead nowhere."""
    if before is None or before.iceberg is None or before.iceberg.location != location(home, name):
        return {}
    path = home.root / before.iceberg.metadata
    base: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return base


def _footer(work: _Commit, path: Path) -> Footer:
    try:
        return footers.read(path, work.entry.columns)
    except ValueError as error:
        name = work.entry.dataset.name
        raise StoreError(
            f"file {str(path)!r} of dataset {name!r} does not hold what its schema says: {error}",
            where=name,
            fix="publish the schema that the engine says that it wrote",
        ) from error


def _identifiers(entry: Entry, files: list[Footer]) -> frozenset[str]:
    """The key, if Iceberg can have it as identifier fields: no floats, nothing nested, and no null in any file."""
    ids, schema = entry.columns.field_ids, entry.dataset.schema
    types = {name: iceberg_type(schema.field(name).type) for name in entry.dataset.key}
    simple = not {"float", "double", "struct", "map", "list"} & set(types.values())
    nulls = [file.nulls.get(own_id(ids[name])) for file in files for name in types]
    return frozenset(types) if simple and not any(count != 0 for count in nulls) else frozenset()


def _schema(work: _Commit, required: frozenset[str]) -> dict[str, Any]:
    """The base's schema with the same columns, or a new one."""
    known: list[dict[str, Any]] = work.base.get("schemas", [])
    fresh = max((schema["schema-id"] for schema in known), default=-1) + 1
    schema = iceberg_schema(work.entry.columns, required, fresh)
    same = (old for old in known if {**old, "schema-id": fresh} == schema)
    return next(same, schema)


def _manifest(work: _Commit, schema: dict[str, Any], files: list[Footer]) -> list[Path]:
    """The manifest list, and the manifest before it if there are any rows."""
    path, snapshot_id = work.path("-m0.avro"), work.snapshot_id
    listed: list[dict[str, Any]] = []
    if files:
        data = manifests.manifest(schema, files, snapshot_id)
        path.write_bytes(data)
        told = manifests.listed(
            _address(path), len(data), files, snapshot_id=snapshot_id, sequence=work.sequence
        )
        listed.append(told)
    data = manifests.manifest_list(
        listed, snapshot_id=snapshot_id, parent_id=work.parent_id, sequence=work.sequence
    )
    work.listed.write_bytes(data)
    return [path, work.listed] if files else [work.listed]


def _table(work: _Commit, schema: dict[str, Any]) -> Path:
    """The table metadata."""
    snapshots = [*_earlier(work), _snapshot(work, schema)]
    known = {s["schema-id"]: s for s in (*work.base.get("schemas", ()), schema)}
    times = [
        {"snapshot-id": s["snapshot-id"], "timestamp-ms": s["timestamp-ms"]} for s in snapshots
    ]
    metadata = {
        "format-version": 2,
        "table-uuid": work.base.get("table-uuid") or str(uuid.uuid4()),
        "location": location(work.home, work.entry.dataset.name),
        "last-sequence-number": work.sequence,
        "last-updated-ms": work.milliseconds,
        "last-column-id": work.entry.columns.last_id,
        "schemas": [known[number] for number in sorted({s["schema-id"] for s in snapshots})],
        "current-schema-id": schema["schema-id"],
        "partition-specs": [{"spec-id": 0, "fields": []}],
        "default-spec-id": 0,
        "last-partition-id": _NO_PARTITION,
        "sort-orders": [{"order-id": 0, "fields": []}],
        "default-sort-order-id": 0,
        "properties": {"schema.name-mapping.default": json.dumps(name_mapping(work.entry.columns))},
        "current-snapshot-id": work.snapshot_id,
        "snapshots": snapshots,
        "snapshot-log": times,
        "metadata-log": [],
        "refs": {"main": {"snapshot-id": work.snapshot_id, "type": "branch"}},
    }
    path = work.path(".metadata.json")
    disk.write(path, json.dumps(metadata).encode())
    return path


def _earlier(work: _Commit) -> list[dict[str, Any]]:
    """The base's Iceberg snapshots that are still on disk: what has expired is history no more."""
    known = work.base.get("snapshots", [])
    kept = [s for s in known if Path(s["manifest-list"].removeprefix(_SCHEME)).exists()]
    return kept[-(_KEPT - 1) :]


def _snapshot(work: _Commit, schema: dict[str, Any]) -> dict[str, Any]:
    parent = {"parent-snapshot-id": work.parent_id} if work.parent_id is not None else {}
    return {
        "snapshot-id": work.snapshot_id,
        **parent,
        "sequence-number": work.sequence,
        "timestamp-ms": work.milliseconds,
        "manifest-list": _address(work.listed),
        "summary": _summary(work),
        "schema-id": schema["schema-id"],
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
