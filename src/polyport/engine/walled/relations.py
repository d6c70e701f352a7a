"""SQL texts that define what a worker may see. Bound values become literals: a view has no parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from polyport.engine.compose import reader
from polyport.expression import quote
from polyport.model import Files, Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa

    from polyport.model import Relation


@dataclass(frozen=True, slots=True)
class Defined:
    """One table of a worker."""

    sql: str
    """A SELECT; of `_rows` where there is a `table`."""
    secure: bool
    """Whether the SELECT hides rows: no condition of a consumer's may run below it."""
    files: tuple[str, ...] = ()
    """The paths that it reads."""
    table: pa.Table | None = None
    """Rows that are brought along."""


ROWS = "_rows"


def defined(relation: Relation) -> Defined:
    """How a worker defines `relation`."""
    data = relation.data
    if not isinstance(data, Files | Query):
        return Defined(_shown(relation, ROWS), secure=False, table=data)
    if isinstance(data, Files) and not data.uris:
        empty = data.schema.empty_table() if data.schema is not None else None
        return Defined(_shown(relation, ROWS), secure=False, table=empty)
    return Defined(_shown(relation, _source(data)), _hides(relation), tuple(_files(relation)))


def _hides(relation: Relation) -> bool:
    below = relation.data.relations.values() if isinstance(relation.data, Query) else ()
    return bool(relation.where) or any(map(_hides, below))


def _files(relation: Relation) -> Iterator[str]:
    if isinstance(relation.data, Query):
        for below in relation.data.relations.values():
            yield from _files(below)
    elif isinstance(relation.data, Files):
        yield from (uri.removeprefix("file://") for uri in relation.data.uris)


def _source(data: Files | Query) -> str:
    if isinstance(data, Files):
        return reader(replace(data, uris=tuple(u.removeprefix("file://") for u in data.uris)))
    parts = [
        f"{quote(n)} AS (\n{_shown(r, _source(r.data))}\n)"
        for n, r in data.relations.items()
        if isinstance(r.data, Files | Query)
    ]
    return f"(\nWITH {', '.join(parts)}\nSELECT * FROM (\n{data.sql.rstrip().rstrip(';')}\n)\n)"


def _shown(relation: Relation, source: str) -> str:
    columns = ", ".join(f"{sql} AS {quote(name)}" for name, sql in relation.columns.items()) or "*"
    # The condition sees the source's columns, never the masked ones that are shown under the same names.
    rows = f"(SELECT * FROM {source} WHERE {relation.where})" if relation.where else source
    text = f"SELECT {columns} FROM {rows}"
    return filled(text, relation.params) if relation.params else text


_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\w+)""")


def filled(sql: str, params: Mapping[str, Any]) -> str:
    """`sql` with a literal for each `$name` outside quotes."""

    def one(match: re.Match[str]) -> str:
        name = match[1]
        return match[0] if name is None else literal(params[name])

    return _QUOTED.sub(one, sql)


def literal(value: object) -> str:
    """The SQL literal of a bound value, of the type that the engine would give it."""
    if value is None:
        return "NULL"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    for kind, form in _FORMS:
        if isinstance(value, kind):
            return form(value)
    raise TypeError(f"no SQL literal of a {type(value).__name__}")


def _text(value: str) -> str:
    """NUL cannot stand in a statement."""
    parts = ["'" + part.replace("'", "''") + "'" for part in value.split("\0")]
    return parts[0] if len(parts) == 1 else f"({' || chr(0) || '.join(parts)})"


_FORMS: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (bool, lambda v: "true" if v else "false"),
    (int, lambda v: f"({v})"),
    (float, lambda v: f"'{v!r}'::DOUBLE"),
    (Decimal, lambda v: f"({v:f})"),
    (datetime, lambda v: f"'{v.isoformat(' ')}'::TIMESTAMP{'TZ' if v.tzinfo else ''}"),
    (date, lambda v: f"'{v.isoformat()}'::DATE"),
    (time, lambda v: f"'{v.isoformat()}'::TIME"),
    (timedelta, lambda v: f"to_microseconds({v // timedelta(microseconds=1)})"),
    (bytes, lambda v: f"from_hex('{v.hex()}')"),
    (str, _text),
)
"""A subclass before its base."""
