"""What goes into a file: the rows of one dataset in one format, or all datasets as one workbook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from polyport.ports import query
from polyport.ports.formats import xlsx

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from polyport.access import Order, View
    from polyport.descriptor.types import DataProduct
    from polyport.expression import Expression
    from polyport.ports.formats import Format


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one dataset that are wanted."""

    dataset: str
    columns: tuple[str, ...] = ()
    where: Expression | None = None
    order: tuple[Order, ...] = ()
    """Total, so that the same part has the same bytes each time it is rendered."""
    filter: str = ""
    """`where`, `columns` and the order as the asker wrote them, for a person."""


def part(view: View, dataset: str, *, where: Expression | None, filter: str) -> Part:  # noqa: A002
    """All rows of `dataset` that fit `where`, in the order of its key.

    Raises:
        NotFoundError, AccessError: There is no such dataset, or nothing of it may be seen.
    """
    schema = view.schema(dataset)
    order = query.parse([], schema, key(view, dataset), paging=False).order
    return Part(dataset, tuple(schema.names), where, order, filter)


def key(view: View, dataset: str) -> tuple[str, ...]:
    """The key by which the rows shown can be put into a total order; empty where there is none.

    A masked key may have one value in all rows.
    """
    found = view.snapshot.datasets[dataset].key
    return () if set(found) & set(view.masked(dataset)) else found


def write(
    view: View, product: DataProduct, parts: Sequence[Part], form: Format, sink: BinaryIO
) -> dict[str, int]:
    """Write `parts` in the format `form`, several of them only as a workbook; the rows of each dataset."""
    if form.name != "xlsx":
        (part,) = parts
        with _scan(view, part)() as reader:
            return {part.dataset: form.write(reader, sink)}
    sheets = [xlsx.Sheet(part.dataset, _scan(view, part)) for part in parts]
    when = view.snapshot.committed_at
    rows = xlsx.workbook(sheets, sink, about=about(view, product, parts), created=when)
    return {part.dataset: count for part, count in zip(parts, rows, strict=True)}


def about(view: View, product: DataProduct, parts: Sequence[Part]) -> list[tuple[str, str]]:
    """Where the rows come from and what of them is there, for a person who is handed the workbook."""
    shown = view.snapshot
    title = product.name or product.id
    found = [
        ("Data product", title if title == product.id else f"{title} ({product.id})"),
        ("Version", shown.version or product.version),
        ("Snapshot", f"{shown.sequence} ({shown.id})"),
        ("Published", f"{shown.committed_at:%Y-%m-%d %H:%M:%S} UTC"),
    ]
    for part in parts:
        found.append((f"Filter on {part.dataset}", part.filter or "none: all that may be seen"))
        found.append((f"Policy on {part.dataset}", policy_note(view, part)))
    found.append(("Times", "in UTC, where a time zone is known"))
    return found


def policy_note(view: View, part: Part) -> str:
    """What the access policy changed of a dataset, in words."""
    shown = part.columns or view.schema(part.dataset).names
    masked = {c: how for c, how in view.masked(part.dataset).items() if c in shown}
    notes = "; ".join(f"{column}: {how}" for column, how in masked.items())
    return f"as the asker may see it; {notes}" if notes else "as the asker may see it"


def _scan(view: View, part: Part) -> Callable[[], pa.RecordBatchReader]:
    def scan() -> pa.RecordBatchReader:
        return view.scan(part.dataset, columns=part.columns, where=part.where, order=part.order)

    return scan
