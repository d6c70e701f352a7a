"""Who uses a product, and what for: from the reads that were recorded and the agreements that stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from polyport.access.agreements import agreements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polyport.access.control import Control
    from polyport.ledger import Ledger


@dataclass(slots=True)
class User:
    """One consumer: a principal that read, or whom an agreement names."""

    id: str
    """A principal's id; of an agreement with a team: `team:<id>`."""
    purposes: set[str] = field(default_factory=set)
    ports: set[str] = field(default_factory=set)
    reads: int = 0
    rows: int = 0
    last_day: str = ""
    """ISO 8601; empty where it never read."""
    agreements: list[str] = field(default_factory=list)
    """The ids of those that are active."""


def known_users(ledger: Ledger, control: Control, product: str) -> Sequence[User]:
    """The users of `product`, those that read most first. Purposes stated are those of the newest 10,000 reads.

    Raises:
        StoreError: The ledger cannot be read.
    """
    found: dict[str, User] = {}

    def user(name: str) -> User:
        return found.setdefault(name, User(name))

    for row in ledger.usage.reads(product):
        if row["outcome"] == "denied":
            continue
        each = user(row["principal"])
        each.ports.add(row["port"])
        each.reads += int(row["reads"])
        each.rows += int(row["rows"])
        each.last_day = max(each.last_day, row["day"])
    for read in ledger.reads(product):
        if read["purpose"] and read["outcome"] != "denied":
            user(read["principal"]).purposes.add(read["purpose"])
    now = datetime.now(UTC)
    for one in agreements(control, product).values():
        if one.state(now) == "active":
            who = f"product:{one.consumer}" if one.consumer else one.user or f"team:{one.team}"
            user(who).purposes.add(one.purpose)
            user(who).agreements.append(one.id)
    return sorted(found.values(), key=lambda each: (-each.reads, each.id))
