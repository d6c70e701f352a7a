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

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from polyport.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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


Expression: TypeAlias = "Compare | In | Like | IsNull | Not | And | Or"


def parse(text: str) -> Expression:
    """The tree of `text`.

    Raises:
        QueryError: With the 1-based column in `text` of the first thing that does not fit.
    """
    return _Parser(text).whole()


def columns(expression: Expression) -> tuple[str, ...]:
    """The columns named, each once, in order."""
    return tuple(dict.fromkeys(leaf.column for leaf in leaves(expression)))


def leaves(expression: Expression) -> Iterator[Compare | In | Like | IsNull]:
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

    def value(given: Value) -> Value:
        return principal[given.name] if isinstance(given, Attribute) else given

    return _mapped(expression, value)


def _mapped(node: Expression, change: Callable[[Value], Value]) -> Expression:
    match node:
        case And(terms) | Or(terms):
            return type(node)(tuple(_mapped(term, change) for term in terms))
        case Not(term):
            return Not(_mapped(term, change))
        case IsNull():
            return node
    return _mapped_leaf(node, change)


def _mapped_leaf(leaf: Compare | In | Like, change: Callable[[Value], Value]) -> Expression:
    match leaf:
        case Compare(column, op, given):
            return Compare(column, op, change(given))
        case In(column, values):
            return In(column, tuple(map(change, values)))
        case Like(column, pattern):
            return Like(column, change(pattern))


def to_text(expression: Expression) -> str:
    """The filter that `parse` reads as `expression`.

    Raises:
        ValueError: No text gives such a tree: an `and`, `or` or `in` of nothing, a column without a name.
    """
    match expression:
        case And(terms) | Or(terms):
            if not terms:
                raise ValueError("no text says 'all of nothing' or 'one of nothing'")
            word = " and " if isinstance(expression, And) else " or "
            return word.join(_inside(term, expression) for term in terms)
        case Not(term):
            return f"not {_inside(term, expression)}"
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
    plain = _PLAIN.fullmatch(name) and name.lower() not in _KEYWORDS
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


def quote(name: str) -> str:
    """`name` as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def to_sql(
    expression: Expression, params: dict[str, Any], principal: Mapping[str, str] | None = None
) -> str:
    """Standard SQL for `expression`; its values go into `params` under fresh names `f0`, `f1`, ...

    `principal` gives the values of `principal.<name>`; a name that it lacks is null, so nothing matches.
    """

    def bind(value: Value) -> str:
        name = f"f{len(params)}"
        params[name] = (principal or {}).get(value.name) if isinstance(value, Attribute) else value
        return f"${name}"

    return _write(expression, bind)


def _write(node: Expression, bind: Callable[[Value], str]) -> str:
    match node:
        case And(terms):
            return _joined(" AND ", terms, bind) if terms else "TRUE"
        case Or(terms):
            return _joined(" OR ", terms, bind) if terms else "FALSE"
        case Not(term):
            return f"NOT ({_write(term, bind)})"
    return _write_leaf(node, bind)


def _write_leaf(node: Compare | In | Like | IsNull, bind: Callable[[Value], str]) -> str:
    column = quote(node.column)
    match node:
        case Compare(_, op, value):
            return f"{column} {'<>' if op == '!=' else op} {bind(value)}"
        case In(_, values):
            return f"{column} IN ({', '.join(map(bind, values))})" if values else "FALSE"
        case Like(_, pattern):
            return f"{column} LIKE {bind(pattern)}"
        case IsNull():
            return f"{column} IS NULL"


def _joined(word: str, terms: tuple[Expression, ...], bind: Callable[[Value], str]) -> str:
    return "(" + word.join(_write(term, bind) for term in terms) + ")"


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


_TOKEN = re.compile(
    r"""(?P<text>'(?:[^']|'')*')|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"""
    r"""|(?P<quoted>"(?:[^"]|"")+")|(?P<op><>|!=|<=|>=|=|<|>)|(?P<mark>[(),])"""
    r"""|(?P<word>[^\W\d]\w*(?:\.[^\W\d]\w*)?)"""
)
_PLAIN = re.compile(r"[^\W\d]\w*")
_KEYWORDS = {"and", "or", "not", "in", "like", "is", "null", "between", "true", "false"}


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        match = _TOKEN.match(text, at)
        if match is None:
            raise QueryError(f"{text[at]!r} does not belong in a filter", column=at + 1)
        kind = match.lastgroup or ""
        word = match[0].lower()
        if kind == "word" and word in _KEYWORDS:
            yield _Token(word, match[0], at + 1)
        else:
            yield _Token(kind, match[0], at + 1)
        at = match.end()
    yield _Token("end", "", len(text) + 1)


class _Parser:
    """Recursive descent, one method a rule of the grammar."""

    depth_limit = 50

    def __init__(self, text: str) -> None:
        self.tokens = list(_tokens(text))
        self.at = 0
        self.depth = 0

    def whole(self) -> Expression:
        found = self.either()
        self.expect("end", "`and`, `or`, or the end")
        return found

    def either(self) -> Expression:
        terms = [self.both()]
        while self.take("or"):
            terms.append(self.both())
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def both(self) -> Expression:
        terms = [self.negated()]
        while self.take("and"):
            terms.append(self.negated())
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def negated(self) -> Expression:
        self.depth += 1
        if self.depth > self.depth_limit:
            raise QueryError("a filter may nest 50 deep", column=self.tokens[self.at].column)
        found: Expression = Not(self.negated()) if self.take("not") else self.term()
        self.depth -= 1
        return found

    def term(self) -> Expression:
        if self.take_mark("("):
            found = self.either()
            self.expect_mark(")")
            return found
        return self.comparison(self.name())

    def name(self) -> str:
        token = self.tokens[self.at]
        if token.kind not in ("word", "quoted") or (token.kind == "word" and "." in token.text):
            raise self.wrong("a column")
        self.at += 1
        return token.text[1:-1].replace('""', '"') if token.kind == "quoted" else token.text

    def comparison(self, column: str) -> Expression:
        if self.take("is"):
            negated = self.take("not")
            self.expect("null", "`null`")
            return _negate(IsNull(column), negated)
        if (token := self.tokens[self.at]).kind == "op":
            self.at += 1
            op: Any = "!=" if token.text == "<>" else token.text
            return Compare(column, op, self.value())
        return self.membership(column)

    def membership(self, column: str) -> Expression:
        negated = self.take("not")
        if self.take("in"):
            self.expect_mark("(")
            values = [self.value()]
            while self.take_mark(","):
                values.append(self.value())
            self.expect_mark(")")
            return _negate(In(column, tuple(values)), negated)
        if self.take("like"):
            return _negate(Like(column, self.value()), negated)
        if self.take("between"):
            low = self.value()
            self.expect("and", "`and`")
            return _negate(
                And((Compare(column, ">=", low), Compare(column, "<=", self.value()))), negated
            )
        raise self.wrong("a comparison (=, !=, <, <=, >, >=, in, like, between, is null)")

    def value(self) -> Value:
        token = self.tokens[self.at]
        self.at += 1
        match token.kind:
            case "text":
                return _text(token)
            case "number":
                return _number(token)
            case "true" | "false":
                return token.kind == "true"
            case "word":
                return self.named_value(token)
        self.at -= 1
        raise self.wrong("a value")

    def named_value(self, token: _Token) -> Value:
        word = token.text.lower()
        if word.startswith("principal."):
            return Attribute(token.text.split(".", 1)[1])
        if word in ("date", "timestamp") and self.tokens[self.at].kind == "text":
            text = self.tokens[self.at]
            self.at += 1
            return _moment(word, text)
        self.at -= 1
        raise self.wrong("a value")

    def take(self, kind: str) -> bool:
        found = self.tokens[self.at].kind == kind
        self.at += found
        return found

    def take_mark(self, mark: str) -> bool:
        found = self.tokens[self.at][:2] == ("mark", mark)
        self.at += found
        return found

    def expect(self, kind: str, wanted: str) -> None:
        if not self.take(kind):
            raise self.wrong(wanted)

    def expect_mark(self, mark: str) -> None:
        if not self.take_mark(mark):
            raise self.wrong(f"`{mark}`")

    def wrong(self, wanted: str) -> QueryError:
        token = self.tokens[self.at]
        found = f"`{token.text}`" if token.text else "the end"
        return QueryError(f"expected {wanted}, found {found}", column=token.column)


def _negate(term: Expression, negated: bool) -> Expression:
    return Not(term) if negated else term


def _text(token: _Token) -> str:
    return token.text[1:-1].replace("''", "'")


def _number(token: _Token) -> int | Decimal:
    try:
        whole = re.fullmatch(r"[+-]?\d+", token.text)
        return int(token.text) if whole else Decimal(token.text)
    except (
        ValueError,
        ArithmeticError,
    ):  # Python reads no more than 4,300 digits, and no such exponent
        shown = token.text[:20]
        raise QueryError(f"{shown}... is too large a number", column=token.column) from None


def _moment(word: str, token: _Token) -> date | datetime:
    try:
        if word == "date":
            return date.fromisoformat(_text(token))
        found = datetime.fromisoformat(_text(token))
    except ValueError:
        raise QueryError(f"{token.text} is not a {word}", column=token.column) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
