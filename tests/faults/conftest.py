"""A product that is being served while things go wrong, and the command line."""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import textwrap
from dataclasses import dataclass
from unittest import mock

import pytest

from polyport.cli import main
from polyport.product import Product
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.output_port import ROWS, make_product, write_rows

BASE = "/products/films"
REST = "{name: rest, type: rest, version: 1.0.0, contractId: films}"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def call(*arguments):
    """Run `polyport ARGUMENTS` as its entry point does."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", ["polyport", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def polyport():
    return call


class Served:
    """The product `films`, open in a server that was started before anything went wrong."""

    def __init__(self, home, product):
        self.home, self.product = home, product
        self.client = Client(create_app([product]))
        self.before = self.everything()

    def everything(self):
        """What each port shows of the newest snapshot."""
        found = {}
        for path in ("/rest/v1/films", "/files/v1/films.csv", "/files/v1/films.ndjson"):
            reply = self.client.get(BASE + path)
            assert reply.status_code == 200
            found[path] = (reply.headers["polyport-snapshot"], reply.content)
        drive = self.home / "drive/latest"
        found["drive"] = {p.name: p.read_bytes() for p in sorted(drive.iterdir())}
        return found

    def write(self, name, text):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return path

    def edit(self, name, old, new):
        path = self.home / name
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    def input(self, *rows, header="id,title,released,studio,cost"):
        self.write("inputs/films.csv", "\n".join([header, *rows, ""]))

    def refuses(self, status, code, *says):
        """A build ends so, says this, and changes nothing for anybody."""
        ended = call("build", self.home)
        assert (ended.code, ended.out) == (status, "")
        assert f"error[{code}]: " in ended.err
        assert "Traceback" not in ended.err
        for text in says:
            assert text in ended.err
        if status != 2:
            assert "nothing was published; snapshot 1 is still served" in ended.err
        self.unharmed()
        return ended.err

    def unharmed(self):
        assert self.everything() == self.before
        scratch = self.home / ".polyport/scratch"
        left = [p.relative_to(scratch) for p in scratch.rglob("*") if p.is_file()]
        assert [p for p in left if "polyport-files-" not in str(p)] == []  # the server's own

    def recovers(self):
        """With good data and files again, the next build publishes."""
        write_rows(self.home, [*ROWS[:3], "7,After,2026-01-01,Fox,1.00"])
        ended = call("build", self.home)
        assert ended.code == 0, ended.err
        assert "Published snapshot 2" in ended.err
        reply = self.client.get(BASE + "/rest/v1/films").json()
        assert [row["id"] for row in reply["_embedded"]["films"]] == [1, 2, 3, 7]
        assert call("doctor", self.home).code == 0


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The product `films` with REST and files, also pushed; one snapshot. Only copy it."""
    home = tmp_path_factory.mktemp("faults") / "films"
    with make_product(home, "rest"):
        pass
    path = home / "dataproduct.odps.yaml"
    both = f"{REST}, {REST.replace('rest', 'files')}"
    path.write_text(path.read_text().replace(REST, both))
    settings = home / "polyport.yaml"
    push = "ports: {files: {push: {to: drive/, formats: [csv], role: accountant}}}\n"
    settings.write_text(settings.read_text() + push)
    shutil.rmtree(home / ".polyport")
    assert call("build", home).code == 0
    return home


@pytest.fixture
def served(built, tmp_path):
    home = shutil.copytree(built, tmp_path / "films", symlinks=True)
    with Product.load(home) as product:
        yield Served(home, product)
