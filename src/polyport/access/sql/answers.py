"""What a worker says, taken as what it is: the word of one who may have been taken over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyport.engine.walled.protocol import Silent
from polyport.engine.walled.universe import size
from polyport.errors import PolyportError, QueryError, SizeError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pyarrow as pa

    from polyport.engine.walled.universe import Walls
    from polyport.model import Principal

_LISTS = ("tables", "columns", "types", "parameters")
_SINGLE: dict[str, object] = {"schema": "", "whole": 0, "lasting": False}


class Room:
    """How much an answer may still hold."""

    def __init__(self, walls: Walls, read: int = 0) -> None:
        """`read`: how many rows the principal may read at once; 0: any number."""
        self.walls, self.rows, self.read = walls, walls.rows or None, read or None
        self.bytes = size(walls.bytes) if walls.bytes else None

    def take(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """`batch`, for which there is room.

        Raises:
            SizeError: There is none.
        """
        walls = self.walls
        self.rows = _left(self.rows, batch.num_rows, f"has more than {walls.rows:,} rows", "rows")
        self.bytes = _left(self.bytes, batch.nbytes, f"is larger than {walls.bytes}", "bytes")
        self.read = _left(self.read, batch.num_rows, "has more rows than one read may", "")
        return batch


def _left(room: int | None, taken: int, said: str, wall: str) -> int | None:
    if room is None:
        return None
    if taken > room:
        raise SizeError(
            f"the answer {said}",
            where=f"limits.sql.{wall}" if wall else "limits.rows_per_read",
            fix="ask for less: filter, or read page by page",
        )
    return room - taken


def well_formed(said: Mapping[str, Any], tables: Collection[str]) -> Mapping[str, Any]:
    """What a worker said of a statement that it answers, over the `tables` that it was given.

    Raises:
        Silent: It said something else.
    """
    lists = [said.get(name, []) for name in _LISTS]
    if not all(isinstance(v, list) and all(isinstance(x, str) for x in v) for v in lists):
        raise Silent
    if not set(lists[0]) <= set(tables) or not isinstance(said.get("star"), bool):
        raise Silent
    shape, whole, lasting = (said.get(k, v) for k, v in _SINGLE.items())
    if not isinstance(shape, str) or not isinstance(whole, int) or not isinstance(lasting, bool):
        raise Silent
    found = dict(zip(_LISTS, lists, strict=True))
    return {**found, "star": said["star"], "schema": shape, "whole": whole, "lasting": lasting}


def missing(said: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The names that a worker asks for; none where it asks for nothing.

    Raises:
        Silent: They are no names.
    """
    names = said.get("missing", [])
    if not isinstance(names, list) or not all(isinstance(name, list) and name for name in names):
        raise Silent
    if not all(isinstance(part, str) for name in names for part in name):
        raise Silent
    return [tuple(name) for name in names]


def error_of(said: object, walls: Walls, principal: Principal) -> PolyportError:
    """The error that a worker told.

    Raises:
        Silent: It told none.
    """
    if not isinstance(said, dict):
        raise Silent
    kind, message = str(said.get("kind")), str(said.get("message"))
    if kind == "memory":
        return SizeError(
            f"the statement needs more memory than {walls.memory}",
            where="limits.sql.memory",
            fix="ask for less: filter first",
        )
    if kind == "rows":
        return SizeError(
            f"this read gives more rows than {principal.id} may read at once",
            where="limits.rows_per_read",
            fix="ask for fewer: filter, or read page by page",
        )
    line, column = (n if isinstance(n := said.get(k), int) else 0 for k in ("line", "column"))
    return QueryError(message, fix=str(said.get("fix") or ""), line=line, column=column)
