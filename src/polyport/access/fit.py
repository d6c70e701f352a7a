"""Whether a read names columns that are seen, and compares them with values of their kind.

An engine casts what does not fit, row by row, and its error quotes the value that it could not cast; which rows it
looks at first is its own affair. So what would need a cast of the column is refused before the engine sees it.
"""

from __future__ import annotations

import re
import uuid
from datetime import date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING

import pyarrow.types as pt

from polyport.errors import QueryError
from polyport.expression import Attribute, Compare, In, Inside, IsNull, Like, leaves, mapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from polyport.expression import Expression, Leaf, Value


MOST_DIGITS = 38
"""Of the widest decimal that the engine has."""


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
        QueryError: A text column is compared with something else than text, or a number with one that is finer than
            both can be written as.
    """
    for name, kind, value in _compared(where, schema):
        if _is_text(kind) and not isinstance(value, str | Attribute):
            raise QueryError(
                f"column {name!r} is text, and is compared with {str(value)[:60]}",
                where=dataset,
                fix="write text in '...'",
            )
        if _too_fine(kind, value):
            raise QueryError(
                f"column {name!r} is compared with {str(value)[:60]}, which has more digits than both can have",
                where=dataset,
                fix="fewer decimal places",
            )


def unfit(where: Expression | None, schema: pa.Schema) -> str:
    """A column of `schema` that `where` compares with what `check_values` refuses; else empty."""
    compared = _compared(where, schema)
    return next((name for name, kind, value in compared if not _fits(kind, value)), "")


def typed(where: Expression, schema: pa.Schema, known: Mapping[str, str]) -> Expression:
    """`where`, each `principal.<name>` as a value of the type of the column that it is compared with.

    One that is no value of that type stands as one that nobody has: it fits no row, and is quoted in no error.
    """

    def value(column: str, given: Value) -> Value:
        place = schema.get_field_index(column)
        if not isinstance(given, Attribute) or place < 0 or given.name not in known:
            return given
        found = _read(known[given.name], schema.field(place).type)
        return _NOBODYS if found is None else found

    return mapped(where, value)


_NOBODYS = Attribute("")
_NUMBER = re.compile(r"[+-]?(?:\d{1,38}|\d{1,20}(?P<after>\.\d{1,18}))", re.ASCII)


def _read(text: str, kind: pa.DataType) -> Value | None:
    """`text` as a value of a column of the type `kind`; None where it is none."""
    if _is_text(kind):
        return text
    reader = next((read for fits, read in _READERS if fits(kind)), None)
    try:
        found = reader(text) if reader else None
    except ValueError:
        return None
    return None if found is None or _too_fine(kind, found) else found


def _number(text: str) -> Value | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    return Decimal(text) if match["after"] else int(text)


def _uuid(text: str) -> Value:
    return str(uuid.UUID(text))


def _time(text: str) -> Value:
    return time.fromisoformat(text).isoformat()


_READERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[str], Value | None]], ...] = (
    (pt.is_integer, _number),
    (pt.is_decimal, _number),
    (pt.is_floating, _number),
    (pt.is_boolean, {"true": True, "false": False}.get),
    (pt.is_date, date.fromisoformat),
    (pt.is_timestamp, datetime.fromisoformat),
    (pt.is_time, _time),
    (lambda kind: str(kind) == "extension<arrow.uuid>", _uuid),
)


def _fits(kind: pa.DataType, value: Value) -> bool:
    text = isinstance(value, str | Attribute)
    return not (_is_text(kind) and not text) and not _too_fine(kind, value)


def _compared(
    where: Expression | None, schema: pa.Schema
) -> Iterator[tuple[str, pa.DataType, Value]]:
    for leaf in leaves(where) if where is not None else ():
        place = schema.get_field_index(leaf.column)
        if place < 0:
            continue
        name, kind, test = leaf.column, schema.field(place).type, leaf
        if isinstance(leaf, Inside):
            name, kind, test = leaf.test.column, _inside(kind, leaf), leaf.test
        yield from ((name, kind, value) for value in _values(test))


def _inside(kind: pa.DataType, leaf: Inside) -> pa.DataType:
    """The type of what is asked for inside of a column.

    Raises:
        QueryError: It is not there.
    """
    for name in leaf.path:
        place = kind.get_field_index(name) if pt.is_struct(kind) else -1
        if place < 0:
            raise QueryError(f"there is no {name!r} in {leaf.column!r}", where=leaf.test.column)
        kind = kind.field(place).type
    if not leaf.item:
        return kind
    if not (pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind)):
        raise QueryError(f"{leaf.test.column!r} is no list")
    return kind.value_type


def _too_fine(kind: pa.DataType, value: Value) -> bool:
    """Whether there is no decimal that holds every value of the column, and this one."""
    if not isinstance(value, Decimal):
        return False
    after = max(0, -int(value.as_tuple().exponent))
    if pt.is_decimal(kind):
        return bool(kind.precision - kind.scale + max(kind.scale, after) > MOST_DIGITS)
    return bool(pt.is_integer(kind) and _DIGITS[kind.bit_width] + after > MOST_DIGITS)


_DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}
"""How many an integer of so many bits can have."""


def _values(leaf: Leaf) -> tuple[Value, ...]:
    match leaf:
        case Compare(_, _, value) | Like(_, value):
            return (value,)
        case In(_, values):
            return values
        case IsNull() | Inside():
            return ()


def _is_text(kind: pa.DataType) -> bool:
    if pt.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))
