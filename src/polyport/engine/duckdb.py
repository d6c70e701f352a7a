"""The embedded engine: DuckDB in this process, a cursor of its own for each query, no extension, no network."""

from __future__ import annotations

import json
import re
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from polyport.engine import Written, csv_errors
from polyport.engine.compose import compose
from polyport.engine.hot import HotTables
from polyport.errors import ConfigurationError, QueryError, StoreError
from polyport.expression import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.engine import FieldIds
    from polyport.engine.compose import Composed
    from polyport.model import Files, Relation

BATCH_ROWS = 32_768
ROW_GROUP_ROWS = 122_880
FORMAT = f"FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS}"
"""How tables are written: the second version's encodings are read in half the time (decision 0019)."""


class DuckDBEngine:
    """An `Engine` with no server. `close()` it, or use it in `with`."""

    def __init__(self, *, memory: str = "", threads: int = 0, scratch: Path | None = None) -> None:
        """Prepare one in-memory instance: it is opened when it is first asked, at once where a limit has to be tried.

        Args:
            memory: `4GB`; beyond it, work spills to `scratch`. Empty: DuckDB's own limit, 80 % of the machine.
            threads: 0: as many as there are cores.
            scratch: Folder to spill into; default: one of the system's temporary folders.

        Raises:
            ConfigurationError: DuckDB does not take a setting.
        """
        self._config: dict[str, Any] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "errors_as_json": True,
            "preserve_insertion_order": False,
            "temp_directory": str(scratch or Path(tempfile.gettempdir()) / "polyport-spill"),
        }
        if memory:
            self._config["memory_limit"] = memory
        if threads:
            self._config["threads"] = threads
        self._opening = threading.Lock()
        self._opened: duckdb.DuckDBPyConnection | None = None
        self._closed = False
        self._newest: duckdb.DuckDBPyConnection | None = None
        self._watched = self._loud = False
        self._hot: HotTables | None = None
        if memory or threads:
            self._open()

    def limit(self, *, memory: str = "", threads: int = 0) -> None:
        """From the next query on use at most so much; empty and 0: what DuckDB takes by itself.

        Raises:
            ConfigurationError: DuckDB does not take a setting.
        """
        for name, value in (("memory_limit", memory), ("threads", threads)):
            if value:
                self._config[name] = value
            else:
                self._config.pop(name, None)
        if self._opened is None and not (memory or threads):
            return
        said = [
            f"SET GLOBAL memory_limit = {_literal(memory)}"
            if memory
            else "RESET GLOBAL memory_limit",
            f"SET GLOBAL threads = {int(threads)}" if threads else "RESET GLOBAL threads",
        ]
        try:
            for statement in said:
                self._open().execute(statement)
        except duckdb.Error as error:
            raise ConfigurationError(
                _message(error), where="engine", fix="memory: a size such as 4GB; threads: a number"
            ) from error

    def rest(self) -> None:
        """Free the instance until it is asked again. Readers that are still open fail at their next batch."""
        if self._hot is not None:
            return
        with self._opening:
            opened, self._opened, self._newest = self._opened, None, None
        if opened is not None:
            opened.close()

    @property
    def dialect(self) -> str:
        """See `Engine.dialect`."""
        return "duckdb"

    def close(self) -> None:
        """Free the instance. Readers that are still open fail at their next batch."""
        if self._hot is not None:
            self._hot.close()
        with self._opening:
            self._closed = True
            if self._opened is not None:
                self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def query(
        self, sql: str, relations: Mapping[str, Relation], params: Mapping[str, Any] | None = None
    ) -> pa.RecordBatchReader:
        """See `Engine.query`."""
        held = self._hot.find if self._hot else _nowhere
        return self._run(compose(sql, relations, params, held=held))

    def schema(self, sql: str, relations: Mapping[str, Relation]) -> pa.Schema:
        """See `Engine.schema`."""
        composed = compose(sql, relations, None, rows="LIMIT 0")
        cursor = self._cursor(composed)
        try:
            _one_select(composed, cursor)
            found = cursor.sql(composed.text, params=composed.params or None)
            kinds = found.types
            with found.to_arrow_reader(BATCH_ROWS) as reader:
                schema = plain(reader.schema)
        except duckdb.Error as error:
            raise _query_error(error, composed, cursor) from error
        return pa.schema(
            [pa.field(f.name, _as_kept(f.type, k)) for f, k in zip(schema, kinds, strict=True)]
        )

    def write(
        self,
        sql: str,
        relations: Mapping[str, Relation],
        target: Path,
        *,
        field_ids: FieldIds | None = None,
        columns: Sequence[str] | None = None,
    ) -> Written:
        """See `Engine.write`."""
        shown = ", ".join(map(quote, columns or ()))
        composed = compose(sql, relations, None, shown=shown)
        options = f"{FORMAT}, RETURN_STATS"
        if field_ids:
            options += f", FIELD_IDS {_field_ids(field_ids)}"
        cursor = self._cursor(composed, watched=True)
        try:
            _one_select(composed, cursor)
            text = f"COPY (\n{_exact(composed, cursor)}\n) TO {_literal(str(target))} ({options})"
            stats = cursor.execute(text, composed.params or None).fetchall()
        except duckdb.Error as error:
            target.unlink(missing_ok=True)
            raise _write_error(error, composed, target, cursor) from error
        finally:
            cursor.close()
        rows, size = (stats[0][1], stats[0][2]) if stats else (0, target.stat().st_size)
        return Written((target,), plain(pq.read_schema(target)), rows, size)

    def keep_hot(self) -> HotTables:
        """From now on hold in memory what is queried again and again: for a process that serves."""
        if self._hot is None:
            self._hot = HotTables(lambda: self._open().cursor())
        return self._hot

    def progress(self) -> float | None:
        """See `Engine.progress`; queries are watched from the first call on, writes always."""
        self._watched = True
        if self._newest is None:
            return None
        try:
            percent = float(self._newest.query_progress())
        except duckdb.Error:  # closed meanwhile
            return None
        return min(percent / 100, 1.0) if percent >= 0 else None

    def consume(self, reader: pa.RecordBatchReader, target: Path) -> Written:
        """See `Engine.consume`."""
        rows = 0
        schema = plain(reader.schema)
        try:
            with pq.ParquetWriter(target, schema, compression="zstd") as writer:
                for batch in reader:
                    rows += batch.num_rows
                    writer.write_batch(batch.cast(schema), row_group_size=ROW_GROUP_ROWS)
        except OSError as error:
            target.unlink(missing_ok=True)
            raise _no_room(str(error), target) from error
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return Written((target,), schema, rows, target.stat().st_size)

    def _open(self) -> duckdb.DuckDBPyConnection:
        """The instance; whoever asks first opens it."""
        if self._opened is None:
            with self._opening:
                if self._closed:
                    raise duckdb.ConnectionException("Connection already closed!")
                self._opened = self._opened or self._connect()
        return self._opened

    def _connect(self) -> duckdb.DuckDBPyConnection:
        try:
            made = duckdb.connect(config=self._config)
            made.execute("SET GLOBAL TimeZone = 'UTC'")
            self._loud = _has_bar(made.cursor())
        except duckdb.Error as error:
            raise ConfigurationError(
                _message(error), where="engine", fix="memory: a size such as 4GB; threads: a number"
            ) from error
        return made

    def _run(self, composed: Composed) -> pa.RecordBatchReader:
        cursor = self._cursor(composed)
        try:
            _one_select(composed, cursor)
            found = cursor.sql(composed.text, params=composed.params or None)
            return found.to_arrow_reader(BATCH_ROWS)
        except duckdb.Error as error:
            raise _query_error(error, composed, cursor) from error

    def _cursor(self, composed: Composed, *, watched: bool = False) -> duckdb.DuckDBPyConnection:
        cursor = self._open().cursor()
        self._newest = cursor if watched or self._watched else None
        if (
            self._newest or self._loud
        ):  # it must be enabled to be asked for; it would print to stdout
            cursor.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
        for name, table in composed.tables.items():
            cursor.register(name, table)
        for scheme in composed.schemes:
            self._register(scheme)
        return cursor

    def _register(self, scheme: str) -> None:
        import fsspec  # noqa: PLC0415 - only for tables that lie on an object store

        connection = self._open()
        if not connection.filesystem_is_registered(scheme):
            connection.register_filesystem(fsspec.filesystem(scheme))


def _has_bar(cursor: duckdb.DuckDBPyConnection) -> bool:
    """Whether the engine takes this process for a notebook, where it shows a bar of its own."""
    with cursor:
        found = cursor.execute("SELECT current_setting('enable_progress_bar')").fetchone()
    return bool(found and found[0])


def _nowhere(_: Files, _coded: tuple[str, ...]) -> str | None:
    return None


def _one_select(composed: Composed, cursor: duckdb.DuckDBPyConnection) -> None:
    """Refuse whatever is not exactly one SELECT: a second statement would run with the engine's own rights."""
    found = cursor.extract_statements(composed.text)
    if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
        raise QueryError(
            "the engine runs exactly one SELECT", fix="write one SELECT, without a semicolon inside"
        )


def _exact(composed: Composed, cursor: duckdb.DuckDBPyConnection) -> str:
    """The statement with types that Parquet holds as they are: sums of integers would come out as floats."""
    found = cursor.sql(composed.text, params=composed.params or None)
    types = [str(kind) for kind in found.types]
    for name, kind in zip(found.columns, types, strict=True):
        if lost := re.search(r"INTERVAL|\bBIT\b|UHUGEINT|(?<=\W)HUGEINT", kind):
            raise QueryError(
                f"column {name!r} is {kind}: {lost[0]} cannot be kept",
                fix=f"cast {name} to another type",
            )
    if "HUGEINT" not in types:
        return composed.text
    cast = [
        f"{quote(n)}::DECIMAL(38,0) AS {quote(n)}" if t == "HUGEINT" else quote(n)
        for n, t in zip(found.columns, types, strict=True)
    ]
    return f"SELECT {', '.join(cast)} FROM (\n{composed.text}\n)"


def plain(schema: pa.Schema) -> pa.Schema:
    """`schema` with every part nullable and no metadata: what two snapshots can be compared by."""
    return pa.schema([pa.field(f.name, _plain_type(f.type)) for f in schema])


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _plain_type(f.type)) for f in kind.fields])
    if pa.types.is_map(kind):
        return pa.map_(_plain_type(kind.key_type), _plain_type(kind.item_type))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(pa.field("element", _plain_type(kind.value_type)))
    return _narrow(kind)


def _as_kept(kind: pa.DataType, own: duckdb.sqltypes.DuckDBPyType) -> pa.DataType:
    """The type as Parquet keeps it: the engine shows a UUID as text."""
    if own.id == "uuid":
        return pa.uuid()
    inner = own.children if own.id in ("list", "struct", "map", "array") else []
    if own.id == "struct":
        parts = zip(kind.fields, inner, strict=True)
        return pa.struct([pa.field(f.name, _as_kept(f.type, k)) for f, (_, k) in parts])
    if own.id == "map":
        (_, key), (_, value) = inner
        return pa.map_(_as_kept(kind.key_type, key), _as_kept(kind.item_type, value))
    if own.id == "list":
        return pa.list_(pa.field("element", _as_kept(kind.value_type, inner[0][1])))
    return kind


def _narrow(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_timestamp(kind) and kind.tz:
        return pa.timestamp(kind.unit, "UTC")
    return kind


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _field_ids(ids: FieldIds) -> str:
    parts = []
    for name, value in ids.items():
        key = "__duckdb_field_id" if name == "" else '"' + name.replace('"', '""') + '"'
        parts.append(f"{key}: {value if isinstance(value, int) else _field_ids(value)}")
    return "{" + ", ".join(parts) + "}"


def _details(error: duckdb.Error) -> dict[str, str]:
    _, _, body = str(error).partition(": ")
    if not body.startswith("{"):
        return {"exception_message": body or str(error)}
    try:
        found: dict[str, str] = json.loads(body)
    except ValueError:  # the engine appends text to its JSON when it could not finish a stream
        return {"exception_message": body.splitlines()[0]}
    return found


def _message(error: duckdb.Error) -> str:
    return _details(error)["exception_message"].strip().splitlines()[0]


def _query_error(
    error: duckdb.Error, composed: Composed, cursor: duckdb.DuckDBPyConnection
) -> QueryError:
    details = _details(error)
    if "position" not in details and isinstance(
        error, duckdb.BinderException | duckdb.CatalogException
    ):
        details = _explained(composed, cursor) or details
    text = details["exception_message"].strip()
    if bad := csv_errors.told(text):
        return QueryError(bad.message, where=bad.path, fix=bad.fix)
    lines = text.splitlines()
    hint = " ".join(line.strip() for line in lines[1:] if re.match(r"Candidate|Did you mean", line))
    hint = hint.replace("Candidate bindings:", "columns that are there:")
    line, column = composed.place(int(details.get("position") or -1))
    return QueryError(lines[0], fix=hint, line=line, column=column)


def _explained(composed: Composed, cursor: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The same error from a statement that names positions."""
    prefix = "EXPLAIN "
    try:
        cursor.execute(prefix + composed.text, composed.params or None)
    except duckdb.Error as error:
        details = _details(error)
        if "position" in details:
            details["position"] = str(int(details["position"]) - len(prefix))
        return details
    return {}


def _write_error(
    error: duckdb.Error, composed: Composed, target: Path, cursor: duckdb.DuckDBPyConnection
) -> QueryError | StoreError:
    if isinstance(error, duckdb.IOException) or "No space left" in str(error):
        return _no_room(_message(error), target)
    return _query_error(error, composed, cursor)


def _no_room(message: str, target: Path) -> StoreError:
    return StoreError(
        message, where=str(target), fix="free some space or check permissions, then build again"
    )
