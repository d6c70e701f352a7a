"""Quality rules: columns that they name, operators that fit, patterns that can be matched."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from polyport.descriptor.rules import METRICS, VENDOR, custom, quality_nodes
from polyport.descriptor.sql import Problem, read_select
from polyport.descriptor.text import did_you_mean, error, warning
from polyport.descriptor.violations import OPERATORS, short

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from polyport.descriptor.odcs import ContractFile
    from polyport.descriptor.types import SchemaObject
    from polyport.descriptor.yaml import Document
    from polyport.errors import Diagnostic

Steps = tuple[str | int, ...]
UNITS = ("rows", "percent")
_PLACEHOLDER = re.compile(r"\$?\{(?:table|object|schema|column|property|field)\}")
_OURS = {"onFailure": ("report", "quarantine"), "notRun": ("accept",)}
_AT_PROPERTY = 5
"""Steps of the path of a rule on a column: schema, i, properties, j, quality, k make six."""


def check_alone(file: ContractFile) -> Iterator[Diagnostic]:
    """What is wrong with the quality rules of a sound contract."""
    objects = file.contract.objects if file.contract else ()
    for path, node in quality_nodes(file.document.value):
        one = objects[int(path[1])]
        yield from _rule(file.document, path, node, one)
    for path, options in _options(file):
        if (wrong := _pattern(options.get("pattern"))) is not None:
            place = file.document.value_at((*path, "pattern"), wrong)
            yield _bad_pattern(options["pattern"], place, wrong)


def queries(file: ContractFile, datasets: Collection[str]) -> Iterator[Diagnostic]:
    """What is wrong with the SQL of the quality rules, which may name the product's `datasets`."""
    for path, node in quality_nodes(file.document.value):
        if node.get("type") != "sql" or not isinstance(node.get("query"), str):
            continue
        text = _PLACEHOLDER.sub(lambda m: "_" * len(m[0]), node["query"])
        found = read_select(text)
        where = (*path, "query")
        if isinstance(found, Problem):
            place = file.document.value_at(where, found.message)
            message = f"the rule's query is not one SELECT: {found.message}"
            yield error("PP237", message, place, fix="write one SELECT that gives one value")
            continue
        folded = {name.lower() for name in datasets}
        for table in found.tables:
            if set(table.name) != {"_"} and table.name.lower() not in folded:
                place = file.document.value_at(
                    where, f"`{table.name}` is not a dataset of the product"
                )
                fix = did_you_mean(table.name, datasets, what="datasets")
                yield error(
                    "PP237", f"the rule's query names no dataset: `{table.name}`", place, fix=fix
                )


def _options(file: ContractFile) -> Iterator[tuple[Steps, Mapping[str, Any]]]:
    for at, one in enumerate(file.contract.objects if file.contract else ()):
        for i, prop in enumerate(one.properties):
            yield ("schema", at, "properties", i, "logicalTypeOptions"), prop.options


def _rule(
    document: Document, path: Steps, node: Mapping[str, Any], one: SchemaObject
) -> Iterator[Diagnostic]:
    yield from _ours(document, path, node)
    kind = node.get("type", "library")
    if len(path) > _AT_PROPERTY + 1 and not _of_values(node):
        place = document.key_at(path, "a property inside of a property")
        message = "inside of a nested property only values are checked, so this stops the publish"
        fix = "use nullValues, missingValues or invalidValues, or a `sql` rule on the column"
        yield warning("PP238", message, place, fix=fix)
        return
    if kind == "custom" and custom(node).get(f"{VENDOR}.notRun") != "accept":
        place = document.value_at((*path, "type"), "for another tool")
        fix = "write it as library or sql; or add the custom property `polyport.notRun: accept`"
        yield warning("PP234", "a custom rule cannot be run and stops the publish", place, fix=fix)
    if kind == "library":
        yield from _library(document, path, node, one)
    if kind in ("library", "sql"):
        yield from _threshold(document, path, node)


def _of_values(node: Mapping[str, Any]) -> bool:
    kind, metric = node.get("type", "library"), node.get("metric")
    return kind in ("text", "custom") or metric not in ("duplicateValues", "rowCount", None)


def _library(
    document: Document, path: Steps, node: Mapping[str, Any], one: SchemaObject
) -> Iterator[Diagnostic]:
    metric = node.get("metric")
    if metric not in METRICS:
        if metric is None and "rule" not in node:
            place = document.key_at(path, "`metric` is required here")
            fix = f"add `metric: ...`, one of: {', '.join(METRICS)}"
            yield error("PP102", "missing field `metric`", place, fix=fix)
        return
    on_column = len(path) > _AT_PROPERTY - 1
    arguments = node.get("arguments") or {}
    columns = [p.name for p in one.properties]
    fits = not on_column if metric == "rowCount" else on_column or "properties" in arguments
    if not fits:
        place = document.value_at((*path, "metric"), _misplaced(metric))
        where = f"`{columns[0]}`" if columns else "a property"
        fix = f"add `arguments: {{properties: [...]}}`, or move the rule, to {where} say"
        if metric == "rowCount":
            fix = "move the rule to the schema object"
        yield error("PP232", f"`{metric}` does not fit here", place, fix=fix)
    for at, name in enumerate(arguments.get("properties") or ()):
        if name not in columns:
            place = document.value_at(
                (*path, "arguments", "properties", at), f"not in `{one.name}`"
            )
            fix = did_you_mean(str(name), columns, what="properties")
            yield error(
                "PP230", f"a quality rule names the unknown column `{name}`", place, fix=fix
            )
    if (wrong := _pattern(arguments.get("pattern"))) is not None:
        place = document.value_at((*path, "arguments", "pattern"), wrong)
        yield _bad_pattern(arguments["pattern"], place, wrong)


def _misplaced(metric: str) -> str:
    if metric == "rowCount":
        return "counts the rows of an object, not of a column"
    return "stands on an object, and names no column"


def _threshold(document: Document, path: Steps, node: Mapping[str, Any]) -> Iterator[Diagnostic]:
    given = [name for name in OPERATORS if name in node]
    if len(given) > 1:
        places = (
            document.key_at((*path, given[1]), "a second operator"),
            document.key_at((*path, given[0]), "the first one"),
        )
        message = f"a rule has one operator, this has {len(given)}: {', '.join(given)}"
        yield error("PP107", message, *places, fix="split it into two rules")
        return
    unit = node.get("unit", "rows")
    library = node.get("type", "library") == "library"
    if library and unit not in UNITS:
        place = document.value_at((*path, "unit"), "one of: rows, percent")
        yield error(
            "PP103", f"invalid value `{short(unit)}`", place, fix=did_you_mean(str(unit), UNITS)
        )
    for name in given:
        value = node[name]
        place = document.value_at((*path, name), "does not fit")
        if reason := _misfit(value, library=library, percent=unit == "percent"):
            yield error("PP231", f"`{name}: {short(value)}` does not fit: {reason}", place)


def _misfit(value: Any, *, library: bool, percent: bool) -> str:
    numbers = value if isinstance(value, list) else [value]
    if not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        return "a library rule counts, so a number is wanted" if library else ""
    if isinstance(value, list) and numbers != sorted(numbers):
        return "the lower number comes first"
    if library and min(numbers) < 0:
        return "a count is never negative"
    return "percent goes to 100" if percent and max(numbers) > 100 else ""  # noqa: PLR2004


def _ours(document: Document, path: Steps, node: Mapping[str, Any]) -> Iterator[Diagnostic]:
    for at, entry in enumerate(node.get("customProperties") or ()):
        name, vendor = str(entry.get("property")), entry.get("vendor")
        if not name.startswith(f"{VENDOR}.") and vendor != VENDOR:
            continue
        own = name.removeprefix(f"{VENDOR}.")
        here = (*path, "customProperties", at)
        if own not in _OURS:
            place = document.value_at((*here, "property"), "not a property of a rule")
            fix = did_you_mean(own, _OURS)
            yield error("PP235", f"Polyport knows no `{name}` here", place, fix=fix)
        elif entry.get("value") not in _OURS[own]:
            place = document.value_at((*here, "value"), f"one of: {', '.join(_OURS[own])}")
            fix = did_you_mean(str(entry.get("value")), _OURS[own])
            yield error(
                "PP235", f"`{name}` cannot be `{short(entry.get('value'))}`", place, fix=fix
            )


def _pattern(pattern: Any) -> str | None:
    if not isinstance(pattern, str):
        return None
    try:
        re.compile(pattern)
    except re.error as failure:
        return failure.msg
    return None


def _bad_pattern(pattern: str, place: Any, reason: str) -> Diagnostic:
    message = f"`{short(pattern)}` is not a regular expression: {reason}"
    return error("PP233", message, place, fix="escape signs that stand for themselves with `\\`")
