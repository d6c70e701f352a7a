"""What an input port expects of its source, as its contract says, against what came: all differences in one error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from polyport.errors import ConfigurationError, InputError
from polyport.ports.input._settings import listed, suggest, where_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from polyport.descriptor.types import Property, SchemaObject
    from polyport.ports.input import InputContext


@dataclass(frozen=True, slots=True)
class Came:
    """What came in one column."""

    type: pa.DataType
    nulls: int = 0
    first_null: str = ""
    """Where the first missing value is: `warner.xlsx, sheet Costs, row 17`."""
    misfit: str = ""
    """The first value that is not of the expected type, and where it is; empty where all are."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """What came in all."""

    columns: Mapping[str, Came]
    rows: int = 0
    source: str = ""
    """The file or table it came from, where there is one."""
    order: tuple[str, ...] = field(default=())


def expected(context: InputContext) -> SchemaObject | None:
    """The contract's table that the port's rows should look like; None where no contract is held.

    The setting `object` names it; else it is the one called as the port, or the only one.

    Raises:
        ConfigurationError: The contract has several tables and none of them is named.
    """
    contract = context.contract
    if contract is None or not contract.objects:
        return None
    asked = str(context.spec.settings.get("object") or context.spec.name)
    found = contract.object(asked)
    if found is None and len(contract.objects) == 1 and "object" not in context.spec.settings:
        return contract.objects[0]
    if found is None:
        names = [o.name for o in contract.objects]
        raise ConfigurationError(
            f"contract {contract.id} has no object {asked!r}",
            where=where_of(context.spec.name),
            fix=f"name one with `object:`; {suggest(asked, names)}",
        )
    return found


def check(wanted: SchemaObject | None, came: Arrived, port: str) -> None:
    """Nothing, if what came is what was wanted.

    Raises:
        InputError: It is not; every difference is named.
    """
    if wanted is None:
        return
    found = [_difference(p, came) for p in wanted.properties]
    differences = [text for text in found if text]
    if not differences:
        return
    head = f"{came.source or 'what came'} is not what contract object {wanted.name!r} expects"
    raise InputError(
        f"{head}: {'; '.join(differences)}",
        where=where_of(port),
        fix="ask whoever owns the source, rename columns with `columns:` where the port has it, "
        "or change the contract",
    )


def check_schema(wanted: SchemaObject | None, schema: pa.Schema, port: str) -> None:
    """`check` where only columns and types are known.

    Raises:
        InputError: As `check`.
    """
    check(wanted, Arrived({f.name: Came(f.type) for f in schema}), port)


def text_columns(wanted: SchemaObject | None) -> set[str]:
    """The columns that the contract says are text: numbers in them stay as they are written (007)."""
    return {p.name for p in wanted.properties if p.logical_type == "string"} if wanted else set()


def fits(logical_type: str, kind: pa.DataType) -> bool:
    """True if values of `kind` may stand where the contract says `logical_type`."""
    if pa.types.is_null(kind) or logical_type not in _KINDS:
        return True
    return any(test(kind) for test in _KINDS[logical_type])


def kind_name(kind: pa.DataType) -> str:
    """The ODCS logical type of an Arrow type: how an error calls it."""
    for name in ("string", "boolean", "integer", "number", "date", "timestamp", "time"):
        if fits(name, kind):
            return name
    return "array" if fits("array", kind) else "object" if fits("object", kind) else str(kind)


def _any_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _any_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or (pa.types.is_dictionary(kind) and _any_text(kind.value_type))
    )


_KINDS: Mapping[str, tuple[Callable[[pa.DataType], bool], ...]] = {
    "string": (_any_text,),
    "date": (pa.types.is_date,),
    "timestamp": (pa.types.is_timestamp, pa.types.is_date),
    "time": (pa.types.is_time,),
    "number": (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
    "integer": (pa.types.is_integer,),
    "boolean": (pa.types.is_boolean,),
    "object": (pa.types.is_struct, pa.types.is_map),
    "map": (pa.types.is_map, pa.types.is_struct),
    "array": (_any_list,),
    "vector": (_any_list,),
}


def _difference(wanted: Property, came: Arrived) -> str:
    named = f"expected column `{wanted.name}`"
    kind = f" ({wanted.logical_type})" if wanted.logical_type else ""
    found = came.columns.get(wanted.name)
    if found is None:
        return f"{named}{kind}, came {_instead(wanted.name, came)}"
    if not fits(wanted.logical_type, found.type) or found.misfit:
        bad = f": {found.misfit}" if found.misfit else ""
        return f"{named}{kind}, came `{wanted.name}` ({kind_name(found.type)}{bad})"
    if (wanted.required or wanted.primary_key) and found.nulls:
        first = f", first in {found.first_null}" if found.first_null else ""
        rows = f"{found.nulls:,} of {came.rows:,} rows" if came.rows else f"{found.nulls:,} rows"
        return f"column `{wanted.name}` is required, and {rows} have none{first}"
    return ""


def _instead(name: str, came: Arrived) -> str:
    hint = suggest(name, came.columns)
    if not hint.startswith("did you mean"):
        return f"none; there are {listed(came.columns) or 'no columns'}"
    near = hint.split("`")[1]
    return f"`{near}` ({kind_name(came.columns[near].type)}); {hint}"
