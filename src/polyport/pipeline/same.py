"""Whether two tables hold the same rows, in whatever order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyport.expression import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polyport.engine import Engine
    from polyport.model import Relation


def same_rows(one: Relation, other: Relation, names: Sequence[str], engine: Engine) -> bool:
    """Whether two relations of as many rows have the same ones. `names`: the columns of both.

    Raises:
        QueryError: One of them cannot be read.
    """
    row = f"hash({', '.join(map(quote, names))})"
    digest = (
        f"SELECT bit_xor({row}) AS mixed, CAST(sum(CAST({row} AS HUGEINT)) AS VARCHAR) AS total"
    )
    # Hashes are good within one query of one engine, so they are compared here and never kept.
    sql = f"{digest} FROM one UNION {digest} FROM other"
    with engine.query(sql, {"one": one, "other": other}) as reader:
        return bool(reader.read_all().num_rows == 1)
