"""What a statement asks of the connection itself: transactions, settings, cursors, prepared statements, COPY."""

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
_WRITES: Final = frozenset(
    "insert update delete merge truncate create drop alter grant revoke comment vacuum analyze reindex cluster lock "
    "refresh import security call do notify checkpoint attach detach install load pragma export".split()
)


def command(statement: Statement) -> Command:
    """What `statement` asks.

    Raises:
        QueryError: It begins as one of those that are known here, and is not written as such.
    """
    said = Reader(statement)
    verb = said.tokens[0].text if said.tokens[0].kind == "word" else ""
    read = _VERBS.get(verb)
    if read is not None:
        said.skip()
        return read(said)
    return Write(verb.upper()) if verb in _WRITES else Select()


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


def _begin(said: Reader) -> Command:
    return Transaction("begin")


def _start(said: Reader) -> Command:
    said.expect("transaction")
    return Transaction("begin")


def _commit(said: Reader) -> Command:
    if said.peek("prepared"):
        return Write("COMMIT PREPARED")
    said.took("work", "transaction")
    said.took("and") and (said.took("no"), said.expect("chain"))
    said.end()
    return Transaction("commit")


def _rollback(said: Reader) -> Command:
    said.took("work", "transaction")
    if said.took("to"):
        said.took("savepoint")
        return Transaction("return", said.name())
    if said.took("and"):
        said.took("no")
        said.expect("chain")
    said.end()
    return Transaction("rollback")


def _savepoint(said: Reader) -> Command:
    return Transaction("savepoint", said.name())


def _release(said: Reader) -> Command:
    said.took("savepoint")
    return Transaction("release", said.name())


def _set(said: Reader) -> Command:
    start = said.at
    if said.took("session", "local") and said.took("characteristics"):
        return Ignored("SET")
    if said.took("transaction", "constraints"):
        return Ignored("SET")
    if not _ours(said):
        said.at = start
        return Select()
    name = _setting(said)
    said.expect("to", "=")
    if said.took("default"):
        return Setting("reset", name)
    values = [_value(said)]
    while said.took(","):
        values.append(_value(said))
    said.end()
    return Setting("set", name, ", ".join(values))


def _value(said: Reader) -> str:
    sign = "-" if said.took("-") else ""
    token = said.next()
    if token.kind not in ("word", "name", "text", "number"):
        said.at -= 1
        raise said.wrong()
    return sign + token.value


def _ours(said: Reader) -> bool:
    return (
        said.at + 1 < len(said.tokens)
        and said.tokens[said.at].value.lower() == "polyport"
        and said.peek(".", ahead=1)
    ) or (not said.done and said.tokens[said.at].value.lower().startswith("polyport."))


def _setting(said: Reader) -> str:
    first = said.name()
    if "." in first:
        return first.lower()
    said.expect(".")
    return f"{first}.{said.name()}".lower()


def _reset(said: Reader) -> Command:
    return Setting("reset", _setting(said)) if _ours(said) else Select()


def _show(said: Reader) -> Command:
    return Setting("show", _setting(said)) if _ours(said) else Select()


def _declare(said: Reader) -> Command:
    name, binary, hold = said.name(), False, False
    while not said.took("cursor"):
        if said.took("binary"):
            binary = True
        elif said.took("no"):
            said.expect("scroll")
        else:
            said.expect("insensitive", "asensitive", "scroll")
    if said.took("with"):
        said.expect("hold")
        hold = True
    elif said.took("without"):
        said.expect("hold")
    said.expect("for")
    return Declare(name, said.rest(), binary, hold)


def _fetch(said: Reader) -> Command:
    return _moved(said, move=False)


def _move(said: Reader) -> Command:
    return _moved(said, move=True)


def _moved(said: Reader, *, move: bool) -> Command:
    backward = said.took("prior", "backward", "first", "last", "absolute", "relative")
    count = 1
    if not backward and not said.took("next"):
        forward = said.took("forward")
        count = _count(said, default=1 if forward else None)
    elif backward:
        _count(said, default=1)
    said.took("from", "in")
    name = said.name()
    said.end()
    return Fetch(name, abs(count), move, backward or count < ALL)


def _count(said: Reader, *, default: int | None) -> int:
    """`ALL` as -1; a number that is negative, as less than that."""
    if said.took("all"):
        return ALL
    sign = -1 if said.took("-") else 1
    if not said.done and said.tokens[said.at].kind == "number":
        return sign * int(said.next().text) - (sign < 0)
    return 1 if default is None else default


def _close(said: Reader) -> Command:
    name = "" if said.took("all") else said.name()
    said.end()
    return Close(name)


def _prepare(said: Reader) -> Command:
    if said.peek("transaction"):
        return Write("PREPARE TRANSACTION")
    name = said.name()
    kinds = said.inside() if said.peek("(") else ""
    said.expect("as")
    return Prepare(name, tuple(k.strip() for k in kinds.split(",") if k.strip()), said.rest())


def _execute(said: Reader) -> Command:
    name = said.name()
    values = said.inside() if said.peek("(") else ""
    said.end()
    return Execute(name, values)


def _deallocate(said: Reader) -> Command:
    said.took("prepare")
    name = "" if said.took("all") else said.name()
    said.end()
    return Deallocate(name)


def _discard(said: Reader) -> Command:
    what = said.next().text
    if what not in ("all", "plans", "sequences", "temp", "temporary"):
        said.at -= 1
        raise said.wrong()
    said.end()
    return Discard(what)


def _nothing(tag: str):  # type: ignore[no-untyped-def]
    return lambda said: Ignored(tag)


def _copy(said: Reader) -> Command:
    from polyport.ports.output.sql.copying import asked

    return asked(said)


_VERBS = {
    "begin": _begin, "start": _start, "commit": _commit, "end": _commit, "rollback": _rollback,
    "abort": _rollback, "savepoint": _savepoint, "release": _release, "set": _set, "reset": _reset,
    "show": _show, "declare": _declare, "fetch": _fetch, "move": _move, "close": _close,
    "prepare": _prepare, "execute": _execute, "deallocate": _deallocate, "discard": _discard, "copy": _copy,
    "listen": lambda _: Ignored("LISTEN"), "unlisten": lambda _: Ignored("UNLISTEN"),
}  # fmt: skip
