"""Checks that a contract's schema implies: columns, types, keys, required, allowed values, relationships."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

from polyport.errors import QualityError, QueryError
from polyport.pipeline.quality import conditions, nested, sentences, values
from polyport.pipeline.quality.checks import (
    Check,
    Duplicates,
    How,
    Orphans,
    Rows,
    Settled,
    attempt,
    require,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from polyport.descriptor.types import Property, Relationship
    from polyport.pipeline.quality.checks import Compiler

_FITS = {
    "string": ("text",),
    "integer": ("integer",),
    "number": ("integer", "float", "decimal"),
    "boolean": ("boolean",),
    "date": ("date",),
    "timestamp": ("timestamp",),
    "time": ("time",),
    "object": ("struct", "map"),
    "map": ("map",),
    "array": ("list",),
    "vector": ("list",),
}
"""The families of types that hold a logical type."""

_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("range", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")),
    ("length", ("minLength", "maxLength")),
    ("pattern", ("pattern",)),
    ("format", ("format",)),
    ("multiple", ("multipleOf",)),
    ("items", ("minItems", "maxItems")),
    ("unique-items", ("uniqueItems",)),
)
_NOT_OF_VALUES = frozenset({"timezone", "defaultTimezone"})


def checks(at: Compiler) -> Iterator[Check]:
    """All checks on the dataset's shape, then those on its values, in the contract's order."""
    yield _columns(at)
    physical = _physical(at)
    for item in at.candidate.object.properties:
        yield from _type(at, item, physical.get(item.name))
        yield from _presence(at, (item.name,), item)
        yield from _options(at, (item.name,), item)
        yield from _insides(at, item)
    yield from _keys(at)
    for relationship in at.candidate.object.relationships:
        yield _relationship(at, relationship)


def _check(
    at: Compiler, rule: str, sentence: str, *, column: str = "", dimension: str = ""
) -> Check:
    name = ".".join(part for part in (at.dataset, column, rule) if part)
    return Check(name, at.dataset, column, "schema", sentence, Settled("pass"), dimension=dimension)


def _columns(at: Compiler) -> Check:
    promised = [p.name for p in at.candidate.object.properties]
    built = at.candidate.table.schema.names
    gone = [n for n in promised if n not in built]
    more = [n for n in built if n not in promised]
    count = f"its {len(promised)} columns" if len(promised) != 1 else "its column"
    found = _check(at, "columns", f"{at.dataset} has {count}", dimension="conformity")
    if gone:
        also = f"; it has {sentences.listed(more, limit=20)} instead" if more else ""
        return replace(
            found, how=Settled("fail", f"not there: {sentences.listed(gone, limit=20)}{also}")
        )
    also = (
        f"also there, and not in the contract: {sentences.listed(more, limit=20)}" if more else ""
    )
    return replace(found, how=Settled("pass", also))


def _physical(at: Compiler) -> Mapping[str, pa.DataType | QueryError]:
    """What each `physicalType` of the contract is in this engine; an error where it is none of its types."""
    wanted = {p.name: p.physical_type for p in at.candidate.object.properties if p.physical_type}
    try:
        casts = ", ".join(f"CAST(NULL AS {t}) AS c{i}" for i, t in enumerate(wanted.values()))
        found = at.engine.schema(f"SELECT {casts}", {}) if wanted else pa.schema([])
        return dict(zip(wanted, found.types, strict=True))
    except QueryError as error:
        if len(wanted) == 1:
            return dict.fromkeys(wanted, error)
    return {name: _one_type(at, kind) for name, kind in wanted.items()}


def _one_type(at: Compiler, physical: str) -> pa.DataType | QueryError:
    try:
        return at.engine.schema(f"SELECT CAST(NULL AS {physical}) AS c", {}).types[0]
    except QueryError as error:
        return error


def _type(
    at: Compiler, item: Property, physical: pa.DataType | QueryError | None
) -> Iterator[Check]:
    if item.logical_type or item.physical_type:
        wanted = item.logical_type or item.physical_type
        check = _check(
            at,
            "type",
            f"{item.name} is {_article(wanted)}",
            column=item.name,
            dimension="conformity",
        )
        yield attempt(check, lambda: _type_of(at, item, physical))


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _type_of(at: Compiler, item: Property, physical: pa.DataType | QueryError | None) -> Settled:
    built = at.candidate.table.schema.field(require(at.candidate, item.name)).type
    if isinstance(physical, QueryError):
        raise QualityError(
            f"physicalType {item.physical_type!r} is no type of the engine", fix=physical.message
        )
    if item.logical_type and (misfit := _fits(item, built)).status != "pass":
        return misfit
    if physical is not None and values.family(built) != values.family(physical):
        return Settled("fail", f"built as {built}, and the contract says {item.physical_type}")
    return Settled("pass")


def _fits(item: Property, built: pa.DataType) -> Settled:
    if values.family(built) in _allowed(item, built):
        return Settled("pass")
    return Settled("fail", f"built as {built}, which does not hold {item.logical_type} values")


def _allowed(item: Property, built: pa.DataType) -> tuple[str, ...]:
    """The families that hold the property's logical type, given what its physical type says on purpose."""
    if item.logical_type not in _FITS:
        raise QualityError(
            f"logicalType {item.logical_type!r} is not one of ODCS",
            fix=f"one of {', '.join(_FITS)}",
        )
    fits = _FITS[item.logical_type]
    if item.physical_type and (item.logical_type == "string" or values.family(built) == "text"):
        # Bytes, nested values as JSON text and dates kept as written are promises too, once they are spelled out.
        return (*fits, "binary", "text")
    return (*fits, "decimal") if _whole_decimal(item, built) else fits


def _whole_decimal(item: Property, built: pa.DataType) -> bool:
    return item.logical_type == "integer" and pa.types.is_decimal(built) and built.scale == 0


Way: TypeAlias = tuple[str, ...]
"""A column, or the way from it to what lies inside: names of fields, and `[]` for each item."""


def _insides(at: Compiler, item: Property) -> Iterator[Check]:
    schema, name = at.candidate.table.schema, item.name
    as_text = name in schema.names and values.family(schema.field(name).type) in ("text", "binary")
    if as_text and (item.properties or item.items):
        check = _check(at, "inside", f"what {name} is made of", column=name)
        yield replace(check, how=Settled("listed", "it is built as text, which is not looked into"))
    else:
        yield from _nested(at, (name,), item)


def _nested(at: Compiler, way: Way, item: Property) -> Iterator[Check]:
    """The checks on what lies inside of a column, as on the column itself."""
    for one in (*item.properties, *((item.items,) if item.items else ())):
        inner = (*way, one.name)
        yield from _inner_type(at, inner, one)
        yield from _presence(at, inner, one)
        yield from _options(at, inner, one)
        if one.unique:
            check = _inside(at, inner, "unique", f"{nested.name(inner)} is unique")
            reason = "could not be run: what lies inside of a column is not compared between rows"
            yield replace(check, how=Settled("error", reason))
        yield from _nested(at, inner, one)


def _inner_type(at: Compiler, way: Way, item: Property) -> Iterator[Check]:
    if item.logical_type:
        sentence = f"{nested.name(way)} is {_article(item.logical_type)}"
        check = _inside(at, way, "type", sentence, dimension="conformity")
        yield attempt(check, lambda: _fits(item, at.column(way[0], way[1:]).type))


def _inside(at: Compiler, way: Way, rule: str, sentence: str, *, dimension: str = "") -> Check:
    """A check of a column or inside of it, named by its way."""
    named = ".".join((*way, rule))
    return replace(_check(at, named, sentence, dimension=dimension), column=way[0])


def _presence(at: Compiler, way: Way, item: Property) -> Iterator[Check]:
    if item.required or item.primary_key:
        check = _inside(
            at, way, "required", f"{nested.name(way)} is filled", dimension="completeness"
        )
        yield attempt(
            check, lambda: Rows(conditions.null(at.column(way[0], way[1:])), way[:1], values=False)
        )


def _options(at: Compiler, way: Way, item: Property) -> Iterator[Check]:
    known: set[str] = set(_NOT_OF_VALUES)
    for rule, names in _GROUPS:
        known.update(names)
        given = {n: item.options[n] for n in names if item.options.get(n) is not None}
        if given:
            yield _allowed_values(at, way, rule, given)
    if item.valid_values:
        yield _allowed_values(at, way, "enum", {"validValues": item.valid_values})
    for option in (o for o in item.options if o not in known):
        check = _inside(at, way, option, f"{nested.name(way)}: {option} {item.options[option]}")
        yield replace(
            check, how=Settled("listed", f"{option} is not one that values are checked by")
        )


def _allowed_values(at: Compiler, way: Way, rule: str, options: Mapping[str, Any]) -> Check:
    said = ", ".join(f"{option} {sentences.value(value)}" for option, value in options.items())
    check = _inside(at, way, rule, f"{nested.name(way)}: {said}", dimension="conformity")
    made = attempt(check, lambda: _rows(at, way, options))
    if isinstance(made.how, Rows):
        return replace(made, sentence=f"{nested.name(way)} {made.how.condition.words}")
    return made


def _rows(at: Compiler, way: Way, options: Mapping[str, Any]) -> How:
    found = conditions.allowed(at.column(way[0], way[1:]), options)
    if found is None:
        return Settled("listed", "nothing that values of this type can be checked by")
    return Rows(found, way[:1], values=len(way) == 1)


def _keys(at: Compiler) -> Iterator[Check]:
    key = at.candidate.object.key
    if key:
        yield _unique(at, key, _check(at, "primary-key", sentences.unique(key)))
    for item in at.candidate.object.properties:
        if item.unique and key != (item.name,):
            yield _unique(
                at, (item.name,), _check(at, "unique", f"{item.name} is unique", column=item.name)
            )


def _unique(at: Compiler, columns: tuple[str, ...], check: Check) -> Check:
    check = replace(check, dimension="uniqueness")
    return attempt(check, lambda: Duplicates(tuple(require(at.candidate, c) for c in columns)))


def _relationship(at: Compiler, relationship: Relationship) -> Check:
    columns, to = relationship.columns, relationship.to_dataset
    target = f"{to}.{sentences.both(relationship.to_columns)}"
    check = _check(
        at,
        f"refers-to.{to}.{'-'.join(relationship.to_columns)}",
        f"{sentences.both(columns)} {'is' if len(columns) == 1 else 'are'} in {target}",
        column="-".join(columns),
        dimension="consistency",
    )
    check = replace(check, column=columns[0] if len(columns) == 1 else "")
    return attempt(check, lambda: _orphans(at, relationship))


def _orphans(at: Compiler, relationship: Relationship) -> Orphans:
    to = at.datasets.get(relationship.to_dataset)
    if to is None:
        raise QualityError(
            f"there is no dataset {relationship.to_dataset!r} to refer to",
            fix=f"one of {sentences.listed(at.datasets, limit=20)}",
        )
    if not relationship.columns or len(relationship.columns) != len(relationship.to_columns):
        raise QualityError(
            "a relationship has as many columns on one side as on the other, at least one"
        )
    for column in relationship.columns:
        require(at.candidate, column)
    for column in relationship.to_columns:
        require(to, column)
    return Orphans(relationship)
