"""Output ports: the forms in which snapshots are read. Each gets rows from a `View` and from nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp

    from polyport.access import Open, View
    from polyport.access.identity import Identify, Identity
    from polyport.access.sql import OpenSql
    from polyport.descriptor.types import DataProduct, Port, SchemaObject
    from polyport.model import Request, Snapshot


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
    sql: OpenSql | None = None
    """For ports that take consumers' own SQL."""
    record: Callable[[Request], None] = lambda _: None
    """Takes what `ports.counted.counting` counts; requests over HTTP are counted where the port is mounted."""

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
class Snippets(OutputPort, Protocol):
    """A port that says in more words than `client_line` how it is read."""

    def snippets(self, base_url: str, dataset: str) -> Mapping[str, str]:
        """Name of a client (`python`, `pandas`, `duckdb`) -> lines that read `dataset` and run when pasted."""
        ...


@runtime_checkable
class Addressed(OutputPort, Protocol):
    """A port whose clients are told another address than its `base_url`."""

    def address(self, base_url: str) -> str:
        """What its clients take: `postgresql://127.0.0.1:8432/films?sslmode=require`."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a listener listens, and who is let in."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: any that is free."""
    certificate: Path | None = None
    """The TLS certificate's PEM file, with its chain; None: no TLS."""
    certificate_key: Path | None = None
    """The PEM file of its private key; None: it is in `certificate`."""
    identity: Identity | None = None
    """Knows who asks; None: the owner, for only this machine can reach it."""
    mesh: str = "mesh"
    """The mesh's name: what SQL calls the database."""


class Listener(Protocol):
    """What listens for a protocol of its own, for all ports of one type on a node."""

    port: int
    """The one that it is bound to."""
    note: str
    """What its users should know of how it runs; empty where there is nothing."""

    def close(self) -> None:
        """End every connection, and all that was started; returns when it is done."""
        ...


@runtime_checkable
class Listening(OutputPort, Protocol):
    """A port with a protocol of its own."""

    scheme: ClassVar[str]
    """Of its addresses, `postgresql`: the `base_url` of `client_line` is `postgresql://127.0.0.1:8432`.

    Over TLS it is `postgresql+tls://...`; and where one has to log in, `postgresql://ann@...`.
    """
    offset: ClassVar[int]
    """Its listener's port is by default that of HTTP plus this."""

    @classmethod
    def listen(cls, ports: Sequence[Self], at: Endpoint) -> Listener:
        """Begin to answer for `ports`, those of all products, in threads of its own.

        Raises:
            ConfigurationError: The address or TLS cannot be used.
            MissingExtraError: It needs a package that is not installed.
        """
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
