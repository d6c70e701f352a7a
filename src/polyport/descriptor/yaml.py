"""YAML files with the place of every key and value.

Text becomes what JSON can hold: dates and times of day stay text (the standards want text there), keys are text.
Anchors, aliases and merge keys are read; what would grow beyond bounds is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from polyport.descriptor.text import Source, error, source_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from polyport.errors import Diagnostic, Place

Steps: TypeAlias = "Sequence[str | int]"

DEEPEST = 100
"""Levels of nesting: libyaml's recursion would end the process at some thousands."""
LARGEST = 1_000_000
"""Values in one file, aliases counted as often as they are used."""
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_DROPPED = {f"{_TAG}timestamp", f"{_TAG}value"}
_SEXAGESIMAL = re.compile(r"^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$")
_NESTS = re.compile(r"^[ \t-]{200,}", re.MULTILINE)


class Loader(_BASE):  # type: ignore[misc]
    """PyYAML's safe loader without timestamps and without numbers to base 60 (`10:30` is a time)."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own name
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _DROPPED]
        for first, resolvers in _BASE.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML file: its value, and where each part of it stands."""

    path: Path
    source: Source
    value: Any
    root: yaml.Node = field(repr=False)

    def __getitem__(self, key: str) -> Any:
        return self.value[key]

    def get(self, key: str, default: Any = None) -> Any:
        """What stands under `key` of the root."""
        return self.value.get(key, default)

    def value_at(self, path: Steps, label: str = "") -> Place:
        """Where the value under `path` stands; of a mapping or list: where it begins."""
        _, node = self._find(path)
        return self._place(node, label)

    def key_at(self, path: Steps, label: str = "") -> Place:
        """Where the key of `path` stands; of an item or the root: where it begins."""
        key, node = self._find(path)
        return self._place(key or node, label)

    def raw_at(self, path: Steps) -> str:
        """The text of the scalar under `path` as it stands in the file; empty for anything else."""
        _, node = self._find(path)
        return node.value if isinstance(node, yaml.ScalarNode) else ""

    def inside(self, path: Steps, column: int, label: str = "") -> Place:
        """The character `column` (from 1) of the text under `path`."""
        node: Any = self._find(path)[1]
        start = node.start_mark
        if node.end_mark.line != start.line or node.style in ("|", ">"):
            return self._place(node, label)
        at = start.column + (1 if node.style else 0) + column
        return self.source.place(start.line + 1, at, label=label)

    def without(self, paths: Iterable[Steps]) -> Document:
        """The document with the values under `paths` replaced by asterisks where its lines are shown."""
        lines = list(self.source.lines)
        for path in paths:
            _, node = self._find(path)
            start, end = node.start_mark, node.end_mark
            for number in range(start.line, min(end.line + 1, len(lines))):
                low = start.column if number == start.line else 0
                high = end.column if number == end.line else len(lines[number])
                lines[number] = lines[number][:low] + "*" * (high - low) + lines[number][high:]
        return replace(self, source=replace(self.source, lines=tuple(lines)))

    def _find(self, path: Steps) -> tuple[yaml.Node | None, yaml.Node]:
        key, node = None, self.root
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            key, node = found
        return key, node

    def _place(self, node: yaml.Node, label: str) -> Place:
        start, end = node.start_mark, node.end_mark
        whole = isinstance(node, yaml.ScalarNode) and end.line == start.line
        if isinstance(node, yaml.ScalarNode) and not whole:
            line = self.source.lines[start.line] if start.line < len(self.source.lines) else ""
            return self.source.place(start.line + 1, start.column + 1, len(line) + 1, label=label)
        column = end.column + 1 if whole else 0
        return self.source.place(start.line + 1, start.column + 1, column, label=label)


def read(path: Path) -> tuple[Document | None, tuple[Diagnostic, ...]]:
    """The document in `path` and what is wrong with it as YAML; no document where it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as failure:
        where = source_of(path, "").whole()
        reason = failure.strerror or type(failure).__name__
        return None, (
            error(
                "PP011", f"cannot read {path.name}: {reason}", where, fix="check its permissions"
            ),
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        return None, (_not_utf8(path, content, failure),)
    return parse(path, text)


def parse(path: Path, text: str) -> tuple[Document | None, tuple[Diagnostic, ...]]:
    """The document that `text` is, as if it stood in `path`."""
    source = source_of(path, text)
    try:
        if _may_be_deep(text) and (deep := _too_deep(source, text)):
            return None, (deep,)
        root = yaml.compose(text, Loader=Loader)
    except (yaml.MarkedYAMLError, yaml.reader.ReaderError) as failure:
        return None, (_malformed(source, failure),)
    if root is None:
        return None, (error("PP005", f"{path.name} is empty", source.whole()),)
    if not isinstance(root, yaml.MappingNode):
        kind = "a list" if isinstance(root, yaml.SequenceNode) else "one value"
        place = source.place(root.start_mark.line + 1, root.start_mark.column + 1)
        return None, (error("PP006", f"expected `key: value` lines, found {kind}", place),)
    builder = _Builder(source)
    value = builder.build(root)
    if builder.refused:
        return None, (builder.refused,)
    return Document(path, source, value, root), tuple(builder.found)


class _Builder:
    """Values from nodes: each node once, so that an alias shares its anchor's value."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.found: list[Diagnostic] = []
        self.refused: Diagnostic | None = None
        self.built: dict[int, tuple[Any, int]] = {}
        self.open: set[int] = set()
        self.scalars = yaml.constructor.SafeConstructor()

    def build(self, node: yaml.Node) -> Any:
        return self.sized(node)[0]

    def sized(self, node: yaml.Node) -> tuple[Any, int]:
        """The value, and how many values it is made of."""
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node), 1
        if id(node) in self.built:
            return self.built[id(node)]
        if id(node) in self.open:
            self.refuse(node, "an alias stands inside of what it stands for")
            return None, 1
        self.open.add(id(node))
        self.known_tag(node)
        made = self.mapping(node) if isinstance(node, yaml.MappingNode) else self.sequence(node)
        self.open.discard(id(node))
        if made[1] > LARGEST:
            self.refuse(node, f"aliases expand to more than {LARGEST:,} values")
        self.built[id(node)] = made
        return made

    def sequence(self, node: Any) -> tuple[list[Any], int]:
        parts = [self.sized(item) for item in node.value]
        return [value for value, _ in parts], 1 + sum(size for _, size in parts)

    def mapping(self, node: Any) -> tuple[dict[str, Any], int]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        first: dict[str, Any] = {}
        total = 1
        for key, item in node.value:
            value, size = self.sized(item)
            total += size
            if key.tag == f"{_TAG}merge":
                merged = self.merge(item, value) | merged
            elif not isinstance(key, yaml.ScalarNode):
                place = self.place(key, "a key must be text")
                self.found.append(error("PP012", "a list or mapping is used as a key", place))
            else:
                if key.value in first:
                    self.duplicate(key, first[key.value])
                first[key.value] = key
                own[key.value] = value
        return {
            **{k: v for k, v in merged.items() if k not in own},
            **own,
        } if merged else own, total

    def merge(self, node: Any, value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            place = self.place(node, "not a mapping")
            self.found.append(error("PP002", "`<<` takes a mapping or a list of mappings", place))
            return {}
        return {k: v for part in reversed(parts) for k, v in part.items()}

    def scalar(self, node: Any) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if kind in ("int", "float") and _SEXAGESIMAL.match(node.value):
            return node.value
        if kind not in ("null", "bool", "int", "float"):
            self.known_tag(node)
            return node.value
        try:
            return getattr(self.scalars, f"construct_yaml_{kind}")(node)
        except (ValueError, KeyError):
            place = self.place(node, f"not {'an' if kind == 'int' else 'a'} {kind}")
            self.found.append(error("PP002", f"`{node.value}` is no {kind}", place))
            return node.value

    def known_tag(self, node: yaml.Node) -> None:
        if node.tag.startswith(_TAG) and node.tag.removeprefix(_TAG) in _KNOWN_TAGS:
            return
        message = f"the tag `{node.tag.replace(_TAG, '!!')}` is not read"
        place = self.place(node, "a tag that makes something other than data")
        self.found.append(error("PP014", message, place, fix="remove the tag"))

    def duplicate(self, key: Any, first: Any) -> None:
        places = (
            self.place(key, "the later one would silently win"),
            self.place(first, "first set here"),
        )
        fix = "keep one of them"
        self.found.append(error("PP001", f"duplicate key `{key.value}`", *places, fix=fix))

    def refuse(self, node: yaml.Node, reason: str) -> None:
        if self.refused is None:
            fix = "write the values out"
            self.refused = error("PP007", reason, self.place(node, "here"), fix=fix)

    def place(self, node: Any, label: str) -> Place:
        start, end = node.start_mark, node.end_mark
        column = end.column + 1 if end.line == start.line else 0
        return self.source.place(start.line + 1, start.column + 1, column, label=label)


_KNOWN_TAGS = {"map", "seq", "str", "int", "float", "bool", "null", "timestamp", "binary"}


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Node | None, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return (None, node.value[step]) if step < len(node.value) else None
    if not isinstance(node, yaml.MappingNode):
        return None
    own = [(k, v) for k, v in node.value if k.tag != f"{_TAG}merge" and k.value == step]
    return own[-1] if own else next(_merged(node, step), None)


def _merged(node: Any, step: str | int) -> Iterator[tuple[yaml.Node | None, yaml.Node]]:
    for key, value in node.value:
        if key.tag == f"{_TAG}merge":
            parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
            yield from (found for part in parts if (found := _child(part, step)))


def _may_be_deep(text: str) -> bool:
    return text.count("[") + text.count("{") > DEEPEST or _NESTS.search(text) is not None


def _too_deep(source: Source, text: str) -> Diagnostic | None:
    depth = 0
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            mark: Any = event.start_mark
            place = source.place(mark.line + 1, mark.column + 1, label="one level too many")
            return error("PP013", f"nested more than {DEEPEST} levels deep", place)
    return None


def _not_utf8(path: Path, content: bytes, failure: UnicodeDecodeError) -> Diagnostic:
    line = content.count(b"\n", 0, failure.start) + 1
    column = failure.start - content.rfind(b"\n", 0, failure.start)
    source = source_of(path, content.decode("utf-8", "replace"))
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        source, like = Source(source.shown), "UTF-16"
    else:
        like = "Windows-1252 or Latin-1"
    byte = content[failure.start]
    place = source.place(line, column, label=f"byte 0x{byte:02X}")
    return error(
        "PP004",
        f"{path.name} is not UTF-8: byte 0x{byte:02X} at offset {failure.start:,}",
        place,
        fix=f"it looks like {like}: save the file as UTF-8",
    )


def _malformed(source: Source, failure: Any) -> Diagnostic:
    if isinstance(failure, yaml.reader.ReaderError):
        offset = failure.position if isinstance(failure.position, int) else 0
        place = source.at_offset(offset, label="not allowed in YAML")
        wide = source.lines[0][1:2] == "\0" or source.lines[0][:1] == "\0"
        fix = "it looks like UTF-16: save the file as UTF-8" if wide else "remove it"
        return error("PP002", "a control character that YAML does not allow", place, fix=fix)
    mark = failure.problem_mark or failure.context_mark
    line, column = mark.line + 1, mark.column + 1
    if mark.line >= len(source.lines):
        line, column = len(source.lines), len(source.lines[-1]) + 1
    text = source.lines[line - 1]
    place = source.place(line, column)
    if "\t" in text[: max(len(text) - len(text.lstrip()), column)]:
        at = source.place(line, text.index("\t") + 1, label="a tab")
        return error("PP003", "a tab is used to indent", at, fix="indent with spaces")
    if "another document" in (failure.problem or ""):
        fix = "keep one document in the file: remove `---` and what follows"
        return error("PP010", "more than one document in the file", place, fix=fix)
    related: tuple[Place, ...] = ()
    if failure.context_mark and failure.context_mark.line + 1 < line:
        begun = failure.context_mark
        what = (failure.context or "").removeprefix("while ")
        related = (source.place(begun.line + 1, begun.column + 1, label=what),)
    message = f"malformed YAML: {failure.problem or 'cannot be read'}"
    return error(
        "PP002", message, place, *related, fix=_repair(failure.problem or "", text, column)
    )


def _repair(problem: str, line: str, column: int) -> str:
    if "mapping values" in problem:
        return 'indent keys of one level alike; put text that contains ": " into quotes'
    if "cannot start any token" in problem and line[column - 1 : column]:
        return f"put text that begins with `{line[column - 1]}` into quotes"
    if "undefined alias" in problem:
        return "define it with `&name` first, or put text that begins with `*` into quotes"
    if "unexpected end of stream" in problem:
        return "close the quote"
    if "expected ',' or" in problem:
        return "close the bracket"
    return "indent keys of one level alike" if "expected" in problem else ""
