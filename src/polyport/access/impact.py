"""Who breaks: the changes of a contract, the reads of its columns, and the agreements that cover them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from polyport.access.agreements import agreements as all_agreements

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from polyport.access.agreements import Agreement
    from polyport.access.control import Control
    from polyport.descriptor.compare import Change
    from polyport.descriptor.types import DataProduct
    from polyport.ledger import Ledger

DAYS = 90
"""How far back reads count, unless something else is asked for."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """Who read what changes."""

    principal: str
    reads: int
    """Of a whole dataset or contract: of the column that was read most, day by day."""
    last_at: str
    """ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class Affected:
    """A change, and whom it concerns."""

    change: Change
    consumers: tuple[Consumer, ...]
    """The busiest first."""
    agreements: tuple[Agreement, ...]
    """The active ones that cover it, whether or not anybody read by them."""


def affected(
    changes: Iterable[Change],
    reads: Sequence[Mapping[str, Any]],
    agreements: Collection[Agreement],
    now: datetime,
) -> tuple[Affected, ...]:
    """Each of `changes` with those who read what it changes, and those who were promised it.

    Args:
        changes: The breaking ones, say.
        reads: Rows as `ledger.usage.columns` gives them: of the contract's datasets, as far back as counts.
        agreements: Those for the ports that show the contract.
        now: When an agreement has to be active.
    """
    active = [each for each in agreements if each.state(now) == "active"]
    return tuple(
        Affected(
            change,
            _consumers(row for row in reads if _concerns(change, row)),
            tuple(each for each in active if _covers(each, change)),
        )
        for change in changes
    )


def broken(
    changes: Iterable[Change],
    contract: Mapping[str, Any],
    product: DataProduct,
    books: tuple[Ledger, Control],
    now: datetime,
) -> tuple[Affected, ...]:
    """Each of `changes` with the consumers that `product`'s books know of it in the last `DAYS` days.

    Args:
        changes: The breaking ones, say.
        contract: The old ODCS document.
        product: Whose contract it is.
        books: Who read what, and what was agreed.
        now: When.

    Raises:
        StoreError: The books cannot be read.
    """
    ledger, control = books
    datasets = {each.get("name") for each in contract.get("schema") or ()}
    since = (now - timedelta(days=DAYS)).date()
    reads = [r for r in ledger.usage.columns(product.id, since=since) if r["dataset"] in datasets]
    ports = [port.name for port in product.outputs if port.contract_id == contract.get("id")]
    found = all_agreements(control, product.id).values()
    covering = [each for each in found if any(map(each.for_port, ports))]
    return affected(changes, reads, covering, now)


def told(found: Sequence[Affected], *, names: bool) -> list[dict[str, Any]]:
    """`found` as JSON: by name, or only how many there are."""
    return [_told(each, names=names) for each in found]


def _told(each: Affected, *, names: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "path": each.change.path,
        "type": each.change.type,
        "consumerCount": len(each.consumers),
        "reads": sum(consumer.reads for consumer in each.consumers),
        "lastReadAt": max((consumer.last_at for consumer in each.consumers), default=None),
        "agreementCount": len(each.agreements),
    }
    if names:
        shown["consumers"] = [
            {"principal": c.principal, "reads": c.reads, "lastReadAt": c.last_at}
            for c in each.consumers
        ]
        shown["agreements"] = [
            {"id": a.id, "consumer": a.consumer_name, "purpose": a.purpose} for a in each.agreements
        ]
    return shown


def _concerns(change: Change, row: Mapping[str, Any]) -> bool:
    """Whether who read this column of this dataset read what changes: all of it, if the change names none."""
    in_dataset = not change.dataset or row["dataset"] == change.dataset
    return in_dataset and (not change.column or row["column"] == change.column)


def _covers(agreement: Agreement, change: Change) -> bool:
    """As the policy reads an agreement's columns: `column`, or `dataset.column`; none: all."""
    if not agreement.columns or not change.dataset:
        return True
    if change.column:
        named = {change.column, f"{change.dataset}.{change.column}"}
        return not named.isdisjoint(agreement.columns)
    return any("." not in c or c.startswith(f"{change.dataset}.") for c in agreement.columns)


def _consumers(rows: Iterable[Mapping[str, Any]]) -> tuple[Consumer, ...]:
    """The reads of a day are those of the column that was read most: one read may name many."""
    days: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    last: dict[str, str] = {}
    for row in rows:
        who, day = row["principal"], row["day"]
        days[who][day] = max(days[who][day], row["reads"])
        last[who] = max(last.get(who, ""), row["last_at"])
    found = [Consumer(who, sum(each.values()), last[who]) for who, each in days.items()]
    return tuple(sorted(found, key=lambda one: (-one.reads, one.principal)))
