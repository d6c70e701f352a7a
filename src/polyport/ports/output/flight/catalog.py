"""What there is, as Flight SQL has it: catalog = mesh, schema = product, table = dataset; only what the caller may see.

The schemas of the answers, names and nullability are those of the specification.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport.errors import NotFoundError, RetiredError
from polyport.model import LATEST
from polyport.ports.output.flight import messages as m
from polyport.ports.output.flight import sql_info, types
from polyport.ports.output.majors import ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from polyport.descriptor.types import Property, SchemaObject
    from polyport.ports.output import OutputContext
    from polyport.ports.output.flight.calls import Caller
    from polyport.ports.output.flight.protobuf import Message
    from polyport.ports.output.majors import Ending

TABLE = "TABLE"
NO_ACTION = 3


@dataclass(frozen=True, slots=True)
class Shown:
    """A dataset, as a caller sees it."""

    product: str
    name: str
    schema: pa.Schema
    promised: SchemaObject | None
    ending: Ending | None = None
    """That the port is deprecated, where it is."""

    @property
    def key(self) -> tuple[str, ...]:
        """Its primary key; empty where it has none, or where not all of it is seen."""
        key = self.promised.key if self.promised else ()
        return key if set(key) <= set(self.schema.names) else ()


@dataclass(frozen=True, slots=True)
class Catalog:
    """What is told of the products with a Flight port."""

    mesh: str
    contexts: Mapping[str, OutputContext]
    """By the names of their schemas: products, and their older majors as `films@1`."""

    def answer(self, caller: Caller, asked: Message) -> pa.Table:
        """The answer to one of `COMMANDS`."""
        names = schema(asked).names
        rows = [
            dict(zip(names, row, strict=True))
            for row in COMMANDS[type(asked)][0](self, caller, asked)
        ]
        return pa.Table.from_pylist(rows, schema(asked))

    def shown(self, caller: Caller, product: str | None = None) -> Iterator[Shown]:
        """The datasets that the caller sees, of all products or of one."""
        for name in sorted(self.contexts):
            if product is None or name == product:
                yield from _of(name, self.contexts[name], caller)


def _of(product: str, context: OutputContext, caller: Caller) -> Iterator[Shown]:
    ref = caller.snapshot if caller.product == product else LATEST
    try:
        view = context.open(caller.principal, ref, purpose=caller.purpose)
    except (NotFoundError, RetiredError):
        return  # nothing is published yet, or not as of then; or it is not served any more
    with view:
        for name in sorted(view.datasets):
            promised = context.objects.get(name)
            yield Shown(product, name, view.schema(name), promised, ending(context))


def _of_mesh(catalog: Catalog, asked: str | None) -> bool:
    return asked is None or asked == catalog.mesh


def _like(pattern: str | None) -> Callable[[str], bool]:
    """Whether a name fits a pattern of SQL's LIKE, with a backslash before what is meant as it is."""
    if pattern is None:
        return lambda _: True
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    meant = {"%": ".*", "_": "."}
    text = "".join(meant.get(p) or re.escape(p[-1]) for p in parts)
    return lambda name: re.fullmatch(text, name, re.DOTALL) is not None


# What is asked


def _catalogs(catalog: Catalog, _: Caller, __: Message) -> Iterator[tuple[Any, ...]]:
    yield (catalog.mesh,)


def _schemas(
    catalog: Catalog, caller: Caller, asked: m.CommandGetDbSchemas
) -> Iterator[tuple[Any, ...]]:
    fits = _like(asked.db_schema_filter_pattern)
    if _of_mesh(catalog, asked.catalog):
        for product in dict.fromkeys(shown.product for shown in catalog.shown(caller)):
            if fits(product):
                yield (catalog.mesh, product)


def _tables(
    catalog: Catalog, caller: Caller, asked: m.CommandGetTables
) -> Iterator[tuple[Any, ...]]:
    schema, table = _like(asked.db_schema_filter_pattern), _like(asked.table_name_filter_pattern)
    if not _of_mesh(catalog, asked.catalog) or (
        asked.table_types and TABLE not in asked.table_types
    ):
        return
    for shown in catalog.shown(caller):
        if schema(shown.product) and table(shown.name):
            row = (catalog.mesh, shown.product, shown.name, TABLE)
            yield (*row, _told(catalog, shown)) if asked.include_schema else row


def _told(catalog: Catalog, shown: Shown) -> bytes:
    """The columns of a dataset, with what the specification and the contract say of each."""
    promised = {p.name: p for p in shown.promised.properties} if shown.promised else {}
    fields = [
        field.with_nullable(not _required(promised.get(field.name), shown)).with_metadata(
            _metadata(catalog, shown, field, promised.get(field.name))
        )
        for field in shown.schema
    ]
    about = shown.promised.description if shown.promised else ""
    if shown.ending is not None:
        about = f"{about}\n{shown.ending.message}: {shown.ending.fix}".strip()
    whole = pa.schema(fields, {"ARROW:FLIGHT:SQL:REMARKS": about} if about else None)
    return bytes(whole.serialize())


def _required(promised: Property | None, shown: Shown) -> bool:
    return promised is not None and promised.name in shown.key


def _metadata(
    catalog: Catalog, shown: Shown, field: pa.Field, promised: Property | None
) -> dict[str, str]:
    found = {
        "CATALOG_NAME": catalog.mesh,
        "DB_SCHEMA_NAME": shown.product,
        "TABLE_NAME": shown.name,
        "TYPE_NAME": types.sql(field.type),
        "IS_AUTO_INCREMENT": "0",
        "IS_CASE_SENSITIVE": "1" if pa.types.is_string(field.type) else "0",
        "IS_READ_ONLY": "1",
        "IS_SEARCHABLE": "1",
    }
    if pa.types.is_decimal(field.type):
        found |= {"PRECISION": str(field.type.precision), "SCALE": str(field.type.scale)}
    if promised is not None and promised.description:
        found["REMARKS"] = promised.description
    return {f"ARROW:FLIGHT:SQL:{name}": value for name, value in found.items()}


def _table_types(_: Catalog, __: Caller, ___: Message) -> Iterator[tuple[Any, ...]]:
    yield (TABLE,)


def _primary(
    catalog: Catalog, caller: Caller, asked: m.CommandGetPrimaryKeys
) -> Iterator[tuple[Any, ...]]:
    if not _of_mesh(catalog, asked.catalog):
        return
    for shown in catalog.shown(caller, asked.db_schema):
        if shown.name == asked.table:
            for n, column in enumerate(shown.key, 1):
                yield (catalog.mesh, shown.product, shown.name, column, f"{shown.name}_pkey", n)


@dataclass(frozen=True, slots=True)
class _Side:
    """A table that keys are asked of; None: any."""

    catalog: str | None = None
    schema: str | None = None
    table: str | None = None

    def holds(self, mesh: str, product: str, table: str) -> bool:
        given = ((self.catalog, mesh), (self.schema, product), (self.table, table))
        return all(asked is None or asked == found for asked, found in given)


def _foreign(catalog: Catalog, caller: Caller, to: _Side, of: _Side) -> Iterator[tuple[Any, ...]]:
    """The foreign keys whose columns are all seen, on both sides."""
    shown = list(catalog.shown(caller))
    known = {(s.product, s.name): s for s in shown}
    for each in shown:
        for n, link in enumerate(each.promised.relationships if each.promised else (), 1):
            target = known.get((each.product, link.to_dataset))
            if (
                target is None
                or not set(link.columns) <= set(each.schema.names)
                or not set(link.to_columns) <= set(target.schema.names)
                or not to.holds(catalog.mesh, target.product, target.name)
                or not of.holds(catalog.mesh, each.product, each.name)
            ):
                continue
            for at, (own, other) in enumerate(zip(link.columns, link.to_columns, strict=True), 1):
                yield (
                    *(catalog.mesh, target.product, target.name, other),
                    *(catalog.mesh, each.product, each.name, own),
                    *(at, f"{each.name}_fkey{n}", f"{target.name}_pkey", NO_ACTION, NO_ACTION),
                )


def _exported(
    catalog: Catalog, caller: Caller, asked: m.CommandGetExportedKeys
) -> Iterable[tuple[Any, ...]]:
    found = _foreign(catalog, caller, _Side(asked.catalog, asked.db_schema, asked.table), _Side())
    return sorted(found, key=lambda row: (row[5], row[6], row[9], row[8]))


def _imported(
    catalog: Catalog, caller: Caller, asked: m.CommandGetImportedKeys
) -> Iterable[tuple[Any, ...]]:
    found = _foreign(catalog, caller, _Side(), _Side(asked.catalog, asked.db_schema, asked.table))
    return sorted(found, key=lambda row: (row[1], row[2], row[10], row[8]))


def _between(
    catalog: Catalog, caller: Caller, asked: m.CommandGetCrossReference
) -> Iterable[tuple[Any, ...]]:
    found = _foreign(
        catalog,
        caller,
        _Side(asked.pk_catalog, asked.pk_db_schema, asked.pk_table),
        _Side(asked.fk_catalog, asked.fk_db_schema, asked.fk_table),
    )
    return sorted(found, key=lambda row: (row[1], row[2], row[10], row[8]))


def _xdbc(_: Catalog, __: Caller, asked: m.CommandGetXdbcTypeInfo) -> Iterable[tuple[Any, ...]]:
    return types.xdbc(asked.data_type)


# The schemas of the answers


def _text(name: str, *, null: bool = False) -> pa.Field:
    return pa.field(name, pa.string(), null)


def _int(name: str, *, null: bool = False) -> pa.Field:
    return pa.field(name, pa.int32(), null)


def _binary(name: str) -> pa.Field:
    return pa.field(name, pa.binary(), nullable=False)


_FOREIGN = pa.schema(
    [
        _text("pk_catalog_name", null=True), _text("pk_db_schema_name", null=True),
        _text("pk_table_name"), _text("pk_column_name"),
        _text("fk_catalog_name", null=True), _text("fk_db_schema_name", null=True),
        _text("fk_table_name"), _text("fk_column_name"),
        _int("key_sequence"), _text("fk_key_name", null=True), _text("pk_key_name", null=True),
        pa.field("update_rule", pa.uint8(), nullable=False),
        pa.field("delete_rule", pa.uint8(), nullable=False),
    ]
)  # fmt: skip
_PRIMARY = pa.schema(
    [
        _text("catalog_name", null=True), _text("db_schema_name", null=True),
        _text("table_name"), _text("column_name"),
        _text("key_name", null=True), _int("key_sequence"),
    ]
)  # fmt: skip
_SCHEMAS = pa.schema([_text("catalog_name", null=True), _text("db_schema_name")])
_TABLES = pa.schema(
    [
        _text("catalog_name", null=True), _text("db_schema_name", null=True),
        _text("table_name"), _text("table_type"),
    ]
)  # fmt: skip
COMMANDS: Mapping[type[Message], tuple[Callable[..., Iterable[tuple[Any, ...]]], pa.Schema]] = {
    m.CommandGetCatalogs: (_catalogs, pa.schema([_text("catalog_name")])),
    m.CommandGetDbSchemas: (_schemas, _SCHEMAS),
    m.CommandGetTables: (_tables, _TABLES),
    m.CommandGetTableTypes: (_table_types, pa.schema([_text("table_type")])),
    m.CommandGetPrimaryKeys: (_primary, _PRIMARY),
    m.CommandGetExportedKeys: (_exported, _FOREIGN),
    m.CommandGetImportedKeys: (_imported, _FOREIGN),
    m.CommandGetCrossReference: (_between, _FOREIGN),
    m.CommandGetXdbcTypeInfo: (_xdbc, types.XDBC),
}
"""What can be asked, how it is answered, and the schema of the answer. Besides them: `CommandGetSqlInfo`."""


def table(catalog: Catalog, caller: Caller, asked: Message) -> pa.Table:
    """The answer to one of `COMMANDS`, or to `CommandGetSqlInfo`."""
    if isinstance(asked, m.CommandGetSqlInfo):
        return sql_info.answer(asked.info)
    return catalog.answer(caller, asked)


def schema(asked: Message) -> pa.Schema:
    """The schema of the answer to one of `COMMANDS`."""
    found = COMMANDS[type(asked)][1]
    if isinstance(asked, m.CommandGetTables) and asked.include_schema:
        return found.append(_binary("table_schema"))
    return found
