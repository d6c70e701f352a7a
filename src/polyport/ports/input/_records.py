"""Records in JSON documents: a small part of JSONPath, and what stands there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from polyport.errors import ConfigurationError
from polyport.ports.input._settings import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEP = re.compile(r"\.([^.\[\]'\"*]+)|\[(\d+)\]|\['([^']+)'\]")
Path = tuple["str | int", ...]


def parse(text: str, where: str) -> Path:
    """The steps of `$`, `$.a.b`, `$.a[0]`, `$['a b']`; a name without `$.` is taken as `$.name`.

    Raises:
        ConfigurationError: It is more of JSONPath than that.
    """
    rest = text[1:] if text.startswith("$") else f".{text}"
    steps: list[str | int] = []
    at = 0
    while at < len(rest):
        match = _STEP.match(rest, at)
        if match is None:
            raise ConfigurationError(
                f"the path {text!r} cannot be read at {rest[at:]!r}",
                where=where,
                fix="write it with names and numbers only: `$.data.items`, `$['a b'][0]`",
            )
        steps.append(int(match[2]) if match[2] else match[1] or match[3])
        at = match.end()
    return tuple(steps)


class MissingError(LookupError):
    """There is nothing at a path; the text says what there is instead."""


def at(document: Any, path: Path) -> Any:
    """What stands at `path`.

    Raises:
        MissingError: Nothing does.
    """
    here, walked = document, "$"
    for step in path:
        if not _has(here, step):
            raise MissingError(f"no {shown(path)}: {walked} is {_what(here)}")
        here = here[step]
        walked += f"[{step}]" if isinstance(step, int) else f".{step}"
    return here


def _has(value: Any, step: str | int) -> bool:
    if isinstance(step, int):
        return isinstance(value, list) and step < len(value)
    return isinstance(value, dict) and step in value


def maybe(document: Any, path: Path) -> Any:
    """What stands at `path`, or None."""
    try:
        return at(document, path)
    except MissingError:
        return None


def records(document: Any, path: Path) -> list[dict[str, Any]]:
    """The records at `path`: a list of objects, one object, or nothing (null).

    Raises:
        MissingError: Something else stands there, or nothing.
    """
    found = at(document, path)
    if found is None:
        return []
    if isinstance(found, dict):
        return [found]
    if not isinstance(found, list):
        raise MissingError(f"no list at {shown(path)}: it is {_what(found)}")
    for index, record in enumerate(found):
        if not isinstance(record, dict):
            raise MissingError(f"no record at {shown(path)}[{index}]: it is {_what(record)}")
    return found


def shown(path: Sequence[str | int]) -> str:
    """`path` as it is written."""
    return "$" + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path)


def _what(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object with {listed(value) or 'nothing in it'}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"{str(value)[:60]!r}"
