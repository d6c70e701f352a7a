"""Use and cost of a product, added up from the ledger: what the metrics port and its exposition tell."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from polyport.ledger.usage import BUCKETS
from polyport.model import OWNER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import date

    from polyport.ledger import Ledger

By: TypeAlias = Literal["day", "port", "consumer", "dataset", "column"]
Row: TypeAlias = "Mapping[str, Any]"
FIRST_ERROR = 400
"""HTTP status."""
PORT = "port:"
"""How a principal is called that is a port which pushes."""
_PREVIEW = f"{OWNER.id} as "
_ALL = 1_000_000
_PLACES = {
    "day": "day",
    "port": "port",
    "consumer": "principal",
    "dataset": "dataset",
    "column": "column",
}


@dataclass(frozen=True, slots=True)
class Use:
    """A product's sums by day."""

    requests: Sequence[Row]
    """See `Usage.requests`."""
    reads: Sequence[Row]
    columns: Sequence[Row]


def use(ledger: Ledger, product: str, since: date | None = None) -> Use:
    """The use of `product` from the day `since` on."""
    found = ledger.usage
    return Use(
        found.requests(product, since=since),
        found.reads(product, since=since),
        found.columns(product, since=since),
    )


def totals(found: Use) -> dict[str, Any]:
    """All of it as one record."""
    return {**_asked(found.requests), **_read(found.reads), "active_users": len(users(found))}


def users(found: Use) -> set[str]:
    """Who asked or read, as far as it is known: not a port that pushes, and the owner as somebody else is the owner."""
    rows = (*found.requests, *found.reads, *found.columns)
    return {_user(row) for row in rows} - {""}


def _user(row: Row) -> str:
    name: str = row.get("user", row["principal"])
    if name.startswith(PORT):
        return ""
    return OWNER.id if name.startswith(_PREVIEW) else name


def split(found: Use, *by: By) -> list[dict[str, Any]]:
    """The same for each value of `by`, or for each combination that there is: `{"day": ..., "consumer": ..., sums}`.

    Requests name no dataset, so by dataset there are reads only. By column (of a dataset; by port there is none) it is
    how often it was read, by how many, and when last.
    """
    if "column" in by:
        return _columns(found.columns, by)
    reads_only = "dataset" in by
    requests = () if reads_only else found.requests
    asked, read = _grouped(requests, by), _grouped(found.reads, by)
    keys = sorted({*asked, *read})
    grouped = {key: Use(asked.get(key, ()), read.get(key, ()), ()) for key in keys}
    return [
        {
            **dict(zip(by, key, strict=True)),
            **({} if reads_only else _asked(one.requests)),
            **_read(one.reads),
            "active_users": len(users(one)),
        }
        for key, one in grouped.items()
    ]


def _grouped(rows: Iterable[Row], by: Sequence[By]) -> dict[tuple[str, ...], list[Row]]:
    made: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        made.setdefault(_key(row, by), []).append(row)
    return made


def _key(row: Row, by: Sequence[By]) -> tuple[str, ...]:
    return tuple(row[_PLACES[each]] for each in by)


def costs(
    ledger: Ledger, product: str, stored: Callable[[], int], since: date | None = None
) -> dict[str, Any]:
    """What the product's builds took, and the bytes that its kept snapshots take."""
    runs = ledger.runs(product, limit=_ALL)
    counted = [run for run in runs if since is None or run.started_at.date() >= since]
    return {
        "builds": dict(sorted(Counter(run.outcome for run in counted).items())),
        "build_seconds": round(sum(run.seconds for run in counted), 3),
        "stored_bytes": stored(),
    }


def within(requests: Iterable[Row]) -> tuple[int, ...]:
    """How many requests took at most each of `BUCKETS`."""
    sums = [0] * len(BUCKETS)
    for row in requests:
        for at, count in enumerate(row["within"]):
            sums[at] += count
    return tuple(sums)


def quantile(share: float, counts: Sequence[int], total: int) -> float | None:
    """The seconds that `share` of the requests stayed within, as far as the histogram tells.

    Inside a bucket they are taken to lie evenly; None where there are none, or it lies beyond the last bound.
    """
    wanted, below, low = share * total, 0, 0.0
    for high, count in zip(BUCKETS, counts, strict=True):
        if total and count >= wanted:
            inside = count - below
            return round(low + (high - low) * ((wanted - below) / inside if inside else 1), 4)
        below, low = count, high
    return None


def _asked(requests: Sequence[Row]) -> dict[str, Any]:
    count, counts = _sum(requests, "requests"), within(requests)
    return {
        "requests": count,
        "errors": sum(r["requests"] for r in requests if int(r["status"]) >= FIRST_ERROR),
        "downloads": _sum(requests, "downloads"),
        "bytes_sent": _sum(requests, "bytes"),
        "seconds": round(sum(r["seconds"] for r in requests), 6),
        "latency": {
            "p50": quantile(0.5, counts, count),
            "p95": quantile(0.95, counts, count),
            "within": {str(b): n for b, n in zip(BUCKETS, counts, strict=True)},
        },
    }


def _read(reads: Sequence[Row]) -> dict[str, Any]:
    return {
        "reads": _sum(reads, "reads"),
        "reads_denied": sum(r["reads"] for r in reads if r["outcome"] == "denied"),
        "rows": _sum(reads, "rows"),
        "bytes_read": _sum(reads, "bytes"),
    }


def _columns(rows: Sequence[Row], by: Sequence[By]) -> list[dict[str, Any]]:
    parts: list[By] = [
        *(each for each in by if each not in ("dataset", "column")),
        "dataset",
        "column",
    ]
    return [
        {
            **dict(zip(parts, key, strict=True)),
            "reads": _sum(mine, "reads"),
            "active_users": len(users(Use((), (), mine))),
            "last_at": max(row["last_at"] for row in mine),
        }
        for key, mine in sorted(_grouped(rows, parts).items())
    ]


def _sum(rows: Sequence[Row], name: str) -> int:
    return sum(row[name] for row in rows)
