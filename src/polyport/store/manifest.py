"""The manifest: one small JSON file that says what a snapshot consists of. It alone is the truth.

It is written once, and replaced by nothing but an erasure.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport.errors import StoreError
from polyport.model import Dataset, Snapshot
from polyport.store.columns import Columns, own_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT = 1


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file."""

    path: str
    """Relative to the store's root."""
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class IcebergTable:
    """The Iceberg table metadata of a dataset as it is in one snapshot."""

    metadata: str
    """The table metadata file, relative to the store's root."""
    snapshot_id: int
    location: str
    """The table's location when it was written: Iceberg knows absolute addresses only."""
    files: tuple[str, ...]
    """What the metadata needs beside the Parquet files: itself, manifest list and manifest."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One dataset of a snapshot."""

    dataset: Dataset
    columns: Columns
    files: tuple[DataFile, ...]
    since: int
    """The sequence that first had exactly these files."""
    iceberg: IcebergTable | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file that the dataset needs, relative to the store's root."""
        return (*(file.path for file in self.files), *(self.iceberg.files if self.iceberg else ()))


@dataclass(frozen=True, slots=True)
class Erased:
    """Rows were erased from a snapshot after it was published."""

    id: str
    """Of the erasure."""
    at: datetime
    rows: Mapping[str, int]
    """Dataset -> rows that went."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One snapshot, with what lies behind it."""

    snapshot: Snapshot
    entries: Mapping[str, Entry]
    erased: tuple[Erased, ...] = ()

    @property
    def paths(self) -> frozenset[str]:
        """Every file that the snapshot needs, relative to the store's root."""
        return frozenset(path for entry in self.entries.values() for path in entry.paths)


def encode(manifest: Manifest) -> bytes:
    """The manifest as the bytes of its file."""
    snapshot = manifest.snapshot
    document = {
        "format": FORMAT,
        "product": snapshot.product,
        "id": snapshot.id,
        "sequence": snapshot.sequence,
        "parent": snapshot.parent,
        "committed_at": snapshot.committed_at.isoformat(timespec="microseconds"),
        "run": snapshot.run,
        "version": snapshot.version,
        "inputs": dict(snapshot.inputs),
        "datasets": {name: _entry_json(entry) for name, entry in manifest.entries.items()},
    }
    if manifest.erased:
        document["erased"] = [
            {"id": e.id, "at": e.at.isoformat(), "rows": dict(e.rows)} for e in manifest.erased
        ]
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _entry_json(entry: Entry) -> dict[str, Any]:
    dataset, columns, table = entry.dataset, entry.columns, entry.iceberg
    document: dict[str, Any] = {
        "rows": dataset.rows,
        "key": list(dataset.key),
        "columns": [_column_json(column, columns) for column in dataset.schema],
        "last_column_id": columns.last_id,
        "arrow_schema": base64.b64encode(dataset.schema.serialize().to_pybytes()).decode(),
        "since": entry.since,
        "files": [{"path": f.path, "bytes": f.bytes, "rows": f.rows} for f in entry.files],
    }
    if table is not None:
        document["iceberg"] = {
            "metadata": table.metadata,
            "snapshot_id": table.snapshot_id,
            "location": table.location,
            "files": list(table.files),
        }
    return document


def _column_json(column: pa.Field, columns: Columns) -> dict[str, Any]:
    ids = columns.field_ids[column.name]
    shown = {"name": column.name, "type": str(column.type), "id": own_id(ids)}
    return shown if isinstance(ids, int) else {**shown, "nested": ids}


def read(path: Path, *, product: str, sequence: int) -> Manifest:
    """The manifest in a file.

    Raises:
        FileNotFoundError: There is no such file.
        StoreError: It is damaged, or of a newer format.
    """
    text = path.read_bytes()
    try:
        document = json.loads(text)
        known = document["format"]
        manifest = _decode(document) if known == FORMAT else None
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        pa.ArrowException,
        OSError,
    ) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    if manifest is None:
        message = f"the manifest has format {known!r}, and this Polyport reads format {FORMAT}"
        raise StoreError(message, where=str(path), fix="use the Polyport that wrote it, or newer")
    found = (manifest.snapshot.product, manifest.snapshot.sequence)
    if found != (product, sequence):
        raise _damaged(path, f"it says that it is snapshot {found[1]} of {found[0]!r}")
    return manifest


def _damaged(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"the manifest is damaged: {reason}",
        where=str(path),
        fix="restore the file from a backup, or remove it to give up this snapshot",
    )


def _decode(document: dict[str, Any]) -> Manifest:
    entries = {name: _entry(name, part) for name, part in document["datasets"].items()}
    erased = tuple(
        Erased(e["id"], datetime.fromisoformat(e["at"]), dict(e["rows"]))
        for e in document.get("erased", ())
    )
    snapshot = Snapshot(
        product=document["product"],
        id=document["id"],
        sequence=document["sequence"],
        parent=document["parent"],
        committed_at=datetime.fromisoformat(document["committed_at"]).astimezone(UTC),
        datasets={name: entry.dataset for name, entry in entries.items()},
        inputs=dict(document["inputs"]),
        run=document["run"],
        version=document["version"],
        erasures=len(erased),
    )
    return Manifest(snapshot, entries, erased)


def _entry(name: str, part: dict[str, Any]) -> Entry:
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(part["arrow_schema"], validate=True)))
    ids = {column["name"]: column.get("nested", column["id"]) for column in part["columns"]}
    table = part.get("iceberg")
    return Entry(
        dataset=Dataset(name, schema, tuple(part["key"]), part["rows"]),
        columns=Columns(schema, ids, part["last_column_id"]),
        files=tuple(DataFile(f["path"], f["bytes"], f["rows"]) for f in part["files"]),
        since=part["since"],
        iceberg=_iceberg(table) if table else None,
    )


def _iceberg(part: dict[str, Any]) -> IcebergTable:
    files = tuple(part["files"])
    return IcebergTable(part["metadata"], part["snapshot_id"], part["location"], files)
