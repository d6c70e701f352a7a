"""The query string of ports that speak HTTP: `country=US&amount.gt=50&sort=-amount&fields=id,amount`.

    COLUMN=value                 equal; also .ne .gt .ge .lt .le, .like (% any text, _ one character),
                                 .in=a,b (an item with a comma in double quotes), .null=true|false
    COLUMN.FIELD=value           the same of a field of a struct, however deep; LIST.has=value: with such an item
    sort=-amount,id              descending with a minus; nulls come last either way
    fields=a,b                   the columns shown
    limit, cursor                how many rows, and from where on (paging)
    group=a,b & agg=sum:amount   groups instead of rows; having.sum_amount.gt=100 picks groups
    snapshot=                    read by `polyport.ports.http.ref_of`, before there is a schema

What is unknown, repeated, empty or cannot be read is refused, with the parameter's name and what would do. A column
whose name is one of these words, or looks like another parameter, is reached as `f.NAME`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, TypeAlias

import pyarrow as pa
import pyarrow.types as pt

from polyport.access import Measure, Order
from polyport.errors import QueryError
from polyport.expression import And, Compare, In, Inside, IsNull, Like, Not
from polyport.ports.http import digest
from polyport.ports.values import kind, read, sortable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from polyport.expression import Comparator, Expression

Operator: TypeAlias = Literal["", "ne", "gt", "ge", "lt", "le", "in", "like", "null", "has"]
Function: TypeAlias = Literal[
    "count", "count_distinct", "sum", "avg", "min", "max", "median", "stddev"
]
LIMIT = 1_000
DEFAULT_LIMIT = 100
GROUPING = ("group", "agg")
PAGING = ("sort", "fields", "limit", "cursor", *GROUPING, "snapshot")
WORDS = (*PAGING, "having", "f")
_COMPARATORS: dict[str, Comparator] = {
    "": "=", "ne": "!=", "gt": ">", "ge": ">=", "lt": "<", "le": "<=",
}  # fmt: skip
_ORDERED: tuple[Operator, ...] = ("", "ne", "gt", "ge", "lt", "le", "in", "null")
_SUFFIXES = ("", ".ne", ".gt", ".ge", ".lt", ".le")
_ITEM = re.compile(r'"((?:[^"]|"")*)"(?=,|\Z)|([^,]*)')
_SHOWN = 12
_WIDTH = 60


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that filters rows."""

    name: str
    column: str
    operator: Operator
    type: pa.DataType
    path: tuple[str, ...] = ()
    """Where in the column it asks: fields of structs, the outermost first."""

    @property
    def asked(self) -> str:
        """The column and where in it."""
        return ".".join((self.column, *self.path))


@dataclass(frozen=True, slots=True)
class Grouping:
    """What groups to make of the rows."""

    group: tuple[str, ...]
    measures: tuple[Measure, ...]
    having: Expression | None = None


@dataclass(frozen=True, slots=True)
class RowQuery:
    """A query string, read against the columns that the asker sees."""

    columns: tuple[str, ...]
    """The columns to show, in order; never empty. Of groups: the group's columns, then the measures' names."""
    where: Expression | None = None
    sort: tuple[Order, ...] = ()
    """The order asked for."""
    order: tuple[Order, ...] = ()
    """`sort`, made total: it ends in the key or, where there is none, in all columns that can be sorted."""
    limit: int | None = None
    """As given; None: not given."""
    cursor: str = ""
    grouping: Grouping | None = None
    identity: str = field(default="", compare=False)
    """A digest of the rows asked for and their order, whatever is shown of them: what a cursor belongs to."""


def parse(
    pairs: Sequence[tuple[str, str]], schema: pa.Schema, key: Sequence[str] = (), *, paging: bool
) -> RowQuery:
    """The query that `pairs` (name, value) ask of a dataset with the columns `schema`.

    Args:
        pairs: As `polyport.ports.http.pairs` gives them.
        schema: The columns that the asker sees.
        key: The columns that identify a row; a key that is not wholly in `schema` is no key.
        paging: Whether `limit`, `cursor`, `group`, `agg` and `having.` are offered.

    Raises:
        QueryError: A parameter is unknown, repeated, empty, or not what its column can be asked.
    """
    filters = {p.name: p for p in parameters(schema)}
    known = [*filters, *(PAGING if paging else ("sort", "fields", "snapshot"))]
    given = once(pairs, known, grouping=paging)
    where = _where(given, filters)
    if paging and any(name in GROUPING or name.startswith("having.") for name in given):
        return _groups(given, schema, where)
    columns = fields(given, schema)
    able = _sortable(schema)
    sort = _sort(given.get("sort", ""), able)
    order = _total(sort, key if set(key) <= set(schema.names) else (), able)
    return RowQuery(
        columns=columns, where=where, sort=sort, order=order,
        limit=_limit(given.get("limit")), cursor=given.get("cursor", ""),
        identity=digest(repr(where), repr(order)),
    )  # fmt: skip


def fields(given: Mapping[str, str], schema: pa.Schema) -> tuple[str, ...]:
    """The columns to show: those that `fields` names, else all.

    Raises:
        QueryError: One is unknown, or named twice.
    """
    return _columns(given.get("fields", ""), "fields", schema.names) or tuple(schema.names)


def parameters(schema: pa.Schema) -> tuple[Parameter, ...]:
    """The parameters that filter rows with the columns `schema`, each name once.

    Those of the columns come first, in their order, and then those of what is inside of them: so a column whose own
    name has a dot in it keeps it.
    """
    taken: dict[str, Parameter] = {}
    for column in schema:
        operators = _operators(column.type)
        others = taken.keys() | (set(schema.names) - {column.name})
        prefix = _prefix(column.name, operators, others)
        for name, operator in zip(_names(prefix, operators), operators, strict=True):
            taken[name] = Parameter(name, column.name, operator, column.type)
    for column in schema:
        for path, operators, data_type in _inside(column.type):
            asked = ".".join((column.name, *path))
            prefix = _prefix(asked, operators, taken.keys() | set(schema.names))
            for name, operator in zip(_names(prefix, operators), operators, strict=True):
                taken[name] = Parameter(name, column.name, operator, data_type, path)
    return tuple(taken.values())


def _inside(
    data_type: pa.DataType, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], tuple[Operator, ...], pa.DataType]]:
    """What can be asked of the fields and the items in a value of `data_type`, which is at `path`."""
    if pt.is_list(data_type) or pt.is_large_list(data_type) or pt.is_fixed_size_list(data_type):
        if kind(data_type.value_type) not in ("other", "uuid"):
            yield path, ("has",), data_type.value_type
    elif pt.is_struct(data_type):
        for field in data_type:
            inner = (*path, field.name)
            yield inner, _operators(field.type), field.type
            yield from _inside(field.type, inner)


def _operators(data_type: pa.DataType) -> tuple[Operator, ...]:
    match kind(data_type):
        case "other":
            return ("null",)
        case "boolean":
            return ("", "ne", "null")
        case "string":
            return (*_ORDERED, "like")
        case _:
            return _ORDERED


def _prefix(column: str, operators: Sequence[str], others: AbstractSet[str]) -> str:
    """The name by which a column is asked for: its own, if no word and no other parameter has it."""
    prefix = f"f.{column}" if column.partition(".")[0] in WORDS else column
    while not others.isdisjoint(_names(prefix, operators)):
        prefix = f"f.{prefix}"
    return prefix


def _names(prefix: str, operators: Sequence[str]) -> list[str]:
    return [f"{prefix}.{operator}" if operator else prefix for operator in operators]


def sorts(schema: pa.Schema) -> list[str]:
    """What `sort` may name: each column that can be sorted, and it with a minus."""
    able = _sortable(schema)
    return [*able, *(f"-{name}" for name in able)]


def measures(schema: pa.Schema) -> dict[str, Measure]:
    """What `agg` may name: `count`, and `FUNCTION:COLUMN` for each function that suits a column."""
    found = {"count": Measure("count")}
    for column in schema:
        for function in _functions(column.type):
            found[f"{function}:{column.name}"] = Measure(function, column.name)
    return found


def measure_type(measure: Measure, schema: pa.Schema) -> pa.DataType:
    """What a measure's values are compared with: whole numbers, numbers, or values of its column."""
    if measure.function in ("count", "count_distinct"):
        return pa.int64()
    if measure.function in ("min", "max"):
        return schema.field(measure.column).type
    return pa.float64()


def groupable(schema: pa.Schema) -> list[str]:
    """What `group` may name."""
    return [c.name for c in schema if kind(c.type) != "other"]


def _functions(data_type: pa.DataType) -> tuple[Function, ...]:
    if kind(data_type) == "other":
        return ("count",)
    if pt.is_integer(data_type) or pt.is_floating(data_type) or pt.is_decimal(data_type):
        return ("count", "count_distinct", "sum", "avg", "min", "max", "median", "stddev")
    if kind(data_type) == "boolean":
        return ("count", "count_distinct")
    return ("count", "count_distinct", "min", "max")


def _sortable(schema: pa.Schema) -> list[str]:
    return [column.name for column in schema if sortable(column.type)]


def once(
    pairs: Sequence[tuple[str, str]], known: Collection[str], *, grouping: bool = False
) -> dict[str, str]:
    """The parameters as a mapping; `grouping` lets any `having.` through, to be read later.

    Raises:
        QueryError: One is not in `known`, or repeated, or empty.
    """
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in known and not (grouping and name.startswith("having.")):
            raise QueryError(f"unknown parameter {_show(name)}", fix=suggest(name, known))
        if name in given:
            raise QueryError(f"the parameter {_show(name)} is given twice", fix=_repeated(name))
        if not value:
            raise QueryError(
                f"the parameter {_show(name)} is empty", fix="give it a value, or leave it out"
            )
        given[name] = value
    return given


def _repeated(name: str) -> str:
    listed = ("sort", "fields", "group", "agg")
    if name in listed:
        return f"separate several by commas: {name}=a,b"
    return f"give it once; for one of several values: {name}.in=a,b"


def suggest(name: str, known: Collection[str]) -> str:
    """What `name` may have been meant to be, or else all that it could be."""
    near = get_close_matches(name, known, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    listed = list(known)
    more = f" ... ({len(listed)} in all, see openapi.json)" if len(listed) > _SHOWN else ""
    return f"one of: {', '.join(listed[:_SHOWN])}{more}"


def _show(text: str) -> str:
    return repr(text if len(text) <= _WIDTH else text[:_WIDTH] + "...")


def _where(given: Mapping[str, str], filters: Mapping[str, Parameter]) -> Expression | None:
    found = [_condition(filters[n], value) for n, value in given.items() if n in filters]
    if not found:
        return None
    return found[0] if len(found) == 1 else And(tuple(found))


def _condition(parameter: Parameter, text: str) -> Expression:
    column, what = parameter.asked, f"parameter {parameter.name!r}"
    match parameter.operator:
        case "null":
            null = _there(parameter, IsNull(column))
            return null if read(text, pa.bool_(), what) else Not(null)
        case "in":
            values = tuple(read(item, parameter.type, what) for item in items(text))
            return _there(parameter, In(column, values))
        case "like":
            return _there(parameter, Like(column, text))
        case "has":
            value = read(text, parameter.type, what)
            return Inside(parameter.column, parameter.path, Compare(column, "=", value), item=True)
        case operator:
            value = read(text, parameter.type, what)
            return _there(parameter, Compare(column, _COMPARATORS[operator], value))


def _there(parameter: Parameter, test: Compare | In | Like | IsNull) -> Expression:
    return Inside(parameter.column, parameter.path, test) if parameter.path else test


def items(text: str) -> list[str]:
    """The items of a list with commas between; one in double quotes may hold commas, and `""` for a quote."""
    found, at = [], 0
    while at <= len(text) and (match := _ITEM.match(text, at)):
        quoted, plain = match.groups()
        found.append(plain if quoted is None else quoted.replace('""', '"'))
        at = match.end() + 1
    return found


def _columns(text: str, what: str, known: Sequence[str]) -> tuple[str, ...]:
    """The columns listed in `text`, each known and named once."""
    found = tuple(items(text)) if text else ()
    for name in found:
        if name not in known:
            raise QueryError(
                f"parameter {what!r}: there is no {_show(name)}", fix=suggest(name, known)
            )
        if found.count(name) > 1:
            raise QueryError(
                f"parameter {what!r}: {_show(name)} is named twice", fix="name it once"
            )
    return found


def _sort(text: str, able: Sequence[str]) -> tuple[Order, ...]:
    found: dict[str, Order] = {}
    for term in _columns(text, "sort", [*able, *(f"-{name}" for name in able)]):
        # A column may itself begin with a minus: its own name goes first.
        order = Order(term) if term in able else Order(term[1:], descending=True)
        found.setdefault(order.column, order)
    return tuple(found.values())


def _total(sort: Sequence[Order], key: Sequence[str], able: Sequence[str]) -> tuple[Order, ...]:
    sorted_by = {order.column for order in sort}
    last = key if key and set(key) <= set(able) else able
    return (*sort, *(Order(name) for name in last if name not in sorted_by))


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    found: int = read(text, pa.int64(), "parameter 'limit'")
    if not 1 <= found <= LIMIT:
        raise QueryError(
            f"parameter 'limit': {found} is not from 1 to {LIMIT}", fix=f"1 to {LIMIT}"
        )
    return found


def _groups(given: Mapping[str, str], schema: pa.Schema, where: Expression | None) -> RowQuery:
    """Groups: `group` without `agg` counts; a measure that only `having` names is computed, and shown, too."""
    group = _columns(given.get("group", ""), "group", groupable(schema))
    offered = measures(schema)
    chosen = [offered[name] for name in _columns(given.get("agg", ""), "agg", tuple(offered))]
    named = {measure.label: measure for measure in offered.values()}
    having = []
    for name, text in given.items():
        if name.startswith("having."):
            measure, condition = _having(name, text, named, schema)
            having.append(condition)
            chosen.append(measure)
    asked = tuple(dict.fromkeys(chosen)) or (Measure("count"),)
    columns = (*group, *(measure.label for measure in asked))
    _check_groups(columns, given)
    sort = _sort(given.get("sort", ""), columns)
    return RowQuery(
        columns=columns,
        where=where,
        sort=sort,
        order=_total(sort, group, columns),
        limit=_limit(given.get("limit")),
        cursor=given.get("cursor", ""),
        grouping=Grouping(group, asked, And(tuple(having)) if having else None),
        identity=digest(repr(where), repr(columns), repr(having)),
    )


def _check_groups(columns: Sequence[str], given: Mapping[str, str]) -> None:
    for name in columns:
        if columns.count(name) > 1:
            raise QueryError(
                f"a group and a measure would both be called {_show(name)}", fix="leave one out"
            )
    if "fields" in given:
        raise QueryError(
            "the parameter 'fields' does not go with groups", fix="name columns in group and agg"
        )


def _having(
    name: str, text: str, named: Mapping[str, Measure], schema: pa.Schema
) -> tuple[Measure, Expression]:
    rest = name.removeprefix("having.")
    label, _, operator = (rest, "", "") if rest in named else rest.rpartition(".")
    if label not in named or operator not in _COMPARATORS:
        known = [f"having.{label}{dot}" for label in named for dot in _SUFFIXES]
        raise QueryError(f"unknown parameter {_show(name)}", fix=suggest(name, known))
    measure = named[label]
    value = read(text, measure_type(measure, schema), f"parameter {name!r}")
    return measure, Compare(label, _COMPARATORS[operator], value)
