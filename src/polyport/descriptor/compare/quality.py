"""The verdict on changes of quality rules: whether data may come that was held back before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyport.descriptor.compare import limits
from polyport.descriptor.compare.changes import minor, patch, risky
from polyport.descriptor.compare.walk import same
from polyport.descriptor.violations import OPERATORS

if TYPE_CHECKING:
    from polyport.descriptor.compare.changes import Judged
    from polyport.descriptor.compare.walk import Edit, Node

_SEVERITIES = ("info", "warning", "error")
_MEASURE = ("type", "metric", "rule", "query", "engine", "implementation", "unit", "arguments",
    "quality",
)  # fmt: skip
_WIDER = {"validValues": 1, "pattern": 0, "minLength": -1, "maxLength": 1}
"""Argument -> whether more of it admits more (1), less of it does (-1), or it cannot be told (0)."""


def judge(edit: Edit, rest: tuple[str, ...], what: str) -> Judged:
    """The verdict on an edit of a quality rule of `what`; `rest`: the fields from `quality` on."""
    if edit.item and len(rest) == 1:
        name = _name(edit.new or edit.old)
        if edit.type == "ADD":
            return minor(f"quality rule {name} on {what} is added")
        return risky(f"quality rule {name} on {what} is dropped: data that it held back may come")
    old, new = _rule(edit.old_nodes), _rule(edit.new_nodes)
    change = f"quality rule {_name(old)} on {what}"
    if rest[1:2] == ("arguments",) and len(rest) > 2:  # noqa: PLR2004
        return _argument(rest[2], edit.old, edit.new, change)
    return _field(rest[-1] if len(rest) == 1 else rest[1], (old, new), change)


def _field(name: str, rules: tuple[Node, Node], change: str) -> Judged:
    if name in OPERATORS:
        return _threshold(*rules, change)
    if name == "severity":
        return _severity(*rules, change)
    if name in _MEASURE:
        return risky(f"{change} measures something else: its `{name}` changes")
    if name == "customProperties":
        return risky(f"what happens when {change} fails may change")
    return patch(f"`{name}` of {change} changes")


def _rule(nodes: tuple[Node, ...]) -> Node:
    """The rule among the nodes around an edit: the innermost that says what it measures."""
    return next(
        (n for n in reversed(nodes) if {"metric", "query", "rule", *OPERATORS} & n.keys()),
        nodes[-1],
    )


def _name(rule: Node) -> str:
    return f"`{rule.get('name') or rule.get('id') or rule.get('metric') or rule.get('type') or 'rule'}`"


def _threshold(old: Node, new: Node, change: str) -> Judged:
    told = f"{change} changes from `{_words(old)}` to `{_words(new)}`"
    looser = limits.looser(old, new)
    if looser is False:
        return minor(f"{told}: it is stricter")
    return risky(f"{told}: it {'lets more through' if looser else 'may let other data through'}")


def _words(rule: Node) -> str:
    name = limits.operator(rule)
    return f"{name}: {rule.get(name)}" if name else "no limit"


def _severity(old: Node, new: Node, change: str) -> Judged:
    before, after = (str(rule.get("severity") or "error") for rule in (old, new))
    if before == after:
        return patch(f"the severity of {change} is said, and is what it was")
    told = f"{change} has the severity `{after}` instead of `{before}`"
    known = before in _SEVERITIES and after in _SEVERITIES
    if known and _SEVERITIES.index(after) > _SEVERITIES.index(before):
        return minor(f"{told}: it is stricter")
    return risky(f"{told}: data that it held back may come")


def _argument(name: str, old: Any, new: Any, change: str) -> Judged:
    told = f"`{name}` of {change} changes"
    way = _WIDER.get(name, 0)
    if name == "validValues" and isinstance(old, list) and isinstance(new, list):
        narrower = all(any(same(value, had) for had in old) for value in new)
        return (
            minor(f"{told}: fewer values are valid")
            if narrower
            else risky(f"{told}: more values are valid")
        )
    if way and isinstance(old, int) and isinstance(new, int):
        stricter = (new - old) * way <= 0
        return (
            minor(f"{told}: it is stricter") if stricter else risky(f"{told}: it lets more through")
        )
    if old is None:
        return minor(f"{told}: it is stricter") if name in _WIDER else risky(told)
    return risky(f"{told}: it may let other data through")
