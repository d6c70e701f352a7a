"""What makes one value wrong: conditions on rows, true where a row breaks them, values bound, never pasted."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from polyport.errors import QualityError
from polyport.pipeline.quality import patterns, sentences, values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa

    from polyport.engine import Engine

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Condition:
    """A SQL condition that is true for the rows that break it; null counts as false."""

    sql: str
    words: str
    """What a good value is: `is between 0 and 10`."""
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Column:
    """A column of a candidate, while conditions on it are written."""

    name: str
    """In sentences."""
    type: pa.DataType
    prefix: str
    """Of the names of bound values; unique in the dataset."""
    engine: Engine
    sql: str
    """Its value, for conditions."""
    around: tuple[str, str] = ("", "")
    """What stands before and after a condition on `sql`, where that is inside of a column."""
    params: dict[str, Any] = field(default_factory=dict)

    def whole(self, condition: str) -> str:
        """`condition` on `sql`, as one on a row."""
        before, after = self.around
        return f"{before}{condition}{after}"

    def bind(self, value: Any) -> str:
        """The parameter that stands for `value`."""
        key = f"{self.prefix}_{len(self.params)}"
        self.params[key] = value
        return f"${key}"

    def fit(self, value: Any) -> str:
        """As `bind`, for a value that is compared with the column's.

        Raises:
            QualityError: It does not fit the column's type.
        """
        return self.bind(values.fit(value, self.name, self.type))

    @property
    def family(self) -> str:
        """See `values.family`."""
        return values.family(self.type)


def null(column: Column) -> Condition:
    """True where the column is null."""
    return Condition(column.whole(f"{column.sql} IS NULL"), "is filled")


def missing(column: Column, stand_ins: Sequence[Any]) -> Condition:
    """True where the column is null or holds one of the values that stand for nothing."""
    given = [v for v in stand_ins if v is not None]
    sql = f"{column.sql} IS NULL"
    if bound := [b for b in (_stand_in(column, v) for v in given) if b]:
        name = _text(column) if column.family == "text" else column.sql
        sql += f" OR {name} IN ({', '.join(bound)})"
    words = (
        f"is filled (not {sentences.listed([repr(v) for v in given])})" if given else "is filled"
    )
    return Condition(column.whole(f"({sql})"), words, column.params)


def _stand_in(column: Column, value: Any) -> str:
    """The parameter for `value`; empty where the column's type cannot hold it, so that it never occurs."""
    if column.family == "float" and isinstance(value, float) and not math.isfinite(value):
        return column.bind(value)
    try:
        return column.fit(value)
    except QualityError:
        return ""


def _text(column: Column) -> str:
    return values.text(column.sql, column.type)


def invalid(column: Column, options: Mapping[str, Any]) -> Condition:
    """True where a filled column is not what `options` (logicalTypeOptions, or a rule's arguments) allow.

    Raises:
        QualityError: An option is unknown, does not fit the column, or cannot be run; or there is none to check.
    """
    found = allowed(column, options)
    if found is None:
        raise QualityError(
            "nothing says which values are valid", fix=f"arguments: {', '.join(OPTIONS)}"
        )
    return found


def allowed(column: Column, options: Mapping[str, Any]) -> Condition | None:
    """As `invalid`; None where the options say nothing that values can be checked by.

    Raises:
        QualityError: An option is unknown, does not fit the column, or cannot be run.
    """
    for option in options:
        if option not in OPTIONS:
            near = difflib.get_close_matches(option, OPTIONS, 1)
            raise QualityError(
                f"argument {option!r} says nothing about valid values",
                fix=f"did you mean {near[0]!r}?" if near else f"one of {', '.join(OPTIONS)}",
            )
    made = [write(column, options) for write in dict.fromkeys(OPTIONS[o] for o in options)]
    made = [m for m in made if m[0]]
    if not made:
        return None
    sql = " OR ".join(f"({sql})" for sql, _ in made)
    words = " and ".join(words for _, words in made)
    return Condition(column.whole(f"({sql})"), words, column.params)


Written = tuple[str, str]
"""A condition and its words; both empty where the options ask for nothing."""


def _among(column: Column, options: Mapping[str, Any]) -> Written:
    allowed = options["validValues"]
    if not isinstance(allowed, list | tuple):
        raise QualityError(f"validValues is a list, not {allowed!r}", fix="validValues: [A, B]")
    filled = [v for v in allowed if v is not None]
    found = [column.fit(v) for v in filled]
    name = _text(column) if column.family == "text" else column.sql
    words = f"is one of {sentences.listed(filled, limit=_SHOWN)}"
    return (f"{name} NOT IN ({', '.join(found)})" if found else f"{name} IS NOT NULL"), words


def _matches(column: Column, options: Mapping[str, Any]) -> Written:
    pattern = options["pattern"]
    if not isinstance(pattern, str):
        raise QualityError(f"pattern is a text, not {pattern!r}")
    ours = patterns.check(pattern, column.engine)
    return (
        f"NOT regexp_matches({_flat(column, 'pattern')}, {column.bind(ours)})",
        f"matches {pattern}",
    )


def _flat(column: Column, option: str) -> str:
    if column.family in (*values.NESTED, "binary"):
        raise QualityError(
            f"{option} is for text, and {column.name} holds {values.name(column.type)}"
        )
    return _text(column)


def _format(column: Column, options: Mapping[str, Any]) -> Written:
    wanted = str(options["format"])
    if wanted in patterns.BITS and column.family == "integer":
        low, high = patterns.BITS[wanted]
        return _bounds(column, {"minimum": low, "maximum": high})[0], f"fits {wanted}"
    if column.family == "text" and wanted in patterns.FORMATS:
        words, pattern = patterns.FORMATS[wanted]
        return f"NOT regexp_matches({_text(column)}, {column.bind(pattern)})", f"is {words}"
    moment = patterns.moment(wanted) if column.family == "text" else ""
    if moment:
        return (
            f"try_strptime({_text(column)}, {column.bind(moment)}) IS NULL AND {_text(column)} IS NOT NULL",
            (f"is written as {wanted}"),
        )
    return "", ""


_BOUNDS = {"minimum": "<", "exclusiveMinimum": "<=", "maximum": ">", "exclusiveMaximum": ">="}
_BOUND_WORDS = {
    "minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most", "exclusiveMaximum": "less than",
}  # fmt: skip


def _bounds(column: Column, options: Mapping[str, Any]) -> Written:
    given = {o: options[o] for o in _BOUNDS if o in options}
    name = column.sql
    terms = [f"{name} {_BOUNDS[o]} {column.fit(v)}" for o, v in given.items()]
    if column.family == "float":
        terms.append(f"isnan({name})")
    if set(given) == {"minimum", "maximum"}:
        low, high = sentences.value(given["minimum"]), sentences.value(given["maximum"])
        return " OR ".join(terms), f"is between {low} and {high}"
    return " OR ".join(terms), "is " + " and ".join(
        f"{_BOUND_WORDS[o]} {sentences.value(v)}" for o, v in given.items()
    )


def _multiple(column: Column, options: Mapping[str, Any]) -> Written:
    step = values.fit(options["multipleOf"], column.name, column.type)
    if column.family not in values.NUMBERS or step <= 0:
        raise QualityError(f"multipleOf {step!r} of {column.name} needs a number above 0")
    name, words = column.sql, f"is a multiple of {sentences.value(step)}"
    if column.family != "float":
        return f"{name} % {column.bind(step)} <> 0", words
    # A binary fraction is a multiple where it is one within its own precision: 0.3 is a multiple of 0.1.
    times = f"({name} / CAST({column.bind(step)} AS DOUBLE))"
    return (
        f"NOT isfinite({name}) OR abs({times} - round({times})) > 1e-9 * greatest(1, abs({times}))",
        words,
    )


def _lengths(column: Column, options: Mapping[str, Any]) -> Written:
    size = f"length({_flat(column, 'minLength, maxLength')})"
    sql, words = _sizes(column, options, size, ("minLength", "maxLength", "character"))
    return sql, f"is {words} long"


def _items(column: Column, options: Mapping[str, Any]) -> Written:
    size = f"len({_list(column, 'minItems, maxItems')})"
    sql, words = _sizes(column, options, size, ("minItems", "maxItems", "item"))
    return sql, f"has {words}"


def _sizes(
    column: Column, options: Mapping[str, Any], size: str, names: tuple[str, str, str]
) -> Written:
    low, high = (_size(option, options.get(option)) for option in names[:2])
    terms = [f"{size} < {column.bind(low)}"] if low is not None else []
    terms += [f"{size} > {column.bind(high)}"] if high is not None else []
    if not terms:
        raise QualityError(f"{names[0]} and {names[1]} are empty")
    if low is not None and high is not None:
        words = f"between {low} and {high}" if low != high else f"exactly {low}"
    else:
        words = f"at least {low}" if low is not None else f"at most {high}"
    last = low if high is None else high
    return " OR ".join(terms), f"{words} {names[2]}{'' if last == 1 else 's'}"


def _size(option: str, given: Any) -> int | None:
    if given is None or (isinstance(given, int) and not isinstance(given, bool) and given >= 0):
        return given
    raise QualityError(f"{option} is a whole number, 0 or more, not {given!r}")


def _distinct(column: Column, options: Mapping[str, Any]) -> Written:
    if not options["uniqueItems"]:
        return "", ""
    name = _list(column, "uniqueItems")
    return f"len(list_distinct({name})) < list_count({name})", "has no item twice"


def _list(column: Column, option: str) -> str:
    if column.family != "list":
        raise QualityError(
            f"{option} is for lists, and {column.name} holds {values.name(column.type)}"
        )
    return column.sql


OPTIONS: dict[str, Callable[[Column, Mapping[str, Any]], Written]] = {
    "validValues": _among,
    "pattern": _matches,
    "format": _format,
    "minimum": _bounds,
    "maximum": _bounds,
    "exclusiveMinimum": _bounds,
    "exclusiveMaximum": _bounds,
    "multipleOf": _multiple,
    "minLength": _lengths,
    "maxLength": _lengths,
    "minItems": _items,
    "maxItems": _items,
    "uniqueItems": _distinct,
}
"""What can be said of valid values, each with what writes its condition."""
