"""What a statement asks of the connection itself: transactions, settings, cursors, prepared statements, COPY."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from polyport.ports.output.sql import copying
from polyport.ports.output.sql.commands import (
    ALL,
    Close,
    Command,
    Deallocate,
    Declare,
    Discard,
    Execute,
    Fetch,
    Ignored,
    Prepare,
    Reader,
    Select,
    Setting,
    Transaction,
    Write,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable

    from polyport.ports.output.sql.scanner import Statement

_WRITES: Final = frozenset((
    "insert", "update", "delete", "merge", "truncate", "create", "drop", "alter", "grant", "revoke", "comment",
    "vacuum", "analyze", "reindex", "cluster", "lock", "refresh", "import", "security", "call", "do", "notify",
    "checkpoint", "explain", "attach", "detach", "install", "load", "pragma", "export",
))  # fmt: skip


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


def _begin(_: Reader) -> Command:
    return Transaction("begin")


def _start(said: Reader) -> Command:
    said.expect("transaction")
    return Transaction("begin")


def _commit(said: Reader) -> Command:
    if said.peek("prepared"):
        return Write("COMMIT PREPARED")
    said.took("work", "transaction")
    _chain(said)
    return Transaction("commit")


def _rollback(said: Reader) -> Command:
    said.took("work", "transaction")
    if said.took("to"):
        said.took("savepoint")
        return Transaction("return", said.name())
    _chain(said)
    return Transaction("rollback")


def _chain(said: Reader) -> None:
    if said.took("and"):
        said.expect("no")
        said.expect("chain")
    said.end()


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
    backward, count, skip, place = said.took("prior", "backward", "last"), 1, 0, 0
    if backward:
        _count(said, default=1)
    elif said.took("first"):
        place = 1
    elif said.took("absolute"):
        place = _count(said, default=1)
        backward = place <= 0
    elif said.took("relative"):
        skip = _count(said, default=1) - 1
        backward = skip < 0
    elif not said.took("next"):
        forward = said.took("forward")
        count = _count(said, default=1 if forward else None)
        backward = count < ALL
    said.took("from", "in")
    name = said.name()
    said.end()
    if backward:
        return Fetch(name, 0, move, backward=True)
    return Fetch(name, count, move, skip=skip, place=place)


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


_VERBS: Final[dict[str, Callable[[Reader], Command]]] = {
    "begin": _begin, "start": _start, "commit": _commit, "end": _commit, "rollback": _rollback,
    "abort": _rollback, "savepoint": _savepoint, "release": _release, "set": _set, "reset": _reset,
    "show": _show, "declare": _declare, "fetch": _fetch, "move": _move, "close": _close,
    "prepare": _prepare, "execute": _execute, "deallocate": _deallocate, "discard": _discard, "copy": copying.asked,
    "listen": lambda _: Ignored("LISTEN"), "unlisten": lambda _: Ignored("UNLISTEN"),
}  # fmt: skip
