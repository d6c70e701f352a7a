"""What every store does, as tests: subclass `StoreTests` in a test module and say how to make a store.

class TestMyStore(StoreTests):
    def make_store(self, folder):
        return MyStore(folder)
"""

from __future__ import annotations

from polyport.testing.store.keeping import KeepingTests
from polyport.testing.store.making import (
    PRODUCT,
    publish,
    publish_many,
    rows,
    stage_table,
    table,
    with_field_ids,
)
from polyport.testing.store.publishing import PublishingTests


class StoreTests(PublishingTests, KeepingTests):
    """What every store does."""


__all__ = [
    "PRODUCT",
    "StoreTests",
    "publish",
    "publish_many",
    "rows",
    "stage_table",
    "table",
    "with_field_ids",
]
