"""The communication interfaces: one folder a group, one file a port type, registered as entry points."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, get_args

from polyport.errors import ConfigurationError

Group = Literal["input", "output", "information", "configuration"]


@cache
def types(group: Group) -> dict[str, EntryPoint]:
    """The registered port types of `group`, by name; not yet imported."""
    return {point.name: point for point in sorted(entry_points(group=f"polyport.{group}_ports"))}


def names() -> dict[str, tuple[str, ...]]:
    """Group -> the registered port types: what a product's files may name."""
    return {group: tuple(types(group)) for group in get_args(Group)}


def load(group: Group, port_type: str, *, where: str = "") -> Any:
    """The class that implements `port_type`.

    Raises:
        ConfigurationError: No installed package offers that type; `fix` lists those that are.
    """
    known = types(group)
    if port_type not in known:
        raise ConfigurationError(
            f"no {group} port type {port_type!r}", where=where, fix=f"one of: {', '.join(known)}"
        )
    return known[port_type].load()
