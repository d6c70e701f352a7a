"""Counting: as many numbers as possible from one scan, and what failed left to itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport.errors import QualityError, QueryError
from polyport.expression import quote
from polyport.model import Files
from polyport.pipeline.quality import limits, sentences
from polyport.pipeline.quality.checks import Duplicates, Orphans, Rows, Scalar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from polyport.engine import Engine
    from polyport.model import Relation
    from polyport.pipeline.quality.checks import Check, How


_HOLES = 8
"""How many values there could be for each row, for marking to be cheaper than grouping."""
_BITS = 1 << 27
"""The most values to mark: 16 MiB for each thread."""


@dataclass(frozen=True, slots=True)
class Term:
    """One number of a table scan."""

    name: str
    sql: str
    params: Mapping[str, Any] = field(default_factory=dict)


def fetch(
    engine: Engine,
    sql: str,
    relations: Mapping[str, Relation],
    params: Mapping[str, Any] | None = None,
    *,
    most: int | None = None,
) -> tuple[tuple[Any, ...], ...]:
    """The rows of `sql`, at most `most` of them.

    Raises:
        QueryError: As `Engine.query`; also where it fails while rows come.
    """
    found: list[tuple[Any, ...]] = []
    with engine.query(sql, relations, params) as reader:
        try:
            for batch in reader:
                found += _tuples(batch if most is None else batch.slice(0, most - len(found)))
                if most is not None and len(found) >= most:
                    break
        except (pa.ArrowException, OSError) as error:
            raise QueryError(str(error).strip().splitlines()[0]) from error
    return tuple(found)


def known_columns(relation: Relation, engine: Engine) -> pa.Schema:
    """The columns of a dataset; the engine is asked where its files do not say."""
    if isinstance(relation.data, Files) and relation.data.schema and not relation.columns:
        return relation.data.schema
    return engine.schema("SELECT * FROM source", {"source": relation})


def _tuples(batch: pa.RecordBatch) -> Iterable[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in batch.columns), strict=True)


def tally(
    engine: Engine, dataset: str, relation: Relation, terms: Sequence[Term]
) -> dict[str, Any]:
    """The value of each term, all from one scan; for a term that cannot be computed, the `QueryError` that says why."""
    if not terms:
        return {}
    shown = ", ".join(f"{term.sql} AS m{i}" for i, term in enumerate(terms))
    params = {k: v for term in terms for k, v in term.params.items()}
    try:
        (row,) = fetch(engine, f"SELECT {shown} FROM {quote(dataset)}", {dataset: relation}, params)
    except QueryError as error:
        if len(terms) == 1:
            return {terms[0].name: error}
    else:
        return {term.name: value for term, value in zip(terms, row, strict=True)}
    # One term broke the scan for all: halve until it stands alone.
    half = len(terms) // 2
    return tally(engine, dataset, relation, terms[:half]) | tally(
        engine, dataset, relation, terms[half:]
    )


ALL_ROWS = Term("rows", "count(*)")


def terms(checks: Sequence[Check]) -> list[Term]:
    """The terms that count the rows which break each row rule, named by the rule."""
    return [
        Term(
            c.term,
            f"count(*) FILTER (WHERE {c.how.condition.sql})",
            c.how.condition.params,
        )
        for c in checks
        if isinstance(c.how, Rows)
    ]


class Grouped:
    """Repeated rows by dataset and columns: each set of columns is grouped once, however many rules ask."""

    def __init__(self, engine: Engine, relations: Mapping[str, Relation]) -> None:
        self.engine = engine
        self.relations = relations
        self.known: dict[tuple[str, frozenset[str]], int | QueryError] = {}

    def repeated(self, dataset: str, columns: tuple[str, ...]) -> int:
        """How many rows repeat the values of an earlier one in `columns`; rows with a null are left out.

        Raises:
            QueryError: As `Engine.query`.
        """
        key = dataset, frozenset(columns)
        if key not in self.known:
            self.known[key] = self._count(dataset, columns)
        found = self.known[key]
        if isinstance(found, QueryError):
            raise found
        return found

    def _count(self, dataset: str, columns: tuple[str, ...]) -> int | QueryError:
        relations = {dataset: self.relations[dataset]}
        try:
            sql = self._marked(dataset, columns) or _grouped(dataset, columns)
            ((found,),) = fetch(self.engine, sql, relations)
        except QueryError as error:
            return error
        return int(found)

    def _marked(self, dataset: str, columns: tuple[str, ...]) -> str:
        """The count by one bit for each value that there could be; empty where that is not cheaper than grouping.

        A seventh of grouping's CPU, for whole numbers without large holes. Their bounds come from the files' footers.
        """
        if len(columns) > 1 or self.engine.dialect != "duckdb":
            return ""
        name, source = quote(columns[0]), f"FROM {quote(dataset)}"
        relations = {dataset: self.relations[dataset]}
        known = known_columns(relations[dataset], self.engine)
        if not pa.types.is_integer(known.field(columns[0]).type):
            return ""
        shown = ", ".join(f"CAST({one} AS VARCHAR)" for one in (f"min({name})", f"max({name})"))
        ((least, most, rows),) = fetch(self.engine, f"SELECT {shown}, count(*) {source}", relations)
        if most is None or not 0 < int(most) - int(least) < min(rows * _HOLES, _BITS):
            return ""
        marks = f"bitstring_agg({name}, {least}, {most})"
        return f"SELECT count({name}) - bit_count({marks}) {source}"


def _grouped(dataset: str, columns: tuple[str, ...]) -> str:
    names = ", ".join(map(quote, columns))
    rows = f"FROM {quote(dataset)} WHERE {filled(columns)}"
    # All less the distinct ones: grouping without a count in each group is a quarter cheaper.
    return f"SELECT (SELECT count(*) {rows}) - (SELECT count(*) FROM (SELECT {names} {rows} GROUP BY {names}))"


def filled(columns: Sequence[str], alias: str = "") -> str:
    """A condition: none of the columns is null."""
    return " AND ".join(f"{alias}{quote(c)} IS NOT NULL" for c in columns)


def orphaned(how: Orphans) -> str:
    """The FROM and WHERE that leave the rows, called `_from`, which refer to nothing."""
    link = how.relationship
    same = zip(link.columns, link.to_columns, strict=True)
    equal = " AND ".join(f"_to.{quote(to)} = _from.{quote(of)}" for of, to in same)
    return (
        f"WHERE {filled(link.columns, '_from.')} AND NOT EXISTS "
        f"(SELECT 1 FROM {quote(link.to_dataset)} AS _to WHERE {equal})"
    )


def orphans(engine: Engine, dataset: str, how: Orphans, relations: Mapping[str, Relation]) -> int:
    """How many rows refer to a row that is not there.

    Raises:
        QueryError: As `Engine.query`.
    """
    sql = f"SELECT count(*) AS n FROM {quote(dataset)} AS _from {orphaned(how)}"
    ((found,),) = fetch(engine, sql, _of(how, dataset, relations))
    return int(found)


def _of(how: Orphans, dataset: str, relations: Mapping[str, Relation]) -> dict[str, Relation]:
    return {name: relations[name] for name in (dataset, how.relationship.to_dataset)}


def scalar(engine: Engine, how: Scalar, relations: Mapping[str, Relation]) -> Any:
    """The one value of the query, over all datasets by name.

    Raises:
        QueryError: As `Engine.query`.
        QualityError: It gave something other than one value; says what.
    """
    found = fetch(engine, how.query, relations, most=2)
    if len(found) != 1:
        came = "no row" if not found else "more than one row"
        raise QualityError(f"the query gave {came}, and one value is expected")
    if len(found[0]) != 1:
        raise QualityError(f"the query gave {len(found[0])} columns, and one value is expected")
    return limits.settle(found[0][0])


def examples(
    engine: Engine, dataset: str, how: How, *, key: Sequence[str], relations: Mapping[str, Relation]
) -> tuple[str, ...]:
    """Up to five offending values, or keys of offending rows where a value would say nothing.

    Raises:
        QueryError: As `Engine.query`.
    """
    columns = shown(how, key)
    if not columns:
        return ()
    alias = "_from." if isinstance(how, Orphans) else ""
    texts = [f"left(CAST({alias}{quote(c)} AS VARCHAR), 60)" for c in columns]
    order = ", ".join(str(i + 1) for i in range(len(columns)))
    sql = f"SELECT DISTINCT {', '.join(texts)} FROM {_broken(dataset, how)} ORDER BY {order} LIMIT {sentences.EXAMPLES}"
    params = how.condition.params if isinstance(how, Rows) else {}
    named = (
        _of(how, dataset, relations) if isinstance(how, Orphans) else {dataset: relations[dataset]}
    )
    found = fetch(engine, sql, named, params)
    return tuple(" / ".join(map(sentences.value, row)) for row in found)


def shown(how: How, key: Sequence[str]) -> tuple[str, ...]:
    """The columns that examples are made of."""
    match how:
        case Rows(_, columns, values=True) | Duplicates(columns):
            return columns
        case Rows():
            return tuple(key)
        case Orphans(relationship):
            return relationship.columns
    return ()


def _broken(dataset: str, how: How) -> str:
    match how:
        case Rows(condition):
            return f"{quote(dataset)} WHERE {condition.sql}"
        case Duplicates(columns):
            names = ", ".join(map(quote, columns))
            return (
                f"(SELECT {names} FROM {quote(dataset)} WHERE {filled(columns)} "
                f"GROUP BY {names} HAVING count(*) > 1) AS found"
            )
        case Orphans():
            return f"{quote(dataset)} AS _from {orphaned(how)}"
    return quote(dataset)
