"""The command line as a person calls it, in this process; and products to call it on."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
import textwrap
from dataclasses import dataclass
from unittest import mock

import pytest

from polyport.cli import main
from polyport.testing.output_port import ROWS, make_product, write_rows


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)


def call(*arguments, folder=None):
    """Run `polyport ARGUMENTS` as its entry point does, error path and all."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", ["polyport", *map(str, arguments)]))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        if folder:
            stack.enter_context(contextlib.chdir(folder))
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())


def add_studios(home):
    """A second dataset, without a key."""
    (home / "transform/studios.sql").write_text(
        "SELECT studio, count(*)::BIGINT AS films FROM sheet GROUP BY ALL\n"
    )
    contract = home / "contracts/films.odcs.yaml"
    contract.write_text(
        contract.read_text()
        + textwrap.indent(
            "- name: studios\n"
            "  properties:\n"
            "    - {name: studio, logicalType: string}\n"
            "    - {name: films, logicalType: integer, physicalType: BIGINT}\n",
            "  ",
        )
    )


@pytest.fixture(scope="session")
def polyport():
    return call


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The product `films`: three snapshots, the third with a second dataset; and a build that changed nothing.

    Snapshot 2 lacks Alien, has a new film and a new cost of Dune. Only read it.
    """
    home = tmp_path_factory.mktemp("cli") / "films"
    with make_product(home, "rest") as product:
        write_rows(home, ["2,Dune,1984-12-14,Universal,41.00", *ROWS[2:], "9,New,2026-01-01,Fox,1"])
        product.build()
        product.store.tag("films", "spring", "1")
    add_studios(home)
    assert call("build", home).code == 0
    assert call("build", home).code == 0
    return home


@pytest.fixture
def films(built, tmp_path):
    """A copy to change."""
    return shutil.copytree(built, tmp_path / "films")
