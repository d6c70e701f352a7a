"""The protocol itself: order of messages, errors, portals, cursors, transactions, hostile bytes."""

from __future__ import annotations

import errno
import os
import random
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from .wire_client import SYNC, Wire, bind, execute, fields, framed, kinds, parse, startup, state


@pytest.fixture
def wire(served):
    with Wire(served.port, user="owner", database="cinema") as found:
        yield found


def rows(messages):
    return [body for kind, body in messages if kind == b"D"]


def tag(messages):
    return next(body for kind, body in messages if kind == b"C").rstrip(b"\0").decode()


def value(messages):
    """The first value of the first row."""
    body = rows(messages)[0]
    size = struct.unpack_from("!i", body, 2)[0]
    return None if size < 0 else body[6 : 6 + size].decode()


def said_all(raw):
    """Nothing more comes from here; the server may have closed before."""
    try:
        raw.shutdown(socket.SHUT_WR)
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise


def test_the_greeting_tells_what_clients_need(wire):
    assert kinds(wire.greeting)[0] == "R"
    assert kinds(wire.greeting)[-2:] == "KZ"
    told = dict(body.rstrip(b"\0").split(b"\0", 1) for kind, body in wire.greeting if kind == b"S")
    assert told[b"server_encoding"] == told[b"client_encoding"] == b"UTF8"
    assert told[b"integer_datetimes"] == b"on"


def test_several_statements_in_one_text_stop_at_the_first_error(wire):
    found = wire.query("SELECT 1; SELECT 'a;b' /* ; */; SELECT $$;$$; SELEC; SELECT 2")
    assert kinds(found) == "TDCTDCTDCEZ"
    assert state(found) == "42601"
    assert kinds(wire.query("")) == "IZ"
    assert kinds(wire.query(" ; -- nothing\n")) == "IZ"


def test_a_position_counts_in_the_whole_text(wire):
    found = wire.query("SELECT 1;\n  SELECT nothing FROM films")
    said = fields(found[-2][1])
    assert said["C"] == "42703"
    assert said["P"] == str("SELECT 1;\n  SELECT nothing".index("nothing") + 1)


def test_errors_skip_to_sync(wire):
    found = wire.ask(
        parse("SELECT nothing FROM films"), framed(b"D", b"S\0"), bind(), execute(), SYNC
    )
    assert kinds(found) == "1EZ"
    assert kinds(wire.ask(parse("SELECT 1"), bind(), execute(), SYNC)) == "12DCZ"


def test_portals_give_rows_bit_by_bit(wire):
    wire.query("BEGIN")
    found = wire.ask(
        parse("SELECT id FROM films ORDER BY id LIMIT 5"), bind(portal="p"), execute(2, "p"), execute(2, "p"),
        execute(2, "p"), SYNC,
    )  # fmt: skip
    assert kinds(found) == "12DDsDDsDCZ"
    assert tag(found) == "SELECT 1"
    assert state(wire.ask(bind(portal="p"), SYNC)) == "42P03"
    assert found[-1] == (b"Z", b"T")
    wire.query("ROLLBACK")
    assert state(wire.ask(execute(0, "p"), SYNC)) == "34000"


def test_outside_of_a_transaction_portals_end_with_sync(wire):
    assert (
        kinds(wire.ask(parse("SELECT 1 FROM films"), bind(portal="p"), execute(1, "p"), SYNC))
        == "12DsZ"
    )
    assert state(wire.ask(execute(1, "p"), SYNC)) == "34000"


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([bind(name="nowhere")], "26000"),
        ([execute(0, "nowhere")], "34000"),
        ([framed(b"D", b"Snowhere\0")], "26000"),
        ([framed(b"D", b"Pnowhere\0")], "34000"),
        ([parse("SELECT 1; SELECT 2")], "42601"),
        ([parse("SELECT $1::int"), bind()], "08P01"),
        ([parse("SELECT $1::int"), bind(b"x")], "22P02"),
        ([parse("SELECT $1::int"), bind(b"\0\0", formats=(1,))], "22P03"),
        ([parse("SELECT $1::int"), bind(b"1", formats=(7,))], "22023"),
        ([parse("SELECT $1::text"), bind(b"\xff\xfe")], "22021"),
        ([parse("SELECT 1", "twice"), parse("SELECT 1", "twice")], "42P05"),
        ([parse("SELECT $70000")], None),
        ([parse("SELECT 1"), bind(results=(0, 1)), framed(b"D", b"P\0")], "08P01"),
    ],
)  # fmt: skip
def test_what_is_asked_wrong_is_told(wire, messages, expected):
    found = wire.ask(*messages, SYNC)
    if expected is None:
        found = wire.ask(bind(), SYNC)
        expected = "42P02"
    assert state(found) == expected
    if b"SFATAL" not in found[-1][1]:
        assert value(wire.query("SELECT 7")) == "7"


def test_parameters_are_described(wire):
    sql = "SELECT count(*) FROM films WHERE id = $1 AND released = $2 AND cost > $3 AND studio = $4"
    found = wire.ask(parse(sql), framed(b"D", b"S\0"), SYNC)
    body = next(body for kind, body in found if kind == b"t")
    assert struct.unpack("!H4I", body) == (4, 20, 1082, 1700, 25)


def test_a_date_as_jdbc_sends_it(wire):
    found = wire.ask(
        parse("SELECT count(*) FROM films WHERE released = $1"),
        bind(b"1990-01-03 +00"),
        execute(),
        SYNC,
    )
    assert value(found) == "1"


def test_cursors(wire):
    assert state(wire.query("DECLARE c CURSOR FOR SELECT id FROM films")) == "25P01"
    wire.query("BEGIN")
    assert (
        tag(wire.query("DECLARE c NO SCROLL CURSOR FOR SELECT id FROM films ORDER BY id"))
        == "DECLARE CURSOR"
    )
    assert tag(wire.query("MOVE FORWARD 10 IN c")) == "MOVE 10"
    assert value(wire.query("FETCH NEXT FROM c")) == "11"
    assert tag(wire.query("FETCH 5 c")) == "FETCH 5"
    assert state(wire.query("FETCH PRIOR FROM c")) == "55000"
    assert state(wire.query("SELECT 1")) == "25P02"
    wire.query("ROLLBACK")
    assert (
        tag(wire.query("DECLARE c CURSOR WITH HOLD FOR SELECT id FROM films ORDER BY id"))
        == "DECLARE CURSOR"
    )
    assert tag(wire.query("FETCH ALL FROM c")) == "FETCH 5000"
    assert tag(wire.query("FETCH ALL FROM c")) == "FETCH 0"
    assert tag(wire.query("CLOSE c")) == "CLOSE CURSOR"
    assert state(wire.query("FETCH c")) == "34000"


def test_transactions(wire):
    assert wire.query("BEGIN")[-1] == (b"Z", b"T")
    assert kinds(wire.query("BEGIN")) == "NCZ"
    wire.query("SAVEPOINT a")
    assert wire.query("SELECT * FROM nothing")[-1] == (b"Z", b"E")
    assert wire.query("ROLLBACK TO a")[-1] == (b"Z", b"T")
    wire.query("SELEC")
    assert tag(wire.query("COMMIT")) == "ROLLBACK"
    assert kinds(wire.query("COMMIT")) == "NCZ"
    assert state(wire.query("SAVEPOINT b")) == "25P01"


def test_prepared_by_sql(wire):
    assert tag(wire.query("PREPARE q (int, text) AS SELECT $1 + 1, $2 || '!'")) == "PREPARE"
    assert rows(wire.query("EXECUTE q (41, 'it''s')"))[0].endswith(b"42\0\0\0\5it's!")
    assert state(wire.query("EXECUTE q (1)")) == "42601"
    assert state(wire.query("PREPARE q AS SELECT 1")) == "42P05"
    assert tag(wire.query("DEALLOCATE q")) == "DEALLOCATE"
    assert state(wire.query("EXECUTE q (1, 'x')")) == "26000"
    assert tag(wire.query("DISCARD ALL")) == "DISCARD ALL"


def test_snapshots(wire, served):
    assert value(wire.query("SELECT count(*) FROM people")) == "2"
    wire.query("SET polyport.snapshot = '1'")
    assert value(wire.query("SELECT count(*) FROM people")) == "1"
    assert value(wire.query("SHOW polyport.snapshot")) == "1"
    assert state(wire.query("SET polyport.snapshot TO '99'")) == "22023"
    assert value(wire.query("SELECT count(*) FROM people")) == "1"
    wire.query("RESET polyport.snapshot")
    assert value(wire.query("SELECT count(*) FROM people")) == "2"
    with Wire(
        served.port, user="owner", database="cinema", options="-c polyport.snapshot=1"
    ) as other:
        assert value(other.query("SELECT count(*) FROM people")) == "1"


def test_a_transaction_does_not_rest_for_ever(served, monkeypatch):
    with Wire(served.port, user="owner", database="cinema") as wire:
        (held,) = [c.held for c in served.server._known.values() if c.secret[0] == number(wire)]
        held.session.walls = replace(held.session.walls, idle=0.2)
        time.sleep(0.5)  # outside of a transaction it may
        assert value(wire.query("SELECT 1")) == "1"
        wire.query("BEGIN")
        wire.query("SELECT nothing")  # a failed one, too
        assert state(wire.until()) == "25P03"
        assert wire.read() == (b"", b"")


@pytest.mark.parametrize("gone", [False, True])
def test_whoever_waits_for_a_worker_can_go(served, gone):
    with (
        Wire(served.port, user="owner", database="cinema") as busy,
        Wire(served.port, user="owner", database="cinema") as waiting,
    ):
        known = served.server._known
        for wire in (busy, waiting):
            session = known[number(wire)].held.session
            session.walls = replace(session.walls, workers=1)
        computing, waits = known[number(busy)], known[number(waiting)]
        busy.send(framed(b"Q", b"SELECT count(*) FROM range(100000000000) WHERE hash(range) = 1\0"))
        until(lambda: computing.held.session._running)
        waiting.send(framed(b"Q", b"SELECT count(*) FROM films\0"))
        until(lambda: waits.running)
        time.sleep(0.1)
        if gone:
            waiting.socket.shutdown(socket.SHUT_RDWR)
            until(lambda: number(waiting) not in known)
        else:
            secret = dict(waiting.greeting)[b"K"]
            with Wire(served.port) as other:
                other.send(struct.pack("!ii", 16, 80877102) + secret)
                assert other.read() == (b"", b"")
            assert state(waiting.until()) == "57014"
        assert computing.held.session._running  # and nobody else is ended
        computing.cancel()
        assert state(busy.until()) == "57014"


def until(test):
    ends = time.monotonic() + 30
    while not test():
        assert time.monotonic() < ends
        time.sleep(0.01)


def number(wire):
    return int.from_bytes(dict(wire.greeting)[b"K"][:4], "big")


def test_the_owner_previews(wire, served):
    options = r"-c polyport.role=analyst -c polyport.purpose=planning"
    with Wire(served.port, user="owner", database="cinema", options=options) as other:
        assert value(other.query("SELECT min(year) FROM films")) == "1980"
        assert value(other.query("SHOW polyport.role")) == "analyst"
        other.query("SET polyport.purpose = 'fun'")
        assert state(other.query("SELECT min(year) FROM films")) == "42501"
    wire.query("BEGIN")
    assert state(wire.query("SET polyport.role = 'analyst'")) == "25001"
    assert state(wire.query("SET polyport.nothing = 1")) in ("42704", "25P02")


def test_databases(served):
    with Wire(served.port, user="owner", database="mesh") as mesh:
        assert value(mesh.query('SELECT count(*) FROM "cinema"."films"')) == "5000"
        assert value(mesh.query("SELECT count(*) FROM films")) == "5000"
    with Wire(served.port, user="owner", database="nothing") as wrong:
        assert state(wrong.greeting) == "3D000"
    with Wire(served.port, user="owner", database="owner") as default:
        assert value(default.query("SELECT count(*) FROM films")) == "5000"


def test_requests_and_reads_are_recorded(wire, served):
    before = len(served.product.ledger.reads("cinema"))
    wire.query("SELECT title FROM films LIMIT 3")
    wire.query("SELECT * FROM nothing")
    reads = served.product.ledger.reads("cinema")
    assert len(reads) == before + 1
    assert reads[0]["port"] == "sql"
    assert reads[0]["principal"] == "owner"


def test_a_client_that_goes_ends_its_statement(served):
    with Wire(served.port, user="owner", database="cinema") as going:
        going.send(
            framed(
                b"Q",
                b"SELECT count(*) FROM films a, films b, films c WHERE a.cost + b.cost < c.cost\0",
            )
        )
        time.sleep(0.5)
        assert any(c.running for c in served.server._known.values())
    until = time.monotonic() + 20
    while any(c.running for c in served.server._known.values()):
        assert time.monotonic() < until
        time.sleep(0.05)


def settled(server) -> int:
    """How many connections are left, once they had time to end."""
    until = time.monotonic() + 20
    while server._open and time.monotonic() < until:
        time.sleep(0.05)
    return len(server._open)


def test_hostile_first_bytes(served):
    for first in (
        b"", b"\0", b"\0\0\0\0", b"\xff" * 100, struct.pack("!i", 1 << 30) + b"x" * 100, struct.pack("!ii", 8, 1),
        startup(2 << 16), startup(), startup(user="owner", replication="database"), b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("!ii", 16, 80877102) + b"\0" * 8, startup(user="o" * 20_000),
        startup(user="owner", options="-c"), startup(user="owner", options="-c polyport.x=1"), startup()[:-1],
    ):  # fmt: skip
        with (
            suppress(ConnectionError),  # what it did not read, it throws away
            socket.create_connection(("127.0.0.1", served.port), timeout=30) as raw,
        ):
            raw.sendall(first)
            said_all(raw)
            while raw.recv(4096):
                pass
    assert settled(served.server) == 0


def test_hostile_messages_never_end_the_server(served):
    chance = random.Random(4)
    seeds = [
        parse("SELECT $1::int"),
        bind(b"1"),
        execute(),
        SYNC,
        framed(b"Q", b"SELECT 1\0"),
        framed(b"C", b"Sx\0"),
    ]
    for turn in range(60):
        with Wire(served.port, user="owner", database="cinema") as wire:
            bad = bytearray(b"".join(chance.choices(seeds, k=3)))
            for _ in range(chance.randint(1, 6)):
                bad[chance.randrange(len(bad))] = chance.randrange(256)
            wire.send(bytes(bad) if turn % 3 else os.urandom(chance.randint(1, 200)))
            said_all(wire.socket)
            wire.until(b"")
    assert settled(served.server) == 0
    with Wire(served.port, user="owner", database="cinema") as wire:
        assert value(wire.query("SELECT 1")) == "1"


def test_a_message_that_is_too_long_ends_the_connection(wire):
    wire.send(b"Q" + struct.pack("!i", (1 << 30)) + b"x")
    assert state(wire.until()) == "08P01"


def test_a_client_that_says_nothing_is_let_go(folder):
    from polyport.ports.output import Endpoint
    from polyport.ports.output.sql import SqlPort
    from polyport.product import Product

    threads = threading.active_count()
    with Product.load(folder) as product:
        server = SqlPort.listen([p for p in product.ports() if isinstance(p, SqlPort)], Endpoint())
        try:
            server.login_seconds = 0.3
            with socket.create_connection(("127.0.0.1", server.port), timeout=30) as slow:
                slow.sendall(b"\0\0")
                while slow.recv(100):
                    pass
            assert settled(server) == 0
            server.most = 1
            with (
                Wire(server.port, user="owner") as first,
                Wire(server.port, user="owner") as second,
            ):
                assert first.greeting[-1] == (b"Z", b"I")
                assert state(second.greeting) == "53300"
        finally:
            server.close()
    assert threading.active_count() <= threads
