"""Parts whose columns differ, put together by name without losing a digit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from polyport.expression import quote
from polyport.model import Query, Relation
from polyport.ports.input._infer import MOST_DIGITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def union(parts: Sequence[Relation], schemas: Sequence[pa.Schema]) -> Relation:
    """All rows of `parts`; a column that one lacks is null there.

    Args:
        parts: What to put together.
        schemas: The columns of each; none where only the engine finds them out.
    """
    if len(parts) == 1:
        return parts[0]
    scales = _scales(schemas)
    names = {f"part_{i}": part for i, part in enumerate(parts)}
    shown = [_columns(s, scales) for s in schemas] or ["*"] * len(parts)
    sql = "\nUNION ALL BY NAME\n".join(
        f"SELECT {columns} FROM {name}" for name, columns in zip(names, shown, strict=True)
    )
    return Relation(Query(sql, names))


def _scales(schemas: Sequence[pa.Schema]) -> Mapping[str, int]:
    """Of the decimal columns for which the engine knows no type that holds all, what is needed behind the point.

    It would take one with fewer digits there, and round.
    """
    found: dict[str, list[pa.DataType]] = {}
    for field in (field for schema in schemas for field in schema):
        if pa.types.is_decimal(field.type):
            found.setdefault(field.name, []).append(field.type)
    needed = {name: max(kind.scale for kind in kinds) for name, kinds in found.items()}
    wide = {
        name
        for name, kinds in found.items()
        if max(kind.precision - kind.scale for kind in kinds) + needed[name] > MOST_DIGITS
    }
    return {name: needed[name] for name in wide}


def _columns(schema: pa.Schema, scales: Mapping[str, int]) -> str:
    cast = [
        f"CAST({quote(f.name)} AS DECIMAL({MOST_DIGITS}, {scales[f.name]})) AS {quote(f.name)}"
        for f in schema
        if f.name in scales and pa.types.is_decimal(f.type)
    ]
    return f"* REPLACE ({', '.join(cast)})" if cast else "*"
