"""The keyed read path: a SQLite file derived from one dataset of one snapshot, for point reads and small pages.

DuckDB over Parquet reads a table at a time; a row by its key costs it a thousand times what it costs a B-tree. The
index answers only what it answers exactly as the engine would, and cheaply: types that SQLite holds without loss,
comparisons between equal types, at most so many steps. Everything else it declines, and the engine answers. It is
never the truth: it can be deleted at any time.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote as quote_name

import pyarrow as pa

from polyport.errors import PolyportError
from polyport.expression import And, Compare, In, IsNull, Like, Not, Or, quote
from polyport.model import Files, Relation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from polyport.engine import Engine
    from polyport.expression import Expression, Value
    from polyport.model import Dataset, Snapshot

STEPS = 20
"""Thousands of instructions of SQLite's machine that one read may take: some milliseconds. Beyond, it is declined."""
SHAPES = 1_000
"""How many declined shapes of reads are remembered."""
MOST_DIGITS = 18
MOST_ROWS = 5_000_000
"""An index takes some 4 seconds for a million rows; larger datasets are the engine's."""
EPOCH = date(1970, 1, 1)
log = logging.getLogger("polyport.keyed")
MICRO_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Term(Protocol):
    """One term of an order."""

    @property
    def column(self) -> str:
        """Which column."""
        ...

    @property
    def descending(self) -> bool:
        """Nulls come last in either direction."""
        ...


@dataclass(frozen=True, slots=True)
class Codec:
    """How one column lies in SQLite: exactly, and in the same order as its values."""

    read: str
    """The engine's SQL that gives the stored value; `{}` is the column."""
    encode: Callable[[Any], Any | None]
    """A value to compare with as it is stored; None where it is not of the column's own type."""
    kind: pa.DataType
    """The Arrow type of what is stored, to be cast or viewed as the column's own."""


def codec(kind: pa.DataType) -> Codec | None:
    """How a column of the type `kind` is stored; None where SQLite cannot hold it without loss."""
    if pa.types.is_decimal(kind):
        read = f"({{}} * 1{'0' * kind.scale})::BIGINT"
        return (
            Codec(read, _scaled(kind.scale), pa.int64()) if kind.precision <= MOST_DIGITS else None
        )
    if pa.types.is_timestamp(kind):
        return (
            Codec("epoch_us({})", _moment if kind.tz else _nothing, pa.int64())
            if kind.unit == "us"
            else None
        )
    return _CODECS.get(kind)


class KeyedIndex:
    """One dataset of one snapshot in a SQLite file. Safe over threads; `close()` it."""

    def __init__(self, path: Path, dataset: Dataset) -> None:
        self._path = path
        self._dataset = dataset
        self._codecs = {f.name: codec(f.type) for f in dataset.schema}
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._declined: set[tuple[Any, ...]] = set()

    def scan(
        self,
        columns: Sequence[str],
        *,
        where: Expression | None,
        order: Sequence[Term],
        limit: int,
        after: Sequence[Any] | None = None,
    ) -> pa.RecordBatch | None:
        """The rows that `View.scan` would give; None where the engine has to answer."""
        params: list[Any] = []
        try:
            conditions = [self._condition(where, params)] if where is not None else []
            if after is not None:
                conditions.append(self._after(order, after, params))
            terms = [self._term(term) for term in order]
            stored = [self._stored(name) for name in columns]
        except _DeclinedError:
            return None
        shape = (tuple(columns), tuple(conditions), tuple(terms))
        if shape in self._declined:
            return None
        sql = f"SELECT {', '.join(map(quote, columns))} FROM rows"
        sql += f" WHERE {' AND '.join(conditions)}" if conditions else ""
        sql += f" ORDER BY {', '.join(terms)}" if terms else ""
        connection = self._connection()
        self._local.left = STEPS
        try:
            rows = connection.execute(f"{sql} LIMIT {int(limit)}", params).fetchall()
        except sqlite3.ProgrammingError:  # closed, as rows were erased: the engine has what is left
            return None
        except sqlite3.OperationalError:  # interrupted: too many steps
            if len(self._declined) >= SHAPES:
                self._declined.clear()
            self._declined.add(shape)
            return None
        return self._batch(columns, stored, rows)

    def close(self) -> None:
        """Close the connections of every thread."""
        for connection in self._open:
            connection.close()

    def _batch(
        self, columns: Sequence[str], stored: Sequence[Codec], rows: list[Any]
    ) -> pa.RecordBatch:
        lists: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
        schema = pa.schema([self._dataset.schema.field(name) for name in columns])
        arrays = [
            _restored(values, c.kind, f.type)
            for values, c, f in zip(lists, stored, schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            uri = f"{self._path.absolute().as_uri()}?immutable=1&mode=ro"
            found = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
            found.execute("PRAGMA mmap_size = 4000000000")
            found.execute("PRAGMA case_sensitive_like = ON")
            # SQLite counts on from run to run of a statement that it keeps prepared, so the budget is ours.
            found.set_progress_handler(self._spend, 1_000)
            self._local.connection = found
            self._open.append(found)
        return found

    def _spend(self) -> bool:
        self._local.left -= 1
        return bool(self._local.left < 0)

    def _stored(self, name: str) -> Codec:
        found = self._codecs.get(name)
        if found is None:
            raise _DeclinedError
        return found

    def _bind(self, column: str, value: Value, params: list[Any]) -> str:
        encoded = self._stored(column).encode(value)
        if encoded is None:
            raise _DeclinedError
        params.append(encoded)
        return "?"

    def _term(self, term: Term) -> str:
        self._stored(term.column)
        if term.descending:
            return (
                f"{quote(term.column)} DESC"  # SQLite holds nulls to be the least: they come last
            )
        nulls = "" if term.column in self._dataset.key else " NULLS LAST"
        return f"{quote(term.column)} ASC{nulls}"

    def _condition(self, node: Expression, params: list[Any]) -> str:
        match node:
            case And(terms) | Or(terms):
                word = " AND " if isinstance(node, And) else " OR "
                empty = "1" if isinstance(node, And) else "0"
                return f"({word.join(self._condition(t, params) for t in terms) or empty})"
            case Not(term):
                return f"NOT ({self._condition(term, params)})"
        return self._leaf(node, params)

    def _leaf(self, leaf: Compare | In | Like | IsNull, params: list[Any]) -> str:
        column = quote(leaf.column)
        self._stored(leaf.column)
        match leaf:
            case Compare(name, op, value):
                return f"{column} {'<>' if op == '!=' else op} {self._bind(name, value, params)}"
            case In(name, values):
                return f"{column} IN ({', '.join(self._bind(name, v, params) for v in values)})"
            case IsNull():
                return f"{column} IS NULL"
        raise _DeclinedError

    def _after(self, order: Sequence[Term], values: Sequence[Any], params: list[Any]) -> str:
        arms: list[str] = []
        bound: list[Any] = []
        same = ""
        for term, value in zip(order, values, strict=True):
            column = quote(term.column)
            if value is None:
                same += f"{column} IS NULL AND "
                continue
            held: list[Any] = []
            self._bind(term.column, value, held)
            params += [*bound, *held]
            if term.descending:
                arms.append(f"({same}({column} < ? OR {column} IS NULL))")
            else:
                null = "" if term.column in self._dataset.key else f" OR {column} IS NULL"
                arms.append(f"({same}({column} > ?{null}))")
            same += f"{column} = ? AND "
            bound += held
        return f"({' OR '.join(arms) or '0'})"


def can_index(dataset: Dataset) -> bool:
    """Whether a dataset has a key whose columns can be stored, and is not too large to index while others wait."""
    storable = bool(dataset.key) and all(codec(dataset.schema.field(k).type) for k in dataset.key)
    return storable and dataset.rows <= MOST_ROWS


def build(
    path: Path,
    dataset: Dataset,
    uris: Sequence[str],
    engine: Engine,
    indexes: Sequence[Sequence[str]],
) -> bool:
    """Make the SQLite file at `path`; False, and no file, where a float column holds NaN, which SQLite does not.

    `indexes`: columns to index, besides the key; each list is one index, in that order, then the key.
    """
    stored = {f.name: c for f in dataset.schema if (c := codec(f.type)) is not None}
    shown = ", ".join(f"{c.read.format(quote(n))} AS {quote(n)}" for n, c in stored.items())
    relation = {"source": Relation(Files(tuple(uris), schema=dataset.schema))}
    order = ", ".join(map(quote, dataset.key))
    draft = path.with_suffix(f".{os.getpid()}.draft")
    draft.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = sqlite3.connect(draft, isolation_level=None)
        try:
            with engine.query(f"SELECT {shown} FROM source ORDER BY {order}", relation) as reader:
                whole = _fill(connection, dataset, list(stored), reader)
            if whole:
                _index(connection, dataset, [i for i in indexes if all(c in stored for c in i)])
        finally:
            connection.close()
        if whole:
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return whole


class _DeclinedError(Exception):
    """The index cannot answer exactly; the engine will."""


def _fill(
    connection: sqlite3.Connection,
    dataset: Dataset,
    names: list[str],
    reader: Iterator[pa.RecordBatch],
) -> bool:
    for pragma in (
        "page_size = 8192",
        "journal_mode = OFF",
        "synchronous = OFF",
        "cache_size = -64000",
    ):
        connection.execute(f"PRAGMA {pragma}")
    # No declared types: SQLite would convert values to fit a column's affinity.
    key = ", ".join(map(quote, dataset.key))
    columns = ", ".join(f"{quote(n)}{' NOT NULL' if n in dataset.key else ''}" for n in names)
    connection.execute(f"CREATE TABLE rows ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID")
    places = ", ".join("?" * len(names))
    connection.execute("BEGIN")
    for batch in reader:
        columns_of = [column.to_pylist() for column in batch.columns]
        if any(isinstance(v, float) and math.isnan(v) for c in columns_of for v in c):
            return False
        connection.executemany(f"INSERT INTO rows VALUES ({places})", zip(*columns_of, strict=True))
    connection.execute("COMMIT")
    return True


def _index(
    connection: sqlite3.Connection, dataset: Dataset, indexes: Sequence[Sequence[str]]
) -> None:
    for number, columns in enumerate(indexes):
        terms = ", ".join(map(quote, (*columns, *(k for k in dataset.key if k not in columns))))
        connection.execute(f"CREATE INDEX by_{number} ON rows ({terms})")
    connection.execute("ANALYZE")


def _restored(values: Sequence[Any], stored: pa.DataType, kind: pa.DataType) -> pa.Array:
    if pa.types.is_decimal(kind):
        return pa.array(
            [None if v is None else Decimal(v).scaleb(-kind.scale) for v in values], kind
        )
    if pa.types.is_boolean(kind):
        return pa.array([None if v is None else bool(v) for v in values], kind)
    return pa.array(values, stored).cast(kind)


def _nothing(_: Any) -> None:
    return None


def _integer(value: Any) -> int | None:
    return value if type(value) is int and abs(value) < 2**63 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and "\0" not in value else None


def _truth(value: Any) -> int | None:
    return int(value) if isinstance(value, bool) else None


def _day(value: Any) -> int | None:
    return (value - EPOCH).days if type(value) is date else None


def _float(value: Any) -> float | None:
    if type(value) is int:
        return float(value) if abs(value) <= 2**53 else None
    found = float(value) if type(value) in (float, Decimal) else math.nan
    return None if math.isnan(found) else found


def _moment(value: Any) -> int | None:
    if type(value) is not datetime or value.tzinfo is None:
        return None
    since = value - MICRO_EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _scaled(scale: int) -> Callable[[Any], int | None]:
    def encode(value: Any) -> int | None:
        if type(value) not in (int, Decimal):
            return None
        scaled = Decimal(value).scaleb(scale)
        return (
            int(scaled)
            if scaled == scaled.to_integral_value() and abs(scaled) < 10**MOST_DIGITS
            else None
        )

    return encode


_WHOLE = Codec("{}", _integer, pa.int64())
_CODECS = {
    **dict.fromkeys(
        (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()),
        _WHOLE,
    ),
    pa.string(): Codec("{}", _text, pa.string()),
    pa.bool_(): Codec("{}::INT", _truth, pa.int64()),
    pa.date32(): Codec("({} - DATE '1970-01-01')::BIGINT", _day, pa.int32()),
    pa.float64(): Codec("{}", _float, pa.float64()),
}


class KeyedIndexes:
    """The indexes of a product's snapshots, made in the background when first asked for. `close()` it."""

    def __init__(
        self, folder: Path, engine: Engine, files: Callable[[Snapshot, str], Sequence[str]]
    ) -> None:
        self._folder = folder
        self._engine = engine
        self._files = files
        self._indexes: dict[tuple[str, str], KeyedIndex | None] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="polyport-keyed")

    def get(
        self, snapshot: Snapshot, dataset: str, columns: Sequence[Sequence[str]] = ()
    ) -> KeyedIndex | None:
        """The index of a dataset; None while it is being made, or where it cannot be.

        `columns`: what else to index, besides the key.
        """
        name = (snapshot.content_id, dataset)
        if name in self._indexes:
            return self._indexes[name]
        with self._lock:
            if name not in self._indexes:
                self._indexes[name] = None
                if can_index(snapshot.datasets[dataset]):
                    self._pool.submit(self._make, snapshot, dataset, tuple(columns))
        return None

    def wait(self) -> None:
        """Return when every index that was asked for is made."""
        self._pool.submit(lambda: None).result()

    def close(self) -> None:
        """Close every index; one that is being made is finished first."""
        self._pool.shutdown(cancel_futures=True)
        for index in self._indexes.values():
            if index is not None:
                index.close()

    def _make(self, snapshot: Snapshot, name: str, columns: Sequence[Sequence[str]]) -> None:
        dataset = snapshot.datasets[name]
        path = self._folder / snapshot.content_id / f"{quote_name(name, safe='')}.sqlite"
        try:
            made = path.exists() or build(
                path, dataset, self._files(snapshot, name), self._engine, columns
            )
        except (PolyportError, OSError, sqlite3.Error) as error:
            log.warning("no keyed index of %s, snapshot %s: %s", name, snapshot.sequence, error)
            return
        if made:
            self._indexes[snapshot.content_id, name] = KeyedIndex(path, dataset)
            self._close_erased(snapshot)
            self._forget_others(snapshot)

    def _close_erased(self, snapshot: Snapshot) -> None:
        """Let go of indexes of the snapshot as it was before an erasure: an open file stays on the disk."""
        for (content, name), index in list(self._indexes.items()):
            if content.partition("+")[0] == snapshot.id and content != snapshot.content_id:
                if index is not None:
                    index.close()
                self._indexes[content, name] = None

    def _forget_others(self, snapshot: Snapshot) -> None:
        """Remove the files of snapshots that nobody asked for since this process began."""
        asked = {snapshot_id for snapshot_id, _ in self._indexes} | {snapshot.content_id}
        for folder in self._folder.iterdir():
            if folder.name not in asked:
                shutil.rmtree(folder, ignore_errors=True)
