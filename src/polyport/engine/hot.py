"""Tables that are read again and again, in memory: Parquet of a snapshot never changes, so neither do they.

A scan of them costs about a third of the CPU of one of the files: nothing is decompressed, and text stays in codes.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from polyport.engine.compose import reader
from polyport.expression import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from polyport.model import Files

MOST_BYTES = 256 << 20
VALUE_BYTES = 8
"""What a value takes, about: files say little, for what repeats takes hardly any room in them."""
MOST_FILES = 64
ASKED = 2
"""How often a table is asked for before it is loaded."""
FEW = 1_000
"""How many values a column of text may have to be grouped by codes."""
_CODE = "_code_"
_EVERY = 5.0
"""Seconds between two looks for tables whose files are gone."""

log = logging.getLogger(__name__)

_Key: TypeAlias = tuple[tuple[str, int, int, int], ...]
"""Path, inode, time and size of each file."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A table in memory: a database of its own, so that all of it goes at once."""

    database: str
    bytes: int
    codes: Mapping[str, str] = field(default_factory=dict)
    """Column of text with few values -> the column beside it that has them as codes (an ENUM)."""

    @property
    def table(self) -> str:
        return f"{self.database}.main.rows"

    def rows(self, coded: Collection[str]) -> str:
        """SQL for the rows with the columns of the files; those of `coded` as codes, where there are any."""
        if not self.codes:
            return self.table
        hidden = ", ".join(map(quote, self.codes.values()))
        swapped = ", ".join(
            f"{quote(self.codes[c])} AS {quote(c)}" for c in coded if c in self.codes
        )
        shown = f" REPLACE ({swapped})" if swapped else ""
        return f"(SELECT * EXCLUDE ({hidden}){shown} FROM {self.table})"


class HotTables:
    """Loads tables in the background and forgets those that were not asked for. Safe over threads; `close()` it."""

    def __init__(
        self, cursor: Callable[[], duckdb.DuckDBPyConnection], *, most_bytes: int = MOST_BYTES
    ) -> None:
        """Hold none yet; `cursor` gives one of the instance that is to hold them."""
        self._cursor = cursor
        self._most = most_bytes
        self._asked: dict[_Key, int] = {}
        self._held: dict[_Key, _Held] = {}
        """The one asked for last comes last."""
        self._made = 0
        self._looked = time.monotonic()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="polyport-hot")

    def find(self, files: Files, coded: Collection[str] = ()) -> str | None:
        """SQL for the table that holds the rows of `files`; None where they have to be read.

        `coded`: columns that may come as codes.
        """
        if files.format != "parquet" or files.options or len(files.uris) > MOST_FILES:
            return None
        key = _key(files)
        with self._lock:
            self._forget_gone()
            if key is None:
                return None
            if held := self._held.pop(key, None):
                self._held[key] = held
                return held.rows(coded)
            self._ask(key, files)
        return None

    def wait(self) -> None:
        """Return when every table that was asked for is loaded."""
        self._pool.submit(lambda: None).result()

    def close(self) -> None:
        """Load no more; a table that is being loaded is finished first."""
        self._pool.shutdown(cancel_futures=True)

    def _ask(self, key: _Key, files: Files) -> None:
        if len(self._asked) > MOST_FILES:
            self._asked.clear()
        self._asked[key] = self._asked.get(key, 0) + 1
        if self._asked[key] == ASKED:
            self._pool.submit(self._load, key, files)

    def _load(self, key: _Key, files: Files) -> None:
        try:
            taken = sum(_taken(path) for path, *_ in key)
        except (OSError, pa.ArrowException) as error:
            log.warning("not kept in memory: %s: %s", files.uris[0], error)
            return
        if taken > self._most:
            return
        self._made += 1
        held = _Held(f"hot_{self._made}", taken)
        with self._lock:
            self._make_room(held.bytes)
        try:
            with self._cursor() as cursor:
                cursor.execute(f"ATTACH ':memory:' AS {held.database} (COMPRESS)")
                held = replace(held, codes=_make_codes(cursor, held.database, reader(files)))
                also = "".join(
                    f", {quote(c)}::{held.database}.main.{quote(code)} AS {quote(code)}"
                    for c, code in held.codes.items()
                )
                cursor.execute(f"CREATE TABLE {held.table} AS SELECT *{also} FROM {reader(files)}")
                cursor.execute(f"CHECKPOINT {held.database}")  # compresses
        except duckdb.Error as error:
            log.warning("not kept in memory: %s: %s", files.uris[0], error)
            self._detach(held)
            return
        with self._lock:
            if _key(files) == key:  # else it was replaced meanwhile
                self._held[key] = held
                return
        self._detach(held)

    def _make_room(self, size: int) -> None:
        while self._held and sum(h.bytes for h in self._held.values()) + size > self._most:
            self._drop(next(iter(self._held)))

    def _forget_gone(self) -> None:
        if time.monotonic() - self._looked < _EVERY:
            return
        self._looked = time.monotonic()
        for key in [k for k in self._held if not all(Path(path).exists() for path, *_ in k)]:
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        self._asked.pop(key, None)
        self._detach(self._held.pop(key))

    def _detach(self, held: _Held) -> None:
        """Readers of the table that are under way keep it to their end."""
        with self._cursor() as cursor:
            cursor.execute(f"DETACH DATABASE IF EXISTS {held.database}")


def _make_codes(cursor: duckdb.DuckDBPyConnection, database: str, rows: str) -> Mapping[str, str]:
    """An ENUM in `database` for each column of `rows` that holds text and few values: column -> its name.

    Rows are grouped by it at half the cost of the text: it is a place in a table, where the text has to be hashed.
    """
    found = cursor.sql(f"SELECT * FROM {rows} LIMIT 0")
    texts = [
        n for n, kind in zip(found.columns, found.types, strict=True) if str(kind) == "VARCHAR"
    ]
    names = {n.casefold() for n in found.columns}
    if not texts or any(n.startswith(_CODE) for n in names):
        return {}
    counts = ", ".join(f"approx_count_distinct({quote(n)})" for n in texts)
    counted = cursor.execute(f"SELECT {counts} FROM {rows}").fetchone() or ()
    few = [n for n, count in zip(texts, counted, strict=True) if 0 < count <= FEW]
    codes = {n: f"{_CODE}{at}" for at, n in enumerate(few)}
    for name, code in codes.items():
        values = f"SELECT DISTINCT {quote(name)} FROM {rows} WHERE {quote(name)} IS NOT NULL"
        cursor.execute(f"CREATE TYPE {database}.main.{quote(code)} AS ENUM ({values})")
    return codes


def _taken(path: str) -> int:
    """About how many bytes the rows of a file take in memory."""
    footer = pq.read_metadata(path.removeprefix("file://"))
    groups = (footer.row_group(number) for number in range(footer.num_row_groups))
    chunks = (group.column(place) for group in groups for place in range(group.num_columns))
    return sum(max(VALUE_BYTES * c.num_values, c.total_uncompressed_size) for c in chunks)


def _key(files: Files) -> _Key | None:
    """What is the same as long as the files are; None where one is no file of this machine."""
    try:
        found = [(uri, Path(uri.removeprefix("file://")).stat()) for uri in files.uris]
    except OSError:
        return None
    key = tuple((uri, s.st_ino, s.st_mtime_ns, s.st_size) for uri, s in found)
    return key or None
