from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from polyport.errors import ConfigurationError
from polyport.product import Product
from polyport.server import (
    Node,
    check_address,
    client_lines,
    create_app,
    listening,
    login,
    opened,
    serve,
)
from polyport.testing.asgi import Client
from polyport.testing.output_port import make_product


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    with make_product(tmp_path_factory.mktemp("server") / "films", "rest") as made:
        yield made


@pytest.fixture
def client(product):
    return Client(create_app([product]))


def test_a_client_reaches_a_row_knowing_only_the_root(client):
    root = client.get("/").json()
    document = client.get(root["_links"]["product"][0]["href"]).json()
    assert document["name"] == "Films"
    assert document["datasets"][0]["rows"] == 4
    port = client.get(document["_links"]["port"][0]["href"]).json()
    page = client.get(port["_links"]["item"][0]["href"]).json()
    row = page["_embedded"]["films"][0]
    assert client.get(row["_links"]["self"]["href"]).json()["title"] == row["title"]


def test_a_foreign_host_name_is_refused(product):
    client = Client(create_app([product]))
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/", headers={"host": "127.0.0.1:8400"}).status_code == 200


def test_nothing_is_a_problem_document(client):
    reply = client.get("/no/such/place")
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["code"] == "PP410"


@pytest.mark.parametrize(
    "path",
    ["/products", "/products/", "/products/none", "/products/none/rest/v1/", "/products/film"],
)
def test_no_other_product_is_there(client, path):
    reply = client.get(path)
    assert (reply.status_code, reply.json()["code"]) == (404, "PP410")


def test_each_product_answers_at_its_own_address(product, tmp_path):
    make_product(tmp_path, "rest").close()
    odps = tmp_path / "dataproduct.odps.yaml"
    odps.write_text(odps.read_text("utf-8").replace("id: films", "id: books"), "utf-8")
    with Product.load(tmp_path) as other:
        other.build()
        client = Client(create_app([product, other], unserved=["lost"]))
        found = {
            name: client.get(f"/products/{name}/rest/v1/").json()["product"]["id"]
            for name in ("films", "books")
        }
        assert found == {"films": "films", "books": "books"}
        for path in ("/products/lost", "/products/lost/rest/v1/films"):
            assert client.get(path).status_code == 503


def test_what_is_not_offered_is_a_problem_document(client):
    reply = client.send("POST", "/")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD")
    assert reply.headers["content-type"] == "application/problem+json"


def test_many_answers_are_made_at_once(product):
    """Each waits for a disk or a worker: as many threads as asyncio itself would take are too few."""
    together = threading.Barrier(30, timeout=20)

    async def served():
        told = asyncio.Queue()
        await told.put({"type": "lifespan.startup"})
        app = create_app([product])
        sent = asyncio.Queue()
        life = asyncio.create_task(app({"type": "lifespan", "state": {}}, told.get, sent.put))
        assert (await sent.get())["type"] == "lifespan.startup.complete"
        await asyncio.gather(*(asyncio.to_thread(together.wait) for _ in range(30)))
        await told.put({"type": "lifespan.shutdown"})
        await life

    asyncio.run(served())


def test_serving_beyond_this_machine_is_refused(product):
    with pytest.raises(ConfigurationError, match="nobody can log in"):
        serve([product], Node("0.0.0.0"))


ISSUER = {"oidc": [{"issuer": "https://login.example", "audience": "polyport"}]}


@pytest.mark.parametrize(
    ("at", "owner"),
    [
        (Node(), True),
        (Node("::1"), True),
        (Node(identity={"local_owner": False}), False),
        (Node(identity=ISSUER), False),
        (Node(identity=ISSUER | {"local_owner": True}), False),
        (Node("0.0.0.0", identity=ISSUER | {"local_owner": True}), False),
    ],
)
def test_who_is_let_in(product, at, owner):
    found = login([product], at)
    assert (found.local_owner, found.issuers is not None) == (owner, "oidc" in at.identity)


def test_addresses():
    pem = Path("x.pem")
    assert Node("0.0.0.0", 1).base == "http://0.0.0.0:1"
    assert Node("::1", 1, pem).base == Node("[::1]", 1, pem).base == "https://[::1]:1"


def test_what_is_shown_can_be_asked_for_at_once(product):
    class EndedError(Exception):
        pass

    with socket.create_server(("127.0.0.1", 0)) as probe:
        node = Node(port=probe.getsockname()[1])

    def ready(*_):
        with socket.create_connection(("127.0.0.1", node.port), timeout=5):
            raise EndedError

    with pytest.raises(EndedError):
        serve([product], node, ready=ready)
    check_address(node)  # and nothing listens any more


def test_a_host_of_two_addresses_is_listened_for_at_both():
    asked = {each[4][0] for each in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    found = set()
    for each in opened(Node("localhost", 0)):
        with each:
            found.add(each.getsockname()[0])
    assert found == asked


def test_no_product_cannot_be_served():
    with pytest.raises(ConfigurationError, match="no product"):
        login([], Node())


def test_a_certificate_that_is_none(product, tmp_path):
    pem = tmp_path / "x.pem"
    pem.write_text("no certificate")
    with pytest.raises(ConfigurationError, match="TLS cannot be set up"):
        check_address(Node(certificate=pem))


def test_a_badly_written_role_is_refused(client):
    reply = client.get(
        "/products/films/rest/v1/films", headers={"polyport-role": "partner; studio"}
    )
    assert (reply.status_code, reply.json()["code"]) == (403, "PP400")


def test_the_owner_role_cannot_be_combined(client):
    reply = client.get(
        "/products/films/rest/v1/films",
        headers={"polyport-role": "owner, partner; studio=Universal"},
    )
    assert [row["id"] for row in reply.json()["_embedded"]["films"]] == [2]


def test_client_lines_name_the_port(product):
    assert (
        "http://127.0.0.1:8400/products/films/rest/v1"
        in client_lines(product, "http://127.0.0.1:8400")["rest"]
    )


@pytest.mark.parametrize("kind", ["sql", "flight"])
def test_a_port_that_is_in_use_is_named_with_its_option(tmp_path, kind):
    with (
        make_product(tmp_path / "films", kind) as product,
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        number = taken.getsockname()[1]
        node = Node(listen={kind: number})
        with (
            pytest.raises(ConfigurationError, match="in use") as caught,
            listening([product], node, None),
        ):
            pass
    assert caught.value.where == f"serve --listen {kind}={number}"
    assert caught.value.fix == f"polyport serve --listen {kind}={number + 1}"
