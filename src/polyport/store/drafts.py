"""From the tables of a publish to the entries of a manifest: what is new, what is shared, and whether it is true."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from polyport.errors import StoreError
from polyport.model import Dataset
from polyport.store import columns
from polyport.store.columns import Columns
from polyport.store.manifest import DataFile, Entry

if TYPE_CHECKING:
    from polyport.store import Table
    from polyport.store.layout import Home
    from polyport.store.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Desk:
    """What a draft is made against."""

    home: Home
    folder: Path
    """The staging folder."""
    parent: Manifest | None
    sequence: int
    """Of the snapshot to be."""


def entry(name: str, table: Table, desk: Desk) -> Entry:
    """The dataset as the manifest will have it, without Iceberg metadata.

    Raises:
        StoreError: A file is missing, damaged, not of this run nor of the parent snapshot, or does not hold
            what the table says.
    """
    before = desk.parent.entries.get(name) if desk.parent else None
    columns.check_names(name, table.schema, table.key)
    assigned = columns.assign(table.schema, before.columns if before else Columns())
    shared = {file.path: file for file in before.files} if before else {}
    files = tuple(_file(name, path, desk=desk, shared=shared) for path in table.files)
    _check_paths(name, files)
    _check_rows(name, table.rows, files)
    for file in files:
        if file.path in shared:
            _check_shared(name, before, table)
        else:
            _check_columns(name, desk.home.root / file.path, assigned)
    same = before is not None and files == before.files
    return Entry(
        dataset=Dataset(name, table.schema, tuple(table.key), table.rows),
        columns=assigned,
        files=files,
        since=before.since if before is not None and same else desk.sequence,
        iceberg=before.iceberg if before and same and _same_table(before, table) else None,
    )


def _same_table(before: Entry, table: Table) -> bool:
    schema = before.dataset.schema
    return schema.equals(table.schema) and before.dataset.key == tuple(table.key)


def _file(name: str, path: Path, *, desk: Desk, shared: dict[str, DataFile]) -> DataFile:
    real = Path(os.path.realpath(path))
    relative = desk.home.relative(real) if real.is_relative_to(desk.home.root) else ""
    if relative in shared and real.is_file():
        return shared[relative]
    if not real.is_relative_to(desk.folder):
        raise StoreError(
            f"file {str(path)!r} of dataset {name!r} belongs neither to this run nor to the parent snapshot",
            where=name,
            fix=f"write it below {str(desk.folder)!r}, or give a file of the same dataset of the parent",
        )
    if not real.is_file():
        message = f"file {str(path)!r} of dataset {name!r} does not exist"
        raise StoreError(message, where=name, fix="write the file before it is published")
    return DataFile(relative, real.stat().st_size, _metadata(name, real).num_rows)


def _metadata(name: str, path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        message = f"file {str(path)!r} of dataset {name!r} is not a whole Parquet file: {error}"
        raise StoreError(
            message, where=name, fix="write it again, and close it before it is published"
        ) from error


def _check_paths(name: str, files: tuple[DataFile, ...]) -> None:
    paths = [file.path for file in files]
    twice = (
        [path for path in paths if paths.count(path) > 1] if len(set(paths)) < len(paths) else []
    )
    if twice:
        message = f"dataset {name!r} names the file {twice[0]!r} twice"
        raise StoreError(message, where=name, fix="name each file once")


def _check_rows(name: str, rows: int, files: tuple[DataFile, ...]) -> None:
    found = sum(file.rows for file in files)
    if found != rows:
        message = f"dataset {name!r} is said to have {rows:,} rows, and its files have {found:,}"
        raise StoreError(message, where=name, fix="publish what the engine says that it wrote")


def _check_shared(name: str, before: Entry | None, table: Table) -> None:
    if (
        before is None
        or before.dataset.schema.names != table.schema.names
        or (before.dataset.schema.types != table.schema.types)
    ):
        raise StoreError(
            f"dataset {name!r} shares files with the parent snapshot, and has other columns",
            where=name,
            fix="write all files of a dataset anew when its columns change",
        )


def _check_columns(name: str, path: Path, assigned: Columns) -> None:
    written = _metadata(name, path).schema.to_arrow_schema()
    if written.names != assigned.schema.names:
        raise StoreError(
            f"file {str(path)!r} of dataset {name!r} has the columns {written.names}, not {assigned.schema.names}",
            where=name,
            fix="publish the schema that the engine says that it wrote",
        )
    ids, wanted = columns.written_ids(written), columns.flat(assigned.field_ids)
    wrong = [path_ for path_, number in wanted.items() if ids.get(path_) != number] if ids else []
    if wrong:
        raise StoreError(
            f"column {wrong[0]!r} of dataset {name!r} was written with field id {ids.get(wrong[0])},"
            f" and has field id {wanted[wrong[0]]}",
            where=name,
            fix="write it with the ids that Staging.field_ids gives",
        )
