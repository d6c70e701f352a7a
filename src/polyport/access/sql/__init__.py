"""Consumers' own SQL: sessions in which a principal asks over the datasets that it may read, and over nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias

from polyport.errors import QueryError
from polyport.model import LATEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from polyport.model import Principal, Ref, Snapshot

Dialect: TypeAlias = Literal["duckdb", "postgres"]
"""`duckdb`: the engine's own. `postgres`: with PostgreSQL's functions where they differ, and its integer division."""


class CancelledError(QueryError):
    """The statement was cancelled."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a statement would give, found without running it."""

    columns: pa.Schema
    types: tuple[str, ...]
    """For each column its SQL type, as the engine names it: `DECIMAL(18,2)`, `UUID`, `UUID[]`."""
    parameters: tuple[str, ...]
    """For each `$1`, `$2`, ... its SQL type; empty where the statement leaves it open."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of one statement. They stream; the reader is metered, and ends early where access ends."""

    reader: pa.RecordBatchReader
    types: tuple[str, ...]
    """As `Described.types`."""


class Session(Protocol):
    """One principal's conversation in SQL, through one port. `close()` it, or use it in `with`.

    Statements name datasets: `films`, `"movie-popularity"."weekly_ranking"` of another product that the principal may
    read, `"films@41"` as of another snapshot, and the tables of the schema `polyport`. A session belongs to one
    thread at a time; only `cancel` may be called from another.
    """

    product: str
    """The product whose datasets need no schema; empty: those of all products, where a name is of one only."""
    principal: Principal

    def at(self, ref: Ref) -> Snapshot | None:
        """From now on ask of the snapshot `ref` (`latest`: the one current at each statement).

        Returns:
            It; None without a product.

        A sequence, an id and a tag are of one product, the session's own: datasets of others are then refused, where
        they do not say `@` what they are seen as of. A time is of all.

        Raises:
            NotFoundError: No such snapshot. The session stays at the one before.
            QueryError: It is of one product, and the session has none.
        """
        ...

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot of its own product that statements see; None without a product."""
        ...

    @property
    def idle(self) -> float:
        """How many seconds may pass between two statements of a transaction; then whoever leads it ends it."""
        ...

    def begin(self) -> None:
        """Until `end`, every statement sees the snapshots that are current now."""
        ...

    def end(self) -> None:
        """Each statement sees what is current, again."""
        ...

    def datasets(self) -> Mapping[str, Sequence[str]]:
        """Product -> its datasets that the principal may see anything of."""
        ...

    def describe(self, sql: str, parameters: Sequence[str] = ()) -> Described:
        """What `sql` gives; `parameters`: SQL types of `$1`, `$2`, ..., empty for those to be found.

        Raises:
            QueryError, AccessError, NotFoundError: As `query`.
        """
        ...

    def query(self, sql: str, values: Sequence[Any] = ()) -> Answer:
        """The rows of `sql`: one SELECT; `values` of `$1`, `$2`, ...

        Values are Python's: None, bool, int, float, Decimal, str, bytes, date, time, datetime, timedelta, UUID, list,
        dict. Several answers may be open at once.

        Raises:
            QueryError: It is not one SELECT over datasets with functions that are let in, or the engine refuses it.
            NotFoundError: It names no dataset that there is.
            AccessError: The principal may read nothing of a dataset.
            SizeError: It takes more memory, rows, bytes or time than a statement may; raised by the reader, too.
            LimitError: All workers are busy for longer than a statement may take; or too many requests.
        """
        ...

    def cancel(self) -> None:
        """End the statements that run or whose answers are being read: they raise CancelledError. For any thread."""
        ...

    def close(self) -> None:
        """End everything that is open."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class OpenSql(Protocol):
    """All that an output port is given for SQL."""

    def __call__(
        self,
        principal: Principal,
        ref: Ref = LATEST,
        *,
        purpose: str = "",
        dialect: Dialect = "duckdb",
        mesh: bool = False,
    ) -> Session:
        """A session of `principal` in which the port's own product needs no schema; `mesh`: that of no product.

        Whoever may read nothing gets a session all the same: each statement that names a dataset says why.

        Raises:
            NotFoundError: No such snapshot.
        """
        ...
