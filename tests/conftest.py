"""How all tests draw: the same examples in each run, however slow the machine; `explore` draws anew, and more."""

from __future__ import annotations

import gc

import pytest
from hypothesis import settings

settings.register_profile("polyport", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=300)
settings.load_profile("polyport")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave out of each later search for garbage the half a million objects that the tests are made of."""
    gc.collect()
    gc.freeze()
