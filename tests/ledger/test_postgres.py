"""A mesh whose ledger is in a PostgreSQL: several processes, a server that goes away and comes back."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
import sqlalchemy as sa
from tests.ledger.test_ledger import a_read
from tests.postgres import PASSWORD, QUOTED, postgres

from polyport.errors import StoreError
from polyport.ledger import Ledger
from polyport.mesh import Mesh
from polyport.server import Node, create_app, login
from polyport.testing.asgi import Client
from polyport.testing.output_port import make_product

ROWS = "/products/films/rest/v1/films"


def test_a_server_that_is_started_anew_is_asked_again():
    with postgres() as server:
        ledger = Ledger(f"postgresql+psycopg://{server.address}")
        ledger.record_read(a_read())
        assert ledger.journal.append("key", "k", {}, by="ann").seq == 1
        server.stop()
        with pytest.raises(StoreError, match="cannot be read") as caught:
            ledger.journal.position()
        assert "whether that answers" in caught.value.fix
        ledger.record_read(a_read())
        with pytest.raises(StoreError, match="cannot be written"):
            ledger.flush()
        server.start()
        assert ledger.journal.position() == 1
        assert len(ledger.reads("p")) == 2  # what could not be written has waited
        ledger.close()


def test_one_that_does_not_answer_is_named_without_its_password(server):
    gone = f"postgresql+psycopg://reader:{QUOTED}@127.0.0.1:1/postgres"
    wrong = f"postgresql+psycopg://reader:hunter2@127.0.0.1:{server.port}/postgres"
    for url, said in ((gone, "refused"), (wrong, "password authentication failed")):
        with pytest.raises(StoreError, match=said) as caught:
            Ledger(url)
        told = json.dumps(caught.value.problem())
        assert "127.0.0.1" in caught.value.where
        assert not any(word in told for word in (QUOTED, PASSWORD, "hunter2"))


def test_reads_are_numbered_beyond_two_thousand_millions(server, url):
    ledger = Ledger(url)
    ledger.record_read(a_read(1))
    ledger.flush()
    (schema,) = sa.make_url(url).query["options"].split("=")[1:]
    server.run(f"ALTER SEQUENCE {schema}.reads_id_seq RESTART WITH 3000000000")
    ledger.record_read(a_read(2))
    assert [r["id"] for r in ledger.reads("p")] == [3_000_000_000, 1]
    ledger.close()


@pytest.fixture
def mesh(tmp_path, url, monkeypatch):
    """The folder of a mesh with the product `films`, built."""
    monkeypatch.setenv("LEDGER_PASSWORD", QUOTED)
    root = tmp_path / "mesh"
    with make_product(root / "films", "rest"):
        pass
    address = url.replace(QUOTED, "${LEDGER_PASSWORD}")
    (root / "mesh.yaml").write_text(f'name: cinema\nledger: "{address}"\n')
    return root


@pytest.fixture
def polyport(program, mesh):
    """Runs a command in a process of its own; what it says on stdout."""

    def run(*words):
        ended = subprocess.run(
            [program, *map(str, words)], cwd=mesh / "films", env=os.environ, text=True,
            capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        assert PASSWORD not in ended.stderr + ended.stdout
        return ended.stdout

    return run


def test_a_mesh_is_run_by_several_processes_and_one_ledger(mesh, polyport):
    (run,) = json.loads(polyport("build", "--json"))
    assert run["outcome"] == "published"
    assert not (mesh / ".polyport/ledger.sqlite").exists()
    key = json.loads(polyport("access", "key", "create", "ann", "--role", "accountant", "--json"))
    mine = {"authorization": f"Bearer {key['key']}"}
    with Mesh.find(mesh) as found:
        products, _ = found.readable(mesh)
        client = Client(create_app(products, identify=login(products, Node("0.0.0.0"))))
        assert client.get(ROWS).status_code == 401
        assert client.get(ROWS, headers=mine).status_code == 200
        polyport("access", "key", "revoke", key["id"])
        assert client.get(ROWS, headers=mine).status_code == 401
        products[0].ledger.flush()
    used = json.loads(polyport("metrics", "--json"))
    assert "ann" in json.dumps(used)
    assert json.loads(polyport("history", "--json"))[0]["id"] == run["snapshot"]
    assert json.loads(polyport("quality", "--json"))
    assert json.loads(polyport("lineage", "--json"))


def test_what_breaks_a_contract_is_refused_by_another_process(mesh, polyport, program):
    polyport("build")
    for name, old in (
        ("contracts/films.odcs.yaml", "      - {name: title, logicalType: string, physicalType: VARCHAR}\n"),
        ("transform/films.sql", " title,"),
        ("polyport.yaml", " title,"),
    ):  # fmt: skip
        path = mesh / "films" / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, ""))
    ended = subprocess.run(
        [program, "build"], cwd=mesh / "films", text=True, capture_output=True, timeout=120, check=False
    )  # fmt: skip
    assert ended.returncode != 0
    assert "PP239" in ended.stderr
