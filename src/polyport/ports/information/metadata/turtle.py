"""RDF as Turtle, from the nodes of our JSON-LD: prefixed names as keys, identifiers and literals spelt out.

It is smaller than a dependency: the documents are ours, flat, and without blank nodes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_NAME = re.compile(r"[a-z]+:[A-Za-z][A-Za-z0-9_-]*")
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f]')
_UNFIT = re.compile(r'[\x00-\x20<>"{}|^`\\]')
"""What may not stand in an IRI reference (Turtle 1.1, IRIREF)."""


def turtle(prefixes: Mapping[str, str], nodes: Iterable[Mapping[str, Any]]) -> str:
    """The nodes as a Turtle document."""
    lines = [f"@prefix {name}: {_iri(address)} ." for name, address in prefixes.items()]
    return "\n".join([*lines, "", *(_node(node) for node in nodes)])


def _node(node: Mapping[str, Any]) -> str:
    stated = [f"a {', '.join(map(_name, _listed(node['@type'])))}"]
    for key, value in node.items():
        if not key.startswith("@"):
            objects = list(_objects(value))
            if objects:
                stated.append(f"{_name(key)} {', '.join(objects)}")
    return f"{_iri(node['@id'])} " + " ;\n    ".join(stated) + " .\n"


def _objects(value: Any) -> Iterator[str]:
    for each in _listed(value):
        if isinstance(each, str):
            yield _literal(each)
        elif "@id" in each:
            yield _iri(each["@id"])
        else:
            yield f"{_literal(str(each['@value']))}^^{_name(each['@type'])}"


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a prefixed name: {name!r}")
    return name


def _iri(address: str) -> str:
    return f"<{_UNFIT.sub(_percent, address)}>"


def _percent(match: re.Match[str]) -> str:
    return f"%{ord(match[0]):02X}"


def _literal(text: str) -> str:
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    return f"\\{char}" if char in '"\\' else f"\\u{ord(char):04X}"
