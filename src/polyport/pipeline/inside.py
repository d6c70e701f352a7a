"""What lies inside of a column becomes what the contract promises there: its fields, in its order, of its types.

A promised field that nothing came with is null, so that documents whose fields vary can be published; a field that is
not promised is left out, as a column is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from polyport.expression import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from polyport.descriptor.types import Property

_DEFAULTS = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "time": "TIME",
    "object": "MAP(VARCHAR, VARCHAR)",
    "map": "MAP(VARCHAR, VARCHAR)",
    "array": "VARCHAR[]",
    "vector": "DOUBLE[]",
}
"""The SQL type of a logical type, where nothing came and nothing more is said."""
_LEAVES = ("string", "integer", "number", "boolean", "date", "timestamp", "time")

_is = pa.types


@dataclass(frozen=True, slots=True)
class Casting:
    """A value inside of a column that is cast."""

    name: str
    """Where it is: `address.zip`, `lines[].quantity`."""
    sql_type: str
    fails: str
    """A condition on the table: true for a row in which a value cannot be cast."""


@dataclass(frozen=True, slots=True)
class Types:
    """The types that the contract names."""

    sql: Callable[[Property, str], str]
    """The engine's word for a property's `physicalType`; the text says where it stands."""
    arrow: Mapping[str, pa.DataType]
    """What each of them is."""


@dataclass(slots=True)
class Inside:
    """The inside of one column, put in shape."""

    types: Types
    castings: list[Casting] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    """What is there and not promised."""

    def shaped(self, item: Property, kind: pa.DataType, column: str) -> str:
        """SQL that makes `item` of the source's `column` of type `kind`; its name alone where it is right as it is."""
        return self._value(item, kind, _At(quote(column), item.name))

    def _value(self, item: Property, kind: pa.DataType, at: _At) -> str:
        if at.deep and (item.physical_type or item.logical_type in _LEAVES):
            return self._leaf(item, kind, at)
        if item.properties and _is.is_struct(kind):
            return self._struct(item, kind, at)
        if item.properties and _is.is_map(
            kind
        ):  # what an object is read as that is empty, or has very many fields
            return self._map(item, kind, at)
        if item.items and _is_list(kind):
            return self._list(item.items, kind, at)
        if (item.properties or item.items) and (_is_text(kind) or _is.is_null(kind)):
            return self._cast(self._type(item, at.name), None, at)
        return at.sql

    def _struct(self, item: Property, kind: pa.StructType, at: _At) -> str:
        held = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
        folded = {name.casefold(): name for name in reversed(held)}
        made, found = {}, {}
        for one in item.properties:
            name = one.name if one.name in held else folded.get(one.name.casefold(), "")
            if name:
                found[one.name] = name
                made[one.name] = self._value(one, held[name], at.field(name, one.name))
            else:
                made[one.name] = f"CAST(NULL AS {self._type(one, f'{at.name}.{one.name}')})"
        self.extra += [f"{at.name}.{name}" for name in held if name not in found.values()]
        as_it_is = list(made) == list(held) == list(found.values())
        if as_it_is and all(made[n] == at.field(n, n).sql for n in held):
            return at.sql
        return _packed(made, at)

    def _map(self, item: Property, kind: pa.MapType, at: _At) -> str:
        return _packed(
            {p.name: self._value(p, kind.item_type, at.entry(p.name)) for p in item.properties}, at
        )

    def _list(self, item: Property, kind: pa.ListType, at: _At) -> str:
        inner = at.item()
        made = self._value(item, kind.value_type, inner)
        return (
            at.sql if made == inner.sql else f"list_transform({at.sql}, lambda {inner.sql}: {made})"
        )

    def _leaf(self, item: Property, kind: pa.DataType, at: _At) -> str:
        """Text where something else came is made text, and text that should be something else that."""
        if item.physical_type:
            return self._cast(self.types.sql(item, at.name), kind, at)
        wanted = _DEFAULTS[item.logical_type]
        if wanted == "VARCHAR" and at.json and _is_text(kind):
            return f"json_extract_string(to_json({at.sql}), '$')"
        wrong = wanted != "VARCHAR" if _is_text(kind) else wanted == "VARCHAR"
        if _is.is_null(kind) or (wrong and not _is_binary(kind)):
            return self._cast(wanted, None, at)
        return at.sql

    def _cast(self, sql_type: str, kind: pa.DataType | None, at: _At) -> str:
        if kind is not None and self.types.arrow[sql_type].equals(kind):
            return at.sql
        cannot = f"{at.sql} IS NOT NULL AND TRY_CAST({at.sql} AS {sql_type}) IS NULL"
        self.castings.append(Casting(at.name, sql_type, at.around(cannot)))
        return f"CAST({at.sql} AS {sql_type})"

    def _type(self, item: Property, name: str) -> str:
        """The SQL type that the contract gives `item`."""
        if item.physical_type:
            return self.types.sql(item, name)
        if item.properties:
            inner = (
                f"{quote(p.name)} {self._type(p, f'{name}.{p.name}')}" for p in item.properties
            )
            return f"STRUCT({', '.join(inner)})"
        if item.items:
            return f"{self._type(item.items, f'{name}[]')}[]"
        return _DEFAULTS.get(item.logical_type, "VARCHAR")


@dataclass(frozen=True, slots=True)
class _At:
    """A place in a column."""

    sql: str
    name: str
    deep: bool = False
    """Whether it lies inside of the column."""
    before: str = ""
    after: str = ""
    """What stands around a condition on it: true for a row if it holds for one of its values."""
    json: bool = False
    """Whether a text there may be JSON, in which a string has quotes: the values of a map that was a document."""

    def around(self, condition: str) -> str:
        return f"{self.before}{condition}{self.after}"

    def field(self, name: str, called: str) -> _At:
        text = name.replace("'", "''")
        sql = f"struct_extract({self.sql}, '{text}')"
        return _At(sql, f"{self.name}.{called}", True, self.before, self.after)

    def entry(self, name: str) -> _At:
        text = name.replace("'", "''")
        sql = f"{self.sql}['{text}']"
        return _At(sql, f"{self.name}.{name}", True, self.before, self.after, json=True)

    def item(self) -> _At:
        item = f"item{self.before.count('lambda')}"
        before = f"{self.before}len(list_filter({self.sql}, lambda {item}: "
        return _At(item, f"{self.name}[]", True, before, f")) > 0{self.after}")


def nested_types(item: Property) -> Iterator[Property]:
    """The properties inside of `item` that have a `physicalType`, with what they lie in."""
    for one in (*item.properties, *((item.items,) if item.items else ())):
        if one.physical_type:
            yield one
        yield from nested_types(one)


def _is_list(kind: pa.DataType) -> bool:
    return bool(_is.is_list(kind) or _is.is_large_list(kind) or _is.is_fixed_size_list(kind))


def _packed(made: Mapping[str, str], at: _At) -> str:
    packed = ", ".join(f"{quote(name)} := {sql}" for name, sql in made.items())
    return f"CASE WHEN {at.sql} IS NOT NULL THEN struct_pack({packed}) END"


def _is_text(kind: pa.DataType) -> bool:
    if _is.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(_is.is_string(kind) or _is.is_large_string(kind) or _is.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(_is.is_binary(kind) or _is.is_large_binary(kind))
