"""Prepared statements, and portals: statements with values that answer row by row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from polyport.ports.output.sql import rows
from polyport.ports.output.sql.commands import ALL, Command, Copy, Select
from polyport.ports.output.sql.messages import row_description
from polyport.ports.output.sql.relaying import NO_VALUES
from polyport.ports.output.sql.states import StateError
from polyport.ports.output.sql.types import PgType, pg_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from polyport.access.sql import Answer, Described
    from polyport.ports.output.sql.relaying import Found
    from polyport.ports.output.sql.scanner import Statement


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result."""

    name: str
    kind: PgType


def columns(names: Sequence[str], types: Sequence[str]) -> tuple[Column, ...]:
    """Columns with their types as the engine names them."""
    return tuple(Column(n, pg_type(t)) for n, t in zip(names, types, strict=True))


def described(shown: Sequence[Column], formats: Sequence[int]) -> bytes:
    """A RowDescription."""
    return row_description(
        (c.name, c.kind.oid, c.kind.size, c.kind.modifier, form)
        for c, form in zip(shown, formats, strict=True)
    )


def spread(formats: Sequence[int], count: int) -> tuple[int, ...]:
    """A format code for each of `count` columns: none given is text, one given is for all.

    Raises:
        StateError: They are not so many.
    """
    if any(form not in (0, 1) for form in formats):
        raise StateError("22023", f"unsupported format code: {max(formats, key=abs)}")
    if len(formats) <= 1:
        return (formats[0] if formats else 0,) * count
    if len(formats) != count:
        raise StateError(
            "08P01", f"bind message has {len(formats)} result formats but query has {count} columns"
        )
    return tuple(formats)


class Rows:
    """The rows of an answer, taken bit by bit."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        schema = answer.reader.schema
        self.columns = columns(schema.names, answer.types)
        self.taken = 0
        """How many by now."""
        self.done = False
        self._left: pa.RecordBatch | None = None

    def take(self, count: int = ALL) -> Iterator[pa.RecordBatch]:
        """The next `count` rows, or all that are left, in pieces that can be written at once."""
        wanted = count
        while not self.done and wanted != 0:
            batch = self._next()
            if batch is None:
                return
            if 0 <= wanted < batch.num_rows:
                batch, self._left = batch.slice(0, wanted), batch.slice(wanted)
            if wanted > 0:
                wanted -= batch.num_rows
            self.taken += batch.num_rows
            yield from rows.pieces(batch)

    def _next(self) -> pa.RecordBatch | None:
        if self._left is not None:
            batch, self._left = self._left, None
            return batch
        try:
            return self.answer.reader.read_next_batch()
        except StopIteration:
            self.done = True
            return None

    def close(self) -> None:
        """Take no more."""
        self.done = True
        self._left = None
        self.answer.reader.close()


@dataclass(slots=True)
class Prepared:
    """A statement that was parsed."""

    statement: Statement | None
    """None: there was nothing in it."""
    command: Command = field(default_factory=Select)
    oids: tuple[int, ...] = ()
    """Of the parameters, as the client gave them: 0 where it left one open."""
    found: tuple[int, ...] | None = None
    """Of the parameters, all known."""
    told: Described | None = None
    """What it gives, once that was asked for."""
    relayed: bool = False
    """Whether the catalogue has prepared it, and answers it."""

    @property
    def query(self) -> str:
        """The SELECT in it that takes parameters; empty where there is none."""
        if self.statement is None:
            return ""
        if isinstance(self.command, Select):
            return self.statement.sql
        return getattr(self.command, "query", "")


@dataclass(slots=True)
class Portal:
    """A statement with its values; a cursor is one, too."""

    prepared: Prepared
    values: Sequence[Any] = ()
    formats: Sequence[int] = ()
    """Of the result's columns, as asked."""
    rows: Rows | None = None
    tag: str = ""
    """What its end is told with, where it gives no rows or has ended."""
    hold: bool = False
    """Whether it outlives its transaction."""
    fresh: bool = False
    """Whether the transaction that declared it is still open: with that it is rolled back, even if it is to be held."""
    copy: Copy | None = None
    raw: bytes = NO_VALUES
    """`values` as they came."""
    found: Found | None = None
    """The rows of the catalogue, where it is one over that."""

    def close(self) -> None:
        """Let go of its rows."""
        if self.rows is not None:
            self.rows.close()
