"""What there is, as Flight SQL tells it: to the letter of the specification, and no more than one may see."""

from __future__ import annotations

import adbc_driver_manager
import pyarrow as pa
import pytest

from polyport.ports.output.flight import messages as m
from polyport.ports.output.flight import types

from .asking import ask, headers


def told(schema):
    """A schema as the specification writes it down."""
    return [f"{f.name}: {f.type}{'' if f.nullable else ' not null'}" for f in schema]


FOREIGN = [
    "pk_catalog_name: string", "pk_db_schema_name: string", "pk_table_name: string not null",
    "pk_column_name: string not null", "fk_catalog_name: string", "fk_db_schema_name: string",
    "fk_table_name: string not null", "fk_column_name: string not null",
    "key_sequence: int32 not null", "fk_key_name: string", "pk_key_name: string",
    "update_rule: uint8 not null", "delete_rule: uint8 not null",
]  # fmt: skip
SPECIFIED = {
    m.CommandGetCatalogs(): ["catalog_name: string not null"],
    m.CommandGetDbSchemas(): ["catalog_name: string", "db_schema_name: string not null"],
    m.CommandGetTables(): [
        "catalog_name: string", "db_schema_name: string",
        "table_name: string not null", "table_type: string not null",
    ],
    m.CommandGetTables(include_schema=True): [
        "catalog_name: string", "db_schema_name: string", "table_name: string not null",
        "table_type: string not null", "table_schema: binary not null",
    ],
    m.CommandGetTableTypes(): ["table_type: string not null"],
    m.CommandGetPrimaryKeys(table="films"): [
        "catalog_name: string", "db_schema_name: string", "table_name: string not null",
        "column_name: string not null", "key_name: string", "key_sequence: int32 not null",
    ],
    m.CommandGetExportedKeys(table="films"): FOREIGN,
    m.CommandGetImportedKeys(table="films"): FOREIGN,
    m.CommandGetCrossReference(pk_table="films", fk_table="films"): FOREIGN,
    m.CommandGetXdbcTypeInfo(): [
        "type_name: string not null", "data_type: int32 not null", "column_size: int32",
        "literal_prefix: string", "literal_suffix: string",
        "create_params: list<item: string not null>", "nullable: int32 not null",
        "case_sensitive: bool not null", "searchable: int32 not null", "unsigned_attribute: bool",
        "fixed_prec_scale: bool not null", "auto_increment: bool", "local_type_name: string",
        "minimum_scale: int32", "maximum_scale: int32", "sql_data_type: int32 not null",
        "datetime_subcode: int32", "num_prec_radix: int32", "interval_precision: int32",
    ],
    m.CommandGetSqlInfo(): [
        "info_name: uint32 not null",
        (
            "value: dense_union<string_value: string=0, bool_value: bool=1, bigint_value: int64=2,"
            " int32_bitmask: int32=3, string_list: list<item: string>=4,"
            " int32_to_int32_list_map: map<int32, list<item: int32>>=5> not null"
        ),
    ],
}  # fmt: skip


@pytest.mark.parametrize("asked", SPECIFIED, ids=repr)
def test_the_schemas_are_those_of_the_specification(raw, asked):
    assert told(ask(raw, asked).schema) == SPECIFIED[asked]


def rows(client, asked, options=None):
    return [tuple(row.values()) for row in ask(client, asked, options).to_pylist()]


def test_the_mesh_its_products_and_their_datasets(raw):
    assert rows(raw, m.CommandGetCatalogs()) == [("mesh",)]
    assert rows(raw, m.CommandGetDbSchemas()) == [("mesh", "films"), ("mesh", "more-films")]
    assert rows(raw, m.CommandGetTables()) == [
        ("mesh", "films", "films", "TABLE"),
        ("mesh", "more-films", "films", "TABLE"),
        ("mesh", "more-films", "studios", "TABLE"),
    ]
    assert rows(raw, m.CommandGetTableTypes()) == [("TABLE",)]


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"catalog": "mesh"}, 3),
        ({"catalog": "other"}, 0),
        ({"catalog": ""}, 0),
        ({"db_schema_filter_pattern": "films"}, 1),
        ({"db_schema_filter_pattern": "%films"}, 3),
        ({"db_schema_filter_pattern": "f_lms"}, 1),
        ({"db_schema_filter_pattern": "f\\_lms"}, 0),
        ({"db_schema_filter_pattern": "more.films"}, 0),
        ({"db_schema_filter_pattern": ""}, 0),
        ({"table_name_filter_pattern": "s%"}, 1),
        ({"table_name_filter_pattern": "STUDIOS"}, 0),
        ({"table_name_filter_pattern": "\\"}, 0),
        ({"table_types": ("VIEW", "TABLE")}, 3),
        ({"table_types": ("VIEW",)}, 0),
    ],
)
def test_filters(raw, asked, count):
    assert len(rows(raw, m.CommandGetTables(**asked))) == count


def schema_of(client, product, dataset, options=None):
    asked = m.CommandGetTables(
        db_schema_filter_pattern=product, table_name_filter_pattern=dataset, include_schema=True
    )
    (row,) = ask(client, asked, options).to_pylist()
    return pa.ipc.read_schema(pa.py_buffer(row["table_schema"]))


def test_columns_with_what_the_contract_says_of_them(raw):
    schema = schema_of(raw, "more-films", "films")
    assert schema.metadata == {b"ARROW:FLIGHT:SQL:REMARKS": b"More of them."}
    said = {
        f.name: {k.decode().rpartition(":")[2]: v.decode() for k, v in f.metadata.items()}
        for f in schema
    }
    assert said["studio"] == {
        "CATALOG_NAME": "mesh", "DB_SCHEMA_NAME": "more-films", "TABLE_NAME": "films",
        "TYPE_NAME": "VARCHAR", "IS_AUTO_INCREMENT": "0", "IS_CASE_SENSITIVE": "1",
        "IS_READ_ONLY": "1", "IS_SEARCHABLE": "1", "REMARKS": "Who made it.",
    }  # fmt: skip
    assert (said["cost"]["PRECISION"], said["cost"]["SCALE"]) == ("18", "2")
    assert {f.name: f.nullable for f in schema if f.name in ("id", "title")} == {
        "id": False, "title": True,
    }  # fmt: skip


def test_keys(raw):
    assert rows(raw, m.CommandGetPrimaryKeys(table="studios")) == [
        ("mesh", "more-films", "studios", "name", "studios_pkey", 1)
    ]
    assert len(rows(raw, m.CommandGetPrimaryKeys(table="films"))) == 2
    assert len(rows(raw, m.CommandGetPrimaryKeys(db_schema="films", table="films"))) == 1
    assert rows(raw, m.CommandGetPrimaryKeys(catalog="other", table="films")) == []
    link = [
        ("mesh", "more-films", "studios", "name", "mesh", "more-films", "films", "studio",
         1, "films_fkey1", "studios_pkey", 3, 3)
    ]  # fmt: skip
    assert rows(raw, m.CommandGetExportedKeys(table="studios")) == link
    assert rows(raw, m.CommandGetExportedKeys(table="films")) == []
    assert rows(raw, m.CommandGetImportedKeys(db_schema="more-films", table="films")) == link
    assert rows(raw, m.CommandGetImportedKeys(db_schema="films", table="films")) == []
    both = m.CommandGetCrossReference(pk_table="studios", fk_table="films")
    assert rows(raw, both) == link
    assert rows(raw, m.CommandGetCrossReference(pk_table="films", fk_table="studios")) == []


def test_a_key_of_which_not_all_is_seen_is_not_told(raw):
    partner = headers(polyport_role="partner; studio=Fox")
    assert schema_of(raw, "more-films", "films", partner).names == ["id", "title", "cost"]
    assert rows(raw, m.CommandGetImportedKeys(table="films"), partner) == []
    assert rows(raw, m.CommandGetPrimaryKeys(table="films"), partner)


def test_as_of_another_snapshot(raw):
    options = headers(polyport_product="films", polyport_snapshot="1")
    assert schema_of(raw, "films", "films", options).names[0] == "id"
    gone = headers(polyport_product="films", polyport_snapshot="77")
    assert rows(raw, m.CommandGetDbSchemas(), gone) == [("mesh", "more-films")]


def test_what_the_server_can_do(raw):
    found = {r["info_name"]: r["value"] for r in ask(raw, m.CommandGetSqlInfo()).to_pylist()}
    assert (found[0], found[3], found[4], found[5], found[8], found[9]) == (
        "Polyport", True, True, False, 1, True,
    )  # fmt: skip
    asked = ask(raw, m.CommandGetSqlInfo(info=(9, 0, 9))).to_pylist()
    assert [(r["info_name"], r["value"]) for r in asked] == [(9, True), (0, "Polyport")]
    with pytest.raises(pa.ArrowInvalid, match=r"nothing is told under \[10001\]"):
        ask(raw, m.CommandGetSqlInfo(info=(10_001,)))


@pytest.mark.parametrize("flag", [515, 516, 520, 521, 523, 539])
def test_what_is_said_of_its_sql_is_so(raw, flag):
    sql = {
        515: "SELECT id AS n FROM films",
        516: "SELECT 1 WHERE (NULL || 'x') IS NULL",
        520: "SELECT id FROM films ORDER BY id + 1",
        521: "SELECT title FROM films ORDER BY cost",
        523: r"SELECT 1 FROM films WHERE title NOT LIKE 'a!%' ESCAPE '!'",
        539: "SELECT id FROM films f WHERE EXISTS (SELECT 1 FROM films g WHERE g.id = f.id + 1)",
    }[flag]
    assert ask(raw, m.CommandGetSqlInfo(info=(flag,))).to_pylist()[0]["value"] is True
    options = headers(polyport_product="films")
    assert ask(raw, m.CommandStatementQuery(query=sql), options).num_rows > 0


def test_the_types_that_columns_have(raw):
    found = ask(raw, m.CommandGetXdbcTypeInfo()).to_pylist()
    assert [r["data_type"] for r in found] == sorted(r["data_type"] for r in found)
    assert {r["type_name"] for r in found} <= {*types.ARROW, "DECIMAL"}
    texts = ask(raw, m.CommandGetXdbcTypeInfo(data_type=12)).to_pylist()
    assert [(r["type_name"], r["literal_prefix"]) for r in texts] == [
        ("UUID", "'"),
        ("VARCHAR", "'"),
    ]
    assert ask(raw, m.CommandGetXdbcTypeInfo(data_type=99)).num_rows == 0


@pytest.mark.parametrize("name", types.ARROW)
def test_types_come_back(name):
    assert types.arrow(types.sql(types.arrow(name))) == types.arrow(name)
    assert types.arrow(f"{name}[]") == pa.list_(types.arrow(name))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pa.decimal128(9, 3), "DECIMAL(9,3)"),
        (pa.list_(pa.int8()), "TINYINT[]"),
        (
            pa.struct({"a": pa.int64(), "b": pa.list_(pa.string())}),
            'STRUCT("a" BIGINT, "b" VARCHAR[])',
        ),
        (pa.map_(pa.string(), pa.float64()), "MAP(VARCHAR, DOUBLE)"),
        (pa.dictionary(pa.int8(), pa.string()), "VARCHAR"),
        (pa.timestamp("us", "UTC"), "TIMESTAMP WITH TIME ZONE"),
        (pa.timestamp("ns"), "TIMESTAMP_NS"),
        (pa.uint8(), "UTINYINT"),
    ],
)
def test_names_of_types(kind, name):
    assert types.sql(kind) == name


def test_adbc_tells_it(connect):
    connection = connect(None)
    (mesh,) = connection.adbc_get_objects(depth="all").read_all().to_pylist()
    found = {
        (s["db_schema_name"], t["table_name"]): [c["column_name"] for c in t["table_columns"]]
        for s in mesh["catalog_db_schemas"]
        for t in s["db_schema_tables"]
    }
    assert found == {
        ("films", "films"): ["id", "title", "released", "studio", "cost"],
        ("more-films", "films"): ["id", "title", "released", "studio", "cost"],
        ("more-films", "studios"): ["name"],
    }
    info = connection.adbc_get_info()
    assert (info["vendor_name"], info["vendor_arrow_version"]) == ("Polyport", pa.__version__)
    assert connection.adbc_get_table_types() == ["TABLE"]
    schema = connection.adbc_get_table_schema("studios", db_schema_filter="more-films")
    assert (schema.names, schema.field("name").nullable) == (["name"], False)


def test_what_adbc_s_driver_does_not_ask_for(connect):
    """As the page says."""
    connection = connect(None)
    for asked in (connection.adbc_get_statistics, connection.adbc_get_statistic_names):
        with pytest.raises(
            adbc_driver_manager.NotSupportedError, match=r"FlightSQL.*not supported"
        ):
            asked()
    (mesh,) = connection.adbc_get_objects(depth="all").read_all().to_pylist()
    tables = [t for s in mesh["catalog_db_schemas"] for t in s["db_schema_tables"]]
    assert [t["table_constraints"] for t in tables] == [[]] * 3
    with connect().cursor() as cursor:
        cursor.execute("SELECT column_name, count FROM (SUMMARIZE films) WHERE column_name = 'id'")
        assert cursor.fetchall() == [("id", 5)]
