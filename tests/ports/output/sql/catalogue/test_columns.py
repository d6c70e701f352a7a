from __future__ import annotations

import pytest
from tests.ports.output.sql.catalogue.relay import rows

from polyport.descriptor.types import SchemaObject
from polyport.ports.output.sql import types
from polyport.ports.output.sql.catalogue import Table
from polyport.ports.output.sql.catalogue.columns import family, postgres_type

ENGINE = [
    "BOOLEAN", "TINYINT", "SMALLINT", "UTINYINT", "USMALLINT", "INTEGER", "UINTEGER", "BIGINT", "UBIGINT", "HUGEINT",
    "UHUGEINT", "BIGNUM", "FLOAT", "DOUBLE", "VARCHAR", "BLOB", "DATE", "TIME", "TIME_NS", "TIME WITH TIME ZONE",
    "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE", "INTERVAL", "UUID",
    "JSON", "BIT", "DECIMAL(18,2)", "DECIMAL(38,0)", "DECIMAL(5,5)", "INTEGER[]", "VARCHAR[3]", "DECIMAL(9,3)[]", "DATE[][]",
    "STRUCT(a INTEGER)", "STRUCT(a INTEGER)[]", "MAP(VARCHAR, INTEGER)", "UNION(a INTEGER)", "ENUM('a', 'b')", "OTHER",
]  # fmt: skip


def test_the_catalogue_names_the_types_that_rows_are_sent_in(postgres):
    columns = {f"c{at}": name for at, name in enumerate(ENGINE)}
    session = postgres.open("mesh", "alice", [Table("p", SchemaObject("all_types", ()), columns)])
    try:
        found = rows(
            session.simple(
                "select atttypid, atttypmod from pg_attribute where attrelid = 'all_types'::regclass and attnum > 0 order by attnum"
            )
        )
    finally:
        session.close()
    sent = [types.pg_type(name) for name in ENGINE]
    assert found == [(str(t.oid), str(t.modifier)) for t in sent]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("INTEGER", "number"),
        ("DECIMAL(9,0)", "number"),
        ("DOUBLE", "float"),
        ("VARCHAR", "text"),
        ("JSON", ""),
        ("JSON[]", ""),
        ("DATE[]", "date[]"),
    ],
)
def test_keys_refer_within_a_family(name, kind):
    assert family(postgres_type(name)) == kind
