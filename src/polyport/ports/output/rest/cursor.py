"""Where a page begins: keyset paging in which each row comes exactly once, also where rows are equal."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyport.errors import NotFoundError
from polyport.ports.formats.listed import listed
from polyport.ports.values import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from polyport.access import Order

_CHECK = 8
"""Bytes of a digest in front: a cursor that was changed is told from one of ours. The policy guards, not it."""

_FOREIGN = "is not one that this port gave out"


@dataclass(frozen=True, slots=True)
class Start:
    """The rows that come after `after` in the order, but for the first `skip` of them.

    `skip` counts the rows equal to the last one seen, where more of the same follow: then no value tells them apart.
    """

    after: tuple[Any, ...] | None = None
    skip: int = 0


def write(start: Start, *, snapshot: str, identity: str) -> str:
    """The cursor for `start`, bound to the snapshot (id) and the query (its `identity`)."""
    after = None if start.after is None else [pack(value) for value in start.after]
    content = json.dumps([snapshot, identity, after, start.skip], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_check(content) + content).decode().rstrip("=")


def snapshot_of(cursor: str) -> str:
    """The id of the snapshot that the cursor belongs to.

    Raises:
        NotFoundError: It is none of ours.
    """
    return _content(cursor)[0]


def read(cursor: str, *, snapshot: str, identity: str, types: Sequence[pa.DataType]) -> Start:
    """What `write` was given; without a cursor, the first page. `types` are those of the order's columns.

    Raises:
        NotFoundError: It is none of ours, or belongs to another snapshot or query.
    """
    if not cursor:
        return Start()
    of_snapshot, of_query, after, skip = _content(cursor)
    if of_snapshot != snapshot or of_query != identity:
        raise _unknown("is of another snapshot, or of other filters or another order")
    try:
        given = (
            None
            if after is None
            else tuple(unpack(t, of) for t, of in zip(after, types, strict=True))
        )
    except (ValueError, TypeError):
        raise _unknown(_FOREIGN) from None
    return Start(given, skip)


def _content(cursor: str) -> tuple[str, str, list[str | None] | None, int]:
    try:
        whole = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        check, content = whole[:_CHECK], whole[_CHECK:]
        found = json.loads(content) if check == _check(content) else None
    except (ValueError, RecursionError):
        raise _unknown(_FOREIGN) from None
    match found:
        case [str(snapshot), str(identity), list() | None as after, int(skip)] if skip >= 0:
            return snapshot, identity, after, skip
    raise _unknown(_FOREIGN)


def _check(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECK, person=b"polyport cursor").digest()


def _unknown(why: str) -> NotFoundError:
    return NotFoundError(
        f"no such page: the cursor {why}", fix="leave cursor out: the first page links to the next"
    )


def following(rows: Sequence[tuple[Any, ...]], start: Start, limit: int) -> Start | None:
    """Where the next page begins; None: this one is the last.

    `rows` are the order's values of the rows of this page, of the one skipped just before it (if any were skipped),
    and of the one that comes next (if any does).
    """
    end = min(start.skip, 1) + limit
    if len(rows) <= end:
        return None

    def packed(at: int) -> tuple[str | None, ...]:
        return tuple(map(pack, rows[at]))

    last = packed(end - 1)
    if packed(end) != last:
        return Start(rows[end - 1])
    equal = next((n for n in range(end) if packed(end - 1 - n) != last), end)
    if equal == end:
        return Start(start.after, start.skip + limit)
    return Start(rows[end - 1 - equal], equal)


def values(table: pa.Table, order: Sequence[Order]) -> list[tuple[Any, ...]]:
    """For each row, the values of the order's columns."""
    columns = [listed(table.column(term.column)) for term in order]
    return list(zip(*columns, strict=True)) if columns else [()] * table.num_rows
