"""Transaction blocks: nothing is written in them, yet clients begin, fail and end them as they do at PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from polyport.ports.output.sql.states import StateError

if TYPE_CHECKING:
    from polyport.ports.output.sql import commands as asked

IDLE: Final = b"I"
OPEN: Final = b"T"
FAILED: Final = b"E"
MOST: Final = 1_000
"""Prepared statements, portals or savepoints of one connection."""


class Block:
    """The transaction of a connection, if there is one."""

    def __init__(self) -> None:
        self.status = IDLE
        self._savepoints: list[str] = []

    def begin(self) -> None:
        """From here on there is one."""
        self.status = OPEN

    def end(self) -> None:
        """There is none any more."""
        self.status = IDLE
        self._savepoints.clear()

    def fail(self) -> None:
        """A statement failed: so has its transaction."""
        if self.status == OPEN:
            self.status = FAILED

    def allow(self, command: asked.Command) -> None:
        """See whether `command` may be asked now.

        Raises:
            StateError: The transaction has failed, and the command does not end it.
        """
        ends = getattr(command, "action", "") in ("commit", "rollback", "return")
        if self.status == FAILED and not ends:
            raise StateError(
                "25P02",
                "current transaction is aborted, commands ignored until end of transaction block",
                fix="ROLLBACK",
            )

    def savepoint(self, said: asked.Transaction) -> str:
        """Set one, release one, or return to one; the tag.

        Raises:
            StateError: There is no transaction, no such savepoint, or there are too many.
        """
        if self.status == IDLE:
            words = {"release": "RELEASE SAVEPOINT", "return": "ROLLBACK TO SAVEPOINT"}
            what = words.get(said.action, "SAVEPOINT")
            raise StateError("25P01", f"{what} can only be used in transaction blocks")
        if said.action == "savepoint":
            bounded(self._savepoints)
            self._savepoints.append(said.name)
            return "SAVEPOINT"
        if said.name not in self._savepoints:
            raise StateError("3B001", f'savepoint "{said.name}" does not exist')
        place = len(self._savepoints) - 1 - self._savepoints[::-1].index(said.name)
        del self._savepoints[place + (said.action == "return") :]
        self.status = OPEN
        return "RELEASE" if said.action == "release" else "ROLLBACK"


def bounded(held: dict[str, Any] | list[str]) -> None:
    """See that one more may be held.

    Raises:
        StateError: There are too many.
    """
    if len(held) >= MOST:
        raise StateError(
            "54000", f"one connection may hold {MOST} of these", fix="CLOSE, DEALLOCATE"
        )
