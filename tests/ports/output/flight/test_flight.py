"""The port as its clients see it: ADBC, pyarrow, data frames."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections import Counter
from decimal import Decimal

import adbc_driver_manager
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from adbc_driver_manager import ProgrammingError
from pyarrow import flight

from polyport.access import keys
from polyport.access.identity import Identity
from polyport.ports.output.flight import FlightPort
from polyport.ports.output.flight import messages as m

from .asking import act, ask, command, headers, option

SESSION = "adbc.flight.sql.session.option."


def rows(connection, sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def table(connection, sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetch_arrow_table()


# Statements


def test_a_statement_gives_rows_with_their_types(connect):
    found = table(connect(), "SELECT * FROM films ORDER BY id LIMIT 1")
    assert found.schema == pa.schema(
        {
            "id": pa.int64(), "title": pa.string(), "released": pa.date32(),
            "studio": pa.string(), "cost": pa.decimal128(18, 2),
        }
    )  # fmt: skip
    first = {"id": 1, "title": "Alien", "released": dt.date(1979, 5, 25), "studio": "Fox"}
    assert found.to_pylist() == [{**first, "cost": Decimal("11.50")}]


def test_no_rows_are_a_table_without_rows(connect):
    found = table(connect(), "SELECT id, title FROM films WHERE false")
    assert (found.num_rows, found.schema.names) == (0, ["id", "title"])


def test_many_rows_come_in_pieces_that_go_clients_take(connect):
    sql = "SELECT i AS n, repeat('x', 1000) AS text FROM range(100000) t(i)"
    with connect().cursor() as cursor:
        cursor.execute(sql)
        sizes = [batch.nbytes for batch in cursor.fetch_record_batch()]
    assert sum(sizes) > 100_000_000
    assert max(sizes) < 12 * 1024 * 1024


def test_parameters_are_values_and_never_text(connect):
    connection = connect()
    sql = "SELECT title FROM films WHERE id = ? OR title = ?"
    assert rows(connection, sql, (2, 'It\'s, "Heat"')) == [("Dune",), ('It\'s, "Heat"',)]
    assert rows(connection, sql, (0, "x' OR 1=1 --")) == []
    assert rows(connection, "SELECT ? IS NULL", (None,)) == [(True,)]


def test_each_row_of_parameters_is_run_and_the_answers_follow_each_other(connect):
    with connect().cursor() as cursor:
        cursor.adbc_prepare("SELECT title FROM films WHERE id = ?")
        cursor.execute("SELECT title FROM films WHERE id = ?", pa.table({"id": [4, 1, 77, 2]}))
        assert [t for (t,) in cursor.fetchall()] == ["Žižek — 東京", "Alien", "Dune"]


def test_a_prepared_statement_says_what_it_takes_and_gives(connect):
    with connect().cursor() as cursor:
        taken = cursor.adbc_prepare("SELECT title, cost FROM films WHERE title = ?")
        assert [f.type for f in taken] == [pa.string()]
        assert cursor.adbc_execute_schema("SELECT id, cost FROM films") == pa.schema(
            {"id": pa.int64(), "cost": pa.decimal128(18, 2)}
        )


@pytest.mark.parametrize("given", [(), (1, 2)])
def test_as_many_parameters_as_are_wanted(connect, given):
    with pytest.raises(adbc_driver_manager.Error, match="parameter"):
        rows(connect(), "SELECT title FROM films WHERE id = ?", given)


def test_data_frames(connect):
    connection = connect()
    sql = "SELECT id, title FROM films ORDER BY id"
    assert list(pd.read_sql(sql, connection)["title"])[:2] == ["Alien", "Dune"]
    frame = pl.read_database(sql, connection)
    assert frame["id"].to_list() == [1, 2, 3, 4, 5]


def test_two_products_are_joined(connect):
    sql = 'SELECT a.title, b.cost FROM films.films a JOIN "more-films".films b USING (id)'
    assert rows(connect(None), sql) == [("Dune", Decimal("7.00"))]
    assert rows(connect("more-films"), "SELECT max(id) FROM films") == [(9,)]
    assert rows(connect("more-films"), "SELECT max(id) FROM films.films") == [(5,)]


def test_wrong_sql_is_the_caller_s_mistake_and_says_what_it_is(connect):
    with pytest.raises(ProgrammingError, match=r"(?s)INVALID_ARGUMENT.*nope.*PP420"):
        rows(connect(), "SELECT nope FROM films")


@pytest.mark.parametrize("product", ["nope", "FILMS", "", "films/../x"])
def test_a_product_that_is_not_there(raw, product):
    asked = m.CommandStatementQuery(query="SELECT 1")
    if product:
        with pytest.raises(pa.ArrowKeyError, match=r"no product .* has a Flight port here"):
            ask(raw, asked, headers(polyport_product=product))
    else:
        assert ask(raw, asked, headers(polyport_product="")).num_rows == 1


def test_nothing_can_be_changed(connect, raw):
    with (
        connect().cursor() as cursor,
        pytest.raises(adbc_driver_manager.Error, match="nothing can be changed here"),
    ):
        cursor.executemany("SELECT title FROM films WHERE id = ?", [(1,)])
    with connect().cursor() as cursor, pytest.raises(adbc_driver_manager.Error):
        cursor.adbc_ingest("films", pa.table({"id": [1]}), mode="append")
    for message in (
        m.CommandStatementUpdate(query="DELETE FROM films"),
        m.CommandStatementSubstraitPlan(),
    ):
        with pytest.raises(pa.ArrowNotImplementedError, match="nothing can be changed here"):
            raw.get_flight_info(command(message))


def test_no_error_tells_of_the_server_s_code(raw):
    """pyarrow would send a traceback with the server's paths."""
    for descriptor in (
        flight.FlightDescriptor.for_command(b"\xff"),
        flight.FlightDescriptor.for_path("a"),
        command(m.CommandStatementQuery(query="SELEC")),
        command(m.CommandStatementUpdate()),
        command(m.CommandPreparedStatementQuery(prepared_statement_handle=b"x" * 24)),
    ):
        with pytest.raises(pa.ArrowException) as caught:
            raw.get_flight_info(descriptor)
        assert "Traceback" not in str(caught.value)
        assert ".py" not in str(caught.value)


# Snapshots


def test_time_travel(connect):
    assert rows(connect(), "SELECT count(*) FROM films") == [(5,)]
    assert rows(connect(snapshot="1"), "SELECT count(*) FROM films") == [(4,)]
    with pytest.raises(adbc_driver_manager.Error, match="no snapshot"):
        rows(connect(snapshot="77"), "SELECT count(*) FROM films")


def test_a_snapshot_is_of_a_product(connect):
    with pytest.raises(ProgrammingError, match="not said which product the snapshot '1' is of"):
        rows(connect(None, snapshot="1"), "SELECT count(*) FROM films.films")


def test_and_says_nothing_of_another(connect):
    with pytest.raises(ProgrammingError, match="is of 'films', not of 'more-films'"):
        rows(connect(snapshot="1"), 'SELECT count(*) FROM "more-films".films')
    at_latest = 'SELECT count(*) > 0 FROM "more-films"."films@latest"'
    assert rows(connect(snapshot="1"), at_latest) == [(True,)]


COOKIES = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}


def test_options_of_a_session(connect):
    options = {**COOKIES, SESSION + "polyport.snapshot": "1"}
    travelling = connect(options=COOKIES)
    for name, value in options.items():
        if name.startswith(SESSION):
            travelling.adbc_connection.set_options(**{name: value})
    assert rows(travelling, "SELECT count(*) FROM films") == [(4,)]
    assert rows(connect(options=COOKIES), "SELECT count(*) FROM films") == [(5,)]


def test_the_schema_is_the_product(connect):
    connection = connect(None, COOKIES)
    connection.adbc_current_catalog = "mesh"
    connection.adbc_current_db_schema = "more-films"
    assert connection.adbc_current_db_schema == "more-films"
    assert rows(connection, "SELECT max(id) FROM films") == [(9,)]
    with pytest.raises(adbc_driver_manager.Error):
        connection.adbc_current_db_schema = "nope"


def test_options_that_are_not_there_are_said_to_be_so(raw):
    text = m.SessionOptionValue(string_value="x")
    asked = m.SetSessionOptionsRequest(
        session_options=(
            option("nope", text),
            option("catalog", text),
            option("schema", text),
            option("polyport.purpose", m.SessionOptionValue(bool_value=True)),
            option("polyport.purpose", text),
        )
    )
    cookie = headers(cookie="arrow_flight_session_id=abc")
    (answer,) = act(raw, "SetSessionOptions", asked, cookie, plain=True)
    errors = {e.key: e.value.value for e in m.SetSessionOptionsResult.parse(answer).errors}
    assert errors == {"nope": 1, "catalog": 2, "schema": 2, "polyport.purpose": 2}
    (answer,) = act(raw, "GetSessionOptions", m.GetSessionOptionsRequest(), cookie, plain=True)
    told = m.GetSessionOptionsResult.parse(answer).session_options
    assert {o.key: o.value.string_value for o in told} == {
        "catalog": "mesh", "schema": "", "polyport.snapshot": "latest", "polyport.purpose": "x",
    }  # fmt: skip
    act(raw, "CloseSession", m.CloseSessionRequest(), cookie, plain=True)
    (answer,) = act(raw, "GetSessionOptions", m.GetSessionOptionsRequest(), cookie, plain=True)
    told = m.GetSessionOptionsResult.parse(answer).session_options
    assert {o.key: o.value.string_value for o in told}["polyport.purpose"] == ""


def test_a_transaction_sees_one_snapshot(connect, products):
    films = products["films"]
    pinned, free = connect(autocommit=False), connect()
    before = rows(pinned, "SELECT count(*) FROM films")
    path = films.spec.home / "inputs" / "films.csv"
    kept = path.read_text("utf-8")
    path.write_text(kept + "6,Six,,Fox,6.00\n", "utf-8")
    films.build()
    try:
        assert rows(free, "SELECT count(*) FROM films") == [(before[0][0] + 1,)]
        assert rows(pinned, "SELECT count(*) FROM films") == before
        pinned.commit()
        assert rows(pinned, "SELECT count(*) FROM films") == [(before[0][0] + 1,)]
        pinned.rollback()
    finally:
        path.write_text(kept, "utf-8")
        films.build()


def test_a_transaction_that_is_not_known(raw):
    asked = m.CommandStatementQuery(query="SELECT 1", transaction_id=b"x" * 24)
    with pytest.raises(pa.ArrowKeyError, match="this transaction is not known"):
        ask(raw, asked)
    assert act(raw, "EndTransaction", m.ActionEndTransactionRequest(transaction_id=b"x")) == []


# Who asks


@pytest.fixture
def guarded(node, products):
    """A listener that knows nobody without a key."""
    listener = node(identity=Identity(products["films"].control))
    return f"grpc://127.0.0.1:{listener.port}"


def test_a_key_as_bearer_and_as_password(connect, guarded, key):
    text = key("accountant")
    for options in (
        {"adbc.flight.sql.authorization_header": f"Bearer {text}"},
        {"username": "ann", "password": text},
        {"username": "whoever", "password": text},
    ):
        assert len(rows(connect(options=options, at=guarded), "FROM films")) == 5


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"username": "ann", "password": "wrong"},
        {"username": "ann", "password": ""},
        {"adbc.flight.sql.authorization_header": "Bearer pp_000000000000_" + "x" * 43},
        {"adbc.flight.sql.authorization_header": "Bearer"},
        {"adbc.flight.sql.authorization_header": "Negotiate x"},
    ],
)
def test_whoever_is_not_known_is_refused(connect, guarded, options):
    with pytest.raises(adbc_driver_manager.Error, match=r"(?i)unauthenticated"):
        rows(connect(options=options, at=guarded), "SELECT 1")


def test_pyarrow_logs_in(guarded, key):
    with flight.connect(guarded) as client:
        token = client.authenticate_basic_token("ann", key("accountant"))
        options = flight.FlightCallOptions(headers=[token, (b"polyport-product", b"films")])
        found = ask(
            client, m.CommandStatementQuery(query="SELECT count(*) AS n FROM films"), options
        )
        assert found.to_pylist() == [{"n": 5}]
        assert key("accountant") not in token[1].decode()


def test_a_login_keeps_its_session_without_cookies(guarded, key):
    with flight.connect(guarded) as client:
        token = client.authenticate_basic_token("ann", key("accountant"))
        options = flight.FlightCallOptions(headers=[token])
        asked = m.SetSessionOptionsRequest(
            session_options=(option("schema", m.SessionOptionValue(string_value="more-films")),)
        )
        act(client, "SetSessionOptions", asked, options, plain=True)
        found = ask(
            client, m.CommandStatementQuery(query="SELECT max(id) AS n FROM films"), options
        )
        assert found.to_pylist() == [{"n": 9}]


def test_a_key_that_is_revoked_stops_the_next_call(guarded, key, products, connect):
    control = products["films"].control
    text = key("accountant")
    connection = connect(options={"username": "ann", "password": text}, at=guarded)
    assert rows(connection, "SELECT 1") == [(1,)]
    keys.revoke(control, text.split("_")[1], by="owner")
    with pytest.raises(adbc_driver_manager.Error, match=r"(?i)unauthenticated.*revoked"):
        rows(connection, "SELECT 1")


def test_rows_and_columns_are_those_of_the_role(connect, guarded, key):
    given = {"username": "pat", "password": key("partner", studio="Fox")}
    connection = connect(options=given, at=guarded)
    found = table(connection, "FROM films")
    assert found.schema.names == ["id", "title", "cost"]
    assert set(found["cost"].to_pylist()) == {None}
    assert (
        connection.adbc_get_table_schema("films", db_schema_filter="films").names
        == found.schema.names
    )
    assert rows(connection, "SELECT count(*) FROM films") == [(4,)]


def test_a_stranger_is_told_of_nothing(connect, guarded, key):
    given = {"username": "eve", "password": key(name="eve")}
    connection = connect(options=given, at=guarded)
    (found,) = connection.adbc_get_objects(depth="all").read_all().to_pylist()
    assert found == {"catalog_name": "mesh", "catalog_db_schemas": []}
    with pytest.raises(adbc_driver_manager.Error):
        rows(connection, "FROM films")


def test_the_owner_asks_as_somebody_else_and_nobody_else_does(connect, guarded, key, raw):
    found = rows(connect(role="partner; studio=Universal"), "SELECT title FROM films")
    assert found == [("Dune",)]
    given = {"username": "ann", "password": key("accountant")}
    with pytest.raises(adbc_driver_manager.Error, match="may not ask as somebody else"):
        rows(connect(options=given, at=guarded, role="partner"), "SELECT 1")
    twice = flight.FlightCallOptions(
        headers=[(b"polyport-role", b"partner"), (b"polyport-role", b"owner")]
    )
    with pytest.raises(flight.FlightUnauthorizedError, match="is sent 2 times"):
        ask(raw, m.CommandStatementQuery(query="SELECT 1"), twice)


def test_what_is_kept_for_one_is_of_no_use_to_another(guarded, key):
    with flight.connect(guarded) as client:
        ann, bob = (
            headers(
                authorization=f"Bearer {key('accountant', name=name)}", polyport_product="films"
            )
            for name in ("ann", "bob")
        )
        info = client.get_flight_info(command(m.CommandStatementQuery(query="FROM films")), ann)
        ticket = info.endpoints[0].ticket
        with pytest.raises(pa.ArrowKeyError, match="this answer is not known"):
            client.do_get(ticket, bob)
        request = m.CancelFlightInfoRequest(info=m.FlightInfo.parse(info.serialize()))
        with pytest.raises(pa.ArrowKeyError, match="this answer is not known"):
            act(client, "CancelFlightInfo", request, bob, plain=True)
        (made,) = act(
            client, "CreatePreparedStatement",
            m.ActionCreatePreparedStatementRequest(query="FROM films"), ann,
        )  # fmt: skip
        handle = m.unwrap(made, m.ActionCreatePreparedStatementResult).prepared_statement_handle
        mine = command(m.CommandPreparedStatementQuery(prepared_statement_handle=handle))
        with pytest.raises(pa.ArrowKeyError, match="this prepared statement is not known"):
            client.get_flight_info(mine, bob)
        (begun,) = act(client, "BeginTransaction", m.ActionBeginTransactionRequest(), ann)
        transaction = m.unwrap(begun, m.ActionBeginTransactionResult).transaction_id
        asked = m.CommandStatementQuery(query="SELECT 1", transaction_id=transaction)
        with pytest.raises(pa.ArrowKeyError, match="this transaction is not known"):
            client.get_flight_info(command(asked), bob)
        act(
            client, "EndTransaction", m.ActionEndTransactionRequest(transaction_id=transaction), bob
        )
        assert ask(client, asked, ann).num_rows == 1
        assert client.do_get(ticket, ann).read_all().num_rows == 5
        with pytest.raises(pa.ArrowKeyError, match="this answer is not known"):
            client.do_get(ticket, ann)
        assert ask(client, m.CommandPreparedStatementQuery(prepared_statement_handle=handle), ann)


# Ends


def test_requests_are_counted(connect, products):
    films = products["films"]
    before = requests(films)
    rows(connect(), "SELECT * FROM films")
    with pytest.raises(ProgrammingError):
        rows(connect(), "SELECT nope")
    added = requests(films) - before
    assert added == {("owner", "200"): 1, ("owner", "400"): 1}


def requests(product):
    found = product.ledger.usage.requests("films")
    return Counter(
        {(r["principal"], r["status"]): r["requests"] for r in found if r["port"] == "flight"}
    )


def test_lines_and_snippets_run_when_pasted(listener, products):
    (port,) = products["films"].ports()
    assert isinstance(port, FlightPort)
    base = f"grpc://127.0.0.1:{listener.port}"
    line = port.client_line(base, "films").replace("python -c", f"{sys.executable} -c", 1)
    ran = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "Alien" in ran.stdout
    for name, lines in port.snippets(base, "films").items():
        ran = subprocess.run(
            [sys.executable, "-c", lines], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, (name, ran.stderr)
        assert "Alien" in ran.stdout, name


def test_where_one_logs_in_lines_have_a_place_for_the_key(products):
    (port,) = products["films"].ports()
    lines = [
        port.client_line("grpc+tls://ann@h:1", "films"),
        *port.snippets("grpc+tls://ann@h:1", "films").values(),
    ]
    for line in lines:
        assert "'grpc+tls://h:1'" in line
        assert "'adbc.flight.sql.authorization_header': 'Bearer KEY'" in line


@pytest.mark.parametrize(
    "dataset", ["a 'b' $(touch /nix) `x`", 'say "hi"', "a;b", "back\\\\slash", "well!"]
)
def test_a_line_survives_any_name(products, dataset):
    (port,) = products["films"].ports()
    line = port.client_line("grpc://h:1", dataset)
    compile(subprocess.run(
        ["sh", "-c", line.replace("python -c", "printf %s", 1)],
        capture_output=True, text=True, check=True,
    ).stdout, "line", "exec")  # fmt: skip
