"""Clients that know nothing of Polyport, unmodified: each as its own documentation has it."""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from tests.clients import node_modules, old_duckdb, program, run

from polyport.server import create_app
from polyport.testing.asgi import Client

JDBC = Path("/usr/share/java/postgresql.jar")
ODBC = "psqlodbcw.so"


def test_psql_describes_and_copies(served, tmp_path):
    told = run(program("psql"), "-X", served.dsn(), "-c", r"\d+ films", "-c", r"\dt")
    for line in (
        "id       | bigint",
        "not null",
        "The number.",
        '"films_pkey" PRIMARY KEY',
        "people | table",
    ):
        assert line in told
    target = tmp_path / "films.csv"
    run(
        "psql",
        "-X",
        served.dsn(),
        "-c",
        rf"\copy (SELECT id, title FROM films ORDER BY id LIMIT 7) TO '{target}' csv header",
    )
    assert (
        target.read_text()
        == "id,title\n" + "".join(f"{n},film {n}\n" for n in range(1, 7)) + "7,\n"
    )


def test_the_port_s_own_line_runs_when_pasted(served):
    from polyport.ports.output.sql import SqlPort

    program("psql")
    port = next(p for p in served.product.ports() if isinstance(p, SqlPort))
    line = port.client_line(f"postgresql://127.0.0.1:{served.port}", "films")
    ran = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=300)
    assert "(3 rows)" in ran.stdout, ran.stderr


@pytest.mark.parametrize(
    ("base", "address"),
    [
        ("postgresql://127.0.0.1:8432", "postgresql://owner@127.0.0.1:8432/cinema"),
        ("postgresql://ann@h:8432", "postgresql://ann@h:8432/cinema"),
        ("postgresql+tls://a%40b@h:8432", "postgresql://a%40b@h:8432/cinema?sslmode=require"),
    ],
)
def test_lines_name_who_asks_and_ask_for_tls(served, base, address):
    from polyport.ports.output.sql import SqlPort

    port = next(p for p in served.product.ports() if isinstance(p, SqlPort))
    said = [port.client_line(base, "films"), *port.snippets(base, "films").values()]
    assert all(shlex.quote(address).strip("'") in line for line in said)
    assert psycopg.conninfo.conninfo_to_dict(address)["dbname"] == "cinema"


def test_its_address_in_the_metadata_is_one_that_clients_take(served):
    said = "postgresql+tls://127.0.0.1:8432"
    client = Client(create_app([served.product], addresses={"sql": said}))
    (told,) = (
        p
        for p in client.get("/products/cinema/metadata").json()["ports"]["output"]
        if p["name"] == "sql"
    )
    address = "postgresql://127.0.0.1:8432/cinema?sslmode=require"
    assert told["address"] == address
    assert psycopg.conninfo.conninfo_to_dict(address)["sslmode"] == "require"
    headers = {"accept": "application/ld+json"}
    found = client.get("/products/cinema/metadata", headers=headers).text
    assert address in found
    assert "+tls" not in found


@pytest.mark.parametrize("name", ["psycopg", "adbc"])
def test_the_port_s_own_snippets_run_when_pasted(served, name, capsys):
    from polyport.ports.output.sql import SqlPort

    pytest.importorskip({"psycopg": "psycopg", "adbc": "adbc_driver_postgresql"}[name])
    port = next(p for p in served.product.ports() if isinstance(p, SqlPort))
    exec(port.snippets(f"postgresql://127.0.0.1:{served.port}", "films")[name], {})
    assert "film" in capsys.readouterr().out


def test_asyncpg(served):
    asyncpg = pytest.importorskip("asyncpg", reason="asyncpg is not installed")

    async def talk():
        client = await asyncpg.connect(
            host="127.0.0.1", port=served.port, user="owner", database="cinema"
        )
        try:
            sql = "SELECT * FROM films WHERE year > $1 AND released >= $2 AND studio = $3 ORDER BY id LIMIT 2"
            found = await client.fetch(sql, 1980, date(1990, 1, 1), "MGM")
            assert found[0]["cost"] == Decimal(found[0]["id"] * 37) / 100
            assert found[0]["updated"].tzinfo is not None
            async with client.transaction():
                ids = [
                    row["id"]
                    async for row in client.cursor("SELECT id FROM films ORDER BY id", prefetch=700)
                ]
            assert ids == list(range(1, 5001))
            lists = await client.fetchrow(
                "SELECT [1, NULL, 3] AS a, ['x', 'y z'] AS b, {'k': 1} AS c"
            )
            assert (lists["a"], lists["b"], json.loads(lists["c"])) == (
                [1, None, 3],
                ["x", "y z"],
                {"k": 1},
            )
            with pytest.raises(asyncpg.exceptions.UndefinedTableError):
                await client.fetch("SELECT * FROM nothing")
            await client.reset()
        finally:
            await client.close()

    asyncio.run(asyncio.wait_for(talk(), 120))


@pytest.fixture
def engine(served):
    sa = pytest.importorskip("sqlalchemy")
    pytest.importorskip("psycopg")
    found = sa.create_engine(f"postgresql+psycopg://owner@127.0.0.1:{served.port}/cinema")
    yield found
    found.dispose()


def test_sqlalchemy_reflects_and_asks(engine):
    sa = pytest.importorskip("sqlalchemy")
    seen = sa.inspect(engine)
    assert seen.get_pk_constraint("films", schema="cinema")["constrained_columns"] == ["id"]
    table = sa.Table("films", sa.MetaData(), autoload_with=engine, schema="cinema")
    assert isinstance(table.c.cost.type, sa.NUMERIC)
    with engine.connect() as client:
        query = sa.select(table.c.studio, sa.func.count()).where(
            table.c.released >= date(1990, 1, 1)
        )
        found = client.execute(query.group_by(table.c.studio).order_by(table.c.studio)).all()
    assert [row[0] for row in found] == ["Fox", "MGM", "Sony"]


def test_pandas(engine):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    found = pandas.read_sql("SELECT id, rating FROM films ORDER BY id LIMIT 3", engine)
    assert found["rating"].tolist() == [1 / 7, 2 / 7, 3 / 7]


def test_polars(engine):
    polars = pytest.importorskip("polars", reason="polars is not installed")
    found = polars.read_database(
        "SELECT studio, count(*) AS n FROM films GROUP BY 1 ORDER BY 1", engine
    )
    assert found["n"].sum() == 5000


def test_adbc(served):
    adbc = pytest.importorskip(
        "adbc_driver_postgresql.dbapi", reason="adbc-driver-postgresql is not installed"
    )
    with (
        adbc.connect(f"postgresql://owner@127.0.0.1:{served.port}/cinema") as client,
        client.cursor() as cursor,
    ):
        cursor.execute(
            "SELECT id, title, year, rating, released, updated, seen FROM films ORDER BY id"
        )
        found = cursor.fetch_arrow_table()
    assert found.num_rows == 5000
    assert found.slice(0, 1).to_pylist()[0] == {
        "id": 1, "title": "film 1", "year": 1971, "rating": 1 / 7, "released": date(1990, 1, 2),
        "updated": datetime(2020, 1, 1, 0, 0, 1, 1, UTC), "seen": False,
    }  # fmt: skip


NODE = """
const { Client, Pool } = require('pg');
const Cursor = require('pg-cursor');
const place = { host: '127.0.0.1', port: Number(process.env.PORT), user: 'owner', database: 'cinema' };
(async () => {
  const client = new Client(place);
  await client.connect();
  const say = (name, value) => console.log(JSON.stringify([name, value]));
  const found = await client.query('SELECT * FROM films WHERE id = $1 AND released >= $2', [1, '1990-01-01']);
  const day = (d) => (d instanceof Date ? d.toISOString() : d).slice(0, 10);  // newer pg-types leave it a text
  say('row', { ...found.rows[0], released: day(found.rows[0].released) });
  say('types', found.fields.map((f) => f.dataTypeID));
  const kept = { name: 'kept', text: 'SELECT count(*)::int AS n FROM films WHERE studio = $1', values: ['Fox'] };
  for (let turn = 0; turn < 2; turn++) say('kept', (await client.query(kept)).rows[0].n);
  say('lists', (await client.query("SELECT [1, NULL, 3] AS a, ['x', 'y z'] AS b, {'k': 1} AS c")).rows[0]);
  const cursor = client.query(new Cursor('SELECT id FROM films ORDER BY id'));
  let rows = 0;
  for (let read = await cursor.read(700); read.length; read = await cursor.read(700)) rows += read.length;
  say('cursor', rows);
  await cursor.close();
  await client.query('SELECT * FROM nothing').catch((e) => say('error', e.code));
  say('tables', (await client.query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'cinema' ORDER BY 1")).rows);
  await client.end();
  const pool = new Pool({ ...place, max: 3 });
  const many = await Promise.all([1, 2, 3, 4, 5].map((n) => pool.query('SELECT title FROM films WHERE id = $1', [n])));
  say('pool', many.map((one) => one.rows[0].title));
  await pool.end();
})().catch((e) => { console.error(e); process.exit(1); });
"""


def test_node_pg(served, tmp_path):
    node, modules = program("node"), node_modules()
    script = tmp_path / "ask.js"
    script.write_text(NODE)
    told = run(node, script, PORT=str(served.port), NODE_PATH=str(modules), TZ="UTC")
    assert [json.loads(line) for line in told.splitlines()] == [
        [
            "row",
            {
                "id": "1", "title": "film 1", "year": 1971, "cost": "0.37", "rating": 1 / 7,
                "released": "1990-01-02", "updated": "2020-01-01T00:00:01.000Z",
                "seen": False, "studio": "MGM",
            },
        ],
        ["types", [20, 25, 23, 1700, 701, 1082, 1184, 16, 25]],
        ["kept", 1666],
        ["kept", 1666],
        ["lists", {"a": [1, None, 3], "b": ["x", "y z"], "c": {"k": 1}}],
        ["cursor", 5000],
        ["error", "42P01"],
        ["tables", [{"table_name": "films"}, {"table_name": "people"}]],
        ["pool", [f"film {n}" for n in range(1, 6)]],
    ]  # fmt: skip


JAVA = """
import java.sql.*;
public class Ask {
  public static void main(String[] a) throws Exception {
    try (Connection c = DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + a[0] + "/cinema?user=owner")) {
      DatabaseMetaData m = c.getMetaData();
      try (ResultSet r = m.getTables(null, "cinema", "%", new String[] {"TABLE"})) {
        while (r.next()) System.out.println("table " + r.getString("TABLE_NAME"));
      }
      try (ResultSet r = m.getColumns(null, "cinema", "films", "%")) {
        while (r.next()) System.out.println(r.getString("COLUMN_NAME") + " " + r.getString("TYPE_NAME"));
      }
      try (ResultSet r = m.getPrimaryKeys(null, "cinema", "films")) {
        while (r.next()) System.out.println("key " + r.getString("COLUMN_NAME"));
      }
      c.setAutoCommit(false);
      try (PreparedStatement p = c.prepareStatement("SELECT id, cost, released FROM films WHERE released >= ? AND year > ? ORDER BY id")) {
        p.setFetchSize(50);
        p.setDate(1, Date.valueOf("1990-01-03"));
        p.setInt(2, 1970);
        int rows = 0;
        for (int turn = 0; turn < 7; turn++) {
          rows = 0;
          try (ResultSet r = p.executeQuery()) { while (r.next()) { if (rows++ == 0) System.out.println(r.getBigDecimal(2) + " " + r.getDate(3)); } }
        }
        System.out.println("rows " + rows);
      }
      c.commit();
    }
  }
}
"""


def test_pgjdbc(served, tmp_path):
    java = program("java")
    if not JDBC.is_file():
        pytest.skip("Debian's libpostgresql-jdbc-java is not installed")
    source = tmp_path / "Ask.java"
    source.write_text(JAVA)
    told = run(java, "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", JDBC, source, served.port)
    for line in (
        "table films",
        "table people",
        "id int8",
        "cost numeric",
        "key id",
        "0.74 1990-01-03",
        "rows 4899",
    ):
        assert line in told


def test_psqlodbc(served):
    isql = program("isql")
    driver = next((p for p in Path("/usr/lib").glob(f"*/odbc/{ODBC}")), None)
    if driver is None:
        pytest.skip("Debian's odbc-postgresql is not installed")
    place = f"Driver={driver};Server=127.0.0.1;Port={served.port};Uid=owner;Database=cinema;SSLmode=disable"
    asked = subprocess.run(
        [isql, "-b", "-v", "-k", place], capture_output=True, text=True, timeout=300,
        input="SELECT id, title, cost, released FROM films ORDER BY id LIMIT 1\nSELECT count(*) FROM films WHERE seen\n",
    )  # fmt: skip
    assert "0.37" in asked.stdout, asked.stdout + asked.stderr
    assert "2500" in asked.stdout


DUCKDB = """
import duckdb, duckdb_extension_postgres_scanner, json, sys
from pathlib import Path

(extension,) = Path(duckdb_extension_postgres_scanner.__file__).parent.rglob("*.duckdb_extension")
con = duckdb.connect()
con.execute(f"LOAD '{extension}'")
con.execute(f"ATTACH 'host=127.0.0.1 port={sys.argv[1]} user=owner dbname=cinema' AS p (TYPE postgres, READ_ONLY)")


def say(name, sql):
    print(json.dumps([name, con.execute(sql).fetchall()], default=str))


FIGURES = "SELECT count(*), sum(cost), min(title), max(released), max(epoch_us(updated)), count(title) FROM p.cinema.films"
say("version", "SELECT version()")
say("tables", "SELECT table_name, comment, has_primary_key FROM duckdb_tables() WHERE schema_name = 'cinema' ORDER BY 1")
say("columns", "SELECT column_name, data_type, is_nullable FROM duckdb_columns() WHERE table_name = 'films'")
say("binary", FIGURES)
con.execute("SET pg_use_text_protocol = true")
say("text", FIGURES)
con.execute("SET pg_use_text_protocol = false")
say("pushed down", "SELECT title FROM p.cinema.films WHERE id = 4999 AND NOT seen AND studio = 'MGM' AND released > DATE '1990-01-01'")
say("no row", "SELECT title FROM p.cinema.films WHERE id = 4999 AND studio = 'Fox'")
say("missing", "SELECT count(*) FROM p.cinema.films WHERE title IS NULL AND cost > 10.5")
say("joined", "SELECT count(*) FROM p.cinema.films f JOIN p.cinema.people q ON f.year = q.year WHERE q.name = 'Bob'")
say("own", "SELECT * FROM postgres_query('p', 'SELECT studio, count(*) AS n FROM films GROUP BY 1 ORDER BY 1')")
TYPES = "[1, NULL] a, 1::SMALLINT b, 2.5::FLOAT c, INTERVAL 1 DAY d, TIME ''10:00:01'' e, TIMESTAMP ''2020-01-01'' f"
say("types", f"SELECT * FROM postgres_query('p', 'SELECT {TYPES}, ''ab''::BLOB g, 12.50::DECIMAL(9,2) h, [''x''] i')")
con.execute("BEGIN")
say("in a transaction", "SELECT count(*) FROM p.cinema.people")
con.execute("COMMIT")
"""


def test_duckdb_s_postgres_extension(served):
    told = dict(map(json.loads, old_duckdb(DUCKDB, served.port).splitlines()))
    figures = [5000, "4625925.00", "film 1", "2003-09-10", 1577841800005000, 4286]
    studios = [["Fox", 1666], ["MGM", 1667], ["Sony", 1667]]
    kinds = ["BIGINT", "VARCHAR", "INTEGER", "DECIMAL(12,2)", "DOUBLE", "DATE", "TIMESTAMP WITH TIME ZONE",
             "BOOLEAN", "VARCHAR"]  # fmt: skip
    assert told.pop("version") == [["v1.5.5"]]
    columns = told.pop("columns")
    assert [kind for _, kind, _ in columns] == kinds
    assert [name for name, _, nullable in columns if not nullable] == ["id"]
    assert told == {
        "tables": [["films", "Films and what they cost.", True], ["people", None, True]],
        "binary": [figures],
        "text": [figures],
        "pushed down": [["film 4999"]],
        "no row": [],
        "missing": [[710]],
        "joined": [[100]],
        "own": studios,
        "types": [
            [[1, None], 1, 2.5, "1 day, 0:00:00", "10:00:01", "2020-01-01 00:00:00", "b'ab'", "12.50", ["x"]]
        ],
        "in a transaction": [[2]],
    }  # fmt: skip
