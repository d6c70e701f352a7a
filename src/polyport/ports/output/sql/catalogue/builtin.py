"""The small catalogue for where there is no PostgreSQL: settings, types, and the tables in their simple form."""

from __future__ import annotations

import re
import sqlite3
import struct
from contextlib import closing
from typing import TYPE_CHECKING

from polyport.ports.output.sql.catalogue.backend import error_response
from polyport.ports.output.sql.catalogue.lexer import tokens
from polyport.ports.output.sql.catalogue.routing import Refusal, judge
from polyport.ports.output.sql.catalogue.settings import (
    SHOWN,
    VERSION,
    Settings,
    assigned,
)
from polyport.ports.output.sql.catalogue.small import (
    BOOL,
    INT2,
    INT4,
    INT8,
    OID,
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
_PACKED = {BOOL: "!?", INT2: "!h", INT4: "!i", INT8: "!q", OID: "!I"}
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
        self._database, self._user, self._sees = database, user, sees
        self._datasets = frozenset(t.name for t in sees)
        schemas = list(dict.fromkeys(t.product for t in sees))
        self._schema = database if database in schemas else (schemas or ["public"])[0]
        self._settings = Settings(user, ", ".join([*schemas, "public"]))
        self.parameters: Mapping[str, str] = self._settings.reported()
        self._tables = filled((database, *databases), user, sees, self._functions())
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
        ruling = judge(sql.decode("utf-8", "replace"), self._datasets)
        if refusal := (ruling.refusal if ruling.mine else _OTHER):
            raise _FailedError(refusal)
        try:
            self._statements[name] = _Statement(self, sql.decode("utf-8", "replace"))
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
        made.values, made.formats = _bound(rest)
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
        formats = _spread(found.formats, len(found.columns))
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
        formats = _spread(portal.formats, len(portal.columns))
        batch = portal.rows[:most] if most else portal.rows
        portal.rows = portal.rows[len(batch) :]
        for row in batch:
            yield b"D", _row(row, portal.columns, formats)
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

    def _set_config(self, name: str, value: str, *_: object) -> str:
        self._settings.set(name, value)
        return value

    def _functions(self) -> dict[str, Callable[..., str | int | None]]:
        by_oid = {oid: said[4] for said in TYPES.values() for oid in said[:1]}
        by_oid |= {said[1]: f"{said[4]}[]" for said in TYPES.values()}
        by_name = {name: said[0] for name, said in TYPES.items()}
        by_name |= {text: oid for oid, text in by_oid.items()}

        def regtype(value: object) -> str | int | None:
            return (
                by_oid.get(value, str(value)) if isinstance(value, int) else by_name.get(str(value))
            )

        true = dict.fromkeys(
            [
                "pg_table_is_visible",
                "pg_type_is_visible",
                "pg_function_is_visible",
                "has_table_privilege",
                "has_schema_privilege",
                "has_database_privilege",
                "has_any_column_privilege",
                "has_column_privilege",
                "has_type_privilege",
            ],
            lambda *_: 1,
        )
        nothing = dict.fromkeys(
            [
                "pg_get_expr",
                "pg_get_partkeydef",
                "pg_get_viewdef",
                "pg_get_constraintdef",
                "pg_get_indexdef",
                "obj_description",
                "shobj_description",
                "inet_server_addr",
                "inet_server_port",
                "inet_client_addr",
                "array_to_string",
            ],
            lambda *_: None,
        )
        return {
            **true,
            **nothing,
            "version": lambda: f"PostgreSQL {VERSION} (Polyport's built-in catalogue)",
            "current_schema": lambda: self._schema,
            "current_user": lambda: self._user,
            "current_database": lambda: self._database,
            "current_setting": lambda name, *_: self._settings.get(name),
            "set_config": self._set_config,
            "pg_backend_pid": lambda: 1,
            "pg_is_in_recovery": lambda: 0,
            "pg_get_userbyid": lambda _: "polyport",
            "pg_encoding_to_char": lambda _: "UTF8",
            "quote_ident": lambda name: '"' + str(name).replace('"', '""') + '"',
            "format_type": lambda oid, *_: by_oid.get(oid, "???"),
            "pg_regtype": regtype,
            "pg_regclass": lambda value: value,
            "to_regtype": lambda name: by_name.get(str(name)),
            "pg_match": _match,
            "pg_imatch": lambda text, pattern: _match(text, pattern, re.IGNORECASE),
        }


class _FailedError(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


_AT_ONCE = ((b"B", b"\0\0" + bytes(6)), (b"D", b"P\0"), (b"E", b"\0" + bytes(4)))


def _match(text: object, pattern: object, flags: int = 0) -> int | None:
    if text is None or pattern is None:
        return None
    try:
        return int(re.search(str(pattern), str(text), flags) is not None)
    except re.error as error:
        raise ValueError(f"no regular expression: {pattern}") from error


def _bound(rest: bytes) -> tuple[list[object], Sequence[int]]:
    """The values and the result formats of a Bind message, after its two names."""
    (count,) = struct.unpack_from("!h", rest)
    formats = struct.unpack_from(f"!{count}h", rest, 2)
    at = 2 + 2 * count
    (number,) = struct.unpack_from("!h", rest, at)
    at += 2
    values: list[object] = []
    for form in _spread(formats, number):
        (length,) = struct.unpack_from("!i", rest, at)
        at += 4
        value = rest[at : at + max(length, 0)]
        values.append(None if length < 0 else _value(value, form))
        at += max(length, 0)
    (results,) = struct.unpack_from("!h", rest, at)
    return values, struct.unpack_from(f"!{results}h", rest, at + 2)


def _value(data: bytes, form: int) -> object:
    """A parameter's value. All are declared as text, so binary is text, too; digits compare with OIDs."""
    text = data.decode("utf-8", "replace")
    return int(text) if not form and re.fullmatch(r"-?\d{1,18}", text) else text


def _spread(formats: Sequence[int], count: int) -> Sequence[int]:
    return list(formats) if len(formats) == count else [formats[0] if formats else 0] * count


def _row(
    row: Sequence[object], columns: Sequence[tuple[str, int]], formats: Sequence[int]
) -> bytes:
    parts = [struct.pack("!h", len(row))]
    for value, (_, oid), form in zip(row, columns, formats, strict=True):
        if value is None:
            parts.append(struct.pack("!i", -1))
            continue
        data = _binary(value, oid) if form else _as_text(value, oid)
        parts += [struct.pack("!i", len(data)), data]
    return b"".join(parts)


def _binary(value: object, oid: int) -> bytes:
    packed = _PACKED.get(oid)
    return struct.pack(packed, value) if packed else _as_text(value, oid)


def _as_text(value: object, oid: int) -> bytes:
    return (b"t" if value else b"f") if oid == BOOL else str(value).encode()
