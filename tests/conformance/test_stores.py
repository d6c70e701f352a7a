"""Every store that ships, through the suite that ships."""

from __future__ import annotations

from polyport.store.local import LocalStore
from polyport.testing.store import StoreTests


class TestLocalStore(StoreTests):
    def make_store(self, folder):
        return LocalStore(folder)


class TestLocalStoreWithoutIceberg(StoreTests):
    def make_store(self, folder):
        return LocalStore(folder, iceberg=False)
