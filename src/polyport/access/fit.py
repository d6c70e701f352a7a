"""Whether a read names columns that are seen, and compares them with values of their kind.

An engine casts what does not fit, row by row, and its error quotes the value that it could not cast; which rows it
looks at first is its own affair. So what would need a cast of the column is refused before the engine sees it.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import pyarrow.types as pt

from polyport.errors import QueryError
from polyport.expression import Attribute, Compare, In, IsNull, Like, leaves

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from polyport.expression import Expression, Value


def check_names(names: Sequence[str], seen: Sequence[str], dataset: str) -> None:
    """Nothing, if each of `names` is one of the columns `seen`.

    Raises:
        QueryError: One is not.
    """
    for name in names:
        if name not in seen:
            near = get_close_matches(name, seen, 1)
            raise QueryError(
                f"no column {name!r} in {dataset!r}",
                where=dataset,
                fix=f"did you mean {near[0]!r}?" if near else f"columns: {', '.join(seen)}",
            )


def check_values(where: Expression | None, schema: pa.Schema, dataset: str) -> None:
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
