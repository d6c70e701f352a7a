"""A JSON Schema violation as one sentence that a person can act on."""

from __future__ import annotations

import ast
from itertools import groupby
from typing import TYPE_CHECKING, Any, get_args

from polyport.descriptor.text import did_you_mean, error
from polyport.descriptor.types import Operator

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from jsonschema.exceptions import ValidationError

    from polyport.descriptor.yaml import Document
    from polyport.errors import Diagnostic

KINDS = {
    str: "string", bool: "boolean", int: "integer", float: "number", list: "list", dict: "mapping",
    type(None): "null",
}  # fmt: skip
_WANTED = {"array": "list", "object": "mapping"}
OPERATORS: tuple[str, ...] = get_args(Operator)
_LONGEST = 60


def explain(
    found: ValidationError, document: Document, known: Callable[[ValidationError], Known]
) -> Iterator[Diagnostic]:
    """The diagnostics for one violation; most often one."""
    kind = str(found.validator)
    if kind in ("oneOf", "anyOf"):
        yield from _branches(found, document, known)
    elif kind in ("additionalProperties", "unevaluatedProperties"):
        yield from _unknown(found, document, known(found))
    else:
        yield _PLAIN.get(kind, _bound)(found, document)


Known = tuple["Collection[str]", "Collection[str]"]
"""The names that fit in a mapping, and those that would fit if it said something else."""


def short(value: Any) -> str:
    """`value` for a message: not more than a line's part of it."""
    text = str(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _unknown(found: ValidationError, document: Document, known: Known) -> Iterator[Diagnostic]:
    here = tuple(found.absolute_path)
    fitting, elsewhere = known
    instance: Any = found.instance
    if found.validator == "unevaluatedProperties":
        names: Sequence[str] = (str(found.validator_value),)
    else:
        names = [name for name in instance if name not in fitting]
    for name in names:
        if name in elsewhere:
            place = document.key_at((*here, name), "does not fit here")
            kind = next((instance[k] for k in ("logicalType", "type") if k in instance), "")
            message = f"`{name}` does not fit " + (f"`{short(kind)}`" if kind else "here")
            fix = "remove it, or correct what it depends on"
            yield error("PP112", message, place, fix=fix)
        else:
            place = document.key_at((*here, name), "not a known field here")
            fix = did_you_mean(name, sorted(fitting), what="known fields")
            yield error("PP101", f"unknown field `{short(name)}`", place, fix=fix)


def _required(found: ValidationError, document: Document) -> Diagnostic:
    name = str(ast.literal_eval(found.message.removesuffix(" is a required property")))
    place = document.key_at(tuple(found.absolute_path), f"`{name}` is required here")
    return error("PP102", f"missing field `{name}`", place, fix=f"add `{name}: ...`")


def _choice(found: ValidationError, document: Document) -> Diagnostic:
    here = tuple(found.absolute_path)
    value: Any = found.validator_value
    valid = [str(v) for v in (value if found.validator == "enum" else [value])]
    code = (
        {"apiVersion": "PP109", "kind": "PP110"}.get(str(here[0]), "PP103")
        if len(here) == 1
        else "PP103"
    )
    place = document.value_at(here, f"expected one of: {', '.join(valid)}")
    if code == "PP103" and isinstance(found.instance, bool) and {"yes", "no"} & set(valid):
        return _type(found, document)
    fix = did_you_mean(str(found.instance), valid)
    return error(code, f"invalid value `{short(found.instance)}`", place, fix=fix)


def _type(found: ValidationError, document: Document) -> Diagnostic:
    wanted: Any = found.validator_value
    return wrong_type(document, tuple(found.absolute_path), found.instance, wanted)


def wrong_type(
    document: Document, path: tuple[str | int, ...], value: Any, wanted: str | Sequence[str]
) -> Diagnostic:
    """The diagnostic for a value of a type other than those `wanted` (JSON Schema's names)."""
    types = [wanted] if isinstance(wanted, str) else list(dict.fromkeys(wanted))
    raw = document.raw_at(path)
    place = document.value_at(path, f"this is {short(raw)}" if raw else "this")
    names = " or ".join(_WANTED.get(t, t) for t in types)
    message = f"expected {names}, found {KINDS.get(type(value), type(value).__name__)}"
    return error("PP104", message, place, fix=_retype(types, value, raw))


def _retype(types: Sequence[str], value: Any, raw: str) -> str:
    if "string" in types and isinstance(value, int | float | bool):
        return f'quote it: "{raw}"'
    if value is None:
        return "give a value, or remove the key"
    if isinstance(value, str) and {"integer", "number", "boolean"} & set(types):
        return "remove the quotes" if value.replace(".", "", 1).lstrip("-").isdigit() else ""
    if "array" in types and not isinstance(value, list):
        return f"write a list: [{short(raw)}]" if raw else "write a list: begin each item with `- `"
    return "write `key: value` lines below it" if "object" in types else ""


_SAID = {
    "minLength": "at least {} characters", "maxLength": "at most {} characters",
    "minItems": "at least {} items", "maxItems": "at most {} items", "minProperties": "at least {} keys",
    "minimum": "at least {}", "maximum": "at most {}", "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}", "multipleOf": "a multiple of {}",
}  # fmt: skip


def _bound(found: ValidationError, document: Document) -> Diagnostic:
    here = tuple(found.absolute_path)
    kind = str(found.validator)
    if kind not in _SAID:
        place = document.value_at(here)
        return error("PP111", f"`{short(found.instance)}` breaks the schema ({kind})", place)
    wanted = _SAID[kind].format(found.validator_value)
    value: Any = found.instance
    shown = f"`{short(value)}`"
    if isinstance(value, list | dict):
        shown = f"{len(value)} item" + ("" if len(value) == 1 else "s")
    if value in ("", [], {}):
        shown = "an empty " + KINDS[type(value)]
    place = document.value_at(here, f"expected {wanted}")
    return error("PP105", f"expected {wanted}, found {shown}", place)


def _pattern(found: ValidationError, document: Document) -> Diagnostic:
    schema: Any = found.schema
    place = document.value_at(tuple(found.absolute_path), "of another form")
    said = schema.get("description", "") if isinstance(schema, dict) else ""
    form = (
        said if found.validator == "pattern" and said else f"expected form: {found.validator_value}"
    )
    if found.validator == "format":
        form = {"date": "write YYYY-MM-DD", "date-time": "write 2026-01-31T12:00:00Z"}.get(
            str(found.validator_value), form
        )
    return error("PP106", f"invalid value `{short(found.instance)}`", place, fix=form)


def _unique(found: ValidationError, document: Document) -> Diagnostic:
    here = tuple(found.absolute_path)
    items: Any = found.instance
    at = next((i for i, v in enumerate(items) if v in items[:i]), 0)
    places = (
        document.value_at((*here, at), "again"),
        document.value_at((*here, items.index(items[at])), "first here"),
    )
    return error(
        "PP108", f"`{short(items[at])}` is listed twice", *places, fix="remove one of them"
    )


def _not(found: ValidationError, document: Document) -> Diagnostic:
    refused: Any = found.validator_value
    names = refused.get("required", []) if isinstance(refused, dict) else []
    here = tuple(found.absolute_path)
    if not names:
        return _bound(found, document)
    place = document.key_at((*here, names[0]), "does not fit here")
    return error("PP112", f"`{names[0]}` does not fit here", place, fix="remove it")


_PLAIN: Mapping[str, Callable[[ValidationError, Document], Diagnostic]] = {
    "required": _required, "enum": _choice, "const": _choice, "type": _type, "pattern": _pattern,
    "format": _pattern, "uniqueItems": _unique, "not": _not,
}  # fmt: skip


def _branches(
    found: ValidationError, document: Document, known: Callable[[ValidationError], Known]
) -> Iterator[Diagnostic]:
    """The problem in the branch that was meant: not one for each branch that was not."""
    schema: Any = found.validator_value
    if all(part.get("required", [""])[0] in OPERATORS for part in schema):
        operator = _operator(found, document)
        if operator:
            yield operator
            return
    if not found.context:
        yield error("PP111", "more than one of the allowed forms fits", _here(found, document))
        return
    grouped = groupby(found.context, key=lambda e: e.relative_schema_path[0])
    branches = [list(errors) for _, errors in grouped]
    fitting = [b for b in branches if not any(_of_other_type(e, found) for e in b)]
    if not fitting:
        wanted: list[str] = []
        for child in found.context:
            value: Any = child.validator_value
            wanted += [value] if isinstance(value, str) else value
        yield wrong_type(document, tuple(found.absolute_path), found.instance, wanted)
        return
    best = max(fitting, key=lambda b: (max(len(e.absolute_path) for e in b), -len(b)))
    if len(fitting) > 1 and all(e.validator == "pattern" for b in fitting for e in b):
        yield _reference(found, document)
        return
    for child in best:
        yield from explain(child, document, known)


def _reference(found: ValidationError, document: Document) -> Diagnostic:
    here = tuple(found.absolute_path)
    place = document.value_at(here, "not a reference")
    fix = "write `table.column`, or `/schema/<id>/properties/<id>`"
    return error("PP106", f"invalid value `{short(found.instance)}`", place, fix=fix)


def _of_other_type(child: ValidationError, parent: ValidationError) -> bool:
    return child.validator == "type" and len(child.absolute_path) == len(parent.absolute_path)


def _operator(found: ValidationError, document: Document) -> Diagnostic | None:
    instance: Any = found.instance
    given = [name for name in OPERATORS if name in instance]
    here = tuple(found.absolute_path)
    if len(given) > 1:
        places = (
            document.key_at((*here, given[1]), "a second operator"),
            document.key_at((*here, given[0]), "the first one"),
        )
        message = f"a rule has one operator, this has {len(given)}: {', '.join(given)}"
        return error("PP107", message, *places, fix="split it into two rules")
    if given:
        return None
    place = document.key_at(here, "an operator is required here")
    fix = "add one of: " + ", ".join(OPERATORS)
    return error("PP107", "a rule needs an operator", place, fix=fix)


def _here(found: ValidationError, document: Document) -> Any:
    return document.value_at(tuple(found.absolute_path))
