"""LibreOffice Base, unmodified: its own PostgreSQL driver, driven over UNO as its windows drive it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import uuid
from pathlib import Path

import pytest
from tests.clients import program, run

PYTHON = Path("/usr/bin/python3")
"""Debian's, for which Debian's python3-uno is made."""
DRIVER = "libpostgresql-sdbclo.so"

ASK = r"""
import json, sys, time, uno
from com.sun.star.connection import NoConnectException
from com.sun.star.sdbc import SQLException

name, url = sys.argv[1:]
here = uno.getComponentContext()
resolver = here.ServiceManager.createInstanceWithContext("com.sun.star.bridge.UnoUrlResolver", here)
end = time.monotonic() + 120
while True:
    try:
        office = resolver.resolve(f"uno:pipe,name={name};urp;StarOffice.ComponentContext")
        break
    except NoConnectException:
        if time.monotonic() > end:
            raise
        time.sleep(0.05)  # until the next try


def service(name):
    return office.ServiceManager.createInstanceWithContext(name, office)


def say(name, value):
    print(json.dumps([name, value]))


def rows(found, *columns):
    told = []
    while found.next():
        told.append([found.getString(n) for n in columns])
    return told


def struct(value):
    fields = "Year Month Day Hours Minutes Seconds NanoSeconds".split()
    return [getattr(value, field) for field in fields if hasattr(value, field)]


try:
    source = service("com.sun.star.sdb.DatabaseContext").createInstance()
    source.URL = url
    base = source.getConnection("owner", "")
    meta = base.getMetaData()
    say("server", meta.getDatabaseProductName())
    say("tables", rows(meta.getTables(None, "cinema", "%", ("TABLE",)), 2, 3, 4, 5))
    say("columns", rows(meta.getColumns(None, "cinema", "films", "%"), 4, 6))
    say("required", rows(meta.getColumns(None, "cinema", "people", "%"), 4, 18))
    say("keys", rows(meta.getPrimaryKeys(None, "cinema", "films"), 4, 6))
    table = base.getTables().getByName("cinema.films")
    say("as a table", table.getColumns().getElementNames())
    say("its key", [key.getColumns().getElementNames() for key in table.getKeys()])
    asked = base.prepareStatement('SELECT * FROM "cinema"."films" WHERE "id" = ? AND "title" = ? AND "released" < ?')
    asked.setLong(1, 3)
    asked.setString(2, "film 3")
    asked.setDate(3, uno.createUnoStruct("com.sun.star.util.Date", 4, 1, 1990))
    say("none", rows(asked.executeQuery(), 1))
    asked.setDate(3, uno.createUnoStruct("com.sun.star.util.Date", 5, 1, 1990))
    found = asked.executeQuery()
    found.next()
    say("row", [found.getLong(1), found.getString(2), found.getInt(3), found.getString(4), found.getDouble(5),
                struct(found.getDate(6)), struct(found.getTimestamp(7)), found.getBoolean(8), found.getString(9)])
    heads = found.getMetaData()
    say("types", [heads.getColumnTypeName(n + 1) for n in range(heads.getColumnCount())])
    empty = base.createStatement().executeQuery('SELECT "title" FROM "films" WHERE "id" = 7')
    empty.next()
    say("null", [empty.getString(1), empty.wasNull()])
    more = base.createStatement().executeQuery(
        "SELECT TIME '10:00:01' AS a, uuid '00000000-0000-0000-0000-000000000001' AS b, 'ab'::BLOB AS c, 2.5::FLOAT AS d,"
        " [1, 2] AS e, INTERVAL 1 DAY AS f, 1::SMALLINT AS g, TIMESTAMP '2020-01-01 01:02:03.5' AS h")
    more.next()
    say("more", [struct(more.getTime(1))[:4], more.getString(2), bytes(more.getBytes(3).value).decode(), more.getFloat(4),
                 more.getString(5), more.getString(6), more.getShort(7), struct(more.getTimestamp(8))])
    form = service("com.sun.star.sdb.RowSet")
    form.ActiveConnection = base
    form.CommandType, form.Command, form.Order = 0, "cinema.people", '"name" DESC'
    form.execute()
    say("a form", rows(form, 1, 2))
    form.dispose()
    try:
        base.createStatement().executeUpdate('DELETE FROM "films"')
    except SQLException as refused:
        say("refused", "read-only" in refused.Message)
    base.close()
finally:
    service("com.sun.star.frame.Desktop").terminate()
"""


@pytest.fixture
def office(tmp_path):
    """The name of the pipe of a LibreOffice of its own, with a profile of its own."""
    soffice = program("soffice")
    if not any(Path("/usr/lib/libreoffice/program").glob(DRIVER)):
        pytest.skip("Debian's libreoffice-sdbc-postgresql is not installed")
    if subprocess.run([PYTHON, "-c", "import uno"], capture_output=True).returncode:
        pytest.skip("Debian's python3-uno is not installed")
    name = f"polyport-{uuid.uuid4().hex}"
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    command = [
        soffice,
        profile,
        "--headless",
        "--norestore",
        "--nodefault",
        f"--accept=pipe,name={name};urp",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as started:
        try:
            yield name
            assert started.wait(120) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)


def test_base_lists_asks_and_reads_each_type(served, office):
    url = f"sdbc:postgresql:host=127.0.0.1 port={served.port} dbname=cinema"
    told = dict(map(json.loads, run(PYTHON, "-c", ASK, office, url).splitlines()))
    columns = {"id": "int8", "title": "text", "year": "int4", "cost": "numeric", "rating": "float8",
               "released": "date", "updated": "timestamptz", "seen": "bool", "studio": "text"}  # fmt: skip
    assert told == {
        "server": "PostgreSQL",
        "tables": [["cinema", "films", "TABLE", "Films and what they cost."], ["cinema", "people", "TABLE", ""]],
        "columns": [[name, kind] for name, kind in columns.items()],
        "required": [["name", "NO"], ["year", "YES"]],
        "keys": [["id", "films_pkey"]],
        "as a table": [*columns],
        "its key": [["id"]],
        "none": [],
        "row": [3, "film 3", 1973, "1.11", 3 / 7, [1990, 1, 4], [2020, 1, 1, 0, 0, 3, 3000], False, "Fox"],
        "types": [*columns.values()],
        "null": ["", True],
        "more": [[10, 0, 1, 0], "00000000-0000-0000-0000-000000000001", "ab", 2.5, "{1,2}", "1 day", 1,
                 [2020, 1, 1, 1, 2, 3, 500000000]],
        "a form": [["Bob", "1970"], ["Ann", "1970"]],
        "refused": True,
    }  # fmt: skip
