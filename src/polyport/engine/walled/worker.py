"""The process that runs consumers' SQL: over one set of relations, one statement at a time, nothing else in reach."""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import UUID

import duckdb
import pyarrow as pa

from polyport.engine.walled import confined, guard
from polyport.engine.walled.protocol import Channel, Silent

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

BATCH_ROWS = 32_768
MOST_KEPT, LONGEST_KEPT = 256, 10_000
"""Checked statements that are kept, and their characters."""
PATIENCE = 0.05
"""Seconds that rows may wait for others to be sent with."""
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
_PREFIX = re.compile(r"^(?:[A-Z]\w+ )+Error: ")
PAGE = resource.getpagesize()
_libc = ctypes.CDLL(None, use_errno=True)


def run(end: socket.socket, keeper: int) -> None:
    """Serve the keeper (a process id) at the other side of `end` until it closes."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:
        return
    _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    channel = Channel(end)
    try:
        told = channel.told()
        confined.confine(told["files"], told["scratch"])
        worker = _Worker(channel, told)
        channel.answer({"ready": True})
        while True:
            end.settimeout(worker.told["idle"])  # whoever is never asked again ends by itself
            asked = channel.told()
            end.settimeout(None)
            worker.serve(asked)
    except (Silent, OSError):
        return


@dataclass(slots=True)
class _Worker:
    channel: Channel
    told: Mapping[str, Any]
    con: duckdb.DuckDBPyConnection
    macros: frozenset[str]
    known: dict[str, guard.Checked]

    def __init__(self, channel: Channel, told: Mapping[str, Any]) -> None:
        self.channel, self.told, self.known = channel, told, {}
        try:
            self.con, self.macros = _opened(told)
        except (duckdb.Error, MemoryError) as error:
            channel.answer({"error": _told(error)})
            raise Silent from error

    def serve(self, asked: Mapping[str, Any]) -> None:
        """Answer one request; whatever goes wrong with it is told."""
        if asked["what"] == "walls":
            self.channel.answer({"walls": confined.tried(), "network": confined.network()})
            return
        checked = None
        try:
            checked = self._check(asked["sql"])
            missing = [t for t in checked.tables if self._found(t) is None]
            if missing:
                self.channel.answer({"missing": [list(t) for t in missing]})
                return
            said = self._said(checked)
            if asked["what"] == "describe":
                self._describe(asked, checked, said)
            else:
                self._run(asked, checked, said)
        except guard.RefusedError as error:
            line, column = _place(asked["sql"], error.position)
            told = {"kind": "refused", "message": error.message, "fix": error.fix}
            self.channel.answer({"error": {**told, "line": line, "column": column}})
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - the one boundary around what consumers say
            if checked is not None:
                error = self._placed(error, checked, asked)
            self.channel.answer({"error": _told(error, asked["sql"])})

    def _check(self, sql: str) -> guard.Checked:
        """The statement, checked: those that are asked again and again once."""
        found = self.known.get(sql)
        if found is None:
            postgres = self.told["dialect"] == "postgres"
            found = guard.check(self.con, sql, self.macros, postgres=postgres)
            if len(sql) <= LONGEST_KEPT:
                self.known[sql] = found
            if len(self.known) > MOST_KEPT:
                del self.known[next(iter(self.known))]
        return found

    def _placed(
        self, error: Exception, checked: guard.Checked, asked: Mapping[str, Any]
    ) -> Exception:
        """The same error from a statement for which the engine names places."""
        if isinstance(error, duckdb.BinderException | duckdb.CatalogException):
            try:
                self.con.execute(f"EXPLAIN {checked.sql}", asked.get("values") or None).fetchall()
            except duckdb.Error as second:
                found: Exception = second
                return found
        return error

    def _found(self, name: guard.Name) -> str | None:
        """The key of the relation that a table's name means."""
        if len(name) > 1 and guard.folded(name[0]) == guard.folded(self.told["catalog"]):
            name = name[1:]
        return self.told["names"].get(guard.meant(name))  # type: ignore[no-any-return]

    def _said(self, checked: guard.Checked) -> dict[str, Any]:
        used = list(dict.fromkeys(k for t in checked.tables if (k := self._found(t))))
        return {"tables": used, "columns": sorted(checked.columns), "star": checked.star}

    def _describe(
        self, asked: Mapping[str, Any], checked: guard.Checked, said: dict[str, Any]
    ) -> None:
        kinds = self._kinds(asked.get("types") or (), checked, said["tables"])
        relation = self._bound(checked.sql, kinds)
        if relation is None:  # the kinds that were found do not fit: let the engine find them
            kinds = [*(asked.get("types") or ()), *kinds[len(asked.get("types") or ()) :]]
            relation = self.con.sql(checked.sql, params=[_sample("")] * checked.parameters or None)
        names, types = self._names(checked, relation.columns), [_type(t) for t in relation.types]
        shape = self.con.sql(
            f"SELECT * FROM (\n{checked.sql}\n) LIMIT 0",
            params=[_sample(k) for k in kinds] or None,
        ).to_arrow_table()
        schema = pa.schema([f.with_name(n) for f, n in zip(shape.schema, names, strict=True)])
        self.channel.answer(
            {
                **said,
                "types": types,
                "parameters": kinds,
                "schema": schema.serialize().to_pybytes().hex(),
            }
        )

    def _bound(self, sql: str, kinds: Sequence[str]) -> duckdb.DuckDBPyRelation | None:
        try:
            return self.con.sql(sql, params=[_sample(k) for k in kinds] or None)
        except (duckdb.BinderException, duckdb.ConversionException):
            if any(kinds):
                return None
            raise

    def _kinds(
        self, given: Sequence[str], checked: guard.Checked, tables: Sequence[str]
    ) -> list[str]:
        """The SQL types of the parameters: as given, else what their place says."""
        columns = {n.lower(): t for key in tables for n, t in self._columns(key)}
        kinds = []
        for number in range(1, checked.parameters + 1):
            hint = checked.hints.get(number, "")
            found = columns.get(hint[1:].lower(), "") if hint.startswith(".") else hint
            kinds.append((given[number - 1] if number <= len(given) else "") or found)
        return kinds

    def _columns(self, key: str) -> Sequence[tuple[str, str]]:
        relation = self.con.sql(f"SELECT * FROM {self.told['views'][key]}")
        return [(n, str(t)) for n, t in zip(relation.columns, relation.types, strict=True)]

    def _names(self, checked: guard.Checked, known: Sequence[str]) -> Sequence[str]:
        """What the columns are called."""
        named = self.told["dialect"] == "postgres" and len(checked.names) == len(known)
        return checked.names if named else known

    def _fitted(
        self, asked: Mapping[str, Any], checked: guard.Checked, tables: Sequence[str]
    ) -> list[Any] | None:
        """The values to bind; text where something else is wanted becomes that, as a literal would."""
        values = list(asked.get("values") or ())
        if any(isinstance(value, str) for value in values):
            kinds = self._kinds((), checked, tables)
            values = [
                duckdb.Value(v, duckdb.type(k))
                if isinstance(v, str) and k not in ("", "VARCHAR")
                else v
                for v, k in zip(values, [*kinds, *[""] * len(values)], strict=False)
            ]
        return values or None

    def _run(self, asked: Mapping[str, Any], checked: guard.Checked, said: dict[str, Any]) -> None:
        values = self._fitted(asked, checked, said["tables"])
        if most := min(
            (asked["most"][k] for k in said["tables"] if asked["most"].get(k)), default=0
        ):
            counted = self.con.sql(
                f"SELECT count(*) FROM (SELECT 1 FROM (\n{checked.sql}\n) LIMIT {int(most) + 1})",
                params=values,
            ).fetchall()
            if counted[0][0] > most:
                self.channel.answer({"error": {"kind": "rows", "message": ""}})
                return
        relation = self.con.sql(checked.sql, params=values)
        types = [_type(t) for t in relation.types]
        reader = _called(
            relation.to_arrow_reader(BATCH_ROWS), self._names(checked, relation.columns)
        )
        first = next(iter(reader), None)
        self.channel.answer({**said, "types": types}, more=True)
        failed = _stream(self.channel, reader, first)
        self.channel.answer({"error": _told(failed, asked["sql"])} if failed else {"done": True})


def _called(reader: pa.RecordBatchReader, names: Sequence[str]) -> pa.RecordBatchReader:
    """The same rows, the columns called `names`."""
    if list(names) == reader.schema.names:
        return reader
    schema = pa.schema([f.with_name(n) for f, n in zip(reader.schema, names, strict=True)])
    batches = (pa.RecordBatch.from_arrays(b.columns, schema=schema) for b in reader)
    return pa.RecordBatchReader.from_batches(schema, batches)


def _stream(
    channel: Channel, reader: pa.RecordBatchReader, first: pa.RecordBatch | None
) -> Exception | None:
    """Send the batches as an Arrow stream; what ended it early."""
    with pa.ipc.new_stream(pa.PythonFile(channel, mode="w"), reader.schema) as writer:
        try:
            sent = monotonic()
            for batch in chain(() if first is None else (first,), reader):
                writer.write_batch(batch)
                if monotonic() - sent > PATIENCE:  # rows that come slowly are not held back
                    channel.push()
                    sent = monotonic()
        except (duckdb.Error, MemoryError, pa.ArrowException) as error:
            return error
        return None


def _opened(told: Mapping[str, Any]) -> tuple[duckdb.DuckDBPyConnection, frozenset[str]]:
    """The walled connection, with what may be seen; and our macros."""
    con = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_unsigned_extensions": False,
            "errors_as_json": True,
            "memory_limit": told["memory"],
            "threads": told["threads"],
            "temp_directory": told["scratch"],
            "max_temp_directory_size": told["spill"],
            "python_enable_replacements": False,
        }
    )
    catalog = _quoted(told["catalog"])
    con.execute("SET GLOBAL TimeZone = 'UTC'")
    con.execute(f"ATTACH ':memory:' AS {catalog}")
    con.execute(f"SET GLOBAL allowed_paths = [{', '.join(map(_literal, told['files']))}]")
    con.execute("SET GLOBAL enable_external_access = false")
    con.execute(f"USE {catalog}")
    if told["dialect"] == "postgres":
        con.execute("SET integer_division = true")
    for statement in told["macros"]:
        con.execute(statement)
    for schema in told["schemas"]:
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(schema)}")
    for statement, table in told["statements"]:
        if table is not None:
            con.register("_rows", pa.ipc.open_stream(table).read_all())
        con.execute(statement)
        if table is not None:
            con.unregister("_rows")
    con.execute("SET lock_configuration = true")
    _limit(int(told["bytes"]), int(told["spill_bytes"]))
    return con, frozenset(told["macro_names"])


def _limit(memory: int, spill: int) -> None:
    """From here on no more than so many bytes: of memory beyond what is in use now, and in any one file."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - before anything else is loaded
        used = int(file.read().split()[0]) * PAGE
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (spill, spill))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(5_000)


_SAMPLES: dict[str, object] = {
    "BOOLEAN": True,
    "VARCHAR": "1",
    "BLOB": b"1",
    "DATE": date(2000, 1, 1),
    "TIME": time(1),
    "TIMESTAMP": datetime(2000, 1, 1),  # noqa: DTZ001 - the type without a zone
    "TIMESTAMP WITH TIME ZONE": datetime(2000, 1, 1, tzinfo=UTC),
    "INTERVAL": timedelta(1),
    "UUID": UUID(int=1),
}


def _sample(kind: str) -> object:
    """A value of a type, to bind where only the type counts; null where none is known."""
    if kind.endswith("[]"):
        return [_sample(kind[:-2])]
    try:
        found = str(duckdb.type(kind)) if kind else ""
        return (
            _SAMPLES[found]
            if found in _SAMPLES
            else duckdb.Value(1, duckdb.type(found))
            if found
            else None
        )
    except (duckdb.Error, TypeError):  # no type, or no text
        return None


def _type(kind: object) -> str:
    said = str(kind)
    return "VARCHAR" if said in ('"NULL"', "NULL") else said


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _place(sql: str, position: int) -> tuple[int, int]:
    """Line and column (1-based) of a byte of `sql`; (0, 0): not known."""
    if position < 0:
        return 0, 0
    head = sql.encode(errors="replace")[:position].decode(errors="ignore")
    return head.count("\n") + 1, len(head) - (head.rfind("\n") + 1) + 1


_EXPLAINED = ("binder", "catalog")
"""The kinds whose places are counted in `EXPLAIN <statement>`."""


def _told(error: BaseException, sql: str = "") -> dict[str, Any]:
    """An error as it is told the keeper."""
    if isinstance(error, MemoryError | duckdb.OutOfMemoryException | pa.ArrowMemoryError):
        return {"kind": "memory", "message": "the statement needs more memory than it may take"}
    if isinstance(error, RecursionError):
        return {
            "kind": "refused",
            "message": "the statement is nested too deeply",
            "fix": "fewer levels",
        }
    text, position = str(error), -1
    _, _, body = text.partition(": ")
    if body.startswith("{"):
        try:
            details = json.loads(body)
            text, position = details["exception_message"], int(details.get("position") or -1)
        except (ValueError, KeyError):  # the engine appends to its JSON where a stream broke off
            text = body.splitlines()[0]
    kind = type(error).__name__.removesuffix("Exception").removesuffix("Error").lower()
    if kind in _EXPLAINED and position >= len("EXPLAIN "):
        position -= len("EXPLAIN ")
    lines = _PREFIX.sub("", text.strip()).splitlines() or [kind]
    hint = " ".join(x.strip() for x in lines[1:] if x.startswith(("Candidate", "Did you mean")))
    line, column = _place(sql, position)
    return {"kind": kind, "message": lines[0], "fix": hint, "line": line, "column": column}
