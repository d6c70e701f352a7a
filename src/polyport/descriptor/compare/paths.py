"""Paths into documents: JSON Pointers (RFC 6901) whose list items are chosen by what names them.

`/schema[name=films]/properties[name=title]/required`. In a name `~`, `/`, `]`, `,`, `[` and `=` are written `~0` to
`~5`. Where nothing names an item, or two have the same name, it is chosen by its place: `/support[2]`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.descriptor.yaml import Steps

_ESCAPES = (("~", "~0"), ("/", "~1"), ("]", "~2"), (",", "~3"), ("[", "~4"), ("=", "~5"))
_STEP = re.compile(r"(?P<key>[^\[\]]*)(?:\[(?P<choice>[^\]]*)\])?")
NAMES: Mapping[str, tuple[str, ...]] = {
    "schema": ("name",), "properties": ("name",), "quality": ("name",), "enum": ("value",),
    "relationships": ("from", "to"), "slaProperties": ("property", "element"),
    "customProperties": ("vendor", "property"), "servers": ("server",), "roles": ("role",),
    "team": ("username",), "members": ("username",), "support": ("channel",),
    "authoritativeDefinitions": ("type", "url"), "synonyms": ("synonym",),
    "outputPorts": ("name", "version"), "inputPorts": ("name", "version"),
    "managementPorts": ("name",), "inputContracts": ("id",), "sbom": ("type", "url"),
    "verifiedStatements": ("question",), "constraints": ("constraint",),
}  # fmt: skip
"""List -> the fields that name one of its items."""


def key(name: str) -> str:
    """The path's step into the field `name`."""
    return f"/{_escaped(name)}"


def items(field: str, found: Sequence[Any]) -> list[str]:
    """The path's step into each of the items `found`, which stand in `field`."""
    steps = [f"{key(field)}[{at}]" for at in range(len(found))]
    for names in (("id",), NAMES.get(field, ())):  # the second counts where both do
        told = [
            tuple(n for n in names if isinstance(one, dict) and one.get(n) is not None)
            for one in found
        ]
        for chosen in set(told) - {()}:
            choices = [_choice(one, chosen) for one in found]
            count = Counter(choices)
            for at, choice in enumerate(choices):
                if told[at] == chosen and choice and count[choice] == 1:
                    steps[at] = f"{key(field)}[{choice}]"
    return steps


def find(document: Any, path: str) -> Steps:
    """The keys and places that lead to what `path` means in `document`.

    Raises:
        LookupError: There is no such thing.
    """
    steps: list[str | int] = []
    for part in path.split("/")[1:]:
        found = _STEP.fullmatch(part)
        if found is None or not isinstance(document, dict):
            raise LookupError(path)
        name = _plain(found["key"])
        steps.append(name)
        document = document[name]
        if found["choice"] is not None:
            steps.append(_chosen(document, found["choice"], path))
            document = document[steps[-1]]
    return tuple(steps)


def _chosen(items: Any, choice: str, path: str) -> int:
    items = items if isinstance(items, list) else []
    if choice.isdecimal():
        return range(len(items))[int(choice)]
    names = [pair.partition("=")[0] for pair in choice.split(",")]
    found = [at for at, one in enumerate(items) if _choice(one, names) == choice]
    if len(found) != 1:
        raise LookupError(path)
    return found[0]


def _choice(one: Any, names: Sequence[str]) -> str:
    """`name=films`; empty where the item has none of `names`, or one that is no plain value."""
    if not isinstance(one, dict):
        return ""
    told = {name: one[name] for name in names if one.get(name) is not None}
    if any(isinstance(value, dict | list) for value in told.values()):
        return ""
    return ",".join(f"{name}={_escaped(_text(value))}" for name, value in told.items())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _escaped(text: str) -> str:
    for sign, written in _ESCAPES:
        text = text.replace(sign, written)
    return text


def _plain(text: str) -> str:
    for sign, written in reversed(_ESCAPES):
        text = text.replace(written, sign)
    return text
