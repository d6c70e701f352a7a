"""The filter language as text again."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from polyport.expression.parsing import KEYWORDS, PLAIN
from polyport.expression.sql import quote
from polyport.expression.tree import And, Attribute, Compare, In, Inside, IsNull, Like, Not, Or

if TYPE_CHECKING:
    from polyport.expression.tree import Expression, Value


def to_text(expression: Expression) -> str:
    """The filter that `parse` reads as `expression`.

    Raises:
        ValueError: No text gives such a tree: an `and`, `or` or `in` of nothing, a column without a name, what is
            inside of one.
    """
    match expression:
        case And(terms) | Or(terms):
            if not terms:
                raise ValueError("no text says 'all of nothing' or 'one of nothing'")
            word = " and " if isinstance(expression, And) else " or "
            return word.join(_inside(term, expression) for term in terms)
        case Not(term):
            return f"not {_inside(term, expression)}"
        case Inside(column):
            raise ValueError(f"no text says what is inside of {column!r}")
    return _leaf_text(expression)


def _inside(term: Expression, outer: Expression) -> str:
    """`term` as a part of `outer`, in brackets where it would otherwise bind to its neighbours."""
    text = to_text(term)
    loose = isinstance(term, Or) or (isinstance(term, And) and not isinstance(outer, Or))
    return f"({text})" if loose else text


def _leaf_text(leaf: Compare | In | Like | IsNull) -> str:
    column = _name_text(leaf.column)
    match leaf:
        case Compare(_, op, value):
            return f"{column} {op} {_value_text(value)}"
        case In(_, values):
            if not values:
                raise ValueError("no text says 'in nothing'")
            return f"{column} in ({', '.join(map(_value_text, values))})"
        case Like(_, pattern):
            return f"{column} like {_value_text(pattern)}"
        case IsNull():
            return f"{column} is null"


def _name_text(name: str) -> str:
    plain = PLAIN.fullmatch(name) and name.lower() not in KEYWORDS
    if not name:
        raise ValueError("a column without a name")
    return name if plain else quote(name)


def _value_text(value: Value) -> str:
    match value:
        case Attribute(name):
            return f"principal.{name}"
        case bool():
            return str(value).lower()
        case datetime():
            return f"timestamp '{value.isoformat()}'"
        case date():
            return f"date '{value.isoformat()}'"
        case str():
            return "'" + value.replace("'", "''") + "'"
    return _number_text(value)


def _number_text(value: int | Decimal) -> str:
    """A decimal with a point or an exponent, so that it is read as one again."""
    text = str(value)
    whole = isinstance(value, Decimal) and "." not in text and "E" not in text
    return f"{text}E0" if whole else text
