"""Manifests and manifest lists (Iceberg v2, "Manifests" and "Manifest Lists"): which files a snapshot has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polyport.store.iceberg.footers import Footer

_ADDED = 1

# Iceberg v2, "Manifests", the table of `data_file`; `r2` and `r102` are any names that no other record has.
_DATA_FILE = record(
    "r2",
    required(134, "content", INT),
    required(100, "file_path", TEXT),
    required(101, "file_format", TEXT),
    required(102, "partition", record("r102")),
    required(103, "record_count", LONG),
    required(104, "file_size_in_bytes", LONG),
    optional(108, "column_sizes", numbered(117, 118, LONG)),
    optional(109, "value_counts", numbered(119, 120, LONG)),
    optional(110, "null_value_counts", numbered(121, 122, LONG)),
    optional(137, "nan_value_counts", numbered(138, 139, LONG)),
    optional(125, "lower_bounds", numbered(126, 127, BYTES)),
    optional(128, "upper_bounds", numbered(129, 130, BYTES)),
    optional(131, "key_metadata", BYTES),
    optional(132, "split_offsets", array(LONG, **{"element-id": 133})),
    optional(135, "equality_ids", array(INT, **{"element-id": 136})),
    optional(140, "sort_order_id", INT),
)
# The same, the table of `manifest_entry`. Sequence numbers that are null are those of the manifest list's entry.
_ENTRY = record(
    "manifest_entry",
    required(0, "status", INT),
    optional(1, "snapshot_id", LONG),
    optional(3, "sequence_number", LONG),
    optional(4, "file_sequence_number", LONG),
    required(2, "data_file", _DATA_FILE),
)
# Iceberg v2, "Manifest Lists", the tables of `field_summary` and `manifest_file`.
_SUMMARY = record(
    "r508",
    required(509, "contains_null", BOOLEAN),
    optional(518, "contains_nan", BOOLEAN),
    optional(510, "lower_bound", BYTES),
    optional(511, "upper_bound", BYTES),
)
_LISTED = record(
    "manifest_file",
    required(500, "manifest_path", TEXT),
    required(501, "manifest_length", LONG),
    required(502, "partition_spec_id", INT),
    required(517, "content", INT),
    required(515, "sequence_number", LONG),
    required(516, "min_sequence_number", LONG),
    required(503, "added_snapshot_id", LONG),
    required(504, "added_files_count", INT),
    required(505, "existing_files_count", INT),
    required(506, "deleted_files_count", INT),
    required(512, "added_rows_count", LONG),
    required(513, "existing_rows_count", LONG),
    required(514, "deleted_rows_count", LONG),
    optional(507, "partitions", array(_SUMMARY, **{"element-id": 508})),
    optional(519, "key_metadata", BYTES),
)


def manifest(schema: dict[str, Any], files: Sequence[Footer], snapshot_id: int) -> bytes:
    """A manifest of new data files without partitions, as the bytes of its file."""
    told = {
        "schema": json.dumps(schema),
        "partition-spec": "[]",
        "partition-spec-id": "0",
        "format-version": "2",
        "content": "data",
    }
    entries = [
        {"status": _ADDED, "snapshot_id": snapshot_id, "data_file": _data_file(file)}
        for file in files
    ]
    return avro.container(_ENTRY, entries, told)


def _data_file(file: Footer) -> dict[str, Any]:
    return {
        "content": 0,
        "file_path": f"file://{file.path}",
        "file_format": "PARQUET",
        "partition": {},
        "record_count": file.rows,
        "file_size_in_bytes": file.size,
        "column_sizes": file.sizes,
        "value_counts": file.values,
        "null_value_counts": file.nulls,
        "lower_bounds": file.lower,
        "upper_bounds": file.upper,
        "split_offsets": file.splits,
    }


def listed(
    address: str, length: int, files: Sequence[Footer], *, snapshot_id: int, sequence: int
) -> dict[str, Any]:
    """What a manifest list says of the manifest of `length` bytes at `address`, all whose files are new."""
    return {
        "manifest_path": address,
        "manifest_length": length,
        "partition_spec_id": 0,
        "content": 0,
        "sequence_number": sequence,
        "min_sequence_number": sequence,
        "added_snapshot_id": snapshot_id,
        "added_files_count": len(files),
        "existing_files_count": 0,
        "deleted_files_count": 0,
        "added_rows_count": sum(file.rows for file in files),
        "existing_rows_count": 0,
        "deleted_rows_count": 0,
        "partitions": [],
    }


def manifest_list(
    manifests: Sequence[dict[str, Any]], *, snapshot_id: int, parent_id: int | None, sequence: int
) -> bytes:
    """A manifest list, as the bytes of its file."""
    told = {
        "snapshot-id": str(snapshot_id),
        "parent-snapshot-id": "null" if parent_id is None else str(parent_id),
        "sequence-number": str(sequence),
        "format-version": "2",
    }
    return avro.container(_LISTED, manifests, told)
