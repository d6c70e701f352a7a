"""The process that runs consumers' SQL: over one set of relations, one statement at a time, nothing else in reach."""

from __future__ import annotations

import ctypes
import os
import signal
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import chain, islice
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import UUID

import duckdb
import pyarrow as pa

from polyport.engine.walled import confined, faults, guard, locked, mending
from polyport.engine.walled.nodes import RefusedError
from polyport.engine.walled.protocol import PIECE, Channel, Silent

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Mapping, Sequence

    from polyport.engine.walled.nodes import Name

BATCH_ROWS = 32_768
MUCH = 250_000
"""Rows from which on more than one thread is of use: the engine shares them out by some 120,000."""
MOST_KEPT, LONGEST_KEPT, MOST_SHAPES = 256, 10_000, 8
"""Statements that are kept, their characters, and of each the types of parameters that it was described for."""
PATIENCE = 0.05
"""Seconds that rows may wait for others to be sent with."""
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
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
class _Known:
    """What was learnt of a statement. It holds for as long as the worker lives: what it sees never changes."""

    checked: guard.Checked
    missing: list[Name]
    said: dict[str, Any]
    """What it reads."""
    con: duckdb.DuckDBPyConnection
    """Where it runs."""
    relation: duckdb.DuckDBPyRelation | None = None
    """The statement itself, where it takes no values."""
    described: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)
    """What it gives, by the types of its parameters."""


@dataclass(slots=True)
class _Worker:
    channel: Channel
    told: Mapping[str, Any]
    con: duckdb.DuckDBPyConnection = field(init=False)
    """For all that takes little time: of one thread, for which nobody has to wait."""
    wide: duckdb.DuckDBPyConnection | None = None
    """For statements that read much; made when the first one comes."""
    macros: frozenset[str] = field(init=False)
    made: dict[int, set[str]] = field(default_factory=dict)
    """Those of our macros that are made, by connection."""
    known: dict[str, _Known] = field(default_factory=dict)
    columns: dict[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    """Of each relation, as far as they were asked for."""

    def __post_init__(self) -> None:
        try:
            self.con = locked.opened(self.told, 1, self.told["scratch"])
            locked.limit(int(self.told["bytes"]), int(self.told["spill_bytes"]))
        except (duckdb.Error, MemoryError) as error:
            self.channel.answer({"error": faults.told(error)})
            raise Silent from error
        self.macros = frozenset(self.told["macros"])

    def serve(self, asked: Mapping[str, Any]) -> None:
        """Answer one request; whatever goes wrong with it is told."""
        if asked["what"] == "walls":
            self.channel.answer({"walls": confined.tried(), "network": confined.network()})
            return
        known = None
        try:
            known = self._known(asked["sql"])
            if known.missing:
                self.channel.answer({"missing": [list(t) for t in known.missing]})
            else:
                self._perform(asked, known)
        except RefusedError as error:
            line, column = faults.place(asked["sql"], error.position)
            told = {"kind": "refused", "message": error.message, "fix": error.fix}
            self.channel.answer({"error": {**told, "line": line, "column": column}})
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - the one boundary around what consumers say
            self.channel.answer({"error": self._told(error, known, asked)})

    def _perform(self, asked: Mapping[str, Any], known: _Known) -> None:
        """Describe a statement or run it; in the dialect of PostgreSQL, also what the binder does not know."""
        described = asked["what"] == "describe"
        given = tuple(asked.get("types") or ())
        try:
            self._describe(given, known) if described else self._run(asked, known)
        except duckdb.BinderException:
            checked, tables = known.checked, known.said["tables"]
            if self.told["dialect"] != "postgres":
                raise
            values = (
                [_sample(kind) for kind in self._kinds(given, checked, tables)]
                if described
                else self._fitted(asked, checked, tables)
            )
            mended = mending.mended(
                self.con, checked, self.macros, values, partial(self._define, known)
            )
            if mended is None:
                raise
            known.checked = mended
            self._describe(given, known) if described else self._run(asked, known)

    def _known(self, sql: str) -> _Known:
        """The statement, checked: those that are asked again and again once."""
        found = self.known.get(sql)
        if found is None:
            postgres = self.told["dialect"] == "postgres"
            checked = guard.check(self.con, sql, self.macros, postgres=postgres)
            keys = {table: self._found(table) for table in checked.tables}
            tables = [key for key in dict.fromkeys(keys.values()) if key is not None]
            found = _Known(
                checked,
                [table for table, key in keys.items() if key is None],
                {"tables": tables, "columns": sorted(checked.columns), "star": checked.star},
                self._place(tables),
            )
            self._define(found, checked.functions)
            if len(sql) <= LONGEST_KEPT:
                self.known[sql] = found
            if len(self.known) > MOST_KEPT:
                del self.known[next(iter(self.known))]
        return found

    def _define(self, known: _Known, names: Iterable[str]) -> None:
        """Make macros of these names, where a statement is described and where it runs."""
        for con in {id(c): c for c in (self.con, known.con)}.values():
            made = self.made.setdefault(id(con), set())
            locked.define(con, self.told["macros"], names, made)

    def _place(self, tables: Sequence[str]) -> duckdb.DuckDBPyConnection:
        """The connection for a statement over `tables`."""
        threads = self.told["threads"]
        if threads == 1 or sum(self.told["rows"][table] for table in tables) < MUCH:
            return self.con
        if self.wide is None:
            self.wide = locked.opened(self.told, threads, self.told["wide"])
        return self.wide

    def _told(
        self, error: Exception, known: _Known | None, asked: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """An error, with its place in the statement as it was written, where the engine names it."""
        told, rewritten = faults.told(error, asked["sql"]), known and known.checked.rewritten
        if known and isinstance(error, duckdb.BinderException | duckdb.CatalogException):
            sql = asked["sql"] if rewritten else known.checked.sql
            try:
                self._define(known, locked.words(sql))
                self.con.execute(f"EXPLAIN {sql}", asked.get("values") or None).fetchall()
            except duckdb.Error as second:
                found = faults.told(second, asked["sql"])
                if not rewritten or found["message"] == told["message"]:
                    return found
        return {**told, "line": 0, "column": 0} if rewritten else told

    def _found(self, name: Name) -> str | None:
        """The key of the relation that a table's name means."""
        if len(name) > 1 and guard.folded(name[0]) == guard.folded(self.told["catalog"]):
            name = name[1:]
        return self.told["names"].get(guard.meant(name))  # type: ignore[no-any-return]

    def _describe(self, given: tuple[str, ...], known: _Known) -> None:
        """Tell what a statement gives; `given`: the types of its parameters, as far as they are known."""
        found = known.described.get(given)
        if found is None:
            found = self._shape(given, known)
            if len(known.described) < MOST_SHAPES:
                known.described[given] = found
        self.channel.answer(found)

    def _shape(self, given: Sequence[str], known: _Known) -> dict[str, Any]:
        checked = known.checked
        kinds = self._kinds(given, checked, known.said["tables"])
        relation = self._bound(checked.sql, kinds)
        if relation is None:  # the kinds that were found do not fit: let the engine find them
            kinds = [*given, *kinds[len(given) :]]
            relation = self.con.sql(checked.sql, params=[_sample("")] * checked.parameters or None)
        names, types = self._names(checked, relation.columns), [_type(t) for t in relation.types]
        shape = self.con.sql(
            f"SELECT * FROM (\n{checked.sql}\n) LIMIT 0",
            params=[_sample(k) for k in kinds] or None,
        ).to_arrow_table()
        schema = pa.schema([f.with_name(n) for f, n in zip(shape.schema, names, strict=True)])
        told = {
            "types": types,
            "parameters": kinds,
            "schema": schema.serialize().to_pybytes().hex(),
            "lasting": True,
        }
        return {**known.said, **told}

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
        hinted = any(hint.startswith(".") for hint in checked.hints.values())
        columns = {n.lower(): t for key in tables for n, t in self._columns(key)} if hinted else {}
        kinds = []
        for number in range(1, checked.parameters + 1):
            hint = checked.hints.get(number, "")
            found = columns.get(hint[1:].lower(), "") if hint.startswith(".") else hint
            kinds.append((given[number - 1] if number <= len(given) else "") or found)
        return kinds

    def _columns(self, key: str) -> Sequence[tuple[str, str]]:
        if key not in self.columns:
            relation = self.con.sql(f"SELECT * FROM {self.told['views'][key]}")
            named = zip(relation.columns, relation.types, strict=True)
            self.columns[key] = [(name, str(kind)) for name, kind in named]
        return self.columns[key]

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

    def _run(self, asked: Mapping[str, Any], known: _Known) -> None:
        checked, tables = known.checked, known.said["tables"]
        values = self._fitted(asked, checked, tables)
        most = min((asked["most"][k] for k in tables if asked["most"].get(k)), default=0)
        if most and _more(known.con, most, checked.sql, values):
            self.channel.answer({"error": {"kind": "rows", "message": ""}})
            return
        relation = known.relation
        if relation is None:
            relation = known.con.sql(checked.sql, params=values)
            known.relation = relation if values is None else None
        said = {**known.said, "types": [_type(t) for t in relation.types]}
        names = self._names(checked, relation.columns)
        reader = _called(relation.to_arrow_reader(BATCH_ROWS), names)
        begun = list(islice(reader, 1))
        if all(b.num_rows < BATCH_ROWS and b.nbytes <= PIECE for b in begun):
            more = list(islice(reader, 1))
            if not more:  # all in one message: nobody has to wait for its end
                whole = _whole(reader.schema, begun)
                self.channel.answer(
                    {**said, "whole": len(whole), "lasting": checked.lasting}, more=True
                )
                self.channel.write(whole)
                self.channel.push()
                return
            begun += more
        self.channel.answer({**said, "lasting": checked.lasting}, more=True)
        failed = _stream(self.channel, reader.schema, chain(begun, reader))
        self.channel.answer(
            {"error": faults.told(failed, "" if checked.rewritten else asked["sql"])}
            if failed
            else {"done": True}
        )


def _more(con: duckdb.DuckDBPyConnection, most: int, sql: str, values: list[Any] | None) -> bool:
    """Whether a statement gives more than `most` rows."""
    counted = con.sql(
        f"SELECT count(*) FROM (SELECT 1 FROM (\n{sql}\n) LIMIT {int(most) + 1})", params=values
    ).fetchall()
    return int(counted[0][0]) > most


def _called(reader: pa.RecordBatchReader, names: Sequence[str]) -> pa.RecordBatchReader:
    """The same rows, the columns called `names`."""
    if list(names) == reader.schema.names:
        return reader
    schema = pa.schema([f.with_name(n) for f, n in zip(reader.schema, names, strict=True)])
    batches = (pa.RecordBatch.from_arrays(b.columns, schema=schema) for b in reader)
    return pa.RecordBatchReader.from_batches(schema, batches)


def _whole(schema: pa.Schema, batches: Sequence[pa.RecordBatch]) -> pa.Buffer:
    """An Arrow stream of the batches."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


def _stream(
    channel: Channel, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> Exception | None:
    """Send the batches as an Arrow stream; what ended it early."""
    with pa.ipc.new_stream(pa.PythonFile(channel, mode="w"), schema) as writer:
        try:
            sent = monotonic()
            for batch in batches:
                writer.write_batch(batch)
                if monotonic() - sent > PATIENCE:  # rows that come slowly are not held back
                    channel.push()
                    sent = monotonic()
        except (duckdb.Error, MemoryError, pa.ArrowException) as error:
            # Its frames would keep the rows, and what they spilled, until garbage is collected.
            return error.with_traceback(None)
        return None


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
