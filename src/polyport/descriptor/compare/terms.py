"""The verdict on changes of what a contract says beside its schema: service levels, price, servers, roles, status."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from polyport.descriptor.compare.changes import breaking, minor, patch, risky
from polyport.descriptor.compare.columns import custom

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from polyport.descriptor.compare.changes import Judged
    from polyport.descriptor.compare.walk import Edit, Node

_LESS = (
    "latency", "ly", "freshness", "frequency", "fy", "timeofavailability", "errorrate", "er",
    "timetodetect", "td", "timetonotify", "tn", "timetorepair", "tr", "responsetime", "gaps",
    "generalavailability", "ga",
)  # fmt: skip
"""SLA properties (ODCS, and its short forms) that are better the less they are, or the earlier."""
_MORE = (
    "retention", "re", "availability", "av", "uptime", "throughput", "th", "completeness",
    "endofsupport", "es", "endoflife", "el",
)  # fmt: skip
"""Those that are better the more they are, or the later."""
_SECONDS: Mapping[str, float] = {
    "ms": 0.001, "millisecond": 0.001, "s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60,
    "h": 3600, "hr": 3600, "hour": 3600, "d": 86_400, "day": 86_400, "w": 604_800, "week": 604_800,
    "mo": 2_629_746, "month": 2_629_746, "y": 31_556_952, "yr": 31_556_952, "year": 31_556_952,
}  # fmt: skip
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}.*|\d{2}:\d{2}.*")
"""A date or a time of day, which sort as text."""
_ENDED = ("retired", "end of life")


def judge(edit: Edit) -> Judged:
    """The verdict on an edit outside of `schema`."""
    rule = _SECTIONS.get(edit.fields[0])
    return rule(edit) if rule else patch(f"`{'.'.join(edit.fields)}` changes")


def status(edit: Edit) -> Judged:
    """The verdict on another status of a contract or a product."""
    old, new = str(edit.old or ""), str(edit.new or "")
    told = f"the status changes from `{old or 'none'}` to `{new or 'none'}`"
    if new.lower() in _ENDED:
        return breaking(f"{told}: it is no longer served")
    if new.lower() == "deprecated":
        return risky(f"{told}: stop using it before it goes")
    if old.lower() == "active":
        return risky(f"{told}: its promises may not hold yet")
    return minor(told)


def identity(edit: Edit) -> Judged:
    """The verdict on another `id`."""
    return breaking(
        f"the id changes from `{edit.old}` to `{edit.new}`: who refers to the old one finds nothing"
    )


def _sla(edit: Edit) -> Judged:
    old, new = edit.old_nodes[-1], edit.new_nodes[-1]
    name = f"SLA property `{(new if 'property' in new else old).get('property')}`"
    if edit.item:
        if edit.type == "ADD":
            return minor(f"{name} is promised")
        return risky(f"{name} is no longer promised")
    if edit.fields[-1] not in ("value", "valueExt", "unit", "element", "property"):
        return patch(f"`{edit.fields[-1]}` of {name} changes")
    told = f"{name} changes from `{_amount(old)}` to `{_amount(new)}`"
    weaker = _weaker(old, new)
    if weaker is False:
        return minor(f"{told}: the promise is no weaker")
    return risky(f"{told}: the promise is {'weaker' if weaker else 'another'}")


def _amount(sla: Node) -> str:
    parts = [sla.get("value"), sla.get("valueExt"), sla.get("unit")]
    return " ".join(str(part) for part in parts if part is not None)


def _weaker(old: Node, new: Node) -> bool | None:
    """Whether the new promise is weaker; None: it cannot be told."""
    if any(old.get(k) != new.get(k) for k in ("property", "element", "valueExt")):
        return None
    name = str(old.get("property")).lower()
    one, other = _measure(old), _measure(new)
    if one is None or other is None or type(one) is not type(other) or name not in (*_LESS, *_MORE):
        return None
    more, fewer = other > one, other < one  # type: ignore[operator]  # of one type, as was seen
    return more if name in _LESS else fewer


def _measure(sla: Node) -> float | str | None:
    value, unit = sla.get("value"), str(sla.get("unit") or "").lower()
    if isinstance(value, str):
        return value if _ISO.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not unit or unit in ("%", "percent"):
        return float(value)
    seconds = _SECONDS.get(unit) or _SECONDS.get(unit.removesuffix("s"))
    return None if seconds is None else float(value) * seconds


def _server(edit: Edit) -> Judged:
    node = edit.new_nodes[-1] if edit.type == "ADD" and edit.item else edit.old_nodes[-1]
    name = f"server `{node.get('server', '')}`"
    if edit.item and edit.type == "ADD":
        return minor(f"{name} is added")
    if edit.item:
        return risky(f"{name} is removed: who reads it there finds nothing")
    if edit.fields[-1] in ("description", "customProperties", "id"):
        return patch(f"`{edit.fields[-1]}` of {name} changes")
    return risky(f"`{edit.fields[-1]}` of {name} changes: who reads it there may find nothing")


def _price(edit: Edit) -> Judged:
    if edit.fields[-1] == "id":
        return patch("the id of the price changes")
    told = f"`{'.'.join(edit.fields)}` changes from `{edit.old}` to `{edit.new}`"
    plain = all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in (edit.old, edit.new)
    )
    if edit.new is None or (plain and edit.fields[-1] == "priceAmount" and edit.new <= edit.old):
        return minor(f"{told}: it costs no more than before")
    return risky(f"{told}: it may cost more")


def _role(edit: Edit) -> Judged:
    if edit.item:
        role = (edit.new or edit.old).get("role")
        return (
            minor(f"role `{role}` is added")
            if edit.type == "ADD"
            else risky(f"role `{role}` is removed: who has it may see less")
        )
    told = f"`{edit.fields[-1]}` of a role changes"
    return risky(told) if edit.fields[-1] in ("access", "role") else patch(told)


def _people(edit: Edit) -> Judged:
    return (
        patch(f"`{edit.fields[0]}` changes")
        if edit.type == "ADD"
        else minor(f"`{edit.fields[0]}` changes")
    )


def _place(edit: Edit) -> Judged:
    return minor(f"`{edit.fields[0]}` changes from `{edit.old}` to `{edit.new}`")


def _custom(edit: Edit) -> Judged:
    return custom(edit, edit.fields, "the contract")


def _words(_: Edit) -> Judged:
    return patch("what it is for is described otherwise")


def _default_element(_: Edit) -> Judged:
    return risky("the SLA properties speak of another element")


_SECTIONS: Mapping[str, Callable[[Edit], Judged]] = {
    "id": identity,
    "status": status,
    "slaProperties": _sla,
    "slaDefaultElement": _default_element,
    "servers": _server,
    "price": _price,
    "roles": _role,
    "support": _people,
    "team": _people,
    "domain": _place,
    "tenant": _place,
    "dataProduct": _place,
    "customProperties": _custom,
    "description": _words,
}
