"""How things stand in the journal: keys, agreements and configuration, in memory, and never older than the journal."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from polyport.ledger.journal import Journal, Kind
    from polyport.model import Entry

T = TypeVar("T")
KINDS: tuple[Kind, ...] = ("key", "agreement", "access", "settings")


class Control:
    """The newest entry of each name, read again once any process has written to the journal. Safe over threads."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._lock = threading.RLock()
        self._position = -1
        self._changed = 0
        self._current: dict[tuple[str, str], dict[str, Entry]] = {}
        self._derived: dict[Hashable, object] = {}

    def position(self) -> int:
        """The position of the newest entry that changes who may do what. Costs microseconds.

        Raises:
            StoreError: The journal cannot be read. What may have been revoked is not relied on.
        """
        newest = self.journal.position()
        if newest != self._position:
            with self._lock:
                self._read_on(newest)
        return self._changed

    def current(self, kind: Kind, product: str = "") -> Mapping[str, Entry]:
        """The newest entry of each name of `kind`, in the order in which names came.

        Raises:
            StoreError: The journal cannot be read.
        """
        self.position()
        with self._lock:
            return dict(self._current.get((kind, product), {}))

    def derived(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, made again only after an entry came. `key` names it.

        Raises:
            StoreError: The journal cannot be read.
        """
        self.position()
        with self._lock:
            if key not in self._derived:
                self._derived[key] = make()
            return cast("T", self._derived[key])

    def _read_on(self, newest: int) -> None:
        if newest <= self._position:
            return
        after = max(self._position, 0)
        if rewritten := self.journal.entries("erasure", after=after):  # it changes older entries
            after, self._changed = 0, max(self._changed, rewritten[-1].seq)
            self._current.clear()
            self._derived.clear()
        for kind in KINDS:
            for entry in self.journal.entries(kind, after=after):
                self._current.setdefault((kind, entry.product), {})[entry.name] = entry
                self._changed = max(self._changed, entry.seq)
                self._derived.clear()
        self._position = newest
