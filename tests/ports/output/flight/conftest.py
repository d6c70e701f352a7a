"""Two products behind one listener, and clients that know nothing of Polyport."""

from __future__ import annotations

import shutil

import adbc_driver_flightsql.dbapi as adbc
import pytest
from pyarrow import flight

from polyport.access import keys
from polyport.access.identity import Identity
from polyport.mesh import Mesh
from polyport.model import Principal
from polyport.ports.output import Endpoint
from polyport.ports.output.flight import FlightPort
from polyport.testing.output_port import ROWS, make_product, write_rows

HEADER = "adbc.flight.sql.rpc.call_header."


MORE = ["2,Dune,,Universal,7.00", "9,Nine,,Fox,9.00"]


def another(folder):
    """As `make_product` makes it, with another id, another dataset, a foreign key, and words."""
    make_product(folder, "flight", rows=MORE).close()
    shutil.rmtree(folder / ".polyport")
    file = folder / "dataproduct.odps.yaml"
    file.write_text(file.read_text("utf-8").replace("id: films\n", "id: more-films\n"), "utf-8")
    file = folder / "contracts" / "films.odcs.yaml"
    text = file.read_text("utf-8")
    text = text.replace("- name: films", "- name: films\n    description: More of them.")
    text = text.replace(
        "{name: studio, ",
        "{name: studio, description: Who made it., relationships: [{to: studios.name}], ",
    )
    file.write_text(text + STUDIOS, "utf-8")
    file = folder / "polyport.yaml"
    text = file.read_text("utf-8")
    own = text.partition("partner: ")[2].strip()
    text = text.replace(own, f"{{datasets: {{films: {own}, studios: {{}}}}}}")
    file.write_text(text, "utf-8")
    step = folder / "transform" / "studios.sql"
    step.write_text("SELECT DISTINCT studio AS name FROM sheet", "utf-8")


STUDIOS = """
  - name: studios
    properties:
      - {name: name, logicalType: string, physicalType: VARCHAR, primaryKey: true, required: true}
"""


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flight")
    make_product(folder / "films", "flight").close()
    shutil.rmtree(folder / "films" / ".polyport")
    another(folder / "more")
    (folder / "mesh.yaml").write_text("name: mesh\nproducts: ['*']\n", "utf-8")
    with Mesh.find(folder) as mesh:
        made = mesh.each()
        for product in made.values():
            product.build()
        films = made["films"]
        write_rows(films.spec.home, [*ROWS, "5,New,2026-01-01,Fox,1.00"])
        films.build()
        yield made


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
        ports = [port for name in names for port in products[name].ports()]
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
