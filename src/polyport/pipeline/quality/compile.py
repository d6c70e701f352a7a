"""From a contract to checks: every rule of a dataset, its own and those its schema implies, ready to be counted."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlglot import tokenize
from sqlglot.errors import TokenError

from polyport.errors import QualityError
from polyport.expression import quote
from polyport.pipeline.quality import conditions, limits, nested, schema, sentences
from polyport.pipeline.quality.checks import (
    Check,
    Compiler,
    Duplicates,
    How,
    RowCount,
    Rows,
    Scalar,
    Settled,
    require,
)  # fmt: skip
from polyport.pipeline.quality.conditions import Column, Condition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from polyport.descriptor.types import Property, QualityRule
    from polyport.engine import Engine
    from polyport.pipeline.quality.types import Candidate

_ALIASES = {
    "nullCheck": "nullValues", "nullCount": "nullValues", "duplicateCount": "duplicateValues",
    "validValues": "invalidValues",
}  # fmt: skip
"""Names of ODCS 3.0."""
_OF_COLUMNS = frozenset({"properties", "property", "column", "columns"})
_MISSING = ("",)
_PLACE = re.compile(r'"?\$?\{\s*([^{}"\s]+)\s*\}"?')
_DIMENSIONS = {
    "nullValues": "completeness",
    "missingValues": "completeness",
    "invalidValues": "conformity",
    "duplicateValues": "uniqueness",
    "rowCount": "coverage",
}


def compile_checks(
    candidate: Candidate, *, datasets: Mapping[str, Candidate], engine: Engine
) -> tuple[Check, ...]:
    """Every check on `candidate`: those of its schema, then its quality rules, the object's first."""
    at = Compiler(candidate, datasets, engine)
    return (*schema.checks(at), *(_rule(at, rule) for rule in candidate.object.rules))


def _rule(at: Compiler, rule: QualityRule) -> Check:
    metric = _ALIASES.get(rule.metric, rule.metric)
    check = Check(
        rule.id,
        at.dataset,
        rule.column,
        rule.type,
        rule.description or rule.id,
        Settled("listed"),
        dimension=rule.dimension or _DIMENSIONS.get(metric, ""),
        severity=rule.severity or "error",
        quarantine=rule.on_failure == "quarantine",
        metric=metric,
    )
    return (
        _checked(at, check, rule, metric)
        if rule.type in ("library", "sql")
        else _not_run(check, rule)
    )


def _not_run(check: Check, rule: QualityRule) -> Check:
    if rule.type == "text":
        return check
    reason = "a custom rule is run by its own engine, not by Polyport"
    if rule.not_run_ok:
        return replace(check, how=Settled("listed", f"{reason}; accepted as not run"))
    fix = "accept it by the custom property `polyport.notRun: accept`, or write it as `sql`"
    return replace(check, how=Settled("error", f"could not be run: {reason} ({fix})"))


def _checked(at: Compiler, check: Check, rule: QualityRule, metric: str) -> Check:
    try:
        check = replace(check, limit=limits.limit(rule))
        _check_nested(rule, metric)
        how, sentence = _metric(metric)(at, rule) if rule.type == "library" else _scalar(at, rule)
        _check_quarantine(check, how)
    except QualityError as error:
        return replace(check, how=Settled("error", sentences.cannot(error)))
    return replace(check, how=how, sentence=sentence)


def _check_nested(rule: QualityRule, metric: str) -> None:
    if rule.inside and metric not in ("nullValues", "missingValues", "invalidValues"):
        raise QualityError(
            "inside of a column only values are checked, not rows",
            fix="nullValues, missingValues or invalidValues; or a `sql` rule on the column",
        )


def _metric(name: str) -> Callable[[Compiler, QualityRule], tuple[How, str]]:
    if name not in _METRICS:
        raise QualityError(
            f"metric {name!r} is not one of ODCS", fix=f"one of {', '.join(_METRICS)}"
        )
    return _METRICS[name]


def _check_quarantine(check: Check, how: How) -> None:
    if not check.quarantine:
        return
    if not isinstance(how, Rows):
        raise QualityError(
            "only a rule that single rows break can set rows aside",
            fix="drop `polyport.onFailure: quarantine`; it goes with nullValues, missingValues and invalidValues",
        )
    if not check.limit.holds(0):
        raise QualityError(
            f"with no failing row left it would still be broken: it wants {check.limit.text}",
            fix="drop `polyport.onFailure: quarantine`",
        )


def _null(at: Compiler, rule: QualityRule) -> tuple[How, str]:
    return _rows(at, rule, conditions.null, values=False)


def _missing(at: Compiler, rule: QualityRule) -> tuple[How, str]:
    stand_ins = rule.arguments.get("missingValues", _MISSING)
    if not isinstance(stand_ins, list | tuple):
        raise QualityError(
            f"missingValues is a list, not {stand_ins!r}", fix="missingValues: [null, '', N/A]"
        )
    return _rows(at, rule, lambda column: conditions.missing(column, stand_ins), values=False)


def _invalid(at: Compiler, rule: QualityRule) -> tuple[How, str]:
    given = {k: v for k, v in rule.arguments.items() if k not in _OF_COLUMNS}
    return _rows(
        at,
        rule,
        lambda column: conditions.invalid(column, given or _declared(at, column.name)),
        values=not rule.inside,
    )


def _declared(at: Compiler, name: str) -> Mapping[str, Any]:
    """What the property itself says of valid values."""
    found = next((p for n, p in _properties(at) if n == name), None)
    if found is None:
        return {}
    options = {k: v for k, v in found.options.items() if k in conditions.OPTIONS and v is not None}
    return {**options, "validValues": found.valid_values} if found.valid_values else options


def _properties(at: Compiler) -> Iterator[tuple[str, Property]]:
    """All properties, those inside of others too, each with what sentences call it."""
    waiting: list[tuple[tuple[str, ...], Property]] = [
        ((p.name,), p) for p in at.candidate.object.properties
    ]
    while waiting:
        way, one = waiting.pop()
        yield nested.name(way), one
        inner = (*one.properties, *((one.items,) if one.items else ()))
        waiting += [((*way, each.name), each) for each in inner]


def _rows(
    at: Compiler, rule: QualityRule, condition: Callable[[Column], Condition], *, values: bool
) -> tuple[How, str]:
    columns = _columns(at, rule)
    looked_at = [at.column(n, rule.inside if n == rule.column else ()) for n in columns]
    made = [condition(column) for column in looked_at]
    sql = " OR ".join(c.sql for c in made)
    params = {k: v for c in made for k, v in c.params.items()}
    words = [f"{column.name} {c.words}" for column, c in zip(looked_at, made, strict=True)]
    whole = Condition(f"({sql})", sentences.both(words), params)
    return Rows(whole, columns, values=values), whole.words


def _duplicates(at: Compiler, rule: QualityRule) -> tuple[How, str]:
    columns = _columns(at, rule)
    return Duplicates(columns), sentences.unique(columns)


def _row_count(at: Compiler, rule: QualityRule) -> tuple[How, str]:
    return RowCount(), f"{at.dataset} has {limits.limit(rule).words}"


_METRICS: dict[str, Callable[[Compiler, QualityRule], tuple[How, str]]] = {
    "nullValues": _null,
    "missingValues": _missing,
    "invalidValues": _invalid,
    "duplicateValues": _duplicates,
    "rowCount": _row_count,
}


def _columns(at: Compiler, rule: QualityRule) -> tuple[str, ...]:
    given = next((rule.arguments[k] for k in sorted(_OF_COLUMNS) if k in rule.arguments), None)
    named: Sequence[Any] = [given] if isinstance(given, str) else given or []
    if not isinstance(named, list | tuple) or not all(isinstance(n, str) for n in named):
        raise QualityError(f"arguments.properties is a list of columns, not {given!r}")
    columns = tuple(dict.fromkeys([*([rule.column] if rule.column else []), *named]))
    if not columns:
        raise QualityError(
            "the rule names no column", fix="put it on a property, or add arguments.properties"
        )
    return tuple(require(at.candidate, name) for name in columns)


def _scalar(at: Compiler, rule: QualityRule) -> tuple[How, str]:
    if not rule.query.strip():
        raise QualityError("the rule has no query")
    if rule.column:
        require(at.candidate, rule.column)
    query = substitute(rule.query, rule, at.datasets)
    _check_single(query, at.engine.dialect)
    return Scalar(query), rule.description or rule.id


def _check_single(query: str, dialect: str) -> None:
    """Nothing may hide behind a semicolon.

    Raises:
        QualityError: The query goes on after one.
    """
    try:
        kinds = [token.token_type.name for token in tokenize(query, read=dialect)]
    except TokenError:
        return  # an unclosed text, say: the engine names the place
    if "SEMICOLON" in kinds and set(kinds[kinds.index("SEMICOLON") :]) != {"SEMICOLON"}:
        raise QualityError("the query is more than one statement", fix="write one SELECT")


def substitute(query: str, rule: QualityRule, datasets: Mapping[str, Any]) -> str:
    """The query with quoted names for `${table}`, `${object}`, `${column}`, `${property}`, `${<dataset>}`, `$` or not.

    Raises:
        QualityError: `${...}` names something else, or a column on a rule that has none.
    """
    known = {name: name for name in datasets}
    known |= dict.fromkeys(("table", "object", "schema", "dataset"), rule.dataset)
    if rule.column:
        known |= dict.fromkeys(("column", "property"), rule.column)

    def name(found: re.Match[str]) -> str:
        text, key = found[0], found[1]
        if key not in known:
            if text.lstrip('"').startswith("$"):
                raise QualityError(
                    f"${{{key}}} stands for nothing here", fix=f"one of {', '.join(known)}"
                )
            return text
        opened, closed = text.startswith('"'), text.endswith('"')
        if opened and closed:
            return quote(known[key])
        return '"' * opened + quote(known[key]) + '"' * closed

    return _PLACE.sub(name, query)
