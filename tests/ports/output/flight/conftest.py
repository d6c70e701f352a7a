"""Two products behind one listener, and clients that know nothing of Polyport."""

from __future__ import annotations

from dataclasses import replace

import adbc_driver_flightsql.dbapi as adbc
import duckdb
import pyarrow as pa
import pytest
from pyarrow import flight

from polyport.access import keys
from polyport.access.identity import Identity
from polyport.access.sql import Answer, CancelledError, Described
from polyport.errors import QueryError
from polyport.expression import quote
from polyport.model import LATEST, Principal
from polyport.ports.output import Endpoint
from polyport.ports.output.flight import FlightPort
from polyport.product import Product
from polyport.testing.output_port import ROWS, make_product, write_rows


HEADER = "adbc.flight.sql.rpc.call_header."


class FakeSession:
    """What a walled session does, in this process and without walls."""

    def __init__(self, products, product, principal, ref, purpose, mesh):
        self.products, self.product, self.principal = products, "" if mesh else product, principal
        self.ref, self.purpose, self.cancelled = ref, purpose, False
        self.engine = None
        if ref != LATEST and not mesh:
            products[product].open(principal, ref, port="flight").close()

    def _connect(self):
        if self.engine is not None:
            return self.engine
        engine = duckdb.connect()
        engine.execute("ATTACH ':memory:' AS mesh; USE mesh")
        engine.execute("SET TimeZone='UTC'")
        for name, product in self.products.items():
            ref = self.ref if name == self.product else LATEST
            with product.open(self.principal, ref, port="flight", purpose=self.purpose) as view:
                engine.execute(f"CREATE SCHEMA {quote(name)}")
                for dataset in view.datasets:
                    rows = view.scan(dataset).read_all()  # noqa: F841 - named in SQL
                    engine.execute(f"CREATE TABLE {quote(name)}.{quote(dataset)} AS FROM rows")
        if self.product:
            engine.execute(f"USE mesh.{quote(self.product)}")
        return engine

    def begin(self):
        self.engine = self._connect()

    def end(self):
        self.engine = None

    def describe(self, sql, parameters=()):
        try:
            made = self._connect().sql(sql, params=[None] * sql.count("?"))
        except duckdb.Error as error:
            raise QueryError(str(error)) from error
        schema = made.limit(0).to_arrow_table().schema
        return Described(schema, tuple(map(str, made.types)), ("VARCHAR",) * sql.count("?"))

    def query(self, sql, values=()):
        engine = self._connect()
        try:
            made = engine.sql(sql, params=list(values)) if values else engine.sql(sql)
            reader = made.to_arrow_reader(10_000)
        except duckdb.Error as error:
            raise QueryError(str(error)) from error

        def batches():
            try:
                for batch in reader:
                    yield batch
                    if self.cancelled:
                        raise CancelledError("the statement was cancelled")
            except duckdb.Error as error:
                raise QueryError(str(error)) from error

        return Answer(
            pa.RecordBatchReader.from_batches(reader.schema, batches()),
            tuple(map(str, made.types)),
        )

    def cancel(self):
        self.cancelled = True

    def close(self):
        self.engine = None


MORE = ["2,Dune,,Universal,7.00", "9,Nine,,Fox,9.00"]


def another(folder, id_):
    """As `make_product` makes it, by another name and with other rows."""
    make_product(folder, "flight", rows=MORE).close()
    file = folder / "dataproduct.odps.yaml"
    file.write_text(file.read_text("utf-8").replace("id: films\n", f"id: {id_}\n"), "utf-8")
    product = Product.load(folder)
    product.build()
    return product


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flight")
    with make_product(folder / "films", "flight") as films:
        write_rows(films.spec.home, [*ROWS, "5,New,2026-01-01,Fox,1.00"])
        films.build()
        with another(folder / "more", "more-films") as more:
            yield {"films": films, "more-films": more}


@pytest.fixture
def key(products):
    """A function that makes a key for a principal."""

    def made(*roles, name="ann", **attributes):
        who = Principal(name, frozenset(roles), attributes)
        return keys.create(products["films"].control, who, by="owner")[1]

    return made


@pytest.fixture
def node(products):
    """A function that starts a listener."""
    started = []

    def start(names=("films", "more-films"), **endpoint):
        ports = []
        for name in names:
            product = products[name]
            (port,) = product.ports()

            def sql(principal, ref=LATEST, *, purpose="", dialect="duckdb", mesh=False, name=name):
                return FakeSession(products, name, principal, ref, purpose, mesh)

            ports.append(
                FlightPort(replace(port.context, sql=sql, record=product.ledger.record_request))
            )
        started.append(FlightPort.listen(ports, Endpoint(**endpoint)))
        return started[-1]

    yield start
    for listener in started:
        listener.close()


@pytest.fixture
def listener(node, products):
    return node(identity=Identity(products["films"].control, local_owner=True))


@pytest.fixture
def uri(listener):
    return f"grpc://127.0.0.1:{listener.port}"


@pytest.fixture
def raw(uri):
    """pyarrow's own client."""
    with flight.connect(uri) as client:
        yield client


@pytest.fixture
def connect(uri):
    """A function that connects with ADBC."""
    opened = []

    def connected(product="films", options=None, *, autocommit=True, at=uri, **headers):
        chosen = {"product": product} if product else {}
        sent = {f"{HEADER}polyport-{k}": v for k, v in {**chosen, **headers}.items()}
        opened.append(adbc.connect(at, {**sent, **(options or {})}, autocommit=autocommit))
        return opened[-1]

    yield connected
    for connection in opened:
        connection.close()
