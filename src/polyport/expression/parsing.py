"""The parser of the filter language."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from polyport.errors import QueryError
from polyport.expression.tree import And, Attribute, Compare, In, IsNull, Like, Not, Or

if TYPE_CHECKING:
    from collections.abc import Iterator

    from polyport.expression.tree import Expression, Value

PLAIN = re.compile(r"[^\W\d]\w*")
KEYWORDS = {"and", "or", "not", "in", "like", "is", "null", "between", "true", "false"}
"""Words that are no bare column."""


def parse(text: str) -> Expression:
    """The tree of `text`.

    Raises:
        QueryError: With the 1-based column in `text` of the first thing that does not fit.
    """
    return _Parser(text).whole()


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


_TOKEN = re.compile(
    r"""(?P<text>'(?:[^']|'')*')|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"""
    r"""|(?P<quoted>"(?:[^"]|"")+")|(?P<op><>|!=|<=|>=|=|<|>)|(?P<mark>[(),])"""
    r"""|(?P<word>[^\W\d]\w*(?:\.[^\W\d]\w*)?)"""
)


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
        if kind == "word" and word in KEYWORDS:
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
