"""What a new version of a product's configuration changes: who sees more, and who less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from polyport.access.configuration import meant
from polyport.access.policy import Grant
from polyport.expression import to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from polyport.access.configuration import Part, Version
    from polyport.descriptor.types import DataProduct, Role, RoleSettings, SchemaObject, Settings

Effect: TypeAlias = Literal["more", "less", "other"]


@dataclass(frozen=True, slots=True)
class Changed:
    """One thing that differs."""

    where: str
    """`analyst/costs`: a role and a dataset; `retention.days`: a setting."""
    effect: Effect
    """Whether somebody sees more or less by it; `other`: it cannot be told, or it is none of that."""
    sentence: str


def difference(product: DataProduct, part: Part, old: Version, new: Version) -> tuple[Changed, ...]:
    """What `new` changes in `old`."""
    if part == "settings":
        return tuple(_leaves(old.block, new.block, ""))
    before, after = meant(part, old.block), meant(part, new.block)
    return tuple(_policy(product, before, after))


def _leaves(old: Any, new: Any, where: str) -> Iterator[Changed]:
    if any(isinstance(each, dict) for each in (old, new)):
        before, after = [each if isinstance(each, dict) else {} for each in (old, new)]
        for name in dict.fromkeys((*before, *after)):
            path = f"{where}.{name}" if where else name
            yield from _leaves(before.get(name), after.get(name), path)
    elif old != new:
        said = ["not set" if value is None else str(value) for value in (old, new)]
        yield Changed(where, "other", f"{said[0]} -> {said[1]}")


def _policy(product: DataProduct, old: Settings, new: Settings) -> Iterator[Changed]:
    if old.agreements != new.agreements:
        effect: Effect = "more" if new.agreements == "optional" else "less"
        yield Changed("agreements", effect, f"agreements are {new.agreements} now")
    for name in dict.fromkeys((*old.roles, *new.roles)):
        before, after = old.roles.get(name), new.roles.get(name)
        if before is None:
            yield Changed(name, "more", f"the role {name!r} is new")
        if after is None:
            yield Changed(name, "less", f"the role {name!r} is gone")
        if before is None or after is None:
            continue
        for dataset in _datasets(product, before, after):
            where = f"{name}/{dataset}"
            yield from _sight(
                where, product.objects.get(dataset), before.sees(dataset), after.sees(dataset)
            )


def _datasets(product: DataProduct, *roles: Role) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*product.objects, *(d for r in roles for d in r.datasets)]))


def _sight(
    where: str, promised: SchemaObject | None, old: RoleSettings | None, new: RoleSettings | None
) -> Iterator[Changed]:
    if old is None or new is None:
        if new is not None:
            yield Changed(where, "more", "the role sees the dataset now")
        elif old is not None:
            yield Changed(where, "less", "the role does not see the dataset any more")
        return
    yield from _rows(where, old, new)
    yield from _purposes(where, old, new)
    yield from _columns(where, promised, old, new)


def _rows(where: str, old: RoleSettings, new: RoleSettings) -> Iterator[Changed]:
    if old.rows == new.rows:
        return
    effect: Effect = "more" if new.rows is None else "less" if old.rows is None else "other"
    said = [to_text(rows) if rows is not None else "every row" for rows in (old.rows, new.rows)]
    yield Changed(where, effect, f"rows: {said[0]} -> {said[1]}")


def _purposes(where: str, old: RoleSettings, new: RoleSettings) -> Iterator[Changed]:
    if old.purposes == new.purposes:
        return
    wider = not new.purposes or (bool(old.purposes) and new.purposes > old.purposes)
    narrower = not old.purposes or (bool(new.purposes) and new.purposes < old.purposes)
    effect: Effect = "more" if wider else "less" if narrower else "other"
    said = [", ".join(sorted(purposes)) or "any" for purposes in (old.purposes, new.purposes)]
    yield Changed(where, effect, f"purposes: {said[0]} -> {said[1]}")


def _columns(
    where: str, promised: SchemaObject | None, old: RoleSettings, new: RoleSettings
) -> Iterator[Changed]:
    names = [p.name for p in promised.properties] if promised else []
    named = [*names, *(old.columns or ()), *(new.columns or ()), *old.mask, *new.mask]
    before, after = Grant("", old, names), Grant("", new, names)
    for name in dict.fromkeys(named):
        was, now = _shown(before, name), _shown(after, name)
        if was != now:
            yield Changed(where, _effect(was, now), f"column {name}: {was} -> {now}")


def _shown(grant: Grant, column: str) -> str:
    if not grant.shows(column):
        return "hidden"
    mask: Mapping[str, str] = grant.settings.mask
    return f"masked as {mask[column]}" if column in mask else "shown"


def _effect(was: str, now: str) -> Effect:
    ranks = {"hidden": 0, "shown": 2}
    before, after = ranks.get(was, 1), ranks.get(now, 1)
    return "more" if after > before else "less" if after < before else "other"
