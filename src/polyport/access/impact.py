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
    from polyport.descriptor.types import DataProduct, DatasetMapping
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
    mapping: Mapping[str, DatasetMapping] | None = None,
) -> tuple[Affected, ...]:
    """Each of `changes` with those who read what it changes, and those who were promised it.

    Args:
        changes: The breaking ones, say.
        reads: Rows as `ledger.usage.columns` gives them: of the contract's datasets, as far back as counts.
        agreements: Those for the ports that show the contract.
        now: When an agreement has to be active.
        mapping: Of the contract's datasets over those that are published, where it is an older major's: reads and
            agreements name what is published.
    """
    active = [each for each in agreements if each.state(now) == "active"]
    return tuple(
        Affected(
            change,
            _consumers(row for row in reads if any(_concerns(name, row) for name in names)),
            tuple(each for each in active if any(_covers(each, name) for name in names)),
        )
        for change in changes
        for names in [_names(change, mapping or {})]
    )


def broken(
    changes: Iterable[Change],
    contract: Mapping[str, Any],
    product: DataProduct,
    books: tuple[Ledger, Control],
    now: datetime,
    mapping: Mapping[str, DatasetMapping],
) -> tuple[Affected, ...]:
    """Each of `changes` with the consumers that `product`'s books know of it in the last `DAYS` days.

    Who reads through a port is a consumer of the contract behind it. What is read without one (in Python, by another
    product, of quality reports) is what is published, and so promised by today's contracts, not by an older major's.

    Args:
        changes: The breaking ones, say.
        contract: The old ODCS document.
        product: Whose contract it is.
        books: Who read what, and what was agreed.
        now: When.
        mapping: Of the old document's datasets over those that are published; empty: they are those.

    Raises:
        StoreError: The books cannot be read.
    """
    ledger, control = books
    shown = [port for port in product.outputs if port.contract_id == contract.get("id")]
    datasets = {each.get("name") for each in contract.get("schema") or ()}
    datasets |= {mapping[name].source for name in datasets if name in mapping}
    since = (now - timedelta(days=DAYS)).date()
    under = {str(contract.get("id")), *([] if mapping else [""])}
    found = ledger.usage.columns(product.id, since=since)
    reads = [r for r in found if r["dataset"] in datasets and r["contract"] in under]
    agreed = all_agreements(control, product.id).values()
    covering = [each for each in agreed if any(each.for_port(port.name) for port in shown)]
    return affected(changes, reads, covering, now, mapping)


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


def _names(change: Change, mapping: Mapping[str, DatasetMapping]) -> list[tuple[str, str]]:
    """(dataset, column) of what changes, each empty for all: as the contract has it, and as it is published today.

    Both, for what was read before the older contract was mapped was read by its own names. Nobody reads a constant.
    """
    own = (change.dataset, change.column)
    if change.dataset not in mapping:
        return [own]
    of = mapping[change.dataset]
    if not change.column:
        return [own, (of.source, "")]
    column = of.columns.get(change.column)
    return [own, (of.source, column)] if isinstance(column, str) else [own]


def _concerns(name: tuple[str, str], row: Mapping[str, Any]) -> bool:
    """Whether who read this column of this dataset read what changes: all of it, if the change names none."""
    dataset, column = name
    in_dataset = not dataset or row["dataset"] == dataset
    return in_dataset and (not column or row["column"] == column)


def _covers(agreement: Agreement, name: tuple[str, str]) -> bool:
    """As the policy reads an agreement's columns: `column`, or `dataset.column`; none: all."""
    dataset, column = name
    if not agreement.columns or not dataset:
        return True
    if column:
        return not {column, f"{dataset}.{column}"}.isdisjoint(agreement.columns)
    return any("." not in c or c.startswith(f"{dataset}.") for c in agreement.columns)


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
