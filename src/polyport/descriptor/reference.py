"""The page `docs/reference/settings.md`, from our JSON Schemas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from polyport.descriptor.schema import schema_of
from polyport.descriptor.violations import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TYPES = {"object": "mapping", "array": "list"}
_GROUPS = (
    ("Input", "Settings of every input port"), ("FilesInput", "`type: files`"),
    ("SpreadsheetInput", "`type: spreadsheet`"), ("HttpInput", "`type: http`"),
    ("DatabaseInput", "`type: database`"), ("ProductInput", "`type: product`"),
    ("Role", "Settings of a role: `access.roles.<role>`"),
    ("View", "Of one dataset: `access.roles.<role>.datasets.<dataset>`"),
    ("Mask", "Masks"), ("Filter", "Filters"), ("Secret", "Secrets"),
)  # fmt: skip


def settings_page() -> str:
    """The whole page, as Markdown."""
    settings, mesh = schema_of("settings"), schema_of("mesh")
    parts = [
        "# Settings",
        "",
        "Generated from the JSON Schemas `polyport.schema.json` and `polyport-mesh.schema.json` of the package.",
    ]
    for root in (settings, mesh):
        parts += ["", f"## {root['title']}", "", root["description"], "", *_table(root, root)]
    parts += ["", "## Parts of polyport.yaml"]
    for name, heading in _GROUPS:
        node = settings["$defs"][name]
        parts += ["", f"### {heading}", "", node["description"]]
        if node.get("properties"):
            parts += ["", *_table(node, settings)]
        elif node.get("examples"):
            parts += ["", f"Examples: {_examples(node)}"]
    return "\n".join(parts) + "\n"


def _table(node: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[str]:
    yield "| setting | type | meaning | example |"
    yield "|---|---|---|---|"
    yield from _rows(node, root, "")


def _rows(node: Mapping[str, Any], root: Mapping[str, Any], prefix: str) -> Iterator[str]:
    required = node.get("required", ())
    for name, given in node.get("properties", {}).items():
        part = _whole(given, root)
        meaning = part.get("description", "") + (" Required." if name in required else "")
        cells = (f"`{prefix}{name}`", _type(part), meaning, _examples(part))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        nested = part.get("additionalProperties")
        if part.get("properties"):
            yield from _rows(part, root, f"{prefix}{name}.")
        elif isinstance(nested, dict) and nested.get("properties"):
            yield from _rows(nested, root, f"{prefix}{name}.<name>.")


def _whole(part: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """`part` with what it refers to; what it says itself goes first."""
    if "$ref" not in part:
        return part
    return {**root["$defs"][part["$ref"].rsplit("/", 1)[1]], **part}


def _type(part: Mapping[str, Any]) -> str:
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])
    types = part.get("type", ())
    names = [types] if isinstance(types, str) else types
    return " or ".join(_TYPES.get(name, name) for name in names if name != KINDS[type(None)])


def _examples(part: Mapping[str, Any]) -> str:
    return ", ".join(
        f"`{json.dumps(e) if not isinstance(e, str) else e}`" for e in part.get("examples", ())
    )
