"""One SQL text from a query and its relations.

Each relation becomes a common table expression: names are scoped as they nest, and nothing is left in the engine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from polyport.expression import quote
from polyport.model import Files, Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import pyarrow as pa

    from polyport.model import Relation


Held: TypeAlias = "Callable[[Files, tuple[str, ...]], str | None]"


@dataclass(slots=True)
class Composed:
    """A statement that is ready to run."""

    text: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, pa.Table] = field(default_factory=dict)
    """Arrow tables to register, by the name that the text uses."""
    schemes: set[str] = field(default_factory=set)
    """URL schemes of files that the text reads."""
    start: int = 0
    """Where the given SQL begins in `text`."""
    sql: str = ""
    held: Held = lambda *_: None
    """Gives the table that holds the rows of files, with some columns as codes, where there is one."""

    def place(self, position: int) -> tuple[int, int]:
        """Line and column (1-based) in the given SQL of a byte of `text`; (0, 0): it is elsewhere."""
        before = self.text.encode()[: max(position, 0)].decode(errors="ignore")
        at = len(before) - self.start
        if position < 0 or not 0 <= at <= len(self.sql):
            return 0, 0
        head = self.sql[:at]
        return head.count("\n") + 1, at - (head.rfind("\n") + 1) + 1


def compose(
    sql: str,
    relations: Mapping[str, Relation],
    params: Mapping[str, Any] | None,
    *,
    shown: str = "",
    rows: str = "",
    held: Held = lambda *_: None,
) -> Composed:
    """The statement for `sql` over `relations`; `shown` (a SELECT list) and `rows` (`LIMIT 0`) are put around it."""
    made = Composed(sql=_bare(sql), params=dict(params or {}), held=held)
    head = _with(relations, made)
    if shown or rows or (head and _OWN_WITH.match(made.sql)):
        opening, closing = f"{head}SELECT {shown or '*'} FROM (\n", f"\n) {rows}"
    else:
        opening, closing = head, ""
    made.text, made.start = opening + made.sql + closing, len(opening)
    # A policy may bind more than the columns asked for use; the engine refuses a value without a place.
    made.params = {k: v for k, v in made.params.items() if re.search(rf"\${k}\b", made.text)}
    return made


_OWN_WITH = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*with\b", re.IGNORECASE | re.DOTALL)


def _with(relations: Mapping[str, Relation], made: Composed) -> str:
    if not relations:
        return ""
    parts = [
        f"{quote(n)} AS NOT MATERIALIZED (\n{_shown(r, made)}\n)" for n, r in relations.items()
    ]
    return "WITH " + ",\n".join(parts) + "\n"


def _shown(relation: Relation, made: Composed) -> str:
    made.params.update(relation.params)
    source = _source(relation, made)
    if not relation.columns and not relation.where:
        return f"SELECT * FROM {source}"
    shown = ", ".join(f"{sql} AS {quote(name)}" for name, sql in relation.columns.items()) or "*"
    # The condition sees the source's columns, never the masked ones that are shown under the same names.
    rows = f"(SELECT * FROM {source} WHERE {relation.where})" if relation.where else source
    return f"SELECT {shown} FROM {rows}"


def _source(relation: Relation, made: Composed) -> str:
    data = relation.data
    if isinstance(data, Query):
        return f"(\n{_with(data.relations, made)}SELECT * FROM (\n{_bare(data.sql)}\n)\n)"
    if not isinstance(data, Files):
        return _registered(data, made)
    if not data.uris:
        if data.schema is None:
            raise ValueError(
                "a relation over no files needs a schema"
            )  # a caller's mistake, not a user's
        return _registered(data.schema.empty_table(), made)
    if (table := made.held(data, relation.coded)) is not None:
        return table
    made.schemes |= {uri.split("://")[0] for uri in data.uris if "://" in uri} - {"file"}
    return reader(data)


def _registered(table: pa.Table, made: Composed) -> str:
    name = f"_arrow_{len(made.tables)}"
    made.tables[name] = table
    return name


def reader(files: Files) -> str:
    """SQL that reads the rows of `files`."""
    options = _options(files)
    function = {"parquet": "read_parquet", "csv": "read_csv"}.get(files.format, "read_json")
    listed = ", ".join(map(_literal, (u.removeprefix("file://") for u in files.uris)))
    return f"{function}([{listed}]{''.join(f', {k} = {v}' for k, v in options)})"


_CSV = {
    "delimiter": "delim",
    "header": "header",
    "encoding": "encoding",
    "all_text": "all_varchar",
    "nulls": "nullstr",
    "quote": "quote",
    "decimal": "decimal_separator",
    "date_format": "dateformat",
    "sample": "sample_size",
    "skip": "skip",
}


def _options(files: Files) -> Iterable[tuple[str, str]]:
    given = files.options
    if files.format == "csv":
        yield from ((ours, _literal(given[name])) for name, ours in _CSV.items() if name in given)
        if "types" in given:
            yield "types", _literal(given["types"])
    if files.format in ("json", "ndjson"):
        yield "format", _literal("newline_delimited" if files.format == "ndjson" else "array")
        if "types" in given:
            yield "columns", _literal(given["types"])
    if given.get("filename"):
        yield "filename", _literal("_file")


def _literal(value: object) -> str:
    """A SQL literal of settings and paths, which are the product owner's; consumers' values are always bound."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(str(k))}: {_literal(v)}" for k, v in value.items()) + "}"
    return "'" + str(value).replace("'", "''") + "'"


def _bare(sql: str) -> str:
    return sql.rstrip().rstrip(";").rstrip()
