"""Whether a filter compares columns with values of their kind.

An engine casts what does not fit, row by row, and its error quotes the value that it could not cast; which rows it
looks at first is its own affair. So what would need a cast of the column is refused before the engine sees it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.types as pt

from polyport.errors import QueryError
from polyport.expression import Attribute, Compare, In, IsNull, Like, leaves

if TYPE_CHECKING:
    import pyarrow as pa

    from polyport.expression import Expression, Value


def check(where: Expression | None, schema: pa.Schema, dataset: str) -> None:
    """Nothing, if each column of `schema` that `where` names is compared with values that it can be compared with.

    Raises:
        QueryError: A text column is compared with something else than text.
    """
    for leaf in leaves(where) if where is not None else ():
        place = schema.get_field_index(leaf.column)
        if place < 0 or not _text(schema.field(place).type):
            continue
        for value in _values(leaf):
            if not isinstance(value, str | Attribute):
                raise QueryError(
                    f"column {leaf.column!r} is text, and is compared with {str(value)[:60]}",
                    where=dataset,
                    fix="write text in '...'",
                )


def _values(leaf: Compare | In | Like | IsNull) -> tuple[Value, ...]:
    match leaf:
        case Compare(_, _, value) | Like(_, value):
            return (value,)
        case In(_, values):
            return values
        case IsNull():
            return ()


def _text(kind: pa.DataType) -> bool:
    if pt.is_dictionary(kind):
        return _text(kind.value_type)
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))
