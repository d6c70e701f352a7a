from __future__ import annotations

import pytest
from tests.ports.information.quality.broken_films import BASE, ROWS, write

from polyport.product import Product
from polyport.server import create_app
from polyport.testing.asgi import Client


@pytest.fixture
def product(tmp_path):
    write(tmp_path / "films", ROWS)
    with Product.load(tmp_path / "films") as made:
        made.build()
        yield made


@pytest.fixture
def client(product):
    return Client(create_app([product]))


@pytest.fixture
def rows(product, client):
    """Asks for failing rows of the newest report."""
    run = product.ledger.reports("films")[0].run

    def ask(query="", headers=None):
        return client.get(f"{BASE}/reports/{run}/rows{query}", headers=headers or {})

    return ask
