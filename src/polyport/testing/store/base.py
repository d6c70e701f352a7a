"""What the tests of stores share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from polyport.testing.store.making import PRODUCT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from polyport.store import Store


class StoreTestsBase(ABC):
    """The suite. Stores on disk and elsewhere; files must be readable by pyarrow where `files` says they are."""

    @abstractmethod
    def make_store(self, folder: Path) -> Store:
        """A new handle on the store that `folder` stands for: two handles share what they see."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        """An empty store."""
        return self.make_store(tmp_path / "store")

    @contextmanager
    def _refused(self, store: Store, error: type[Exception], match: str) -> Iterator[None]:
        before = [snapshot.id for snapshot in store.history(PRODUCT)]
        with pytest.raises(error, match=match):
            yield
        assert [snapshot.id for snapshot in store.history(PRODUCT)] == before
