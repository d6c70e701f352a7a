"""The filter language as an immutable tree, and what is asked of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import date, datetime
    from decimal import Decimal

Comparator = Literal["=", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Attribute:
    """`principal.<name>`: a value known when somebody asks."""

    name: str


Value: TypeAlias = "str | int | Decimal | bool | date | datetime | Attribute"


@dataclass(frozen=True, slots=True)
class Compare:
    """`column op value`."""

    column: str
    op: Comparator
    value: Value


@dataclass(frozen=True, slots=True)
class In:
    """`column in (values)`."""

    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """`column like pattern`."""

    column: str
    pattern: Value


@dataclass(frozen=True, slots=True)
class IsNull:
    """`column is null`."""

    column: str


@dataclass(frozen=True, slots=True)
class Inside:
    """A test of what is inside of a column. Ports ask it; the text of a filter has no word for it."""

    column: str
    path: tuple[str, ...]
    """Fields of structs, the outermost first; none: the column itself."""
    test: Compare | In | Like | IsNull
    """Of what is there. Its `column` is how it was asked for, and its values are no `Attribute`."""
    item: bool = False
    """Whether it is of the items of the list that is there: equal to one of them."""


@dataclass(frozen=True, slots=True)
class Not:
    """`not term`."""

    term: Expression


@dataclass(frozen=True, slots=True)
class And:
    """All of the terms; of none: true."""

    terms: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the terms; of none: false."""

    terms: tuple[Expression, ...]


Leaf: TypeAlias = "Compare | In | Like | IsNull | Inside"
Expression: TypeAlias = "Leaf | Not | And | Or"


def columns(expression: Expression) -> tuple[str, ...]:
    """The columns named, each once, in order."""
    return tuple(dict.fromkeys(leaf.column for leaf in leaves(expression)))


def leaves(expression: Expression) -> Iterator[Leaf]:
    """The comparisons, left to right."""
    match expression:
        case And(terms) | Or(terms):
            for term in terms:
                yield from leaves(term)
        case Not(term):
            yield from leaves(term)
        case _:
            yield expression


def attributes(expression: Expression) -> tuple[str, ...]:
    """The `principal.` names used, each once, in order."""
    found: list[Value] = []
    for leaf in leaves(expression):
        match leaf:
            case Compare(_, _, value) | Like(_, value):
                found.append(value)
            case In(_, values):
                found.extend(values)
    return tuple(dict.fromkeys(value.name for value in found if isinstance(value, Attribute)))


def filled(expression: Expression, principal: Mapping[str, str]) -> Expression | None:
    """The tree with the values of `principal.<name>` in it; None where one is not known."""
    if any(name not in principal for name in attributes(expression)):
        return None

    def value(_: str, given: Value) -> Value:
        return principal[given.name] if isinstance(given, Attribute) else given

    return mapped(expression, value)


def mapped(node: Expression, change: Callable[[str, Value], Value]) -> Expression:
    """The tree with each value as `change` makes it of the column that it is compared with, and the value."""
    match node:
        case And(terms) | Or(terms):
            return type(node)(tuple(mapped(term, change) for term in terms))
        case Not(term):
            return Not(mapped(term, change))
        case IsNull() | Inside():
            return node
    return _mapped_leaf(node, change)


def _mapped_leaf(leaf: Compare | In | Like, change: Callable[[str, Value], Value]) -> Expression:
    match leaf:
        case Compare(column, op, given):
            return Compare(column, op, change(column, given))
        case In(column, values):
            return In(column, tuple(change(column, value) for value in values))
        case Like(column, pattern):
            return Like(column, change(column, pattern))
