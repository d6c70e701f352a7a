"""A part of `polyport.yaml` that was sent as JSON: the same checks, with JSON paths (RFC 9535) for places."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from polyport.descriptor.checks import access
from polyport.descriptor.settings import examine
from polyport.descriptor.text import Source, did_you_mean, error
from polyport.descriptor.yaml import Document
from polyport.errors import DescriptorError, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from polyport.descriptor.types import SchemaObject, Settings
    from polyport.descriptor.yaml import Steps
    from polyport.errors import Diagnostic

_PLAIN = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True, slots=True)
class SentDocument(Document):
    """A JSON value with the form of `polyport.yaml`. It has no lines: a place is the path to it."""

    base: str = "$"

    def value_at(self, path: Steps, label: str = "") -> Place:
        """See `Document.value_at`."""
        return Place(self.base + "".join(map(_step, path)), label=label)

    def key_at(self, path: Steps, label: str = "") -> Place:
        """See `Document.key_at`."""
        return self.value_at(path, label)

    def raw_at(self, path: Steps) -> str:
        """See `Document.raw_at`."""
        found: Any = self.value
        for step in path:
            found = found[step]
        return "" if isinstance(found, dict | list) else json.dumps(found, ensure_ascii=False)

    def inside(self, path: Steps, column: int, label: str = "") -> Place:
        """See `Document.inside`: the path, and the character of its text."""
        where = self.value_at(path).file
        return Place(where, column=column, end_column=column + 1, label=label)


def read(
    fields: Mapping[str, Any],
    objects: Mapping[str, SchemaObject],
    *,
    base: str,
    allowed: tuple[str, ...],
) -> Settings:
    """The settings that `fields` (top-level fields of `polyport.yaml`, only those `allowed`) give.

    `base`: the path under which they were sent. `objects`: the datasets promised, by name.

    Raises:
        DescriptorError: They are wrong; carries every problem, each with its JSON path.
    """
    root = yaml.ScalarNode("tag:yaml.org,2002:null", "")
    document = SentDocument(Path(base), Source(base), fields, root, base)
    found = list(_foreign(document, allowed))
    settings, more = examine(document)
    found += more
    if settings is not None:
        found += access.policy(document, objects)
    wrong = [d for d in found if d.severity == "error"]
    if settings is None or wrong:
        raise _refused(tuple(found), wrong[0])
    return settings


def _foreign(document: Document, allowed: tuple[str, ...]) -> Iterator[Diagnostic]:
    for name in document.value:
        if name not in allowed:
            place = document.key_at((name,), "not one of those that are set here")
            fix = did_you_mean(name, allowed, what="known fields")
            yield error("PP101", f"unknown field `{name[:60]}`", place, fix=fix)


def _refused(found: tuple[Diagnostic, ...], first: Diagnostic) -> DescriptorError:
    failure = DescriptorError(
        first.message,
        where=str(first.places[0]) if first.places else "",
        fix=first.fix,
        diagnostics=tuple(dict.fromkeys(found)),
    )
    failure.unchanged = "nothing was changed"
    return failure


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _PLAIN.fullmatch(step) else f"[{json.dumps(step, ensure_ascii=False)}]"
