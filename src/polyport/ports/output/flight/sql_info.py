"""What the server can do, and what its SQL is like: `CommandGetSqlInfo`, with the specification's numbers."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import pyarrow as pa

from polyport.errors import QueryError
from polyport.ports.output.flight.kept import IDLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KINDS = (
    pa.field("string_value", pa.string()),
    pa.field("bool_value", pa.bool_()),
    pa.field("bigint_value", pa.int64()),
    pa.field("int32_bitmask", pa.int32()),
    pa.field("string_list", pa.list_(pa.string())),
    pa.field("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.int32()))),
)
SCHEMA = pa.schema(
    [
        pa.field("info_name", pa.uint32(), nullable=False),
        pa.field("value", pa.dense_union(list(_KINDS)), nullable=False),
    ]
)
_MASK = 3
_TEXTS: Mapping[int, str] = {
    0: "Polyport",
    1: version("polyport"),
    2: pa.__version__,
    504: '"',
    513: "\\",
    514: "",
    529: "product",
    530: "",
    531: "mesh",
}
_FLAGS: Mapping[int, bool] = {
    3: True,  # read only
    4: True,  # SQL
    5: False,  # Substrait
    9: True,  # cancel
    500: False,  # no DDL: of catalogs, schemas, tables
    501: False,
    502: False,
    506: True,  # all tables that are listed can be selected
    515: True,  # column aliases
    516: True,  # NULL || 'x' is NULL
    518: True,  # table aliases
    519: False,  # which need not differ from tables' names
    520: True,  # ORDER BY expressions
    521: True,  # ORDER BY columns that are not selected
    523: True,  # LIKE ... ESCAPE
    524: False,  # no columns are defined
    527: False,  # integrity is declared, not enforced by SQL
    532: True,  # the catalog comes first
    536: False,  # FOR UPDATE
    537: False,  # procedures
    539: True,  # correlated subqueries
    563: True,  # transactions: one snapshot
    565: False,
    566: False,
    572: False,  # batch updates
    573: False,  # savepoints
    574: False,
    576: False,
}
_NUMBERS: Mapping[int, int] = {
    8: 1,  # transactions without savepoints
    100: IDLE * 1000,
    101: IDLE * 1000,
    503: 1,  # names without quotes: case does not matter
    505: 1,  # nor within
    507: 3,  # NULL at the end
    522: 0b11,  # GROUP BY
    525: 0b11,  # grammar of ODBC
    526: 0b1,  # ANSI 92, entry level
    528: 2,  # outer joins
    533: 0,
    534: 0,
    535: 0,
    538: 0b1111,  # subqueries
    540: 0b11,  # UNION, UNION ALL
    562: 4,  # serializable: nothing is ever written to what is read
    564: 0b10000,
    567: 0b10,  # forward only
    568: 0,
    569: 0b10,  # read only
    570: 0,
    571: 0,
}


def answer(asked: Sequence[int]) -> pa.Table:
    """What is asked, or all of it.

    Raises:
        QueryError: There is no such information.
    """
    known = {*_TEXTS, *_FLAGS, *_NUMBERS}
    if missing := sorted(set(asked) - known)[:5]:
        raise QueryError(
            f"nothing is told under {missing}", fix="ask for all: leave the numbers out"
        )
    infos = list(dict.fromkeys(asked)) or sorted(known)
    kinds = [0 if i in _TEXTS else 1 if i in _FLAGS else _MASK for i in infos]
    values = [
        pa.array([_TEXTS[i] for i in infos if i in _TEXTS], pa.string()),
        pa.array([_FLAGS[i] for i in infos if i in _FLAGS], pa.bool_()),
        pa.array([], pa.int64()),
        pa.array([_NUMBERS[i] for i in infos if i in _NUMBERS], pa.int32()),
        *(pa.array([], kind.type) for kind in _KINDS[4:]),
    ]
    offsets = [kinds[:n].count(kind) for n, kind in enumerate(kinds)]
    union = pa.UnionArray.from_dense(
        pa.array(kinds, pa.int8()),
        pa.array(offsets, pa.int32()),
        values,
        [kind.name for kind in _KINDS],
    )
    return pa.Table.from_arrays([pa.array(infos, pa.uint32()), union], schema=SCHEMA)
