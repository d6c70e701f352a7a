"""What was agreed, configured and said, as an append-only table: the newest entry of a name is how things stand."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args
from urllib.parse import quote

import sqlalchemy as sa

from polyport.errors import ConflictError
from polyport.ledger.database import METADATA, NUMBER, Words, told
from polyport.model import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

Kind: TypeAlias = Literal[
    "key", "agreement", "access", "settings", "feedback", "contract", "lineage", "erasure"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
_JOURNAL = sa.Table(
    "journal",
    METADATA,
    sa.Column("seq", NUMBER, primary_key=True, autoincrement=True),
    sa.Column("kind", Words, nullable=False),
    sa.Column("product", Words, nullable=False),
    sa.Column("name", Words, nullable=False),
    sa.Column("at", Words, nullable=False),
    sa.Column("by", Words, nullable=False),
    sa.Column("document", Words, nullable=False),
    sa.Index("journal_names", "kind", "product", "name", "seq"),
    sqlite_autoincrement=True,
)
_SHOWN = (
    _JOURNAL.c.seq, _JOURNAL.c.kind, _JOURNAL.c.product, _JOURNAL.c.name,
    _JOURNAL.c.at, _JOURNAL.c.by, _JOURNAL.c.document,
)  # fmt: skip


class Journal:
    """The entries of one ledger. Safe over threads and processes."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._alone = engine.dialect.name == "sqlite"
        """Whether SQLite lets only one write at a time, whatever is written."""
        self._watch = _Watch(engine) if self._alone else _Asking(engine)

    def append(
        self,
        kind: Kind,
        name: str,
        document: Mapping[str, Any],
        *,
        product: str = "",
        by: str,
        based: int | None = None,
    ) -> Entry:
        """Write an entry; on disk when this returns.

        `based`: the number of the newest entry of this kind, product and name (0: none) that it was made from.

        Raises:
            ConflictError: Another entry than `based` is the newest; nothing was written.
            StoreError: It cannot be written.
        """
        at = datetime.now(UTC)
        row = {
            "kind": kind,
            "product": product,
            "name": name,
            "at": at.isoformat(),
            "by": by,
            "document": json.dumps(document, ensure_ascii=False, default=str),
        }
        with told("written"), self._engine.begin() as connection:
            if based is not None or not self._alone:
                _lock(connection)  # else one could appear after those that have higher numbers
            if based is not None:
                newest = connection.execute(_newest(kind, product, name)).scalar_one()
                if newest != based:
                    raise ConflictError(
                        f"{kind} {name!r} was changed by somebody else since",
                        where=product,
                        fix="read it again, and change what it is now",
                    )
            (seq,) = connection.execute(sa.insert(_JOURNAL).values(row)).inserted_primary_key or (
                0,
            )
        return Entry(seq, kind, product, name, at, by, json.loads(row["document"]))

    def entries(
        self, kind: Kind, *, product: str | None = None, name: str | None = None, after: int = 0
    ) -> list[Entry]:
        """The entries of one kind after the position `after`, oldest first; None: of every product, of every name.

        Raises:
            StoreError: They cannot be read.
        """
        return self._select(_chosen(kind, product, name).where(_JOURNAL.c.seq > after))

    def newest(self, kind: Kind, *, product: str = "", name: str | None = None) -> Entry | None:
        """The newest entry of a kind; None where there is none.

        Raises:
            StoreError: It cannot be read.
        """
        query = _chosen(kind, product, name).order_by(None).order_by(_JOURNAL.c.seq.desc())
        return next(iter(self._select(query.limit(1))), None)

    def latest(self, kind: Kind, *, product: str, before: int = 0, limit: int) -> list[Entry]:
        """The `limit` newest entries of a kind and product, newest first; `before`: of those before that position.

        Raises:
            StoreError: They cannot be read.
        """
        chosen = _chosen(kind, product, None).with_only_columns(_JOURNAL.c.seq).order_by(None)
        if before:
            chosen = chosen.where(_JOURNAL.c.seq < before)
        newest = chosen.order_by(_JOURNAL.c.seq.desc()).limit(limit).scalar_subquery()
        query = sa.select(*_SHOWN).where(_JOURNAL.c.seq.in_(newest))
        return self._select(query.order_by(_JOURNAL.c.seq.desc()))

    def products(self, kind: Kind) -> list[str]:
        """The products that entries of a kind are about, in the order of their ids.

        Raises:
            StoreError: They cannot be read.
        """
        query = sa.select(_JOURNAL.c.product).where(_JOURNAL.c.kind == kind).distinct()
        with told("read"), self._engine.connect() as connection:
            return sorted(connection.execute(query).scalars())

    def position(self) -> int:
        """The number of the newest entry, of whatever kind and process; 0 while there is none. Cheap: ask it often.

        Raises:
            StoreError: It cannot be read.
        """
        with told("read"):
            return self._watch.position()

    def close(self) -> None:
        """Let go of the connection that watches."""
        self._watch.close()

    def _select(self, query: sa.Select[Any]) -> list[Entry]:
        with told("read"), self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [_entry(row) for row in rows]


@contextmanager
def read_only(path: Path) -> Iterator[Journal | None]:
    """The journal of the SQLite ledger in `path`, to be read; None where there is none. Makes no table, no ledger.

    Raises:
        StoreError: It cannot be read.
    """
    if not path.is_file():
        yield None
        return
    how = {"mode": "ro", "uri": "true"}
    if not path.with_name(f"{path.name}-wal").exists():
        how["immutable"] = (
            "1"  # nobody has it open: SQLite need not make files beside it, and may be unable to
        )
    uri = f"file:{quote(str(path.absolute()))}"
    engine = sa.create_engine(sa.URL.create("sqlite", database=uri, query=how))
    journal = Journal(engine)
    try:
        with told("read"):
            known = sa.inspect(engine).has_table(_JOURNAL.name)
        yield journal if known else None
    finally:
        journal.close()
        engine.dispose()


_NEWEST = sa.select(sa.func.coalesce(sa.func.max(_JOURNAL.c.seq), 0))


def _lock(connection: sa.Connection) -> None:
    """Let nobody else write to the journal until the transaction ends."""
    if connection.dialect.name == "sqlite":
        # The driver begins a transaction at the first write only: the lock has to be there before what is read.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("LOCK TABLE journal IN SHARE ROW EXCLUSIVE MODE")


def _newest(kind: Kind, product: str, name: str) -> sa.Select[Any]:
    chosen = sa.and_(
        _JOURNAL.c.kind == kind, _JOURNAL.c.product == product, _JOURNAL.c.name == name
    )
    return sa.select(sa.func.coalesce(sa.func.max(_JOURNAL.c.seq), 0)).where(chosen)


class _Watch:
    """Sees with one PRAGMA whether anybody wrote to the SQLite file since; only then is the table asked.

    `data_version` changes for this connection when another one commits, in this process or another.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: Any = None
        self._version = -1
        self._known = 0

    def position(self) -> int:
        with self._lock:
            if self._connection is None:
                self._connection = self._engine.raw_connection()
                self._connection.detach()
            cursor = self._connection.dbapi_connection
            version: int = cursor.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version:
                newest = cursor.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()
                self._version, self._known = version, newest[0]
            return self._known

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


class _Asking:
    """Asks a server's database by a connection of its own: that takes a third of the time of one of the pool."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: sa.Connection | None = None

    def position(self) -> int:
        with self._lock:
            kept = self._connection
            try:
                return self._asked()
            except sa.exc.DBAPIError:
                self._let_go()
                if kept is None:
                    raise
            return self._asked()  # the server may have been started anew

    def close(self) -> None:
        with self._lock:
            self._let_go()

    def _asked(self) -> int:
        if self._connection is None:
            self._connection = self._engine.connect()
            self._connection.execution_options(isolation_level="AUTOCOMMIT")
        newest: int = self._connection.execute(_NEWEST).scalar_one()
        return newest

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _chosen(kind: Kind, product: str | None, name: str | None) -> sa.Select[Any]:
    query = sa.select(*_SHOWN).where(_JOURNAL.c.kind == kind)
    if product is not None:
        query = query.where(_JOURNAL.c.product == product)
    if name is not None:
        query = query.where(_JOURNAL.c.name == name)
    return query.order_by(_JOURNAL.c.seq)


def _entry(row: Sequence[Any]) -> Entry:
    seq, kind, product, name, at, by, document = row
    return Entry(seq, kind, product, name, datetime.fromisoformat(at), by, json.loads(document))
