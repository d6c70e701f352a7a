"""Lists as PostgreSQL's arrays see them: of one size in each dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from polyport.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def is_list(kind: pa.DataType) -> bool:
    """Whether it is a list of any sort."""
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def as_list(array: pa.Array) -> pa.Array:
    """Lists of any sort as plain ones, that begin where their values do."""
    if pa.types.is_fixed_size_list(array.type) or pa.types.is_large_list(array.type):
        array = pc.cast(array, pa.list_(array.type.value_field))
    return array


def relisted(array: pa.Array, of_leaves: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """The same lists of lists, of what `of_leaves` makes of what they hold."""
    array = as_list(array)
    inner = array.values
    made = relisted(inner, of_leaves) if is_list(inner.type) else of_leaves(inner)
    lists = pa.ListArray.from_arrays(array.offsets, made)
    if not array.null_count:
        return lists
    places = pc.if_else(array.is_valid(), pa.array(range(len(array)), pa.int32()), None)
    return lists.take(places)


def dimensions(value: Sequence[Any]) -> tuple[tuple[int, ...], list[Any]]:
    """The size of each dimension of lists of lists, and what they hold, row by row; no size where they are empty.

    Raises:
        QueryError: They are not of one size: PostgreSQL has no such arrays.
    """
    sizes: list[int] = []
    level: list[Any] = [value]
    while level and all(isinstance(each, list) for each in level):
        if len({len(each) for each in level}) > 1:
            raise _ragged()
        sizes.append(len(level[0]))
        level = [inner for each in level for inner in each]
    if any(isinstance(each, list) for each in level):
        raise _ragged()
    return (tuple(sizes), level) if level else ((), [])


def _ragged() -> QueryError:
    return QueryError(
        "multidimensional arrays must have sub-arrays with matching dimensions",
        fix="to_json(column) gives lists of any size",
    )
