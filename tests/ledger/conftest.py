"""Ledgers in SQLite and in a real PostgreSQL."""

from __future__ import annotations

import itertools

import pytest
from tests.postgres import postgres

from polyport.ledger import Ledger

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def server():
    with postgres() as started:
        yield started


@pytest.fixture
def url(server):
    """Of a PostgreSQL without tables."""
    name = f"ledger_{next(NUMBERS)}"
    server.run(f"CREATE SCHEMA {name}")
    return f"postgresql+psycopg://{server.address}?options=-csearch_path%3D{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request, tmp_path):
    """What a ledger without tables is opened by."""
    if request.param == "sqlite":
        return tmp_path / "state" / "ledger.sqlite"
    return request.getfixturevalue("url")


@pytest.fixture
def ledger(address):
    made = Ledger(address)
    yield made
    made.close()
