"""The small catalogue for where there is no PostgreSQL: settings, types, and the tables in their simple form."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from typing import TYPE_CHECKING

from polyport.ports.output.sql.catalogue.backend import error_response
from polyport.ports.output.sql.catalogue.encoding import bound, row, spread
from polyport.ports.output.sql.catalogue.functions import Functions
from polyport.ports.output.sql.catalogue.lexer import tokens
from polyport.ports.output.sql.catalogue.routing import Refusal, judge
from polyport.ports.output.sql.catalogue.settings import (
    SHOWN,
    Settings,
    assigned,
)
from polyport.ports.output.sql.catalogue.small import (
    TEXT,
    TYPES,
    filled,
)
from polyport.ports.output.sql.catalogue.translate import (
    NotHereError,
    parameters,
    parsed,
    result_names,
    result_types,
    translated,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from polyport.ports.output.sql.catalogue.types import CatalogueSession, Message, Table

INSTALL = "pip install 'polyport[sql]'"
_LENGTHS = {oid: length for oid, _, length, _, _ in TYPES.values()}
_OTHER = Refusal("0A000", "this statement is not one for the catalogue")
_STEPS = 5_000_000
"""How many steps of SQLite one query may take: about a second."""


class BuiltInCatalogue:
    """A catalogue that needs no PostgreSQL."""

    note = f"no PostgreSQL: a small built-in catalogue ({INSTALL} for the whole)"

    def open(
        self, database: str, user: str, sees: Sequence[Table], databases: Sequence[str] = ()
    ) -> CatalogueSession:
        """A conversation over what `user` sees."""
        return BuiltInSession(database, user, sees, databases)

    def close(self) -> None:
        """Nothing was started."""


class _Statement:
    """A prepared statement, or the portal made of it."""

    def __init__(self, session: BuiltInSession, sql: str) -> None:
        self.sql = sql
        self.first = next((t.text for t in tokens(sql) if t.text != "("), "")
        self.query = parsed(sql) if self.first in {"select", "with", "values", "table"} else None
        self.values: list[object] = []
        self.formats: Sequence[int] = ()
        self.columns = session.columns(self)
        self.rows: list[tuple[object, ...]] | None = None

    @property
    def parameters(self) -> int:
        return parameters(self.query) if self.query else 0


class BuiltInSession:
    """One connection's conversation with the small catalogue."""

    def __init__(
        self, database: str, user: str, sees: Sequence[Table], databases: Sequence[str] = ()
    ) -> None:
        self._datasets = frozenset(t.name for t in sees)
        schemas = list(dict.fromkeys(t.product for t in sees))
        schema = database if database in schemas else (schemas or ["public"])[0]
        self._settings = Settings(user, ", ".join([*schemas, "public"]))
        self.parameters: Mapping[str, str] = self._settings.reported()
        functions = Functions(database, user, schema, self._settings)
        self._tables = functions.tables = filled(
            (database, *databases), user, sees, functions.all()
        )
        self._tables.set_progress_handler(self._step, 1000)
        self._steps = 0
        self._handlers: Mapping[bytes, Callable[[bytes], Iterator[Message]]] = {
            b"P": self._parse,
            b"B": self._bind,
            b"D": self._describe,
            b"E": self._execute,
            b"C": self._close,
        }
        self._statements: dict[bytes, _Statement] = {}
        self._portals: dict[bytes, _Statement] = {}

    def takes(self, sql: str) -> bool:
        """Whether `sql` is for the catalogue."""
        return judge(sql, self._datasets).mine

    def simple(self, sql: str) -> Iterator[Message]:
        """The answer to one statement."""
        yield from self._answers([(b"P", b"\0" + sql.encode() + b"\0\0\0"), *_AT_ONCE], quiet=True)

    def extended(self, messages: Sequence[Message]) -> Iterator[Message]:
        """The answers to the messages, up to the first error."""
        yield from self._answers(messages, quiet=False)

    def parameter_types(self, sql: str, oids: Sequence[int]) -> tuple[int, ...] | None:
        """Not known without PostgreSQL."""
        del sql, oids
        return None

    def close(self) -> None:
        """Let go of the tables."""
        self._tables.close()

    def columns(self, statement: _Statement) -> list[tuple[str, int]]:
        """The names and types of what `statement` gives; none where it gives no rows."""
        if statement.first == "show":
            name = "".join(t.text for t in tokens(statement.sql)[1:] if t.text != ";")
            name = SHOWN.get(name, name)
            shown = ("name", "setting", "description") if name == "all" else (name,)
            return [(n, TEXT) for n in shown]
        if statement.query is None:
            return []
        with closing(self._run(statement, [None] * statement.parameters)) as cursor:
            names = [column[0] for column in cursor.description]
        called = result_names(statement.query, names)
        return list(zip(called, result_types(statement.query, names), strict=True))

    def _answers(self, messages: Sequence[Message], *, quiet: bool) -> Iterator[Message]:
        before = self._settings.reported()
        try:
            for kind, body in messages:
                for answer in self._handlers[kind](body):
                    if not (quiet and answer[0] in {b"1", b"2", b"n"}):
                        yield answer
        except _FailedError as failed:
            self._portals.clear()
            yield error_response(
                failed.refusal.sqlstate, failed.refusal.message, failed.refusal.hint
            )
        after = self._settings.reported()
        for name in (name for name, value in after.items() if before[name] != value):
            yield b"S", f"{name}\0{after[name]}\0".encode()

    def _parse(self, body: bytes) -> Iterator[Message]:
        name, sql, _ = body.split(b"\0", 2)
        text = sql.decode("utf-8", "replace")
        ruling = judge(text, self._datasets)
        if refusal := (ruling.refusal if ruling.mine else _OTHER):
            raise _FailedError(refusal)
        if tokens(text)[0].text == "copy":
            raise _FailedError(Refusal("0A000", "the built-in catalogue has no COPY", INSTALL))
        try:
            self._statements[name] = _Statement(self, text)
        except (NotHereError, sqlite3.Error) as error:
            raise _FailedError(
                Refusal("0A000", f"the built-in catalogue cannot answer this: {error}", INSTALL)
            ) from error
        yield b"1", b""

    def _bind(self, body: bytes) -> Iterator[Message]:
        portal, name, rest = body.split(b"\0", 2)
        if name not in self._statements:
            raise _FailedError(Refusal("26000", "there is no such prepared statement"))
        prepared = self._statements[name]
        made = _Statement(self, prepared.sql)
        made.values, made.formats = bound(rest)
        self._portals[portal] = made
        yield b"2", b""

    def _describe(self, body: bytes) -> Iterator[Message]:
        found = self._found(body[:1], body[1:-1])
        if body[:1] == b"S":
            count = found.parameters
            yield b"t", struct.pack(f"!h{count}I", count, *([TEXT] * count))
        if not found.columns:
            yield b"n", b""
            return
        formats = spread(found.formats, len(found.columns))
        fields = b"".join(
            name.encode()
            + b"\0"
            + struct.pack("!IhIhih", 0, 0, oid, _LENGTHS.get(oid, -1), -1, form)
            for (name, oid), form in zip(found.columns, formats, strict=True)
        )
        yield b"T", struct.pack("!h", len(found.columns)) + fields

    def _execute(self, body: bytes) -> Iterator[Message]:
        name, rest = body.split(b"\0", 1)
        portal = self._found(b"P", name)
        (most,) = struct.unpack("!i", rest)
        if portal.rows is None:
            portal.rows = list(self._rows(portal))
        formats = spread(portal.formats, len(portal.columns))
        batch = portal.rows[:most] if most else portal.rows
        portal.rows = portal.rows[len(batch) :]
        for found in batch:
            yield b"D", row(found, portal.columns, formats)
        if portal.rows:
            yield b"s", b""
            return
        tag = f"SELECT {len(batch)}" if portal.query else portal.first.upper()
        yield b"C", f"{'DISCARD ALL' if tag == 'DISCARD' else tag}\0".encode()

    def _close(self, body: bytes) -> Iterator[Message]:
        (self._statements if body[:1] == b"S" else self._portals).pop(body[1:-1], None)
        yield b"3", b""

    def _found(self, kind: bytes, name: bytes) -> _Statement:
        found = (self._statements if kind == b"S" else self._portals).get(name)
        if found is None:
            what, state = ("prepared statement", "26000") if kind == b"S" else ("portal", "34000")
            raise _FailedError(
                Refusal(state, f"there is no {what} {name.decode(errors='replace')!r}")
            )
        return found

    def _rows(self, portal: _Statement) -> Iterator[tuple[object, ...]]:
        if portal.query is None:
            try:
                yield from self._command(portal)
            except LookupError as error:
                said = f"unrecognized configuration parameter {str(error.args[0])!r}"
                raise _FailedError(Refusal("42704", said)) from error
            except ValueError as error:
                said = f"parameter {str(error.args[0])!r} cannot be changed"
                raise _FailedError(Refusal("55P02", said)) from error
            return
        try:
            with closing(self._run(portal, portal.values)) as cursor:
                yield from cursor
        except sqlite3.Error as error:
            said = f"the built-in catalogue cannot answer this: {error}"
            raise _FailedError(Refusal("0A000", said, INSTALL)) from error

    def _command(self, portal: _Statement) -> Iterator[tuple[object, ...]]:
        if portal.first == "show":
            yield from self._shown(portal.columns[0][0], all_of_them=len(portal.columns) > 1)
        elif portal.first == "set":
            name, value = assigned(portal.sql)
            if name:
                self._settings.set(name, value)
        elif portal.first == "reset":
            name = "".join(t.text for t in tokens(portal.sql)[1:] if t.text != ";")
            self._settings.reset("" if name == "all" else name)
        elif portal.first == "discard":
            self._settings.reset()
            self._statements.clear()

    def _shown(self, name: str, *, all_of_them: bool) -> Iterator[tuple[object, ...]]:
        if all_of_them:
            yield from ((n, v, "") for n, v in sorted(self._settings.values.items()))
            return
        value = self._settings.get(name)
        if value is None:
            raise LookupError(name)
        yield (value,)

    def _run(self, statement: _Statement, values: Sequence[object]) -> sqlite3.Cursor:
        self._steps = 0
        if statement.query is None:
            raise NotHereError("it is no query")
        named = {str(at): value for at, value in enumerate(values, start=1)}
        return self._tables.execute(translated(statement.query), named)

    def _step(self) -> int:
        self._steps += 1000
        return int(self._steps > _STEPS)


class _FailedError(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


_AT_ONCE = ((b"B", b"\0\0" + bytes(6)), (b"D", b"P\0"), (b"E", b"\0" + bytes(4)))
