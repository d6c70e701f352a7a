"""ODCS quality rules as `QualityRule`s, the forms of ODCS 3.0 included."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from polyport.descriptor.text import warning
from polyport.descriptor.types import QualityRule
from polyport.descriptor.violations import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from polyport.descriptor.yaml import Document
    from polyport.errors import Diagnostic

VENDOR = "polyport"
"""Prefix of our custom properties' names: `polyport.onFailure`."""
METRICS = ("nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount")
OLD_METRICS = {
    "nullCheck": ("nullValues", ""), "nullCount": ("nullValues", ""), "nullPercent": ("nullValues", "percent"),
    "missingCount": ("missingValues", ""), "missingPercent": ("missingValues", "percent"),
    "validValues": ("invalidValues", ""), "invalidCount": ("invalidValues", ""),
    "invalidPercent": ("invalidValues", "percent"), "duplicateCount": ("duplicateValues", ""),
    "duplicatePercent": ("duplicateValues", "percent"), "uniqueCheck": ("duplicateValues", ""),
    "rowCount": ("rowCount", ""), "countCheck": ("rowCount", ""),
}  # fmt: skip
"""Names of ODCS 3.0's library rules -> metric of 3.1 and its unit."""
_ARGUMENTS = ("validValues", "pattern", "minLength", "maxLength", "missingValues", "properties")


def custom(node: Mapping[str, Any]) -> dict[str, Any]:
    """The custom properties of `node`, by name; one of ours by vendor gets our prefix."""
    found = {}
    for entry in node.get("customProperties") or ():
        if isinstance(entry, dict) and "property" in entry:
            name = str(entry["property"])
            ours = entry.get("vendor") == VENDOR and not name.startswith(f"{VENDOR}.")
            found[f"{VENDOR}.{name}" if ours else name] = entry.get("value")
    return found


def read_rules(
    items: Sequence[Mapping[str, Any]],
    dataset: str,
    column: str,
    taken: set[str],
    *,
    inside: tuple[str, ...] = (),
) -> tuple[QualityRule, ...]:
    """The rules of one object or property; their ids are added to `taken`. `inside`: see `QualityRule.inside`."""
    way = ".".join((column, *inside)) if column else ""
    return tuple(
        replace(_rule(item, dataset, column, _rule_id(item, dataset, way, taken)), inside=inside)
        for item in items
    )


def modern(value: Any) -> Any:
    """`value`, a contract or a part of it, with the library rules of ODCS 3.0 in today's form; not changed in place."""
    if isinstance(value, list):
        return [modern(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        k: [_modern_rule(item) for item in v]
        if k == "quality" and isinstance(v, list)
        else modern(v)
        if isinstance(v, dict | list)
        else v
        for k, v in value.items()
    }


def old_rules(document: Document) -> Iterator[Diagnostic]:
    """A warning for each quality rule in a form of ODCS 3.0."""
    for path, node in quality_nodes(document.value):
        if isinstance(node, dict) and (old := _old_metric(node)):
            metric, unit = OLD_METRICS[old]
            key = "metric" if "metric" in node else "rule"
            place = document.value_at((*path, key), "a name of ODCS 3.0")
            unit = f", unit: {unit}" if unit else ""
            yield warning(
                "PP113",
                f"`{key}: {old}` is an old form",
                place,
                fix=f"write `metric: {metric}{unit}`",
            )


def quality_nodes(document: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The quality rules of a contract with their paths: of objects, and of properties at any depth."""
    for path, node in schema_nodes(document):
        rules = node.get("quality")
        for at, rule in enumerate(rules if isinstance(rules, list) else ()):
            yield (*path, "quality", at), rule


def schema_nodes(document: Any) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """The schema objects and properties of a contract with their paths, in file order."""
    yield from _nodes(document, (), "schema")


def _nodes(
    parent: Any, path: tuple[str | int, ...], key: str
) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    children = parent.get(key) if isinstance(parent, dict) else None
    for at, node in enumerate(children if isinstance(children, list) else ()):
        if isinstance(node, dict):
            yield (*path, key, at), node
            yield from _inside(node, (*path, key, at))


def _inside(
    node: dict[str, Any], path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    yield from _nodes(node, path, "properties")
    items = node.get("items")
    if isinstance(items, dict):
        yield (*path, "items"), items
        yield from _inside(items, (*path, "items"))


def _old_metric(node: Mapping[str, Any]) -> str:
    """The name of ODCS 3.0 that a library rule uses; empty for today's."""
    if node.get("type", "library") != "library":
        return ""
    name = str(node.get("metric") or node.get("rule") or "")
    return name if name in OLD_METRICS and (name not in METRICS or "metric" not in node) else ""


def _modern_rule(node: Any) -> Any:
    if not isinstance(node, dict) or not (old := _old_metric(node)):
        return node
    metric, unit = OLD_METRICS[old]
    rule = {k: v for k, v in node.items() if k not in ("rule", *_ARGUMENTS)}
    arguments = {k: node[k] for k in _ARGUMENTS if k in node} | (node.get("arguments") or {})
    rule |= {"type": "library", "metric": metric} | ({"arguments": arguments} if arguments else {})
    if unit:
        rule["unit"] = unit
    if metric != "rowCount" and not any(name in rule for name in OPERATORS):
        rule["mustBe"] = 0
    return rule


def _rule(node: Mapping[str, Any], dataset: str, column: str, name: str) -> QualityRule:
    kind: Any = node.get("type", "library")
    operator: Any = next((name for name in OPERATORS if name in node), None)
    threshold = node.get(operator) if operator else None
    ours = custom(node)
    on_failure: Any = ours.get(f"{VENDOR}.onFailure", "report")
    return QualityRule(
        id=name,
        dataset=dataset,
        column=column,
        type=kind,
        metric=str(node.get("metric") or ""),
        arguments=node.get("arguments") or {},
        query=str(node.get("query") or ""),
        operator=operator,
        threshold=tuple(threshold) if isinstance(threshold, list) else threshold,
        unit=str(node.get("unit") or "rows"),
        severity=str(node.get("severity") or "error"),
        dimension=str(node.get("dimension") or ""),
        description=str(node.get("description") or ""),
        on_failure=on_failure,
        not_run_ok=ours.get(f"{VENDOR}.notRun") == "accept",
    )


def _rule_id(node: Mapping[str, Any], dataset: str, column: str, taken: set[str]) -> str:
    made = ".".join(filter(None, (dataset, column, node.get("metric") or node.get("type", "rule"))))
    base = str(node.get("id") or node.get("name") or made)
    name, again = base, 1
    while name in taken:
        again += 1
        name = f"{base}-{again}"
    taken.add(name)
    return name
