"""What lies inside of a column: the fields of objects and the items of lists, as SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from polyport.descriptor.odcs import EACH
from polyport.errors import QualityError
from polyport.pipeline.quality import sentences, values

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Place:
    """A column, or a place inside of one."""

    sql: str
    """Its value."""
    type: pa.DataType
    name: str
    """As sentences call it: `address.street`, `lines[].quantity`."""
    around: tuple[str, str] = ("", "")
    """What stands before and after a condition on `sql`: true for a row if one of its values breaks it."""


def walk(start: Place, inside: Sequence[str]) -> Place:
    """The place `inside` of `start`: names of fields, and `[]` for each item.

    What lies in an object or a list that is null is not there, so it breaks nothing.

    Raises:
        QualityError: What was built has no such field, or is no object or list.
    """
    place = start
    for step in inside:
        place = _item(place) if step == EACH else _field(place, step)
    return place


def name(way: Sequence[str]) -> str:
    """What sentences call the end of `way`."""
    return ".".join(way).replace(f".{EACH}", EACH)


def _field(place: Place, name: str) -> Place:
    family = values.family(place.type)
    if family != "struct":
        raise QualityError(f"{place.name} was built as {place.type}, which holds no {name!r}")
    struct: pa.StructType = place.type
    names = [struct.field(i).name for i in range(struct.num_fields)]
    if name not in names:
        raise QualityError(
            f"{place.name} has no {name!r}", fix=f"it holds: {sentences.listed(names, limit=20)}"
        )
    before, after = place.around
    text = name.replace("'", "''")
    return Place(
        f"struct_extract({place.sql}, '{text}')",
        struct.field(name).type,
        f"{place.name}.{name}",
        (f"{before}({place.sql} IS NOT NULL AND ", f"){after}"),
    )


def _item(place: Place) -> Place:
    if values.family(place.type) != "list":
        raise QualityError(f"{place.name} was built as {place.type}, which has no items")
    listed: pa.ListType = place.type
    before, after = place.around
    item = f"item{before.count('lambda')}"
    return Place(
        item,
        listed.value_type,
        f"{place.name}{EACH}",
        (f"{before}len(list_filter({place.sql}, lambda {item}: ", f")) > 0{after}"),
    )
