"""What statements ask of the connection itself, and their tokens read from the left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from polyport.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polyport.ports.output.sql.scanner import Statement, Token

ALL: Final = -1
"""As many rows as there are."""


@dataclass(frozen=True, slots=True)
class Select:
    """Anything that the session answers, or the catalogue."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """BEGIN, COMMIT, ROLLBACK, and those of savepoints."""

    action: Literal["begin", "commit", "rollback", "savepoint", "release", "return"]
    name: str = ""
    """Of the savepoint."""


@dataclass(frozen=True, slots=True)
class Setting:
    """SET, RESET or SHOW of a setting of ours: `polyport.snapshot`."""

    action: Literal["set", "reset", "show"]
    name: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Ignored:
    """What changes nothing here, and is answered with its tag."""

    tag: str


@dataclass(frozen=True, slots=True)
class Write:
    """What would change something."""

    verb: str


@dataclass(frozen=True, slots=True)
class Declare:
    """DECLARE ... CURSOR FOR."""

    name: str
    query: str
    binary: bool = False
    hold: bool = False


@dataclass(frozen=True, slots=True)
class Fetch:
    """FETCH or MOVE."""

    name: str
    count: int
    """`ALL`: the rest."""
    move: bool = False
    backward: bool = False
    skip: int = 0
    """Rows that are passed over before."""
    place: int = 0
    """Of the one row that is taken, counted from 1, where it is said so; else 0."""

    def passed(self, taken: int) -> int:
        """How many rows are passed over, where `taken` have been; negative: it is behind."""
        return self.place - 1 - taken if self.place else self.skip


@dataclass(frozen=True, slots=True)
class Close:
    """CLOSE of a cursor; without a name, of all."""

    name: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """PREPARE name (types) AS query."""

    name: str
    types: tuple[str, ...]
    query: str


@dataclass(frozen=True, slots=True)
class Execute:
    """EXECUTE name (values)."""

    name: str
    values: str
    """As written."""


@dataclass(frozen=True, slots=True)
class Deallocate:
    """DEALLOCATE of a prepared statement; without a name, of all."""

    name: str


@dataclass(frozen=True, slots=True)
class Discard:
    """DISCARD."""

    what: str


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY ... TO STDOUT."""

    query: str
    format: Literal["text", "csv", "binary"] = "text"
    delimiter: str = "\t"
    null: str = "\\N"
    header: bool = False
    quote: str = '"'
    escape: str = '"'
    force: tuple[str, ...] = field(default=())
    """Columns that are always quoted; `*`: all."""


Command: TypeAlias = (
    Select | Transaction | Setting | Ignored | Write | Declare | Fetch | Close | Prepare | Execute | Deallocate
    | Discard | Copy
)  # fmt: skip


class Reader:
    """The tokens of one statement, read from the left."""

    def __init__(self, statement: Statement) -> None:
        self.sql = statement.sql
        self.tokens: Sequence[Token] = statement.tokens
        self.at = 0

    @property
    def done(self) -> bool:
        """Whether all are read."""
        return self.at >= len(self.tokens)

    def peek(self, *words: str, ahead: int = 0) -> bool:
        """Whether one of `words` comes."""
        at = self.at + ahead
        return at < len(self.tokens) and self.tokens[at].says(*words)

    def skip(self) -> None:
        """Pass one."""
        self.at += 1

    def took(self, *words: str) -> bool:
        """Pass one of `words`, if it comes."""
        found = self.peek(*words)
        self.at += found
        return found

    def expect(self, *words: str) -> None:
        """Pass one of `words`."""
        if not self.took(*words):
            raise self.wrong()

    def next(self) -> Token:
        """Pass one, whatever it is."""
        if self.done:
            raise self.wrong()
        self.at += 1
        return self.tokens[self.at - 1]

    def name(self) -> str:
        """Pass an identifier."""
        token = self.next()
        if token.kind not in ("word", "name"):
            self.at -= 1
            raise self.wrong()
        return token.value

    def rest(self) -> str:
        """All that is left, as written."""
        if self.done:
            raise self.wrong()
        start, self.at = self.tokens[self.at].start, len(self.tokens)
        return self.sql[start:]

    def inside(self) -> str:
        """What stands between `(` and its `)`, as written."""
        self.expect("(")
        start, depth = self.at, 1
        while depth:
            token = self.next()
            depth += token.says("(") - token.says(")")
        if self.at - 1 == start:
            return ""
        return self.sql[self.tokens[start].start : self.tokens[self.at - 2].end]

    def end(self) -> None:
        """Nothing may be left."""
        if not self.done:
            raise self.wrong()

    def wrong(self) -> QueryError:
        """Says where it goes wrong."""
        if self.done:
            return syntax("syntax error at end of input", self.sql, len(self.sql))
        token = self.tokens[self.at]
        return syntax(f'syntax error at or near "{token.text[:40]}"', self.sql, token.start)


def syntax(message: str, sql: str, at: int) -> QueryError:
    """An error at a place in `sql`."""
    before = sql[:at]
    return QueryError(message, line=before.count("\n") + 1, column=at - before.rfind("\n"))
