"""What one listener knows: the ports that it answers for, and what it keeps for its callers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from polyport.ports.output.flight.kept import IDLE, Kept
from polyport.ports.output.flight.statements import Prepared, Statement, Talk, talk

if TYPE_CHECKING:
    from polyport.ports.output.flight.calls import Caller, Door
    from polyport.ports.output.majors import Majors

WAIT = 60
"""Seconds that an answer waits to be read."""


def _statements() -> Kept[Statement]:
    return Kept(
        "answer",
        seconds=WAIT,
        each=16,
        most=256,
        busy=lambda s: s.started and not s.ended,
        end=Statement.close,
    )


def _transactions() -> Kept[Talk]:
    return Kept(
        "transaction",
        seconds=IDLE,
        each=32,
        most=1_024,
        busy=lambda t: t.reading > 0,
        within=lambda t: t.session.idle,
        end=Talk.close,
    )


@dataclass(slots=True)
class State:
    """What the calls share."""

    mesh: str
    majors: Majors
    door: Door
    statements: Kept[Statement] = field(default_factory=_statements)
    prepared: Kept[Prepared] = field(
        default_factory=lambda: Kept("prepared statement", seconds=IDLE)
    )
    transactions: Kept[Talk] = field(default_factory=_transactions)

    def talk(self, caller: Caller, transaction: bytes | None) -> Talk:
        """The session of a transaction, or a new one.

        Raises:
            NotFoundError: There is no such transaction of the caller; or as `statements.talk`.
        """
        if transaction:
            return self.transactions.get(caller.principal, transaction)
        return talk(self.majors, caller)

    def close(self) -> None:
        """End all that is open."""
        self.statements.close()
        self.transactions.close()
        self.prepared.close()

    def sweep(self) -> None:
        """End what was not used for too long."""
        self.statements.sweep()
        self.transactions.sweep()
        self.prepared.sweep()
        self.door.logins.sweep()
        self.door.sessions.sweep()
