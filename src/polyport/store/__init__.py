"""Where snapshots live. `Store` is what the rest relies on; `local` is the default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa

    from polyport.engine import FieldIds
    from polyport.model import Ref, Snapshot


@dataclass(frozen=True, slots=True)
class Table:
    """One dataset about to be published: files in the run's staging folder, or files published before."""

    files: tuple[Path, ...]
    schema: pa.Schema
    rows: int
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expired:
    """What an expiry removed."""

    snapshots: tuple[int, ...]
    """Sequences, oldest first."""
    held: tuple[int, ...]
    """Sequences that were due and stay because a reader holds them."""
    files: int
    bytes: int


class Staging(Protocol):
    """A run's own corner of the store, where no reader looks. Left behind by a crash, it is collected later."""

    @property
    def folder(self) -> Path:
        """Write files here; `Store.publish` makes them part of a snapshot where they lie."""
        ...

    def field_ids(self, dataset: str, schema: pa.Schema) -> FieldIds:
        """The Iceberg field ids for `schema`: a column keeps its id from snapshot to snapshot."""
        ...


class Store(Protocol):
    """Keeps products' snapshots: append-only, one writer wins, readers never wait. Safe over threads and processes."""

    def stage(self, product: str, run: str) -> AbstractContextManager[Staging]:
        """A staging area for the run; first clears what crashed runs left. What was not published is removed at exit.

        Raises:
            StoreError: The store cannot be written.
        """
        ...

    def publish(
        self,
        product: str,
        tables: Mapping[str, Table],
        *,
        staging: Staging,
        inputs: Mapping[str, str],
        parent: str | None,
        version: str = "",
    ) -> Snapshot:
        """Make `tables` the product's newest snapshot, all of them or none. Durable when it returns.

        Raises:
            ConflictError: The newest snapshot is not `parent` any more.
            StoreError: No space, or no permission. Nothing is visible then.
        """
        ...

    def snapshot(self, product: str, ref: Ref) -> Snapshot:
        """The snapshot that `ref` names.

        Raises:
            NotFoundError: There is none; says which there are.
        """
        ...

    def history(self, product: str) -> Sequence[Snapshot]:
        """All kept snapshots, oldest first; empty for a product never published."""
        ...

    def files(self, snapshot: Snapshot, dataset: str) -> tuple[str, ...]:
        """The Parquet files of a dataset of a snapshot: absolute paths or URLs.

        Raises:
            NotFoundError: The snapshot has no such dataset.
        """
        ...

    def iceberg(self, snapshot: Snapshot, dataset: str) -> str:
        """The location of the Iceberg table metadata of exactly this dataset of this snapshot."""
        ...

    def hold(self, product: str, ref: Ref) -> AbstractContextManager[Snapshot]:
        """The snapshot, held: expiry leaves it alone until exit, also from other processes; ends with the process.

        Raises:
            NotFoundError: As `snapshot`.
        """
        ...

    def tag(self, product: str, name: str, ref: Ref) -> Snapshot:
        """Give a snapshot a name of its own (moves the tag if it exists). Tagged snapshots do not expire.

        Raises:
            NotFoundError: As `snapshot`.
            ConfigurationError: The name is not `[A-Za-z][A-Za-z0-9._-]*`, or is `latest`.
        """
        ...

    def untag(self, product: str, name: str) -> None:
        """Take a tag away; its snapshot may expire then.

        Raises:
            NotFoundError: There is no such tag.
        """
        ...

    def tags(self, product: str) -> Mapping[str, int]:
        """Tag -> sequence."""
        ...

    def expire(
        self, product: str, *, keep: int = 0, before: datetime | None = None, dry_run: bool = False
    ) -> Expired:
        """Remove snapshots beyond the newest `keep` (0: no limit) and those committed before `before`.

        Never the newest, a tagged one, or one that is held; then the files that no kept snapshot refers to.
        """
        ...
