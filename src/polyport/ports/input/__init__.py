"""Input ports: where a product's raw data comes from. First it is fetched and kept, then read from what was kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa

    from polyport.access import View
    from polyport.descriptor.types import Contract, Port
    from polyport.model import Relation


@dataclass(frozen=True, slots=True)
class RawObject:
    """Bytes kept exactly as they were received."""

    name: str
    """What the source calls it, without a path: `warner.xlsx`, `page-0003.json`."""
    path: Path
    """Where it is kept: content-addressed, never changed. Keeps the name's suffix."""
    sha256: str
    bytes: int
    media_type: str
    origin: str
    """Where it came from: a path or URL, with no secret in it."""
    received_at: datetime
    """UTC, when these bytes were first received."""


@dataclass(frozen=True, slots=True)
class Received:
    """All that an input port stands on in one run. From it alone the run can be rebuilt."""

    port: str
    objects: tuple[RawObject, ...]
    identity: str
    """`sha256:...` over the objects in order, or a snapshot id: equal if and only if the content is."""
    cursor: str = ""
    """incremental ports: where the next run goes on; empty: everything is read anew."""
    notes: tuple[str, ...] = ()
    """For the log: `sheet 'Costs': header in row 5`."""


class Keep(Protocol):
    """Puts bytes into the raw store."""

    def __call__(
        self,
        name: str,
        content: Iterable[bytes] | Path,
        *,
        origin: str,
        media_type: str = "application/octet-stream",
    ) -> RawObject:
        """Keep the bytes, or those of a local file, under their SHA-256; equal bytes are kept once.

        Raises:
            StoreError: No space, or no permission.
        """
        ...


class OpenProduct(Protocol):
    """Gives a view of another product of the mesh."""

    def __call__(self, product: str, ref: str, *, major: int = 0) -> View:
        """The view of its snapshot `ref`, as the major `major` of its ports shows it; 0: as it is published.

        Raises:
            NotFoundError: No such product, snapshot or major.
        """
        ...


@dataclass(frozen=True, slots=True)
class InputContext:
    """What an input port is given."""

    spec: Port
    """Its `settings` have `${ENV}` references resolved."""
    home: Path
    """The product's folder; relative paths start here."""
    contract: Contract | None = None
    """What is expected of the source (ODPS `inputPorts[].contractId`), where one is named and held."""
    open_product: OpenProduct | None = None
    """Opens another product of the mesh, as this product's principal."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """name -> value of what `settings` took from the environment: never to be logged."""
    product: str = ""
    """The id of the product that the port belongs to: as whom it reads other products."""
    scratch: Path | None = None
    """A folder for what is staged on the way; None: the system's temporary folder."""


class InputPort(Protocol):
    """One source. Expectations are checked in `read`: what was expected and what came, in one error."""

    def __init__(self, context: InputContext) -> None: ...

    def fetch(self, keep: Keep, previous: Received | None) -> Received:
        """Receive what is there now and keep it; an incremental port adds to `previous`.

        Raises:
            InputError: The source is missing, unreadable or failed half-way. Nothing half-received is returned.
        """
        ...

    def read(self, received: Received) -> Relation | pa.RecordBatchReader:
        """The rows of what was received, as one table.

        Raises:
            InputError: The bytes are not what they should be, or not what the contract expects.
        """
        ...


Options = dict[str, Any]
