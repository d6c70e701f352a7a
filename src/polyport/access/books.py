"""The ledger, and how things stand in it: opened once for all products that share them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from polyport.access.control import Control
from polyport.descriptor.environment import resolve
from polyport.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Books:
    """What happened, and what holds."""

    ledger: Ledger
    control: Control

    @classmethod
    def open(cls, url: str, *, state: Path, home: Path) -> Books:
        """Those at `url`, which may hold `${NAME}` (files are looked for in `home`); without one, those in `state`.

        Raises:
            ConfigurationError, StoreError: As `Ledger`; or a variable is not set.
        """
        found, _ = resolve(url, home=home, where="mesh.yaml: ledger")
        ledger = Ledger(found or state / "ledger.sqlite")
        return cls(ledger, Control(ledger.journal))
