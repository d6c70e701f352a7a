"""Output ports: the forms in which snapshots are read. Each gets rows from a `View` and from nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp

    from polyport.access import Open, View
    from polyport.access.identity import Identify
    from polyport.descriptor.types import DataProduct, Port, SchemaObject
    from polyport.model import Snapshot


@dataclass(frozen=True, slots=True)
class OutputContext:
    """What an output port is given: what is promised, and one way to the rows."""

    product: DataProduct
    spec: Port
    open: Open
    identify: Identify
    """Who is asking, and for which purpose."""
    scratch: Path | None = None
    """A folder for what can be made again (caches); None: the system's temporary folder."""

    @property
    def objects(self) -> Mapping[str, SchemaObject]:
        """The datasets that the port shows, as they are promised."""
        return self.product.promised(self.spec)


@runtime_checkable
class Closing(Protocol):
    """A port that keeps something open."""

    def close(self) -> None:
        """Let go of it; the port is not used afterwards."""
        ...


@runtime_checkable
class OutputPort(Protocol):
    """One form of a product's data."""

    context: OutputContext

    def __init__(self, context: OutputContext) -> None: ...

    def client_line(self, base_url: str, dataset: str) -> str:
        """A command that reads `dataset` through this port and runs when pasted into a shell.

        `base_url`: where the port is mounted, without a slash at its end.
        """
        ...


@runtime_checkable
class Served(OutputPort, Protocol):
    """A port that answers HTTP requests."""

    @property
    def mount(self) -> str:
        """Its path under `/products/{id}`: `/rest/v1`."""
        ...

    def app(self) -> ASGIApp:
        """What to mount there."""
        ...


@dataclass(frozen=True, slots=True)
class Download:
    """One file that a port gives out."""

    path: str
    """Below the port's mount, with the snapshot that it holds: `/films.csv?snapshot=3`."""
    dataset: str
    media_type: str
    title: str
    size: int | None = None
    """Bytes, where the file has been rendered already."""
    sha256: str = ""
    """Of the file's bytes, where it has been rendered already."""


@runtime_checkable
class Downloadable(Served, Protocol):
    """A served port whose datasets are files."""

    def downloads(self, view: View) -> Sequence[Download]:
        """The files of the datasets that `view` shows, by dataset."""
        ...


@runtime_checkable
class Snippets(Served, Protocol):
    """A served port that says in more words than `client_line` how it is read."""

    def snippets(self, base_url: str, dataset: str) -> Mapping[str, str]:
        """Name of a client (`python`, `pandas`, `duckdb`) -> lines that read `dataset` and run when pasted."""
        ...


@runtime_checkable
class Pushed(OutputPort, Protocol):
    """A port that writes somewhere each time a snapshot is published."""

    def push(self, snapshot: Snapshot, previous: Snapshot | None, home: Path) -> Sequence[str]:
        """Write `snapshot`; the URIs written, empty where there is nothing to push. `home`: the product's folder.

        Idempotent: called again, it writes nothing anew.
        """
        ...


@runtime_checkable
class Keeping(Pushed, Protocol):
    """A pushed port that can write again what it has written: after an erasure, without the rows that went."""

    def targets(self, home: Path) -> Sequence[Path]:
        """The folders that it writes to."""
        ...

    def push_again(self, snapshots: Sequence[Snapshot], home: Path) -> Sequence[str]:
        """Write anew what is there of `snapshots`, remove what is there of others; the URIs written.

        `snapshots`: all that are kept.
        """
        ...
