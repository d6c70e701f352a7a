"""A built product, behind the SQL port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from polyport.access.identity import Identity
from polyport.ports.output import Endpoint
from polyport.ports.output.sql import SqlPort
from polyport.ports.output.sql.catalogue.programs import find, unprivileged
from polyport.product import Product

from .wire_client import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from polyport.ports.output.sql.catalogue.programs import Programs
    from polyport.ports.output.sql.server import Server

ODPS = """\
apiVersion: v1.1.0
kind: DataProduct
id: cinema
name: Cinema
version: 1.0.0
status: active
domain: film
inputPorts: [{name: source, version: 1.0.0}]
outputPorts: [{name: sql, type: sql, version: 1.0.0, contractId: cinema}]
"""
ODCS = """\
apiVersion: v3.2.0
kind: DataContract
id: cinema
name: Cinema
version: 1.0.0
status: active
schema:
  - name: films
    description: Films and what they cost.
    properties:
      - {name: id, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true, description: The number.}
      - {name: title, logicalType: string, physicalType: VARCHAR}
      - {name: year, logicalType: integer, physicalType: INTEGER}
      - {name: cost, logicalType: number, physicalType: "DECIMAL(12,2)"}
      - {name: rating, logicalType: number, physicalType: DOUBLE}
      - {name: released, logicalType: date, physicalType: DATE}
      - {name: updated, logicalType: timestamp, physicalType: TIMESTAMPTZ}
      - {name: seen, logicalType: boolean, physicalType: BOOLEAN}
      - {name: studio, logicalType: string, physicalType: VARCHAR}
  - name: people
    properties:
      - {name: name, logicalType: string, physicalType: VARCHAR, primaryKey: true, required: true}
      - {name: year, logicalType: integer, physicalType: INTEGER}
"""
OWN = """\
inputs: {source: {type: files, path: inputs/*.csv}}
access:
  roles:
    analyst: {rows: "year >= 1980", mask: {title: hash}, purposes: [planning]}
"""
FILMS = """\
SELECT n AS id, CASE WHEN n % 7 = 0 THEN NULL ELSE 'film ' || n END AS title, (1970 + n % 50)::INTEGER AS year,
    (n * 37 % 1000000 / 100)::DECIMAL(12,2) AS cost, n / 7.0::DOUBLE AS rating,
    DATE '1990-01-01' + (n % 10000)::INTEGER AS released,
    TIMESTAMPTZ '2020-01-01 00:00:00+00' + to_seconds(n) + to_microseconds(n) AS updated, n % 2 = 0 AS seen,
    ['Fox', 'MGM', 'Sony'][1 + n % 3] AS studio
FROM (SELECT range AS n FROM range(1, 5001)), source WHERE source.k = 1
"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """The product's folder, with two snapshots."""
    home: Path = tmp_path_factory.mktemp("cinema")
    for name, text in {
        "dataproduct.odps.yaml": ODPS,
        "contracts/cinema.odcs.yaml": ODCS,
        "polyport.yaml": OWN,
        "inputs/a.csv": "k\n1\n",
        "transform/films.sql": FILMS,
        "transform/people.sql": "SELECT 'Ann' AS name, 1970::INTEGER AS year FROM source WHERE k = 1",
    }.items():
        place = home / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(text, encoding="utf-8")
    with Product.load(home) as product:
        product.build()
    people = "SELECT unnest(['Ann', 'Bob']) AS name, 1970::INTEGER AS year FROM source WHERE k = 1"
    (home / "transform" / "people.sql").write_text(people, encoding="utf-8")
    with Product.load(home) as product:
        product.build()
    return home


@dataclass(frozen=True, slots=True)
class Served:
    """A listener, and the product behind it."""

    server: Server
    product: Product
    certificate: Path | None = None

    @property
    def port(self) -> int:
        return self.server.port

    def dsn(self, database: str = "cinema", user: str = "owner", **more: str) -> str:
        rest = "".join(f" {name}='{value}'" for name, value in more.items())
        return f"host=127.0.0.1 port={self.port} user={user} dbname={database}{rest}"


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    """For the local owner, and whoever has a key."""
    with Product.load(folder) as product:
        ports = [port for port in product.ports() if isinstance(port, SqlPort)]
        identity = Identity(product.control, local_owner=True)
        server = SqlPort.listen(ports, Endpoint(identity=identity))
        try:
            yield Served(server, product)
        finally:
            server.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> Path:
    """A PEM file with a certificate of this machine's and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    home = tmp_path_factory.mktemp("tls")
    made = home / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
         "-keyout", home / "key.pem", "-out", home / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    made.write_text((home / "cert.pem").read_text() + (home / "key.pem").read_text())
    return made


@pytest.fixture
def raw(served: Served) -> Iterator[socket.socket]:
    """A bare connection."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as found:
        yield found


@pytest.fixture(scope="session")
def real() -> Iterator[int]:
    """The TCP port of a real PostgreSQL, which is empty."""
    programs = find()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory(prefix="polyport-test-", ignore_cleanup_errors=True) as folder:
        yield from _running(programs, Path(folder))


def _running(programs: Programs, home: Path) -> Iterator[int]:
    who = unprivileged()
    as_user = {"user": who[0], "group": who[1], "extra_groups": []} if who else {}
    if who:
        os.chown(home, *who)
    port = 20_000 + os.getpid() % 10_000
    made = [
        "initdb",
        "-D",
        home / "data",
        "-A",
        "trust",
        "-U",
        "owner",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    ]
    subprocess.run(
        [programs.bin / made[0], *made[1:]], check=True, capture_output=True, cwd=home, **as_user
    )
    settings = f"port={port}\nunix_socket_directories='{home}'\nfsync=off\ntimezone='UTC'\n"
    with (home / "data" / "postgresql.conf").open("a") as file:
        file.write(settings)
    with subprocess.Popen(
        [programs.bin / "postgres", "-D", home / "data"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home, **as_user,
    ) as process:  # fmt: skip
        try:
            yield _answering(port)
        finally:
            process.terminate()


def _answering(port: int) -> int:
    for _ in range(600):
        try:
            with Wire(port, user="owner", database="postgres") as wire:
                if wire.greeting[-1][0] == b"Z":
                    return port
        except OSError:
            pass
        time.sleep(0.1)
    pytest.fail("PostgreSQL does not start")


@pytest.fixture(scope="module")
def both(real: int, served: Served) -> Iterator[tuple[Wire, Wire]]:
    """Connections to us and to a real PostgreSQL."""
    with (
        Wire(served.port, user="owner", database="cinema") as ours,
        Wire(real, user="owner", database="postgres") as theirs,
    ):
        yield ours, theirs
