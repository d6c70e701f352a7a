"""The filter language: one small grammar for row policies, REST, and later OData, GraphQL and dashboards.

    expression = or ;  or = and { "or" and } ;  and = not { "and" not } ;  not = [ "not" ] term
    term       = "(" or ")" | column comparison
    comparison = ( "=" | "!=" | "<>" | "<" | "<=" | ">" | ">=" ) value | [ "not" ] "in" "(" value { "," value } ")"
               | [ "not" ] "like" text | "is" [ "not" ] "null" | [ "not" ] "between" value "and" value
    value      = text in '...' ('' for a quote) | number | true | false | date 'YYYY-MM-DD'
               | timestamp '...' (RFC 3339) | principal.NAME
    column     = a bare name, or "any text" ("" for a quote)

`like` is case-sensitive; `%` stands for any text, `_` for one character. Parsed once to an immutable tree; values reach
SQL as bound parameters only. A comparison with null is not true, as in SQL.
"""

from polyport.expression.parsing import parse
from polyport.expression.sql import quote, to_sql
from polyport.expression.text import to_text
from polyport.expression.tree import (
    And,
    Attribute,
    Comparator,
    Compare,
    Expression,
    In,
    Inside,
    IsNull,
    Leaf,
    Like,
    Not,
    Or,
    Value,
    attributes,
    columns,
    filled,
    leaves,
    mapped,
)

__all__ = [
    "And",
    "Attribute",
    "Comparator",
    "Compare",
    "Expression",
    "In",
    "Inside",
    "IsNull",
    "Leaf",
    "Like",
    "Not",
    "Or",
    "Value",
    "attributes",
    "columns",
    "filled",
    "leaves",
    "mapped",
    "parse",
    "quote",
    "to_sql",
    "to_text",
]
