"""The port `database` against a real PostgreSQL, by SQLAlchemy with psycopg and by ADBC."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import threading
import time
from decimal import Decimal

import pyarrow.parquet as pq
import pytest
from tests.postgres import PASSWORD, QUOTED, postgres

from polyport.errors import InputError, MissingExtraError
from polyport.product import Product
from polyport.testing.output_port import make_product

UTC = dt.UTC
ASK = {"psycopg": ("url", "postgresql+psycopg://"), "adbc": ("adbc", "postgresql://")}
KINDS = """
CREATE SCHEMA "Fi Nance";
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TABLE "Fi Nance".kinds (
  id bigint PRIMARY KEY, small smallint, whole integer, bare numeric, cost numeric(12, 2), huge numeric(60, 4),
  f4 real, f8 double precision, ok boolean, t text, letters char(5), u uuid, j json, jb jsonb, ints integer[],
  texts text[], bytes bytea, day date, local timestamp, moment timestamptz, hour time, how mood, dom positive
);
CREATE TABLE "Fi Nance".odd (
  id bigint, matrix integer[], zoned timetz, span interval, money money, host inet, range int4range, point point
);
INSERT INTO "Fi Nance".kinds VALUES (
  1, 2, 3, 1.10, 3.25, 12345678901234567890123456789012345678901234567890.1234, 0.1, 2.5, true, 'Amélie', 'ab',
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": 1.10}', '[1, null]', '{1,NULL,3}', '{a,"b c"}', '\\x00ff',
  '2020-02-29', '2020-01-02 03:04:05.678901', '2020-01-02 03:04:05.678901+02', '03:04:05', 'ok', 5
);
INSERT INTO "Fi Nance".kinds (id) VALUES (2);
INSERT INTO "Fi Nance".odd VALUES (
  1, '{{1,2},{3,4}}', '03:04:05+02', '1 mon 2 days 03:04:05.5', '12.34', '10.0.0.1/8', '[1,5)', '(1,2)');
"""
WHOLE = {
    "id": 1, "small": 2, "whole": 3, "bare": Decimal("1.10"), "cost": Decimal("3.25"),
    "huge": "12345678901234567890123456789012345678901234567890.1234", "f4": 0.1, "f8": 2.5,
    "ok": True, "t": "Amélie", "letters": "ab   ", "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "j": '{"a": 1.10}', "jb": "[1, null]", "ints": [1, None, 3], "texts": ["a", "b c"],
    "bytes": b"\x00\xff", "day": dt.date(2020, 2, 29),
    "local": dt.datetime(2020, 1, 2, 3, 4, 5, 678901),
    "moment": dt.datetime(2020, 1, 2, 1, 4, 5, 678901, UTC), "hour": dt.time(3, 4, 5), "how": "ok",
    "dom": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with postgres() as started:
        started.run(KINDS)
        yield started


@pytest.fixture(params=ASK)
def way(request):
    needs = {"psycopg": "psycopg", "adbc": "adbc_driver_postgresql"}[request.param]
    pytest.importorskip(needs, reason=f"{needs} is not installed")
    return request.param


@pytest.fixture
def port(server, way, make):
    """The input port: port(table="films"). `at`: another address."""

    def made(*, at="", **given):
        scheme = ASK[way][1]
        given = {"url": scheme + (at or server.address)} | given
        if way == "adbc":
            given["adbc"] = "postgresql"
        return make("database", secrets={"DB_PASSWORD": QUOTED, "PLAIN": PASSWORD}, **given)

    return made


def told(error):
    """All that an error says, with its causes."""
    texts = []
    while error is not None:
        texts.append(f"{error} {getattr(error, 'fix', '')}")
        error = error.__cause__
    return "\n".join(texts)


@pytest.mark.parametrize(
    "ask", [{"table": "Fi Nance.kinds"}, {"query": 'SELECT * FROM "Fi Nance".kinds ORDER BY id'}]
)
def test_types(port, way, rows, ask):
    first, second = rows(port(**ask))
    if way == "adbc":
        assert (first.pop("bare"), first.pop("cost")) == ("1.10", "3.25")
        assert first.pop("f4") == pytest.approx(0.1)
    assert first == {name: WHOLE[name] for name in first}
    assert second == {"id": 2, **dict.fromkeys([*WHOLE][1:])}


@pytest.mark.parametrize(
    "ask", [{"table": "Fi Nance.kinds"}, {"query": 'SELECT * FROM "Fi Nance".kinds WHERE id > 1'}]
)
def test_types_do_not_hang_on_the_rows(port, keep, server, way, ask):
    """A column without a value is what the database says, and so is a table without rows."""
    names = [n for n in WHOLE if n != "bare"]
    whole = port(table="Fi Nance.kinds", columns=names).fetch(keep, None)
    server.run('CREATE TABLE bare AS SELECT * FROM "Fi Nance".kinds LIMIT 0')
    try:
        empty = port(table="bare", columns=names).fetch(keep, None)
        asked = port(**ask, columns=names).fetch(keep, None)
    finally:
        server.run("DROP TABLE bare")
    schemas = [pq.read_schema(r.objects[0].path) for r in (whole, empty, asked)]
    assert [str(f.type) for f in schemas[0]] == [str(f.type) for f in schemas[1]]
    assert schemas[0] == schemas[2]


def test_kinds_that_python_has_not_come_as_postgresql_writes_them(port, way, rows):
    given = {"id": 1, "zoned": "03:04:05+02", "span": "1 mon 2 days 03:04:05.5", "host": "10.0.0.1/8",
             "range": "[1,5)", "point": "(1,2)"}  # fmt: skip
    if way == "psycopg":
        found = rows(port(table="Fi Nance.odd", columns=["matrix", "money", *given]))
        assert found == [{"matrix": [[1, 2], [3, 4]], "money": "$12.34", **given}]
        return
    for name in list(given)[1:]:
        with pytest.raises(InputError, match=f"column {name}: .* in a form of its own") as caught:
            rows(port(table="Fi Nance.odd", columns=[name]))
        assert f'CAST("{name}" AS TEXT) AS "{name}"' in caught.value.fix
    cast = ", ".join(f'CAST("{n}" AS TEXT) AS "{n}"' for n in given if n != "id")
    assert rows(port(query=f'SELECT id, {cast} FROM "Fi Nance".odd')) == [given]


@pytest.mark.parametrize(
    "value",
    ["'infinity'::date", "'-infinity'::timestamp", "'infinity'::timestamptz", "'0044-03-15 BC'::date"],
)  # fmt: skip
def test_days_that_are_none(port, rows, value):
    with pytest.raises(InputError, match=r"infinit|too small|too large") as caught:
        rows(port(query=f"SELECT {value} AS day"))
    assert "text" in caught.value.fix.casefold()
    text = value.split("'")[1]
    assert rows(port(query=f"SELECT ({value})::text AS day")) == [{"day": text}]


def test_a_column_read_as_text_by_types(server, make, rows):
    pytest.importorskip("psycopg")
    server.run("CREATE TABLE ends AS SELECT 1 AS id, DATE 'infinity' AS day, 'NaN'::numeric AS n")
    url = f"postgresql+psycopg://{server.address}"
    found = rows(make("database", url=url, table="ends", types={"day": "VARCHAR", "n": "DOUBLE"}))
    assert found[0]["day"] == "infinity"
    assert found[0]["n"] != found[0]["n"]
    (as_said,) = rows(make("database", url=url, table="ends", columns=["n"]))
    assert as_said == {"n": "NaN"}


def test_not_a_number_where_a_number_was_declared(server, make, rows):
    pytest.importorskip("psycopg")
    query = "SELECT 'NaN'::numeric(12, 2) AS n UNION ALL SELECT 1.1"
    made = make("database", url=f"postgresql+psycopg://{server.address}", query=query)
    assert [r["n"] for r in rows(made)] == ["NaN", "1.1"]
    server.run("CREATE TABLE nans (n numeric(12, 2)); INSERT INTO nans VALUES (1), ('NaN')")
    with pytest.raises(InputError, match="column n, row 2: 'NaN' is not number"):
        rows(make("database", url=f"postgresql+psycopg://{server.address}", table="nans"))


def test_types_with_adbc(server, make, rows):
    pytest.importorskip("adbc_driver_postgresql")
    given = {
        "adbc": "postgresql",
        "url": f"postgresql://{server.address}",
        "table": "Fi Nance.kinds",
    }
    found = rows(make("database", **given, columns=["cost"], types={"cost": "DECIMAL(12,2)"}))
    assert found == [{"cost": Decimal("3.25")}, {"cost": None}]
    with pytest.raises(InputError, match="column huge: "):
        rows(make("database", **given, columns=["huge"], types={"huge": "DECIMAL(12,2)"}))
    with pytest.raises(InputError, match="no column 'coast'") as caught:
        rows(make("database", **given, types={"coast": "DECIMAL(12,2)"}))
    assert "`cost`" in caught.value.fix


def test_what_a_contract_expects(port, way, rows, contract):
    good = contract(
        id="integer!", u="string", day="date", moment="timestamp", j="string", ints="array"
    )
    assert len(rows(port(table="Fi Nance.kinds", contract=good))) == 2
    with pytest.raises(InputError, match=r"column `t` is required, and 1 of 2 rows"):
        rows(port(table="Fi Nance.kinds", contract=contract(t="string!")))


# Incremental


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("bigint", ["1", "2200000000", "9000000000000000000"]),
        ("numeric", ["1.5", "1.50001", "99999999999999999999.5"]),
        ("timestamp", ["'2020-01-01'", "'2020-01-01 00:00:00.000001'", "'2021-01-01'"]),
        ("timestamptz", ["'2020-01-01+00'", "'2020-01-01 02:00:00.000001+02'", "'2020-01-01 00:00:01Z'"]),
        ("date", ["'2020-01-01'", "'2020-01-02'", "'2021-01-01'"]),
        ("text", ["'a'", "'b''c'", "'d'"]),
        ("uuid", [f"'{n}0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'" for n in range(3)]),
    ],
)  # fmt: skip
def test_incremental_by_column(server, port, keep, rows, kind, values):
    server.run("SET client_min_messages = error; DROP TABLE IF EXISTS news")
    server.run(f"CREATE TABLE news (title text, at {kind}); INSERT INTO news VALUES ('none', NULL)")
    made = port(table="news", incremental="at", columns=["title"])
    received, expected = None, {"none"}
    for number, value in enumerate(values):
        server.run(f"INSERT INTO news VALUES ('{number}', {value})")
        expected.add(str(number))
        received = made.fetch(keep, received)
        assert {row["title"] for row in rows(made, received)} == expected
    assert [pq.read_metadata(o.path).num_rows for o in received.objects] == [2, 1, 1]
    assert made.fetch(keep, received) is received
    query = port(query="SELECT * FROM news WHERE title <> ':x%'", incremental="at")
    first = query.fetch(keep, None)
    assert query.fetch(keep, first) is first


def test_incremental_parts_lose_no_digit(server, make, keep, rows):
    """A `numeric` without a scale has the digits of what came each time."""
    pytest.importorskip("psycopg")
    server.run("CREATE TABLE prices (id int, n numeric); INSERT INTO prices VALUES (1, 1.10)")
    made = make(
        "database", url=f"postgresql+psycopg://{server.address}", table="prices", incremental="id"
    )
    first = made.fetch(keep, None)
    server.run("INSERT INTO prices VALUES (2, 1.23456)")
    found = rows(made, made.fetch(keep, first))
    assert sorted(row["n"] for row in found) == [Decimal("1.10"), Decimal("1.23456")]


# Faults


def test_a_wrong_password_is_told_and_not_shown(server, port, rows):
    wrong = server.address.replace(QUOTED, "wr0ng-pass")
    with pytest.raises(InputError, match="password authentication failed") as caught:
        rows(port(at=wrong, table="Fi Nance.kinds"))
    assert "wr0ng-pass" not in told(caught.value)


def test_a_build_with_a_wrong_password_leaves_it_nowhere(server, way, tmp_path, monkeypatch):
    key, scheme = ASK[way]
    adbc = ", adbc: postgresql" if key == "adbc" else ""
    wrong = server.address.replace(QUOTED, "${DB_PASSWORD}")
    monkeypatch.setenv("DB_PASSWORD", "wr0ng-pass")
    with make_product(tmp_path / "p", "rest"):
        pass
    settings = tmp_path / "p/polyport.yaml"
    text = settings.read_text()
    source = "{type: files, path: inputs/*.csv}"
    assert source in text
    settings.write_text(
        text.replace(source, f'{{type: database, url: "{scheme}{wrong}", table: films{adbc}}}')
    )
    with Product.load(tmp_path / "p") as product, pytest.raises(InputError) as caught:
        product.build()
    assert "wr0ng-pass" not in told(caught.value)
    files = [p for p in (tmp_path / "p").rglob("*") if p.is_file()]
    assert any(
        p.name.endswith(".errors.log") and b"password authentication" in p.read_bytes()
        for p in files
    )
    assert not [p for p in files if b"wr0ng-pass" in p.read_bytes()]


@pytest.mark.parametrize(
    ("given", "message", "fix"),
    [
        ({"table": "Fi Nance.kind"}, "kind", "`kinds`"),
        ({"table": "Fi Nanc.kinds"}, "Fi Nanc", "`Fi Nance`"),
        ({"query": "SELECT 1/0 AS a"}, "division by zero", ""),
        ({"query": "SELECT nope FROM pg_class"}, 'column "nope" does not exist', ""),
        ({"query": "SELECT 1; DROP TABLE x"}, "syntax error|multiple commands", ""),
        ({"table": "Fi Nance.kinds", "incremental": "no"}, "no column 'no'|\"no\" does not exist", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_read(port, way, rows, given, message, fix):
    with pytest.raises(InputError, match=message) as caught:
        rows(port(**given))
    assert way == "adbc" or fix in caught.value.fix
    assert PASSWORD not in told(caught.value)
    assert QUOTED not in told(caught.value)


def test_nothing_is_written(server, port, rows):
    server.run("CREATE TABLE IF NOT EXISTS held (id int)")
    for query in (
        "WITH x AS (INSERT INTO held VALUES (1) RETURNING id) SELECT * FROM x",
        "SELECT setval('s', 5)",
    ):
        server.run("CREATE SEQUENCE IF NOT EXISTS s")
        try:
            rows(port(query=query))
        except InputError:
            continue
    assert server.run("SELECT count(*) FROM held") == "0"


def test_a_server_that_goes_away_half_way(server, port, keep):
    """What came by then is not taken for all there is."""
    slow = (
        "SELECT n, repeat('x', 1000) AS t, CASE WHEN n % 1000 = 0 THEN pg_sleep(0.02) END IS NULL AS b"
        " FROM generate_series(1, 500000) n"
    )

    busy = (
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        " AND pid <> pg_backend_pid()"
    )

    def stop():
        deadline = time.monotonic() + 30
        while server.run(busy) == "0" and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)
        server.stop()

    stopping = threading.Thread(target=stop)
    stopping.start()
    try:
        with pytest.raises(InputError, match="failed") as caught:
            port(query=slow).fetch(keep, None)
    finally:
        stopping.join()
        server.start()
    assert QUOTED not in told(caught.value)
    assert not [p for p in keep.folder.rglob("*") if p.is_file()]


def test_nobody_listens(server, port, rows):
    nowhere = server.address.replace(f":{server.port}/", ":1/")
    with pytest.raises(InputError, match="Connection refused"):
        rows(port(at=nowhere, table="films"))


def test_drivers_that_are_not_installed(make, rows, monkeypatch):
    for name, fix in {"psycopg": "psycopg[binary]", "psycopg2": "postgresql+psycopg://"}.items():
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MissingExtraError, match="driver that is not installed") as caught:
            rows(make("database", url=f"postgresql+{name}://me:hush@host/base", table="films"))
        assert fix in caught.value.fix
        assert "hush" not in told(caught.value)


def test_an_adbc_driver_that_is_not_installed(make, rows):
    pytest.importorskip("adbc_driver_manager")
    with pytest.raises(MissingExtraError, match="'mysql' cannot be loaded") as caught:
        rows(make("database", adbc="mysql", url="mysql://me:hush@host/base", table="films"))
    assert caught.value.fix == "pip install adbc-driver-mysql"
    assert "hush" not in told(caught.value)


MEASURE = """
import resource, sys
from pathlib import Path
from polyport.descriptor.types import Port
from polyport.ports import load
from polyport.ports.input import InputContext
from polyport.testing.input_port import RawFolder

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

folder, adbc, url, rows = sys.argv[1:]
columns = "n AS id, n::float8 / 7 AS x, now() + n * interval '1s' AS at, repeat(md5(n::text), 20) AS t"
ask = {"url": url} | ({"adbc": adbc} if adbc else {})
for count in (70_000, int(rows)):
    query = f"SELECT {columns} FROM generate_series(1, {count}) n"
    port = load("input", "database")(InputContext(Port("p", "database", settings=ask | {"query": query}), Path()))
    port.fetch(RawFolder(Path(folder)), None)
    print(peak())
"""


def test_memory_stays_flat(server, way, tmp_path):
    """70,000 rows fill a batch; 60,000 more, which are 40 MB of text, take no more room than that."""
    scheme = ASK[way][1]
    adbc = "postgresql" if way == "adbc" else ""
    command = [
        sys.executable,
        "-c",
        MEASURE,
        tmp_path / "raw",
        adbc,
        scheme + server.address,
        "130000",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    few, many = map(int, ran.stdout.split())
    assert many - few < 30
