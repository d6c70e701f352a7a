"""Validation with JSON Schema: the standards' own for ODPS and ODCS, ours for `polyport.yaml` and `mesh.yaml`.

jsonschema does the work. Some keywords are replaced: `$ref`, `properties`, `items` and `allOf` keep a validator for
each subschema (the stock ones make one for each value: 3.4 s for 15,000 lines, now 0.2), `if` counts as not met where
the property that it asks about is absent, and `unevaluatedProperties` names each unknown property once.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import jsonschema
from jsonschema import validators
from jsonschema.exceptions import ValidationError

from polyport.descriptor.text import nearest
from polyport.descriptor.violations import explain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from polyport.descriptor.yaml import Document
    from polyport.errors import Diagnostic

Steps: TypeAlias = tuple[str | int, ...]
Kind: TypeAlias = Literal["product", "contract", "settings", "mesh", "agreement"]


def check(document: Document, kind: Kind) -> tuple[Diagnostic, ...]:
    """What the JSON Schema of `kind` finds wrong with `document`, each once."""

    def known(violation: ValidationError) -> tuple[set[str], set[str]]:
        names, fitting = _fitting(violation, kind)
        return fitting, names.sometimes.keys() - fitting

    errors = list(_validator(kind).iter_errors(document.value))
    meant = {field for e in errors for field in _misspelt(e, kind)}
    told = [e for e in errors if not _missing(e) & meant]
    found = [d for e in told for d in explain(e, document, known)]
    return tuple(dict.fromkeys(found))


def _missing(violation: ValidationError) -> set[Steps]:
    """The path of the required field that is missing; nothing for other violations."""
    wanted: Any = violation.validator_value
    if violation.validator != "required":
        return set()
    name = next(n for n in wanted if violation.message.startswith(f"{n!r} "))
    return {(*violation.absolute_path, name)}


def _misspelt(violation: ValidationError, kind: Kind) -> Iterator[Steps]:
    """The paths of fields that unknown ones were meant to be."""
    if violation.validator not in ("unevaluatedProperties", "additionalProperties"):
        return
    _, fitting = _fitting(violation, kind)
    instance: Any = violation.instance
    for name in instance:
        if name not in fitting and (meant := nearest(str(name), sorted(fitting))):
            yield (*violation.absolute_path, meant)


def _fitting(violation: ValidationError, kind: Kind) -> tuple[Names, set[str]]:
    """The names of the subschema that is violated, and those that fit what was given."""
    schema: Any = violation.schema
    instance: Any = violation.instance
    names = _names(schema, schema_of(kind))
    return names, names.known(instance)


def sound(document: Document, kind: Kind) -> Document:
    """`document` without what breaks the JSON Schema of `kind`: enough to look for further mistakes in the rest.

    Lists with a wrong item go whole. An input that lacks a part stays, without it.
    """
    value = deepcopy(document.value)
    for violation in list(_validator(kind).iter_errors(document.value)):
        for path in _wrong(violation, kind):
            _take_out(value, path)
    return replace(document, value=value)


def _wrong(violation: ValidationError, kind: Kind) -> Iterator[Steps]:
    here = tuple(violation.absolute_path)
    instance: Any = violation.instance
    if violation.validator == "unevaluatedProperties":
        yield (*here, str(violation.validator_value))
    elif violation.validator == "additionalProperties":
        _, fitting = _fitting(violation, kind)
        yield from ((*here, name) for name in instance if name not in fitting)
    elif violation.validator != "required" or here[:1] != ("inputs",):
        yield here


def _take_out(value: Any, path: Steps) -> None:
    for at, step in enumerate(path):
        inner = value.get(step)
        if at == len(path) - 1 or not isinstance(inner, dict):
            value.pop(step, None)
            return
        value = inner
    value.clear()


@cache
def schema_of(kind: Kind) -> dict[str, Any]:
    """The JSON Schema of `kind`, as a mapping."""
    package, name = _FILES[kind]
    found: dict[str, Any] = json.loads((files(package) / name).read_text(encoding="utf-8"))
    return found


class Names:
    """The names of a subschema: those always known, and those that hang on a condition."""

    def __init__(self) -> None:
        self.always: dict[str, None] = {}
        self.sometimes: dict[str, tuple[dict[str, Any], ...]] = {}
        self.open = False

    def known(self, instance: Mapping[str, Any]) -> set[str]:
        """The names that `instance` may use, by what its other properties say."""
        held = {
            name
            for name, conditions in self.sometimes.items()
            if any(_may_hold(condition, instance) for condition in conditions)
        }
        return held | self.always.keys()


_FILES = {
    "product": ("dataproduct", "schemas/odps-1.1.0.schema.json"),
    "contract": ("open_data_contract_standard", "schema.json"),
    "settings": ("polyport.descriptor", "polyport.schema.json"),
    "mesh": ("polyport.descriptor", "polyport-mesh.schema.json"),
    "agreement": ("polyport.descriptor", "oaas-draft.schema.json"),
}


@cache
def _validator(kind: Kind) -> Any:
    root = schema_of(kind)
    keywords = _Keywords(root)
    changed: dict[str, Any] = {
        "$ref": keywords.ref, "properties": keywords.properties, "items": keywords.items,
        "allOf": keywords.all_of, "if": keywords.if_, "unevaluatedProperties": keywords.unevaluated,
    }  # fmt: skip
    base = validators.validator_for(root, default=jsonschema.Draft202012Validator)
    extend: Any = validators.extend
    return extend(base, changed)(root, format_checker=_formats())


class _Keywords:
    """The keywords that are replaced, over one JSON Schema. Arguments in the order that jsonschema gives."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.kept: dict[int, Any] = {}
        self.names: dict[int, Names] = {}

    def into(
        self, validator: Any, instance: Any, schema: Any, at: Any = None
    ) -> Iterator[ValidationError]:
        """The errors of a subschema for `instance`, which stands under `at`."""
        if id(schema) not in self.kept:
            self.kept[id(schema)] = validator.evolve(schema=schema)
        for error in self.kept[id(schema)].iter_errors(instance):
            if at is not None:
                error.path.appendleft(at)
            yield error

    def ref(self, validator: Any, target: str, instance: Any, _: Any) -> Iterator[ValidationError]:
        yield from self.into(validator, instance, _resolve(self.root, target))

    def properties(
        self, validator: Any, parts: Any, instance: Any, _: Any
    ) -> Iterator[ValidationError]:
        if isinstance(instance, dict):
            for name, value in instance.items():
                if name in parts:
                    yield from self.into(validator, value, parts[name], name)

    def items(self, validator: Any, part: Any, instance: Any, _: Any) -> Iterator[ValidationError]:
        if isinstance(instance, list):
            for at, value in enumerate(instance):
                yield from self.into(validator, value, part, at)

    def all_of(
        self, validator: Any, parts: Any, instance: Any, _: Any
    ) -> Iterator[ValidationError]:
        for part in parts:
            yield from self.into(validator, instance, part)

    def if_(
        self, validator: Any, condition: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        held = _held(condition, instance)
        if held is None:
            held = validator.evolve(schema=condition).is_valid(instance)
        branch = schema.get("then" if held else "else")
        if branch is not None:
            yield from self.into(validator, instance, branch)

    def unevaluated(
        self, _: Any, allowed: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        if allowed is not False or not isinstance(instance, dict):
            return
        if id(schema) not in self.names:
            self.names[id(schema)] = _names(schema, self.root)
        known = self.names[id(schema)]
        if not known.open and not known.always.keys() >= instance.keys():
            for name in instance.keys() - known.known(instance):
                yield ValidationError(f"unknown {name}", validator_value=name)


def _formats() -> jsonschema.FormatChecker:
    """Only the formats that are checked by the standard library: date and date-time."""
    checker = jsonschema.FormatChecker(formats=())
    checker.checks("date", ValueError)(_is_date)
    checker.checks("date-time", ValueError)(_is_date_time)
    return checker


def _is_date(value: object) -> bool:
    return not isinstance(value, str) or bool(date.fromisoformat(value))


def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


def _resolve(root: Mapping[str, Any], target: str) -> Any:
    found: Any = root
    for step in target.removeprefix("#").strip("/").split("/"):
        found = found[step] if step else found
    return found


def _held(condition: Any, instance: Any) -> bool | None:
    """Whether a condition on constants is met; None where it is of another form."""
    if not isinstance(instance, dict) or not isinstance(condition, dict):
        return None
    if "anyOf" in condition and condition.keys() <= {"anyOf"}:
        parts = [_held(part, instance) for part in condition["anyOf"]]
        return None if None in parts else any(parts)
    wanted = condition.get("properties", {})
    if condition.keys() - {"properties", "required"} or not all(
        part.keys() <= {"const", "enum", "type"} for part in wanted.values()
    ):
        return None
    names = dict.fromkeys([*condition.get("required", ()), *wanted])
    return all(name in instance and _fits(wanted.get(name, {}), instance[name]) for name in names)


def _may_hold(condition: Any, instance: Mapping[str, Any]) -> bool:
    """Whether a condition is met, or asks about something that `instance` does not say."""
    parts = condition.get("anyOf", [condition])
    asked = {name for part in parts for name in part.get("properties", {})}
    return not asked & instance.keys() or _held(condition, instance) is not False


def _fits(part: Mapping[str, Any], value: Any) -> bool:
    if "const" in part:
        return bool(part["const"] == value)
    return "enum" not in part or value in part["enum"]


def _names(schema: Any, root: Mapping[str, Any]) -> Names:
    found = Names()
    _gather(schema, root, found, ())
    return found


def _gather(
    schema: Any, root: Mapping[str, Any], found: Names, conditions: tuple[Any, ...]
) -> None:
    if not isinstance(schema, dict):
        return
    for name in schema.get("properties", {}):
        if conditions:
            found.sometimes[name] = (*found.sometimes.get(name, ()), conditions[-1])
        else:
            found.always[name] = None
    if "$ref" in schema:
        _gather(_resolve(root, schema["$ref"]), root, found, conditions)
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        _gather(part, root, found, conditions)
    if "if" in schema:
        _gather(schema.get("then"), root, found, (*conditions, schema["if"]))
    if schema.get("additionalProperties") not in (None, False):
        found.open = True
