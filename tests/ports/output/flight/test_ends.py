"""How calls end: cancelled, given up, hostile, all at once, by TLS; and the server goes on."""

from __future__ import annotations

import datetime as dt
import ssl
import threading
import time

import adbc_driver_manager
import pyarrow as pa
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import flight

from polyport.access.identity import Identity
from polyport.errors import ConfigurationError
from polyport.ports.output import Endpoint
from polyport.ports.output.flight import FlightPort, actions, statements
from polyport.ports.output.flight import messages as m

from .asking import act, ask, command, headers

LONG = "SELECT a.i + b.i AS n FROM range(1000000) a(i), range(1000000) b(i)"
SLOW = "SELECT count(*) FROM range(1000000) a(i), range(1000000) b(i) WHERE hash(a.i + b.i) = 7"
FILMS = headers(polyport_product="films")


def state(listener):
    return listener._server.state


def settled(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to it in time"
        time.sleep(0.05)


def info(client, sql, options=FILMS):
    return client.get_flight_info(command(m.CommandStatementQuery(query=sql)), options)


def cancel_of(found):
    return m.CancelFlightInfoRequest(info=m.FlightInfo.parse(found.serialize()))


def test_an_answer_that_is_read_is_cancelled(raw, listener):
    found = info(raw, LONG)
    reader = raw.do_get(found.endpoints[0].ticket, FILMS)
    reader.read_chunk()
    (answer,) = act(raw, "CancelFlightInfo", cancel_of(found), FILMS, plain=True)
    assert m.CancelFlightInfoResult.parse(answer).status == 1
    with pytest.raises((flight.FlightCancelledError, KeyboardInterrupt)):  # pyarrow makes it one
        reader.read_all()
    settled(lambda: len(state(listener).statements) == 0)
    assert ask(raw, m.CommandStatementQuery(query="SELECT 1 AS n"), FILMS).num_rows == 1


def test_one_that_waits_is_cancelled_in_the_older_way(raw, listener):
    found = info(raw, LONG)
    old = m.ActionCancelQueryRequest(info=found.serialize())
    (answer,) = act(raw, "CancelQuery", old, FILMS)
    assert m.unwrap(answer, m.ActionCancelQueryResult).result == 1
    with pytest.raises(pa.ArrowKeyError, match="this answer is not known"):
        raw.do_get(found.endpoints[0].ticket, FILMS)
    with pytest.raises(pa.ArrowKeyError):
        act(raw, "CancelFlightInfo", cancel_of(found), FILMS, plain=True)
    with pytest.raises(pa.ArrowInvalid, match="not said what to cancel"):
        act(raw, "CancelFlightInfo", m.CancelFlightInfoRequest(), FILMS, plain=True)


def test_adbc_cancels(connect):
    with connect().cursor() as cursor:
        cursor.execute(LONG)
        reader = cursor.fetch_record_batch()
        reader.read_next_batch()
        cursor.adbc_cancel()
        with pytest.raises((adbc_driver_manager.Error, pa.ArrowException, OSError)):
            list(zip(range(10_000), reader, strict=False))


def test_a_client_that_goes_ends_its_query(uri, listener):
    client = flight.connect(uri)
    reader = client.do_get(info(client, LONG).endpoints[0].ticket, FILMS)
    reader.read_chunk()
    assert len(state(listener).statements) == 1
    reader.cancel()
    client.close()
    settled(lambda: len(state(listener).statements) == 0)


def test_a_client_that_waits_no_longer_ends_its_query(raw, listener, products):
    impatient = flight.FlightCallOptions(timeout=1.0, headers=[(b"polyport-product", b"films")])
    with pytest.raises((flight.FlightTimedOutError, flight.FlightCancelledError)):
        info(raw, SLOW, impatient)
    busy = [t for t in threading.enumerate() if "flight" in t.name]
    assert len(busy) == 1  # the watch
    settled(lambda: not listener._server.watch._calls)
    assert ask(raw, m.CommandStatementQuery(query="SELECT 1 AS n"), FILMS).num_rows == 1


def test_an_answer_is_given_once(raw):
    ticket = info(raw, LONG).endpoints[0].ticket
    reader = raw.do_get(ticket, FILMS)
    reader.read_chunk()
    with pytest.raises(pa.ArrowInvalid, match="this answer is read already"):
        raw.do_get(ticket, FILMS).read_chunk()
    reader.cancel()


def test_answers_that_nobody_reads_make_room(raw, listener):
    tickets = [info(raw, "SELECT 1 AS n").endpoints[0].ticket for _ in range(18)]
    assert len(state(listener).statements) == 16
    with pytest.raises(pa.ArrowKeyError):
        raw.do_get(tickets[0], FILMS)
    assert raw.do_get(tickets[-1], FILMS).read_all().num_rows == 1


def test_rows_wait_for_their_reader(raw, listener):
    """The server does not run ahead of a client that reads slowly."""
    reader = raw.do_get(info(raw, LONG).endpoints[0].ticket, FILMS)
    reader.read_chunk()
    time.sleep(1)
    before = pa.total_allocated_bytes()
    for _ in range(50):
        reader.read_chunk()
    assert pa.total_allocated_bytes() - before < 64 * 1024 * 1024
    reader.cancel()


def test_a_transaction_is_shared_by_statements_at_once(raw):
    (begun,) = act(raw, "BeginTransaction", m.ActionBeginTransactionRequest(), FILMS)
    handle = m.unwrap(begun, m.ActionBeginTransactionResult).transaction_id
    errors = []

    def work(n):
        try:
            asked = m.CommandStatementQuery(
                query=f"SELECT id + {n} AS n FROM films ORDER BY id", transaction_id=handle
            )
            for _ in range(3):
                found = raw.do_get(
                    raw.get_flight_info(command(asked), FILMS).endpoints[0].ticket, FILMS
                )
                assert found.read_all()["n"][0].as_py() == 1 + n
        except Exception as error:  # noqa: BLE001 - for the test's thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    act(raw, "EndTransaction", m.ActionEndTransactionRequest(transaction_id=handle), FILMS)


def test_closing_ends_what_is_being_read(node, products):
    listener = node(identity=Identity(products["films"].control, local_owner=True))
    client = flight.connect(f"grpc://127.0.0.1:{listener.port}")
    reader = client.do_get(info(client, LONG).endpoints[0].ticket, FILMS)
    reader.read_chunk()
    closing = threading.Thread(target=listener.close)
    closing.start()
    with pytest.raises(flight.FlightUnavailableError):
        reader.read_all()
    closing.join(20)
    assert not closing.is_alive()
    client.close()


# Where it listens


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "cert.pem", folder / "key.pem"


def test_tls(node, products, certificate, connect, key):
    chain, private = certificate
    listener = node(
        identity=Identity(products["films"].control), certificate=chain, certificate_key=private
    )
    options = {
        "adbc.flight.sql.client_option.tls_root_certs": chain.read_text("ascii"),
        "username": "ann",
        "password": key("accountant"),
    }
    connection = connect(options=options, at=f"grpc+tls://localhost:{listener.port}")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM films")
        assert cursor.fetchall() == [(5,)]
    with pytest.raises(adbc_driver_manager.Error):
        connect(options=dict(list(options.items())[1:]), at=f"grpc://localhost:{listener.port}")
    found = ssl.get_server_certificate(("localhost", listener.port))
    assert "BEGIN CERTIFICATE" in found


def test_what_cannot_be_listened_on(node, products, certificate, tmp_path):
    taken = node()
    ports = products["films"].ports()
    for wrong in (
        Endpoint(port=taken.port),
        Endpoint("192.0.2.1"),
        Endpoint("0.0.0.0"),
        Endpoint(certificate=tmp_path / "nope.pem"),
        Endpoint(certificate=certificate[1]),
    ):
        with pytest.raises(ConfigurationError):
            FlightPort.listen(ports, wrong)
    assert not [t for t in threading.enumerate() if "flight" in t.name][1:]


def test_only_the_owner_can_call_where_nobody_is_known(node):
    listener = node()
    with flight.connect(f"grpc://127.0.0.1:{listener.port}") as client:
        assert ask(client, m.CommandStatementQuery(query="SELECT 1 AS n"), FILMS).num_rows == 1
        with pytest.raises(flight.FlightUnauthenticatedError, match="no key is known here"):
            info(client, "SELECT 1", headers(authorization="Bearer x"))


# Hostile bytes


@pytest.fixture(scope="module")
def target(products):
    listener = FlightPort.listen(
        [p for name in products for p in products[name].ports()],
        Endpoint(identity=Identity(products["films"].control, local_owner=True)),
    )
    client = flight.connect(f"grpc://127.0.0.1:{listener.port}")
    yield client
    client.close()
    listener.close()


FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NAMES = [
    c.__name__ for c in vars(m).values()
    if isinstance(c, type) and issubclass(c, m.Message) and c is not m.Message
]  # fmt: skip
BYTES = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda name, value: m.Any(type_url=m.PREFIX + name, value=value).encode(),
        st.sampled_from(NAMES),
        st.binary(max_size=100),
    ),
    st.builds(
        lambda text, other: m.wrap(m.CommandStatementQuery(query=text, transaction_id=other)),
        st.text(max_size=50),
        st.none() | st.binary(max_size=30),
    ),
)


def refused(call):
    """Whatever is sent, the client is told in an error of Flight's, without the server's paths."""
    try:
        call()
    except (pa.ArrowException, flight.FlightError) as error:
        assert "Traceback" not in str(error)
        assert "the server failed" not in str(error)


@FUZZ
@given(BYTES)
def test_hostile_commands(target, data):
    descriptor = flight.FlightDescriptor.for_command(data)
    refused(lambda: target.get_flight_info(descriptor))
    refused(lambda: target.get_schema(descriptor))


@FUZZ
@given(BYTES)
def test_hostile_tickets(target, data):
    refused(lambda: target.do_get(flight.Ticket(data)).read_all())


@FUZZ
@given(st.sampled_from([*actions.ACTIONS, *actions.REFUSED, "", "nope"]), BYTES)
def test_hostile_actions(target, name, data):
    refused(lambda: list(target.do_action(flight.Action(name, data))))


@settings(FUZZ, max_examples=40)
@given(BYTES, st.integers(0, 3))
def test_hostile_puts(target, data, columns):
    batch = pa.record_batch({str(n): [1] for n in range(columns)})

    def put():
        writer, reader = target.do_put(flight.FlightDescriptor.for_command(data), batch.schema)
        with writer:
            writer.write_batch(batch)
            writer.done_writing()
            reader.read()

    refused(put)


@settings(FUZZ, max_examples=60)
@given(
    st.sampled_from(["authorization", "cookie", "polyport-role", "polyport-product",
                     "polyport-purpose", "polyport-snapshot"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
)  # fmt: skip
def test_hostile_headers(target, name, value):
    options = flight.FlightCallOptions(headers=[(name.encode(), value.encode())])
    refused(lambda: info(target, "SELECT 1", options))


def test_it_still_answers(target):
    assert ask(target, m.CommandStatementQuery(query="SELECT 1 AS n"), FILMS).num_rows == 1


def test_too_long_and_too_many(raw, connect):
    with pytest.raises(pa.ArrowInvalid, match="bytes are more than"):
        info(raw, "SELECT 1 --" + "x" * (1 << 20))
    with (
        connect().cursor() as cursor,
        pytest.raises(adbc_driver_manager.Error, match="more than 1000 rows"),
    ):
        cursor.execute("SELECT ?", pa.table({"a": list(range(1001))}))
    with pytest.raises(pa.ArrowNotImplementedError, match="flights are not listed"):
        list(raw.list_flights())
    with pytest.raises(pa.ArrowNotImplementedError, match="no action 'nope'"):
        act(raw, "nope", m.CloseSessionRequest())
    assert {a.type for a in raw.list_actions()} == set(actions.ACTIONS)


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=40), st.integers(100, 5000))
def test_pieces_are_all_the_rows_and_small(sizes, most):
    batch = pa.record_batch({"text": ["x" * size for size in sizes], "n": range(len(sizes))})
    before, statements.PIECE = statements.PIECE, most
    try:
        found = list(statements.pieces(batch))
    finally:
        statements.PIECE = before
    assert pa.Table.from_batches(found).to_pylist() == batch.to_pylist()
    assert all(part.nbytes <= 2 * most or part.num_rows == 1 for part in found)
