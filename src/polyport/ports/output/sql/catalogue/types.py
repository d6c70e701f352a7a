"""What the SQL port is given to answer for PostgreSQL's catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from polyport.descriptor.types import SchemaObject

Message: TypeAlias = tuple[bytes, bytes]
"""A message of PostgreSQL's protocol: its type byte, and its body without the length."""


@dataclass(frozen=True, slots=True)
class Table:
    """A dataset as one user may see it."""

    product: str
    """Its product's id: the schema."""
    object: SchemaObject
    """What is promised of it; of its columns only those in `columns` are ever named."""
    columns: Mapping[str, str]
    """The columns that the user sees, in order, with their SQL types as the engine names them."""
    description: str = ""
    """Of the product."""
    masked: frozenset[str] = frozenset()
    """Columns whose values are masked: the promise of keys and of no nulls does not hold for them."""

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.object.name


class CatalogueSession(Protocol):
    """One connection's conversation with the catalogue. For one thread at a time."""

    parameters: Mapping[str, str]
    """What the server tells of itself when a connection starts: `server_version`, `DateStyle`, ..."""

    def takes(self, sql: str) -> bool:
        """Whether `sql`, one statement, is for the catalogue and not for the data.

        True for some that will be refused: SET ROLE.
        """
        ...

    def simple(self, sql: str) -> Iterator[Message]:
        """The answer to `sql` as messages to relay, up to but without ReadyForQuery."""
        ...

    def extended(self, messages: Sequence[Message]) -> Iterator[Message]:
        """The answers to Parse, Bind, Describe, Execute and Close messages, up to the first error."""
        ...

    def parameter_types(self, sql: str, oids: Sequence[int]) -> tuple[int, ...] | None:
        """The OIDs of the parameters of a query over the data; None where PostgreSQL does not know.

        `oids`: those that the client gave; 0 where it leaves one open.
        """
        ...

    def close(self) -> None:
        """End the conversation."""
        ...


class Catalogue(Protocol):
    """What answers for PostgreSQL's catalogue: one a listener. For any thread."""

    @property
    def note(self) -> str:
        """What users should know of it; empty where there is nothing."""
        ...

    def open(
        self, database: str, user: str, sees: Sequence[Table], databases: Sequence[str] = ()
    ) -> CatalogueSession:
        """A conversation with a catalogue that holds `sees` and nothing else.

        `databases`: others that the user may connect to.

        Raises:
            LimitError: More catalogues are in use than there may be at once.
        """
        ...

    def close(self) -> None:
        """End all conversations and all that was started."""
        ...
